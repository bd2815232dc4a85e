//! The names that libraries and cells define, read from their source.
//!
//! Only the syntax is looked at: no macro is expanded and no import followed, and a type is known
//! by its last name. That is less than rust-analyzer knows, and it is there at once.

use super::{INDEX, Match, matched};
use crate::cargo::metadata;
use crate::template::Installation;
use anyhow::Context;
use ra_ap_syntax::ast::{self, AstNode, HasGenericParams, HasModuleItem, HasName, HasVisibility};
use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxNode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How much of a description is kept, in bytes: its first paragraph, cut.
const DOCS: usize = 400;

/// The packages whose names a cell reaches, those that matter most first: of two types with one
/// name the first is kept.
const PACKAGES: &[&str] = &[
    "benchbook",
    "benchbook-chart",
    "benchbook-data",
    "benchbook-display",
    "tch",
    "image",
    // Behind tch, whose `Tensor` and `Device` cells see.
    "benchbook-nets",
    "benchbook-backend",
];

/// The files of the standard library with what notebooks use most.
const STANDARD: &[&str] = &[
    "alloc/src/vec/mod.rs",
    "alloc/src/string.rs",
    "alloc/src/str.rs",
    "alloc/src/slice.rs",
    "alloc/src/boxed.rs",
    "alloc/src/collections/vec_deque/mod.rs",
    "alloc/src/collections/btree/map.rs",
    "core/src/option.rs",
    "core/src/result.rs",
    "core/src/slice/mod.rs",
    "core/src/str/mod.rs",
    "core/src/time.rs",
    "std/src/collections/hash/map.rs",
    "std/src/collections/hash/set.rs",
    "std/src/fs.rs",
    "std/src/path.rs",
    "std/src/process.rs",
    "std/src/time.rs",
];

/// Names by where they are found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// What `use benchbook::prelude::*;` brings in.
    pub(super) prelude: Vec<String>,
    /// Types and traits, by their last name.
    pub(super) types: BTreeMap<String, Type>,
    /// Free functions, by their last name.
    pub(super) functions: BTreeMap<String, Member>,
    /// What modules and crates hold, by their last name.
    pub(super) modules: BTreeMap<String, Vec<String>>,
}

/// A struct, an enum, a trait, or a type by another name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Type {
    /// The package that defines it; empty as long as only an `impl` was seen.
    package: String,
    pub(super) signature: String,
    pub(super) docs: String,
    pub(super) members: BTreeMap<String, Member>,
}

/// A function, a method, a field or a variant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) signature: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) docs: String,
    /// It is called with a value before the point.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) method: bool,
    pub(super) kind: String,
    /// The type that it has or returns; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) returns: String,
    /// Names of the parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<String>,
}

impl Member {
    /// The text to insert: a function with its parameters' names, as rust-analyzer gives it.
    pub(super) fn insertion(&self, name: &str) -> String {
        match self.kind.as_str() {
            "function" => format!("{name}({})", self.parameters.join(", ")),
            _ => name.to_owned(),
        }
    }
}

/// Makes the index of a template.
///
/// # Errors
/// Its metadata cannot be read.
pub fn record(here: &Installation) -> anyhow::Result<()> {
    let template = &here.template;
    let metadata = metadata::recorded(template)?;
    let packages = metadata["packages"].as_array().context("the metadata have no packages")?;
    let mut index = Index::default();
    for name in PACKAGES {
        let package = packages.iter().find(|package| package["name"] == *name);
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let manifest = Path::new(manifest.with_context(|| format!("no package {name}"))?);
        for file in sources(&manifest.with_file_name("src"))? {
            index.add_library(name, &fs::read_to_string(&file)?);
        }
    }
    for file in STANDARD {
        let path = here.tools.toolchain.source().join(file);
        // Files of the standard library move from release to release.
        match fs::read_to_string(&path) {
            Ok(text) => index.add_library("std", &text),
            Err(error) => eprintln!("not in the index of names: {}: {error}", path.display()),
        }
    }
    fs::write(template.folder.join(INDEX), serde_json::to_vec(&index)?)?;
    Ok(())
}

fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

impl Index {
    /// Adds what a file of a library makes public.
    pub(super) fn add_library(&mut self, package: &str, text: &str) {
        let parsed = SourceFile::parse(text, Edition::Edition2024);
        let module = package.strip_prefix("benchbook-").unwrap_or(package).replace('-', "_");
        self.items(parsed.tree().items(), package, &module, false);
    }

    /// Adds what a cell defines.
    pub(super) fn add_cell(&mut self, text: &str) {
        let parsed = SourceFile::parse(&format!("fn cell() {{{text}\n}}"), Edition::Edition2024);
        let function = parsed.syntax_node().children().find_map(ast::Fn::cast);
        let body = function.and_then(|function| function.body()).and_then(|body| body.stmt_list());
        let Some(body) = body else { return };
        let items = body.syntax().children().filter_map(ast::Item::cast);
        self.items(items, "", "", true);
    }

    /// The names of all types and functions, for a cell's own.
    pub(super) fn names(&self) -> impl Iterator<Item = Match> {
        let types = self.types.iter().filter(|(_, found)| !found.signature.is_empty());
        let types = types.map(|(name, _)| matched(name, "class"));
        types.chain(self.functions.iter().map(|(name, f)| matched(f.insertion(name), "function")))
    }

    /// A name as a candidate.
    pub(super) fn matched(&self, name: &str) -> Match {
        if self.types.contains_key(name) {
            return matched(name, "class");
        }
        match self.functions.get(name) {
            Some(function) => matched(function.insertion(name), "function"),
            None => matched(name, "module"),
        }
    }

    fn items(
        &mut self,
        items: impl Iterator<Item = ast::Item>,
        package: &str,
        module: &str,
        all: bool,
    ) {
        for item in items {
            let public = |item: &dyn HasVisibilityText| all || item.is_public();
            match item {
                ast::Item::Struct(item) if public(&item) => {
                    let fields = match item.field_list() {
                        Some(ast::FieldList::RecordFieldList(list)) => list.fields().collect(),
                        _ => Vec::new(),
                    };
                    let fields = fields.into_iter().filter(|field| all || field.is_public());
                    let members: Vec<(String, Member)> = fields
                        .filter_map(|field| {
                            let kind = field.ty()?.syntax().text().to_string();
                            let name = field.name()?.text().to_string();
                            let signature = format!("{name}: {kind}");
                            let docs = docs(field.syntax());
                            let kind = (kind, "field".to_owned());
                            Some((
                                name,
                                Member {
                                    signature,
                                    docs,
                                    kind: kind.1,
                                    returns: kind.0,
                                    ..Member::default()
                                },
                            ))
                        })
                        .collect();
                    self.define(item.name(), "struct", item.syntax(), package, module, members);
                }
                ast::Item::Enum(item) if public(&item) => {
                    let variants = item.variant_list().into_iter().flat_map(|list| list.variants());
                    let members: Vec<(String, Member)> = variants
                        .filter_map(|variant| {
                            let name = variant.name()?.text().to_string();
                            let member = Member {
                                signature: one_line(&variant.syntax().text().to_string()),
                                docs: docs(variant.syntax()),
                                kind: "instance".into(),
                                returns: item.name()?.text().to_string(),
                                ..Member::default()
                            };
                            Some((name, member))
                        })
                        .collect();
                    self.define(item.name(), "enum", item.syntax(), package, module, members);
                }
                ast::Item::Trait(item) if public(&item) => {
                    let functions = item.assoc_item_list();
                    let members =
                        functions.map(|list| functions_of(&list, true)).unwrap_or_default();
                    self.define(item.name(), "trait", item.syntax(), package, module, members);
                }
                ast::Item::TypeAlias(item) if public(&item) => {
                    self.define(item.name(), "type", item.syntax(), package, module, Vec::new());
                }
                ast::Item::Impl(item) => {
                    let Some(owner) = item.self_ty() else { continue };
                    let owner = super::types::base(&owner.syntax().text().to_string()).to_owned();
                    let of_trait = item.trait_().is_some();
                    let list = item.assoc_item_list();
                    let found =
                        list.map(|list| functions_of(&list, all || of_trait)).unwrap_or_default();
                    let known = self.types.entry(owner).or_default();
                    // A type of another library that has the same name keeps its own functions.
                    if known.package.is_empty() || known.package == package || of_trait {
                        for (name, member) in found {
                            known.members.entry(name).or_insert(member);
                        }
                    }
                }
                ast::Item::Fn(item) if public(&item) => {
                    if let Some((name, member)) = function(&item) {
                        self.modules.entry(module.to_owned()).or_default().push(name.clone());
                        if all {
                            self.functions.insert(name, member);
                        } else {
                            self.functions.entry(name).or_insert(member);
                        }
                    }
                }
                ast::Item::Module(item) => {
                    let Some(name) = item.name().map(|name| name.text().to_string()) else {
                        continue;
                    };
                    if package == "benchbook" && name == "prelude" {
                        self.prelude.extend(imports(item.syntax()));
                    } else if name != "tests" {
                        if item.is_public() {
                            self.modules.entry(module.to_owned()).or_default().push(name);
                        }
                        if let Some(list) = item.item_list() {
                            self.items(list.items(), package, module, all);
                        }
                    }
                }
                ast::Item::Use(item) if item.is_public() && !module.is_empty() => {
                    let names = imports(item.syntax());
                    self.modules.entry(module.to_owned()).or_default().extend(names);
                }
                _ => {}
            }
        }
    }

    fn define(
        &mut self,
        name: Option<ast::Name>,
        kind: &str,
        node: &SyntaxNode,
        package: &str,
        module: &str,
        members: Vec<(String, Member)>,
    ) {
        let Some(name) = name.map(|name| name.text().to_string()) else { return };
        self.modules.entry(module.to_owned()).or_default().push(name.clone());
        let known = self.types.entry(name.clone()).or_default();
        if !known.package.is_empty() && known.package != package {
            return;
        }
        if package.is_empty() {
            // A cell defines its type anew.
            known.members.clear();
        }
        package.clone_into(&mut known.package);
        let generics = node.children().find_map(ast::GenericParamList::cast);
        let generics = generics.map(|list| list.syntax().text().to_string()).unwrap_or_default();
        known.signature = format!("{kind} {name}{}", one_line(&generics));
        known.docs = docs(node);
        for (name, member) in members {
            known.members.entry(name).or_insert(member);
        }
    }
}

/// What is public of a syntax node.
trait HasVisibilityText {
    fn is_public(&self) -> bool;
}

impl<T: HasVisibility> HasVisibilityText for T {
    fn is_public(&self) -> bool {
        self.visibility().is_some_and(|visibility| visibility.syntax().text() == "pub")
    }
}

fn functions_of(list: &ast::AssocItemList, all: bool) -> Vec<(String, Member)> {
    let functions = list.assoc_items().filter_map(|item| match item {
        ast::AssocItem::Fn(item) if all || item.is_public() => function(&item),
        _ => None,
    });
    functions.collect()
}

fn function(item: &ast::Fn) -> Option<(String, Member)> {
    let name = item.name()?.text().to_string();
    let list = item.param_list();
    let method = list.as_ref().is_some_and(|list| list.self_param().is_some());
    let parameters = list.as_ref().map(|list| list.params().filter_map(|p| p.pat()).collect());
    let parameters: Vec<ast::Pat> = parameters.unwrap_or_default();
    let names = parameters
        .iter()
        .map(|pattern| pattern.syntax().text().to_string().trim_start_matches("mut ").to_owned());
    let returns = item.ret_type().and_then(|returned| returned.ty());
    let returns = returns.map(|kind| one_line(&kind.syntax().text().to_string()));
    let generics = item.generic_param_list();
    let generics = generics.map(|list| list.syntax().text().to_string()).unwrap_or_default();
    let taken = list.map(|list| list.syntax().text().to_string()).unwrap_or_default();
    let arrow = returns.as_ref().map(|kind| format!(" -> {kind}")).unwrap_or_default();
    let signature = one_line(&format!("fn {name}{generics}{taken}{arrow}"));
    let member = Member {
        signature,
        docs: docs(item.syntax()),
        method,
        kind: "function".into(),
        returns: returns.unwrap_or_default(),
        parameters: names.collect(),
    };
    Some((name, member))
}

/// The names that the `use` items of a node bring in.
fn imports(node: &SyntaxNode) -> Vec<String> {
    let trees = node.descendants().filter_map(ast::UseTree::cast);
    let leaves = trees.filter(|tree| tree.use_tree_list().is_none() && tree.star_token().is_none());
    let names = leaves.filter_map(|tree| {
        let renamed =
            tree.rename().and_then(|rename| rename.name()).map(|name| name.text().to_string());
        let path = tree.path()?;
        let last = path.segment()?.syntax().text().to_string();
        let last = match last.as_str() {
            // `tch::{self, Tensor}` brings in `tch`.
            "self" => {
                let outer = tree.syntax().ancestors().skip(1).find_map(ast::UseTree::cast)?;
                outer.path()?.segment()?.syntax().text().to_string()
            }
            _ => last,
        };
        Some(renamed.unwrap_or(last))
    });
    names.collect()
}

/// The first paragraph of an item's description.
fn docs(node: &SyntaxNode) -> String {
    let comments = node.children_with_tokens().filter_map(|child| match child {
        NodeOrToken::Token(token) => {
            token.text().strip_prefix("///").map(|text| text.trim().to_owned())
        }
        NodeOrToken::Node(_) => None,
    });
    let paragraph: Vec<String> =
        comments.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect();
    let mut text = paragraph.join(" ");
    text.truncate(text.floor_char_boundary(DOCS));
    text
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace("( ", "(").replace(", )", ")").replace(",)", ")")
}
