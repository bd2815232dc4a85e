//! The types of expressions, as far as signatures determine them.

use super::index::{Index, Member, Type};
use super::{Match, is_part_of_name, last_word, matched, place};
use crate::parsed::Parsed;
use ra_ap_syntax::ast::{self, AstNode, HasGenericArgs, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxKind, SyntaxNode};
use std::collections::BTreeMap;

/// Maximum length of a chain of calls or bindings.
const DEPTH: usize = 32;

/// Infers types in one piece of code.
pub(super) struct Types<'a> {
    variables: &'a BTreeMap<String, String>,
    indices: [&'a Index; 2],
    /// The code's own bindings, by name: the latest `let` counts.
    bound: BTreeMap<String, Binding>,
}

/// The source of a name's type.
enum Binding {
    Written(String),
    Value(ast::Expr),
    /// An element of this value, in a `for` loop.
    Each(ast::Expr),
    Unknown,
}

impl<'a> Types<'a> {
    pub(super) fn new(
        variables: &'a BTreeMap<String, String>,
        indices: [&'a Index; 2],
        root: Option<&SyntaxNode>,
    ) -> Self {
        Self { variables, indices, bound: bindings(root.into_iter().cloned()) }
    }

    /// The type of a value; empty if unknown.
    pub(super) fn of_value(&self, value: Option<ast::Expr>) -> String {
        value.and_then(|value| self.of(&value, DEPTH)).unwrap_or_default()
    }

    /// The members of a type; `call` says whether each is inserted as a call, or left out.
    pub(super) fn members(&self, kind: &str, call: impl Fn(&Member) -> Option<bool>) -> Vec<Match> {
        let known = self.chain(kind).into_iter().flat_map(|found| &found.members);
        let members = known.filter_map(|(name, member)| {
            let text = if call(member)? { format!("{name}()") } else { name.clone() };
            Some(matched(text, if member.kind == "field" { "instance" } else { &member.kind }))
        });
        members.collect()
    }

    /// A member of a type.
    pub(super) fn member(&self, kind: &str, name: &str) -> Option<&'a Member> {
        self.chain(kind).into_iter().find_map(|known| known.members.get(name))
    }

    /// Whether a text inserted after a value or a type is a name private to its library.
    pub(super) fn is_hidden(&self, kind: &str, text: &str, is_function: bool) -> bool {
        let end = text.find(|c| !is_part_of_name(c)).unwrap_or(text.len());
        let name = if is_function { format!("{}(", &text[..end]) } else { text.to_owned() };
        let known = self.chain(kind);
        let mut same = known.iter().filter_map(|found| found.members.get(&text[..end]));
        let hiding = known.iter().map(|found| &found.hidden);
        let mut hiding = hiding.chain(self.indices.iter().map(|index| &index.hidden));
        !same.any(|member| (member.kind == "function") == is_function)
            && hiding.any(|names| names.contains(&name))
    }

    /// The names after `owner::`.
    pub(super) fn within(&self, owner: &str) -> Vec<Match> {
        // In a path, a method takes its value as an argument.
        let mut found = self.members(owner, |member| {
            (member.kind != "field").then_some(member.complete && !member.method)
        });
        found.extend(self.indices.iter().flat_map(|index| index.within(owner)));
        found
    }

    /// Signature and description of a type or a free function.
    pub(super) fn item(&self, name: &str) -> Option<(String, String)> {
        match self.of_name(name) {
            Some(known) => Some((known.signature.clone(), known.docs.clone())),
            None => self.function(name).map(super::describe),
        }
    }

    /// A type by its name.
    pub(super) fn of_name(&self, name: &str) -> Option<&'a Type> {
        self.named(name).find(|known| !known.signature.is_empty())
    }

    /// The names of all variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().chain(self.bound.keys()).map(String::as_str)
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &'a Type> {
        self.indices.into_iter().filter_map(move |index| index.types.get(name))
    }

    fn function(&self, name: &str) -> Option<&'a Member> {
        self.indices.iter().find_map(|index| index.functions.get(name))
    }

    /// The types that are searched for a member: for `&Vec<f32>`, `Vec` and the types that it dereferences to.
    fn chain(&self, kind: &str) -> Vec<&'a Type> {
        let (first, held) = parts(kind);
        let mut found: Vec<&Type> = self.named(&first).collect();
        match first.as_str() {
            "Vec" => found.extend(self.named("slice")),
            "String" => found.extend(self.named("str")),
            "PathBuf" => found.extend(self.named("Path")),
            "Box" | "Arc" | "Rc" => found.extend(self.chain(&held.unwrap_or_default())),
            _ => {}
        }
        found
    }

    /// The type of a variable, of this code or of an earlier cell.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.of_variable(name, DEPTH)
    }

    fn of_variable(&self, name: &str, depth: usize) -> Option<String> {
        match self.bound.get(name) {
            Some(Binding::Written(kind)) => Some(kind.clone()),
            Some(Binding::Value(value)) => self.of(value, depth),
            Some(Binding::Each(value)) => parts(&self.of(value, depth)?).1,
            Some(Binding::Unknown) => None,
            None => self.variables.get(name).cloned(),
        }
    }

    /// The type of an expression.
    fn of(&self, expression: &ast::Expr, depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let of = |inner: Option<ast::Expr>| self.of(&inner?, depth);
        let member = |receiver: String, name: &str| match (self.member(&receiver, name), name) {
            (Some(member), _) => returned(member, &receiver),
            (None, "unwrap" | "expect") => parts(&receiver).1,
            (None, "clone" | "to_owned" | "as_ref" | "as_mut" | "iter" | "into_iter") => {
                Some(receiver)
            }
            _ => None,
        };
        match expression {
            ast::Expr::PathExpr(path) => self.of_variable(&text(path), depth).or_else(|| {
                // A variant, or a constructor without arguments.
                let path = text(path);
                let (owner, name) = path.rsplit_once("::")?;
                let owner = last_word(owner);
                (self.member(owner, name)?.kind == "instance").then(|| owner.to_owned())
            }),
            ast::Expr::CallExpr(call) => {
                let path = text(&call.expr()?);
                let (owner, name) = path.rsplit_once("::").unwrap_or(("", &path));
                let owner = last_word(owner);
                returned(self.member(owner, name).or_else(|| self.function(name))?, owner)
            }
            ast::Expr::MethodCallExpr(call) => {
                member(of(call.receiver())?, &text(&call.name_ref()?))
            }
            ast::Expr::FieldExpr(field) => member(of(field.expr())?, &text(&field.name_ref()?)),
            ast::Expr::TryExpr(tried) => parts(&of(tried.expr())?).1,
            ast::Expr::RefExpr(lent) => of(lent.expr()),
            ast::Expr::ParenExpr(inner) => of(inner.expr()),
            ast::Expr::IndexExpr(index) => parts(&of(index.base())?).1,
            ast::Expr::RecordExpr(record) => Some(text(&record.path()?)),
            ast::Expr::CastExpr(cast) => Some(text(&cast.ty()?)),
            ast::Expr::Literal(literal) if text(literal).ends_with('"') => Some("str".into()),
            ast::Expr::MacroExpr(call) => match text(call).split_once('!')?.0.trim() {
                "vec" => Some("Vec<_>".into()),
                "format" => Some("String".into()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The names that a code binds.
pub(super) fn local_names(code: &str) -> impl Iterator<Item = String> {
    let nodes = Parsed::of(code).into_iter().flat_map(|cell| cell.nodes());
    bindings(nodes).into_keys()
}

fn bindings(nodes: impl Iterator<Item = SyntaxNode>) -> BTreeMap<String, Binding> {
    let patterns = nodes.flat_map(|node| node.descendants()).filter_map(ast::IdentPat::cast);
    let bound = patterns.filter_map(|pattern| {
        let parent = pattern.syntax().parent()?;
        // The parts of a pattern have their own types.
        let (kind, value) = if let Some(statement) = ast::LetStmt::cast(parent.clone()) {
            (statement.ty(), statement.initializer().map(Binding::Value))
        } else if let Some(each) = ast::ForExpr::cast(parent.clone()) {
            (None, each.iterable().map(Binding::Each))
        } else {
            (ast::Param::cast(parent).and_then(|parameter| parameter.ty()), None)
        };
        let written = kind.map(|kind| Binding::Written(text(&kind)));
        Some((pattern.name()?.text().to_string(), written.or(value).unwrap_or(Binding::Unknown)))
    });
    bound.filter(|(name, _)| name != place::NAME).collect()
}

fn text(node: &impl AstNode) -> String {
    node.syntax().text().to_string()
}

/// The type of a member that is called or read on a value of type `owner`.
fn returned(member: &Member, owner: &str) -> Option<String> {
    let (base, held) = parts(owner);
    let kind = member.returns.replace("Self", &base);
    match (kind.as_str(), held) {
        ("", _) => None,
        // A container's type parameter stands for its element type.
        ("T" | "&T" | "&mut T" | "Option<T>" | "Option<&T>", Some(held)) => {
            Some(kind.replace('T', &held))
        }
        _ => Some(kind),
    }
}

/// The last name of a type and its first type argument: `HashMap` and `String` for
/// `&mut std::collections::HashMap<String, u8>`.
pub(super) fn parts(kind: &str) -> (String, Option<String>) {
    let parsed = SourceFile::parse(&format!("type T = {kind};"), Edition::Edition2024);
    for node in parsed.syntax_node().descendants() {
        match node.kind() {
            SyntaxKind::ARRAY_TYPE | SyntaxKind::SLICE_TYPE => {
                let held = node.children().find_map(ast::Type::cast);
                return ("slice".into(), held.map(|kind| text(&kind)));
            }
            SyntaxKind::TUPLE_TYPE | SyntaxKind::FN_PTR_TYPE => break,
            _ => {}
        }
        let path = ast::PathType::cast(node).and_then(|kind| kind.path());
        let Some(segment) = path.and_then(|path| path.segment()) else { continue };
        let mut arguments =
            segment.generic_arg_list().into_iter().flat_map(|list| list.generic_args());
        let held = arguments.find_map(|argument| match argument {
            ast::GenericArg::TypeArg(argument) => argument.ty(),
            _ => None,
        });
        let name = segment.name_ref().map(|name| text(&name));
        return (name.unwrap_or_default(), held.map(|kind| text(&kind)));
    }
    Default::default()
}
