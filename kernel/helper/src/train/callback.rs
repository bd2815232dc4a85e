//! What happens after an epoch.

use super::EpochMetrics;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The value that a callback looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Larger is better.
    #[default]
    ValidationAccuracy,
    /// Smaller is better.
    ValidationLoss,
}

impl Monitor {
    /// The epoch's value; `None` without a validation.
    pub fn value(self, metrics: &EpochMetrics) -> Option<f64> {
        match self {
            Monitor::ValidationAccuracy => metrics.val_accuracy,
            Monitor::ValidationLoss => metrics.val_loss,
        }
    }

    /// A value that every other one is better than.
    pub fn worst(self) -> f64 {
        match self {
            Monitor::ValidationAccuracy => f64::NEG_INFINITY,
            Monitor::ValidationLoss => f64::INFINITY,
        }
    }

    /// Whether `value` is better than `best`.
    pub fn improves(self, value: f64, best: f64) -> bool {
        match self {
            Monitor::ValidationAccuracy => value > best,
            Monitor::ValidationLoss => value < best,
        }
    }
}

/// Something to do after each epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Callback {
    /// Saves the model whenever it is better than before.
    BestCheckpoint(BestCheckpoint),
    /// Ends the training when it no longer gets better.
    EarlyStopping(EarlyStopping),
}

impl Callback {
    /// Saves the weights to `path` whenever the validation accuracy is better than before.
    pub fn best_checkpoint(path: impl Into<PathBuf>) -> Self {
        Callback::BestCheckpoint(BestCheckpoint { path: path.into(), monitor: Monitor::default() })
    }
}

/// Keras' `ModelCheckpoint(save_best_only=True)`. The file holds the weights and the history, not
/// the optimiser's state, which is twice as large: `Model::save` writes that too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestCheckpoint {
    /// The file (safetensors), replaced in one move. The best value so far is remembered by the
    /// model for each file.
    pub path: PathBuf,
    /// What is compared.
    #[serde(default)]
    pub monitor: Monitor,
}

/// Keras' `EarlyStopping`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// What is compared.
    #[serde(default)]
    pub monitor: Monitor,
    /// Epochs without a better value before the training ends.
    pub patience: usize,
}

impl EarlyStopping {
    /// Whether the last `patience` of these epochs brought nothing better than those before.
    pub fn stops(&self, epochs: &[EpochMetrics]) -> bool {
        let values: Vec<f64> =
            epochs.iter().filter_map(|epoch| self.monitor.value(epoch)).collect();
        let mut best = (self.monitor.worst(), 0);
        for (index, value) in values.iter().enumerate() {
            if self.monitor.improves(*value, best.0) {
                best = (*value, index + 1);
            }
        }
        values.len() > best.1 && values.len() - best.1 >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_stopping_waits_for_its_patience() {
        let epochs = |losses: &[f64]| -> Vec<EpochMetrics> {
            let metrics =
                |loss: &f64| EpochMetrics { val_loss: Some(*loss), ..EpochMetrics::default() };
            losses.iter().map(metrics).collect()
        };
        let stopping = EarlyStopping { monitor: Monitor::ValidationLoss, patience: 2 };
        assert!(!stopping.stops(&epochs(&[0.5, 0.4])));
        assert!(!stopping.stops(&epochs(&[0.5, 0.4, 0.45])));
        assert!(stopping.stops(&epochs(&[0.5, 0.4, 0.45, 0.41])));
        assert!(!stopping.stops(&epochs(&[0.5, 0.4, 0.45, 0.39])));
    }
}
