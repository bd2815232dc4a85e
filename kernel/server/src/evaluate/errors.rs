//! Readable compiler messages: with the cell's own lines and numbers, and for common mistakes with a
//! sentence of advice.

mod advice;
mod brackets;
mod excerpt;
mod gone;
mod kept;
mod notes;
mod unfinished;
mod unused;

use super::prepare::Prepared;
use crate::evcxr_contract::{is_internal, readable};
use crate::names::Names;
use crate::parsed::Parsed;
use benchbook_jupyter::Failure;
use evcxr::CompilationError;
use excerpt::{Excerpt, Mark};
use std::collections::HashMap;

pub(crate) use brackets::unclosed as unclosed_bracket;
pub(super) use gone::{lost, moved, not_kept_by};
pub(super) use unused::show as show_unused;

/// Context of a failed cell.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The user's cell.
    pub(super) cell: &'a Parsed,
    /// Its execution count.
    pub(super) count: u64,
    /// Variables that no longer exist, with the reasons.
    pub(super) gone: &'a HashMap<String, String>,
    /// Known types of libraries and cells.
    pub(super) names: &'a Names,
}

/// The failure of a cell that does not compile.
pub(super) fn failure(errors: &[CompilationError], prepared: &Prepared, at: Place<'_>) -> Failure {
    let mut errors: Vec<_> = errors.iter().filter(|error| error.level() == "error").collect();
    if errors.iter().any(|error| error.is_from_user_code()) {
        errors.retain(|error| error.is_from_user_code());
    }
    let mut traceback = Vec::new();
    let mut advised = Vec::new();
    for error in &errors {
        // Show the same advice only once.
        let advice = advice::of(error, at).filter(|advice| !advised.contains(advice));
        traceback.extend(describe(error, prepared, at, advice.as_deref()));
        advised.extend(advice);
    }
    let first = errors.first().map(|error| title(error));
    let more = errors.len().saturating_sub(1);
    let evalue = match (first, more) {
        // The type of a variable, which evcxr has from rust-analyzer.
        (None, _) => "a variable of the cell has a type with a trait that is not imported: write the type down with the trait's path, as in `let name: Box<dyn path::Trait> = …;`".into(),
        (Some(first), 0) => first,
        (Some(first), more) => format!("{first} (and {more} more)"),
    };
    if traceback.is_empty() {
        traceback.push(evalue.clone());
    }
    Failure { ename: "CompileError".into(), evalue, traceback }
}

/// The failure of a cell with an error that only the parser found.
pub(super) fn syntax(message: &str, place: (usize, usize), at: Place<'_>) -> Failure {
    let mark = Mark::at(place, 1);
    let excerpt = Excerpt::new(&at.cell.text, at.count).title("error", message).marks(vec![mark]);
    Failure {
        ename: "CompileError".into(),
        evalue: message.into(),
        traceback: excerpt.lines(&[], None),
    }
}

/// The failure for an unclosed bracket or string, a mismatched bracket, or an unfinished statement at the end.
pub(super) fn unclosed(at: Place<'_>) -> Option<Failure> {
    if let Some(found) = brackets::unclosed(at.cell) {
        return Some(syntax(&found.message, found.place, at));
    }
    let (message, place) = unfinished::unfinished(at.cell)?;
    Some(syntax(&message, place, at))
}

/// The failure for evcxr's message about a variable that it cannot keep, with the place of its `let`.
pub(super) fn not_kept(message: &str, at: Place<'_>) -> Option<Failure> {
    kept::failure(message, at)
}

/// The line of the user's text at a traceback's place.
pub(super) fn source_line(cell: &str, line: usize, column: usize) -> Vec<String> {
    Excerpt::new(cell, 0).marks(vec![Mark::at((line, column), 1)]).source()
}

fn title(error: &CompilationError) -> String {
    let message = readable(&error.message());
    match error.code() {
        Some(code) => format!("{message} [{code}]"),
        // evcxr breaks its messages into lines.
        None => message.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn describe(
    error: &CompilationError,
    prepared: &Prepared,
    at: Place<'_>,
    advice: Option<&str>,
) -> Vec<String> {
    let marks = error.spanned_messages().iter().filter_map(|message| {
        let span = message.span?;
        let line = at.cell.text.lines().nth(span.start_line.checked_sub(1)?)?;
        let column = prepared.column(span.start_line, span.start_column);
        let end = if span.end_line == span.start_line {
            prepared.column(span.end_line, span.end_column).max(column + 1)
        } else {
            line.chars().count().max(column) + 1
        };
        Some(Mark {
            line: span.start_line,
            column,
            width: end - column,
            primary: message.is_primary,
            label: Some(readable(&message.label))
                // evcxr repeats the message if there is no label.
                .filter(|label| !label.starts_with("error: ") && !is_internal(label))
                .unwrap_or_default(),
        })
    });
    let mut marks: Vec<Mark> = marks.collect();
    if marks.is_empty() {
        // evcxr splits imports and loses their places.
        marks.extend(mention(&at.cell.text, &error.message()));
    }
    let notes = notes::of(error);
    Excerpt::new(&at.cell.text, at.count)
        .title("error", &title(error))
        .marks(marks)
        .lines(&notes, advice)
}

/// The first mention in a cell of a name that a message has in backquotes.
fn mention(cell: &str, message: &str) -> Option<Mark> {
    let name = message.split('`').nth(1).filter(|name| !name.is_empty())?;
    let (line, text) = cell.lines().enumerate().find(|(_, text)| text.contains(name))?;
    let column = text[..text.find(name)?].chars().count() + 1;
    Some(Mark::at((line + 1, column), name.chars().count()))
}
