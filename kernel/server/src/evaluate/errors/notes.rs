//! The compiler's additions to an error: notes and suggestions.

use crate::diagnostic::{Diagnostic, Span};
use crate::evcxr_contract::{FILE, is_internal};
use evcxr::CompilationError;
use serde::Deserialize;

/// Notes on the compiler's reasoning or on other crates, and notes that are too long; all are left out.
const NOISE: [&str; 14] = [
    "the following other types implement",
    "required by a bound",
    "required for ",
    "required because ",
    "this error originates in",
    "in this expansion of",
    "the full name for the type has been written",
    "consider using `--verbose`",
    "the question mark operation",
    "the nightly-only",
    "for more information",
    // A notebook has no Cargo.toml to add a crate to.
    "you might be missing a crate",
    "if you wanted to use a crate",
    "use `cargo add",
];

/// Maximum number of alternatives shown.
const ALTERNATIVES: usize = 6;

/// The notes and suggestions of an error, each with its kind.
pub(super) fn of(error: &CompilationError) -> Vec<(&'static str, String)> {
    let Ok(error) = Diagnostic::deserialize(&error.json) else { return Vec::new() };
    let children = error.children.iter();
    children
        .filter_map(|child| {
            let kind = match child.level.as_str() {
                "help" => "help",
                "note" => "note",
                _ => return None,
            };
            let text = describe(child)?;
            (!is_internal(&text)).then_some((kind, text))
        })
        .collect()
}

fn describe(child: &Diagnostic) -> Option<String> {
    let message = child.message.as_str();
    if NOISE.iter().any(|noise| message.starts_with(noise)) {
        return None;
    }
    if child.level == "note" && message.ends_with("defined here") {
        // The source shows which function it is.
        let span = child.primary()?;
        let line = span.text.first()?.text.trim().trim_end_matches('{').trim_end();
        let whole = line.matches('(').count() == line.matches(')').count();
        return (whole && line.contains("fn ")).then(|| format!("{message}: `{line}`"));
    }
    Some(match suggestion(&child.spans) {
        Some(suggestion) if !is_internal(&suggestion) => format!("{message}: {suggestion}"),
        _ => message.to_owned(),
    })
}

/// The code after applying the suggestion.
fn suggestion(spans: &[Span]) -> Option<String> {
    let replacement = |span: &Span| Some(span.suggested_replacement.clone()?.trim().to_owned());
    let new: Vec<String> = spans.iter().map(replacement).collect::<Option<_>>()?;
    let first = spans.first()?;
    let place = |span: &Span| (span.line_start, span.column_start, span.column_end);
    let alternatives = spans.len() > 1 && spans.iter().all(|span| place(span) == place(first));
    if alternatives || new[0].starts_with("use ") {
        let shown: Vec<String> =
            new.iter().take(ALTERNATIVES).map(|text| format!("`{text}`")).collect();
        let more = new.len().saturating_sub(ALTERNATIVES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Some(shown.join(", ") + &more);
    }
    let whole = |span: &Span| {
        span.line_start == span.line_end && span.text.len() == 1 && span.file_name.ends_with(FILE)
    };
    if !spans.iter().all(whole) {
        return Some(format!("`{}`", new.join("` … `")));
    }
    let mut lines: Vec<(usize, Vec<char>)> = Vec::new();
    let mut ordered: Vec<&Span> = spans.iter().collect();
    // From right to left, so that earlier columns stay valid.
    ordered.sort_by_key(|span| (span.line_start, std::cmp::Reverse(span.column_start)));
    for span in ordered {
        if lines.last().is_none_or(|(number, _)| *number != span.line_start) {
            lines.push((span.line_start, span.text[0].text.chars().collect()));
        }
        let (_, line) = lines.last_mut()?;
        let new = span.suggested_replacement.as_ref()?;
        let (from, to) = (span.column_start.checked_sub(1)?, span.column_end.checked_sub(1)?);
        if from > to || to > line.len() {
            return None;
        }
        line.splice(from..to, new.chars());
    }
    let lines = lines.into_iter().map(|(_, line)| users(&line.into_iter().collect::<String>()));
    Some(format!("`{}`", lines.collect::<Vec<_>>().join("` … `")))
}

/// Converts a line of the compiled file to the user's code.
fn users(line: &str) -> String {
    let line = line.replace(crate::evaluate::prepare::POLL, "");
    let line = line.trim();
    let shown = line.strip_prefix(crate::evaluate::prepare::SHOW);
    let shown = shown.map(|rest| rest.strip_suffix(");").unwrap_or(rest));
    shown.unwrap_or(line).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Line;

    fn child(message: &str, spans: Vec<Span>) -> Diagnostic {
        let (level, message, children) = ("note".into(), message.into(), Vec::new());
        Diagnostic { level, message, code: None, spans, children }
    }

    fn span(line: &str, from: usize, to: usize, new: &str) -> Span {
        Span {
            file_name: "target/cell/lib.rs".into(),
            line_start: 3,
            line_end: 3,
            column_start: from,
            column_end: to,
            is_primary: true,
            suggested_replacement: Some(new.into()),
            text: vec![Line { text: line.into() }],
        }
    }

    #[test]
    fn suggestions_are_shown_in_the_whole_line() {
        let line = "benchbook::show!(f(a, b));";
        assert_eq!(suggestion(&[span(line, 20, 20, "&")]).unwrap(), "`f(&a, b)`");
        let both = [span(line, 20, 20, "&"), span(line, 23, 24, "c as u8")];
        assert_eq!(suggestion(&both).unwrap(), "`f(&a, c as u8)`");
        assert_eq!(suggestion(&[span("let ü = ab;", 9, 11, "abc")]).unwrap(), "`let ü = abc;`");
    }

    #[test]
    fn alternatives_are_listed() {
        let spans: Vec<Span> =
            (0..8).map(|n| span("", 1, 1, &format!("use std::a{n}::B;\n\n"))).collect();
        let shown = suggestion(&spans).unwrap();
        assert!(shown.starts_with("`use std::a0::B;`, `use std::a1::B;`"), "{shown}");
        assert!(shown.ends_with(" and 2 more"), "{shown}");
    }

    #[test]
    fn notes_on_the_compilers_reasoning_are_left_out() {
        let note = |message: &str| describe(&child(message, Vec::new()));
        assert_eq!(note("required by a bound in `f`"), None);
        let types = "expected type `i32`\n   found enum `Option<i32>`";
        assert_eq!(note(types).as_deref(), Some(types));
        let mut line = span("    pub fn fit(&mut self, n: &str) -> u8 {", 1, 2, "");
        line.suggested_replacement = None;
        let child = child("method defined here", vec![line]);
        assert_eq!(
            describe(&child).as_deref(),
            Some("method defined here: `pub fn fit(&mut self, n: &str) -> u8`")
        );
    }
}
