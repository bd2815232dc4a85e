//! Code that evcxr does not get to see.
//!
//! The server replaces parts of a cell by comments (`evaluate/reduce.rs`) and notes here what they stand
//! for; the stand-in puts it back into evcxr's source before it compiles.

use super::{read_json, write_json};
use anyhow::bail;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The file of a cell's left out code, in the crate's folder.
pub const FILE: &str = "reduced.json";

/// What every mark has.
const SIGN: &str = "/*@";

/// What was left out of a cell, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduced {
    /// What stands in the cell, and what it stands for.
    parts: Vec<(String, String)>,
}

/// What stands for the part with this number: a comment with something before and behind it that
/// keeps the statement whole. It ends on the line and in the column in which the part ends; `None` if
/// the part has no room for it.
pub fn mark(number: usize, original: &str, (before, behind): (&str, &str)) -> Option<String> {
    let begin = format!("{before}{SIGN}{number}");
    let end = format!("*/{behind}");
    let lines = original.matches('\n').count();
    let last = original.rsplit('\n').next().unwrap_or_default().chars().count();
    let taken = end.len() + if lines == 0 { begin.len() } else { 0 };
    let blanks = match last.checked_sub(taken) {
        Some(blanks) => blanks,
        // Behind a line's end only what follows on the last line is moved.
        None if lines > 0 => 0,
        None => return None,
    };
    Some(format!("{begin}{}{}{end}", "\n".repeat(lines), " ".repeat(blanks)))
}

impl Reduced {
    /// How many parts were left out.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Adds a part, with what stands for it.
    pub fn push(&mut self, marked: String, original: String) {
        self.parts.push((marked, original));
    }

    /// What stands for a part.
    #[cfg(test)]
    pub fn marked(&self, at: usize) -> &str {
        &self.parts[at].0
    }

    /// Puts all parts back.
    ///
    /// # Errors
    /// One is not to be found in the text.
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

    /// Notes it for the stand-in.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_json(&folder.join(FILE), self)
    }
}

/// evcxr's source with what was left out of the cell.
///
/// # Errors
/// As [`Reduced::restore`].
pub(super) fn restored(source: String) -> anyhow::Result<String> {
    let reduced: Reduced = read_json(FILE.as_ref());
    // A small cell of the kernel's own may come between.
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
