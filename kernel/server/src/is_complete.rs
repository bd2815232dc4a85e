//! Whether a cell can be run as it is, for front ends that run it at the Enter key.

use crate::evaluate::is_closed;
use crate::nesting;
use benchbook_jupyter::Completeness;
use ra_ap_syntax::{Edition, SourceFile, SyntaxKind};

/// Looks at brackets, strings and comments that are still open, and at the parser's errors. Code that is
/// nested too deeply to be compiled is invalid.
pub fn is_complete(code: &str) -> Completeness {
    if nesting::check(code).is_err() {
        return Completeness::Invalid;
    }
    nesting::deep(|| parsed(code)).unwrap_or(Completeness::Unknown)
}

fn parsed(code: &str) -> Completeness {
    let rust: String = code
        .split_inclusive('\n')
        .skip_while(|line| line.trim().is_empty() || line.trim_start().starts_with([':', '!']))
        .collect();
    if rust.trim().is_empty() {
        return Completeness::Complete;
    }
    let mut depth = 0_usize;
    let parsed = SourceFile::parse(&rust, Edition::Edition2024);
    for token in
        parsed.syntax_node().descendants_with_tokens().filter_map(|element| element.into_token())
    {
        match token.kind() {
            SyntaxKind::L_CURLY | SyntaxKind::L_PAREN | SyntaxKind::L_BRACK => depth += 1,
            SyntaxKind::R_CURLY | SyntaxKind::R_PAREN | SyntaxKind::R_BRACK => {
                let Some(outer) = depth.checked_sub(1) else { return Completeness::Invalid };
                depth = outer;
            }
            kind if !is_closed(kind, token.text()) => return more(depth),
            _ => {}
        }
    }
    if depth > 0 {
        return more(depth);
    }
    let wrapped = SourceFile::parse(&format!("fn f(){{{rust}\n}}"), Edition::Edition2024);
    match wrapped.errors().first() {
        None => Completeness::Complete,
        // An error at the end of the text may be mended by going on: `let a =`, `fn f()`.
        Some(error)
            if usize::from(error.range().end()) >= "fn f(){".len() + rust.trim_end().len() =>
        {
            more(depth)
        }
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
