//! Image folders, decoding, transforms and the data loader.
//!
//! [`ImageFolder::open`] lists a folder of pictures and numbers its classes, a [`Split`] of it is
//! what gets trained or tested on, and a [`Loader`] turns a split into [`Batch`]es of `f32` pixels
//! on threads of its own. No tensor of any backend appears here: a batch is a plain vector.
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

mod augment;
mod crop;
mod decode;
mod error;
mod folder;
mod grid;
mod loader;
mod preprocess;
mod resize;
mod seed;
mod split;

pub use augment::{Augmentation, Change, Fill};
pub use crop::{Crop, Window};
pub use decode::{DEFAULT_MAX_PIXELS, Picture, open_file};
pub use error::{DataError, ImageFault};
pub use folder::{FolderOptions, Ignored, ImageFolder, Layout, REPORT_VALIDATION_FRACTION};
pub use grid::{PictureGrid, Thumbnail};
pub use loader::{
    Batch, Cache, CacheReport, Drawn, Epoch, EpochTimes, Loader, LoaderConfig, OnBadImage, Skipped,
};
pub use preprocess::{PixelStep, Preprocessing};
pub use resize::{Filter, Resize};
pub use split::{Sample, Split};
