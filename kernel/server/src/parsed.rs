//! A cell's text, parsed once.
//!
//! [`Parsed`] has the syntax tree of a cell and the values derived from it. Every later step uses this value instead
//! of the text: syntax errors, commands, the rewriting for evcxr, the items, the names of variables, and the positions
//! in messages.

use crate::nesting::{self, Limit};
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{
    Edition, SourceFile, SyntaxError, SyntaxKind, SyntaxNode, SyntaxToken, TextSize,
};
use std::ops::Range;

/// Text before the cell when it is parsed, so that the parser accepts statements.
const OPEN: &str = "fn f(){";

/// A cell with its syntax tree.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    /// The text.
    pub(crate) text: String,
    /// The byte after the commands, shell lines, comments and empty lines at the top.
    pub(crate) begin: usize,
    root: SyntaxNode,
    errors: Vec<SyntaxError>,
}

impl Parsed {
    /// Parses a cell.
    ///
    /// # Errors
    /// It is too long or nested too deeply.
    pub(crate) fn of(text: impl Into<String>) -> Result<Self, Limit> {
        let text = text.into();
        nesting::check(&text)?;
        let begin = rust_begins(&text);
        let parsed =
            SourceFile::parse(&format!("{OPEN}{}\n}}", &text[begin..]), Edition::Edition2024);
        Ok(Self { begin, root: parsed.syntax_node(), errors: parsed.errors(), text })
    }

    /// Whether the cell parses without errors.
    pub(crate) fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// The parser's first error.
    pub(crate) fn error(&self) -> Option<&SyntaxError> {
        self.errors.first()
    }

    /// The Rust code after the commands.
    pub(crate) fn rust(&self) -> &str {
        &self.text[self.begin..]
    }

    /// The lines that may be commands.
    pub(crate) fn top(&self) -> &str {
        &self.text[..self.begin]
    }

    /// The statements, the last expression and the items. `None` if brackets do not match.
    pub(crate) fn statements(&self) -> Option<ast::StmtList> {
        self.root.children().find_map(ast::Fn::cast)?.body()?.stmt_list()
    }

    /// The statements and items as nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = SyntaxNode> + use<> {
        self.statements().into_iter().flat_map(|list| list.syntax().children())
    }

    /// The tokens of the Rust code.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        let end = usize::from(self.root.text_range().end()) - 1;
        let tokens = self.root.descendants_with_tokens().filter_map(|element| element.into_token());
        tokens.filter(move |token| {
            (OPEN.len()..end).contains(&usize::from(token.text_range().start()))
        })
    }

    /// Whether a string or a comment is never closed.
    pub(crate) fn is_open(&self, token: &SyntaxToken) -> bool {
        const SAID: [&str; 2] = ["to terminate the", "Invalid raw string literal"];
        let says = |error: &SyntaxError| SAID.iter().any(|said| error.to_string().contains(said));
        let mut errors = self.errors.iter().filter(|error| error.range() == token.text_range());
        token.kind() != SyntaxKind::CHAR && errors.any(says)
    }

    /// The `let`s among the statements.
    pub(crate) fn lets(&self) -> impl Iterator<Item = ast::LetStmt> + use<> {
        self.nodes().filter_map(ast::LetStmt::cast)
    }

    /// The names that the `let`s bind, each with its byte offset.
    pub(crate) fn bound(&self) -> impl Iterator<Item = (String, usize)> {
        let patterns = self.lets().filter_map(|statement| statement.pat());
        let nodes = patterns.flat_map(|pattern| pattern.syntax().descendants());
        let names = nodes.filter_map(ast::IdentPat::cast).filter_map(|pattern| pattern.name());
        names.map(|name| (name.text().to_string(), self.range(name.syntax()).start))
    }

    /// The byte of the text at an offset in the tree.
    pub(crate) fn at(&self, offset: TextSize) -> usize {
        (self.begin + usize::from(offset)).saturating_sub(OPEN.len())
    }

    /// The bytes of a node.
    pub(crate) fn range(&self, node: &SyntaxNode) -> Range<usize> {
        self.at(node.text_range().start())..self.at(node.text_range().end())
    }

    /// Line and column, in characters from 1, of a byte of the text.
    pub(crate) fn place(&self, at: usize) -> (usize, usize) {
        line_and_column(&self.text, at)
    }

    /// The token at a byte of the text, or the one on its right.
    pub(crate) fn token_at(&self, at: usize) -> Option<SyntaxToken> {
        let offset = TextSize::try_from(at.checked_sub(self.begin)? + OPEN.len()).ok()?;
        self.root.token_at_offset(offset).right_biased()
    }
}

/// Line and column, in characters from 1, of a byte of a text.
pub(crate) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_begins = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_begins..].chars().count() + 1)
}

/// The end of evcxr's commands, shell lines, comments and empty lines at the top of a cell.
pub(crate) fn rust_begins(cell: &str) -> usize {
    let mut at = 0;
    for line in cell.split_inclusive('\n') {
        let text = line.trim_start();
        if !(text.is_empty() || text.starts_with([':', '!']) || text.starts_with("//")) {
            break;
        }
        at += line.len();
    }
    at
}

/// The macro call of a statement that is only a macro call.
pub(crate) fn called_macro(statement: &SyntaxNode) -> Option<ast::MacroCall> {
    let mut node = statement.clone();
    loop {
        if let Some(call) = ast::MacroCall::cast(node.clone()) {
            return Some(call);
        }
        if ![SyntaxKind::EXPR_STMT, SyntaxKind::MACRO_EXPR].contains(&node.kind()) {
            return None;
        }
        node = node.first_child()?;
    }
}

/// All words that could be names, including those in strings: `format!("{a}")` names `a`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// A text with some byte ranges replaced. The edits are in text order; an edit that begins within
/// an earlier one is dropped.
pub(crate) fn edited(
    text: &str,
    edits: impl IntoIterator<Item = (Range<usize>, String)>,
) -> String {
    let mut new = String::with_capacity(text.len() + 256);
    let mut copied = 0;
    for (range, replacement) in edits {
        if range.start < copied {
            continue;
        }
        new.push_str(&text[copied..range.start]);
        new.push_str(&replacement);
        copied = range.end;
    }
    new.push_str(&text[copied..]);
    new
}
