//! What a model remembers of its training.

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
    /// Mean loss over the training pictures, each at the weights of its step.
    pub loss: f64,
    /// Share of training pictures that were recognised, likewise.
    pub accuracy: f64,
    /// Mean loss over the validation pictures at the end of the epoch. Unlike the training's, it may be
    /// NaN or infinite.
    #[serde(default, with = "any_number")]
    pub val_loss: Option<f64>,
    /// Share of validation pictures that were recognised.
    pub val_accuracy: Option<f64>,
    /// Learning rate of the epoch's first step.
    pub learning_rate: f64,
    /// Pictures trained on.
    pub training_images: usize,
    /// Pictures validated on.
    pub validation_images: usize,
    /// Training, with the waiting for input.
    pub training_seconds: f64,
    /// Part of `training_seconds` in which the net waited for pictures.
    pub input_wait_seconds: f64,
    /// Validation.
    pub validation_seconds: f64,
    /// Callbacks: writing checkpoints.
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

/// JSON has no NaN and no infinity: they are written as words, not as the `null` of an epoch without a
/// value, so that a resumed training counts such epochs as it did before.
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

/// All epochs of a model, of all its trainings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Complete epochs in order.
    pub epochs: Vec<EpochMetrics>,
    /// Changes of the weights so far, those of an incomplete epoch too.
    pub steps: u64,
    /// Passes over the training pictures begun so far: the next one has this number's order.
    pub passes: u64,
    /// Seconds spent on computing the features of a frozen base once.
    pub feature_seconds: f64,
}

impl History {
    /// Accuracy and loss against the epoch, as the report draws them.
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

    /// Writes the epochs into an event file in `folder`, which TensorBoard shows as one run: loss, accuracy, learning rate
    /// and seconds of each. A history does not know when it began, so the last epoch's time is now. Returns the file.
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
