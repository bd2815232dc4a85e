//! The one folder outside the checkout in which Benchbook keeps what it has built.

use crate::kernelspec;
use crate::toolchain::on_path;
use std::path::PathBuf;

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

/// The command that fetches what is missing: `benchbook setup`, with the program's path unless it is on PATH.
pub fn setup_command() -> String {
    let beside =
        || Some(kernelspec::wheel_prefix()?.join("bin/benchbook")).filter(|path| path.exists());
    let program = if on_path("benchbook").is_some() { None } else { beside() };
    program.map_or("benchbook setup".into(), |path| format!("{} setup", path.display()))
}
