//! What can go wrong with a folder, a file or a loader.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::samples::SampleFault;

/// An error of this crate. Each one names the path or the setting that it is about.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The folder to open is not there.
    #[error("expected an image folder at {}, but {found}", .path.display())]
    FolderMissing {
        /// The folder that was asked for.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// A folder that the layout needs is missing inside the opened one.
    #[error("expected {expected} in {}, found {found}", .path.display())]
    PartMissing {
        /// The folder that was searched.
        path: PathBuf,
        /// What was looked for.
        expected: String,
        /// What the folder holds.
        found: String,
    },
    /// A folder holds no image at all.
    #[error(
        "expected images (.{}) in {}, found {found}",
        crate::folder::EXTENSIONS.join(", ."), .path.display()
    )]
    NoImages {
        /// The folder without images.
        path: PathBuf,
        /// What the folder holds.
        found: String,
    },
    /// A folder has images of one class only.
    #[error(
        "expected at least two classes in {}, got one ({class}): each class needs a folder of its own{hint}",
        .path.display()
    )]
    OneClass {
        /// The folder.
        path: PathBuf,
        /// Its class.
        class: String,
        /// What to do, where the folder suggests something.
        hint: String,
    },
    /// A class has too few samples to be divided into training and validation.
    #[error(
        "{place}: class \"{class}\" has too few samples to divide into training and validation: at \
         least 2, got {found}"
    )]
    Division {
        /// The folder or split that was to be divided.
        place: String,
        /// The class.
        class: String,
        /// The number of its samples.
        found: usize,
    },
    /// The class names of arrays do not name at least two different classes.
    #[error("class names must be at least two, each different (got {found:?})")]
    ClassNames {
        /// The class names.
        found: Vec<String>,
    },
    /// A label is outside the classes.
    #[error(
        "label of {sample} must be at least 0 and below the number of classes, {classes} (got {found})"
    )]
    Label {
        /// The sample: its file, or its split and index.
        sample: String,
        /// The number of classes.
        classes: usize,
        /// The label.
        found: i64,
    },
    /// A shape has no values.
    #[error(
        "shape of a sample must be [channels, height, width] or [features], each at least 1 (got {shape:?})"
    )]
    Shape {
        /// The shape.
        shape: Vec<usize>,
    },
    /// Values, shape and labels of arrays do not fit.
    #[error(
        "{part}: {values} values are {} samples of shape {shape:?} ({} values each), but there are {labels} labels",
        samples(*.values, .shape), .shape.iter().product::<usize>()
    )]
    Lengths {
        /// `train`, `validation` or `test`; `arrays` before the division.
        part: &'static str,
        /// The number of values.
        values: usize,
        /// The shape of one sample.
        shape: Vec<usize>,
        /// The number of labels.
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
        /// The value.
        found: f32,
    },
    /// A sample that is no image file cannot be read.
    #[error("cannot read {sample}: {source}")]
    BadSample {
        /// The name of the sample.
        sample: String,
        /// The reason.
        source: SampleFault,
    },
    /// A folder has other classes than the training folder.
    #[error(
        "the classes in {} differ from those of the training folder: {}",
        .path.display(), difference(.expected, .found)
    )]
    ClassMismatch {
        /// The folder whose classes differ.
        path: PathBuf,
        /// The classes of the training folder.
        expected: Vec<String>,
        /// The classes of this folder.
        found: Vec<String>,
    },
    /// A folder cannot be listed.
    #[error("cannot list the folder {}: {source}", .path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// An image cannot be used.
    #[error("unusable image {}: {fault}", .path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        fault: ImageFault,
    },
    /// A setting is outside its range.
    #[error("expected {name} to be {expected}, received {received}")]
    Setting {
        /// The name of the setting.
        name: &'static str,
        /// The permitted range.
        expected: &'static str,
        /// The value as it arrived.
        received: String,
    },
    /// A loader was asked for a split without samples.
    #[error("expected samples in the split \"{split}\", found none")]
    EmptySplit {
        /// The name of the split.
        split: String,
    },
    /// Every image of a pass was skipped.
    #[error("expected a usable image in the split \"{split}\", but all of them were skipped")]
    AllSkipped {
        /// The name of the split.
        split: String,
    },
    /// The loader's threads cannot be started.
    #[error("cannot start {threads} loader threads: {source}")]
    Threads {
        /// The number of threads asked for.
        threads: usize,
        /// The reason.
        source: rayon::ThreadPoolBuildError,
    },
    /// A cache would not fit.
    #[error(
        "expected room for {} MB of decoded images in {place}, found {} MB (a smaller size or no \
         cache needs less)",
        .needed.div_ceil(1_000_000), .available / 1_000_000
    )]
    CacheSpace {
        /// The folder, or "memory".
        place: String,
        /// Bytes that are missing from it.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// The folder of a cache cannot be used.
    #[error("cannot keep decoded images in {}: {source}", .path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A thumbnail cannot be encoded.
    #[error("cannot encode a thumbnail of {width} × {height} pixels: {source}")]
    Encode {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The encoder's reason.
        source: image::ImageError,
    },
    /// A loader thread panicked while it put a batch together, which is a defect of this crate.
    #[error("a loader thread panicked while it put batch {batch} of epoch {epoch} together")]
    Worker {
        /// The number of the batch in its epoch, from 0.
        batch: usize,
        /// The epoch.
        epoch: u64,
    },
}

/// How many samples some values are, in words.
fn samples(values: usize, shape: &[usize]) -> String {
    let size = shape.iter().product::<usize>().max(1);
    match (values / size, values % size) {
        (count, 0) => count.to_string(),
        (count, rest) => format!("{count} (and {rest} values more)"),
    }
}

/// Which classes are missing and which are surplus, the first few by name.
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
    TooManyBytes {
        /// The size of the file in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The content is not an image, whatever the name says.
    #[error("expected the content of a JPEG, PNG, WebP or BMP file, found {found}")]
    NotAnImage {
        /// The beginning of the content, printable.
        found: String,
    },
    /// The file ends before the image does.
    #[error("the {format} data is truncated: it ends after {bytes} bytes, before the image does")]
    Truncated {
        /// The format.
        format: &'static str,
        /// The size of the file in bytes.
        bytes: usize,
    },
    /// The image has a side without pixels.
    #[error("image is empty ({width} × {height})")]
    NoPixels {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
    },
    /// The image has more pixels than the limit, so decoding it may exhaust the memory.
    #[error("{width} × {height} pixels are over the limit of {limit} pixels (`max_pixels`)")]
    TooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// The limit in pixels.
        limit: u64,
    },
    /// The JPEG decoder refuses the content.
    #[error("damaged or unsupported JPEG: {0}")]
    Jpeg(#[source] zune_jpeg::errors::DecodeErrors),
    /// The decoder of another format refuses the content.
    #[error("damaged or unsupported {format}: {source}")]
    Decode {
        /// The format.
        format: &'static str,
        /// The decoder's reason.
        source: image::ImageError,
    },
    /// The decoder panicked, which is a defect of the decoder.
    #[error("the decoder panicked")]
    DecoderPanicked,
}
