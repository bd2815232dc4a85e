//! The types of expressions, as far as signatures tell them.

use super::index::{Index, Member, Type};
use super::{Match, is_part_of_name, last_word, matched};
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode};
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
        code: &str,
    ) -> Self {
        Self { variables, indices, bound: bindings(code) }
    }

    /// The type of what stands before the point at the end of `before`; `None` if there is no point,
    /// and an empty type if it is not known.
    pub(super) fn receiver(&self, before: &str) -> Option<String> {
        let before = before.trim_end().strip_suffix('.').filter(|rest| !rest.ends_with('.'))?;
        let tree = parse(operand(before.trim_end()));
        let body = tree.descendants().find_map(ast::StmtList::cast)?;
        let expression = body.tail_expr();
        Some(expression.and_then(|found| self.of(&found, DEPTH)).unwrap_or_default())
    }

    /// The members of a type that are `wanted`.
    pub(super) fn members(&self, kind: &str, wanted: impl Fn(&Member) -> bool) -> Vec<Match> {
        let known = self.chain(kind).into_iter().flat_map(|found| &found.members);
        let members = known.filter(|(_, member)| wanted(member)).map(|(name, member)| {
            let kind = if member.kind == "field" { "instance" } else { &member.kind };
            matched(member.insertion(name), kind)
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
        if known.is_empty() {
            return self.indices.iter().any(|index| index.hidden.contains(&name));
        }
        let public = |found: &&Type| {
            let member = found.members.get(&text[..end]);
            member.is_some_and(|member| (member.kind == "function") == is_function)
        };
        known.iter().any(|found| found.hidden.contains(&name)) && !known.iter().any(public)
    }

    /// What stands behind `owner::`.
    pub(super) fn within(&self, owner: &str) -> Vec<Match> {
        let mut found = self.members(owner, |member| member.kind != "field");
        for index in self.indices {
            let names = index.modules.get(owner).into_iter().flatten();
            found.extend(names.map(|name| index.matched(name)));
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
    bindings(code).into_keys()
}

fn parse(code: &str) -> SyntaxNode {
    SourceFile::parse(&format!("fn f(){{{code}\n}}"), Edition::Edition2024).syntax_node()
}

/// The operand that a text ends with: of `f(1, a.b(2)?[0]` that is `a.b(2)?[0]`. A text may be part of a
/// macro's, so brackets are counted and nothing is parsed.
fn operand(text: &str) -> &str {
    let mut start = text.len();
    loop {
        let before = &text[..start];
        let Some(last) = before.chars().next_back() else { break };
        let length = match last {
            ')' | ']' | '>' => match open_bracket(&before[..before.len() - 1]) {
                Some(at) => before.len() - at,
                None => break,
            },
            '"' => match before[..before.len() - 1].rfind('"') {
                Some(at) => before.len() - at,
                None => break,
            },
            '?' | '.' | ':' | '!' => 1,
            c if is_part_of_name(c) => c.len_utf8(),
            // A chain may go on from line to line.
            c if c.is_whitespace() && text[start..].trim_start().starts_with('.') => c.len_utf8(),
            _ => break,
        };
        start -= length;
    }
    text[start..].trim_start_matches(['!', ':', '.'])
}

/// Where the innermost bracket is that a text leaves open.
pub(super) fn open_bracket(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices().rev() {
        match c {
            ')' | ']' | '}' | '>' => depth += 1,
            '(' | '[' | '{' | '<' if depth == 0 => return Some(at),
            '(' | '[' | '{' | '<' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bindings(code: &str) -> BTreeMap<String, Binding> {
    let mut found = BTreeMap::new();
    for node in parse(code).descendants() {
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
