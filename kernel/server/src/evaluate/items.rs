//! The items of a session, as far as the kernel needs them.
//!
//! evcxr stores an item under its name, and an item without a name with the named item before it in the cell. So each
//! implementation gets its own named item before it (`marker`), and a new definition replaces exactly the
//! earlier one.

use crate::definitions::{Definitions, plain};
use crate::parsed::{Parsed, called_macro, words};
use ra_ap_parser::LexedStr;
use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasGenericParams, HasModuleItem, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode, SyntaxToken, TextSize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// Prefix of the markers that precede other items. The compiler must not warn about markers: evcxr
/// treats warnings as errors when it looks for the reason why it cannot keep a type.
const PREFIX: &str = "BenchbookItem";

/// The module around a macro; evcxr would reorder the macro among the other items.
const MACRO: &str = "benchbook_macro_";

/// Whether the kernel generated an item's name.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with(MACRO)
}

/// A session's items, by the names under which evcxr stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Items(BTreeMap<String, Item>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Item {
    definitions: Definitions,
    /// Source of a macro.
    text: Option<String>,
    /// Whether the name matches without binding in a pattern: a constant or a unit struct.
    constant: bool,
    /// The variants of an enum.
    variants: Vec<String>,
    /// Path of an import or a glob import.
    import: Option<String>,
}

impl Items {
    /// The items of a cell.
    #[cfg(test)]
    pub(super) fn of(cell: &str) -> Self {
        Self::among(Parsed::of(cell).unwrap().statements().unwrap().syntax())
    }

    /// The items among statements.
    pub(super) fn among(statements: &SyntaxNode) -> Self {
        let mut items = Self::default();
        for item in statements.children().filter_map(ast::Item::cast) {
            items.add(&item);
        }
        items
    }

    fn add(&mut self, item: &ast::Item) {
        let text = match item {
            ast::Item::MacroRules(item) => Some(item.syntax().text().to_string()),
            _ => None,
        };
        let variants = match item {
            ast::Item::Enum(item) => {
                let variants = item.variant_list().into_iter().flat_map(|list| list.variants());
                variants.filter_map(|variant| Some(variant.name()?.text().to_string())).collect()
            }
            _ => Vec::new(),
        };
        if let ast::Item::Use(item) = item {
            for path in item.use_tree().into_iter().flat_map(|tree| paths(&tree)) {
                self.0
                    .insert(format!("use {path}"), Item { import: Some(path), ..Item::default() });
            }
            return;
        }
        let Some(name) = name(item) else { return };
        let constant = match item {
            ast::Item::Const(_) => true,
            ast::Item::Struct(item) => item.field_list().is_none(),
            _ => false,
        };
        let definitions = Definitions::of(item.syntax());
        self.0.insert(name, Item { definitions, text, constant, variants, import: None });
    }

    /// Adds an item that the kernel generated.
    fn mark(&mut self, name: &str) {
        self.0.insert(name.to_owned(), Item::default());
    }

    /// Whether evcxr stores an item under this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether one of the imports brings in a name.
    pub(super) fn imports(&self, name: &str) -> bool {
        self.0.values().filter_map(|item| item.import.as_deref()).any(|path| imported(path) == name)
    }

    /// The names under which evcxr stores the items.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The session's items after a cell that defines `newer`.
    pub(super) fn with(&self, newer: Self) -> Self {
        let mut all = self.clone();
        all.0.extend(newer.0);
        all
    }

    /// The variables whose types change their meaning with the `newer` items.
    pub(super) fn outdated<'a>(
        &self,
        newer: &Self,
        variables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Vec<&'a str> {
        if self == newer {
            return Vec::new();
        }
        let (before, after) = (self.definitions(), newer.definitions());
        let outdated = |kind: &str| before.fingerprint(kind) != after.fingerprint(kind);
        variables.filter(|(_, kind)| outdated(kind)).map(|(name, _)| name).collect()
    }

    fn definitions(&self) -> Definitions {
        let mut all = Definitions::default();
        self.0.values().for_each(|item| all.extend(&item.definitions));
        all
    }

    /// The source of all macros, if one of them has this name.
    pub(super) fn macros_for(&self, name: &str) -> Option<String> {
        self.0.get(name)?.text.as_ref()?;
        let texts: Vec<&str> = self.0.values().filter_map(|item| item.text.as_deref()).collect();
        Some(texts.join("\n"))
    }

    /// The names that bind no variable in a pattern.
    pub(super) fn constants(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> =
            self.0.iter().filter(|(_, item)| item.constant).map(|(name, _)| name.clone()).collect();
        for path in self.0.values().filter_map(|item| item.import.as_deref()) {
            let mut parts = path.rsplit("::");
            let (last, of) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let Some(variants) = self.0.get(of).map(|item| &item.variants) else { continue };
            let imported = variants.iter().filter(|variant| last == "*" || *variant == last);
            names.extend(imported.cloned());
        }
        names
    }
}

/// The paths of an import: `a::{b as d,c::*}` is `a::b as d` and `a::c::*`.
pub(crate) fn paths(tree: &ast::UseTree) -> Vec<String> {
    let Some(list) = tree.use_tree_list() else {
        let parts: Vec<String> =
            plain(tree.syntax()).split(" as ").map(|part| part.replace(' ', "")).collect();
        return vec![parts.join(" as ")];
    };
    let prefix = tree.path().map(|path| plain(path.syntax()).replace(' ', "") + "::");
    let prefix = prefix.unwrap_or_default();
    let inner = list.use_trees().flat_map(|tree| paths(&tree));
    inner.map(|path| format!("{prefix}{path}")).collect()
}

/// The name that an imported path brings into scope.
pub(crate) fn imported(path: &str) -> &str {
    let path = path.strip_suffix("::self").unwrap_or(path);
    path.rsplit([':', ' ']).next().unwrap_or_default()
}

/// The name under which evcxr stores an item.
pub(super) fn name(item: &ast::Item) -> Option<String> {
    let name = match item {
        ast::Item::Const(item) => item.name(),
        ast::Item::Enum(item) => item.name(),
        ast::Item::Fn(item) => item.name(),
        ast::Item::MacroRules(item) => item.name(),
        ast::Item::Module(item) => item.name(),
        ast::Item::Static(item) => item.name(),
        ast::Item::Struct(item) => item.name(),
        ast::Item::Trait(item) => item.name(),
        ast::Item::TypeAlias(item) => item.name(),
        ast::Item::Union(item) => item.name(),
        _ => None,
    };
    name.map(|name| name.text().to_string())
}

/// Text to be inserted before a byte of the cell.
type Insertion = (usize, String);

/// Makes evcxr store an item so that a later definition replaces exactly this item. `place` maps a
/// node to its byte in the cell; `own` receives the names of the markers.
pub(super) fn keep_apart(
    item: &ast::Item,
    place: impl Fn(TextSize) -> usize,
    own: &mut Items,
) -> Vec<Insertion> {
    let begin = place(item.syntax().text_range().start());
    let end = place(item.syntax().text_range().end());
    match item {
        ast::Item::MacroRules(item) => {
            // Exported macros are visible everywhere.
            let is_exported =
                item.attrs().any(|attribute| attribute.syntax().text() == "#[macro_export]");
            let Some(name) = item.name().filter(|_| !is_exported) else { return Vec::new() };
            let module = format!("{MACRO}{name}");
            own.mark(&module);
            let open =
                format!("#[allow(non_snake_case, unused_macros)] #[macro_use] mod {module} {{ ");
            let close = format!(" pub(crate) use {name}; }} use {module}::{name};");
            vec![(begin, open), (end, close)]
        }
        ast::Item::Impl(item) => {
            let key = key(item);
            let members = item.assoc_item_list().map(|list| list.assoc_items().collect::<Vec<_>>());
            let members: Vec<SyntaxNode> =
                members.into_iter().flatten().map(|member| member.syntax().clone()).collect();
            if item.trait_().is_some() || members.len() < 2 || has_attribute(item.syntax()) {
                let only =
                    members.first().filter(|_| item.trait_().is_none() && members.len() == 1);
                let member = only.map(member_name).unwrap_or_default();
                return vec![(begin, marker(&format!("{key} {member}"), own))];
            }
            let list = item.assoc_item_list().and_then(|list| list.l_curly_token());
            let Some(open) = list else { return Vec::new() };
            let header = head(item.syntax(), open.text_range().start());
            apart(&key, &header, &members, begin, place, own)
        }
        ast::Item::ExternBlock(item) => {
            let Some(list) = item.extern_item_list() else { return Vec::new() };
            let members: Vec<SyntaxNode> =
                list.extern_items().map(|member| member.syntax().clone()).collect();
            let Some(open) = list.l_curly_token() else { return Vec::new() };
            let header = head(item.syntax(), open.text_range().start());
            apart("extern", &header, &members, begin, place, own)
        }
        ast::Item::Use(_) | ast::Item::ExternCrate(_) | ast::Item::MacroCall(_) => Vec::new(),
        _ if name(item).is_none() => vec![(begin, marker(&plain(item.syntax()), own))],
        _ => Vec::new(),
    }
}

/// Imports the session's macros that a module calls: evcxr orders items so that macros do not
/// precede the modules of later cells, as they would in a file.
pub(super) fn macros_in_scope(module: &ast::Module, known: &Items) -> Option<(TextSize, String)> {
    let list = module.item_list()?;
    let open = list.l_curly_token()?;
    let tokens: Vec<_> = list
        .syntax()
        .descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| !token.kind().is_trivia())
        .collect();
    let inner = |token: &SyntaxToken| {
        token.parent_ancestors().find_map(ast::Module::cast).is_some_and(|other| other != *module)
    };
    let mut called: BTreeSet<&str> = tokens
        .windows(3)
        .filter(|around| around[2].text() == "!" && around[0].text() != "::" && !inner(&around[1]))
        .map(|around| around[1].text())
        .filter(|name| known.macros_for(name).is_some())
        .collect();
    // Skip macros that the module defines or imports itself.
    for item in list.items() {
        match &item {
            ast::Item::MacroRules(item) => {
                called.retain(|name| item.name().is_none_or(|own| own.text() != *name));
            }
            ast::Item::Use(item) => {
                let text = item.syntax().text().to_string();
                called.retain(|name| !words(&text).any(|word| word == *name));
            }
            _ => {}
        }
    }
    let imports = called.iter().map(|name| format!(" #[allow(unused_imports)] use crate::{name};"));
    let imports: String = imports.collect();
    (!imports.is_empty()).then(|| (open.text_range().end(), imports))
}

/// Puts each member into a separate block.
fn apart(
    key: &str,
    header: &str,
    members: &[SyntaxNode],
    begin: usize,
    place: impl Fn(TextSize) -> usize,
    own: &mut Items,
) -> Vec<Insertion> {
    let mut insertions = Vec::new();
    for (at, member) in members.iter().enumerate() {
        let marker = marker(&format!("{key} {}", member_name(member)), own);
        insertions.push(match at {
            0 => (begin, marker),
            _ => (place(member.text_range().start()), format!("}} {marker}{header}{{ ")),
        });
    }
    if members.is_empty() {
        insertions.push((begin, marker(key, own)));
    }
    insertions
}

/// A named item that precedes an item without a name.
fn marker(key: &str, own: &mut Items) -> String {
    let hash = crate::template::hex(Sha256::digest(key));
    let name = format!("{PREFIX}{}", &hash[..16]);
    own.mark(&name);
    format!("type {name} = (); ")
}

/// The identity of an implementation: trait and type, with normalised generic parameters. A later
/// implementation with the same key replaces the earlier one.
fn key(item: &ast::Impl) -> String {
    let mut parameters = HashMap::new();
    for parameter in item.generic_param_list().into_iter().flat_map(|list| list.generic_params()) {
        let name = match &parameter {
            ast::GenericParam::ConstParam(parameter) => {
                parameter.name().map(|name| name.text().to_string())
            }
            ast::GenericParam::TypeParam(parameter) => {
                parameter.name().map(|name| name.text().to_string())
            }
            ast::GenericParam::LifetimeParam(_) => None,
        };
        if let Some(name) = name {
            let number = format!("${}", parameters.len());
            parameters.insert(name, number);
        }
    }
    let named = |node: &SyntaxNode| {
        let text = plain(node);
        let words = text.split(' ').filter(|word| !word.starts_with('\''));
        let words = words.map(|word| parameters.get(word).map_or(word, String::as_str));
        // `crate::Cat` is `Cat`.
        words.collect::<Vec<_>>().join(" ").replace("crate :: ", "").replace("self :: ", "")
    };
    let of = item.trait_().map(|of| named(of.syntax()));
    let of = of.map(|of| without_path(&of)).unwrap_or_default();
    let kind = item.self_ty().map(|kind| named(kind.syntax())).unwrap_or_default();
    format!("impl {of} for {kind}")
}

/// The name of a trait with its arguments, without its module path.
fn without_path(name: &str) -> String {
    let path = name.split('<').next().unwrap_or_default();
    name[path.rfind(":: ").map_or(0, |at| at + 3)..].to_owned()
}

fn member_name(member: &SyntaxNode) -> String {
    let name = member.children().find_map(ast::Name::cast);
    name.map_or_else(|| plain(member), |name| name.text().to_string())
}

/// Whether an implementation has an attribute that may depend on its whole body.
fn has_attribute(item: &SyntaxNode) -> bool {
    item.children().filter_map(ast::Attr::cast).any(|attribute| {
        let path = attribute.path().map(|path| path.syntax().text().to_string());
        !path.is_some_and(|path| ["allow", "cfg", "doc", "expect", "warn"].contains(&path.as_str()))
    })
}

/// The text before an opening brace, on one line and without comments.
fn head(item: &SyntaxNode, brace: TextSize) -> String {
    let tokens = item.descendants_with_tokens().filter_map(|element| element.into_token());
    let tokens = tokens.take_while(|token| token.text_range().start() < brace);
    let mut text = String::new();
    for token in tokens {
        text.push_str(if token.kind().is_trivia() { " " } else { token.text() });
    }
    text
}

/// The expansion of a session macro, on one line; `None` unless it consists of items only.
pub(super) fn expanded(macros: &str, call: &str) -> Option<Parsed> {
    use ra_ap_ide::{Analysis, FilePosition};
    let offset = u32::try_from(macros.len() + 1).ok()?;
    let folder = ra_ap_paths::AbsPathBuf::assert("/".into());
    let (analysis, file_id) =
        Analysis::from_single_file(format!("{macros}\n{call}\n"), folder.into());
    let position = FilePosition { file_id, offset: offset.into() };
    let text = analysis.expand_macro(position).ok()??.expansion;
    let lexed = LexedStr::new(Edition::Edition2024, &text);
    let words = (0..lexed.len()).map(|at| match lexed.kind(at).is_trivia() {
        true => " ",
        false => lexed.text(at),
    });
    let made = Parsed::of(words.collect::<String>().trim()).ok()?;
    let is_item = |node: SyntaxNode| {
        ast::Item::can_cast(node.kind())
            || called_macro(&node).is_some_and(|call| is_thread_local(&call))
    };
    (made.is_valid() && made.nodes().next().is_some() && made.nodes().all(is_item)).then_some(made)
}

/// Whether a call is one of `thread_local!`.
pub(super) fn is_thread_local(call: &ast::MacroCall) -> bool {
    let last = call.path().and_then(|path| path.segment());
    last.is_some_and(|segment| segment.syntax().text() == "thread_local")
}

/// Turns the `thread_local!`s of a call into statics, since cells can share statics. Each static holds a key,
/// which the first cell creates. `place` maps the call's bytes to the cell; `own` receives the statics.
pub(super) fn thread_local(
    call: &ast::MacroCall,
    place: Range<usize>,
    own: &mut Items,
) -> Option<Vec<Insertion>> {
    let tree = call.token_tree()?;
    let open = tree.left_delimiter_token()?;
    let close = tree.right_delimiter_token()?;
    let from = usize::from(open.text_range().end() - call.syntax().text_range().start());
    let to = usize::from(close.text_range().start() - call.syntax().text_range().start());
    let text = call.syntax().text().to_string();
    let inner = &text[from..to];
    let semicolon = if inner.trim_end().ends_with(';') { "" } else { "\n;" };
    let parsed = SourceFile::parse(&format!("{inner}{semicolon}"), Edition::Edition2024);
    let mut insertions = Vec::new();
    let mut last: Option<String> = None;
    for item in parsed.syntax_node().children() {
        let item = ast::Static::cast(item)?;
        let name = item.name()?.text().to_string();
        let (kind, visibility) =
            (item.ty()?.syntax().text(), crate::definitions::visibility(&item));
        let kind = kind.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let head = format!(
            "{visibility}static {name}: ::std::sync::LazyLock<::std::thread::LocalKey<{kind}>> = ::std::sync::LazyLock::new(|| {{ "
        );
        match last {
            None => insertions.push((place.start, head)),
            Some(last) => {
                let at = place.start + from + usize::from(item.syntax().text_range().start());
                let (open, close) = (open.text(), close.text());
                let end = if close == "}" { "" } else { ";" };
                insertions.push((
                    at,
                    format!("{close}{end} {last} }}); {head}::std::thread_local! {open}"),
                ));
            }
        }
        own.mark(&name);
        last = Some(name);
    }
    let close = if close.text() == "}" { "" } else { ";" };
    insertions.push((place.end, format!("{close} {} }});", last?)));
    Some(insertions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implementations_are_told_apart_by_trait_and_type() {
        let key = |code: &str| {
            let parsed = SourceFile::parse(code, Edition::Edition2024);
            parsed
                .syntax_node()
                .children()
                .find_map(ast::Impl::cast)
                .map(|item| key(&item))
                .unwrap()
        };
        for (one, other) in [
            ("impl Speak for Cat { fn a() {} }", "impl crate::zoo::Speak for crate::Cat {}"),
            ("impl<T> Speak for Vec<T> {}", "impl<U: Clone> Speak for Vec<U> where U: Copy {}"),
            ("impl<'a> Speak for Name<'a> {}", "impl<'b> Speak for Name<'b> {}"),
            ("impl Cat {}", "impl Cat { fn a() {} }"),
        ] {
            assert_eq!(key(one), key(other));
        }
        for (one, other) in [
            ("impl From<u8> for Cat {}", "impl From<u16> for Cat {}"),
            ("impl Cat {}", "impl Speak for Cat {}"),
            ("impl Name<u8> {}", "impl Name<u16> {}"),
        ] {
            assert_ne!(key(one), key(other));
        }
    }

    #[test]
    fn a_macro_that_makes_items_is_expanded() {
        let macros = "macro_rules! point { ($name:ident) => { #[derive(Debug, Clone)] struct $name { x: f64 } impl $name { fn x(&self) -> f64 { self.x } } }; }";
        let text = expanded(macros, "point!(Pixel);").unwrap().text;
        assert!(text.contains("#[derive(Debug, Clone)]") && text.contains("impl Pixel"), "{text}");
        assert!(!text.contains('\n'), "{text}");
        assert!(
            expanded("macro_rules! twice { ($a:expr) => { $a * 2 }; }", "twice!(4);").is_none()
        );
        assert!(expanded(macros, "point!(1);").is_none());
    }

    #[test]
    fn constants_and_imported_variants_bind_nothing() {
        let items = Items::of(
            "const A: u8 = 1; struct B; struct C(u8); enum D { E, F } use D::{F, G}; use std::io::*;",
        );
        assert_eq!(items.constants().into_iter().collect::<Vec<_>>(), ["A", "B", "F"]);
        assert_eq!(Items::of("enum D { E, F } use crate::D::*;").constants().len(), 2);
        let names: Vec<_> = Items::of("use a::{b,c::{d,e},f::*};").0.into_keys().collect();
        assert_eq!(names, ["use a::b", "use a::c::d", "use a::c::e", "use a::f::*"]);
    }

    #[test]
    fn a_variable_is_outdated_if_its_type_has_changed() {
        let old = Items::of("struct Cat { lives: u8 }\nimpl Cat { fn a() {} }\nfn f() {}");
        let variables = [("cats", "Vec<Cat>"), ("n", "i32")];
        let outdated = |code: &str| old.outdated(&old.with(Items::of(code)), variables.into_iter());
        assert_eq!(outdated("struct Cat { lives: u64 }"), ["cats"]);
        assert!(
            outdated("#[derive(Debug)] struct Cat { lives: u8 }\nfn f() { g() }\nstruct Dog;")
                .is_empty()
        );
    }
}
