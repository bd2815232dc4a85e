//! Keeps the values of statics from cell to cell.
//!
//! evcxr pastes all items of the session into each cell, so each cell would have its own statics. Instead, the
//! first loaded cell exports its static under a name of the session, and every later cell only declares
//! it:
//!
//! ```text
//! #[unsafe(export_name = "benchbook_static_5d41402a_1")] static SEEN: AtomicU32 = AtomicU32::new(0);
//! unsafe extern "Rust" { #[link_name = "benchbook_static_5d41402a_1"] safe static SEEN: AtomicU32; }
//! ```
//!
//! The name contains a fingerprint of the static's definition and of all definitions in its type, so a
//! changed static gets another name and separate memory. An immutable static is not rewritten, so that constants can be
//! computed from it.
//!
//! The server lists the statics in the worker ([`LIVE`]). The stand-in lists those that it has
//! defined ([`DEFINED`]), which are in the worker once their library is loaded (`worker/host.rs`).

use super::{read_json, write_json};
use crate::definitions::{Definitions, plain, visibility};
use crate::evcxr_contract::FUNCTION;
use crate::parsed::edited;
use crate::template::hex;
use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The statics in the worker; a file in the crate's folder.
pub const LIVE: &str = "statics.live";

/// The statics that the newest library defines; a file in the crate's folder.
pub const DEFINED: &str = "statics.defined";

/// Standard library types without interior mutability.
const FROZEN: [&str; 12] = [
    "Box",
    "Cow",
    "Duration",
    "Err",
    "None",
    "Ok",
    "Option",
    "PhantomData",
    "Result",
    "Some",
    "String",
    "Vec",
];

/// Statics by their paths within the session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statics(BTreeMap<String, Version>);

/// One definition of a static.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    fingerprint: String,
    /// Counts definitions: if an earlier definition returns, the static starts anew.
    number: u32,
}

impl Version {
    fn symbol(&self) -> String {
        format!("benchbook_static_{}_{}", self.fingerprint, self.number)
    }
}

impl Statics {
    /// Reads a list; an absent file is an empty list.
    pub fn read(path: &Path) -> Self {
        read_json(path)
    }

    /// Writes the list.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        write_json(path, self)
    }

    /// Adds loaded statics. Returns the names of redefined statics, whose values start anew.
    pub fn load(&mut self, loaded: Self) -> Vec<String> {
        let mut anew = Vec::new();
        for (path, version) in loaded.0 {
            let name = path.rsplit([':', ' ']).next().unwrap_or_default().to_owned();
            if self.0.insert(path, version).is_some() {
                anew.push(name);
            }
        }
        anew
    }
}

/// The source of a cell with shared statics, and the statics that it defines. `None` if it does not parse.
pub(super) fn shared(source: &str, live: &Statics) -> Option<(String, Statics)> {
    let parsed = SourceFile::parse(source, Edition::Edition2024);
    if !parsed.errors().is_empty() {
        return None;
    }
    let tree = parsed.syntax_node();
    let definitions = Definitions::of(&tree);
    let mut found = BTreeMap::new();
    let mut defined = Statics::default();
    let mut edits = Vec::new();
    for item in tree.descendants().filter_map(ast::Static::cast) {
        let Some(part) = Static::of(&item) else { continue };
        if !part.mutable && part.is_frozen(&definitions) {
            continue;
        }
        let Some(path) = path(item.syntax(), &part.name) else { continue };
        let count = found.entry(path.clone()).or_insert(0);
        *count += 1;
        // Blocks of one function may have statics of the same name.
        let path = if *count > 1 { format!("{count} {path}") } else { path };
        let fingerprint = part.fingerprint(&path, &definitions);
        let known = live.0.get(&path);
        match known.filter(|version| version.fingerprint == fingerprint) {
            Some(version) => edits.push(part.declared(source, &version.symbol())),
            None => {
                let number = known.map_or(0, |version| version.number) + 1;
                let version = Version { fingerprint, number };
                edits.push(part.exported(source, &version.symbol()));
                defined.0.insert(path, version);
            }
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    // A static within the initialiser of a declaration-only static is removed with it.
    Some((edited(source, edits), defined))
}

/// Whether the word `static` occurs other than in `'static`.
pub(super) fn mentions_static(source: &str) -> bool {
    source.match_indices("static ").any(|(at, _)| {
        !source[..at].ends_with(|c: char| c == '\'' || c == '_' || c.is_alphanumeric())
    })
}

type Edit = (std::ops::Range<usize>, String);

/// A static that may be shared.
struct Static {
    item: ast::Static,
    name: String,
    mutable: bool,
    kind: ast::Type,
    value: SyntaxNode,
}

impl Static {
    /// `None` if it is a declaration or the user already exports it.
    fn of(item: &ast::Static) -> Option<Self> {
        const OWN: [&str; 5] = ["no_mangle", "export_name", "link_section", "used", "thread_local"];
        let mut attributes = item.attrs().map(|attribute| attribute.syntax().text().to_string());
        if attributes.any(|text| OWN.iter().any(|own| text.contains(own))) {
            return None;
        }
        Some(Self {
            name: item.name()?.text().to_string(),
            mutable: item.mut_token().is_some(),
            kind: item.ty()?,
            value: item.body()?.syntax().clone(),
            item: item.clone(),
        })
    }

    /// Whether the static is immutable throughout. The user's own types are looked up; of other
    /// types only a few are known, and all of them begin with a capital letter.
    fn is_frozen(&self, definitions: &Definitions) -> bool {
        let kind = plain(self.kind.syntax());
        let mut foreign = definitions.foreign(&kind).into_iter();
        foreign.all(|word| !word.starts_with(char::is_uppercase) || FROZEN.contains(&word))
    }

    fn fingerprint(&self, path: &str, definitions: &Definitions) -> String {
        let kind = plain(self.kind.syntax());
        let mut hash = Sha256::new();
        for part in [path, &definitions.fingerprint(&kind), &plain(&self.value)] {
            hash.update(part);
            hash.update([0]);
        }
        hash.update([u8::from(self.mutable)]);
        hex(hash.finalize())[..16].to_owned()
    }

    fn range(&self) -> std::ops::Range<usize> {
        let range = self.item.syntax().text_range();
        usize::from(range.start())..usize::from(range.end())
    }

    /// Exports the static, if possible without changing the positions of the user's code.
    fn exported(&self, source: &str, symbol: &str) -> Edit {
        let begin = self.range().start;
        let line = source[..begin].rfind('\n');
        let before = line.map_or("", |end| source[..end].lines().next_back().unwrap_or_default());
        let is_first = line.is_some_and(|end| source[end..begin].trim().is_empty());
        let at = line.filter(|_| is_first && !before.contains(['/', '"'])).unwrap_or(begin);
        (at..at, format!(" #[unsafe(export_name = \"{symbol}\")] "))
    }

    /// Reduces the static to a declaration on as many lines.
    fn declared(&self, source: &str, symbol: &str) -> Edit {
        let range = self.range();
        let kept = self.item.attrs().map(|attribute| attribute.syntax().text().to_string());
        let kept: String = kept.filter(|text| text.contains("cfg")).collect();
        let (visibility, name) = (visibility(&self.item), &self.name);
        let kind = with_lifetimes(self.kind.syntax());
        let safety = if self.mutable { "static mut" } else { "safe static" };
        let declared = format!(
            "{kept}unsafe extern \"Rust\" {{ #[link_name = \"{symbol}\"] {visibility}{safety} {name}: {kind};"
        );
        let lines = source[range.clone()].matches('\n').count();
        let lines = lines.saturating_sub(declared.matches('\n').count());
        (range, format!("{declared}{} }}", "\n".repeat(lines)))
    }
}

/// The type with the lifetimes that a static may omit and a declaration may not.
fn with_lifetimes(kind: &SyntaxNode) -> String {
    let mut text = String::new();
    for token in kind.descendants_with_tokens().filter_map(|element| element.into_token()) {
        match token.text() {
            "'_" => text.push_str("'static"),
            "&" => {
                text.push('&');
                let open = token.parent().and_then(ast::RefType::cast);
                if open.is_some_and(|reference| reference.lifetime().is_none()) {
                    text.push_str("'static ");
                }
            }
            other => text.push_str(other),
        }
    }
    text
}

/// The path of a static: the modules, functions and implementations around it, and its name. `None`
/// for a static in a statement of the cell, which other cells cannot name.
fn path(item: &SyntaxNode, name: &str) -> Option<String> {
    let around = item.ancestors().skip(1).filter_map(|node| match ast::Item::cast(node)? {
        ast::Item::Fn(item) => Some(item.name()?.text().to_string()),
        ast::Item::Module(item) => Some(item.name()?.text().to_string()),
        ast::Item::Trait(item) => Some(item.name()?.text().to_string()),
        ast::Item::Impl(item) => {
            let of = item.trait_().map(|of| plain(of.syntax())).unwrap_or_default();
            Some(format!("{of}for {}", plain(item.self_ty()?.syntax())))
        }
        _ => None,
    });
    let mut parts: Vec<String> = around.collect();
    if parts.last().is_some_and(|outermost| outermost.starts_with(FUNCTION)) {
        return None;
    }
    parts.reverse();
    parts.push(name.to_owned());
    Some(parts.join("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sources of two successive cells; the second is compiled after the first is loaded.
    fn two(first: &str, second: &str) -> (String, String, Vec<String>) {
        let mut live = Statics::default();
        let (one, defined) = shared(first, &live).unwrap();
        live.load(defined);
        let (two, defined) = shared(second, &live).unwrap();
        let anew = live.load(defined);
        (one, two, anew)
    }

    #[test]
    fn a_static_is_defined_once_and_declared_later() {
        let source = "fn f() {}\n/// Docs.\npub(crate) static SEEN: Mutex<Vec<&str>> =\n    Mutex::new(\n Vec::new());\nfn g() {}\n";
        let (one, two, anew) = two(source, source);
        assert!(one.starts_with("fn f() {} #[unsafe(export_name = \"benchbook_static_"), "{one}");
        assert_eq!(
            one.lines().skip(1).collect::<Vec<_>>(),
            source.lines().skip(1).collect::<Vec<_>>()
        );
        assert!(two.contains("pub(crate) safe static SEEN: Mutex<Vec<&'static str>>;"), "{two}");
        assert_eq!(two.matches('\n').count(), source.matches('\n').count());
        assert!(anew.is_empty());
    }

    #[test]
    fn a_static_that_has_changed_begins_anew() {
        let source =
            "struct A(u8);\nfn f() { static LAST: Mutex<Option<A>> = Mutex::new(None); }\n";
        for (changed, why) in [
            (source.replace("u8", "u64"), "its type is made of another"),
            (source.replace("None)", "Some(A(1)))"), "its value"),
            (source.replace("Mutex<", "RwLock<"), "its type"),
        ] {
            let (_, two, anew) = two(source, &changed);
            assert!(two.contains("export_name") && two.contains("_2\""), "{why}: {two}");
            assert_eq!(anew, ["LAST"], "{why}");
        }
        let (_, two, anew) = two(source, &source.replace("fn f() {", "fn f() { g();"));
        assert!(two.contains("link_name") && anew.is_empty(), "{two}");
    }

    #[test]
    fn a_definition_that_comes_back_begins_anew() {
        let (old, new) = ("static A: AtomicU8 = a(0);\n", "static A: AtomicU8 = a(1);\n");
        let mut live = Statics::default();
        for (source, number) in [(old, 1), (new, 2), (old, 3)] {
            let (text, defined) = shared(source, &live).unwrap();
            assert!(
                text.contains(&format!("_{number}\"")) && text.contains("export_name"),
                "{text}"
            );
            live.load(defined);
        }
    }

    #[test]
    fn what_nothing_can_change_and_what_is_exported_stays() {
        for source in [
            "static NAMES: [&str; 2] = [\"a\", \"b\"];\n",
            "struct P { x: f64 }\nstatic ORIGIN: P = P { x: 0.0 };\n",
            "#[unsafe(no_mangle)] static A: AtomicU8 = AtomicU8::new(1);\n",
            "unsafe extern \"C\" { static environ: *const u8; }\n",
        ] {
            assert_eq!(
                shared(source, &Statics::default()),
                Some((source.into(), Statics::default()))
            );
        }
        assert!(!mentions_static("fn f(a: &'static str, b: Box<dyn A + 'static >) {}\n"));
        assert!(mentions_static("pub static A: u8 = 1;"));
        let (text, _) = shared("static mut N: u8 = 1;\n", &Statics::default()).unwrap();
        assert!(text.contains("export_name"), "{text}");
    }

    #[test]
    fn equal_names_in_modules_and_functions_are_told_apart() {
        let item = "static N: AtomicU8 = AtomicU8::new(0);";
        let source = format!(
            "mod a {{ {item} }} mod b {{ {item} }} fn f() {{ {{ {item} }} {{ {item} }} }}\n"
        );
        let (_, defined) = shared(&source, &Statics::default()).unwrap();
        assert_eq!(defined.0.keys().collect::<Vec<_>>(), ["2 f::N", "a::N", "b::N", "f::N"]);
        let names: std::collections::BTreeSet<_> =
            defined.0.values().map(Version::symbol).collect();
        assert_eq!(names.len(), 4);
    }

    #[test]
    fn the_list_is_read_as_it_was_written() {
        let (_, defined) = shared("static A: AtomicU8 = a(0);\n", &Statics::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LIVE);
        defined.write(&path).unwrap();
        assert_eq!(Statics::read(&path), defined);
        assert_eq!(Statics::read(&folder.path().join("absent")), Statics::default());
    }
}
