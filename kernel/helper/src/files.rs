//! Files in this library's own words: JSON with what was expected, and complete files or none.

use crate::error::Error;
pub use benchbook_study::files::write_atomically;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads a JSON file.
///
/// # Errors
/// [`Error::File`]; [`Error::Json`] with line and column, saying that `what` was expected.
pub fn read_json<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<T, Error> {
    let failed = |source| Error::File { action: "read", path: path.into(), source };
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { what, path: path.into(), source })
}
