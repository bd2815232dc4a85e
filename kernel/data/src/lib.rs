//! Datasets, decoding, transforms and the data loader. No tensor of any backend appears here: a
//! batch is a plain vector.
//!
//! A [`Dataset`] ([`ImageFolder`], [`Arrays`], a pair of splits, or a custom type) has the parts training, validation and
//! test, each a [`Split`]: a list of samples. A [`Loader`] reads a split on threads, and [`Epoch`] is the iterator over its
//! batches. For image files a [`Batch`] has the shape `[batch, 3, height, width]` of the [`LoaderConfig`]. Other samples
//! ([`Samples`]) keep their shape and values: size, filter, preprocessing and cache have no effect on them, and augmentation
//! and random crops are refused.
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
//! on nothing else, so the same seed gives the same batches with any number of threads.

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

pub use benchbook_ranks::Rank;

pub use arrays::Arrays;
pub use augment::{Augmentation, Change, Fill};
pub use crop::{Crop, Window};
pub use dataset::Dataset;
pub use decode::{DEFAULT_MAX_PIXELS, Picture, open_file};
pub use error::{DataError, ImageFault};
pub use folder::{FolderOptions, Ignored, ImageFolder, Layout, REPORT_VALIDATION_FRACTION};
pub use grid::PictureGrid;
pub use loader::{
    Batch, Cache, CacheReport, Drawn, Epoch, EpochTimes, Loader, LoaderConfig, OnBadImage, Skipped,
};
pub use preprocess::{PixelStep, Preprocessing};
pub use resize::{Filter, Resize};
pub use samples::{SampleFault, Samples};
pub use split::{Sample, Split, digest};
