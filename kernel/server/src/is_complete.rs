//! Whether a cell is complete, for front ends that run it at the Enter key.

use crate::evaluate::unclosed_bracket;
use crate::nesting;
use crate::parsed::Parsed;
use benchbook_jupyter::Completeness;

/// Checks for open brackets, strings and comments, and for parse errors. Code that is nested too
/// deeply to be compiled is invalid.
pub fn is_complete(code: &str) -> Completeness {
    let look = || Parsed::of(code).map_or(Completeness::Invalid, |cell| look(&cell));
    nesting::deep(look).unwrap_or(Completeness::Unknown)
}

fn look(cell: &Parsed) -> Completeness {
    if cell.rust().trim().is_empty() {
        return Completeness::Complete;
    }
    if let Some(unclosed) = unclosed_bracket(cell) {
        return unclosed.open.map_or(Completeness::Invalid, more);
    }
    match cell.error() {
        None => Completeness::Complete,
        // More text can fix an error at the end: `let a =`, `fn f()`.
        Some(error) if cell.at(error.range().end()) >= cell.text.trim_end().len() => more(0),
        Some(_) => Completeness::Invalid,
    }
}

fn more(depth: usize) -> Completeness {
    Completeness::Incomplete { indent: "    ".repeat(depth) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incomplete(indent: &str) -> Completeness {
        Completeness::Incomplete { indent: indent.into() }
    }

    #[test]
    fn whole_cells_are_complete() {
        for code in [
            "1 + 1",
            "let a = 1;",
            "fn f() {}",
            "",
            ":vars",
            ":dep a\na::b()",
            "let s = \"a\\\"\";",
            "let s = r#\"a \" b\"#;",
            "for i in 0..3 {}",
        ] {
            assert_eq!(is_complete(code), Completeness::Complete, "{code}");
        }
    }

    #[test]
    fn open_cells_want_more() {
        assert_eq!(is_complete("fn f() {"), incomplete("    "));
        assert_eq!(is_complete("for a in b {\n    if c {"), incomplete("        "));
        assert_eq!(is_complete("f(1,"), incomplete("    "));
        for code in ["let a =", "let s = \"a", "let s = r#\"a\"", "/* a"] {
            assert_eq!(is_complete(code), incomplete(""), "{code}");
        }
    }

    #[test]
    fn what_cannot_become_valid_is_invalid() {
        for code in ["}", "let = 1;", "f())"] {
            assert_eq!(is_complete(code), Completeness::Invalid, "{code}");
        }
    }
}
