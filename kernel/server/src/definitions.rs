//! Fingerprints of types, which are equal while everything that determines a type's layout is unchanged.
//!
//! The compiler may give a redefined struct the `TypeId` of the earlier one, since it depends on
//! paths and names and not on the types of fields. So before memory of an earlier cell is read (a variable, a static), the
//! kernel compares the text of all definitions in its type.

use crate::parsed::words;
use ra_ap_syntax::ast::{self, AstNode, HasVisibility};
use ra_ap_syntax::{SyntaxElement, SyntaxKind, SyntaxNode};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Definitions of types, by name. A name may have several definitions, in several modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Definitions(BTreeMap<String, BTreeSet<String>>);

impl Definitions {
    /// The definitions in a syntax tree, including those in modules and functions.
    pub(crate) fn of(tree: &SyntaxNode) -> Self {
        let mut definitions = Self::default();
        for item in tree.descendants().filter_map(ast::Item::cast) {
            let Some(name) = type_name(&item) else { continue };
            definitions.0.entry(name).or_default().insert(plain(item.syntax()));
        }
        definitions
    }

    /// Adds the definitions of another part of the session.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (name, texts) in &other.0 {
            self.0.entry(name.clone()).or_default().extend(texts.iter().cloned());
        }
    }

    /// The fingerprint of a type, given as text.
    pub(crate) fn fingerprint(&self, kind: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(kind);
        for (name, texts) in self.behind(kind) {
            hash.update(name);
            texts.iter().for_each(|text| hash.update(text));
        }
        crate::template::hex(hash.finalize())[..16].to_owned()
    }

    /// The definitions that a text names, directly or through other definitions.
    fn behind(&self, text: &str) -> BTreeMap<&str, &BTreeSet<String>> {
        let mut found = BTreeMap::new();
        let mut open = vec![text];
        while let Some(text) = open.pop() {
            for word in words(text) {
                if let Some((name, texts)) = self.0.get_key_value(word)
                    && found.insert(name.as_str(), texts).is_none()
                {
                    open.extend(texts.iter().map(String::as_str));
                }
            }
        }
        found
    }

    /// The names that a text depends on and that are not defined here.
    pub(crate) fn foreign<'a>(&'a self, text: &'a str) -> BTreeSet<&'a str> {
        let inner = self.behind(text).into_values().flatten().flat_map(|text| words(text));
        words(text).chain(inner).filter(|word| !self.0.contains_key(*word)).collect()
    }
}

/// The name of an item that can affect a type's layout.
fn type_name(item: &ast::Item) -> Option<String> {
    use ast::HasName;
    let name = match item {
        ast::Item::Struct(item) => item.name(),
        ast::Item::Enum(item) => item.name(),
        ast::Item::Union(item) => item.name(),
        ast::Item::TypeAlias(item) => item.name(),
        ast::Item::Trait(item) => item.name(),
        ast::Item::Const(item) => item.name(),
        // Used in array lengths.
        ast::Item::Fn(item) if item.const_token().is_some() => item.name(),
        _ => None,
    };
    name.map(|name| name.text().to_string())
}

/// The text of a node without parts that affect neither layout nor `TypeId`: whitespace, comments,
/// the visibility of items, and attributes other than `repr` and `cfg`.
pub(crate) fn plain(node: &SyntaxNode) -> String {
    let mut text = String::new();
    add_plain(node, &mut text);
    text
}

fn add_plain(node: &SyntaxNode, text: &mut String) {
    for child in node.children_with_tokens() {
        match child {
            SyntaxElement::Token(token) if token.kind().is_trivia() => {}
            SyntaxElement::Token(token) => {
                text.push_str(token.text());
                text.push(' ');
            }
            SyntaxElement::Node(child)
                if child.kind() == SyntaxKind::VISIBILITY && ast::Item::can_cast(node.kind()) => {}
            SyntaxElement::Node(child) if child.kind() == SyntaxKind::ATTR && !decides(&child) => {}
            SyntaxElement::Node(child) => add_plain(&child, text),
        }
    }
}

fn decides(attribute: &SyntaxNode) -> bool {
    let text = attribute.text().to_string();
    ["repr", "cfg"].iter().any(|word| words(&text).any(|found| found == *word))
}

/// An item's visibility, followed by a blank.
pub(crate) fn visibility(item: &impl HasVisibility) -> String {
    item.visibility()
        .map(|visibility| format!("{} ", visibility.syntax().text()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ra_ap_syntax::{Edition, SourceFile};

    fn fingerprint(items: &str, kind: &str) -> String {
        let parsed = SourceFile::parse(items, Edition::Edition2024);
        Definitions::of(&parsed.syntax_node()).fingerprint(kind)
    }

    #[test]
    fn a_fingerprint_changes_with_what_a_type_is_made_of() {
        let items = "struct A { b: B }\nenum B { C }\nstruct Other;";
        let first = fingerprint(items, "Vec<A>");
        for (same, why) in [
            ("#[derive(Debug)] pub struct A { b: B }\n/// Docs.\nenum B { C }", "no layout"),
            ("struct A { b: B }\nenum B { C }\nstruct Other(u8);", "not part of it"),
            ("mod m { struct A { b: B }\nenum B { C } } fn f() {}", "elsewhere"),
        ] {
            assert_eq!(fingerprint(same, "Vec<A>"), first, "{why}");
        }
        for other in [
            "struct A { b: B, c: u8 }\nenum B { C }",
            "struct A { b: B }\nenum B { C(u8) }",
            "#[repr(C)] struct A { b: B }\nenum B { C }",
        ] {
            assert_ne!(fingerprint(other, "Vec<A>"), first, "{other}");
        }
        assert_ne!(
            fingerprint("const N: usize = 1;", "[u8; N]"),
            fingerprint("const N: usize = 2;", "[u8; N]")
        );
    }
}
