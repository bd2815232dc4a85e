//! What one running kernel has to itself: a folder for evcxr's crate, and an environment in which
//! `cargo` is the stand-in (see `cargo.rs`).
//!
//! The folder lies in the folder for temporary files, which may be full, or cleaned while the kernel
//! runs. So it is made by [`Session::restore`], which runs before each cell and makes what is missing.
//! A kernel holds a lock on a file in its folder; a folder whose lock is free was left by a kernel that
//! was killed. A process number would say less: kernels in other containers and on other hosts may
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

/// The folder and the environment of a session. Dropping it removes the folder, too.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    /// Held as long as the session lives.
    lock: Mutex<Option<File>>,
    /// For the stand-in; none in tests.
    tools: Option<Tools>,
}

/// The optimisation level of cells until `:opt` says otherwise.
pub const OPT_LEVEL: &str = "1";

const PREFIX: &str = "benchbook-session-";

/// Stands before the name of a folder that is not locked yet.
const UNFINISHED: &str = "unfinished-";

/// The file whose lock says that the session lives.
const LOCK: &str = "lock";

/// After this time without a change, a folder without a lock file is removed.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a session needs for its first cells, in bytes.
const SPACE: u64 = 4 << 20;

impl Session {
    /// Chooses the folder, changes the environment of this process, and removes the folders of kernels
    /// that were killed. [`Session::restore`] makes the folder.
    ///
    /// # Errors
    /// The folder for temporary files has a path that no session can use.
    ///
    /// # Safety
    /// No other thread may run yet: it could read the environment at the same time.
    pub unsafe fn begin(here: &Installation) -> anyhow::Result<Self> {
        let parent = parent()?;
        remove_leftovers(&parent);
        // The process is named for people; the time tells processes of other containers and hosts apart.
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
            // The compiler takes its stack from here, and so do threads of rust-analyzer's.
            ("RUST_MIN_STACK", crate::nesting::MIN_STACK.to_string().into()),
        ];
        for name in CHANGED {
            let Some(value) = std::env::var_os(name) else { continue };
            // SAFETY: the caller vouches for there being no other thread.
            unsafe {
                std::env::set_var(cargo::saved(name), value);
                std::env::remove_var(name);
            }
        }
        for (name, value) in changes {
            // SAFETY: as above.
            unsafe { std::env::set_var(name, value) };
        }
        // With the user's `EVCXR_CONFIG_DIR` still set, the configuration is copied.
        let made = session.restore();
        // SAFETY: as above.
        unsafe { std::env::set_var(evcxr_contract::FOLDERS[1], session.configuration()) };
        if let Err(error) = made {
            // The first cell tries again, and says what is wrong if it still is.
            tracing::warn!("{error:#}");
        }
        Ok(session)
    }

    /// Makes what is missing of the session's folder: all of it at first, and what has been removed by
    /// whoever cleans the folder for temporary files.
    ///
    /// # Errors
    /// The folder cannot be made; the message names it and says what to do.
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
        // Where evcxr looks for settings: the optimisation level is part of the crate's manifest, and
        // rust-analyzer would load everything anew if it were set later.
        let settings = format!("[evcxr]\nopt_level = \"{OPT_LEVEL}\"\n");
        write_whole(&self.folder.join("evcxr.toml"), settings.as_bytes())?;
        let configuration = self.configuration();
        if !configuration.exists() {
            crate::evaluate::copy_configuration(&configuration)?;
        }
        Ok(())
    }

    /// Makes the folder if need be, and takes its lock. A new folder gets its name when it is locked,
    /// so no other kernel ever sees it without.
    fn lock(&self) -> anyhow::Result<()> {
        let name = self.folder.file_name().unwrap_or_default();
        let mut unfinished = OsString::from(UNFINISHED);
        unfinished.push(name);
        let new = !self.folder.exists();
        let folder = if new { self.folder.with_file_name(unfinished) } else { self.folder.clone() };
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
        let path = folder.join(LOCK);
        // Opened for writing, since NFS locks nothing else.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{} is locked by another kernel", path.display())
            }
            // A file system without locks: then no other session takes this one for abandoned.
            Err(TryLockError::Error(error)) => tracing::info!("{}: {error}", path.display()),
        }
        file.write_all(boot().as_bytes())?;
        if new {
            fs::rename(&folder, &self.folder)?;
        }
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    /// Where evcxr writes the crate that holds the current cell.
    pub fn crate_folder(&self) -> PathBuf {
        self.folder.join("crate")
    }

    /// The session's own folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the folder now, whoever still holds the session: a kernel that ends while evcxr is
    /// being started does not wait for it.
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

/// What an error that concerns the folder for temporary files begins with.
fn unfit(folder: &Path) -> String {
    format!(
        "the folder for temporary files, {}, cannot be used; mend it and run the cell again, or set TMPDIR to another folder and restart the kernel",
        folder.display()
    )
}

/// Whether a session has room in a folder.
///
/// # Errors
/// It has not, or the folder is not there.
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
    // Some file systems do not tell.
    if system.f_blocks > 0 && free < SPACE {
        bail!("it is full: {free} bytes are free, and a session needs {SPACE}");
    }
    Ok(())
}

/// Writes something and removes it again.
fn probe(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join("probe");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, [0; 1 << 16]));
    let _ = fs::remove_file(&path);
    Ok(written?)
}

/// Whether a session can be held in the folder for temporary files.
///
/// # Errors
/// It cannot; the message names the folder and says what to do.
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

/// Writes a file beside its place and moves it, so that it is whole or not there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("partial");
    fs::write(&beside, bytes)?;
    fs::rename(beside, path)
}

/// What tells this start of this machine from others; containers of one machine share it.
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

/// Whether the kernel of a session's folder is gone. Where that cannot be known, it is not.
fn is_abandoned(folder: &Path) -> bool {
    let path = folder.join(LOCK);
    match OpenOptions::new().write(true).open(&path) {
        // Some network file systems lock within one host only, so a lock of another host is no proof.
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
