//! The folder that a data set is written into: checked before, described after.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::animal::Animal;
use crate::picture::Split;

/// Name of the file beside the images that describes their generation.
pub const DESCRIPTION_FILE: &str = "dataset.json";

/// Name of the file that lists the SHA-256 of every image, as `sha256sum` writes and checks it.
pub const CHECKSUM_FILE: &str = "checksums.sha256";

/// Why no data set was written. The message names the problem, its place and the remedy.
#[derive(Debug, Error)]
#[error("{problem}")]
pub struct DatasetError {
    problem: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// An error that names the problem.
pub(crate) fn wrong(problem: String) -> DatasetError {
    DatasetError { problem, source: None }
}

/// Turns the error of an action on a path into one that names both.
pub(crate) fn failed<E: Error + Send + Sync + 'static>(
    action: &str,
    path: &Path,
) -> impl FnOnce(E) -> DatasetError {
    let problem = format!("could not {action} {}", path.display());
    move |source| DatasetError { problem, source: Some(source.into()) }
}

/// Number of entries of an output folder; 0 if it does not exist.
pub(crate) fn entries(folder: &Path) -> Result<usize, DatasetError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(failed("read", folder)(error)),
    }
}

/// The folders of a data set with these classes: `train/{cat,dog}`, `validation/{cat,dog}` and `test`.
pub(crate) fn layout(animals: &[Animal]) -> Vec<PathBuf> {
    let class = |split: Split, animal: Animal| Path::new(split.name()).join(animal.name());
    let labelled = [Split::Train, Split::Validation];
    let mut folders: Vec<PathBuf> = labelled
        .into_iter()
        .flat_map(|split| animals.iter().map(move |animal| class(split, *animal)))
        .collect();
    folders.push(Split::Test.name().into());
    folders
}

/// Creates the folders of [`layout`].
pub(crate) fn create_layout(folder: &Path, animals: &[Animal]) -> Result<(), DatasetError> {
    layout(animals)
        .into_iter()
        .map(|part| folder.join(part))
        .try_for_each(|part| fs::create_dir_all(&part).map_err(failed("create", &part)))
}

/// The SHA-256 of a file's bytes in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Writes [`CHECKSUM_FILE`] for files by their paths in the folder.
pub(crate) fn write_checksums(
    folder: &Path,
    digests: &BTreeMap<PathBuf, String>,
) -> Result<(), DatasetError> {
    let path = folder.join(CHECKSUM_FILE);
    let lines: String =
        digests.iter().map(|(path, digest)| format!("{digest}  {}\n", path.display())).collect();
    fs::write(&path, lines).map_err(failed("write", &path))
}

/// Reads the file of [`write_checksums`]; `None` if its form is invalid.
pub(crate) fn read_checksums(
    folder: &Path,
) -> Result<Option<BTreeMap<PathBuf, String>>, DatasetError> {
    let path = folder.join(CHECKSUM_FILE);
    let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
    let line = |line: &str| line.split_once("  ").map(|(sum, path)| (path.into(), sum.into()));
    Ok(text.lines().map(line).collect())
}

/// Writes a value as readable JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DatasetError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from);
    text.and_then(|text| fs::write(path, text + "\n")).map_err(failed("write", path))
}
