//! The types of expressions, as far as signatures tell them.

use super::index::{Index, Member, Type};
use super::{Match, is_part_of_name, last_word, matched};
use crate::parsed::Parsed;
use ra_ap_syntax::SyntaxNode;
use ra_ap_syntax::ast::{self, AstNode, HasName};
use std::collections::BTreeMap;

/// How far a chain of calls or bindings is followed.
const DEPTH: usize = 32;

/// Answers questions on types for one piece of code.
pub(super) struct Types<'a> {
    variables: &'a BTreeMap<String, String>,
    indices: [&'a Index; 2],
    /// What the code itself binds, by name: the latest `let` wins.
    bound: BTreeMap<String, Binding>,
}

/// How a name of the code gets its type.
enum Binding {
    Written(String),
    Value(ast::Expr),
    /// One of the things in a value, in a `for` loop.
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

    /// The type of a value; empty if it is not known.
    pub(super) fn of_value(&self, value: Option<ast::Expr>) -> String {
        value.and_then(|value| self.of(&value, DEPTH)).unwrap_or_default()
    }

    /// The members of a type for which `call` says whether they are inserted as calls.
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

    /// Whether a text that could be inserted behind a value or a type names what only its library may use.
    pub(super) fn is_hidden(&self, kind: &str, text: &str, is_function: bool) -> bool {
        let end = text.find(|c| !is_part_of_name(c)).unwrap_or(text.len());
        let name = if is_function { format!("{}(", &text[..end]) } else { text.to_owned() };
        let known = self.chain(kind);
        let public = known.iter().filter_map(|found| found.members.get(&text[..end]));
        let mut same = public.filter(|member| (member.kind == "function") == is_function);
        let mut hiding = known.iter().map(|found| &found.hidden);
        let mut everywhere = self.indices.iter().map(|index| &index.hidden);
        same.next().is_none()
            && (hiding.any(|names| names.contains(&name))
                || everywhere.any(|names| names.contains(&name)))
    }

    /// What stands behind `owner::`.
    pub(super) fn within(&self, owner: &str) -> Vec<Match> {
        // A method takes its value as an argument there.
        let mut found = self.members(owner, |member| {
            (member.kind != "field").then_some(member.complete && !member.method)
        });
        for index in self.indices {
            found.extend(index.within(owner).map(|name| index.matched(name)));
        }
        found
    }

    /// Signature and description of a type or a free function.
    pub(super) fn item(&self, name: &str) -> Option<(String, String)> {
        if let Some(known) = self.of_name(name) {
            return Some((known.signature.clone(), known.docs.clone()));
        }
        self.function(name).map(super::describe)
    }

    /// A type by its name.
    pub(super) fn of_name(&self, name: &str) -> Option<&'a Type> {
        self.named(name).find(|known| !known.signature.is_empty())
    }

    /// The type of a variable, of this code or of an earlier cell.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.of_name_in_code(name, DEPTH)
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

    /// The types in which a member is looked for: of `&Vec<f32>`, `Vec` and what it lends itself as.
    fn chain(&self, kind: &str) -> Vec<&'a Type> {
        let first = base(kind);
        let mut found: Vec<&Type> = self.named(first).collect();
        match first {
            "Vec" => found.extend(self.named("slice")),
            "String" => found.extend(self.named("str")),
            "PathBuf" => found.extend(self.named("Path")),
            "Box" | "Arc" | "Rc" => {
                found.extend(self.chain(&first_argument(kind).unwrap_or_default()));
            }
            _ => {}
        }
        found
    }

    fn of_name_in_code(&self, name: &str, depth: usize) -> Option<String> {
        match self.bound.get(name) {
            Some(Binding::Written(kind)) => Some(kind.clone()),
            Some(Binding::Value(value)) => self.of(value, depth),
            Some(Binding::Each(value)) => element(&self.of(value, depth)?),
            Some(Binding::Unknown) => None,
            None => self.variables.get(name).cloned(),
        }
    }

    /// The type of an expression.
    fn of(&self, expression: &ast::Expr, depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let text = |node: &dyn AstNodeText| node.text();
        match expression {
            ast::Expr::PathExpr(path) => {
                let name = text(path);
                self.of_name_in_code(&name, depth).or_else(|| {
                    // A variant, or a constructor without arguments.
                    let (owner, name) = name.rsplit_once("::")?;
                    let owner = last_word(owner);
                    self.member(owner, name).filter(|member| member.kind == "instance")?;
                    Some(owner.to_owned())
                })
            }
            ast::Expr::CallExpr(call) => {
                let path = text(&call.expr()?);
                let (owner, name) = path.rsplit_once("::").unwrap_or(("", &path));
                let owner = last_word(owner);
                let member = self.member(owner, name);
                returned(member.or_else(|| self.function(name))?, owner)
            }
            ast::Expr::MethodCallExpr(call) => {
                let receiver = self.of(&call.receiver()?, depth)?;
                let name = text(&call.name_ref()?);
                match (self.member(&receiver, &name), name.as_str()) {
                    (Some(member), _) => returned(member, &receiver),
                    (None, "unwrap" | "expect") => first_argument(&receiver),
                    (None, "clone" | "to_owned" | "as_ref" | "as_mut" | "iter" | "into_iter") => {
                        Some(receiver)
                    }
                    _ => None,
                }
            }
            ast::Expr::FieldExpr(field) => {
                let receiver = self.of(&field.expr()?, depth)?;
                returned(self.member(&receiver, &text(&field.name_ref()?))?, &receiver)
            }
            ast::Expr::TryExpr(tried) => first_argument(&self.of(&tried.expr()?, depth)?),
            ast::Expr::RefExpr(lent) => self.of(&lent.expr()?, depth),
            ast::Expr::ParenExpr(inner) => self.of(&inner.expr()?, depth),
            ast::Expr::IndexExpr(index) => element(&self.of(&index.base()?, depth)?),
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

/// The names that the `let`s of a code bind.
pub(super) fn local_names(code: &str) -> impl Iterator<Item = String> {
    let nodes = Parsed::of(code).into_iter().flat_map(|cell| cell.nodes());
    bindings(nodes).into_keys()
}

fn bindings(nodes: impl Iterator<Item = SyntaxNode>) -> BTreeMap<String, Binding> {
    let mut found = BTreeMap::new();
    for node in nodes.flat_map(|node| node.descendants()) {
        let (pattern, binding) = if let Some(statement) = ast::LetStmt::cast(node.clone()) {
            let binding = match (statement.ty(), statement.initializer()) {
                (Some(kind), _) => Binding::Written(kind.text()),
                (None, Some(value)) => Binding::Value(value),
                (None, None) => Binding::Unknown,
            };
            (statement.pat(), binding)
        } else if let Some(parameter) = ast::Param::cast(node.clone()) {
            let kind = parameter.ty().map(|kind| kind.text());
            (parameter.pat(), kind.map_or(Binding::Unknown, Binding::Written))
        } else if let Some(each) = ast::ForExpr::cast(node) {
            (each.pat(), each.iterable().map_or(Binding::Unknown, Binding::Each))
        } else {
            continue;
        };
        match pattern {
            Some(ast::Pat::IdentPat(pattern)) => {
                found.extend(pattern.name().map(|name| (name.text().to_string(), binding)));
            }
            // Parts of a pattern have types of their own.
            pattern => {
                let parts = pattern.into_iter().flat_map(|pattern| {
                    pattern
                        .syntax()
                        .descendants()
                        .filter_map(ast::IdentPat::cast)
                        .collect::<Vec<_>>()
                });
                let names = parts.filter_map(|part| part.name());
                found.extend(names.map(|name| (name.text().to_string(), Binding::Unknown)));
            }
        }
    }
    found
}

/// The text of a syntax node.
trait AstNodeText {
    fn text(&self) -> String;
}

impl<T: AstNode> AstNodeText for T {
    fn text(&self) -> String {
        self.syntax().text().to_string()
    }
}

/// What a member gives when it is called or read on a value of the type `owner`.
fn returned(member: &Member, owner: &str) -> Option<String> {
    if member.returns.is_empty() {
        return None;
    }
    let kind = member.returns.replace("Self", base(owner));
    // A type parameter of a container: what it holds.
    let held = first_argument(owner);
    match (kind.as_str(), held) {
        ("T" | "&T" | "&mut T" | "Option<T>" | "Option<&T>", Some(held)) => {
            Some(kind.replace('T', &held))
        }
        _ => Some(kind),
    }
}

/// The last name of a type: of `&mut std::collections::HashMap<String, u8>` that is `HashMap`.
pub(super) fn base(kind: &str) -> &str {
    let mut kind = kind.trim().trim_start_matches('&').trim_start();
    if kind.starts_with('\'') {
        kind = kind.find(' ').map_or("", |at| &kind[at..]).trim_start();
    }
    for word in ["mut ", "dyn ", "impl "] {
        kind = kind.strip_prefix(word).unwrap_or(kind).trim_start();
    }
    if kind.starts_with('[') {
        return "slice";
    }
    let end = kind.find(['<', ' ', '+']).unwrap_or(kind.len());
    kind[..end].rsplit("::").next().unwrap_or_default()
}

/// The first generic argument: of `Result<Model, Error>` that is `Model`.
fn first_argument(kind: &str) -> Option<String> {
    let (_, rest) = kind.split_once('<')?;
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ',' if depth == 0 => return Some(rest[..at].trim().to_owned()),
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// What a container holds.
fn element(kind: &str) -> Option<String> {
    let kind = kind.trim_start_matches('&').trim_start_matches("mut ").trim();
    match kind.strip_prefix('[') {
        Some(rest) => Some(rest.split([';', ']']).next()?.trim().to_owned()),
        None => first_argument(kind),
    }
}
