//! What was run, in this session and in those before it.

mod file;
mod keeper;

use crate::wake::locked;
use crate::wire::{HistoryAccess, HistoryItem, HistoryRequest};
use glob::Pattern;
use keeper::{Keeper, Others};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;

/// Maximum number of entries in memory for this session, and on disk for all sessions.
const KEPT_ENTRIES: usize = 10_000;

/// Maximum length of a stored result, in bytes; longer results are cut.
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

/// The history. Errors of the file are logged and only lose the history of other sessions.
pub(crate) struct History {
    keeper: Option<Keeper>,
    /// This session's entries; their session number is set when they are returned.
    entries: Mutex<Vec<Entry>>,
}

impl History {
    /// Begins a session. Does not wait for the file.
    pub(crate) fn open(path: Option<PathBuf>) -> Self {
        Self { keeper: path.and_then(Keeper::start), entries: Mutex::default() }
    }

    /// Adds a cell. Does not wait for the file.
    pub(crate) fn add(&self, line: u64, input: &str, output: Option<String>) {
        let output = output.map(|mut text| {
            text.truncate(text.floor_char_boundary(KEPT_RESULT));
            text
        });
        let entry = Entry { session: 0, line, input: input.to_owned(), output };
        if let Some(keeper) = &self.keeper {
            keeper.add(entry.clone());
        }
        let mut entries = locked(&self.entries);
        entries.push(entry);
        if entries.len() > KEPT_ENTRIES {
            entries.drain(..KEPT_ENTRIES / 2);
        }
    }

    /// Ends the session.
    pub(crate) fn close(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.close();
        }
    }

    /// The requested entries, oldest first; only those of this session if the file does not respond
    /// within half a second.
    pub(crate) fn find(&self, asked: &HistoryRequest) -> Vec<HistoryItem> {
        let (session, all) = self.all();
        let limit = |n: Option<i64>| n.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
        let found = match asked.hist_access_type {
            HistoryAccess::Tail => latest(all, limit(asked.n)),
            HistoryAccess::Range => range(all, session, asked),
            HistoryAccess::Search => {
                let pattern = glob(asked.pattern.as_deref().unwrap_or("*"));
                let mut found = all;
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

    /// The number of this session, and the entries of all sessions in the order of execution, those
    /// of this session last.
    fn all(&self) -> (u64, Vec<Entry>) {
        let others = self.keeper.as_ref().and_then(Keeper::read);
        let Others { session, mut entries } =
            others.unwrap_or(Others { session: 1, entries: Vec::new() });
        entries.extend(locked(&self.entries).iter().cloned().map(|own| Entry { session, ..own }));
        (session, entries)
    }
}

/// The lines from `start` to before `stop` of one session: a positive number is the session's own,
/// 0 is the current session, a negative number counts back from it.
fn range(mut entries: Vec<Entry>, current: u64, asked: &HistoryRequest) -> Vec<Entry> {
    let session = match asked.session.unwrap_or(0) {
        session @ 1.. => session.unsigned_abs(),
        back => match current.checked_sub(back.unsigned_abs()) {
            Some(session) => session,
            None => return Vec::new(),
        },
    };
    let start = asked.start.map_or(0, |start| u64::try_from(start).unwrap_or(0));
    let stop = asked.stop.and_then(|stop| u64::try_from(stop).ok()).unwrap_or(u64::MAX);
    entries.retain(|entry| entry.session == session && (start..stop).contains(&entry.line));
    entries
}

/// The last `n` entries.
fn latest(mut entries: Vec<Entry>, n: usize) -> Vec<Entry> {
    entries.split_off(entries.len().saturating_sub(n))
}

/// Removes entries whose input is repeated later.
fn unique(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let mut kept: Vec<Entry> =
        entries.into_iter().rev().filter(|entry| seen.insert(entry.input.clone())).collect();
    kept.reverse();
    kept
}

/// A shell pattern as in IPython: `*`, `?` and `[…]`. An invalid pattern matches its own text.
fn glob(pattern: &str) -> Pattern {
    // The library treats `**` as a path pattern; here it means the same as `*`.
    let mut simple = pattern.to_owned();
    while simple.contains("**") {
        simple = simple.replace("**", "*");
    }
    Pattern::new(&simple).or_else(|_| Pattern::new(&Pattern::escape(pattern))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
