//! What one run was, and what it took: everything that a later comparison must check.
//!
//! The record itself, its reading and its drawing are `benchbook_study`'s, so that Python programs, studies and
//! notebooks all mean the same. Here is what fills it in for a run of this library.

mod memory;
mod words;

pub use benchbook_study::Record;
pub use benchbook_study::record::*;
pub(crate) use memory::{now as peak_memory, reset as reset_peak_memory};
pub(crate) use words::{compute_settings, pixels, training};

use crate::error::Error;
use benchbook_data::{ImageFolder, Split};
use std::path::Path;

/// SHA-256 of a file in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> Result<String, Error> {
    use sha2::{Digest, Sha256};
    let failed = |source| Error::File { action: "read", path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(failed)?;
    Ok(hexadecimal(&hash.finalize()))
}

/// SHA-256 of the splits, classes, names and sizes of their files, in hexadecimal digits. It asks for
/// every file's size, which belongs in no phase.
pub(crate) fn files_sha256(splits: &[Split]) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for split in splits {
        for sample in split.samples() {
            let size = std::fs::metadata(&sample.path).map_or(0, |file| file.len());
            let name = file_name(&sample.path);
            hash.update(format!("{}\0{:?}\0{name}\0{size}\n", split.name(), sample.label));
        }
    }
    hexadecimal(&hash.finalize())
}

/// The pictures as a record states them; see [`files_sha256`] for what it costs.
pub(crate) fn facts(folder: &ImageFolder) -> Data {
    let root = folder.root().canonicalize().unwrap_or_else(|_| folder.root().into());
    let splits = [folder.train(), folder.validation(), folder.test()];
    let files_sha256 = Some(files_sha256(&splits));
    let [training, validation, test] = splits.map(|split| split.len());
    Data {
        name: file_name(&root),
        classes: folder.classes().to_vec(),
        training,
        validation,
        test,
        files_sha256,
        ..Data::default()
    }
}

/// The last part of a path.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The package's version and, where whoever started the process told it (`BENCHBOOK_REVISION`), the
/// commit it was built from. A commit found at run time could be another project's.
pub(crate) fn revision() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match std::env::var("BENCHBOOK_REVISION")
        .ok()
        .or(option_env!("BENCHBOOK_REVISION").map(Into::into))
    {
        Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version.into(),
    }
}
