//! The one rewriting of a cell before evcxr sees it.
//!
//! Two things are inserted, and nothing is ever removed or put on another line:
//!
//! - a last expression `E` becomes `benchbook::show!(E);`, which shows every type in one build
//!   (evcxr compiles such a cell twice, since it has to guess);
//! - every loop begins with `::benchbook::interrupt::poll();`, so that an interrupt unwinds the
//!   cell and keeps the variables.
//!
//! Since there are only insertions within lines, a position of the prepared text is mapped back by
//! subtracting what was inserted before it on its line. A cell that does not parse is left as it
//! is, for the compiler to explain.

use super::commands::{self, Form};
use ra_ap_syntax::ast::{self, AstNode, HasLoopBody, HasName};
use ra_ap_syntax::{Edition, Parse, SourceFile, SyntaxNode};
use std::borrow::Cow;

/// What stands before the cell when it is parsed, so that statements are understood.
pub(super) const OPEN: &str = "fn f(){";
/// Without `::` before it: a line that begins with a colon is a command.
pub(super) const SHOW: &str = "benchbook::show!(";
const SHOWN: &str = ");";
pub(super) const POLL: &str = "::benchbook::interrupt::poll();";

/// A cell as evcxr gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    /// The text.
    pub(super) code: String,
    insertions: Vec<Insertion>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Insertion {
    /// Line and column in the user's text, in characters from 1.
    line: usize,
    column: usize,
    /// Characters that were inserted there.
    length: usize,
}

impl Prepared {
    /// The line and column, in characters from 1, in the user's text of a place in a compiled file,
    /// given the file's text; `None` if that line is none of this cell's.
    pub(super) fn place(
        &self,
        compiled: &str,
        line: usize,
        column: usize,
    ) -> Option<(usize, usize)> {
        let text = compiled.lines().nth(line.checked_sub(1)?)?.trim_end();
        if text.is_empty() {
            return None;
        }
        // evcxr puts every statement on a line of its own, so a line of the file is the end of a
        // line of the cell; of equal ones, the one that is as far down.
        let earlier =
            compiled.lines().take(line - 1).filter(|other| other.trim_end() == text).count();
        let begins_with = |whole: &str| whole.trim_end().find(text);
        let mut candidates = self
            .code
            .lines()
            .enumerate()
            .filter_map(|(at, whole)| Some((at, whole, begins_with(whole)?)));
        let (at, whole, offset) = candidates.nth(earlier)?;
        let before = whole[..offset].chars().count();
        Some((at + 1, self.column(at + 1, before + column)))
    }

    /// The column in the user's text, in characters from 1.
    pub(super) fn column(&self, line: usize, column: usize) -> usize {
        let mut shift = 0;
        for insertion in self.insertions.iter().filter(|insertion| insertion.line == line) {
            let begins = insertion.column + shift;
            if column < begins {
                break;
            }
            if column < begins + insertion.length {
                return insertion.column;
            }
            shift += insertion.length;
        }
        column - shift
    }
}

/// The line and column, in characters from 1, of a `let` whose pattern is missing. evcxr would
/// leave such a statement out without a word.
pub(super) fn missing_pattern(cell: &str) -> Option<(usize, usize)> {
    let begin = rust_begins(cell);
    let parsed = parse(&cell[begin..]);
    let missing = statements(&parsed)?.statements().find_map(|statement| match statement {
        ast::Stmt::LetStmt(statement) if statement.pat().is_none() => statement.let_token(),
        _ => None,
    })?;
    let after = begin + place(missing.text_range().end());
    let at = after + cell[after..].len() - cell[after..].trim_start().len();
    Some(line_and_column(cell, at))
}

/// The line and column, in characters from 1, of a variable's name where a `let` of the cell binds
/// it last.
pub(super) fn binding(cell: &str, name: &str) -> Option<(usize, usize)> {
    let last = bound(cell).filter(|(found, _)| found == name).last()?;
    Some(line_and_column(cell, last.1))
}

/// The variables that the `let`s of the cell bind.
pub(super) fn bindings(cell: &str) -> Vec<String> {
    bound(cell).map(|(name, _)| name).collect()
}

/// The names that the `let`s of the cell bind, with the byte where each begins.
fn bound(cell: &str) -> impl Iterator<Item = (String, usize)> {
    let begin = rust_begins(cell);
    let parsed = parse(&cell[begin..]);
    let names = statements(&parsed).into_iter().flat_map(|body| body.statements());
    let names = names.filter_map(|statement| match statement {
        ast::Stmt::LetStmt(statement) => statement.pat(),
        _ => None,
    });
    let names = names.flat_map(|pattern| pattern.syntax().descendants().collect::<Vec<_>>());
    let names = names.filter_map(ast::IdentPat::cast).filter_map(|pattern| pattern.name());
    names.map(move |name| {
        let at = begin + place(name.syntax().text_range().start());
        (name.text().to_string(), at)
    })
}

/// Line and column, in characters from 1, of a byte of the text.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_begins = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_begins..].chars().count() + 1)
}

/// Whether types have to be known for a cell: it has a `let`, whose variables are kept by their types, or a
/// command, or cannot be understood.
pub(super) fn needs_types(cell: &str) -> bool {
    let begin = rust_begins(cell);
    let parsed = parse(&cell[begin..]);
    let is_let = |statement| matches!(statement, ast::Stmt::LetStmt(_));
    commands::has_any(cell)
        || !parsed.errors().is_empty()
        || statements(&parsed).is_none_or(|body| body.statements().any(is_let))
}

/// Rewrites a cell, whose value is to be shown in this form.
pub(super) fn prepare(cell: &str, form: &Form) -> Prepared {
    let begin = rust_begins(cell);
    let mut inserted = insertions(&cell[begin..], form);
    inserted.sort_by_key(|(at, _)| *at);
    let mut code = String::with_capacity(cell.len() + 64);
    let mut insertions = Vec::new();
    let mut copied = 0;
    let (mut line, mut column) = (1, 1);
    for (at, text) in inserted {
        let at = begin + at;
        code.push_str(&cell[copied..at]);
        code.push_str(&text);
        let (lines, columns) = line_and_column(&cell[copied..at], at - copied);
        line += lines - 1;
        column = if lines > 1 { columns } else { column + columns - 1 };
        copied = at;
        insertions.push(Insertion { line, column, length: text.chars().count() });
    }
    code.push_str(&cell[copied..]);
    Prepared { code, insertions }
}

/// Where evcxr's commands, shell lines, comments and empty lines at the top of a cell end.
pub(super) fn rust_begins(cell: &str) -> usize {
    let mut at = 0;
    for line in cell.split_inclusive('\n') {
        let text = line.trim_start();
        if !(text.is_empty() || text.starts_with([':', '!']) || text.starts_with("//")) {
            break;
        }
        at += line.len();
    }
    at
}

/// A position in the parsed text as one in the cell's.
pub(super) fn place(offset: ra_ap_syntax::TextSize) -> usize {
    usize::from(offset) - OPEN.len()
}

fn parse(rust: &str) -> Parse<SourceFile> {
    SourceFile::parse(&format!("{OPEN}{rust}\n}}"), Edition::Edition2024)
}

fn statements(parsed: &Parse<SourceFile>) -> Option<ast::StmtList> {
    parsed.syntax_node().children().find_map(ast::Fn::cast)?.body()?.stmt_list()
}

fn insertions(rust: &str, form: &Form) -> Vec<(usize, Cow<'static, str>)> {
    let parsed = parse(rust);
    if !parsed.errors().is_empty() {
        return Vec::new();
    }
    let Some(body) = statements(&parsed) else { return Vec::new() };
    let mut found = Vec::new();
    for node in body.syntax().descendants() {
        if let Some(brace) = loop_body(&node) {
            found.push((place(brace), POLL.into()));
        }
    }
    if let Some(last) =
        body.syntax().children().last().filter(|node| ast::Expr::can_cast(node.kind()))
    {
        found.push((place(last.text_range().start()), SHOW.into()));
        found.push((place(last.text_range().end()), shown(form)));
    }
    found
}

/// What stands behind a last expression. The format is one that `:fmt` has accepted, so it needs
/// no escapes.
fn shown(form: &Form) -> Cow<'static, str> {
    if *form == Form::default() {
        return SHOWN.into();
    }
    let types = if form.types { ", types" } else { "" };
    format!(", \"{}\"{types}{SHOWN}", form.format).into()
}

/// The end of the opening brace of a loop that may call functions.
fn loop_body(node: &SyntaxNode) -> Option<ra_ap_syntax::TextSize> {
    let body = match ast::Expr::cast(node.clone())? {
        ast::Expr::ForExpr(expression) => expression.loop_body(),
        ast::Expr::WhileExpr(expression) => expression.loop_body(),
        ast::Expr::LoopExpr(expression) => expression.loop_body(),
        _ => None,
    }?;
    if node.ancestors().any(|outer| is_constant(&outer)) {
        return None;
    }
    Some(body.stmt_list()?.l_curly_token()?.text_range().end())
}

/// Whether code inside is evaluated by the compiler, where no ordinary function can be called.
fn is_constant(node: &SyntaxNode) -> bool {
    ast::Const::can_cast(node.kind())
        || ast::Static::can_cast(node.kind())
        || ast::Fn::cast(node.clone()).is_some_and(|function| function.const_token().is_some())
        || ast::BlockExpr::cast(node.clone()).is_some_and(|block| block.const_token().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(cell: &str) -> String {
        prepare(cell, &Form::default()).code
    }

    #[test]
    fn a_last_expression_is_shown() {
        assert_eq!(code("1 + 1"), "benchbook::show!(1 + 1);");
        assert_eq!(code("let a = 1;\na // why"), "let a = 1;\nbenchbook::show!(a); // why");
        assert_eq!(code("if a { 1 } else { 2 }"), "benchbook::show!(if a { 1 } else { 2 });");
    }

    #[test]
    fn a_value_is_shown_in_the_form_that_was_asked_for() {
        let form = Form { format: "{:#?}".into(), types: true };
        let prepared = prepare("let a = 1;\na", &form);
        assert_eq!(prepared.code, "let a = 1;\nbenchbook::show!(a, \"{:#?}\", types);");
    }

    #[test]
    fn statements_and_items_are_left_alone() {
        for cell in [
            "let a = 1;",
            "a();",
            "fn f() -> i32 { 1 }",
            "use a::b;",
            "",
            "// nothing",
            "struct A;",
        ] {
            assert_eq!(code(cell), cell);
        }
    }

    #[test]
    fn commands_are_left_alone() {
        assert_eq!(code(":vars"), ":vars");
        assert_eq!(code(":dep a = \"1\"\n\na::b()"), ":dep a = \"1\"\n\nbenchbook::show!(a::b());");
    }

    #[test]
    fn code_that_does_not_parse_is_left_alone() {
        for cell in ["let a = ;", "fn f( {", "loop { 1 +"] {
            assert_eq!(code(cell), cell);
        }
    }

    #[test]
    fn every_loop_looks_for_an_interrupt() {
        assert_eq!(
            code("for i in 0..3 { f(i); }"),
            format!("{SHOW}for i in 0..3 {{{POLL} f(i); }}{SHOWN}")
        );
        assert_eq!(code("fn g() { while a {} }"), format!("fn g() {{ while a {{{POLL}}} }}"));
        assert_eq!(
            code("let x = loop { break 1; };"),
            format!("let x = loop {{{POLL} break 1; }};")
        );
    }

    #[test]
    fn loops_that_the_compiler_runs_are_left_alone() {
        for cell in [
            "const fn f() { loop {} }",
            "const A: i32 = loop { break 1; };",
            "let a = const { loop { break 1; } };",
        ] {
            assert_eq!(code(cell), cell);
        }
    }

    #[test]
    fn types_are_needed_for_variables_and_commands() {
        for cell in [
            "let a = 1;",
            "f();\nlet (a, b) = c;",
            "let Some(a) = b else { return };",
            ":dep a",
            "f(",
            "!ls\n:vars",
        ] {
            assert!(needs_types(cell), "{cell}");
        }
        for cell in [
            "",
            "1 + 1",
            "a = 2;",
            "fn f() { let a = 1; }",
            "{ let a = 1; a }",
            "!ls\nf()",
            "if let Some(a) = b { a; }",
        ] {
            assert!(!needs_types(cell), "{cell}");
        }
    }

    #[test]
    fn a_let_without_a_pattern_is_found() {
        assert_eq!(missing_pattern("let a = 1;\nlet = 2;"), Some((2, 5)));
        assert_eq!(missing_pattern(":vars\nlet a = 1;"), None);
    }

    #[test]
    fn places_in_the_compiled_file_are_found_in_the_cell() {
        let prepared = prepare("let a = 1; b();\nloop { b(); }\nc()", &Form::default());
        let compiled = "mod generated;\nlet a = 1; \nb();\nloop {::benchbook::interrupt::poll(); b(); }\nbenchbook::show!(c());\n";
        assert_eq!(prepared.place(compiled, 2, 5), Some((1, 5)));
        assert_eq!(prepared.place(compiled, 3, 1), Some((1, 12)));
        assert_eq!(prepared.place(compiled, 4, 39), Some((2, 8)));
        assert_eq!(prepared.place(compiled, 5, 18), Some((3, 1)));
        assert_eq!(prepared.place(compiled, 1, 1), None);
        assert_eq!(prepared.place(compiled, 9, 1), None);
    }

    #[test]
    fn columns_are_mapped_back() {
        let prepared = prepare("let a = 1;\nfor ü in 0..3 { a(ü) }; b + 1", &Form::default());
        let line = prepared.code.lines().nth(1).unwrap();
        let column = |text: &str| line.find(text).map(|at| line[..at].chars().count() + 1).unwrap();
        let original: Vec<char> = "for ü in 0..3 { a(ü) }; b + 1".chars().collect();
        for (text, first) in [("for", 'f'), ("a(ü)", 'a'), ("b + 1", 'b')] {
            let mapped = prepared.column(2, column(text));
            assert_eq!(original[mapped - 1], first, "{text}");
        }
        assert_eq!(prepared.column(1, 5), 5);
    }
}
