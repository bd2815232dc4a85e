//! What keeps a cell from compiling and is none of its own faults: items of earlier cells.
//!
//! All items of a session are compiled with each cell. A type that is defined anew may leave a function of an
//! earlier cell behind that does not fit it; that function is then set aside until its cell is run again, with a
//! line that says so. And where two imports of all names meet in one, the one that is not the prelude's holds.

use super::items::{self, Items};
use crate::definitions::plain;
use crate::evcxr_contract::FUNCTION;
use evcxr::CompilationError;
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode};
use std::collections::BTreeMap;

/// The import that every session begins with.
const PRELUDE: &str = "benchbook::prelude";

/// How the session is changed so that a cell compiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mended {
    /// What is inserted before the cell's code.
    pub(super) code: String,
    /// The items that are set aside, by the names by which code uses them, with what is said of each.
    pub(super) aside: BTreeMap<String, String>,
}

/// An error of the compiler, as far as it is looked at here.
struct Fault {
    code: String,
    message: String,
    rendered: String,
}

/// What to change after these errors; `None` if one of them is the cell's own. `compiled` is the file that was
/// compiled, and `own` are the cell's items.
pub(super) fn mend(found: &[CompilationError], compiled: &str, own: &Items) -> Option<Mended> {
    let errors = found.iter().filter(|error| error.level() == "error");
    let faults: Vec<Fault> = errors
        .map(|error| Fault {
            code: error.code().unwrap_or_default().to_owned(),
            message: error.message(),
            rendered: without_colours(&error.rendered()),
        })
        .collect();
    let imports: Vec<String> = faults.iter().filter_map(import).collect();
    if !imports.is_empty() {
        let mut imports = imports;
        imports.sort();
        imports.dedup();
        return Some(Mended { code: imports.concat(), ..Mended::default() });
    }
    aside(&faults, compiled, own)
}

/// The import that tells which of several meanings a name has: that of the latest import of all names, and never
/// the prelude's.
fn import(fault: &Fault) -> Option<String> {
    if !["E0659", "ambiguous_glob_imports"].contains(&fault.code.as_str()) {
        return None;
    }
    let name = fault.message.split('`').nth(1)?;
    let globs = fault.rendered.lines().filter_map(|line| {
        let (number, rest) = line.split_once(" | use ")?;
        let (path, _) = rest.split_once("::*;")?;
        Some((number.trim().parse::<usize>().ok()?, path.trim()))
    });
    let (_, path) = globs.filter(|(_, path)| *path != PRELUDE).max()?;
    Some(format!("use {path}::{name}; "))
}

fn aside(faults: &[Fault], compiled: &str, own: &Items) -> Option<Mended> {
    let parsed = SourceFile::parse(compiled, Edition::Edition2024);
    let items: Vec<SyntaxNode> = parsed.syntax_node().children().collect();
    let mut mended = Mended::default();
    for fault in faults {
        let line = line(&fault.rendered)?;
        let at = items.iter().position(|item| covers(compiled, item, line))?;
        let item = ast::Item::cast(items[at].clone())?;
        let (name, said, code) = match &item {
            ast::Item::Fn(item) if item.name()?.text().starts_with(FUNCTION) => {
                return None;
            }
            ast::Item::Use(item) => {
                let tree = item.use_tree()?;
                let renamed = tree
                    .rename()
                    .and_then(|rename| rename.name())
                    .map(|name| name.text().to_string());
                let name =
                    renamed.or_else(|| Some(tree.path()?.segment()?.syntax().text().to_string()));
                let name = name.filter(|_| tree.star_token().is_none())?;
                (name.clone(), format!("`{}`", item.syntax().text()), nothing(&name))
            }
            item => match items::name(item) {
                Some(name) => (name.clone(), format!("`{name}`"), nothing(&name)),
                None => {
                    let marker = ast::TypeAlias::cast(items.get(at.checked_sub(1)?)?.clone())?;
                    let name = marker.name()?.text().to_string();
                    let said = format!("`{}`", head(item.syntax()));
                    (name.clone(), said, format!("type {name} = (); "))
                }
            },
        };
        if own.has(&name) {
            return None;
        }
        let said = format!("{said} does not fit what is new ({})", fault.message);
        if !mended.aside.contains_key(&name) {
            mended.code.push_str(&code);
            mended.aside.insert(name, said);
        }
    }
    (!mended.aside.is_empty()).then_some(mended)
}

/// What evcxr keeps in the place of an item: one of the same name that is never compiled.
fn nothing(name: &str) -> String {
    format!("#[cfg(any())] fn {name}() {{}} ")
}

/// The line of the compiled file on which an error is.
fn line(rendered: &str) -> Option<usize> {
    let (_, place) = rendered.split_once("--> ")?;
    place.lines().next()?.split(':').nth(1)?.parse().ok()
}

fn covers(text: &str, item: &SyntaxNode, line: usize) -> bool {
    let number = |at: ra_ap_syntax::TextSize| text[..usize::from(at)].matches('\n').count() + 1;
    let range = item.text_range();
    (number(range.start())..=number(range.end())).contains(&line)
}

/// An implementation's first line, with its only member.
fn head(item: &SyntaxNode) -> String {
    let text = plain(item);
    let (head, rest) = text.split_once('{').unwrap_or((&text, ""));
    let head = head.trim().replace(" < ", "<").replace(" >", ">").replace(" :: ", "::");
    let member = rest.split_once("fn ").and_then(|(_, rest)| rest.split(' ').next());
    match member
        .filter(|_| ast::Impl::cast(item.clone()).is_some_and(|item| item.trait_().is_none()))
    {
        Some(member) => format!("{head} {{ fn {member} }}"),
        None => head,
    }
}

fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, code)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = code.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &str, message: &str, rendered: &str) -> Fault {
        Fault { code: code.into(), message: message.into(), rendered: rendered.into() }
    }

    #[test]
    fn an_ambiguous_name_is_the_users() {
        let rendered = "error[E0659]: `Model` is ambiguous\n3 | use benchbook::prelude::*;\n12 | use shapes::*;\n";
        let found = import(&fault("E0659", "`Model` is ambiguous", rendered));
        assert_eq!(found.as_deref(), Some("use shapes::Model; "));
        let lint = import(&fault("ambiguous_glob_imports", "`Model` is ambiguous", rendered));
        assert_eq!(lint, found);
        let two = rendered.replace("benchbook::prelude", "other");
        let found = import(&fault("E0659", "`Model` is ambiguous", &two));
        assert_eq!(found.as_deref(), Some("use shapes::Model; "), "the later one");
        assert_eq!(import(&fault("E0425", "no `Model`", rendered)), None);
    }

    #[test]
    fn items_of_earlier_cells_are_set_aside_and_own_ones_are_not() {
        let compiled = "struct Cat;\nfn feed() { a }\ntype BenchbookItem1 = ();\nimpl Cat {\n fn name(&self) {}\n}\nfn run_user_code_3() { feed() }\n";
        let at = |line: usize| {
            [fault("E1", "no field", &format!("error\n --> target/cell/lib.rs:{line}:2\n"))]
        };
        let mended = aside(&at(2), compiled, &Items::default()).unwrap();
        assert_eq!(mended.code, "#[cfg(any())] fn feed() {} ");
        assert_eq!(mended.aside["feed"], "`feed` does not fit what is new (no field)");
        let mended = aside(&at(5), compiled, &Items::default()).unwrap();
        assert_eq!(mended.code, "type BenchbookItem1 = (); ");
        assert!(mended.aside["BenchbookItem1"].starts_with("`impl Cat { fn name }`"));
        assert_eq!(aside(&at(7), compiled, &Items::default()), None);
        assert_eq!(aside(&at(2), compiled, &Items::of("fn feed() {}")), None);
    }

    #[test]
    fn colours_are_left_out() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[31merror\u{1b}[0m: a"), "error: a");
    }
}
