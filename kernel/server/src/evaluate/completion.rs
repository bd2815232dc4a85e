//! Requests for completions in a form that rust-analyzer can answer, and answers that can be inserted.
//!
//! evcxr makes rust-analyzer search for whole expressions where the expected type is known. With the helper
//! library in scope, this panics ("failed to unify type owners"). A statement has no expected type, so a
//! name within an expression is completed as a statement in a block: `{(); name; }`. Within a macro, rust-analyzer does not
//! complete paths that end in `::`. A macro that takes expressions, such as `vec![…]`, is therefore reduced to its
//! brackets, which form an expression.

use crate::evcxr_contract::is_internal;
use crate::names::{self, place};
use benchbook_jupyter::{Completions, Match};
use ra_ap_syntax::SyntaxToken;
use ra_ap_syntax::ast::{self, AstNode};
use std::collections::HashSet;

/// Surroundings of a name within an expression. Without the first statement, rust-analyzer would
/// apply the block's expected type to a name that has not begun.
const BLOCK: (&str, &str) = ("{();", ";}");

/// Keywords that can begin an expression within another expression.
const WITHIN: &str =
    "async await break continue false for if loop match move return true unsafe while";

/// A completion request to evcxr.
pub(super) struct Question {
    pub(super) code: String,
    pub(super) cursor: usize,
    /// Whether a block was added around the name.
    wrapped: bool,
}

impl Question {
    /// The request for completions at `cursor`, a byte offset in `code`.
    pub(super) fn new(code: &str, cursor: usize) -> Self {
        let is_code =
            place::named(code, cursor).is_some_and(|(_, token)| token.kind().is_any_identifier());
        // rust-analyzer completes names in the arguments of formatting macros itself.
        let mut code = if is_code { place::without_macros(code, cursor) } else { code.to_owned() };
        let word = names::word(&code, cursor);
        if !place::named(&code, cursor).is_some_and(|(_, token)| is_operand(&token)) {
            return Self { code, cursor, wrapped: false };
        }
        code.insert_str(word.end, BLOCK.1);
        code.insert_str(word.start, BLOCK.0);
        Self { code, cursor: cursor + BLOCK.0.len(), wrapped: true }
    }

    /// Converts rust-analyzer's answer to completions of the user's code.
    pub(super) fn answer(&self, found: evcxr::Completions) -> Completions {
        let shift = if self.wrapped { BLOCK.0.len() } else { 0 };
        let mut seen = HashSet::new();
        let matches = found.completions.into_iter().filter_map(|found| {
            let text = insertion(&found.code, found.kind, self.wrapped)?;
            seen.insert(text.clone()).then(|| Match { text, kind: found.kind.into() })
        });
        Completions {
            matches: matches.collect(),
            start: found.start_offset - shift,
            end: found.end_offset - shift,
        }
    }
}

/// Whether a token is a plain name used as an operand: neither a statement nor a field name.
fn is_operand(token: &SyntaxToken) -> bool {
    let Some(path) = token.parent_ancestors().find_map(ast::PathExpr::cast) else { return false };
    let simple = path.syntax().text() == token.text();
    let parent = path.syntax().parent();
    simple
        && parent.is_some_and(|parent| {
            let is_field = ast::RecordExprField::cast(parent.clone())
                .is_some_and(|field| field.colon_token().is_none());
            !(is_field
                || ast::StmtList::can_cast(parent.kind())
                || ast::ExprStmt::can_cast(parent.kind()))
        })
}

/// The part of rust-analyzer's insertion that is valid by itself: no snippet placeholders, no
/// arguments without a value, no semicolon within an expression. `None` for evcxr's internal names.
fn insertion(code: &str, kind: &str, within: bool) -> Option<String> {
    if is_internal(code) {
        return None;
    }
    let code = code.trim_end_matches([';', ' ']);
    if let Some((_, brackets)) = code.split_once('!') {
        // Snippets that wrap an expression in a macro call.
        let empty = brackets.chars().all(|c| matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | ' '));
        return empty.then(|| code.to_owned());
    }
    let code = code.trim_end_matches("::");
    let end = code.find(['(', '{', '<', '$', ';']).unwrap_or(code.len());
    let name = code[..end].trim();
    if kind == "keyword" {
        let first = name.split(' ').next().unwrap_or_default();
        let fits = !within || WITHIN.split_whitespace().any(|keyword| keyword == first);
        return (fits && !matches!(name, "" | "crate" | "self" | "super")).then(|| name.to_owned());
    }
    let call = code[end..] == *"()" && kind == "function";
    let text = if call { format!("{name}()") } else { name.to_owned() };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(code: &str) -> String {
        let cursor = code.find('|').unwrap();
        let question = Question::new(&code.replacen('|', "", 1), cursor);
        let mut code = question.code;
        code.insert(question.cursor, '|');
        code
    }

    #[test]
    fn a_name_within_an_expression_is_asked_for_in_a_block() {
        for (code, expected) in [
            ("let x: i32 = da|", "let x: i32 = {();da|;}"),
            ("let x: i32 = |;", "let x: i32 = {();|;};"),
            ("Fit { epochs: |", "Fit { epochs: {();|;}"),
            ("Fit { epochs: | }", "Fit { epochs: {();|;} }"),
            ("model.fit(&data, |", "model.fit(&data, {();|;}"),
            ("model.fit(&da|, 1)", "model.fit(&{();da|;}, 1)"),
            ("f(da|ta)", "f({();da|ta;})"),
            (":vars\nlet ü = da|", ":vars\nlet ü = {();da|;}"),
            ("if da|", "if {();da|;}"),
        ] {
            assert_eq!(asked(code), expected);
        }
    }

    #[test]
    fn everything_else_is_asked_for_as_it_is() {
        for code in [
            "da|",
            "let a = 1;\nda|\nb",
            "data.fi|",
            "let x: i32 = data.|",
            "Fit { ep|",
            "Fit { epochs: 1, |",
            "let k = Kind::|",
            "let x: Ve|",
            "use std::co|",
            "fn f(a: i|",
            "let da|",
            "match a { So| }",
            ":do|",
            "// da|",
            "println!(\"{da|}\")",
        ] {
            assert_eq!(asked(code), code);
        }
    }

    #[test]
    fn macros_of_expressions_become_expressions() {
        assert_eq!(asked("vec![Kind::|]"), "    [Kind::|]");
        assert_eq!(asked("let a = vec![da|"), "let a =     [{();da|;}");
        assert_eq!(asked("println!(\"{}\", vec![da|])"), "        (\"{}\",     [{();da|;}])");
        assert_eq!(asked("std::println!(\"{}\", a.|)"), "             (\"{}\", a.|)");
        assert_eq!(asked("mine!(Kind::|)"), "mine!(Kind::|)");
    }

    #[test]
    fn what_is_inserted_stands_for_itself() {
        for (code, kind, expected) in [
            ("push(value);", "function", "push"),
            ("len()", "function", "len()"),
            ("clear();", "function", "clear()"),
            ("Some(())", "instance", "Some"),
            ("Fit { epochs$1, .. }", "instance", "Fit"),
            ("Vec<>", "class", "Vec"),
            ("std::", "module", "std"),
            ("println!()", "function", "println!()"),
            ("while let $1 = $2 {\n    \n}", "keyword", "while let"),
            ("return ;", "keyword", "return"),
            ("Opt::Sgd", "instance", "Opt::Sgd"),
        ] {
            assert_eq!(insertion(code, kind, false).as_deref(), Some(expected));
        }
        for code in ["evcxr_variable_store(_);", "EvcxrUserCodeError"] {
            assert_eq!(insertion(code, "function", false), None);
        }
        assert_eq!(insertion("eprintln!(\" = {:?}\", )", "instance", false), None);
        assert_eq!(insertion("struct ", "keyword", true), None);
        assert_eq!(insertion("match $1 {\n    \n}", "keyword", true).as_deref(), Some("match"));
    }
}
