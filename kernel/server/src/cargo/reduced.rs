//! Code that is hidden from evcxr.
//!
//! The server replaces parts of a cell by comments (`evaluate/reduce.rs`) and stores the replaced code
//! here. The stand-in restores it in evcxr's source before it compiles.

use super::{read_json, write_json};
use anyhow::bail;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The file of a cell's hidden code, in the crate's folder.
pub const FILE: &str = "reduced.json";

/// The text that every mark begins with.
const SIGN: &str = "/*@";

/// The hidden parts of a cell, in text order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduced {
    /// Pairs of a mark and the original text.
    parts: Vec<(String, String)>,
}

/// The mark for the part with this number: a comment with text before and after it that keeps the statement
/// valid. The mark ends on the line and column of the part's end; `None` if the part is too short.
pub fn mark(number: usize, original: &str, (before, behind): (&str, &str)) -> Option<String> {
    let begin = format!("{before}{SIGN}{number}");
    let end = format!("*/{behind}");
    let lines = original.matches('\n').count();
    let last = original.rsplit('\n').next().unwrap_or_default().chars().count();
    let taken = end.len() + if lines == 0 { begin.len() } else { 0 };
    let blanks = match last.checked_sub(taken) {
        Some(blanks) => blanks,
        // After a line break, only code on the last line moves.
        None if lines > 0 => 0,
        None => return None,
    };
    Some(format!("{begin}{}{}{end}", "\n".repeat(lines), " ".repeat(blanks)))
}

impl Reduced {
    /// The number of hidden parts.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Adds a part and its mark.
    pub fn push(&mut self, marked: String, original: String) {
        self.parts.push((marked, original));
    }

    /// The mark of a part.
    #[cfg(test)]
    pub fn marked(&self, at: usize) -> &str {
        &self.parts[at].0
    }

    /// Restores all parts.
    ///
    /// # Errors
    /// A mark is missing in the text.
    pub fn restore(&self, text: &str) -> anyhow::Result<String> {
        let mut restored = String::with_capacity(text.len() * 2);
        let mut copied = 0;
        for (marked, original) in &self.parts {
            let Some(at) = text[copied..].find(marked.as_str()) else {
                bail!("evcxr has changed `{marked}`, which stands for `{original}`");
            };
            restored.push_str(&text[copied..copied + at]);
            restored.push_str(original);
            copied += at + marked.len();
        }
        restored.push_str(&text[copied..]);
        Ok(restored)
    }

    /// Writes the file for the stand-in.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_json(&folder.join(FILE), self)
    }
}

/// evcxr's source with the hidden code restored.
///
/// # Errors
/// As [`Reduced::restore`].
pub(super) fn restored(source: String) -> anyhow::Result<String> {
    let reduced: Reduced = read_json(FILE.as_ref());
    // The kernel may run a small cell of its own in between.
    if reduced.parts.first().is_some_and(|(marked, _)| !source.contains(marked.as_str())) {
        return Ok(source);
    }
    reduced.restore(&source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_ends_where_the_part_ends() {
        for original in ["println!(\"a long line\")", "{\n  f();\n  g(1, 2, 3, 4)\n        }"] {
            let marked = mark(7, original, ("(", ")")).unwrap();
            let end = |text: &str| text.rsplit('\n').next().unwrap().len();
            assert_eq!(marked.matches('\n').count(), original.matches('\n').count());
            assert_eq!(end(&marked), end(original));
        }
        assert_eq!(mark(0, "f()", ("(", ")")), None);
    }
}
