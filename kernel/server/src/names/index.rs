//! The names that libraries and cells define, read from their source.
//!
//! It uses only the syntax: macros are not expanded, imports not followed, and a type is known
//! by its last name. The index has less than rust-analyzer, but is available at once.

use super::{INDEX, Match, matched, types};
use crate::cargo::metadata;
use crate::evaluate::{imported, paths};
use crate::parsed::words;
use crate::template::Installation;
use anyhow::Context;
use ra_ap_syntax::ast::{
    self, AstNode, AstToken, HasAttrs, HasGenericParams, HasModuleItem, HasName,
};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode, TextSize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum length of a description, in bytes; only its first paragraph is kept.
const DOCS: usize = 400;

/// The packages whose names cells can use, by priority: of two types with one name the first is
/// kept. The last two come after tch, because cells use tch's `Tensor` and `Device`.
const PACKAGES: &str = "benchbook benchbook-chart benchbook-data benchbook-display benchbook-study tch image \
    benchbook-nets benchbook-backend";

/// The standard library's files with the items that notebooks use most.
const STANDARD: &str = "alloc/src/vec/mod.rs alloc/src/string.rs alloc/src/str.rs alloc/src/slice.rs \
    alloc/src/boxed.rs alloc/src/collections/vec_deque/mod.rs alloc/src/collections/btree/map.rs \
    core/src/option.rs core/src/result.rs core/src/slice/mod.rs core/src/str/mod.rs core/src/time.rs \
    std/src/collections/hash/map.rs std/src/collections/hash/set.rs std/src/fs.rs std/src/path.rs \
    std/src/process.rs std/src/time.rs";

/// Functions provided by `derive`.
const DERIVED: [(&str, &str); 2] =
    [("Clone", "fn clone(&self) -> Self {}"), ("Default", "fn default() -> Self {}")];

/// Names, by place of definition.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Index {
    /// Types and traits, by their last name.
    pub(super) types: BTreeMap<String, Type>,
    /// Free functions, by their last name.
    pub(super) functions: BTreeMap<String, Member>,
    /// The contents of modules and crates, by their last name. The prelude is a module.
    pub(super) modules: BTreeMap<String, BTreeSet<String>>,
    /// Members that are private in every library type with this name; functions end in `(`.
    pub(super) hidden: BTreeSet<String>,
    /// Glob re-exports, as pairs of modules.
    #[serde(skip)]
    globs: Vec<(String, String)>,
}

/// A struct, an enum, a trait, or a type alias.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Type {
    /// The package that defines it; empty until its definition was seen.
    package: String,
    pub(super) signature: String,
    pub(super) docs: String,
    pub(super) members: BTreeMap<String, Member>,
    /// The public fields of a struct in declaration order.
    pub(super) fields: Vec<String>,
    /// Private members, in the form of [`Index::hidden`].
    pub(super) hidden: BTreeSet<String>,
}

/// A function, a method, a field or a variant.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) signature: String,
    pub(super) docs: String,
    pub(super) kind: String,
    /// The type of its value; empty if it has none.
    pub(super) returns: String,
    /// Whether it is called as a method.
    pub(super) method: bool,
    /// Whether it is called without arguments.
    pub(super) complete: bool,
}

/// Builds the index of a template.
///
/// # Errors
/// Its metadata or a source file cannot be read.
pub fn record(here: &Installation) -> anyhow::Result<()> {
    let template = &here.template;
    let metadata = metadata::recorded(template)?;
    let packages = metadata["packages"].as_array().context("the metadata have no packages")?;
    let mut index = Index::default();
    for name in PACKAGES.split_whitespace() {
        let package = packages.iter().find(|package| package["name"] == *name);
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let manifest = Path::new(manifest.with_context(|| format!("no package {name}"))?);
        for file in sources(&manifest.with_file_name("src"))? {
            index.add_library(name, &module_of(name, &file), &fs::read_to_string(file)?);
        }
    }
    index.resolve_globs();
    // For the rest of the standard library, only private members matter.
    let mut rest = Index::default();
    let library = here.tools.toolchain.source();
    for folder in ["core/src", "alloc/src", "std/src"].map(|folder| library.join(folder)) {
        for file in sources(&folder)? {
            let text = fs::read_to_string(&file)?;
            // Public items of `std::sys` are public only within the standard library.
            if !file.iter().any(|part| part == "sys") {
                rest.add_library("std", "", &text);
            }
            if STANDARD.split_whitespace().any(|known| file.ends_with(known)) {
                let place = file.strip_prefix(&folder)?.iter().next().map(Path::new);
                let module = place.and_then(Path::file_stem).unwrap_or_default();
                let module = module.to_string_lossy().into_owned();
                index.add_library("std", &module, &text);
                index.hold("std", &module);
            }
        }
    }
    let known = || index.types.values().chain(rest.types.values());
    let members = known().flat_map(|known| &known.members);
    let public: BTreeSet<String> = members.map(|(name, member)| key(name, member)).collect();
    let private = known().flat_map(|known| &known.hidden).filter(|name| !public.contains(*name));
    index.hidden = private.cloned().collect();
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

impl Index {
    /// Adds the public items of a library module's file.
    pub(super) fn add_library(&mut self, package: &str, module: &str, text: &str) {
        let parsed = SourceFile::parse(text, Edition::Edition2024);
        self.items(parsed.tree().items(), package, module);
    }

    /// Resolves glob exports of modules; called once all libraries are added.
    pub(super) fn resolve_globs(&mut self) {
        let globs = std::mem::take(&mut self.globs);
        // A module's exports may themselves come from a glob.
        for (module, from) in globs.iter().chain(&globs) {
            let names = self.modules.get(from).cloned().unwrap_or_default();
            self.modules.entry(module.clone()).or_default().extend(names);
        }
    }

    fn hold(&mut self, module: &str, name: &str) {
        self.modules.entry(module.to_owned()).or_default().insert(name.to_owned());
    }

    /// Adds the definitions of a cell.
    pub(super) fn add_cell(&mut self, text: &str) {
        let parsed = SourceFile::parse(&format!("fn cell() {{{text}\n}}"), Edition::Edition2024);
        let list = parsed.syntax_node().descendants().find_map(ast::StmtList::cast);
        let nodes = list.into_iter().flat_map(|list| list.syntax().children());
        self.items(nodes.filter_map(ast::Item::cast), "", "");
    }

    /// The names of all types and functions of a cell.
    pub(super) fn names(&self) -> impl Iterator<Item = Match> {
        let types = self.types.iter().filter(|(_, found)| !found.signature.is_empty());
        types.map(|(name, _)| name).chain(self.functions.keys()).map(|name| self.matched(name))
    }

    /// The contents of a module.
    pub(super) fn within(&self, module: &str) -> impl Iterator<Item = Match> {
        self.modules.get(module).into_iter().flatten().map(|name| self.matched(name))
    }

    fn matched(&self, name: &str) -> Match {
        match self.functions.get(name) {
            _ if self.types.contains_key(name) => matched(name, "class"),
            Some(function) if function.complete => matched(format!("{name}()"), "function"),
            Some(_) => matched(name, "function"),
            None => matched(name, "module"),
        }
    }

    /// Adds items of a package. An empty package name stands for a cell, which can use all items
    /// outside modules.
    fn items(&mut self, items: impl Iterator<Item = ast::Item>, package: &str, module: &str) {
        let all = package.is_empty() && module.is_empty();
        let is_public = |node: &SyntaxNode| all || is_public(node);
        for item in items {
            let public = is_public(item.syntax());
            match item {
                ast::Item::Struct(item) if public => {
                    let list = item.syntax().children().find_map(ast::RecordFieldList::cast);
                    let fields = list.into_iter().flat_map(|list| list.fields());
                    let fields = fields.filter_map(|item| {
                        let end = item.syntax().text_range().end();
                        Some((is_public(item.syntax()), member(&item, "field", end, item.ty())?))
                    });
                    self.define(&item, "struct", package, module).add(fields);
                }
                ast::Item::Enum(item) if public => {
                    let list = item.variant_list().into_iter().flat_map(|list| list.variants());
                    let owner = text(&item.name());
                    let variants = list.filter_map(|item| {
                        let end = item.syntax().text_range().end();
                        let (name, mut member) = member(&item, "instance", end, None)?;
                        member.returns.clone_from(&owner);
                        Some((true, (name, member)))
                    });
                    self.define(&item, "enum", package, module).add(variants);
                }
                ast::Item::Trait(item) if public => {
                    let functions = functions(item.assoc_item_list(), |_| true);
                    self.define(&item, "trait", package, module).add(functions);
                }
                ast::Item::TypeAlias(item) if public => {
                    self.define(&item, "type", package, module);
                }
                ast::Item::Impl(item) => {
                    let (owner, _) = types::parts(&text(&item.self_ty()));
                    let of_trait = item.trait_().is_some();
                    // The traits of number types are mostly private to their library.
                    let is_number = owner.starts_with(char::is_lowercase);
                    if owner.is_empty() || of_trait && !all && is_number {
                        continue;
                    }
                    let known = self.types.entry(owner).or_default();
                    // A type of another library with the same name keeps its own functions.
                    if known.package.is_empty() || known.package == package || of_trait {
                        let is_public = |item: &SyntaxNode| of_trait || is_public(item);
                        known.add(functions(item.assoc_item_list(), is_public));
                    }
                }
                ast::Item::Fn(item) if public => {
                    let Some((name, member)) = function(&item) else { continue };
                    self.hold(module, &name);
                    if all || !self.functions.contains_key(&name) {
                        self.functions.insert(name, member);
                    }
                }
                ast::Item::Module(item) => {
                    let name = text(&item.name());
                    if let Some(list) = item.item_list().filter(|_| name != "tests") {
                        self.items(list.items(), package, &name);
                    }
                    if public && name != "tests" {
                        self.hold(module, &name);
                    }
                }
                ast::Item::Use(item) if public && !module.is_empty() => {
                    for path in item.use_tree().into_iter().flat_map(|tree| paths(&tree)) {
                        match path.strip_suffix("::*") {
                            Some(from) => self.globs.push((module.into(), imported(from).into())),
                            None if path.ends_with(" as _") => {}
                            None => self.hold(module, imported(&path)),
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The entry of a type; a hidden one if another library has a type of this name.
    fn define(
        &mut self,
        item: &(impl HasName + HasAttrs + HasGenericParams),
        kind: &str,
        package: &str,
        module: &str,
    ) -> &mut Type {
        let name = text(&item.name());
        self.hold(module, &name);
        let taken = |known: &Type| !known.package.is_empty() && known.package != package;
        if self.types.get(&name).is_some_and(taken) {
            return self.types.entry(format!("{package}::{name}")).or_default();
        }
        let signature = format!("{kind} {name}{}", one_line(&text(&item.generic_param_list())));
        let known = self.types.entry(name).or_default();
        if package.is_empty() {
            // A cell redefines its type.
            *known = Type::default();
        }
        package.clone_into(&mut known.package);
        known.signature = signature;
        known.docs = docs(item.syntax());
        let attributes: String = item.attrs().map(|attribute| text(&Some(attribute))).collect();
        for (name, code) in DERIVED {
            let derived = words(&attributes).any(|word| word == name);
            let parsed = SourceFile::parse(code, Edition::Edition2024).tree();
            let functions = parsed.syntax().children().filter_map(ast::Fn::cast);
            known.add(
                functions.filter(|_| derived).filter_map(|item| Some((true, function(&item)?))),
            );
        }
        known
    }
}

impl Type {
    /// Adds public and private members.
    fn add(&mut self, members: impl Iterator<Item = (bool, (String, Member))>) {
        for (public, (name, member)) in members {
            if !public {
                self.hidden.insert(key(&name, &member));
                continue;
            }
            if member.kind == "field" {
                self.fields.push(name.clone());
            }
            self.members.entry(name).or_insert(member);
        }
    }
}

/// A member's key in the lists of private members.
fn key(name: &str, member: &Member) -> String {
    if member.kind == "function" { format!("{name}(") } else { name.to_owned() }
}

fn is_public(node: &SyntaxNode) -> bool {
    let visibility = node.children().find_map(ast::Visibility::cast);
    visibility.is_some_and(|visibility| visibility.syntax().text() == "pub")
}

/// The functions of a trait or an implementation.
fn functions(
    list: Option<ast::AssocItemList>,
    is_public: impl Fn(&SyntaxNode) -> bool,
) -> impl Iterator<Item = (bool, (String, Member))> {
    let items = list.into_iter().flat_map(|list| list.assoc_items());
    items.filter_map(move |item| match item {
        ast::AssocItem::Fn(item) => Some((is_public(item.syntax()), function(&item)?)),
        _ => None,
    })
}

fn function(item: &ast::Fn) -> Option<(String, Member)> {
    let list = item.param_list()?;
    let returns = item.ret_type();
    let end = returns.as_ref().map_or(list.syntax(), |returns| returns.syntax()).text_range().end();
    let (name, member) = member(item, "function", end, returns.and_then(|returns| returns.ty()))?;
    let signature = format!("fn {}", member.signature);
    let (method, complete) = (list.self_param().is_some(), list.params().next().is_none());
    Some((name, Member { signature, method, complete, ..member }))
}

/// The declaration from its name to a given end.
fn member(
    item: &impl HasName,
    kind: &str,
    end: TextSize,
    returns: Option<ast::Type>,
) -> Option<(String, Member)> {
    let (node, name) = (item.syntax(), item.name()?);
    let begin = node.text_range().start();
    let declared = name.syntax().text_range().start() - begin..end - begin;
    let signature = one_line(&node.text().slice(declared).to_string());
    let (docs, kind, returns) = (docs(node), kind.to_owned(), one_line(&text(&returns)));
    let member = Member { signature, docs, kind, returns, ..Member::default() };
    Some((name.text().to_string(), member))
}

/// The first paragraph of an item's description.
fn docs(node: &SyntaxNode) -> String {
    let tokens = node.children_with_tokens().filter_map(|child| child.into_token());
    let comments = tokens.filter_map(ast::Comment::cast);
    let lines = comments.filter_map(|comment| Some(comment.doc_comment()?.0.trim().to_owned()));
    let lines: Vec<String> =
        lines.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect();
    let mut text = lines.join(" ");
    text.truncate(text.floor_char_boundary(DOCS));
    text
}

/// The text of a node; empty if there is none.
fn text(node: &Option<impl AstNode>) -> String {
    node.as_ref().map(|node| node.syntax().text().to_string()).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace("( ", "(").replace(", )", ")").replace(",)", ")")
}
