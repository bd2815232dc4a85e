//! The types of expressions, as far as signatures tell them.

use super::index::{Index, Member, Type};
use super::{Match, matched};
use ra_ap_syntax::ast::{self, AstNode, HasLoopBody, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode, TextSize};
use std::collections::BTreeMap;

/// What stands before the code when it is parsed.
const OPEN: &str = "fn f(){";
/// Stands where the name is being typed, so that the code before it parses.
const PLACEHOLDER: &str = "placeholder";
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
#[derive(Clone)]
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
        Self { variables, indices, bound: bindings(&parse(code)) }
    }

    /// The type of what stands before the point before `at`; `None` if there is no point, and an
    /// empty type if it is not known.
    pub(super) fn receiver(&self, code: &str, at: usize) -> Option<String> {
        let before = code[..at].trim_end().strip_suffix('.')?;
        if before.ends_with('.') {
            return None;
        }
        let prepared = format!("{}.{PLACEHOLDER}{}", before, closing(before));
        let tree = parse(&prepared);
        let offset = TextSize::try_from(OPEN.len() + before.len() + 1).ok()?;
        let token = tree.token_at_offset(offset).right_biased()?;
        let receiver = token.parent_ancestors().find_map(|node| {
            ast::FieldExpr::cast(node.clone())
                .and_then(|field| field.expr())
                .or_else(|| ast::MethodCallExpr::cast(node).and_then(|call| call.receiver()))
        })?;
        // What is bound in this code may stand after what does not parse in the user's.
        let here = Types { bound: bindings(&tree), ..*self };
        Some(here.of(&receiver, DEPTH).unwrap_or_default())
    }

    /// The members of a type that are `wanted`.
    pub(super) fn members(&self, kind: &str, wanted: impl Fn(&Member) -> bool) -> Vec<Match> {
        let mut found = Vec::new();
        for name in chain(kind) {
            for known in self.named(&name) {
                let members = known.members.iter().filter(|(_, member)| wanted(member));
                found.extend(members.map(|(name, member)| {
                    let kind = if member.kind == "field" { "instance" } else { &member.kind };
                    matched(member.insertion(name), kind)
                }));
            }
        }
        found
    }

    /// A member of a type.
    pub(super) fn member(&self, kind: &str, name: &str) -> Option<&'a Member> {
        chain(kind)
            .into_iter()
            .find_map(|kind| self.named(&kind).find_map(|known| known.members.get(name)))
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

    /// Signature and description of what stands behind `owner::`.
    pub(super) fn item_within(&self, owner: &str, name: &str) -> Option<(String, String)> {
        match self.member(owner, name) {
            Some(member) => Some(super::describe(member)),
            None => self.item(name),
        }
    }

    /// Signature and description of a type or a free function.
    pub(super) fn item(&self, name: &str) -> Option<(String, String)> {
        if let Some(known) = self.of_name(name) {
            return Some((known.signature.clone(), known.docs.clone()));
        }
        self.indices.iter().find_map(|index| index.functions.get(name)).map(super::describe)
    }

    /// A type by its name.
    pub(super) fn of_name(&self, name: &str) -> Option<&'a Type> {
        self.named(name).find(|known| !known.signature.is_empty())
    }

    /// The type of a variable, of this code or of an earlier cell.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        match self.bound.get(name) {
            Some(Binding::Unknown) => None,
            Some(binding) => self.of_binding(binding, DEPTH),
            None => self.variables.get(name).cloned(),
        }
    }

    /// The names of all variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().chain(self.bound.keys()).map(String::as_str)
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &'a Type> {
        self.indices.into_iter().filter_map(move |index| index.types.get(name))
    }

    fn of_binding(&self, binding: &Binding, depth: usize) -> Option<String> {
        match binding {
            Binding::Written(kind) => Some(kind.clone()),
            Binding::Value(value) => self.of(value, depth),
            Binding::Each(value) => element(&self.of(value, depth)?),
            Binding::Unknown => None,
        }
    }

    /// The type of an expression.
    fn of(&self, expression: &ast::Expr, depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        match expression {
            ast::Expr::PathExpr(path) => {
                let text = path.syntax().text().to_string();
                match self.bound.get(&text) {
                    Some(binding) => self.of_binding(binding, depth),
                    None => self.variables.get(&text).cloned().or_else(|| self.of_path(&text)),
                }
            }
            ast::Expr::CallExpr(call) => {
                let text = call.expr()?.syntax().text().to_string();
                match text.rsplit_once("::") {
                    Some((owner, name)) => {
                        let owner = super::last_word(owner);
                        let member = self.member(owner, name);
                        match member {
                            Some(member) => returned(member, owner),
                            None => self.of_function(name),
                        }
                    }
                    None => self.of_function(&text),
                }
            }
            ast::Expr::MethodCallExpr(call) => {
                let receiver = self.of(&call.receiver()?, depth)?;
                let name = call.name_ref()?.text().to_string();
                let own =
                    ["clone", "shallow_clone", "to_owned", "as_ref", "as_mut", "iter", "into_iter"];
                match self.member(&receiver, &name) {
                    Some(member) => returned(member, &receiver),
                    None if own.contains(&name.as_str()) => Some(receiver),
                    None if ["unwrap", "expect"].contains(&name.as_str()) => {
                        first_argument(&receiver)
                    }
                    None => None,
                }
            }
            ast::Expr::FieldExpr(field) => {
                let receiver = self.of(&field.expr()?, depth)?;
                let name = field.name_ref()?.text().to_string();
                self.member(&receiver, &name).and_then(|member| returned(member, &receiver))
            }
            ast::Expr::TryExpr(tried) => first_argument(&self.of(&tried.expr()?, depth)?),
            ast::Expr::RefExpr(lent) => self.of(&lent.expr()?, depth),
            ast::Expr::ParenExpr(inner) => self.of(&inner.expr()?, depth),
            ast::Expr::AwaitExpr(inner) => self.of(&inner.expr()?, depth),
            ast::Expr::IndexExpr(index) => element(&self.of(&index.base()?, depth)?),
            ast::Expr::RecordExpr(record) => Some(record.path()?.syntax().text().to_string()),
            ast::Expr::CastExpr(cast) => Some(cast.ty()?.syntax().text().to_string()),
            ast::Expr::Literal(literal) => match literal.kind() {
                ast::LiteralKind::String(_) => Some("str".into()),
                _ => None,
            },
            ast::Expr::MacroExpr(call) => {
                let text = call.syntax().text().to_string();
                match text.split_once('!')?.0.trim() {
                    "vec" => Some("Vec<_>".into()),
                    "format" => Some("String".into()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The type of a variant, or of a constructor without arguments.
    fn of_path(&self, text: &str) -> Option<String> {
        let (owner, name) = text.rsplit_once("::")?;
        let owner = super::last_word(owner);
        self.member(owner, name).filter(|member| member.kind == "instance")?;
        Some(owner.to_owned())
    }

    fn of_function(&self, name: &str) -> Option<String> {
        let function = self.indices.iter().find_map(|index| index.functions.get(name))?;
        returned(function, "")
    }
}

/// The names that the `let`s of a code bind.
pub(super) fn local_names(code: &str) -> impl Iterator<Item = String> {
    bindings(&parse(code)).into_keys()
}

fn parse(code: &str) -> SyntaxNode {
    SourceFile::parse(&format!("{OPEN}{code}\n}}"), Edition::Edition2024).syntax_node()
}

/// The brackets that a code leaves open, closed.
fn closing(code: &str) -> String {
    let tree = SourceFile::parse(code, Edition::Edition2024).syntax_node();
    let mut open = Vec::new();
    for token in tree.descendants_with_tokens().filter_map(|element| element.into_token()) {
        match token.text() {
            "(" => open.push(')'),
            "[" => open.push(']'),
            "{" => open.push('}'),
            ")" | "]" | "}" => {
                open.pop();
            }
            _ => {}
        }
    }
    open.into_iter().rev().collect()
}

fn bindings(tree: &SyntaxNode) -> BTreeMap<String, Binding> {
    let mut found = BTreeMap::new();
    for node in tree.descendants() {
        if let Some(statement) = ast::LetStmt::cast(node.clone()) {
            let Some(pattern) = statement.pat() else { continue };
            let binding = match (statement.ty(), statement.initializer()) {
                (Some(kind), _) => Binding::Written(kind.syntax().text().to_string()),
                (None, Some(value)) => Binding::Value(value),
                (None, None) => Binding::Unknown,
            };
            bind(&pattern, binding, &mut found);
        } else if let Some(parameter) = ast::Param::cast(node.clone()) {
            let (Some(pattern), Some(kind)) = (parameter.pat(), parameter.ty()) else { continue };
            bind(&pattern, Binding::Written(kind.syntax().text().to_string()), &mut found);
        } else if let Some(each) = ast::ForExpr::cast(node)
            && each.loop_body().is_some()
            && let (Some(pattern), Some(value)) = (each.pat(), each.iterable())
        {
            bind(&pattern, Binding::Each(value), &mut found);
        }
    }
    found
}

fn bind(pattern: &ast::Pat, binding: Binding, found: &mut BTreeMap<String, Binding>) {
    let whole = matches!(pattern, ast::Pat::IdentPat(_));
    let names = pattern.syntax().descendants().filter_map(ast::IdentPat::cast);
    for name in names.filter_map(|pattern| pattern.name()) {
        // Parts of a pattern have types of their own.
        let binding = if whole { binding.clone() } else { Binding::Unknown };
        found.insert(name.text().to_string(), binding);
    }
}

/// What a member gives when it is called or read on a value of the type `owner`.
fn returned(member: &Member, owner: &str) -> Option<String> {
    if member.returns.is_empty() {
        return None;
    }
    let owner_base = base(owner);
    let words: Vec<&str> = member.returns.split("Self").collect();
    let mut kind = words.join(owner_base);
    // A type parameter of a container: what it holds.
    if ["T", "&T", "&mut T", "Option<T>", "Option<&T>"].contains(&kind.as_str())
        && let Some(held) = first_argument(owner)
    {
        kind = kind.replace('T', &held);
    }
    Some(kind)
}

/// The types in which a member is looked for: of `&Vec<f32>`, `Vec` and what it lends itself as.
fn chain(kind: &str) -> Vec<String> {
    let first = base(kind);
    let more = match first {
        "Vec" => "slice",
        "String" => "str",
        "PathBuf" => "Path",
        "Box" | "Arc" | "Rc" => {
            let inner = first_argument(kind).unwrap_or_default();
            let mut all = vec![first.to_owned()];
            all.extend(chain(&inner));
            return all;
        }
        "" => return Vec::new(),
        _ => return vec![first.to_owned()],
    };
    vec![first.to_owned(), more.to_owned()]
}

/// The last name of a type: of `&mut std::collections::HashMap<String, u8>` that is `HashMap`.
pub(super) fn base(kind: &str) -> &str {
    let mut kind = kind.trim();
    loop {
        let shorter =
            ["&", "mut ", "dyn ", "impl "].iter().find_map(|word| kind.strip_prefix(word));
        let shorter = shorter.or_else(|| {
            let rest = kind.strip_prefix('\'')?;
            Some(&rest[rest.find(' ')?..])
        });
        match shorter {
            Some(rest) => kind = rest.trim_start(),
            None => break,
        }
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
            '>' if depth == 0 => return Some(rest[..at].trim().to_owned()),
            ',' if depth == 0 => return Some(rest[..at].trim().to_owned()),
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
