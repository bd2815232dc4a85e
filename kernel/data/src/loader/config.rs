//! The settings of a loader.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use crate::augment::Augmentation;
use crate::crop::Crop;
use crate::decode::DEFAULT_MAX_PIXELS;
use crate::error::DataError;
use crate::preprocess::{PixelStep, Preprocessing};
use crate::resize::{Filter, Resize};
use crate::split::{Contents, Split};

/// What to do with a file that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBadImage {
    /// The batch is an error that names the file, and the epoch ends.
    #[default]
    Fail,
    /// The batch is smaller by this image (left out if none remains), and the file is listed in
    /// [`Loader::skipped`](crate::Loader::skipped).
    Skip,
}

/// The settings of a [`Loader`](crate::Loader).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoaderConfig {
    /// Height of the images in pixels. Default: 224.
    pub height: usize,
    /// Width of the images in pixels. Default: 224.
    pub width: usize,
    /// How images are resized. Default: bilinear with antialias.
    pub filter: Filter,
    /// Which part of an image is resized. Default: all of it.
    pub crop: Crop,
    /// Images in a batch. Default: 32.
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
    /// Batches in work or waiting beside the one that was handed out, which bounds the memory: each takes
    /// `12 * height * width` bytes an image, whatever the number of images in the folder. 0 works on a
    /// batch only when it is asked for. Default: 2.
    pub prefetch: usize,
    /// What to do with a file that cannot be used. Default: fail.
    pub on_bad_image: OnBadImage,
    /// Whether a last batch that is not full is left out. Default: false.
    pub drop_last: bool,
    /// Whether an epoch's iterator goes on with the following epochs without end, for a fixed number
    /// of steps as in Keras' `steps_per_epoch`. Default: false.
    pub repeat: bool,
    /// Whether decoded images are kept. Default: off.
    pub cache: Cache,
    /// Images with more pixels are refused. Default: [`DEFAULT_MAX_PIXELS`].
    pub max_pixels: u64,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            height: 224,
            width: 224,
            filter: Filter::Bilinear,
            crop: Crop::None,
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
    /// The settings for validation and test: in order, without random changes. A random crop becomes
    /// the middle of the image in the same proportion as torchvision's 224 pixels of 256.
    pub fn for_evaluation(&self) -> Self {
        Self {
            crop: self.crop.for_evaluation(self.size()),
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

    /// Height and width in pixels.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The number of threads, with 0 replaced by the number of cores.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }
    }

    /// The shape of one sample in the batches of a split: `[3, height, width]` for image files, otherwise the samples'
    /// own. No thread is started and no file is read.
    ///
    /// # Errors
    /// As [`Loader::new`](crate::Loader::new).
    pub fn sample_shape(&self, split: &Split) -> Result<Arc<[usize]>, DataError> {
        self.check()?;
        if split.is_empty() {
            return Err(DataError::EmptySplit { split: split.name().to_string() });
        }
        match split.contents() {
            Contents::Files(_) => Ok([3, self.height, self.width].into()),
            Contents::Rows(samples, _) => {
                self.check_for_samples()?;
                Ok(samples.shape().into())
            }
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
        self.check_crop()?;
        self.augmentation.iter().try_for_each(check_augmentation)?;
        for step in self.preprocessing.steps() {
            if let PixelStep::Normalize { std, .. } = step {
                let valid = std.iter().all(|deviation| deviation.is_normal());
                range("Normalize { std }", "finite and not 0", valid, format!("{std:?}"))?;
            }
        }
        Ok(())
    }

    /// Checks that nothing is asked of samples that only image files can have.
    pub(super) fn check_for_samples(&self) -> Result<(), DataError> {
        const NONE: &str = "empty for samples that are no image files";
        let (augmentation, crop) = (&self.augmentation, self.crop);
        range("augmentation", NONE, augmentation.is_empty(), format!("{augmentation:?}"))?;
        const WHOLE: &str = "without randomness for samples that are no image files";
        range("crop", WHOLE, !crop.is_random(), format!("{crop:?}"))
    }

    fn check_crop(&self) -> Result<(), DataError> {
        match self.crop {
            Crop::None | Crop::AspectRatio => {}
            Crop::Center { shorter } => {
                let valid = (self.height.max(self.width)..=16_384).contains(&shorter);
                const EXPECTED: &str = "at least height and width, at most 16384 pixels";
                range("Center { shorter }", EXPECTED, valid, shorter)?;
            }
            Crop::RandomResized { scale, ratio } => {
                let valid = scale[0] > 0.0 && scale[0] <= scale[1] && scale[1] <= 1.0;
                const SHARES: &str = "two shares in order, above 0 to 1";
                range("RandomResized { scale }", SHARES, valid, format!("{scale:?}"))?;
                let valid = ratio[0] >= 0.01 && ratio[0] <= ratio[1] && ratio[1] <= 100.0;
                const RATIOS: &str = "two ratios in order, 0.01 to 100";
                range("RandomResized { ratio }", RATIOS, valid, format!("{ratio:?}"))?;
            }
        }
        let valid = self.cache == Cache::Off || !self.crop.is_random();
        const EXPECTED: &str = "off with a random crop, since it keeps resized images";
        range("cache", EXPECTED, valid, format!("{:?}", self.cache))
    }
}

fn check_augmentation(change: &Augmentation) -> Result<(), DataError> {
    const SHARE: &str = "0 to 1";
    const ANGLE: &str = "0 to 180";
    let share = |value| (0.0..=1.0).contains(&value);
    let angle = |value| (0.0..=180.0).contains(&value);
    match *change {
        Augmentation::HorizontalFlip { p } => range("HorizontalFlip { p }", SHARE, share(p), p),
        Augmentation::VerticalFlip { p } => range("VerticalFlip { p }", SHARE, share(p), p),
        Augmentation::Rotation { degrees, .. } => {
            range("Rotation { degrees }", ANGLE, angle(degrees), degrees)
        }
        Augmentation::RandomRotation { degrees, .. } => {
            range("RandomRotation { degrees }", ANGLE, angle(degrees), degrees)
        }
        Augmentation::Shift { height, width, .. } => {
            range("Shift { height }", SHARE, share(height), height)?;
            range("Shift { width }", SHARE, share(width), width)
        }
        Augmentation::Zoom { low, high, .. } => {
            const FACTORS: &str = "two factors in order, above 0 to 100";
            let valid = low > 0.0 && low <= high && high <= 100.0;
            range("Zoom { low, high }", FACTORS, valid, format!("{low}, {high}"))
        }
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
