//! Unused results. The code is valid, so this is only a warning, but a failure in an unused result is ignored.

use super::excerpt::{Excerpt, Mark};
use crate::cargo::{CELL, UNUSED};
use crate::diagnostic::Diagnostic;
use crate::evaluate::prepare::Prepared;
use benchbook_jupyter::{Output, Stream};
use std::fs;
use std::path::Path;

/// Shows the compiler's warnings about unused results of the cell just compiled.
pub(in crate::evaluate) fn show(
    folder: &Path,
    cell: &str,
    count: u64,
    prepared: &Prepared,
    output: &Output,
) {
    let Ok(messages) = fs::read(folder.join(UNUSED)) else { return };
    if messages.is_empty() {
        return;
    }
    let Ok(compiled) = fs::read_to_string(folder.join(CELL)) else { return };
    for message in Diagnostic::all(&messages) {
        if let Some(lines) = describe(&message, &compiled, cell, count, prepared) {
            output.stream(Stream::Stderr, &(lines.join("\n") + "\n"));
        }
    }
}

/// `None` for code of an earlier cell, which showed the warning then.
fn describe(
    message: &Diagnostic,
    compiled: &str,
    cell: &str,
    count: u64,
    prepared: &Prepared,
) -> Option<Vec<String>> {
    let span = message.primary()?;
    let (line, column) = prepared.place(compiled, span.line_start, span.column_start)?;
    let width = if span.line_end == span.line_start {
        prepared
            .place(compiled, span.line_end, span.column_end)
            .map_or(1, |(_, end)| end.saturating_sub(column).max(1))
    } else {
        1
    };
    let advice = if message.message.contains("`Result`") {
        "put `?` before the semicolon, so that a failure ends the cell and is shown"
    } else if message.message.contains("iterators are lazy") {
        "an iterator does nothing by itself: end it with `.collect::<Vec<_>>()`, or write a `for` loop"
    } else {
        // A value with a semicolon: the user does not want to see it.
        return None;
    };
    let mark = Mark::at((line, column), width);
    let excerpt = Excerpt::new(cell, count).title("warning", &message.message).marks(vec![mark]);
    Some(excerpt.lines(&[], Some(advice)))
}
