//! The history on disk: one JSON object a line, shared by all sessions.

use super::{Entry, KEPT_ENTRIES};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Maximum size of the file, in bytes.
const KEPT_BYTES: u64 = 16 << 20;

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Entry(Entry),
    /// The start of a session; reserves its number before its first cell.
    Session {
        session: u64,
    },
}

/// The history file. It is opened under a lock for each access, so that another session can replace
/// it by a shortened one.
pub(super) struct HistoryFile {
    path: PathBuf,
}

impl HistoryFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Shortens a file that has grown too large, and reserves the number of a new session.
    pub(super) fn begin_session(&self) -> io::Result<u64> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = self.lock()?;
        let lines = lines(&file);
        let latest = lines.iter().map(Line::session).max().unwrap_or(0);
        if lines.len() > KEPT_ENTRIES || file.metadata()?.len() > KEPT_BYTES {
            file = self.shorten(&lines)?;
        }
        let session = latest + 1;
        write(&file, &Line::Session { session })?;
        Ok(session)
    }

    pub(super) fn append(&self, entry: &Entry) -> io::Result<()> {
        write(&self.lock()?, &Line::Entry(entry.clone()))
    }

    /// All entries of all sessions; empty if the file cannot be read.
    pub(super) fn read(&self) -> Vec<Entry> {
        let Ok(file) = open(&self.path) else { return Vec::new() };
        let entry = |line| match line {
            Line::Entry(entry) => Some(entry),
            Line::Session { .. } => None,
        };
        lines(&file).into_iter().filter_map(entry).collect()
    }

    /// Opens the file under an exclusive lock; creates a missing file.
    fn lock(&self) -> io::Result<File> {
        loop {
            let file = open(&self.path)?;
            file.lock()?;
            // Another session may have replaced the file before the lock was acquired.
            match fs::metadata(&self.path) {
                Ok(current) if current.ino() == file.metadata()?.ino() => return Ok(file),
                _ => {}
            }
        }
    }

    /// Replaces the file by one with the latest half of its lines; returns the new file, locked.
    fn shorten(&self, lines: &[Line]) -> io::Result<File> {
        let temporary = self.path.with_extension(format!("{}.new", std::process::id()));
        let mut bytes = 0;
        let mut kept: Vec<&Line> = lines
            .iter()
            .rev()
            .take(KEPT_ENTRIES / 2)
            .take_while(|line| {
                bytes += line.size();
                bytes <= KEPT_BYTES / 2
            })
            .collect();
        kept.reverse();
        let _ = fs::remove_file(&temporary);
        let file = open(&temporary)?;
        file.lock()?;
        let mut writer = io::BufWriter::new(&file);
        for line in kept {
            serde_json::to_writer(&mut writer, line)?;
            writer.write_all(b"\n")?;
        }
        writer.flush()?;
        drop(writer);
        fs::rename(&temporary, &self.path)?;
        Ok(file)
    }
}

impl Line {
    fn session(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.session,
            Self::Session { session } => *session,
        }
    }

    /// Approximate size in the file, in bytes.
    fn size(&self) -> u64 {
        match self {
            Self::Entry(entry) => {
                (entry.input.len() + entry.output.as_ref().map_or(0, String::len) + 64) as u64
            }
            Self::Session { .. } => 32,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        // Other files, a pipe for example, may have no end.
        false => Err(io::Error::other(format!("{} is no regular file", path.display()))),
    }
}

/// Appends a line. Starts with a line end if the last line has none because its writer was killed.
fn write(mut file: &File, line: &Line) -> io::Result<()> {
    let mut bytes = Vec::new();
    if !ends_with_newline(file)? {
        bytes.push(b'\n');
    }
    serde_json::to_writer(&mut bytes, line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}

fn ends_with_newline(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last == [b'\n'])
}

/// The readable lines; skips others (truncated by a crash, written by a later version).
fn lines(file: &File) -> Vec<Line> {
    let mut reader = BufReader::new(file);
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        lines.extend(serde_json::from_slice::<Line>(&line).ok());
        line.clear();
    }
    lines
}
