//! Writes files atomically, and removes the unfinished files and temporary folders of killed processes.
//!
//! A process locks its unfinished files (flock(2)), since a process number means nothing across containers and hosts. On
//! a file system without locks nothing is removed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

const PARTIAL: &str = ".partial";
/// The number of random characters in the name of an unfinished file.
const RANDOM: usize = 6;
/// The limit of Linux for a chain of symbolic links (path_resolution(7)).
const LINKS: usize = 40;

/// Writes a file beside `path` and renames it when it is complete and on the disk. If the process is killed, the previous
/// file stays whole, and the next call for that folder removes the unfinished one.
///
/// A symbolic link stays, and the file that it points to is replaced. A new file has the permissions that the umask
/// allows; an existing file keeps its permissions, but not its owner. Devices and pipes are written directly.
///
/// # Errors
/// The errors of the file system or of `write`; the unfinished file is then removed.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let path = &followed(path)?;
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file() && !there.is_dir()) {
        return write(&mut OpenOptions::new().write(true).open(path)?);
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    remove_leftovers(folder);
    let mut file = begin(folder, path)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    if let Some(there) = there {
        file.as_file().set_permissions(there.permissions())?;
    }
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

/// Follows symbolic links to a path, which need not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// Creates an unfinished file for `path`, locked while it is open.
fn begin(folder: &Path, path: &Path) -> io::Result<NamedTempFile> {
    let prefix = format!(".{}-", path.file_name().unwrap_or_default().to_string_lossy());
    loop {
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(PARTIAL)
            .rand_bytes(RANDOM)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        if claim(file.as_file(), file.path()) {
            return Ok(file);
        }
    }
}

/// Locks a file or folder that was just created; false if another process has removed it as a leftover.
fn claim(file: &File, path: &Path) -> bool {
    // Without locks on this file system, no process removes it.
    let _ = file.try_lock();
    let inode = |data: io::Result<fs::Metadata>| data.map(|data| (data.dev(), data.ino())).ok();
    inode(file.metadata()) == inode(fs::symlink_metadata(path))
}

/// Removes the unfinished files of killed processes, since a checkpoint of 100 million weights is large. Ignores files
/// that cannot be removed.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if is_partial(&entry.file_name().to_string_lossy())
            && let Some(_lock) = abandoned(&entry.path())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a name has the form of [`begin`]'s.
fn is_partial(name: &str) -> bool {
    let stem = name.strip_prefix('.').and_then(|name| name.strip_suffix(PARTIAL));
    let random = stem.and_then(|stem| stem.rsplit_once('-')).map(|(_, random)| random);
    random.is_some_and(|random| {
        random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Locks a file or folder that no process holds, so that the caller can remove it under the lock.
fn abandoned(path: &Path) -> Option<File> {
    let kind = fs::symlink_metadata(path).ok()?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return None;
    }
    let file = File::open(path).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// The prefix of temporary folders.
const SCRATCH: &str = "benchbook-study-";

/// A temporary folder, removed with this value. The next one removes the folders of killed processes.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Creates a folder in `TMPDIR`.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    fn new_in(parent: &Path) -> io::Result<Self> {
        for entry in fs::read_dir(parent)?.flatten() {
            let is_one = entry.file_name().to_string_lossy().starts_with(SCRATCH);
            if is_one && let Some(_lock) = abandoned(&entry.path()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        loop {
            let folder = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(parent)?;
            let Ok(lock) = File::open(folder.path()) else { continue };
            if claim(&lock, folder.path()) {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

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
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["kept.txt"]);
    }

    #[test]
    fn leftovers_of_killed_processes_go_at_once_and_files_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| File::create(folder.path().join(name)).unwrap();
        drop(make(".kept.txt-abc123.partial"));
        drop(make(".another.txt-abc123.partial"));
        // A download that can be resumed, and a file of another program.
        drop(make(".vgg16.pth.partial"));
        drop(make("notes-abc123.partial"));
        let used = make(".kept.txt-def456.partial");
        used.lock().unwrap();
        write_atomically(&folder.path().join("kept.txt"), |file| file.write_all(b"new")).unwrap();
        assert_eq!(
            names(folder.path()),
            [".kept.txt-def456.partial", ".vgg16.pth.partial", "kept.txt", "notes-abc123.partial"]
        );
    }

    #[test]
    fn two_threads_that_save_under_one_name_take_nothing_from_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        std::thread::scope(|scope| {
            for content in [[1_u8; 5000], [2; 5000]] {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..200 {
                        write_atomically(path, |file| file.write_all(&content)).unwrap();
                    }
                });
            }
        });
        let content = fs::read(&path).unwrap();
        assert!(content.len() == 5000 && content.iter().all(|byte| *byte == content[0]));
        assert_eq!(names(folder.path()), ["model"]);
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (store, model) = (folder.path().join("store"), folder.path().join("model"));
        fs::create_dir(&store).unwrap();
        fs::write(store.join("old"), "old").unwrap();
        symlink("store/old", &model).unwrap();
        symlink("model", folder.path().join("latest")).unwrap();
        let write = |name: &str, text: &str| {
            write_atomically(&folder.path().join(name), |file| file.write_all(text.as_bytes()))
        };
        write("latest", "new").unwrap();
        assert_eq!(fs::read_link(&model).unwrap(), Path::new("store/old"));
        assert_eq!(fs::read(store.join("old")).unwrap(), b"new");
        // A link to a missing file, and one to itself.
        symlink("store/first", folder.path().join("next")).unwrap();
        write("next", "first").unwrap();
        assert_eq!(fs::read(store.join("first")).unwrap(), b"first");
        symlink("loop", folder.path().join("loop")).unwrap();
        assert_eq!(write("loop", "").unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(names(&store), ["first", "old"]);
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("full");
        symlink("/dev/full", &link).unwrap();
        let full = write_atomically(&link, |file| file.write_all(b"text")).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
        assert!(!fs::metadata("/dev/full").unwrap().is_file());
    }

    /// The umask belongs to the process, so the test runs itself with one of its own.
    #[test]
    fn a_new_file_has_what_the_umask_allows_and_an_old_one_what_it_had() {
        const FOLDER: &str = "BENCHBOOK_TEST_UMASK";
        let name = "files::tests::a_new_file_has_what_the_umask_allows_and_an_old_one_what_it_had";
        let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
            let folder = tempfile::tempdir().unwrap();
            let program = std::env::current_exe().unwrap();
            let script = r#"umask 027 && exec "$0" --exact "$1""#;
            let ran = std::process::Command::new("sh")
                .args(["-c", script])
                .arg(program)
                .arg(name)
                .env(FOLDER, folder.path())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && text.contains("1 passed"), "{text}");
            return;
        };
        let path = folder.join("model");
        write_atomically(&path, |file| file.write_all(b"first")).unwrap();
        assert_eq!(mode(&path), 0o640);
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        write_atomically(&path, |file| file.write_all(b"second")).unwrap();
        assert_eq!(mode(&path), 0o604);
    }

    #[test]
    fn a_folder_goes_with_its_owner_and_what_a_killed_one_left_with_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("benchbook-study-left");
        fs::create_dir_all(left.join("deep")).unwrap();
        fs::create_dir(parent.path().join("another")).unwrap();
        let first = Scratch::new_in(parent.path()).unwrap();
        assert!(!left.exists());
        let second = Scratch::new_in(parent.path()).unwrap();
        assert!(first.path().exists(), "it is in use");
        fs::write(second.path().join("file"), "").unwrap();
        drop((first, second));
        assert_eq!(names(parent.path()), ["another"]);
    }
}
