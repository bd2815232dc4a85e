//! Datasets, decoding, transforms and the data loader. No tensor of any backend appears here: a
//! batch is a plain vector.
//!
//! - [`Dataset`] (object safe): what a net is trained, evaluated and tested on. `train()`,
//!   `validation()` and `test()` are [`Split`]s; `class_names()` and `classes()`, their number;
//!   `name()` for records. Implemented by [`ImageFolder`], [`Arrays`], a pair of splits
//!   `(train, validation)`, and `Box`, `Arc` of any of them.
//! - [`ImageFolder::open`] lists `train/<class>` and `validation/<class>` (`val`, `valid`), Kaggle's flat
//!   `train/cat.1.jpg`, or class folders without a split; [`ImageFolder::open_with`] takes
//!   [`FolderOptions`] (fraction and seed of the division).
//! - [`Arrays::new`]`(values, shape, labels, class_names)` holds samples in memory, divided by
//!   [`Arrays::divide`]; [`Arrays::from_parts`] takes given parts, [`Arrays::with_test`] adds a third.
//! - [`Split`]: a list of samples. By index: [`label`](Split::label), [`path`](Split::path) (image
//!   files), [`sample_name`](Split::sample_name), [`picture`](Split::image); of all:
//!   [`len`](Split::len), [`classes`](Split::classes), [`class_names`](Split::class_names),
//!   [`counts`](Split::counts), [`is_labelled`](Split::is_labelled),
//!   [`same_samples`](Split::same_samples), [`subset`](Split::subset), [`divide`](Split::divide).
//! - [`digest`]`(&[splits])`: SHA-256 of names and contents of files, or of values; for resuming and records.
//! - [`Samples`]: a source of one's own, sample by sample, made a split by [`Split::from_samples`].
//! - [`Loader::new`]`(&split, config)`: batches of any split, made ahead on threads. `epoch(pass)` and
//!   `epoch_from(pass, done)` start the seeded pass; `LoaderConfig::repeat` goes on for ever;
//!   `batches()`, `order(pass)`, [`sample_shape`](Loader::sample_shape), `skipped()`, `cached().fault`.
//! - [`Epoch`]: the iterator over a pass, with the clocks `wait()` and `times()`.
//! - [`Batch`]: `values` of [`shape()`](Batch::shape) `[batch, …sample_shape]`, `labels`, `indices`.
//!
//! For image files `sample_shape` is `[3, height, width]` of the [`LoaderConfig`]; other samples come in
//! their own shape and as they are, so what uses them compares it with the net's input. Size, filter,
//! preprocessing and cache are then without effect, augmentation and random crops are refused.
//!
//! ```no_run
//! use benchbook_data::{Augmentation, Cache, Crop, Fill, ImageFolder, Loader, LoaderConfig};
//!
//! # fn main() -> Result<(), benchbook_data::DataError> {
//! let folder = ImageFolder::open("dogs-vs-cats")?;
//! let config = LoaderConfig {
//!     augmentation: vec![
//!         Augmentation::ROTATION_180,
//!         Augmentation::Zoom { low: 0.8, high: 1.2, fill: Fill::Reflect },
//!     ],
//!     crop: Crop::AspectRatio,
//!     cache: Cache::Memory,
//!     ..LoaderConfig::default()
//! };
//! let loader = Loader::new(&folder.train(), config)?;
//! println!("{loader}"); // … cached in up to 3765 MB of memory
//! let mut epoch = loader.epoch(0);
//! for batch in epoch.by_ref() {
//!     let batch = batch?;
//!     println!("{:?}", batch.shape());
//! }
//! println!("{}", epoch.times());
//! # Ok(())
//! # }
//! ```
//!
//! Every random choice depends on a seed, the number of the epoch and the index of the sample, and
//! on nothing else, so the same seed gives the same batches whatever the number of threads.

mod arrays;
mod augment;
mod crop;
mod dataset;
mod decode;
mod error;
mod folder;
mod grid;
mod loader;
mod preprocess;
mod resize;
mod samples;
mod seed;
mod split;

pub use arrays::Arrays;
pub use augment::{Augmentation, Change, Fill};
pub use crop::{Crop, Window};
pub use dataset::Dataset;
pub use decode::{DEFAULT_MAX_PIXELS, Picture, open_file};
pub use error::{DataError, ImageFault};
pub use folder::{FolderOptions, Ignored, ImageFolder, Layout, REPORT_VALIDATION_FRACTION};
pub use grid::{PictureGrid, Thumbnail};
pub use loader::{
    Batch, Cache, CacheReport, Drawn, Epoch, EpochTimes, Loader, LoaderConfig, OnBadImage, Skipped,
};
pub use preprocess::{PixelStep, Preprocessing};
pub use resize::{Filter, Resize};
pub use samples::{SampleFault, Samples};
pub use split::{Sample, Split, digest};
