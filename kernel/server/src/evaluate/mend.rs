//! Repairs builds that fail because of items of earlier cells.
//!
//! All items of a session are compiled with each cell. After a type is redefined, a function of an
//! earlier cell may not fit it any more. Such a function is set aside until its cell runs again, and a
//! message says so. If two glob imports have the same name, the import that is not the prelude's is used.

use super::items::{self, Items};
use crate::definitions::plain;
use crate::diagnostic::Diagnostic;
use crate::evcxr_contract::is_internal;
use evcxr::CompilationError;
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The import at the start of every session.
const PRELUDE: &str = "benchbook::prelude";

/// The changes to a session that make a cell compile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mended {
    /// Code inserted before the cell's code.
    pub(super) code: BTreeSet<String>,
    /// Items set aside, by the names that code uses, each with a note for the user.
    pub(super) aside: BTreeMap<String, String>,
}

/// The changes that resolve these errors; `None` if one of the errors is the cell's own. `compiled`
/// is the compiled file, `own` the cell's items.
pub(super) fn mend(found: &[CompilationError], compiled: &str, own: &Items) -> Option<Mended> {
    let errors = found.iter().filter(|error| error.level() == "error");
    let faults = errors.map(|error| Diagnostic::deserialize(&error.json).ok());
    let faults: Vec<Diagnostic> = faults.collect::<Option<_>>()?;
    let imports: BTreeSet<String> = faults.iter().filter_map(import).collect();
    if !imports.is_empty() {
        return Some(Mended { code: imports, ..Mended::default() });
    }
    aside(&faults, compiled, own)
}

/// The import that resolves an ambiguous name: the latest glob import, never the prelude.
fn import(fault: &Diagnostic) -> Option<String> {
    if !["E0659", "ambiguous_glob_imports"].contains(&fault.code()) {
        return None;
    }
    let name = fault.message.split('`').nth(1)?;
    let spans = fault.spans.iter().chain(fault.children.iter().flat_map(|child| &child.spans));
    let globs = spans.filter_map(|span| {
        let import = span.text.first()?.text.trim().strip_prefix("use ")?;
        Some((span.line_start, import.split_once("::*;")?.0))
    });
    let (_, path) = globs.filter(|(_, path)| *path != PRELUDE).max()?;
    Some(format!("use {path}::{name}; "))
}

fn aside(faults: &[Diagnostic], compiled: &str, own: &Items) -> Option<Mended> {
    let parsed = SourceFile::parse(compiled, Edition::Edition2024);
    let items: Vec<SyntaxNode> = parsed.syntax_node().children().collect();
    let mut mended = Mended::default();
    for fault in faults {
        let line = fault.primary()?.line_start;
        let at = items.iter().position(|item| covers(compiled, item, line))?;
        let item = ast::Item::cast(items[at].clone())?;
        let (name, said, code) = match &item {
            ast::Item::Use(item) => {
                let tree = item.use_tree()?;
                let name = match tree.rename() {
                    Some(rename) => rename.name()?.text().to_string(),
                    None => tree.path()?.segment()?.syntax().text().to_string(),
                };
                tree.star_token().is_none().then_some(())?;
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
        // evcxr puts the cell itself into a function.
        if is_internal(&name) || own.has(&name) || own.imports(&name) {
            return None;
        }
        let said =
            format!("{said} no longer compiles with the new definitions ({})", fault.message);
        mended.code.insert(code);
        mended.aside.entry(name).or_insert(said);
    }
    (!mended.aside.is_empty()).then_some(mended)
}

/// A replacement that evcxr stores for an item: an item of the same name that is never compiled.
fn nothing(name: &str) -> String {
    format!("#[cfg(any())] fn {name}() {{}} ")
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// An error on a line, with a note on each of some other lines.
    fn fault(code: &str, message: &str, line: usize, notes: &[(usize, &str)]) -> Diagnostic {
        let part = |line: usize, text: &str, children: Vec<Value>| {
            json!({
                "level": "error", "message": message, "code": { "code": code }, "children": children,
                "spans": [{
                    "file_name": "target/cell/lib.rs", "line_start": line, "line_end": line, "column_start": 1,
                    "column_end": 2, "is_primary": true, "text": [{ "text": text }],
                }],
            })
        };
        let notes = notes.iter().map(|(line, text)| part(*line, text, Vec::new()));
        Diagnostic::deserialize(part(line, "", notes.collect())).unwrap()
    }

    #[test]
    fn an_ambiguous_name_is_the_users() {
        let found = |code: &str, prelude: &str| {
            let notes = [(3, prelude), (12, "use shapes::*;")];
            import(&fault(code, "`Model` is ambiguous", 20, &notes))
        };
        let (prelude, users) =
            ("use benchbook::prelude::*;", Some("use shapes::Model; ".to_owned()));
        assert_eq!(found("E0659", prelude), users);
        assert_eq!(found("ambiguous_glob_imports", prelude), users);
        assert_eq!(found("E0659", "use other::*;"), users, "the later one");
        assert_eq!(found("E0425", prelude), None);
    }

    #[test]
    fn items_of_earlier_cells_are_set_aside_and_own_ones_are_not() {
        let compiled = "struct Cat;\nfn feed() { a }\ntype BenchbookItem1 = ();\nimpl Cat {\n fn name(&self) {}\n}\nfn run_user_code_3() { feed() }\n\
                        use nets::Net as Own;\nasync fn evcxr_analysis_wrapper() { feed() }\n";
        let at = |line: usize| [fault("E1", "no field", line, &[])];
        let mended = aside(&at(2), compiled, &Items::default()).unwrap();
        assert_eq!(mended.code, BTreeSet::from([nothing("feed")]));
        assert_eq!(
            mended.aside["feed"],
            "`feed` no longer compiles with the new definitions (no field)"
        );
        let mended = aside(&at(5), compiled, &Items::default()).unwrap();
        assert_eq!(mended.code, BTreeSet::from(["type BenchbookItem1 = (); ".to_owned()]));
        assert!(mended.aside["BenchbookItem1"].starts_with("`impl Cat { fn name }`"));
        for line in [7, 9] {
            assert_eq!(aside(&at(line), compiled, &Items::default()), None, "the cell, {line}");
        }
        assert!(aside(&at(8), compiled, &Items::default()).unwrap().aside.contains_key("Own"));
        assert_eq!(aside(&at(8), compiled, &Items::of("use nets::{Net as Own};")), None);
        assert_eq!(aside(&at(2), compiled, &Items::of("fn feed() {}")), None);
    }
}
