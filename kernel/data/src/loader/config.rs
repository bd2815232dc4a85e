//! The settings of a loader.

use std::sync::Arc;

use benchbook_ranks::Rank;
use serde::{Deserialize, Serialize};

use super::cache::Cache;
use crate::augment::Augmentation;
use crate::crop::Crop;
use crate::decode::DEFAULT_MAX_PIXELS;
use crate::error::DataError;
use crate::preprocess::{PixelStep, Preprocessing};
use crate::resize::{Filter, Resize};
use crate::split::{Contents, Split};

/// The treatment of unusable files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBadImage {
    /// The batch is an error that names the file, and the epoch ends.
    #[default]
    Fail,
    /// The batch omits this image (and is itself omitted if it is empty), and the file is listed in
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
    /// The filter of resizing. Default: bilinear with antialias.
    pub filter: Filter,
    /// The part of an image that is resized. Default: the whole image.
    pub crop: Crop,
    /// Images in a batch. Default: 32.
    pub batch_size: usize,
    /// Whether each epoch has a different random order. Default: true, as in Keras.
    pub shuffle: bool,
    /// The seed of order and random changes. Default: 0.
    pub seed: u64,
    /// The preprocessing of pixels. Default: `x / 255`.
    pub preprocessing: Preprocessing,
    /// Random changes, in order. Default: none.
    pub augmentation: Vec<Augmentation>,
    /// Threads that decode. Default: 0, one per core.
    pub threads: usize,
    /// Batches in work or waiting, in addition to the returned one. This limits the memory: a batch has
    /// `12 * height * width` bytes per image, for any number of images in the folder. With 0, work on a
    /// batch starts when it is requested. Default: 2.
    pub prefetch: usize,
    /// The treatment of unusable files. Default: fail.
    pub on_bad_image: OnBadImage,
    /// Whether a last batch that is not full is omitted. Default: false.
    pub drop_last: bool,
    /// Whether an epoch's iterator continues with the following epochs without end, for a fixed number
    /// of steps as in Keras' `steps_per_epoch`. Default: false.
    pub repeat: bool,
    /// Whether decoded images are kept. Default: off.
    pub cache: Cache,
    /// The process's place among the ranks that train together. A rank prepares the values of its share of every batch;
    /// labels and indices are those of the whole batch. Several ranks need [`OnBadImage::Fail`]. Default: [`Rank::ALONE`].
    #[serde(skip)]
    pub rank: Rank,
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
            rank: Rank::ALONE,
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

    /// The loader's resize.
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

    /// The shape of one sample in the batches of a split: `[3, height, width]` for image files, otherwise that of the
    /// samples. Starts no thread and reads no file.
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
        const WITH_RANKS: &str = "Fail with several ranks, because a skipped image would give the ranks different batches";
        let valid = self.rank == Rank::ALONE || self.on_bad_image == OnBadImage::Fail;
        range("on_bad_image", WITH_RANKS, valid, format!("{:?}", self.on_bad_image))?;
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

    /// Fails for settings that only image files support, if the samples are not image files.
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
