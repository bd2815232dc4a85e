//! The compiler's messages in JSON, with the fields that the kernel reads.

use serde::Deserialize;

/// A compiler message, or a child of one.
#[derive(Deserialize)]
pub(crate) struct Diagnostic {
    pub(crate) level: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) code: Option<Code>,
    #[serde(default)]
    pub(crate) spans: Vec<Span>,
    /// Notes and suggestions.
    #[serde(default)]
    pub(crate) children: Vec<Diagnostic>,
}

#[derive(Deserialize)]
pub(crate) struct Code {
    pub(crate) code: String,
}

/// A place, with lines and columns from 1.
#[derive(Deserialize)]
pub(crate) struct Span {
    pub(crate) file_name: String,
    pub(crate) line_start: usize,
    pub(crate) line_end: usize,
    pub(crate) column_start: usize,
    pub(crate) column_end: usize,
    pub(crate) is_primary: bool,
    pub(crate) suggested_replacement: Option<String>,
    pub(crate) text: Vec<Line>,
}

#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) text: String,
}

impl Diagnostic {
    /// The messages among the compiler's lines.
    pub(crate) fn all(lines: &[u8]) -> impl Iterator<Item = Self> {
        lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    }

    /// The code, such as `E0382`; empty if there is none.
    pub(crate) fn code(&self) -> &str {
        self.code.as_ref().map_or("", |code| &code.code)
    }

    /// The primary span.
    pub(crate) fn primary(&self) -> Option<&Span> {
        self.spans.iter().find(|span| span.is_primary)
    }
}
