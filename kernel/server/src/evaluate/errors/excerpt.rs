//! A message with the lines of the cell that it refers to.

/// ANSI colours; empty if `NO_COLOR` is set (<https://no-color.org>).
struct Colours {
    red: &'static str,
    yellow: &'static str,
    blue: &'static str,
    green: &'static str,
    bold: &'static str,
    plain: &'static str,
}

const COLOURED: Colours = Colours {
    red: "\x1b[1;31m",
    yellow: "\x1b[1;33m",
    blue: "\x1b[1;34m",
    green: "\x1b[1;32m",
    bold: "\x1b[1m",
    plain: "\x1b[0m",
};
const PLAIN: Colours = Colours { red: "", yellow: "", blue: "", green: "", bold: "", plain: "" };

fn colours() -> &'static Colours {
    match std::env::var_os("NO_COLOR") {
        Some(value) if !value.is_empty() => &PLAIN,
        _ => &COLOURED,
    }
}

/// A span within one line. Lines and columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) width: usize,
    /// Whether this is the error's primary span.
    pub(super) primary: bool,
    pub(super) label: String,
}

impl Mark {
    /// The span of a message without labels.
    pub(super) fn at((line, column): (usize, usize), width: usize) -> Self {
        Self { line, column, width, primary: true, label: String::new() }
    }
}

/// A message about a cell.
pub(super) struct Excerpt<'a> {
    cell: &'a str,
    count: u64,
    level: &'static str,
    title: String,
    marks: Vec<Mark>,
}

impl<'a> Excerpt<'a> {
    pub(super) fn new(cell: &'a str, count: u64) -> Self {
        Self { cell, count, level: "error", title: String::new(), marks: Vec::new() }
    }

    pub(super) fn title(mut self, level: &'static str, title: &str) -> Self {
        self.level = level;
        title.clone_into(&mut self.title);
        self
    }

    pub(super) fn marks(mut self, marks: Vec<Mark>) -> Self {
        self.marks = marks;
        self
    }

    /// The message with its place, the source, the compiler's notes and the advice.
    pub(super) fn lines(&self, notes: &[(&str, String)], advice: Option<&str>) -> Vec<String> {
        let Colours { red, yellow, blue, green, bold, plain } = colours();
        let colour = if self.level == "error" { red } else { yellow };
        let mut lines = vec![format!("{colour}{}{plain}{bold}: {}{plain}", self.level, self.title)];
        let width = self.width();
        let place = self.marks.iter().find(|mark| mark.primary).or(self.marks.first());
        if let Some(Mark { line, column, .. }) = place {
            lines.push(format!(
                "{blue}{:width$}--> {plain}cell {}, line {line}, column {column}",
                "", self.count
            ));
        }
        lines.extend(self.source());
        for (kind, text) in notes {
            let mut parts = text.lines();
            let first = parts.next().unwrap_or_default();
            lines.push(format!("{blue}{:width$} ={plain} {kind}: {first}", ""));
            let indent = width + kind.len() + 5;
            lines.extend(parts.map(|part| format!("{:indent$}{part}", "")));
        }
        if let Some(advice) = advice {
            lines.push(format!("{blue}{:width$} ={plain} {green}what to do{plain}: {advice}", ""));
        }
        lines
    }

    /// The marked source lines only.
    pub(super) fn source(&self) -> Vec<String> {
        let Colours { red, yellow, blue, plain, .. } = colours();
        let width = self.width();
        let mut marks: Vec<&Mark> = self.marks.iter().collect();
        marks.sort_by_key(|mark| (mark.line, mark.column));
        let mut lines = Vec::new();
        for mark in marks {
            let Some(line) = self.cell.lines().nth(mark.line.saturating_sub(1)) else { continue };
            let (sign, colour) = match (mark.primary, self.level) {
                (true, "error") => ("^", red),
                (true, _) => ("^", yellow),
                (false, _) => ("-", blue),
            };
            let gap: String = line
                .chars()
                .take(mark.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            lines.push(format!("{blue}{:width$} |{plain} {line}", mark.line));
            let under = format!(
                "{blue}{:width$} |{plain} {gap}{colour}{} {}",
                "",
                sign.repeat(mark.width),
                mark.label
            );
            lines.push(format!("{}{plain}", under.trim_end()));
        }
        lines
    }

    fn width(&self) -> usize {
        self.marks.iter().map(|mark| mark.line.to_string().len()).max().unwrap_or(1)
    }
}
