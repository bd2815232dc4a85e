//! The names that libraries and cells define, read from their source.
//!
//! Only the syntax is looked at: no macro is expanded and no import followed, and a type is known
//! by its last name. That is less than rust-analyzer knows, and it is there at once.

use super::{INDEX, Match, is_part_of_name, matched, types};
use crate::cargo::metadata;
use crate::template::Installation;
use anyhow::Context;
use ra_ap_syntax::ast::{
    self, AstNode, HasAttrs, HasGenericParams, HasModuleItem, HasName, HasVisibility,
};
use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxNode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
    "benchbook-study",
    "tch",
    "image",
    // Behind tch, whose `Tensor` and `Device` cells see.
    "benchbook-nets",
    "benchbook-backend",
];

/// The files of the standard library with what notebooks use most.
const STANDARD: &str = "alloc/src/vec/mod.rs alloc/src/string.rs alloc/src/str.rs alloc/src/slice.rs \
    alloc/src/boxed.rs alloc/src/collections/vec_deque/mod.rs alloc/src/collections/btree/map.rs \
    core/src/option.rs core/src/result.rs core/src/slice/mod.rs core/src/str/mod.rs core/src/time.rs \
    std/src/collections/hash/map.rs std/src/collections/hash/set.rs std/src/fs.rs std/src/path.rs \
    std/src/process.rs std/src/time.rs";

/// Names by where they are found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Types and traits, by their last name.
    pub(super) types: BTreeMap<String, Type>,
    /// Free functions, by their last name.
    pub(super) functions: BTreeMap<String, Member>,
    /// What modules and crates hold, by their last name. The prelude is a module.
    pub(super) modules: BTreeMap<String, BTreeSet<String>>,
    /// The members that are private wherever a library has one of the name; those of functions end in `(`.
    #[serde(default)]
    pub(super) hidden: BTreeSet<String>,
    /// Modules and those of which they have everything.
    #[serde(skip)]
    globs: Vec<(String, String)>,
}

/// A struct, an enum, a trait, or a type by another name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Type {
    /// The package that defines it; empty as long as only an `impl` was seen.
    package: String,
    pub(super) signature: String,
    pub(super) docs: String,
    pub(super) members: BTreeMap<String, Member>,
    /// The public fields of a struct in the order of the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fields: Vec<String>,
    /// As in [`Index::hidden`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) hidden: BTreeSet<String>,
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
    /// It is called without arguments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) complete: bool,
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
    let mut seen = Visibility::default();
    for name in PACKAGES {
        let package = packages.iter().find(|package| package["name"] == *name);
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let manifest = Path::new(manifest.with_context(|| format!("no package {name}"))?);
        for file in sources(&manifest.with_file_name("src"))? {
            let text = fs::read_to_string(&file)?;
            index.add_library(name, &module_of(name, &file), &text);
            seen.add(&text);
        }
    }
    index.resolve_globs();
    let library = here.tools.toolchain.source();
    for file in STANDARD.split_whitespace() {
        // Files of the standard library move from release to release.
        match fs::read_to_string(library.join(file)) {
            Ok(text) => {
                let module = file.split(['/', '.']).nth(2).unwrap_or_default();
                index.add_library("std", module, &text);
                index.modules.entry("std".into()).or_default().insert(module.to_owned());
            }
            Err(error) => eprintln!("not in the index of names: {file}: {error}"),
        }
    }
    for package in ["core", "alloc", "std"] {
        let files = sources(&library.join(package).join("src"))?;
        // What is public in `std::sys` is so within the standard library.
        for file in files.iter().filter(|file| !file.iter().any(|part| part == "sys")) {
            seen.add(&fs::read_to_string(file)?);
        }
    }
    index.hidden = seen.private.difference(&seen.public).cloned().collect();
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

/// The last name of the module in a file.
fn module_of(package: &str, file: &Path) -> String {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match stem(file).as_str() {
        "lib" => package.strip_prefix("benchbook-").unwrap_or(package).replace('-', "_"),
        "mod" => file.parent().map(stem).unwrap_or_default(),
        name => name.to_owned(),
    }
}

/// The members of all types of some libraries.
#[derive(Default)]
struct Visibility {
    public: BTreeSet<String>,
    private: BTreeSet<String>,
}

impl Visibility {
    fn add(&mut self, text: &str) {
        let tree = SourceFile::parse(text, Edition::Edition2024).syntax_node();
        for node in tree.descendants() {
            let (name, public) = if let Some(function) = ast::Fn::cast(node.clone()) {
                let name = function.name().map(|name| format!("{}(", name.text()));
                (name, is_public(&function) || is_of_trait(&node))
            } else if let Some(field) = ast::RecordField::cast(node) {
                (field.name().map(|name| name.text().to_string()), is_public(&field))
            } else {
                continue;
            };
            let names = if public { &mut self.public } else { &mut self.private };
            names.extend(name);
        }
        // Those that macros make, of numbers for example.
        for (before, after) in
            text.match_indices(" fn ").map(|(at, word)| text.split_at(at + word.len()))
        {
            let line = before.rsplit('\n').next().unwrap_or_default();
            let end = after.find(|c| !is_part_of_name(c)).unwrap_or(after.len());
            if line.trim_start().starts_with("pub ") {
                self.public.insert(format!("{}(", &after[..end]));
            }
        }
    }
}

impl Index {
    /// Adds what the file of a library's module makes public.
    pub(super) fn add_library(&mut self, package: &str, module: &str, text: &str) {
        let parsed = SourceFile::parse(text, Edition::Edition2024);
        self.items(parsed.tree().items(), package, module);
    }

    /// Adds to modules what they export with a glob. Called when all libraries are there.
    pub(super) fn resolve_globs(&mut self) {
        let globs = std::mem::take(&mut self.globs);
        // What a module exports may come to it by a glob, too.
        for (module, from) in globs.iter().chain(&globs) {
            let names = self.modules.get(from).cloned().unwrap_or_default();
            self.modules.entry(module.clone()).or_default().extend(names);
        }
    }

    /// What a module holds.
    pub(super) fn within(&self, module: &str) -> impl Iterator<Item = &String> {
        self.modules.get(module).into_iter().flatten()
    }

    /// Adds what a cell defines.
    pub(super) fn add_cell(&mut self, text: &str) {
        let parsed = SourceFile::parse(&format!("fn cell() {{{text}\n}}"), Edition::Edition2024);
        let function = parsed.syntax_node().children().find_map(ast::Fn::cast);
        let body = function.and_then(|function| function.body()).and_then(|body| body.stmt_list());
        let Some(body) = body else { return };
        self.items(body.syntax().children().filter_map(ast::Item::cast), "", "");
    }

    /// The names of all types and functions, for a cell's own.
    pub(super) fn names(&self) -> impl Iterator<Item = Match> {
        let types = self.types.iter().filter(|(_, found)| !found.signature.is_empty());
        let names = types.map(|(name, _)| name).chain(self.functions.keys());
        names.map(|name| self.matched(name))
    }

    /// A name as a candidate.
    pub(super) fn matched(&self, name: &str) -> Match {
        match self.functions.get(name) {
            _ if self.types.contains_key(name) => matched(name, "class"),
            Some(function) if function.complete => matched(format!("{name}()"), "function"),
            Some(_) => matched(name, "function"),
            None => matched(name, "module"),
        }
    }

    /// Adds items of a package. No package is a cell, which can use all that is in no module.
    fn items(&mut self, items: impl Iterator<Item = ast::Item>, package: &str, module: &str) {
        let all = package.is_empty() && module.is_empty();
        for item in items {
            match item {
                ast::Item::Struct(item) if all || is_public(&item) => {
                    let list = item.syntax().children().find_map(ast::RecordFieldList::cast);
                    let (fields, private): (Vec<_>, Vec<_>) = list
                        .into_iter()
                        .flat_map(|list| list.fields())
                        .partition(|field| all || is_public(field));
                    let fields: Vec<_> = fields.iter().filter_map(field).collect();
                    let private = private.iter().filter_map(|field| field.name());
                    let known = self.define(&item, "struct", package, module);
                    known.fields = fields.iter().map(|(name, _)| name.clone()).collect();
                    known.hidden.extend(private.map(|name| name.text().to_string()));
                    known.add(fields);
                }
                ast::Item::Enum(item) if all || is_public(&item) => {
                    let variants = item.variant_list().into_iter().flat_map(|list| list.variants());
                    let variants = variants.filter_map(|found| variant(&found, &item)).collect();
                    self.define(&item, "enum", package, module).add(variants);
                }
                ast::Item::Trait(item) if all || is_public(&item) => {
                    let functions = functions(item.assoc_item_list());
                    let functions = functions.filter_map(|item| function(&item)).collect();
                    self.define(&item, "trait", package, module).add(functions);
                }
                ast::Item::TypeAlias(item) if all || is_public(&item) => {
                    self.define(&item, "type", package, module);
                }
                ast::Item::Impl(item) => {
                    let Some(owner) = item.self_ty() else { continue };
                    let owner = types::base(&owner.syntax().text().to_string()).to_owned();
                    let of_trait = item.trait_().is_some();
                    // The traits of numbers are mostly private to their library.
                    if of_trait && !all && owner.starts_with(char::is_lowercase) {
                        continue;
                    }
                    let known = self.types.entry(owner).or_default();
                    // A type of another library that has the same name keeps its own functions.
                    if !(known.package.is_empty() || known.package == package || of_trait) {
                        continue;
                    }
                    let (public, private): (Vec<_>, Vec<_>) = functions(item.assoc_item_list())
                        .partition(|item| all || of_trait || is_public(item));
                    let names = private.iter().filter_map(|function| function.name());
                    known.hidden.extend(names.map(|name| format!("{}(", name.text())));
                    known.add(public.iter().filter_map(function).collect());
                }
                ast::Item::Fn(item) if all || is_public(&item) => {
                    let Some((name, member)) = function(&item) else { continue };
                    self.modules.entry(module.to_owned()).or_default().insert(name.clone());
                    if all || !self.functions.contains_key(&name) {
                        self.functions.insert(name, member);
                    }
                }
                ast::Item::Module(item) => {
                    let Some(name) = item.name().map(|name| name.text().to_string()) else {
                        continue;
                    };
                    if name != "tests" {
                        if let Some(list) = item.item_list() {
                            self.items(list.items(), package, &name);
                        }
                        if is_public(&item) {
                            self.modules.entry(module.to_owned()).or_default().insert(name);
                        }
                    }
                }
                ast::Item::Use(item) if is_public(&item) && !module.is_empty() => {
                    let globs = globs(item.syntax()).map(|from| (module.to_owned(), from));
                    self.globs.extend(globs);
                    let names = imports(item.syntax());
                    self.modules.entry(module.to_owned()).or_default().extend(names);
                }
                _ => {}
            }
        }
    }

    /// The entry of a type; one that stays out of sight if another library has one of the name.
    fn define(
        &mut self,
        item: &(impl HasName + HasAttrs),
        kind: &str,
        package: &str,
        module: &str,
    ) -> &mut Type {
        let name = item.name().map(|name| name.text().to_string()).unwrap_or_default();
        self.modules.entry(module.to_owned()).or_default().insert(name.clone());
        let taken = |known: &Type| !known.package.is_empty() && known.package != package;
        if self.types.get(&name).is_some_and(taken) {
            return self.types.entry(format!("{package}::{name}")).or_default();
        }
        let known = self.types.entry(name.clone()).or_default();
        if package.is_empty() {
            // A cell defines its type anew.
            known.members.clear();
        }
        package.clone_into(&mut known.package);
        let generics = item.syntax().children().find_map(ast::GenericParamList::cast);
        let generics = generics.map(|list| list.syntax().text().to_string()).unwrap_or_default();
        known.signature = format!("{kind} {name}{}", one_line(&generics));
        known.docs = docs(item.syntax());
        let derived: String =
            item.attrs().map(|attribute| attribute.syntax().text().to_string()).collect();
        for (name, method) in [("Clone", "clone"), ("Default", "default")] {
            if derived.split(|c| !is_part_of_name(c)).any(|word| word == name) {
                let taken = if method == "clone" { "&self" } else { "" };
                let member = Member {
                    signature: format!("fn {method}({taken}) -> Self"),
                    method: method == "clone",
                    kind: "function".into(),
                    returns: "Self".into(),
                    complete: true,
                    ..Member::default()
                };
                known.add(vec![(method.to_owned(), member)]);
            }
        }
        known
    }
}

impl Type {
    fn add(&mut self, members: Vec<(String, Member)>) {
        for (name, member) in members {
            self.members.entry(name).or_insert(member);
        }
    }
}

fn is_public(item: &impl HasVisibility) -> bool {
    item.visibility().is_some_and(|visibility| visibility.syntax().text() == "pub")
}

/// Whether a function belongs to a trait, which makes it public.
fn is_of_trait(function: &SyntaxNode) -> bool {
    let owner = function.parent().and_then(|list| list.parent());
    owner.is_some_and(|owner| match ast::Impl::cast(owner.clone()) {
        Some(implementation) => implementation.trait_().is_some(),
        None => ast::Trait::can_cast(owner.kind()),
    })
}

fn field(field: &ast::RecordField) -> Option<(String, Member)> {
    let name = field.name()?.text().to_string();
    let returns = one_line(&field.ty()?.syntax().text().to_string());
    let signature = format!("{name}: {returns}");
    let (docs, kind) = (docs(field.syntax()), "field".into());
    Some((name, Member { signature, docs, kind, returns, ..Member::default() }))
}

fn variant(variant: &ast::Variant, of: &ast::Enum) -> Option<(String, Member)> {
    let member = Member {
        signature: one_line(&variant.syntax().text().to_string()),
        docs: docs(variant.syntax()),
        kind: "instance".into(),
        returns: of.name()?.text().to_string(),
        ..Member::default()
    };
    Some((variant.name()?.text().to_string(), member))
}

fn functions(list: Option<ast::AssocItemList>) -> impl Iterator<Item = ast::Fn> {
    let items = list.into_iter().flat_map(|list| list.assoc_items());
    items.filter_map(|item| match item {
        ast::AssocItem::Fn(item) => Some(item),
        _ => None,
    })
}

fn function(item: &ast::Fn) -> Option<(String, Member)> {
    let name = item.name()?.text().to_string();
    let list = item.param_list();
    let text = |node: &SyntaxNode| one_line(&node.text().to_string());
    let returns = item.ret_type().and_then(|returned| returned.ty());
    let returns = returns.map(|kind| text(kind.syntax())).unwrap_or_default();
    let generics = item.generic_param_list().map(|list| text(list.syntax())).unwrap_or_default();
    let taken = list.as_ref().map(|list| text(list.syntax())).unwrap_or_default();
    let arrow = if returns.is_empty() { String::new() } else { format!(" -> {returns}") };
    let member = Member {
        signature: format!("fn {name}{generics}{taken}{arrow}"),
        docs: docs(item.syntax()),
        method: list.as_ref().is_some_and(|list| list.self_param().is_some()),
        kind: "function".into(),
        returns,
        complete: list.is_none_or(|list| list.params().next().is_none()),
    };
    Some((name, member))
}

/// The names that the `use` items of a node bring in.
fn imports(node: &SyntaxNode) -> Vec<String> {
    let trees = node.descendants().filter_map(ast::UseTree::cast);
    let leaves = trees.filter(|tree| tree.use_tree_list().is_none() && tree.star_token().is_none());
    let last = |tree: &ast::UseTree| Some(tree.path()?.segment()?.syntax().text().to_string());
    let names = leaves.filter_map(|tree| {
        if let Some(name) = tree.rename().and_then(|rename| rename.name()) {
            return Some(name.text().to_string());
        }
        // `tch::{self, Tensor}` brings in `tch`.
        let outer = || tree.syntax().ancestors().skip(1).find_map(ast::UseTree::cast);
        let name = last(&tree)?;
        if name == "self" { last(&outer()?) } else { Some(name) }
    });
    names.collect()
}

/// The modules of which the `use` items of a node bring in everything.
fn globs(node: &SyntaxNode) -> impl Iterator<Item = String> {
    let trees = node.descendants().filter_map(ast::UseTree::cast);
    let stars = trees.filter(|tree| tree.star_token().is_some());
    stars.filter_map(|tree| Some(tree.path()?.segment()?.syntax().text().to_string()))
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
