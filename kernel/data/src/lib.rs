//! Image folders, decoding, transforms and the data loader.
//!
//! [`ImageFolder::open`] lists a folder of pictures and numbers its classes, a [`Split`] of it is
//! what gets trained or tested on, and a [`Loader`] turns a split into [`Batch`]es of `f32` pixels
//! on threads of its own. No tensor of any backend appears here: a batch is a plain vector.
//!
//! Every random choice depends on a seed, the number of the epoch and the index of the sample, and
//! on nothing else, so the same seed gives the same batches whatever the number of threads.

mod augment;
mod decode;
mod error;
mod folder;
mod grid;
mod loader;
mod preprocess;
mod resize;
mod seed;
mod split;

pub use augment::{Augmentation, Fill};
pub use decode::{DEFAULT_MAX_PIXELS, Picture};
pub use error::{DataError, ImageFault};
pub use folder::{FolderOptions, Ignored, ImageFolder, Layout, REPORT_VALIDATION_FRACTION};
pub use grid::{PictureGrid, Thumbnail};
pub use loader::{Batch, Cache, Epoch, Loader, LoaderConfig, OnBadImage, Skipped};
pub use preprocess::{PixelStep, Preprocessing};
pub use resize::{Filter, Resize};
pub use split::{Sample, Split};
