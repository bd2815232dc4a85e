//! Incomplete cells. evcxr appends its own code to the cell, so the compiler
//! would report the missing part there, or take that code for a part of the cell.

use crate::parsed::Parsed;
use ra_ap_syntax::SyntaxKind;
use ra_ap_syntax::ast::{self, AstNode};

/// What the end of a cell lacks, and where the cell ends: line and column in characters from 1,
/// after the last character.
pub(super) fn unfinished(cell: &Parsed) -> Option<(String, (usize, usize))> {
    let error = cell.error()?;
    let tokens = cell.tokens();
    let last = tokens
        .filter(|token| !matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT))
        .last()?;
    let end = last.text_range().end();
    if error.range().start() < end {
        return None;
    }
    let expected = error.to_string();
    // evcxr splits imports, which need no semicolon.
    let statement = last.parent_ancestors().find_map(ast::Item::cast);
    if expected.ends_with("SEMICOLON") && matches!(statement, Some(ast::Item::Use(_))) {
        return None;
    }
    let signs = [("SEMICOLON", "`;`"), ("R_ANGLE", "`>`"), ("R_CURLY", "`}`"), ("EQ", "`=`")];
    let sign = signs
        .iter()
        .find_map(|(name, sign)| Some(format!("{}{sign}", expected.strip_suffix(name)?)));
    let message = format!("{}, but the cell ends", sign.unwrap_or(expected));
    Some((message, cell.place(cell.at(end))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_at_the_end_of_the_users_text() {
        for (cell, message, place) in [
            ("let a = std::", "expected identifier, ", (1, 14)),
            ("let b = kept.", "expected field name or number", (1, 14)),
            ("let c = kept +", "expected expression", (1, 15)),
            ("kept.  // of an earlier cell\n\n", "expected field name", (1, 6)),
            (":vars\nlet ü = 1;\nVec::<i32>::", "expected identifier", (3, 13)),
            ("let d: Vec<", "expected `>`", (1, 12)),
            ("if kept > 3 { 1 } else", "expected a block", (1, 23)),
            ("let a = 1", "expected `;`", (1, 10)),
            ("if let Some(x)", "expected `=`", (1, 15)),
            ("1 +\n2 *", "expected expression", (2, 4)),
            ("#[derive(Debug)]", "expected expression, item or let statement", (1, 17)),
        ] {
            let found = unfinished(&Parsed::of(cell).unwrap())
                .unwrap_or_else(|| panic!("{cell} is finished"));
            assert!(found.0.starts_with(message), "{cell}: {}", found.0);
            assert!(found.0.ends_with(", but the cell ends"), "{}", found.0);
            assert_eq!(found.1, place, "{cell}");
        }
    }

    #[test]
    fn whole_cells_and_errors_further_up_are_left_to_the_compiler() {
        for cell in
            ["", "1 + 1", "a..", "use std::io", "let = 1;\nf()", ":vars", "// only", "1 1 1"]
        {
            assert_eq!(unfinished(&Parsed::of(cell).unwrap()), None, "{cell}");
        }
    }
}
