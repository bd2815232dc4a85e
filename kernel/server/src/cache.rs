//! The one folder outside the checkout in which Benchbook keeps what it has built.

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
