//! Reading JSON and writing whole files.

use crate::error::Error;
use benchbook_study::files::Scratch;
pub use benchbook_study::files::write_atomically;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads a JSON file.
///
/// # Errors
/// [`Error::File`]; [`Error::Json`] with line, column and `what` the file should hold.
pub fn read_json<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { what, path: path.into(), source })
}

/// A temporary folder.
///
/// # Errors
/// [`Error::File`].
pub fn scratch() -> Result<Scratch, Error> {
    Scratch::new().map_err(Error::file("make a folder in", &std::env::temp_dir()))
}
