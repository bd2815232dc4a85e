//! The syntactic context of a cursor.

use super::{before, word};
use crate::parsed::Parsed;
use ra_ap_syntax::ast::{self, AstNode};
use ra_ap_syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

/// Placeholder for the name at the cursor.
pub(super) const NAME: &str = "name";

/// The macros whose arguments are expressions.
const MACROS: &str = "assert assert_eq assert_ne dbg debug_assert debug_assert_eq debug_assert_ne eprint eprintln \
    format panic print println show todo unimplemented unreachable vec write writeln";

/// The syntactic position of a name.
pub(super) enum Place {
    /// After a value and a dot.
    Member(Option<ast::Expr>),
    /// After a path with this last segment.
    Path(String),
    /// In the literal of this struct, at a field name's position.
    Field(String),
    /// Elsewhere in code.
    Name,
}

impl Place {
    /// The position of the name at a cursor and the surrounding syntax tree; `None` in text, a
    /// comment or a command.
    pub(super) fn of(code: &str, cursor: usize) -> Option<(Self, SyntaxNode)> {
        let without = without_macros(code, cursor);
        let (_, token) = named(&without, cursor)?;
        let root = token.parent_ancestors().last()?;
        let place = match token.kind() {
            kind if kind.is_any_identifier() => Self::of_name(&token).unwrap_or(Self::Name),
            // `"{name"` in an argument of a formatting macro.
            SyntaxKind::STRING if without != code && before(code, cursor).ends_with('{') => {
                Self::Name
            }
            _ => return None,
        };
        Some((place, root))
    }

    fn of_name(token: &SyntaxToken) -> Option<Self> {
        let text = |node: &SyntaxNode| node.text().to_string();
        let literal = |field: &SyntaxNode| {
            let record = field.ancestors().find_map(ast::RecordExpr::cast)?;
            Some(Self::Field(text(record.path()?.segment()?.name_ref()?.syntax())))
        };
        let parent = token.parent()?.parent()?;
        if let Some(field) = ast::FieldExpr::cast(parent.clone()) {
            return Some(Self::Member(field.expr()));
        }
        if let Some(call) = ast::MethodCallExpr::cast(parent.clone()) {
            return Some(Self::Member(call.receiver()));
        }
        if ast::RecordExprField::can_cast(parent.kind()) {
            return literal(&parent);
        }
        let path = ast::PathSegment::cast(parent)?.syntax().parent().and_then(ast::Path::cast)?;
        if let Some(owner) = path.qualifier() {
            return Some(Self::Path(text(owner.segment()?.name_ref()?.syntax())));
        }
        let field = path.syntax().parent()?.parent().and_then(ast::RecordExprField::cast)?;
        if field.colon_token().is_some() { None } else { literal(field.syntax()) }
    }
}

/// The code with [`NAME`] for the name at the cursor, and the token of that name.
pub(crate) fn named(code: &str, cursor: usize) -> Option<(Parsed, SyntaxToken)> {
    let range = word(code, cursor);
    let start = range.start;
    let mut code = code.to_owned();
    code.replace_range(range, NAME);
    let cell = Parsed::of(code).ok()?;
    let token = cell.token_at(start)?;
    Some((cell, token))
}

/// The code without the names of the [`MACROS`] around the cursor: the remaining brackets make
/// their arguments an expression.
pub(crate) fn without_macros(code: &str, cursor: usize) -> String {
    let mut code = code.to_owned();
    while let Some((at, length)) = macro_around(&code, cursor) {
        code.replace_range(at..at + length, &" ".repeat(length));
    }
    code
}

/// The start of the name of the innermost of [`MACROS`] around the cursor, and its length including `!`.
fn macro_around(code: &str, cursor: usize) -> Option<(usize, usize)> {
    let (cell, token) = named(code, cursor)?;
    let call = token.parent_ancestors().find_map(ast::MacroCall::cast)?;
    let path = call.path()?;
    let name = path.segment()?.name_ref()?;
    MACROS.split_whitespace().find(|known| name.text() == *known)?;
    let (start, end) = (path.syntax().text_range().start(), call.excl_token()?.text_range().end());
    Some((cell.at(start), usize::from(end - start)))
}
