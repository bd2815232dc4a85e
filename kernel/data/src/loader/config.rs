//! The settings of a loader.

use serde::{Deserialize, Serialize};

use crate::augment::Augmentation;
use crate::decode::DEFAULT_MAX_PIXELS;
use crate::error::DataError;
use crate::preprocess::{PixelStep, Preprocessing};
use crate::resize::{Filter, Resize};

/// What to do with a file that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBadImage {
    /// The batch is an error that names the file, and the epoch ends.
    #[default]
    Fail,
    /// The batch is smaller by this picture (left out if none remains), and the file is listed in
    /// [`Loader::skipped`](crate::Loader::skipped).
    Skip,
}

/// Whether decoded pictures are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cache {
    /// Every epoch reads and decodes every file.
    #[default]
    Off,
    /// Decoded and resized pictures stay in memory, as bytes, before any random change;
    /// [`Loader::cache_bytes`](crate::Loader::cache_bytes) says how much that takes.
    Memory,
}

/// The settings of a [`Loader`](crate::Loader).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoaderConfig {
    /// Height of the pictures in pixels. Default: 224.
    pub height: usize,
    /// Width of the pictures in pixels. Default: 224.
    pub width: usize,
    /// How pictures are resized. Default: bilinear with antialias.
    pub filter: Filter,
    /// Pictures in a batch. Default: 32.
    pub batch_size: usize,
    /// Whether each epoch has an order of its own. Default: true, as in Keras.
    pub shuffle: bool,
    /// The seed of order and random changes. Default: 0.
    pub seed: u64,
    /// How values are scaled. Default: `x / 255`.
    pub preprocessing: Preprocessing,
    /// Random changes, in their order. Default: none.
    pub augmentation: Vec<Augmentation>,
    /// Threads that decode; 0 for as many as there are cores. Default: 0.
    pub threads: usize,
    /// Batches in work or waiting beside the one that was handed out, which bounds the memory; 0
    /// works on a batch only when it is asked for. Default: 2.
    pub prefetch: usize,
    /// What to do with a file that cannot be used. Default: fail.
    pub on_bad_image: OnBadImage,
    /// Whether a last batch that is not full is left out. Default: false.
    pub drop_last: bool,
    /// Whether an epoch's iterator goes on with the following epochs without end, for a fixed number
    /// of steps as in Keras' `steps_per_epoch`. Default: false.
    pub repeat: bool,
    /// Whether decoded pictures are kept. Default: off.
    pub cache: Cache,
    /// Pictures with more pixels are refused. Default: [`DEFAULT_MAX_PIXELS`].
    pub max_pixels: u64,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            height: 224,
            width: 224,
            filter: Filter::Bilinear,
            batch_size: 32,
            shuffle: true,
            seed: 0,
            preprocessing: Preprocessing::Rescaled,
            augmentation: Vec::new(),
            threads: 0,
            prefetch: 2,
            on_bad_image: OnBadImage::Fail,
            drop_last: false,
            repeat: false,
            cache: Cache::Off,
            max_pixels: DEFAULT_MAX_PIXELS,
        }
    }
}

impl LoaderConfig {
    /// The settings for validation and test: in order, without random changes.
    pub fn for_evaluation(&self) -> Self {
        Self {
            shuffle: false,
            augmentation: Vec::new(),
            repeat: false,
            drop_last: false,
            ..self.clone()
        }
    }

    /// The resize that the loader does.
    pub fn resize(&self) -> Resize {
        Resize { height: self.height, width: self.width, filter: self.filter }
    }

    /// The number of threads, with 0 replaced by the number of cores.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }
    }

    /// Checks every setting against its range.
    pub(super) fn check(&self) -> Result<(), DataError> {
        const SIDE: &str = "1 to 16384 pixels";
        let side = |value| (1..=16_384).contains(&value);
        range("height", SIDE, side(self.height), self.height)?;
        range("width", SIDE, side(self.width), self.width)?;
        range("batch_size", "at least 1", self.batch_size > 0, self.batch_size)?;
        range("max_pixels", "at least 1", self.max_pixels > 0, self.max_pixels)?;
        range("threads", "0 to 1024", self.threads <= 1024, self.threads)?;
        for change in &self.augmentation {
            match *change {
                Augmentation::HorizontalFlip { p } => {
                    range("HorizontalFlip { p }", "0 to 1", (0.0..=1.0).contains(&p), p)?;
                }
                Augmentation::Rotation { degrees, .. } => {
                    let valid = (0.0..=180.0).contains(&degrees);
                    range("Rotation { degrees }", "0 to 180", valid, degrees)?;
                }
            }
        }
        for step in self.preprocessing.steps() {
            if let PixelStep::Normalize { std, .. } = step {
                let valid = std.iter().all(|deviation| deviation.is_normal());
                range("Normalize { std }", "finite and not 0", valid, format!("{std:?}"))?;
            }
        }
        Ok(())
    }
}

fn range(
    name: &'static str,
    expected: &'static str,
    valid: bool,
    received: impl ToString,
) -> Result<(), DataError> {
    if valid {
        return Ok(());
    }
    Err(DataError::Setting { name, expected, received: received.to_string() })
}
