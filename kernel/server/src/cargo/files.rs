//! Files next to the notebook: `mod helpers;`, `include!` and similar.
//!
//! rustc searches for such files beside the compiled file, which is in the session's folder. So a cell that names
//! files is passed to rustc on standard input, with a path in the notebook's folder, as rustdoc passes the examples of
//! documentation. No file is written there.
//!
//! rust-analyzer, which infers the types of `let`s, only reads files that evcxr named at the start. So evcxr gets a
//! module with the text of its file between markers ([`shown`]), and the stand-in restores the declaration
//! for rustc ([`restored`]). An `include!` of items becomes these items ([`included_items`]), since evcxr keeps
//! items from cell to cell, but not macro calls.

use super::NOTEBOOK;
use crate::parsed::{Parsed, edited, words};
use ra_ap_syntax::ast::{self, AstNode, AstToken, HasAttrs, HasModuleItem, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxKind, SyntaxNode, TextRange};
use serde_json::Value;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The file name for cells that name files. evcxr selects messages by this ending.
const NAME: &str = "cell-lib.rs";

/// Markers around a module file's text. Normally, the module's declaration has a semicolon there.
const MODULE: (&str, &str) = ("/*@file*/{", "/*@end*/}");

/// Markers around a call of `include!` and its file's text.
const EXPRESSION: (&str, &str, &str) = ("/*@file ", "@*/(", ")/*@end*/");

/// Maximum nesting of files.
const DEPTH: usize = 16;

/// The notebook's folder.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os(NOTEBOOK).map(PathBuf::from).unwrap_or_default()
}

/// The path under which a cell is compiled, if it may name files beside the notebook and the
/// folder's name is UTF-8.
pub(super) fn place(source: &str) -> Option<String> {
    let includes = || words(source).any(|word| word.starts_with("include"));
    if !(includes() || has_module_file(source)) {
        return None;
    }
    folder().join(NAME).into_os_string().into_string().ok()
}

/// Whether a text may contain `mod name;`.
fn has_module_file(source: &str) -> bool {
    let mut rest = source;
    while let Some(at) = rest.find("mod ") {
        rest = &rest[at + "mod ".len()..];
        let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '#');
        if rest.trim_start().trim_start_matches(name).trim_start().starts_with(';') {
            return true;
        }
    }
    false
}

/// The compiler's messages; messages about other files than the cell name their file. evcxr only handles places
/// in the cell, and would mistake any file whose name has the same ending for the cell.
pub(super) fn with_files(messages: &[u8], cell: &str) -> Vec<u8> {
    let lines = messages.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let Ok(mut message) = serde_json::from_slice::<Value>(line) else { return line.to_vec() };
        if let Some(place) = elsewhere(&message, cell) {
            let text = message["message"].as_str().unwrap_or_default();
            message["message"] = format!("{text} ({place})").into();
        }
        rename_others(&mut message, cell);
        format!("{message}\n").into_bytes()
    });
    lines.collect::<Vec<_>>().concat()
}

/// The file and line of a message without any place in the cell.
fn elsewhere(message: &Value, cell: &str) -> Option<String> {
    let spans = message["spans"].as_array()?;
    let in_cell = |span: &Value| {
        std::iter::successors(Some(span), |span| {
            Some(&span["expansion"]["span"]).filter(|span| span.is_object())
        })
        .any(|span| span["file_name"] == cell)
    };
    let primary = spans.iter().find(|span| span["is_primary"] == true)?;
    if spans.iter().any(in_cell) {
        return None;
    }
    let file = Path::new(primary["file_name"].as_str()?);
    let file = file.strip_prefix(folder()).unwrap_or(file);
    let text = primary["text"][0]["text"].as_str().unwrap_or_default();
    Some(format!("in {}, line {}: `{}`", file.display(), primary["line_start"], text.trim()))
}

/// Changes the endings of file names other than the cell's.
fn rename_others(message: &mut Value, cell: &str) {
    match message {
        Value::Array(values) => values.iter_mut().for_each(|value| rename_others(value, cell)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(file) if name == "file_name" && file != cell => file.push(' '),
                    value => rename_others(value, cell),
                }
            }
        }
        _ => {}
    }
}

/// The line and column of a place in a cell, written as `file:line:column`; `None` for another file.
pub(crate) fn in_cell(place: &str) -> Option<&str> {
    place.strip_prefix(super::CELL).or_else(|| place.strip_prefix(folder().join(NAME).to_str()?))
}

/// The items of an `include!`d file, on one line.
pub(crate) fn included_items(call: &ast::MacroCall) -> Option<String> {
    items_of(&included(call, &folder())?)
}

/// The parts of a cell that evcxr and rust-analyzer receive as the text of the named files.
pub(crate) fn shown(cell: &Parsed) -> Vec<(Range<usize>, String)> {
    if !has_module_file(&cell.text) && !words(&cell.text).any(|word| word == "include") {
        return Vec::new();
    }
    shown_from(cell, &folder())
}

fn shown_from(cell: &Parsed, folder: &Path) -> Vec<(Range<usize>, String)> {
    let edits = cell.nodes().flat_map(|node| replacements(&node, folder, DEPTH));
    edits.map(|(range, text)| (cell.at(range.start())..cell.at(range.end()), text)).collect()
}

/// Reverts the replacements of [`shown`].
pub(super) fn restored(source: String) -> String {
    let (open, _, _) = EXPRESSION;
    if !source.contains(MODULE.0) && !source.contains(open) {
        return source;
    }
    let mut text = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = rest.find("/*@file") {
        let marked = &rest[at..];
        let (replaced, end) = if let Some(inside) = marked.strip_prefix(MODULE.0) {
            (";", inside.split_once(MODULE.1))
        } else {
            let call = marked.strip_prefix(open).and_then(|inside| inside.split_once(EXPRESSION.1));
            match call {
                Some((call, inside)) => (call, inside.split_once(EXPRESSION.2)),
                None => ("", None),
            }
        };
        let Some((_, after)) = end else { break };
        text.push_str(&rest[..at]);
        text.push_str(replaced);
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Parts of a parsed text, each with its replacement.
type Edits = Vec<(TextRange, String)>;

/// The module declarations and `include!` calls within a node, each with its file's text.
fn replacements(node: &SyntaxNode, folder: &Path, depth: usize) -> Edits {
    let Some(depth) = depth.checked_sub(1) else { return Edits::new() };
    let in_node = node.descendants();
    let edits = in_node.filter_map(|node| {
        if let Some(module) = ast::Module::cast(node.clone()) {
            let semicolon = module.semicolon_token()?;
            let text = line_of(&module_file(&module, folder)?, depth)?;
            let text = format!("{}{text}{}", MODULE.0, MODULE.1);
            return Some((semicolon.text_range(), text));
        }
        let call = ast::MacroCall::cast(node)?;
        let file = included(&call, folder)?;
        let text = fs::read_to_string(file).ok()?;
        let wrapped = SourceFile::parse(&format!("const C: () = {text}\n;"), Edition::Edition2024);
        if !wrapped.errors().is_empty() {
            return None;
        }
        let one = one_line(&wrapped.syntax_node())?;
        let one = one.trim().strip_prefix("const C: () =")?.strip_suffix(';')?.to_owned();
        let original = call.syntax().text().to_string();
        if original.contains("*/") || original.contains('\n') {
            return None;
        }
        let (open, middle, close) = EXPRESSION;
        Some((call.syntax().text_range(), format!("{open}{original}{middle}{one}{close}")))
    });
    edits.collect()
}

/// The file of a module without a body, in the folder of the declaring file.
fn module_file(module: &ast::Module, folder: &Path) -> Option<PathBuf> {
    let path = module.attrs().find_map(|attribute| {
        let text = attribute.syntax().text().to_string();
        let (_, value) = text.strip_prefix("#[path")?.split_once('"')?;
        Some(value.split_once('"')?.0.to_owned())
    });
    let outer = module.syntax().ancestors().skip(1).filter_map(ast::Module::cast);
    let mut outer: Vec<String> =
        outer.filter_map(|module| Some(module.name()?.text().to_string())).collect();
    outer.reverse();
    let folder = outer.iter().fold(folder.to_owned(), |folder, name| folder.join(name));
    let name = module.name()?.text().to_string();
    let name = name.trim_start_matches("r#");
    let candidates = match path {
        Some(path) => vec![folder.join(path)],
        None => vec![folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")],
    };
    candidates.into_iter().find(|path| path.is_file())
}

/// The text of a module's file on one line, including the files that it names.
fn line_of(file: &Path, depth: usize) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let parsed = SourceFile::parse(&text, Edition::Edition2024);
    if !parsed.errors().is_empty() {
        return None;
    }
    // The modules of `a.rs` are in `a/`, and those of `a/mod.rs` beside it.
    let parent = file.parent()?;
    let inner = match file.file_stem()? {
        stem if stem == "mod" => parent.to_owned(),
        stem => parent.join(stem),
    };
    let modules = parsed.tree().items().filter(|item| matches!(item, ast::Item::Module(_)));
    let edits = modules.flat_map(|module| {
        let within = replacements(module.syntax(), &inner, depth);
        within.into_iter().filter(|(_, text)| text.starts_with(MODULE.0)).collect::<Edits>()
    });
    // Within another mark, the text needs no mark of its own.
    let plain = |text: String| {
        let inside = text.strip_prefix(MODULE.0).and_then(|text| text.strip_suffix(MODULE.1));
        inside.map(|text| format!("{{{text}}}"))
    };
    let edits = edits.filter_map(|(range, new)| Some((Range::<usize>::from(range), plain(new)?)));
    let text = edited(&text, edits);
    one_line(&SourceFile::parse(&text, Edition::Edition2024).syntax_node())
}

/// The file of an `include!` call with a literal argument.
fn included(call: &ast::MacroCall, folder: &Path) -> Option<PathBuf> {
    let name = call.path()?.syntax().text().to_string();
    if !["include", "std::include", "core::include"].contains(&name.as_str()) {
        return None;
    }
    let mut tokens =
        call.token_tree()?.syntax().children_with_tokens().filter_map(|child| child.into_token());
    let literal = tokens.find_map(ast::String::cast)?;
    let file = folder.join(literal.value().ok()?.as_ref());
    file.is_file().then_some(file)
}

/// The items of a file on one line; `None` if it contains anything else.
fn items_of(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let parsed = SourceFile::parse(&text, Edition::Edition2024);
    let tree = parsed.tree();
    let is_call = |item: &ast::Item| matches!(item, ast::Item::MacroCall(_));
    if !parsed.errors().is_empty()
        || tree.items().next().is_none()
        || tree.items().all(|item| is_call(&item))
        || tree.attrs().next().is_some()
    {
        return None;
    }
    one_line(tree.syntax())
}

/// A text without comments and line breaks, with the same meaning; `None` if a token needs its line break.
fn one_line(root: &SyntaxNode) -> Option<String> {
    let mut text = String::new();
    for token in root.descendants_with_tokens().filter_map(|child| child.into_token()) {
        match token.kind() {
            SyntaxKind::WHITESPACE | SyntaxKind::COMMENT => {
                if !text.ends_with(' ') {
                    text.push(' ');
                }
            }
            _ if !token.text().contains('\n') => text.push_str(token.text()),
            SyntaxKind::STRING => {
                let literal = ast::String::cast(token)?;
                text.push_str(&format!("{:?}", literal.value().ok()?));
            }
            SyntaxKind::BYTE_STRING => {
                let literal = ast::ByteString::cast(token)?;
                text.push_str(&format!("b\"{}\"", literal.value().ok()?.escape_ascii()));
            }
            _ => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_of_modules_and_no_bodies_name_files() {
        assert!(has_module_file("f();\npub mod helpers ;"));
        assert!(has_module_file("mod a { mod b; }"));
        assert!(!has_module_file("mod a { fn f() {} }\nlet modes = 1; a % b;"));
    }

    #[test]
    fn a_module_has_the_text_of_its_files_and_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("outer")).unwrap();
        let outer =
            "//! Words.\n/// More.\npub fn f() -> &'static str { \"a\nb\" } // end\nmod inner;\n";
        fs::write(folder.path().join("outer.rs"), outer).unwrap();
        fs::write(folder.path().join("outer/inner.rs"), "pub struct S;\n").unwrap();
        let cell = "f();\nmod outer; let x = 1;\n";
        let shown = edited(cell, shown_from(&Parsed::of(cell).unwrap(), folder.path()));
        assert_eq!(
            shown,
            "f();\nmod outer/*@file*/{ pub fn f() -> &'static str { \"a\\nb\" } mod inner{pub struct S; } /*@end*/} let x = 1;\n"
        );
        assert_eq!(restored(shown), cell);
    }

    #[test]
    fn an_included_expression_has_its_text_and_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("table.in"), "[1, 2,\n 3]\n").unwrap();
        let cell = "let table = include!(\"table.in\"); f();";
        let shown = edited(cell, shown_from(&Parsed::of(cell).unwrap(), folder.path()));
        assert_eq!(
            shown,
            "let table = /*@file include!(\"table.in\")@*/( [1, 2, 3] )/*@end*/; f();"
        );
        assert_eq!(restored(shown), cell);
    }

    #[test]
    fn messages_of_other_files_name_them() {
        let message = |file: &str| {
            let span = format!(
                r#"{{"file_name":"{file}","is_primary":true,"line_start":3,"text":[{{"text":" f() "}}],"expansion":null}}"#
            );
            format!("{{\"message\":\"mismatched types\",\"spans\":[{span}]}}\n")
        };
        let said = |file: &str| {
            let line = with_files(message(file).as_bytes(), "/nb/cell-lib.rs");
            serde_json::from_slice::<Value>(&line).unwrap()
        };
        assert_eq!(said("/nb/cell-lib.rs")["message"], "mismatched types");
        let other = said("/other/lib.rs");
        assert_eq!(other["message"], "mismatched types (in /other/lib.rs, line 3: `f()`)");
        assert_eq!(other["spans"][0]["file_name"], "/other/lib.rs ");
    }

    #[test]
    fn files_of_items_are_told_from_values() {
        let folder = tempfile::tempdir().unwrap();
        let items = |text: &str| {
            let file = folder.path().join("file.rs");
            fs::write(&file, text).unwrap();
            items_of(&file)
        };
        assert_eq!(items("fn f() {\n  g(); // call\n}").as_deref(), Some("fn f() { g(); }"));
        for text in ["[1, 2]", "1 + 1", "", "vec![1]", "#![allow(unused)]\nfn f() {}"] {
            assert_eq!(items(text), None, "{text}");
        }
    }
}
