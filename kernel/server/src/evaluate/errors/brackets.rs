//! Brackets and strings that are never closed. evcxr appends its own code to the cell, so the
//! compiler would report the end of such a cell in that code.

use crate::parsed::Parsed;
use ra_ap_syntax::{SyntaxKind, SyntaxToken};

/// An unclosed bracket or string: the message, and line and column in characters from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unclosed {
    pub(super) message: String,
    pub(super) place: (usize, usize),
    /// The number of open brackets, if more text could close them.
    pub(crate) open: Option<usize>,
}

/// The first bracket, string or comment that is never closed, or the first bracket that closes nothing.
pub(crate) fn unclosed(cell: &Parsed) -> Option<Unclosed> {
    let mut brackets: Vec<SyntaxToken> = Vec::new();
    let found = |token: &SyntaxToken, open: Option<usize>, message: String| {
        let place = cell.place(cell.at(token.text_range().start()));
        Some(Unclosed { message, place, open })
    };
    for token in cell.tokens() {
        let text = token.text();
        match token.kind() {
            SyntaxKind::L_CURLY | SyntaxKind::L_PAREN | SyntaxKind::L_BRACK => brackets.push(token),
            SyntaxKind::R_CURLY | SyntaxKind::R_PAREN | SyntaxKind::R_BRACK => {
                let Some(opening) = brackets.pop() else {
                    return found(&token, None, format!("this `{text}` closes nothing"));
                };
                if !fits(opening.text(), text) {
                    let said = "is not closed before the";
                    let message = format!("this `{opening}` {said} `{text}` that follows");
                    return found(&opening, None, message);
                }
            }
            kind if cell.is_open(&token) => {
                let what = if kind == SyntaxKind::COMMENT { "comment" } else { "string" };
                let message = format!("this {what} is never closed");
                return found(&token, Some(brackets.len()), message);
            }
            _ => {}
        }
    }
    let first = brackets.first()?;
    found(first, Some(brackets.len()), format!("this `{first}` is never closed"))
}

fn fits(opening: &str, closing: &str) -> bool {
    matches!((opening, closing), ("(", ")") | ("[", "]") | ("{", "}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cell: &str) -> Option<(String, (usize, usize))> {
        unclosed(&Parsed::of(cell).unwrap()).map(|found| (found.message, found.place))
    }

    #[test]
    fn what_is_not_closed_is_found_where_it_begins() {
        for (cell, message, place) in [
            ("fn f( {", "this `(` is never closed", (1, 5)),
            (
                "let a = 1;\nif a {\n  f(a;\n}",
                "this `(` is not closed before the `}` that follows",
                (3, 4),
            ),
            (":vars\nlet ü = [1, 2;", "this `[` is never closed", (2, 9)),
            ("f())", "this `)` closes nothing", (1, 4)),
            ("let s = \"open;\nf()", "this string is never closed", (1, 9)),
            ("let s = r#\"open\";", "this string is never closed", (1, 9)),
            ("1 /* open", "this comment is never closed", (1, 3)),
        ] {
            assert_eq!(check(cell), Some((message.to_owned(), place)), "{cell}");
        }
    }

    #[test]
    fn what_is_closed_is_left_alone() {
        for cell in [
            "",
            ":dep a = { path = \"b\" }",
            "!echo (",
            "let a = ['(', '{', '\"']; // (",
            "let s = r#\"a \"{\" b\"#; let t = b\"[\"; let u = \"\\\\\";",
            "fn f<'a>(x: &'a str) -> &'a str { x } /* ( */",
            "println!(\"{}\", \"(\"); let e = \"\"; let r = r\"\";",
        ] {
            assert_eq!(check(cell), None, "{cell}");
        }
    }
}
