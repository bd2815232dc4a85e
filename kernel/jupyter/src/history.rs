//! What was run, in this session and in those before it.

mod file;

use crate::wire::{HistoryAccess, HistoryItem, HistoryRequest};
use file::HistoryFile;
use glob::Pattern;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::PathBuf;

/// How many entries of this session are kept in memory, and how many of all sessions on disk.
const KEPT_ENTRIES: usize = 10_000;

/// How long a result may be to be kept, in bytes; a longer one is cut.
const KEPT_RESULT: usize = 16 << 10;

/// A cell that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    session: u64,
    line: u64,
    input: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// The history. What goes wrong with the file is logged and costs only the history of other
/// sessions.
pub(crate) struct History {
    file: Option<HistoryFile>,
    session: u64,
    /// This session's entries.
    entries: Vec<Entry>,
}

impl History {
    /// Begins a session.
    pub(crate) fn open(path: Option<PathBuf>) -> Self {
        let file = path.map(HistoryFile::new);
        let session = file.as_ref().map_or(Ok(1), HistoryFile::begin_session);
        let session = session.unwrap_or_else(|error| {
            tracing::warn!(%error, "the history of other sessions is not available");
            1
        });
        Self { file, session, entries: Vec::new() }
    }

    /// Adds a cell.
    pub(crate) fn add(&mut self, line: u64, input: &str, output: Option<String>) {
        let output = output.map(|mut text| {
            text.truncate(text.floor_char_boundary(KEPT_RESULT));
            text
        });
        let entry = Entry { session: self.session, line, input: input.to_owned(), output };
        if let Some(file) = &self.file
            && let Err(error) = file.append(&entry)
        {
            tracing::warn!(%error, "a cell is not in the history file");
        }
        self.entries.push(entry);
        if self.entries.len() > KEPT_ENTRIES {
            self.entries.drain(..KEPT_ENTRIES / 2);
        }
    }

    /// The entries that are asked for, oldest first.
    pub(crate) fn find(&self, asked: &HistoryRequest) -> Vec<HistoryItem> {
        let limit = |n: Option<i64>| n.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
        let found = match asked.hist_access_type {
            HistoryAccess::Tail => latest(self.all(), limit(asked.n)),
            HistoryAccess::Range => self.range(asked),
            HistoryAccess::Search => {
                let pattern = glob(asked.pattern.as_deref().unwrap_or("*"));
                let mut found = self.all();
                found.retain(|entry| pattern.matches(&entry.input));
                if asked.unique == Some(true) {
                    found = unique(found);
                }
                latest(found, limit(asked.n))
            }
        };
        let item = |entry: Entry| match asked.output {
            true => HistoryItem::Both(entry.session, entry.line, (entry.input, entry.output)),
            false => HistoryItem::Input(entry.session, entry.line, entry.input),
        };
        found.into_iter().map(item).collect()
    }

    /// The entries of all sessions in the order in which they were run, those of this one last.
    fn all(&self) -> Vec<Entry> {
        let mut entries = self.file.as_ref().map(HistoryFile::read).unwrap_or_default();
        entries.retain(|entry| entry.session != self.session);
        entries.extend_from_slice(&self.entries);
        entries
    }

    /// The lines from `start` to before `stop` of one session: a positive number is the session's
    /// own, 0 is this one, a negative number counts back from this one.
    fn range(&self, asked: &HistoryRequest) -> Vec<Entry> {
        let session = match asked.session.unwrap_or(0) {
            session @ 1.. => session.unsigned_abs(),
            back => match self.session.checked_sub(back.unsigned_abs()) {
                Some(session) => session,
                None => return Vec::new(),
            },
        };
        let start = asked.start.map_or(0, |start| u64::try_from(start).unwrap_or(0));
        let stop = asked.stop.and_then(|stop| u64::try_from(stop).ok()).unwrap_or(u64::MAX);
        let mut entries = if session == self.session { self.entries.clone() } else { self.all() };
        entries.retain(|entry| entry.session == session && (start..stop).contains(&entry.line));
        entries
    }
}

/// The last `n` entries.
fn latest(mut entries: Vec<Entry>, n: usize) -> Vec<Entry> {
    entries.split_off(entries.len().saturating_sub(n))
}

/// The entries without those whose input is repeated later.
fn unique(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let mut kept: Vec<Entry> =
        entries.into_iter().rev().filter(|entry| seen.insert(entry.input.clone())).collect();
    kept.reverse();
    kept
}

/// A shell pattern, as IPython takes it: `*`, `?` and `[…]`. One that is none means its own text.
fn glob(pattern: &str) -> Pattern {
    // The library gives `**` a meaning for paths; here it means what `*` means.
    let mut simple = pattern.to_owned();
    while simple.contains("**") {
        simple = simple.replace("**", "*");
    }
    Pattern::new(&simple).or_else(|_| Pattern::new(&Pattern::escape(pattern))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
