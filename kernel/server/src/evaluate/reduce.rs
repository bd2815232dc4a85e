//! Reduces a cell to the code that determines the types of its variables.
//!
//! evcxr makes rust-analyzer infer the types of a cell's `let`s, which processes the whole cell:
//! every `println!` of a number whose type is still open is checked again with each following
//! statement, so 300 of them took 25 s without a chance to interrupt. So evcxr gets a cell with
//! comments in place of code that cannot change the type of a variable. The stand-in for cargo restores
//! the code before it compiles (`cargo/reduced.rs`). A comment has the lines and the width of the code
//! that it replaces, so all positions stay the same.
//!
//! In a cell with a `let`, comments replace:
//!
//! - statements that name no variable of the cell's `let`s; macros may bind variables, so only known macros;
//! - `println!` and similar macros, if they only print variables;
//! - the value of a `let` with a type annotation;
//! - sums and products of numbers without a type, except the last number.
//!
//! Items do not change, since evcxr stores their text.

use super::prepare::{By, Hidden};
use crate::parsed::{Parsed, words};
use ra_ap_syntax::ast::{self, AstNode, AstToken};
use ra_ap_syntax::{SyntaxKind, SyntaxNode, SyntaxToken, T, WalkEvent};
use std::collections::{BTreeSet, HashSet};

/// Macros that only print; their value is `()`.
const PRINTS: [&str; 4] = ["print", "println", "eprint", "eprintln"];

/// Macros that diverge.
const ENDS: [&str; 4] = ["panic", "todo", "unimplemented", "unreachable"];

/// The replacement for a part that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A statement.
    Statement,
    /// A value of type `()`.
    Nothing,
    /// An expression that diverges.
    End,
    /// A value whose type is written down.
    Typed,
    /// Part of a value.
    Part,
}

impl Form {
    /// The text before and after the mark.
    pub(super) fn around(self) -> (&'static str, &'static str) {
        match self {
            Form::Statement => ("(", ");"),
            Form::Nothing => ("(", ")"),
            Form::End => ("loop {", "}"),
            Form::Typed => ("unsafe { ::core::mem::zeroed(", ") }"),
            Form::Part => ("", ""),
        }
    }
}

/// The parts of a cell that can be left out, given the variables that its `let`s bind and the last
/// expression, if it is shown.
pub(super) fn left_out(
    cell: &Parsed,
    names: &BTreeSet<String>,
    shown: Option<&SyntaxNode>,
) -> Vec<Hidden> {
    let mut found = Vec::new();
    if names.is_empty() {
        return found;
    }
    for node in cell.nodes() {
        if ast::Item::can_cast(node.kind()) && !ast::MacroCall::can_cast(node.kind()) {
            continue;
        }
        let is_shown = shown == Some(&node);
        if let Some(statement) = ast::LetStmt::cast(node.clone()) {
            let typed = statement.ty().is_some_and(|kind| is_complete(kind.syntax()));
            if let Some(value) = statement.initializer().filter(|_| typed)
                && statement.let_else().is_none()
            {
                found.push(Hidden { range: cell.range(value.syntax()), by: By::Mark(Form::Typed) });
            }
        } else if (is_shown || !has_unknown_macro(&node)) && !mentions(&node, names) {
            let by = if is_shown { By::Whole } else { By::Mark }(Form::Statement);
            found.push(Hidden { range: cell.range(&node), by });
            continue;
        }
        within(cell, &node, &mut found);
    }
    found
}

/// Finds parts of a statement that can be left out.
fn within(cell: &Parsed, statement: &SyntaxNode, found: &mut Vec<Hidden>) {
    let mut walk = statement.preorder();
    while let Some(event) = walk.next() {
        let WalkEvent::Enter(node) = event else { continue };
        if ast::Item::can_cast(node.kind()) && !ast::MacroCall::can_cast(node.kind()) {
            walk.skip_subtree();
            continue;
        }
        let range = cell.range(&node);
        if let Some(call) = ast::MacroCall::cast(node.clone()) {
            let name = path(&call);
            let form = match name.as_str() {
                name if PRINTS.contains(&name) => Form::Nothing,
                name if ENDS.contains(&name) => Form::End,
                _ => continue,
            };
            if only_shows(&call) {
                found.push(Hidden { range, by: By::Mark(form) });
            }
        } else if let Some(last) = numbers(&node) {
            let range = range.start..cell.at(last.text_range().start());
            found.push(Hidden { range, by: By::Mark(Form::Part) });
        }
    }
}

/// The last literal of arithmetic that consists of untyped numbers of one kind only.
fn numbers(node: &SyntaxNode) -> Option<SyntaxToken> {
    let is_arithmetic = |node: &SyntaxNode| ast::BinExpr::can_cast(node.kind());
    if !is_arithmetic(node) || node.parent().is_some_and(|parent| is_arithmetic(&parent)) {
        return None;
    }
    let mut kinds = HashSet::new();
    let mut last = None;
    for token in node.descendants_with_tokens().filter_map(|element| element.into_token()) {
        match token.kind() {
            SyntaxKind::INT_NUMBER => {
                let number = ast::IntNumber::cast(token.clone())?;
                if number.suffix().is_some() {
                    return None;
                }
            }
            SyntaxKind::FLOAT_NUMBER => {
                if ast::FloatNumber::cast(token.clone())?.suffix().is_some() {
                    return None;
                }
            }
            SyntaxKind::WHITESPACE | T![+] | T![-] | T![*] | T![/] | T![%] => continue,
            _ => return None,
        }
        kinds.insert(token.kind());
        last = Some(token);
    }
    last.filter(|_| kinds.len() == 1)
}

/// Whether a macro's arguments only show values: literals, and variables with their fields and
/// method results. A variable used as an argument or operand could get its type there.
fn only_shows(call: &ast::MacroCall) -> bool {
    let Some(tree) = call.token_tree() else { return false };
    let tokens: Vec<SyntaxToken> = tree
        .syntax()
        .descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| !token.kind().is_trivia())
        .collect();
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind() {
            T!['('] | T!['['] | T!['{'] => depth += 1,
            T![')'] | T![']'] | T!['}'] => depth = depth.saturating_sub(1),
            SyntaxKind::IDENT if depth > 1 => return false,
            SyntaxKind::STRING if takes_sizes(token.text()) => return false,
            T![.] | T![,] | T![::] | T![:] | SyntaxKind::IDENT | SyntaxKind::STRING => {}
            // Part of a named argument; a comparison consists of two tokens here.
            T![=]
                if at > 1
                    && tokens[at - 1].kind() == SyntaxKind::IDENT
                    && tokens[at - 2].kind() == T![,]
                    && tokens.get(at + 1).is_some_and(|next| next.kind() != T![=]) => {}
            // Before a value, these are unary operators.
            T![&] | T![*] | T![!]
                if at > 0
                    && matches!(tokens[at - 1].kind(), T![,] | T![=] | T!['('] | T![&] | T![*]) => {
            }
            kind if kind.is_literal() => {}
            T![self] | T![true] | T![false] | T![mut] => {}
            _ => return false,
        }
    }
    true
}

/// Whether a format string may name a variable as width or precision (`{:>width$}`, `{:.*}`), which makes it a `usize`.
fn takes_sizes(format: &str) -> bool {
    format.contains('$') || format.contains(".*")
}

fn path(call: &ast::MacroCall) -> String {
    call.path().map(|path| path.syntax().text().to_string()).unwrap_or_default()
}

fn has_unknown_macro(node: &SyntaxNode) -> bool {
    let mut calls = node.descendants().filter_map(ast::MacroCall::cast);
    calls.any(|call| {
        let name = path(&call);
        name != "benchbook::show"
            && !PRINTS.contains(&name.as_str())
            && !ENDS.contains(&name.as_str())
    })
}

/// Whether one of the names occurs, including within format strings.
fn mentions(node: &SyntaxNode, names: &BTreeSet<String>) -> bool {
    words(&node.text().to_string()).any(|word| names.contains(word))
}

/// Whether a type leaves nothing to be inferred.
fn is_complete(kind: &SyntaxNode) -> bool {
    !kind.descendants().any(|node| {
        [SyntaxKind::INFER_TYPE, SyntaxKind::IMPL_TRAIT_TYPE, SyntaxKind::MACRO_TYPE]
            .contains(&node.kind())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::commands::Form as Shown;
    use crate::evaluate::items::Items;
    use crate::evaluate::prepare::{POLL, prepare};

    /// The reduced cell with `@` in place of code that stands for other code.
    fn reduced(code: &str) -> String {
        let cell = Parsed::of(code).unwrap();
        let prepared = prepare(&cell, &Shown::default(), &Items::default());
        let (text, reduced) = prepared.for_evcxr();
        assert_eq!(reduced.restore(&text).unwrap(), prepared.code);
        assert_eq!(text.lines().count(), code.lines().count());
        let mut text = text;
        for at in 0..reduced.len() {
            text = text.replacen(reduced.marked(at), "@", 1);
        }
        text
    }

    #[test]
    fn what_names_no_variable_is_left_out() {
        assert_eq!(
            reduced("let a = f();\nfor i in 0..3 { g(i); more(i); }\nother.value()"),
            "let a = f();\n@\n@"
        );
        assert_eq!(
            reduced("let mut v = Vec::new();\nv.push(1);"),
            "let mut v = Vec::new();\nv.push(1);"
        );
        assert_eq!(
            reduced("let a = f();\nmake!(b);\nlet c = b;"),
            "let a = f();\nmake!(b);\nlet c = b;"
        );
        assert_eq!(reduced("f(1, 2, 3, 4, 5, 6);"), "f(1, 2, 3, 4, 5, 6);");
    }

    #[test]
    fn prints_of_variables_are_left_out() {
        assert_eq!(
            reduced(
                "let a = 1;\nmatch a {\n 0 => println!(\"{a}\"),\n _ => panic!(\"{}\", a.b()),\n}"
            ),
            "let a = 1;\nbenchbook::show!(match a {\n 0 => @,\n _ => @,\n});"
        );
        assert_eq!(
            reduced(
                "let a = 1;\nfor i in a { match i {\n 0 => println!(\"arm {}\", a),\n _ => {} } }; b"
            ),
            format!("let a = 1;\nfor i in a {{{POLL} match i {{\n 0 => @,\n _ => {{}} }} }}; @")
        );
        for decides in [
            "println!(\"{}\", a + 1_u8);",
            "println!(\"{}\", f(a, 1));",
            "println!(\"{}\", v[a] as u8);",
            "println!(\"{}\", a == b);",
            "println!(\"{}\", a != b);",
            "println!(\"{:>a$}\", 1.5);",
            "println!(\"{:.*}\", a, 1.5);",
        ] {
            let code = format!("let a = 1;\n{decides}");
            assert_eq!(reduced(&code), code);
        }
    }

    #[test]
    fn the_value_of_a_typed_variable_is_left_out() {
        let value = "vec![1, 2, 3].iter().map(|x| x + 1).filter(|x| *x > 2).collect::<Vec<_>>()";
        assert_eq!(reduced(&format!("let a: Vec<i32> = {value};")), "let a: Vec<i32> = @;");
        let open = format!("let a: Vec<_> = {value};");
        assert_eq!(reduced(&open), open);
    }

    #[test]
    fn of_arithmetic_with_numbers_the_last_stays() {
        assert_eq!(reduced("let a = 1 + 2 + 3 + 4 + 5 + 6;"), "let a = @6;");
        for code in ["let a = 1 + 2 + 3 + 4_u8 + 5 + 6;", "let a = b + 2 + 3 + 4 + 5 + 6 + 7;"] {
            assert_eq!(reduced(code), code);
        }
    }

    #[test]
    fn items_stay() {
        let code = "let a = 1;\nfn f() { println!(\"a long enough line of text\"); }\nstruct S;";
        assert_eq!(reduced(code), code);
    }
}
