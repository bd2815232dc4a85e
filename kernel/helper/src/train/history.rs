//! The history of a model's training.

use crate::error::Error;
use crate::record::Epoch;
use benchbook_chart::Curves;
use benchbook_display::{Bundle, Rich};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One epoch. Accuracies are shares, 0 to 1; times are seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// From 1.
    pub epoch: usize,
    /// Mean loss over the training images, each with the weights of its step.
    pub loss: f64,
    /// Share of the training images that were classified correctly, each with the weights of its step.
    pub accuracy: f64,
    /// Mean loss over the validation images after the epoch. Unlike the training loss, it may be NaN or infinite.
    #[serde(default, with = "any_number")]
    pub val_loss: Option<f64>,
    /// Share of the validation images that were classified correctly.
    pub val_accuracy: Option<f64>,
    /// Learning rate of the epoch's first step.
    pub learning_rate: f64,
    /// Number of training images.
    pub training_images: usize,
    /// Number of validation images.
    pub validation_images: usize,
    /// Time of the training, with the wait for input.
    pub training_seconds: f64,
    /// Part of `training_seconds` in which the net waited for images.
    pub input_wait_seconds: f64,
    /// Time of the validation.
    pub validation_seconds: f64,
    /// Time of the callbacks, which write checkpoints.
    pub callback_seconds: f64,
}

impl From<&EpochMetrics> for Epoch {
    fn from(metrics: &EpochMetrics) -> Self {
        Self {
            epoch: metrics.epoch,
            loss: metrics.loss,
            accuracy: metrics.accuracy,
            val_loss: metrics.val_loss,
            val_accuracy: metrics.val_accuracy,
            learning_rate: Some(metrics.learning_rate),
            training_images: metrics.training_images,
            validation_images: metrics.validation_images,
            training_seconds: metrics.training_seconds,
            input_wait_seconds: Some(metrics.input_wait_seconds),
            validation_seconds: metrics.validation_seconds,
            callback_seconds: metrics.callback_seconds,
        }
    }
}

/// Writes NaN and infinity, which JSON lacks, as words. The `null` of an epoch without a value would change how a
/// resumed training counts the epoch.
mod any_number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Number {
        Finite(f64),
        Word(String),
    }

    // The form that serde asks for.
    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        let number = |value: f64| match value {
            value if value.is_finite() => Number::Finite(value),
            value => Number::Word(value.to_string()),
        };
        value.map(number).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<f64>, D::Error> {
        match Option::<Number>::deserialize(from)? {
            None => Ok(None),
            Some(Number::Finite(value)) => Ok(Some(value)),
            Some(Number::Word(word)) => word.parse().map(Some).map_err(D::Error::custom),
        }
    }
}

/// The epochs of all trainings of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Complete epochs in order.
    pub epochs: Vec<EpochMetrics>,
    /// Updates of the weights so far, with those of an incomplete epoch.
    pub steps: u64,
    /// Passes over the training images begun so far, which is the number of the next pass and seeds its order.
    pub passes: u64,
    /// Seconds in which the features of a frozen base were computed.
    pub feature_seconds: f64,
}

impl History {
    /// A chart of accuracy and loss by epoch, as in the report.
    pub fn curves(&self) -> Curves {
        let of = |value: &dyn Fn(&EpochMetrics) -> Option<f64>| -> Vec<f64> {
            self.epochs.iter().filter_map(value).collect()
        };
        let title = match self.epochs.len() {
            1 => "Training, 1 epoch".to_owned(),
            count => format!("Training, {count} epochs"),
        };
        Curves::new(title)
            .metric("accuracy", of(&|e| Some(e.accuracy)), of(&|e| e.val_accuracy))
            .metric("loss", of(&|e| Some(e.loss)), of(&|e| e.val_loss))
    }

    /// Writes loss, accuracy, learning rate and seconds of each epoch to an event file in `folder`, which TensorBoard shows
    /// as one run. A history has no start time, so the last epoch's time is now. Returns the file's path.
    ///
    /// # Errors
    /// [`Error::Study`] if the file cannot be written.
    pub fn write_events(&self, folder: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let epochs: Vec<Epoch> = self.epochs.iter().map(Epoch::from).collect();
        let seconds = |e: &Epoch| e.training_seconds + e.validation_seconds + e.callback_seconds;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = now.as_secs_f64() - epochs.iter().map(seconds).sum::<f64>();
        Ok(benchbook_study::write_events(folder.as_ref(), began, &epochs)?)
    }

    /// The newest epoch.
    pub fn last(&self) -> Option<&EpochMetrics> {
        self.epochs.last()
    }
}

impl Rich for History {
    fn bundle(&self) -> Bundle {
        if self.epochs.is_empty() {
            return Bundle::text("no complete epoch yet");
        }
        self.curves().bundle()
    }
}
