//! Errors of folders, files and loaders.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::samples::SampleFault;

/// An error of this crate, with the path or the setting.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "fields are what the message prints")]
pub enum DataError {
    /// The folder to open does not exist.
    #[error("expected an image folder at {}, but {found}", .path.display())]
    FolderMissing { path: PathBuf, found: String },
    /// A folder that the layout needs is missing inside the opened one.
    #[error("expected {expected} in {}, found {found}", .path.display())]
    PartMissing { path: PathBuf, expected: String, found: String },
    /// A folder holds no image at all.
    #[error(
        "expected images (.{}) in {}, found {found}",
        crate::folder::EXTENSIONS.join(", ."), .path.display()
    )]
    NoImages { path: PathBuf, found: String },
    /// A folder has images of one class only.
    #[error(
        "expected at least two classes in {}, got one ({class}): each class needs a folder of its own{hint}",
        .path.display()
    )]
    OneClass { path: PathBuf, class: String, hint: String },
    /// A class has too few samples to be divided into training and validation.
    #[error(
        "{place}: class \"{class}\" has too few samples to divide into training and validation: at \
         least 2, got {found}"
    )]
    Division { place: String, class: String, found: usize },
    /// The class names of arrays do not name at least two different classes.
    #[error("class names must be at least two, each different (got {found:?})")]
    ClassNames { found: Vec<String> },
    /// A label is outside the classes.
    #[error(
        "label of {sample} must be at least 0 and below the number of classes, {classes} (got {found})"
    )]
    Label { sample: String, classes: usize, found: i64 },
    /// A shape has no values.
    #[error(
        "shape of a sample must be [channels, height, width] or [features], each at least 1 (got {shape:?})"
    )]
    Shape { shape: Vec<usize> },
    /// Values, shape and labels of arrays do not match.
    #[error(
        "{part}: {values} values are {} samples of shape {shape:?} ({} values each), but there are {labels} labels",
        samples(*.values, .shape), .shape.iter().product::<usize>()
    )]
    Lengths {
        /// `train`, `validation` or `test`; `arrays` before the division.
        part: &'static str,
        values: usize,
        shape: Vec<usize>,
        labels: usize,
    },
    /// A value of arrays is infinite or not a number.
    #[error("{part}: value {position} of sample {index} must be finite (got {found})")]
    NotFinite {
        /// `train`, `validation` or `test`; `arrays` before the division.
        part: &'static str,
        /// The index of the sample, from 0.
        index: usize,
        /// The index of the value in the sample, from 0.
        position: usize,
        found: f32,
    },
    /// A sample that is no image file cannot be read.
    #[error("cannot read {sample}: {source}")]
    BadSample { sample: String, source: SampleFault },
    /// A folder has other classes than the training folder.
    #[error(
        "the classes in {} differ from those of the training folder: {}",
        .path.display(), difference(.expected, .found)
    )]
    ClassMismatch { path: PathBuf, expected: Vec<String>, found: Vec<String> },
    /// A folder cannot be listed.
    #[error("cannot list the folder {}: {source}", .path.display())]
    List { path: PathBuf, source: io::Error },
    /// An image cannot be used.
    #[error("unusable image {}: {fault}", .path.display())]
    BadImage {
        path: PathBuf,
        #[source]
        fault: ImageFault,
    },
    /// A setting is outside its range.
    #[error("{name} must be {expected} (got {received})")]
    Setting { name: &'static str, expected: &'static str, received: String },
    /// The split of a loader has no samples.
    #[error("expected samples in the split \"{split}\", found none")]
    EmptySplit { split: String },
    /// Every image of a pass was skipped.
    #[error("expected a usable image in the split \"{split}\", but all of them were skipped")]
    AllSkipped { split: String },
    /// The loader's threads cannot be started.
    #[error("cannot start {threads} loader threads: {source}")]
    Threads { threads: usize, source: rayon::ThreadPoolBuildError },
    /// A cache does not fit.
    #[error(
        "expected room for {} MB of decoded images in {place}, found {} MB (a smaller size or no \
         cache needs less)",
        .needed.div_ceil(1_000_000), .available / 1_000_000
    )]
    CacheSpace {
        place: String,
        /// Bytes that the cache still needs.
        needed: u64,
        /// Free bytes.
        available: u64,
    },
    /// The folder of a cache cannot be used.
    #[error("cannot keep decoded images in {}: {source}", .path.display())]
    Cache { path: PathBuf, source: io::Error },
    /// A thumbnail cannot be encoded.
    #[error("cannot encode a thumbnail of {width} × {height} pixels: {source}")]
    Encode { width: u32, height: u32, source: image::ImageError },
    /// A loader thread panicked while it assembled a batch, which is a defect of this crate.
    #[error("a loader thread panicked while it put batch {batch} of epoch {epoch} together")]
    Worker {
        /// The number of the batch in its epoch, from 0.
        batch: usize,
        epoch: u64,
    },
}

/// The number of samples of some values, as text.
fn samples(values: usize, shape: &[usize]) -> String {
    let size = shape.iter().product::<usize>().max(1);
    match (values / size, values % size) {
        (count, 0) => count.to_string(),
        (count, rest) => format!("{count} (and {rest} values more)"),
    }
}

/// The missing and the additional classes, with the first names.
fn difference(expected: &[String], found: &[String]) -> String {
    const NAMED: usize = 5;
    let without = |these: &[String], those: &[String]| -> Option<String> {
        let only: Vec<&str> =
            these.iter().filter(|name| !those.contains(name)).map(String::as_str).collect();
        let more =
            if only.len() > NAMED { format!(", … ({})", only.len()) } else { String::new() };
        let named = only[..only.len().min(NAMED)].join(", ");
        (!only.is_empty()).then(|| format!("{named}{more}"))
    };
    let missing = without(expected, found).map(|names| format!("missing {names}"));
    let surplus = without(found, expected).map(|names| format!("surplus {names}"));
    [missing, surplus].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Why a file cannot be used as an image.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "fields are what the message prints")]
pub enum ImageFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The file has no bytes.
    #[error("the file is empty (0 bytes)")]
    Empty,
    /// The file is larger than any image within the limit of pixels, so reading it may exhaust the memory.
    #[error(
        "{bytes} bytes are over the limit of {limit} bytes (8 for each of `max_pixels`, and 16 MiB)"
    )]
    TooManyBytes { bytes: u64, limit: u64 },
    /// The content is not an image; the extension does not matter.
    #[error("expected the content of a JPEG, PNG, WebP or BMP file, found {found}")]
    NotAnImage { found: String },
    /// The file ends before the image does.
    #[error("the {format} data is truncated: it ends after {bytes} bytes, before the image does")]
    Truncated { format: &'static str, bytes: usize },
    /// The image has a side without pixels.
    #[error("image is empty ({width} × {height})")]
    NoPixels { width: u64, height: u64 },
    /// The image has more pixels than the limit, so decoding it may exhaust the memory.
    #[error("{width} × {height} pixels are over the limit of {limit} pixels (`max_pixels`)")]
    TooLarge { width: u64, height: u64, limit: u64 },
    /// The JPEG decoder refuses the content.
    #[error("damaged or unsupported JPEG: {0}")]
    Jpeg(#[source] zune_jpeg::errors::DecodeErrors),
    /// The decoder of another format refuses the content.
    #[error("damaged or unsupported {format}: {source}")]
    Decode { format: &'static str, source: image::ImageError },
    /// The decoder panicked, which is a defect of the decoder.
    #[error("the decoder panicked")]
    DecoderPanicked,
}
