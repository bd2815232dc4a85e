//! The cache folder, the only folder outside the checkout in which Benchbook stores its builds.

use crate::kernelspec;
use crate::toolchain::on_path;
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// `$BENCHBOOK_CACHE`, else `benchbook` in the user's cache folder (`~/.cache` on Linux).
///
/// # Errors
/// The user has no home folder.
pub fn folder() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("BENCHBOOK_CACHE") {
        return Ok(std::path::absolute(folder)?);
    }
    dirs::cache_dir()
        .map(|folder| folder.join("benchbook"))
        .ok_or_else(|| anyhow::anyhow!("no cache folder: set HOME or BENCHBOOK_CACHE"))
}

/// Checks that files can be written to a folder, or to its nearest existing parent.
///
/// # Errors
/// The folder is not writable.
pub fn check(folder: &Path) -> io::Result<()> {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    tempfile::tempfile_in(existing).map(drop)
}

/// The shell command that fetches missing parts: `benchbook setup`, with the program's path unless
/// it is on PATH.
pub fn setup_command() -> String {
    let beside =
        || Some(kernelspec::wheel_prefix()?.join("bin/benchbook")).filter(|path| path.exists());
    let program = if on_path("benchbook").is_some() { None } else { beside() };
    program.map_or("benchbook setup".into(), |path| {
        let path = path.to_string_lossy().into_owned();
        let quoted = shlex::try_quote(&path).unwrap_or(Cow::Borrowed(&path));
        format!("{quoted} setup")
    })
}
