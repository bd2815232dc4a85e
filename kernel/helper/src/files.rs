//! Files that are either the old one or the new one, never half of it.

use std::io;
use std::path::Path;

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
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(".benchbook-").suffix(".partial").tempfile_in(folder)?;
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
}
