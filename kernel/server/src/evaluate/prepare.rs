//! The one rewriting of a cell before evcxr sees it.
//!
//! Text is inserted, and nothing is ever removed or put on another line:
//!
//! - a last expression `E` becomes `benchbook::show!(E);`, which shows every type in one build
//!   (evcxr compiles such a cell twice, since it has to guess);
//! - every loop begins with `::benchbook::interrupt::poll();`, so that an interrupt unwinds the
//!   cell and keeps the variables;
//! - items are told apart so that the latest definition replaces the one before (`items.rs`);
//! - a call of a macro that makes items becomes a comment, with the items behind it;
//! - `fn main` is called;
//! - constants in patterns get a path, since evcxr would take them for variables.
//!
//! Since there are only insertions within lines, a position of the prepared text is mapped back by
//! subtracting what was inserted before it on its line. A cell that does not parse is left as it
//! is, for the compiler to explain.

use super::commands::{self, Form};
use super::items::{self, Items};
use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasLoopBody, HasName};
use ra_ap_syntax::{Edition, Parse, SourceFile, SyntaxKind, SyntaxNode, T};
use std::borrow::Cow;
use std::collections::BTreeSet;

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

    /// Inserts code before all other, behind commands.
    pub(super) fn insert_first(&mut self, code: &str) {
        let at = rust_begins(&self.code);
        self.code.insert_str(at, code);
        let (line, column) = line_and_column(&self.code, at);
        self.insertions.insert(0, Insertion { line, column, length: code.chars().count() });
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

/// Whether a cell has nothing but items, so that evcxr would run nothing.
pub(super) fn has_items_only(cell: &str) -> bool {
    let parsed = parse(&cell[rust_begins(cell)..]);
    statements(&parsed)
        .is_some_and(|body| body.syntax().children().all(|node| ast::Item::can_cast(node.kind())))
}

/// A macro call that makes items which evcxr would not keep: its line and column, in characters from 1, and what to
/// write instead. `session` has the macros of earlier cells, which can be expanded.
pub(super) fn lost_items(cell: &str, session: &Items) -> Option<((usize, usize), String)> {
    /// Macros that only look as if they made items.
    const VALUES: [&str; 5] = ["concat", "parse_quote", "quote", "quote_spanned", "stringify"];
    const ITEMS: [&str; 10] =
        ["const", "enum", "fn", "impl", "mod", "static", "struct", "trait", "type", "union"];
    let begin = rust_begins(cell);
    let parsed = parse(&cell[begin..]);
    let body = statements(&parsed)?;
    let own = Items::among(body.syntax());
    let mut calls = body.syntax().children().filter_map(|node| called_macro(&node));
    calls.find_map(|call| {
        let path = call.path()?.syntax().text().to_string();
        let name = path.rsplit("::").next()?.trim().to_owned();
        let is_known = [session, &own].iter().any(|items| items.macros_for(&name).is_some());
        if is_known || VALUES.contains(&name.as_str()) || items::is_thread_local(&call) {
            return None;
        }
        let text = call.token_tree()?.syntax().text().to_string();
        let inner = text.get(1..text.len() - 1)?;
        let items = SourceFile::parse(inner, Edition::Edition2024);
        let tree = items.syntax_node();
        let tokens = tree.descendants_with_tokens().filter_map(|element| element.into_token());
        let keyword = tokens
            .filter(|token| !token.kind().is_trivia())
            .filter(|token| !token.parent_ancestors().any(|node| {
                [SyntaxKind::ATTR, SyntaxKind::VISIBILITY].contains(&node.kind())
            }))
            .find(|token| token.text() != "unsafe")?;
        if !ITEMS.contains(&keyword.text()) {
            return None;
        }
        let instead = if name == "lazy_static" {
            "write `static NAME: std::sync::LazyLock<Type> = std::sync::LazyLock::new(|| value);` instead".into()
        } else {
            format!(
                "put the call into a module, with public items: `mod made {{ use super::*; {path}! {{ pub … }} }} use made::*;`"
            )
        };
        let text = format!("`{path}!` makes items, which the next cell would not have; {instead}");
        let at = begin + place(call.syntax().text_range().start());
        Some((line_and_column(cell, at), text))
    })
}

/// Rewrites a cell of a session with these items; its value is to be shown in this form.
pub(super) fn prepare(cell: &str, form: &Form, session: &Items) -> Prepared {
    let begin = rust_begins(cell);
    let mut inserted = insertions(&cell[begin..], form, session);
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

pub(super) fn parse(rust: &str) -> Parse<SourceFile> {
    SourceFile::parse(&format!("{OPEN}{rust}\n}}"), Edition::Edition2024)
}

pub(super) fn statements(parsed: &Parse<SourceFile>) -> Option<ast::StmtList> {
    parsed.syntax_node().children().find_map(ast::Fn::cast)?.body()?.stmt_list()
}

fn insertions(rust: &str, form: &Form, session: &Items) -> Vec<(usize, Cow<'static, str>)> {
    let parsed = parse(rust);
    if !parsed.errors().is_empty() {
        return Vec::new();
    }
    let Some(body) = statements(&parsed) else { return Vec::new() };
    let known = session.with(Items::among(body.syntax()));
    let constants = known.constants();
    let mut found: Vec<(usize, Cow<'static, str>)> = Vec::new();
    let mut is_item = false;
    for node in body.syntax().children() {
        is_item = ast::Item::can_cast(node.kind());
        if let Some(item) = ast::Item::cast(node.clone()) {
            found.extend(owned(items::keep_apart(&item, place)));
            found.extend(call_of_main(&item, &body).map(|call| (end(&node), call)));
        } else if let Some(statement) = ast::LetStmt::cast(node.clone()) {
            found.extend(
                statement.pat().into_iter().flat_map(|pattern| paths(&pattern, &constants)),
            );
        } else if let Some(items) = expanded(&node, &known) {
            is_item = true;
            let items = prepare(&items, form, &known).code;
            found.push((begin(&node), "/*".into()));
            found.push((end(&node), format!("*/ {items}").into()));
        }
    }
    for node in body.syntax().descendants() {
        if let Some(brace) = loop_body(&node) {
            found.push((place(brace), POLL.into()));
        }
        if let Some(call) = ast::MacroCall::cast(node.clone()).filter(items::is_thread_local)
            && let Some(statics) = items::thread_local(&call, begin(&node), end(&node))
        {
            found.extend(owned(statics));
            is_item |=
                body.syntax().last_child().and_then(|last| called_macro(&last)) == Some(call);
        }
    }
    if let Some(last) = body.syntax().last_child()
        && ast::Expr::can_cast(last.kind())
        && !is_item
    {
        found.push((begin(&last), SHOW.into()));
        found.push((end(&last), shown(form)));
    }
    found
}

fn begin(node: &SyntaxNode) -> usize {
    place(node.text_range().start())
}

fn end(node: &SyntaxNode) -> usize {
    place(node.text_range().end())
}

fn owned(insertions: Vec<(usize, String)>) -> impl Iterator<Item = (usize, Cow<'static, str>)> {
    insertions.into_iter().map(|(at, text)| (at, text.into()))
}

/// The call of a statement that is nothing else.
fn called_macro(statement: &SyntaxNode) -> Option<ast::MacroCall> {
    let mut node = statement.clone();
    loop {
        if let Some(call) = ast::MacroCall::cast(node.clone()) {
            return Some(call);
        }
        if ![SyntaxKind::EXPR_STMT, SyntaxKind::MACRO_EXPR].contains(&node.kind()) {
            return None;
        }
        node = node.first_child()?;
    }
}

/// The items that a statement stands for, if it calls a macro of the session that makes items.
fn expanded(statement: &SyntaxNode, session: &Items) -> Option<String> {
    let call = called_macro(statement)?;
    let macros = session.macros_for(call.path()?.as_single_name_ref()?.text())?;
    let text = call.syntax().text().to_string();
    if text.contains("*/") {
        return None;
    }
    items::expanded(&macros, &format!("{text};"))
}

/// What calls `fn main`, where it is defined and the cell does not call it. As in a program, the error is shown as
/// `Debug` has it, unless its type is known to have words.
fn call_of_main(item: &ast::Item, cell: &ast::StmtList) -> Option<Cow<'static, str>> {
    const WITH_WORDS: [&str; 5] = ["Box<dyn", "anyhow", "io::Result", "io::Error", "String"];
    let ast::Item::Fn(function) = item else { return None };
    let is_main = function.name().is_some_and(|name| name.text() == "main");
    let parameters = function.param_list().map_or(0, |list| list.params().count());
    let names = cell.syntax().descendants().filter_map(ast::NameRef::cast);
    // `#[tokio::main]` is no call.
    let mut names = names
        .filter(|name| !name.syntax().ancestors().any(|node| ast::Attr::can_cast(node.kind())));
    if !is_main || parameters > 0 || names.any(|name| name.text() == "main") {
        return None;
    }
    let is_future = function.async_token().is_some() && function.attrs().next().is_none();
    let wait = if is_future { ".await" } else { "" };
    let result = function.ret_type().map(|result| result.syntax().text().to_string());
    Some(match result {
        Some(result) if result.contains("Result") => {
            let words = WITH_WORDS.iter().any(|words| result.contains(words));
            let debug = if words { "" } else { ".map_err(|error| format!(\"{error:?}\"))" };
            format!(" main(){wait}{debug}?;").into()
        }
        Some(_) => format!(" _ = main(){wait};").into(),
        None => format!(" main(){wait};").into(),
    })
}

/// Paths before the constants of a pattern. evcxr takes each plain name for a variable.
fn paths(pattern: &ast::Pat, constants: &BTreeSet<String>) -> Vec<(usize, Cow<'static, str>)> {
    let names = pattern.syntax().descendants().filter_map(ast::IdentPat::cast);
    let path = |name: ast::IdentPat| {
        let text = name.name()?.text().to_string();
        let is_bare = name.syntax().text() == text.as_str();
        let is_field = name.syntax().parent().and_then(ast::RecordPatField::cast);
        if !is_bare || is_field.is_some_and(|field| field.colon_token().is_none()) {
            return None;
        }
        let path = match text.as_str() {
            name if constants.contains(name) => "self::",
            "None" => "::core::option::Option::",
            _ => return None,
        };
        Some((begin(name.syntax()), path.into()))
    };
    names.filter_map(path).collect()
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
    if node.ancestors().any(|outer| is_constant(&outer) || is_length(&outer)) {
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
        // The length of an array's type, an argument of a type, the number of a variant.
        || [SyntaxKind::CONST_ARG, SyntaxKind::VARIANT].contains(&node.kind())
}

/// Whether an expression is the length in `[value; length]`.
fn is_length(node: &SyntaxNode) -> bool {
    let array = node.parent().and_then(ast::ArrayExpr::cast);
    let semicolon = array.and_then(|array| {
        let mut tokens = array.syntax().children_with_tokens();
        tokens.find(|element| element.kind() == T![;])
    });
    semicolon.is_some_and(|semicolon| semicolon.text_range().end() <= node.text_range().start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(cell: &str) -> String {
        prepare(cell, &Form::default(), &Items::default()).code
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
        let prepared = prepare("let a = 1;\na", &form, &Items::default());
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
            "let a = [0; { loop { break 1; } }];",
            "let a: [u8; { loop { break 1; } }] = f();",
            "let a = f::<{ loop { break 1; } }>();",
            "enum A { B = { loop { break 1; } } }",
        ] {
            assert_eq!(code(cell), cell);
        }
    }

    #[test]
    fn loops_in_the_elements_of_an_array_look_for_an_interrupt() {
        assert_eq!(
            code("let a = [loop { break 1; }; 3];"),
            format!("let a = [loop {{{POLL} break 1; }}; 3];")
        );
    }

    /// The prepared text without the names that the kernel gives to items.
    fn kept(cell: &str) -> String {
        let mut text = code(cell);
        while let Some(at) = text.find("type BenchbookItem") {
            let end = at + text[at..].find("; ").unwrap() + 2;
            text.replace_range(at..end, "|");
        }
        text
    }

    #[test]
    fn items_without_a_name_are_kept_apart() {
        for (cell, expected) in [
            ("fn f() {}\nimpl A for B {}", "fn f() {}\n|impl A for B {}"),
            (
                "impl<T: A> B<T> {\n  /// Docs.\n  fn a() {}\n\n  const C: u8 = 1;\n}",
                "|impl<T: A> B<T> {\n  /// Docs.\n  fn a() {}\n\n  } |impl<T: A> B<T> { const C: u8 = 1;\n}",
            ),
            ("#[made]\nimpl A { fn a() {} fn b() {} }", "|#[made]\nimpl A { fn a() {} fn b() {} }"),
            (
                "unsafe extern \"C\" { fn a(); static B: u8; }",
                "|unsafe extern \"C\" { fn a(); } |unsafe extern \"C\" { static B: u8; }",
            ),
            ("const _: () = assert!(A);", "|const _: () = assert!(A);"),
        ] {
            assert_eq!(kept(cell), expected);
        }
        assert_eq!(
            code("macro_rules! a { () => {} }"),
            "#[allow(non_snake_case, unused_macros)] #[macro_use] mod benchbook_macro_a { macro_rules! a { () => {} } pub(crate) use a; } use benchbook_macro_a::a;"
        );
    }

    #[test]
    fn macros_that_make_items_are_expanded() {
        let text =
            code("macro_rules! made { ($a:ident) => { struct $a; } }\nmade!(A);\nmade! { B }");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("/*made!(A);*/ struct A"), "{text}");
        assert!(lines[2].starts_with("/*made! { B }*/ struct B"), "{text}");
        let text = code("macro_rules! made { ($a:expr) => { $a + 1 } }\nmade!(1)");
        assert!(text.ends_with("\nbenchbook::show!(made!(1));"), "{text}");
    }

    #[test]
    fn thread_locals_become_statics() {
        const KEY: &str = "::std::sync::LazyLock<::std::thread::LocalKey<Cell<u8>>> = ::std::sync::LazyLock::new(|| {";
        assert_eq!(
            code(
                "thread_local! { static A: Cell<u8> = a(); pub static B: Cell<u8> = const { b() } }"
            ),
            format!(
                "static A: {KEY} thread_local! {{ static A: Cell<u8> = a(); }} A }}); pub static B: {KEY} ::std::thread_local! {{pub static B: Cell<u8> = const {{ b() }} }} B }});"
            )
        );
        assert_eq!(
            code("fn f() { std::thread_local!(static A: Cell<u8> = a()); }"),
            format!(
                "fn f() {{ static A: {KEY} std::thread_local!(static A: Cell<u8> = a()); A }});; }}"
            )
        );
    }

    #[test]
    fn items_of_foreign_macros_are_refused_with_what_to_write() {
        let lost = |cell: &str| lost_items(cell, &Items::default());
        let (place, text) = lost("f();\nlazy_static! { static ref A: u8 = 1; }").unwrap();
        assert!(place == (2, 1) && text.contains("std::sync::LazyLock::new(|| value)"), "{text}");
        assert!(lost("a::lazy_static! { pub static ref A: u8 = 1; }").is_some());
        let (_, text) =
            lost("a::bitflags! {\n  #[derive(Debug)]\n  pub struct A: u8 { const B = 1; }\n}")
                .unwrap();
        assert!(text.contains("mod made { use super::*; a::bitflags! { pub"), "{text}");
        for cell in [
            "println!(\"struct\");",
            "vec![1, 2];",
            "stringify!(struct A)",
            "thread_local! { static A: u8 = 1; }",
            "macro_rules! made { (struct $a:ident) => { struct $a; } } made!(struct A);",
            "let a = quote! { struct A; };",
        ] {
            assert_eq!(lost(cell), None, "{cell}");
        }
    }

    #[test]
    fn main_is_called_where_it_is_defined() {
        for (cell, call) in [
            ("fn main() {}", " main();"),
            ("async fn main() {}", " main().await;"),
            ("#[tokio::main] async fn main() {}", " main();"),
            ("fn main() -> Result<(), Box<dyn Error>> { Ok(()) }", " main()?;"),
            (
                "fn main() -> Result<(), Mine> { Ok(()) }",
                " main().map_err(|error| format!(\"{error:?}\"))?;",
            ),
            ("fn main() -> ExitCode { f() }", " _ = main();"),
        ] {
            assert_eq!(code(cell), format!("{cell}{call}"));
        }
        for cell in ["fn main() {}\nmain();", "fn main(a: u8) {}", "mod a { fn main() {} }"] {
            assert_eq!(code(cell), cell);
        }
    }

    #[test]
    fn constants_in_patterns_get_a_path() {
        const NONE: &str = "::core::option::Option::None";
        for (cell, expected) in [
            ("let None = a else { b() };", format!("let {NONE} = a else {{ b() }};")),
            ("let (None, x) = a else { b() };", format!("let ({NONE}, x) = a else {{ b() }};")),
            (
                "const LIMIT: u8 = 1; let LIMIT = a else { b() };",
                "const LIMIT: u8 = 1; let self::LIMIT = a else { b() };".into(),
            ),
            (
                "enum C { Red, Blue } use C::*; let Red = a else { b() };",
                "enum C { Red, Blue } use C::*; let self::Red = a else { b() };".into(),
            ),
        ] {
            assert_eq!(code(cell), expected);
        }
        for cell in ["let X = 1;", "let (W, b) = a;", "let A { none } = a;", "let mut None = a;"] {
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
        let prepared =
            prepare("let a = 1; b();\nloop { b(); }\nc()", &Form::default(), &Items::default());
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
        let prepared = prepare(
            "let a = 1;\nfor ü in 0..3 { a(ü) }; b + 1",
            &Form::default(),
            &Items::default(),
        );
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
