//! Keras 3's `.keras`: a zip archive with `config.json` and `model.weights.h5`.

use hdf5_pure::{FormatError, Source};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;

/// The entry with the weights.
pub(crate) const WEIGHTS: &str = "model.weights.h5";
const CONFIG: &str = "config.json";
/// Bytes of the longest `config.json` that is read. A layer takes some 1,000.
const CONFIG_BYTES: u64 = 16 << 20;

/// Opens the weights in place in the archive; returns them with the text of the model's configuration.
///
/// # Errors
/// The defect of the archive, as text.
pub(super) fn open(file: File) -> Result<(hdf5_pure::File, Option<String>), String> {
    let end = file.metadata().map_err(|error| error.to_string())?.len();
    let again = file.try_clone().map_err(|error| error.to_string())?;
    let mut archive =
        zip::ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut config = None;
    if archive.file_names().any(|name| name == CONFIG) {
        let mut text = String::new();
        let entry = stored(&mut archive, CONFIG)?;
        entry.take(CONFIG_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
        config = Some(text);
    }
    let entry = stored(&mut archive, WEIGHTS)?;
    let (start, length) = (entry.data_start(), entry.size());
    drop(entry);
    if start.checked_add(length).is_none_or(|last| last > end) {
        return Err(format!("an archive whose `{WEIGHTS}` ends beyond its end"));
    }
    let window = Window { file: again, start, length };
    let weights = hdf5_pure::File::from_source(window).map_err(|error| error.to_string())?;
    Ok((weights, config))
}

/// An uncompressed entry of the archive, which takes no more memory than in the file.
fn stored<'a>(
    archive: &'a mut zip::ZipArchive<BufReader<File>>,
    name: &str,
) -> Result<zip::read::ZipFile<'a>, String> {
    let entry = archive.by_name(name).map_err(|error| format!("`{name}`: {error}"))?;
    if entry.compression() != zip::CompressionMethod::Stored {
        return Err(format!(
            "the compressed entry `{name}`, where Keras compresses nothing (save it again with `model.save`)"
        ));
    }
    Ok(entry)
}

/// A part of a file.
struct Window {
    file: File,
    start: u64,
    length: u64,
}

impl Source for Window {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let failed = |problem: String| FormatError::Source(problem);
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(failed(format!("`{WEIGHTS}` ends too early")));
        }
        self.file
            .read_exact_at(buffer, self.start + offset)
            .map_err(|error| failed(error.to_string()))
    }
}
