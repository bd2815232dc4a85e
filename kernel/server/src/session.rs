//! The private parts of a running kernel: a folder for evcxr's crate, and an environment in which
//! `cargo` is the stand-in (see `cargo.rs`).
//!
//! The session's folder is in the folder for temporary files, which may be full, or cleaned while the kernel
//! runs. So [`Session::restore`], which runs before each cell, creates missing files of the folder.
//! A kernel holds a lock on a file in its folder. A folder whose lock is free is from a killed kernel.
//! Process numbers would not be reliable: kernels in other containers and on other hosts may
//! share the folder for temporary files.

use crate::cargo::{self, CHANGED, CRATE, NOTEBOOK, TEMPLATE, TOOLS};
use crate::evcxr_contract;
use crate::template::Installation;
use crate::tools::Tools;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A session's folder and environment. Dropping it removes the folder.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    /// Held for the session's lifetime.
    lock: Mutex<Option<File>>,
    /// For the stand-in; `None` in tests.
    tools: Option<Tools>,
}

/// The optimisation level of cells, unless set with `:opt`.
pub const OPT_LEVEL: &str = "1";

const PREFIX: &str = "benchbook-session-";

/// Prefix of folders that are not locked yet.
const UNFINISHED: &str = "unfinished-";

/// The file whose lock marks the session as alive.
const LOCK: &str = "lock";

/// Folders without a lock file are removed after this time without a change.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// Space for a session's first cells, in bytes.
const SPACE: u64 = 4 << 20;

impl Session {
    /// Chooses the folder, changes the environment of this process, and removes the folders of kernels
    /// that were killed. [`Session::restore`] creates the folder.
    ///
    /// # Errors
    /// The folder for temporary files has a path that no session can use.
    ///
    /// # Safety
    /// No other thread may run yet: it could read the environment at the same time.
    pub unsafe fn begin(here: &Installation) -> anyhow::Result<Self> {
        let parent = parent()?;
        remove_leftovers(&parent);
        // The process is for readers; the time distinguishes processes of other containers and hosts.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let folder = parent.join(format!("{PREFIX}{}-{time:x}", std::process::id()));
        let session = Self { folder, lock: Mutex::new(None), tools: Some(here.tools.clone()) };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = vec![session.tools()];
        folders.extend(std::env::split_paths(&path));
        let changes: Vec<(&str, OsString)> = vec![
            ("PATH", std::env::join_paths(folders)?),
            ("CARGO_HOME", session.folder.join("cargo-home").into()),
            (TEMPLATE, here.template.folder.clone().into()),
            (CRATE, session.crate_folder().into()),
            (NOTEBOOK, std::env::current_dir().unwrap_or_default().into()),
            (evcxr_contract::FOLDERS[0], session.crate_folder().into()),
            ("RUST_SRC_PATH", here.template.standard_library().into()),
            // The compiler and rust-analyzer's threads read their stack size from this variable.
            ("RUST_MIN_STACK", crate::nesting::MIN_STACK.to_string().into()),
        ];
        for name in CHANGED {
            let Some(value) = std::env::var_os(name) else { continue };
            // SAFETY: the caller guarantees that there is no other thread.
            unsafe {
                std::env::set_var(cargo::saved(name), value);
                std::env::remove_var(name);
            }
        }
        for (name, value) in changes {
            // SAFETY: as above.
            unsafe { std::env::set_var(name, value) };
        }
        // While the user's `EVCXR_CONFIG_DIR` is still set, the configuration is copied.
        let made = session.restore();
        // SAFETY: as above.
        unsafe { std::env::set_var(evcxr_contract::FOLDERS[1], session.configuration()) };
        if let Err(error) = made {
            // The first cell tries again and reports a remaining problem.
            tracing::warn!("{error:#}");
        }
        Ok(session)
    }

    /// Creates missing parts of the session's folder: at first all of it, later the parts that a
    /// cleanup of the folder for temporary files has removed.
    ///
    /// # Errors
    /// The folder cannot be created; the message names it and the remedy.
    pub fn restore(&self) -> anyhow::Result<()> {
        let missing = |path: &PathBuf| path.symlink_metadata().is_err();
        let tools = self.tools();
        let needed = [
            self.folder.join(LOCK),
            tools.join("cargo"),
            tools.join("rustc"),
            tools.join("rustup"),
            self.folder.join("evcxr.toml"),
            self.crate_folder().join("src"),
            self.configuration(),
        ];
        let tools = self.tools.as_ref().map(|_| self.crate_folder().join(TOOLS));
        if !needed.iter().chain(&tools).any(missing) {
            return Ok(());
        }
        self.make().with_context(|| unfit(self.folder.parent().unwrap_or(&self.folder)))
    }

    fn make(&self) -> anyhow::Result<()> {
        if let Some(folder) = self.folder.parent() {
            room(folder)?;
        }
        if !self.folder.join(LOCK).exists() {
            self.lock()?;
        }
        let tools = self.tools();
        fs::create_dir_all(&tools)?;
        fs::create_dir_all(self.crate_folder().join("src"))?;
        if let Some(tools) = &self.tools {
            tools.write(&self.crate_folder().join(TOOLS))?;
        }
        let program = std::env::current_exe()?;
        for tool in ["cargo", "rustc", "rustup"].map(|tool| tools.join(tool)) {
            let _ = fs::remove_file(&tool);
            symlink(&program, tool)?;
        }
        // evcxr's settings: the optimisation level is part of the crate's manifest, and
        // rust-analyzer would reload everything if it were set later.
        let settings = format!("[evcxr]\nopt_level = \"{OPT_LEVEL}\"\n");
        write_whole(&self.folder.join("evcxr.toml"), settings.as_bytes())?;
        let configuration = self.configuration();
        if !configuration.exists() {
            crate::evaluate::copy_configuration(&configuration)?;
        }
        Ok(())
    }

    /// Creates the folder if necessary, and locks it. A new folder gets its final name once it is
    /// locked, so other kernels never see it unlocked.
    fn lock(&self) -> anyhow::Result<()> {
        let name = self.folder.file_name().unwrap_or_default();
        let mut unfinished = OsString::from(UNFINISHED);
        unfinished.push(name);
        let new = !self.folder.exists();
        let folder = if new { self.folder.with_file_name(unfinished) } else { self.folder.clone() };
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
        let path = folder.join(LOCK);
        // Opened for writing, since NFS locks only such files.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{} is locked by another kernel", path.display())
            }
            // A file system without locks: no other session treats this one as abandoned there.
            Err(TryLockError::Error(error)) => tracing::info!("{}: {error}", path.display()),
        }
        file.write_all(boot().as_bytes())?;
        if new {
            fs::rename(&folder, &self.folder)?;
        }
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    /// The folder to which evcxr writes the crate with the current cell.
    pub fn crate_folder(&self) -> PathBuf {
        self.folder.join("crate")
    }

    /// The session's own folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the folder now, even while the session is in use: a kernel that ends while evcxr
    /// starts does not wait for it.
    pub fn remove(&self) {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{} is left behind: {error}", self.folder.display());
            }
            _ => {}
        }
    }

    fn tools(&self) -> PathBuf {
        self.folder.join("cargo-home/bin")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("evcxr")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The folder for temporary files.
///
/// # Errors
/// Its path cannot be part of PATH, or evcxr cannot work with it.
fn parent() -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(std::env::temp_dir())?;
    let advice = "set TMPDIR to another folder and restart the kernel";
    let Some(text) = folder.to_str() else {
        bail!(
            "the folder for temporary files, {}, has a name that is not UTF-8; {advice}",
            folder.display()
        );
    };
    if let Some(sign) = text.chars().find(|sign| matches!(sign, ':' | '\n' | '\r')) {
        bail!("the folder for temporary files, {text:?}, has {sign:?} in its path; {advice}");
    }
    Ok(folder)
}

/// The start of errors about the folder for temporary files.
fn unfit(folder: &Path) -> String {
    format!(
        "the folder for temporary files, {}, cannot be used; repair it and run the cell again, or set TMPDIR to another folder and restart the kernel",
        folder.display()
    )
}

/// Checks that a folder has space for a session.
///
/// # Errors
/// There is too little space, or the folder does not exist.
fn room(folder: &Path) -> anyhow::Result<()> {
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: the structure is local and is filled by the call, which takes a string that ends in 0.
    let system = unsafe {
        let mut system: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(path.as_ptr(), &raw mut system) != 0 {
            return Err(io::Error::last_os_error().into());
        }
        system
    };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    // Some file systems do not report their size.
    if system.f_blocks > 0 && free < SPACE {
        bail!("it is full: {free} bytes are free, and a session needs {SPACE}");
    }
    Ok(())
}

/// Writes and removes a file.
fn probe(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join("probe");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, [0; 1 << 16]));
    let _ = fs::remove_file(&path);
    Ok(written?)
}

/// Checks that the folder for temporary files can hold a session.
///
/// # Errors
/// It cannot; the message names the folder and the remedy.
pub fn check() -> anyhow::Result<PathBuf> {
    let folder = parent()?;
    room(&folder)
        .and_then(|()| {
            let inside = tempfile::Builder::new().prefix("benchbook-probe-").tempdir_in(&folder)?;
            probe(inside.path())
        })
        .with_context(|| unfit(&folder))?;
    Ok(folder)
}

/// Writes a file atomically.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("partial");
    fs::write(&beside, bytes)?;
    fs::rename(beside, path)
}

/// Identifies this boot of the machine; containers of one machine share it.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Removes folders of kernels that were killed.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let finished = name.starts_with(PREFIX);
        let unfinished = name.strip_prefix(UNFINISHED).is_some_and(|name| name.starts_with(PREFIX));
        if (finished && is_abandoned(&entry.path())) || (unfinished && is_forgotten(&entry.path()))
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether the kernel of a session's folder has ended. `false` if unknown.
fn is_abandoned(folder: &Path) -> bool {
    let path = folder.join(LOCK);
    match OpenOptions::new().write(true).open(&path) {
        // Some network file systems lock within one host only, so the lock state proves nothing
        // about other hosts.
        Ok(file) => {
            file.try_lock().is_ok()
                && (fs::read_to_string(&path).is_ok_and(|text| text == boot())
                    || is_forgotten(folder))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => is_forgotten(folder),
        Err(_) => false,
    }
}

fn is_forgotten(folder: &Path) -> bool {
    let changed = |path: &Path| path.symlink_metadata().and_then(|file| file.modified()).ok();
    let newest = changed(folder).max(changed(&folder.join("crate/src/lib.rs")));
    newest.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > FORGOTTEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn session(parent: &Path, name: &str) -> Session {
        Session {
            folder: parent.join(format!("{PREFIX}{name}")),
            lock: Mutex::new(None),
            tools: None,
        }
    }

    #[test]
    fn a_locked_folder_stays_and_an_abandoned_one_goes() {
        let parent = tempfile::tempdir().unwrap();
        // No process has this number.
        let live = session(parent.path(), "4294967295-live");
        let dead = session(parent.path(), "1-dead");
        for session in [&live, &dead] {
            session.restore().unwrap();
        }
        *dead.lock.lock().unwrap() = None;
        remove_leftovers(parent.path());
        assert!(live.folder.exists());
        assert!(!dead.folder.exists());
    }

    #[test]
    fn a_folder_without_a_lock_stays_for_a_while() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join(format!("{PREFIX}1-cleaned"));
        fs::create_dir(&folder).unwrap();
        remove_leftovers(parent.path());
        assert!(folder.exists());
        let long_ago = SystemTime::now() - 2 * FORGOTTEN;
        File::open(&folder).unwrap().set_modified(long_ago).unwrap();
        remove_leftovers(parent.path());
        assert!(!folder.exists());
    }

    #[test]
    fn a_folder_of_another_machine_stays_though_its_lock_seems_free() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = session(parent.path(), "1-elsewhere");
        elsewhere.restore().unwrap();
        *elsewhere.lock.lock().unwrap() = None;
        fs::write(elsewhere.folder.join(LOCK), "another start of another machine").unwrap();
        remove_leftovers(parent.path());
        assert!(elsewhere.folder.exists());
    }

    #[test]
    fn what_was_removed_is_made_again() {
        let parent = tempfile::tempdir().unwrap();
        let session = session(parent.path(), "1-cleaned");
        session.restore().unwrap();
        for part in ["lock", "cargo-home", "crate", "evcxr.toml"] {
            let path = session.folder.join(part);
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
            session.restore().unwrap();
            assert!(path.exists(), "{part}");
        }
        fs::remove_dir_all(&session.folder).unwrap();
        session.restore().unwrap();
        remove_leftovers(parent.path());
        assert!(session.crate_folder().join("src").exists());
        assert!(session.folder.metadata().unwrap().permissions().mode() & 0o077 == 0);
    }
}
