//! What one running kernel has to itself: a folder for evcxr's crate, and an environment in which
//! `cargo` is the stand-in (see `cargo.rs`).

use crate::cargo::{CRATE, INTERRUPTED, TEMPLATE, TOOLS, USER_CARGO_HOME, USER_PATH, USER_RUST_SRC_PATH};
use crate::template::Installation;
use anyhow::Context;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The folder and the environment of a session. Dropping it removes the folder, too.
#[derive(Debug)]
pub struct Session {
    folder: TempDir,
}

/// The optimisation level of cells until `:opt` says otherwise.
pub const OPT_LEVEL: &str = "1";

const PREFIX: &str = "benchbook-session-";

impl Session {
    /// Makes the folder, and changes the environment of this process.
    ///
    /// # Errors
    /// The folder for temporary files cannot be written.
    ///
    /// # Safety
    /// No other thread may run yet: it could read the environment at the same time.
    pub unsafe fn begin(here: &Installation) -> anyhow::Result<Self> {
        remove_leftovers();
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .context(
                "the folder for temporary files cannot be written; set TMPDIR to one that can",
            )?;
        let session = Self { folder };
        fs::create_dir_all(session.crate_folder())?;
        here.tools.write(&session.crate_folder().join(TOOLS))?;
        let tools = session.tools();
        fs::create_dir_all(&tools)?;
        for tool in ["cargo", "rustc"] {
            symlink(std::env::current_exe()?, tools.join(tool))?;
        }
        // Where evcxr looks for settings: the optimisation level is part of the crate's manifest, and
        // rust-analyzer would load everything anew if it were set later.
        let settings = format!("[evcxr]\nopt_level = \"{OPT_LEVEL}\"\n");
        fs::write(session.folder.path().join("evcxr.toml"), settings)?;
        session.write_rustup()?;
        let configuration = session.folder.path().join("evcxr");
        crate::evaluate::copy_configuration(&configuration)?;
        let configuration = configuration.into_os_string();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = vec![tools];
        folders.extend(std::env::split_paths(&path));
        let mut changes: Vec<(&str, OsString)> = vec![
            (USER_PATH, path),
            ("PATH", std::env::join_paths(folders)?),
            ("CARGO_HOME", session.folder.path().join("cargo-home").into()),
            (TEMPLATE, here.template.folder.clone().into()),
            (CRATE, session.crate_folder().into()),
            ("EVCXR_TMPDIR", session.crate_folder().into()),
            ("EVCXR_CONFIG_DIR", configuration),
            ("RUST_SRC_PATH", here.template.standard_library().into()),
        ];
        for (name, saved) in
            [("CARGO_HOME", USER_CARGO_HOME), ("RUST_SRC_PATH", USER_RUST_SRC_PATH)]
        {
            changes.extend(std::env::var_os(name).map(|value| (saved, value)));
        }
        for (name, value) in changes {
            // SAFETY: the caller vouches for there being no other thread.
            unsafe { std::env::set_var(name, value) };
        }
        Ok(session)
    }

    /// Where evcxr writes the crate that holds the current cell.
    pub fn crate_folder(&self) -> PathBuf {
        self.folder.path().join("crate")
    }

    /// The session's own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Removes the folder now, whoever still holds the session: a kernel that ends while evcxr is
    /// being started does not wait for it.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(self.folder.path()) {
            tracing::warn!("{} is left behind: {error}", self.folder.path().display());
        }
    }

    /// The file whose presence keeps the stand-in from compiling.
    pub fn interrupted(&self) -> PathBuf {
        self.crate_folder().join(INTERRUPTED)
    }

    fn tools(&self) -> PathBuf {
        self.folder.path().join("cargo-home/bin")
    }

    /// evcxr asks `rustup which cargo` before it looks at PATH. This rustup knows nothing of the
    /// toolchain in use, and hands everything else (`:toolchain`, say) to the real one.
    fn write_rustup(&self) -> anyhow::Result<()> {
        let path = self.tools().join("rustup");
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *\" which \"*) exit 1;; esac\nPATH=\"${USER_PATH}\" exec rustup \"$@\"\n"
        );
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

/// Removes folders of kernels that were killed.
fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Some((process, _)) = rest.split_once('-') else { continue };
        if process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
