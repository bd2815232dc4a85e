//! Files that are either the old one or the new one, never half of it.

use crate::error::Error;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Reads a JSON file.
///
/// # Errors
/// [`Error::File`]; [`Error::Json`] with line and column, saying that `what` was expected.
pub fn read_json<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<T, Error> {
    let failed = |source| Error::File { action: "read", path: path.into(), source };
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { what, path: path.into(), source })
}

const PARTIAL: &str = ".partial";
/// Between making a file and locking it, another process must not take it for a leftover.
const YOUNG: Duration = Duration::from_secs(60);

/// Removes what killed processes have left behind of earlier attempts at the same file: a checkpoint
/// of 100 million weights is too large to be forgotten. What cannot be removed is in nobody's way.
fn remove_leftovers(folder: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with(prefix) && name.ends_with(PARTIAL)) {
            continue;
        }
        let age = entry.metadata().and_then(|data| data.modified()).map(|time| time.elapsed());
        let old = matches!(age, Ok(Ok(age)) if age > YOUNG);
        let unused = || std::fs::File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if old && unused() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Writes a file beside `path` and moves it there when it is complete and on the disk. A kill in
/// the middle leaves the previous file whole.
///
/// # Errors
/// Whatever the file system or `write` reports; the unfinished file is then removed.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let prefix = format!(".{}-", path.file_name().unwrap_or_default().to_string_lossy());
    remove_leftovers(folder, &prefix);
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(&prefix).suffix(PARTIAL).tempfile_in(folder)?;
    // Held while the file is written, so that nobody takes it for a leftover.
    file.as_file().lock()?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    #[cfg(unix)]
    {
        // A temporary file is private to its owner; the finished one is as readable as any other.
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_failure_in_the_middle_leaves_the_previous_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.txt");
        write_atomically(&path, |file| file.write_all(b"first")).unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"half of the sec")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_of_killed_processes_go_and_files_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::now() - 2 * YOUNG;
        let make = |name: &str| {
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(old).unwrap();
            file
        };
        drop(make(".kept.txt-abc.partial"));
        drop(make(".other.txt-abc.partial"));
        let used = make(".kept.txt-def.partial");
        used.lock().unwrap();
        write_atomically(&folder.path().join("kept.txt"), |file| file.write_all(b"new")).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [".kept.txt-def.partial", ".other.txt-abc.partial", "kept.txt"]);
    }
}
