//! The rewriting of a cell for evcxr.
//!
//! It only inserts text, and never removes text or moves it to another line:
//!
//! - a last expression `E` becomes `benchbook::show!(E);`, which displays every type with one build
//!   (evcxr would compile such a cell twice, since it has to guess);
//! - every loop begins with `::benchbook::interrupt::poll();`, so that an interrupt unwinds the
//!   cell and keeps the variables;
//! - items get distinct names, so that a new definition replaces the earlier one (`items.rs`);
//! - a call of a macro that makes items, or an `include!` of items, becomes a comment, followed by the items;
//! - `fn main` is called;
//! - constants in patterns get a path, since evcxr would take them for variables.
//!
//! Because text is only inserted within lines, a position in the prepared text is mapped back by
//! subtracting the inserted text before it on its line. A cell that does not parse is not changed, so that
//! the compiler explains the error.
//!
//! The prepared text is compiled. evcxr and its rust-analyzer get a text that differs in some places
//! ([`Prepared::for_evcxr`]); the stand-in for cargo restores these.

use super::commands::Form;
use super::items::{self, Items};
use super::reduce;
use crate::cargo::files;
use crate::cargo::reduced::{Reduced, mark};
use crate::parsed::{Parsed, called_macro};
use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasLoopBody, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxKind, SyntaxNode, T};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

/// Without a leading `::`, because a line that begins with a colon is a command.
pub(crate) const SHOW: &str = "benchbook::show!(";
const SHOWN: &str = ");";
pub(super) const POLL: &str = "::benchbook::interrupt::poll();";

/// A cell in the form in which it is compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prepared {
    /// The text.
    pub(super) code: String,
    /// The cell's items, including those of its macros.
    pub(super) items: Items,
    /// The variables bound by the cell's `let`s.
    pub(super) bound: BTreeSet<String>,
    /// Whether the cell has anything but items.
    pub(super) runs: bool,
    /// The user's text, and the byte where Rust begins in it.
    cell: String,
    begin: usize,
    /// In text order.
    insertions: Vec<Insertion>,
    /// In text order; outer parts before the parts within them.
    hidden: Vec<Hidden>,
}

/// Text inserted before a byte of the user's text.
type Insertion = (usize, Cow<'static, str>);

/// A byte range of the user's text that is replaced for evcxr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hidden {
    pub(super) range: Range<usize>,
    pub(super) by: By,
}

/// The replacement that evcxr receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The text of a file.
    File(String),
    /// A mark of this form.
    Mark(reduce::Form),
    /// A mark that also replaces insertions around the range.
    Whole(reduce::Form),
}

impl Prepared {
    /// Maps a place in a compiled file, given the file's text, to line and column (characters from
    /// 1) in the user's text; `None` if the line is not part of this cell.
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
        // line of the cell; among equal lines, take the one at the same rank.
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

    /// Inserts code before all other code, after commands.
    pub(super) fn insert_first(&mut self, code: String) {
        self.insertions.insert(0, (self.begin, code.into()));
        self.code = self.rendered(0..self.cell.len(), &self.insertions);
    }

    /// Maps a column to the user's text, in characters from 1.
    pub(super) fn column(&self, line: usize, column: usize) -> usize {
        let mut lines = self.cell.split_inclusive('\n');
        let begin: usize = lines.by_ref().take(line.saturating_sub(1)).map(str::len).sum();
        let end = begin + lines.next().map_or(0, |line| line.trim_end_matches('\n').len());
        let mut shift = 0;
        for (at, text) in self.insertions.iter().filter(|(at, _)| (begin..=end).contains(at)) {
            let before = self.cell[begin..*at].chars().count() + 1;
            let length = text.chars().count();
            if column < before + shift {
                break;
            }
            if column < before + shift + length {
                return before;
            }
            shift += length;
        }
        column - shift
    }

    /// The text for evcxr, which keeps everything that variables' types depend on, and the parts
    /// hidden from evcxr.
    pub(super) fn for_evcxr(&self) -> (String, Reduced) {
        let (mut text, mut reduced) = (String::with_capacity(self.code.len()), Reduced::default());
        let (mut copied, mut written) = (0, 0);
        for Hidden { range, by } in &self.hidden {
            if range.start < copied {
                continue;
            }
            let around = matches!(by, By::Whole(_));
            let count = |within: &dyn Fn(usize) -> bool| {
                self.insertions.iter().take_while(|(at, _)| within(*at)).count()
            };
            let first = count(&|at| at < range.start || (at == range.start && !around));
            let last = count(&|at| at < range.end || (at == range.end && around)).max(first);
            let original = self.rendered(range.clone(), &self.insertions[first..last]);
            let new = match by {
                By::File(text) => text.clone(),
                By::Mark(form) | By::Whole(form) => {
                    let Some(marked) = mark(reduced.len(), &original, form.around()) else {
                        continue;
                    };
                    reduced.push(marked.clone(), original);
                    marked
                }
            };
            text.push_str(&self.rendered(copied..range.start, &self.insertions[written..first]));
            text.push_str(&new);
            (copied, written) = (range.end, last);
        }
        text.push_str(&self.rendered(copied..self.cell.len(), &self.insertions[written..]));
        (text, reduced)
    }

    /// A byte range of the user's text with its insertions.
    fn rendered(&self, range: Range<usize>, insertions: &[Insertion]) -> String {
        let mut text = String::with_capacity(range.len() + 64);
        let mut copied = range.start;
        for (at, inserted) in insertions {
            text.push_str(&self.cell[copied..*at]);
            text.push_str(inserted);
            copied = *at;
        }
        text.push_str(&self.cell[copied..range.end]);
        text
    }
}

/// Line and column (characters from 1) of a `let` without a pattern, which evcxr would drop silently.
pub(super) fn missing_pattern(cell: &Parsed) -> Option<(usize, usize)> {
    let missing = cell.lets().find(|statement| statement.pat().is_none())?.let_token()?;
    let after = cell.at(missing.text_range().end());
    let rest = &cell.text[after..];
    Some(cell.place(after + rest.len() - rest.trim_start().len()))
}

/// Whether a cell needs type inference: it has a `let` (evcxr stores variables by type) or a
/// command, or it does not parse.
pub(super) fn needs_types(cell: &Parsed) -> bool {
    super::commands::has_any(cell)
        || !cell.is_valid()
        || cell.statements().is_none()
        || cell.lets().next().is_some()
}

/// A macro call that produces items evcxr would lose: its line and column (characters from 1), and
/// what to write instead. `session` supplies the macros of earlier cells for expansion.
pub(super) fn lost_items(cell: &Parsed, session: &Items) -> Option<((usize, usize), String)> {
    /// Macros that only appear to produce items.
    const VALUES: [&str; 5] = ["concat", "parse_quote", "quote", "quote_spanned", "stringify"];
    const ITEMS: [&str; 10] =
        ["const", "enum", "fn", "impl", "mod", "static", "struct", "trait", "type", "union"];
    let mut calls = cell.nodes().filter_map(|node| called_macro(&node)).peekable();
    calls.peek()?;
    let own = Items::among(cell.statements()?.syntax());
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
        Some((cell.place(cell.range(call.syntax()).start), text))
    })
}

/// Rewrites a cell of a session with these items; `form` is the display format of its value.
pub(super) fn prepare(cell: &Parsed, form: &Form, session: &Items) -> Prepared {
    let mut prepared = Prepared {
        bound: cell.bound().map(|(name, _)| name).filter(|name| name != "None").collect(),
        runs: true,
        cell: cell.text.clone(),
        begin: cell.begin,
        ..Prepared::default()
    };
    if let Some(body) = cell.statements() {
        prepared.items = Items::among(body.syntax());
        if cell.is_valid() {
            prepared.insertions = rewrite(cell, &body, form, session, &mut prepared);
            prepared.insertions.sort_by_key(|(at, _)| *at);
        }
    }
    prepared.code = prepared.rendered(0..cell.text.len(), &prepared.insertions);
    prepared
}

/// The insertions. Everything else that follows from the statements goes to `prepared`.
fn rewrite(
    cell: &Parsed,
    body: &ast::StmtList,
    form: &Form,
    session: &Items,
    prepared: &mut Prepared,
) -> Vec<Insertion> {
    let begin = |node: &SyntaxNode| cell.range(node).start;
    let end = |node: &SyntaxNode| cell.range(node).end;
    let known = session.with(prepared.items.clone());
    let constants = known.constants();
    let mut found: Vec<Insertion> = Vec::new();
    let mut statics = Vec::new();
    for node in body.syntax().descendants() {
        if let Some(brace) = loop_body(&node) {
            found.push((cell.at(brace), POLL.into()));
        }
        if let Some(module) = ast::Module::cast(node.clone())
            && let Some((at, imports)) = items::macros_in_scope(&module, &known)
        {
            found.push((cell.at(at), imports.into()));
        }
        if let Some(call) = ast::MacroCall::cast(node.clone()).filter(items::is_thread_local)
            && let Some(made) = items::thread_local(&call, cell.range(&node), &mut prepared.items)
        {
            found.extend(owned(made));
            statics.push(call);
        }
    }
    let mut is_item = false;
    prepared.runs = false;
    for node in body.syntax().children() {
        is_item = ast::Item::can_cast(node.kind());
        if let Some(item) = ast::Item::cast(node.clone()) {
            found.extend(owned(items::keep_apart(&item, |at| cell.at(at), &mut prepared.items)));
            let call = call_of_main(&item, body);
            prepared.runs |= call.is_some();
            found.extend(call.map(|call| (end(&node), call)));
        } else if let Some(statement) = ast::LetStmt::cast(node.clone()) {
            let pattern = statement.pat();
            found.extend(pattern.into_iter().flat_map(|pattern| paths(cell, &pattern, &constants)));
        } else if let Some(items) = made_items(&node, &known) {
            is_item = true;
            let made = prepare(&items, form, &known);
            found.push((begin(&node), "/*".into()));
            found.push((end(&node), format!("*/ {}", made.code).into()));
            prepared.items = prepared.items.with(made.items);
        } else {
            is_item = called_macro(&node).is_some_and(|call| statics.contains(&call));
        }
        prepared.runs |= !is_item;
    }
    prepared.bound.retain(|name| !constants.contains(name));
    let last = body.syntax().last_child();
    let last = last.filter(|last| ast::Expr::can_cast(last.kind()) && !is_item);
    if let Some(last) = &last {
        found.push((begin(last), SHOW.into()));
        found.push((end(last), shown(form)));
    }
    let files = files::shown(cell).into_iter();
    prepared.hidden = files.map(|(range, text)| Hidden { range, by: By::File(text) }).collect();
    prepared.hidden.extend(reduce::left_out(cell, &prepared.bound, last.as_ref()));
    prepared.hidden.sort_by_key(|hidden| hidden.range.start);
    found
}

fn owned(insertions: Vec<(usize, String)>) -> impl Iterator<Item = Insertion> {
    insertions.into_iter().map(|(at, text)| (at, text.into()))
}

/// The items behind a statement: a session macro's expansion or a file's content.
fn made_items(statement: &SyntaxNode, session: &Items) -> Option<Parsed> {
    let call = called_macro(statement)?;
    let text = call.syntax().text().to_string();
    if text.contains("*/") {
        return None;
    }
    if let Some(items) = files::included_items(&call) {
        return Parsed::of(items).ok();
    }
    let macros = session.macros_for(call.path()?.as_single_name_ref()?.text())?;
    items::expanded(&macros, &format!("{text};"))
}

/// The call of `fn main`, if the cell defines but does not call it. As in a program, errors are
/// shown with `Debug` unless their type is known to implement `Display`.
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

/// Insertions of paths before constants in a pattern. evcxr treats each plain name as a variable.
fn paths(cell: &Parsed, pattern: &ast::Pat, constants: &BTreeSet<String>) -> Vec<Insertion> {
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
        Some((cell.range(name.syntax()).start, path.into()))
    };
    names.filter_map(path).collect()
}

/// The text after a last expression. `:fmt` has validated the format, so no escapes are needed.
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

/// Whether the compiler evaluates the code inside, where ordinary functions cannot be called.
fn is_constant(node: &SyntaxNode) -> bool {
    ast::Const::can_cast(node.kind())
        || ast::Static::can_cast(node.kind())
        || ast::Fn::cast(node.clone()).is_some_and(|function| function.const_token().is_some())
        || ast::BlockExpr::cast(node.clone()).is_some_and(|block| block.const_token().is_some())
        // An array type's length, a type's argument, or a variant's discriminant.
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

    fn parsed(cell: &str) -> Parsed {
        Parsed::of(cell).unwrap()
    }

    fn prepared(cell: &str) -> Prepared {
        prepare(&parsed(cell), &Form::default(), &Items::default())
    }

    fn code(cell: &str) -> String {
        prepared(cell).code
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
        let prepared = prepare(&parsed("let a = 1;\na"), &form, &Items::default());
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

    /// The prepared text without generated item names.
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
        let lost = |cell: &str| lost_items(&parsed(cell), &Items::default());
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
            assert!(needs_types(&parsed(cell)), "{cell}");
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
            assert!(!needs_types(&parsed(cell)), "{cell}");
        }
    }

    #[test]
    fn a_let_without_a_pattern_is_found() {
        assert_eq!(missing_pattern(&parsed("let a = 1;\nlet = 2;")), Some((2, 5)));
        assert_eq!(missing_pattern(&parsed(":vars\nlet a = 1;")), None);
    }

    #[test]
    fn places_in_the_compiled_file_are_found_in_the_cell() {
        let prepared = prepared("let a = 1; b();\nloop { b(); }\nc()");
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
        let prepared = prepared("let a = 1;\nfor ü in 0..3 { a(ü) }; b + 1");
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
