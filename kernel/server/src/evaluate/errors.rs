//! Compiler messages as a person wants to read them: with the cell's own lines and numbers.

use super::prepare::Prepared;
use benchbook_jupyter::{Cell, Failure};
use evcxr::CompilationError;
use std::fmt::Write;

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// The failure of a cell that does not compile.
pub(super) fn failure(
    errors: &[CompilationError],
    cell: &str,
    prepared: &Prepared,
    count: u64,
) -> Failure {
    let mut errors: Vec<_> = errors.iter().filter(|error| error.level() == "error").collect();
    if errors.iter().any(|error| error.is_from_user_code()) {
        errors.retain(|error| error.is_from_user_code());
    }
    let mut traceback = Vec::new();
    for error in &errors {
        traceback.extend(describe(error, cell, prepared, count).lines().map(str::to_owned));
    }
    let first = errors.first().map(|error| title(error));
    let more = errors.len().saturating_sub(1);
    let evalue = match (first, more) {
        (None, _) => "the cell does not compile".into(),
        (Some(first), 0) => first,
        (Some(first), more) => format!("{first} (and {more} more)"),
    };
    if traceback.is_empty() {
        traceback.push(evalue.clone());
    }
    Failure { ename: "CompileError".into(), evalue, traceback }
}

/// The failure of a cell with an error that only the parser has found.
pub(super) fn syntax(message: &str, line: usize, column: usize, cell: &Cell) -> Failure {
    let text = cell.code.lines().nth(line - 1).unwrap_or_default();
    let width = line.to_string().len();
    let traceback = vec![
        format!("{RED}error{PLAIN}{BOLD}: {message}{PLAIN}"),
        format!(
            "{BLUE}{:width$}--> {PLAIN}cell {}, line {line}, column {column}",
            "", cell.execution_count
        ),
        format!("{BLUE}{line} |{PLAIN} {text}"),
        format!("{BLUE}{:width$} |{PLAIN} {}{RED}^{PLAIN}", "", " ".repeat(column - 1)),
    ];
    Failure { ename: "CompileError".into(), evalue: message.into(), traceback }
}

fn title(error: &CompilationError) -> String {
    match error.code() {
        Some(code) => format!("{} [{code}]", error.message()),
        None => error.message(),
    }
}

fn describe(error: &CompilationError, cell: &str, prepared: &Prepared, count: u64) -> String {
    let mut text = format!("{RED}error{PLAIN}{BOLD}: {}{PLAIN}\n", title(error));
    let primary = error.primary_spanned_message();
    let place = primary.and_then(|message| message.span);
    let numbers = error.spanned_messages().iter().filter_map(|message| message.span);
    let width = numbers.map(|span| span.end_line.to_string().len()).max().unwrap_or(1);
    if let Some(span) = place {
        let column = prepared.column(span.start_line, span.start_column);
        let _ = writeln!(
            text,
            "{BLUE}{:width$}--> {PLAIN}cell {count}, line {}, column {column}",
            "", span.start_line
        );
    }
    let mut messages: Vec<_> = error.spanned_messages().iter().collect();
    messages.sort_by_key(|message| message.span.map(|span| (span.start_line, span.start_column)));
    for message in messages {
        let Some(span) = message.span else { continue };
        let Some(line) = cell.lines().nth(span.start_line - 1) else { continue };
        let start = prepared.column(span.start_line, span.start_column);
        let end = if span.end_line == span.start_line {
            prepared.column(span.end_line, span.end_column).max(start + 1)
        } else {
            line.chars().count().max(start) + 1
        };
        let (mark, colour) = if message.is_primary { ("^", RED) } else { ("-", BLUE) };
        let _ = writeln!(text, "{BLUE}{:width$} |{PLAIN} {line}", span.start_line);
        let gap: String =
            line.chars().take(start - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let _ = writeln!(
            text,
            "{BLUE}{:width$} |{PLAIN} {gap}{colour}{} {}{PLAIN}",
            "",
            mark.repeat(end - start),
            message.label
        );
    }
    for help in error.help() {
        let _ = writeln!(text, "{BLUE}{:width$} ={PLAIN} help: {}", "", help.replace('\n', " "));
    }
    if let Some(hint) = error.evcxr_extra_hint() {
        let _ = writeln!(text, "{BLUE}{:width$} ={PLAIN} note: {hint}", "");
    }
    text
}
