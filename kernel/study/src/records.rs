//! Files of records, one JSON line each. Files are only appended to.

use crate::error::Error;
use crate::files::write_atomically;
use crate::record::{Record, SCHEMA, Status};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A line that cannot be read. The other lines are read all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// Why the line cannot be read.
    pub reason: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, line {}: {}", self.path.display(), self.line, self.reason)
    }
}

/// The records of any number of files and machines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// The records in the order of the files and their lines.
    pub records: Vec<Record>,
    /// The lines that could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl Records {
    /// Reads a file. A run whose line occurs several times, as in joined files, counts once.
    ///
    /// # Errors
    /// [`Error::File`]. Lines that cannot be read are listed in `unreadable`.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| Error::File {
            action: "read",
            path: path.into(),
            source,
        })?;
        let (mut read, mut seen) = (Self::default(), HashSet::new());
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match parse(line) {
                Ok(record) => {
                    let is_new = seen.insert(line);
                    // A check may find the same again, after something else.
                    if is_new || record.status == Status::Checked {
                        read.records.push(record);
                    }
                }
                Err(reason) => {
                    read.unreadable.push(Unreadable { path: path.into(), line: index + 1, reason });
                }
            }
        }
        Ok(read)
    }

    /// Adds another file, for example from another machine, without records that are already here.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn and(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let more = Self::read(path)?;
        for record in more.records {
            if !self.records.contains(&record) {
                self.records.push(record);
            }
        }
        self.unreadable.extend(more.unreadable);
        Ok(self)
    }
}

fn parse(line: &[u8]) -> Result<Record, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        schema: Option<u32>,
    }
    let version: Version = serde_json::from_slice(line).map_err(|wrong| wrong.to_string())?;
    match version.schema {
        Some(SCHEMA) => serde_json::from_slice(line).map_err(|wrong| wrong.to_string()),
        Some(other) => Err(format!("the record must have schema {SCHEMA} (got {other})")),
        None => Err("the record has no `schema`".into()),
    }
}

impl Record {
    /// Writes the record as JSON, replacing a file of that name atomically.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Json`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = path.as_ref();
        let failed = |source| Error::File { action: "write", path: path.into(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| Error::Json {
            what: "a record",
            path: path.into(),
            source,
        })?;
        text.push(b'\n');
        write_atomically(path, |file| file.write_all(&text)).map_err(failed)?;
        Ok(path.into())
    }

    /// Reads the record of a line, counted from 1; without a line, the only record of a file.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Setting`] if there is no record, or without a line for a file of several records.
    pub fn read_line(path: impl AsRef<Path>, line: Option<usize>) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = |source| Error::File { action: "read", path: path.into(), source };
        let bytes = fs::read(path).map_err(failed)?;
        let text = match line {
            // A single record may take many lines.
            None => &bytes,
            Some(line) => {
                let mut lines = bytes.split(|byte| *byte == b'\n');
                line.checked_sub(1).and_then(|line| lines.nth(line)).unwrap_or_default()
            }
        };
        parse(text).map_err(|found| Error::Setting {
            name: "line",
            expected: format!("the number of a record's line in {}", path.display()),
            found: match line {
                Some(line) => format!("{line}: {found}"),
                None => format!("none, and the file is not a single record: {found}"),
            },
        })
    }

    /// Reads the only record of a file.
    ///
    /// # Errors
    /// As [`Record::read_line`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read_line(path, None)
    }
}

/// Appends a record to a file, which is created if necessary. The line is written at once, so that two processes can
/// append to one file. Ends a partial line of a killed process first.
///
/// # Errors
/// [`Error::File`].
pub fn append(path: impl AsRef<Path>, record: &Record) -> Result<(), Error> {
    let path = path.as_ref();
    let failed = |source| Error::File { action: "append to", path: path.into(), source };
    let mut file = opened(path).map_err(failed)?;
    let mut line = Vec::new();
    if !ends_a_line(&mut file).map_err(failed)? {
        line.push(b'\n');
    }
    serde_json::to_writer(&mut line, record).map_err(|source| Error::Json {
        what: "a record",
        path: path.into(),
        source,
    })?;
    line.push(b'\n');
    write_whole(&mut file, &line).map_err(failed)
}

/// Writes a line to the end of a file. On a full disk, removes the partial line unless another process has appended to it.
fn write_whole(file: &mut File, line: &[u8]) -> std::io::Result<()> {
    let before = file.metadata()?.len();
    let mut written = 0;
    while written < line.len() {
        match file.write(&line[written..]) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                if written > 0 && file.metadata()?.len() == before + written as u64 {
                    file.set_len(before)?;
                }
                return Err(error);
            }
        }
    }
    file.sync_data()
}

/// The lock of a file of records (flock(2)). The lock ends with this value, and with the process.
#[derive(Debug)]
pub struct RecordsLock {
    file: File,
}

/// Closing the file does not suffice: a child that another thread is starting holds a copy of the descriptor, and so the
/// lock, until its `exec`.
impl Drop for RecordsLock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl RecordsLock {
    /// Locks a file, which is created if necessary.
    ///
    /// # Errors
    /// [`Error::InUse`] if another study holds the lock; [`Error::File`].
    pub fn take(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { action: "lock", path: path.into(), source };
        let file = opened(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Opens a file for appending, and creates it and its folder if necessary.
fn opened(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

fn ends_a_line(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_value_even_if_a_starting_child_has_a_copy_of_the_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        let lock = RecordsLock::take(&path).unwrap();
        let _copy = lock.file.try_clone().unwrap();
        assert!(matches!(RecordsLock::take(&path), Err(Error::InUse { .. })));
        drop(lock);
        RecordsLock::take(&path).unwrap();
    }

    fn named(name: &str) -> Record {
        Record { schema: SCHEMA, name: name.into(), ..Record::default() }
    }

    fn names(records: &Records) -> Vec<&str> {
        records.records.iter().map(|record| record.name.as_str()).collect()
    }

    #[test]
    fn an_unreadable_line_is_named_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/records.jsonl");
        append(&path, &named("first")).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, r#"{{"schema": 4, "name": "from the future"}}"#).unwrap();
        writeln!(file, r#"{{"schema": 3, "nmae": "misspelt"}}"#).unwrap();
        writeln!(file, "\n\u{fffd}no json").unwrap();
        write!(file, r#"{{"schema": 3, "name": "half a li"#).unwrap();
        append(&path, &named("after the crash")).unwrap();
        let read = Records::read(&path).unwrap();
        assert_eq!(names(&read), ["first", "after the crash"]);
        let told: Vec<String> = read.unreadable.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("line 2: the record must have schema 3 (got 4)"), "{told:?}");
        assert!(told[1].contains("line 3") && told[1].contains("`nmae`"), "{told:?}");
        assert!(told[2].contains("line 5") && told[3].contains("line 6"), "{told:?}");
    }

    #[test]
    fn a_run_counts_once_in_joined_files_and_a_check_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("joined.jsonl");
        let check = Record { status: Status::Checked, ..named("check") };
        for record in [named("run"), check.clone(), named("other"), named("run"), check] {
            append(&path, &record).unwrap();
        }
        assert_eq!(names(&Records::read(&path).unwrap()), ["run", "check", "other", "check"]);
    }

    #[test]
    fn another_machines_file_is_added_once() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("here.jsonl"), folder.path().join("there.jsonl"));
        append(&here, &named("laptop")).unwrap();
        append(&there, &named("laptop")).unwrap();
        append(&there, &named("H100")).unwrap();
        let both = Records::read(&here).unwrap().and(&there).unwrap();
        assert_eq!(names(&both), ["laptop", "H100"]);
        assert!(Records::read(folder.path().join("none")).is_err());
    }

    #[test]
    fn a_file_of_one_record_is_read_back_and_another_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/record.json");
        named("one").write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), named("one"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::write(&path, r#"{"schema": 7}"#).unwrap();
        let error = Record::read(&path).unwrap_err().to_string();
        assert!(error.contains("the record must have schema 3 (got 7)"), "{error}");
    }

    #[test]
    fn a_line_is_read_by_its_number_and_the_only_record_without() {
        let folder = tempfile::tempdir().unwrap();
        let (several, one) = (folder.path().join("a.jsonl"), folder.path().join("one.json"));
        append(&several, &named("first")).unwrap();
        assert_eq!(Record::read_line(&several, None).unwrap().name, "first");
        append(&several, &named("second")).unwrap();
        assert_eq!(Record::read_line(&several, Some(2)).unwrap().name, "second");
        named("alone").write(&one).unwrap();
        assert_eq!(Record::read_line(&one, None).unwrap().name, "alone");
        for (line, words) in [(None, "got none, and the file"), (Some(0), "0: "), (Some(9), "9: ")]
        {
            let error = Record::read_line(&several, line).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("a.jsonl"), "{error}");
        }
    }

    #[test]
    fn a_file_has_one_study_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/records.jsonl");
        let first = RecordsLock::take(&path).unwrap();
        append(&path, &named("of the holder")).unwrap();
        let refused = RecordsLock::take(&path).unwrap_err();
        assert!(matches!(refused, Error::InUse { .. }), "{refused}");
        assert!(refused.to_string().contains("records.jsonl"), "{refused}");
        drop(first);
        RecordsLock::take(&path).unwrap();
        assert_eq!(names(&Records::read(&path).unwrap()), ["of the holder"]);
    }

    /// The limit belongs to the process, so the test runs itself.
    #[test]
    fn a_full_disk_is_named_and_leaves_no_half_line() {
        const FOLDER: &str = "BENCHBOOK_TEST_FULL";
        if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
            let path = folder.join("records.jsonl");
            append(&path, &named("first")).unwrap();
            let room = fs::metadata(&path).unwrap().len() + 50;
            // SAFETY: plain system calls. Writing beyond the limit fails instead of ending the process.
            unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                let limit = libc::rlimit { rlim_cur: room, rlim_max: room };
                assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
            }
            let full = append(&path, &named("second")).unwrap_err().to_string();
            assert!(full.contains("cannot append to") && full.contains("records.jsonl"), "{full}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let ran = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "records::tests::a_full_disk_is_named_and_leaves_no_half_line"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && text.contains("1 passed"), "{text}");
        let path = folder.path().join("records.jsonl");
        append(&path, &named("third")).unwrap();
        let read = Records::read(&path).unwrap();
        assert_eq!((names(&read), read.unreadable.len()), (vec!["first", "third"], 0));
    }

    #[test]
    fn numbers_come_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        let mut record = named("numbers");
        record.phases.load = Some(0.1 + 0.2);
        record.phases.train = Some(938.329_384_8);
        append(&path, &record).unwrap();
        assert_eq!(Records::read(&path).unwrap().records, [record]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]
        /// Changed bytes make at most their own line unreadable.
        #[test]
        fn changed_bytes_cost_their_line_alone(
            changes in proptest::collection::vec((0_usize..100_000, 0_u8..=255), 0..6),
            noise in proptest::collection::vec(0_u8..=255, 0..200),
        ) {
            let mut line = serde_json::to_vec(&named("changed")).unwrap();
            let length = line.len();
            for (at, value) in changes {
                line[at % length] = value;
            }
            let whole = serde_json::to_vec(&named("whole")).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("records.jsonl");
            fs::write(&path, [line, noise, whole].join(&b'\n')).unwrap();
            let read = Records::read(&path).unwrap();
            proptest::prop_assert_eq!(&read.records.last().unwrap().name, "whole");
            fs::write(&path, b"[".repeat(100_000)).unwrap();
            proptest::prop_assert_eq!(Records::read(&path).unwrap().unreadable.len(), 1);
        }
    }
}
