//! Training, with Keras' names.
//!
//! Training emits [`Event`]s; the notebook ([`Live`]), the terminal ([`KerasLog`]) and tests draw or collect them.

mod callback;
mod event;
mod feed;
mod history;
mod keras_log;
mod live;
pub mod metric;
mod rate_search;
mod run;
mod torch_log;

pub use callback::{
    BestCheckpoint, Builtin, Checkpoint, CsvLog, EarlyStopping, Monitor, ReduceOnPlateau,
};
pub use event::{Callback, Event, Events, Outcome, Silent};
pub(crate) use feed::FeatureStore;
pub use history::{EpochMetrics, History};
pub use keras_log::KerasLog;
pub use live::Live;
pub(crate) use metric::most_probable;
pub use metric::{Metric, ScoredBatch};
pub use rate_search::RateSearch;
pub(crate) use rate_search::search;
pub use run::Training;
pub(crate) use run::{Call, Contents, Snapshot, evaluate_pass, skipped};
pub use torch_log::{TorchLine, TorchLog};

use crate::backend::Optimizer;
use crate::error::Error;
use benchbook_data::{Augmentation, Cache, Crop, OnBadImage};
use serde::{Deserialize, Serialize};

/// How the learning rate changes over the steps of a call of `fit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Constant.
    #[default]
    Constant,
    /// Falls in equal steps towards zero: Keras' `PolynomialDecay` with power 1.
    Linear,
    /// Falls along half a cosine towards zero: Keras' `CosineDecay`, PyTorch's `CosineAnnealingLR`.
    Cosine,
    /// Multiplied by `factor` after every `epochs` epochs: PyTorch's `StepLR`, Keras' `ExponentialDecay` with `staircase`.
    Step {
        /// Epochs between two changes, at least 1.
        epochs: usize,
        /// Above 0.
        factor: f64,
    },
    /// Rises in equal steps over the first `epochs` epochs, then falls along half a cosine towards zero: Keras'
    /// `CosineDecay(warmup_target=…)`.
    Warmup {
        /// Epochs of the rise.
        epochs: usize,
    },
}

impl Schedule {
    /// The factor on the learning rate after `done` steps of a call of `fit` with `epochs` epochs of `steps` steps.
    pub fn factor(self, done: usize, epochs: usize, steps: usize) -> f64 {
        let falling = |done: usize, total: usize| {
            0.5 * (1.0 + (std::f64::consts::PI * done as f64 / total.max(1) as f64).cos())
        };
        let total = epochs * steps;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - done as f64 / total.max(1) as f64,
            Schedule::Cosine => falling(done, total),
            Schedule::Step { epochs, factor } => {
                let changes = done / steps.max(1) / epochs.max(1);
                factor.powi(i32::try_from(changes).unwrap_or(i32::MAX))
            }
            Schedule::Warmup { epochs } => {
                let rising = epochs * steps;
                if done < rising {
                    (done + 1) as f64 / rising as f64
                } else {
                    falling(done - rising, total.saturating_sub(rising))
                }
            }
        }
    }
}

/// The settings of a training. Input size and preprocessing belong to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fit {
    /// Epochs of this call. Default: 1. A second call continues the numbers of the first.
    pub epochs: usize,
    /// Batches in an epoch. Default: `None`, one pass over the images. With a number, an epoch begins where the previous
    /// one ended, as with Keras' generators.
    pub steps_per_epoch: Option<usize>,
    /// Images in a batch. Default: 32.
    pub batch_size: usize,
    /// Batches of the validation after each epoch, drawn by `seed`, the same in every epoch. Default: `None`, all images.
    pub validation_steps: Option<usize>,
    /// Images in a batch of the validation. Default: `None`, `batch_size`.
    pub validation_batch_size: Option<usize>,
    /// Whether each epoch ends with a validation, which callbacks on its metrics need. Default: true.
    pub validate: bool,
    /// The optimiser. Default: PyTorch's Adam. The model keeps the state while the optimiser stays the same.
    pub optimizer: Optimizer,
    /// The learning rate. Default: `None`,
    /// [`Optimizer::default_rate`](crate::backend::Optimizer::default_rate).
    pub learning_rate: Option<f64>,
    /// How the learning rate changes during this call. Default: constant.
    pub schedule: Schedule,
    /// Seed of order, augmentation and dropout. Default: 0.
    pub seed: u64,
    /// Random changes of the training images. Default: none.
    pub augmentation: Vec<Augmentation>,
    /// The part of a training image that is resized. Default: `None`, the model's
    /// [`crop`](crate::model::Build::crop), which validation always uses. [`Crop::RANDOM_RESIZED`] is
    /// torchvision's `RandomResizedCrop`, which excludes `cache`. In JSON
    /// `{"RandomResized": {"scale": [0.08, 1.0], "ratio": [0.75, 1.333]}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// A factor on the training loss of each class, for unbalanced classes: Keras' `class_weight`, PyTorch's
    /// `CrossEntropyLoss(weight=…)`. Default: none.
    pub class_weights: Option<Vec<f32>>,
    /// Built-in callbacks, saved with the model. [`Model::fit_with`](crate::model::Model::fit_with) takes custom ones.
    /// Default: none.
    pub callbacks: Vec<Builtin>,
    /// Whether the frozen base is computed once for each image instead of in each epoch. Excludes augmentation, a `crop`
    /// and a trainable base. The result is equal up to rounding; the record states the setting, because the time
    /// differs. Default: false.
    pub cache_features: bool,
    /// Where decoded images are kept between epochs. Default: off.
    pub cache: Cache,
    /// Whether an unusable file is an error or skipped. Default: an error with the file's name.
    pub on_bad_image: OnBadImage,
    /// Threads that decode. Default: 0, one per core.
    pub loader_threads: usize,
}

impl Default for Fit {
    fn default() -> Self {
        Self {
            epochs: 1,
            steps_per_epoch: None,
            batch_size: 32,
            validation_steps: None,
            validation_batch_size: None,
            validate: true,
            optimizer: Optimizer::default(),
            learning_rate: None,
            schedule: Schedule::Constant,
            seed: 0,
            augmentation: Vec::new(),
            crop: None,
            class_weights: None,
            callbacks: Vec::new(),
            cache_features: false,
            cache: Cache::Off,
            on_bad_image: OnBadImage::Fail,
            loader_threads: 0,
        }
    }
}

impl Fit {
    /// The learning rate of the first step.
    pub fn rate(&self) -> f64 {
        self.learning_rate.unwrap_or_else(|| self.optimizer.default_rate())
    }

    pub(crate) fn check(&self, classes: usize) -> Result<(), Error> {
        let positive = |name, value: Option<usize>| match value {
            Some(0) => Err(Error::Setting { name, expected: "at least 1", found: "0".into() }),
            _ => Ok(()),
        };
        positive("epochs", Some(self.epochs))?;
        positive("batch_size", Some(self.batch_size))?;
        positive("steps_per_epoch", self.steps_per_epoch)?;
        positive("validation_steps", self.validation_steps)?;
        positive("validation_batch_size", self.validation_batch_size)?;
        let rate = self.rate();
        if !(rate.is_finite() && rate >= 0.0) {
            let expected = "a finite number of at least 0";
            return Err(Error::Setting {
                name: "learning_rate",
                expected,
                found: rate.to_string(),
            });
        }
        for callback in &self.callbacks {
            callback.check()?;
            if callback.watches_validation() && !self.validate {
                return Err(Error::Setting {
                    name: "validate",
                    expected: "true with a callback that monitors the validation",
                    found: format!("false with {callback:?}"),
                });
            }
        }
        if let Schedule::Step { epochs, factor } = self.schedule
            && !(epochs > 0 && factor.is_finite() && factor > 0.0)
        {
            return Err(Error::Setting {
                name: "schedule",
                expected: "a step of at least 1 epoch with a finite factor above 0",
                found: format!("{:?}", self.schedule),
            });
        }
        if let Some(factors) = &self.class_weights
            && !(factors.len() == classes
                && factors.iter().all(|factor| factor.is_finite() && *factor > 0.0))
        {
            return Err(Error::Setting {
                name: "class_weights",
                expected: "one finite number above 0 for each class",
                found: format!("{factors:?}"),
            });
        }
        if let (true, Some(crop)) = (self.cache_features, self.crop) {
            return Err(Error::Setting {
                name: "cache_features",
                expected: "false with `crop`, because validation uses the model's own crop",
                found: format!("true with {crop:?}"),
            });
        }
        if self.cache_features && !self.augmentation.is_empty() {
            return Err(Error::Setting {
                name: "cache_features",
                expected: "false with augmentation, because each epoch then has other features",
                found: format!("true with {:?}", self.augmentation),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_begin_at_the_rate_and_fall_towards_zero() {
        // Two epochs of four steps.
        assert_eq!(Schedule::Constant.factor(7, 2, 4), 1.0);
        assert_eq!([0, 4, 8].map(|step| Schedule::Linear.factor(step, 2, 4)), [1.0, 0.5, 0.0]);
        let cosine = [0, 2, 4, 8].map(|step| Schedule::Cosine.factor(step, 2, 4));
        // cos(π/4) = 0.707107, so the second is (1 + 0.707107) / 2.
        for (found, expected) in cosine.into_iter().zip([1.0, 0.853_553, 0.5, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{cosine:?}");
        }
        let step = Schedule::Step { epochs: 2, factor: 0.1 };
        let steps = [0, 7, 8, 16].map(|done| step.factor(done, 6, 4));
        for (found, expected) in steps.into_iter().zip([1.0, 1.0, 0.1, 0.01]) {
            assert!((found - expected).abs() < 1e-12, "{steps:?}");
        }
        let warmup =
            [0, 1, 3, 4, 8, 12].map(|done| Schedule::Warmup { epochs: 1 }.factor(done, 3, 4));
        for (found, expected) in warmup.into_iter().zip([0.25, 0.5, 1.0, 1.0, 0.5, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{warmup:?}");
        }
    }
}
