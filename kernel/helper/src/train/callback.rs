//! Callbacks that are built in: what happens after an epoch.

use super::EpochMetrics;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::PathBuf;

/// The metric that a callback compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Accuracy on the validation split; larger is better.
    #[default]
    ValidationAccuracy,
    /// Loss on the validation split; smaller is better.
    ValidationLoss,
    /// Accuracy of the epoch's training batches; larger is better.
    Accuracy,
    /// Loss of the epoch's training batches; smaller is better.
    Loss,
}

impl Monitor {
    /// The epoch's value; `None` without a validation.
    pub fn value(self, metrics: &EpochMetrics) -> Option<f64> {
        match self {
            Monitor::ValidationAccuracy => metrics.val_accuracy,
            Monitor::ValidationLoss => metrics.val_loss,
            Monitor::Accuracy => Some(metrics.accuracy),
            Monitor::Loss => Some(metrics.loss),
        }
    }

    /// The worst value: every other one is better.
    pub fn worst(self) -> f64 {
        match self {
            Monitor::ValidationAccuracy | Monitor::Accuracy => f64::NEG_INFINITY,
            Monitor::ValidationLoss | Monitor::Loss => f64::INFINITY,
        }
    }

    /// Whether `value` is better than `best`. NaN never is.
    pub fn improves(self, value: f64, best: f64) -> bool {
        self.improves_by(0.0, value, best)
    }

    /// Whether `value` is better than `best` by more than `min_delta`, computed as Keras does.
    fn improves_by(self, min_delta: f64, value: f64, best: f64) -> bool {
        match self {
            Monitor::ValidationAccuracy | Monitor::Accuracy => value - min_delta > best,
            Monitor::ValidationLoss | Monitor::Loss => value + min_delta < best,
        }
    }
}

/// A built-in callback. A model's file has its callbacks, so that a resumed training runs them too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Builtin {
    /// Saves the model whenever it improves.
    BestCheckpoint(BestCheckpoint),
    /// Ends the training when it no longer improves.
    EarlyStopping(EarlyStopping),
    /// Lowers the learning rate when the training no longer improves.
    ReduceOnPlateau(ReduceOnPlateau),
    /// Saves everything that [`Model::resume`](crate::model::Model::resume) needs.
    Checkpoint(Checkpoint),
    /// Writes a table of the epochs.
    CsvLog(CsvLog),
}

impl Builtin {
    /// Saves the weights to `path` whenever the validation accuracy improves.
    pub fn best_checkpoint(path: impl Into<PathBuf>) -> Self {
        Builtin::BestCheckpoint(BestCheckpoint { path: path.into(), monitor: Monitor::default() })
    }

    /// Saves the whole training to `path` after each epoch, so that it can be resumed.
    pub fn checkpoint(path: impl Into<PathBuf>) -> Self {
        Builtin::Checkpoint(Checkpoint { path: path.into(), every: 1 })
    }

    /// Ends the training after `patience` epochs in which the validation accuracy does not improve.
    pub fn early_stopping(patience: usize) -> Self {
        Builtin::EarlyStopping(EarlyStopping::new(patience))
    }

    /// Writes the epochs to `path` (CSV).
    pub fn csv_log(path: impl Into<PathBuf>) -> Self {
        Builtin::CsvLog(CsvLog { path: path.into() })
    }

    /// The file that the callback writes.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Builtin::BestCheckpoint(BestCheckpoint { path, .. })
            | Builtin::Checkpoint(Checkpoint { path, .. })
            | Builtin::CsvLog(CsvLog { path }) => Some(path),
            Builtin::EarlyStopping(_) | Builtin::ReduceOnPlateau(_) => None,
        }
    }

    /// Whether the callback needs the validation.
    pub(crate) fn watches_validation(&self) -> bool {
        let monitor = match self {
            Builtin::BestCheckpoint(BestCheckpoint { monitor, .. })
            | Builtin::EarlyStopping(EarlyStopping { monitor, .. })
            | Builtin::ReduceOnPlateau(ReduceOnPlateau { monitor, .. }) => monitor,
            Builtin::Checkpoint(_) | Builtin::CsvLog(_) => return false,
        };
        matches!(monitor, Monitor::ValidationAccuracy | Monitor::ValidationLoss)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |name, expected, found: String| Err(Error::Setting { name, expected, found });
        match self {
            Builtin::EarlyStopping(EarlyStopping { min_delta, .. })
            | Builtin::ReduceOnPlateau(ReduceOnPlateau { min_delta, .. })
                if !(min_delta.is_finite() && *min_delta >= 0.0) =>
            {
                wrong("min_delta", "a finite number of at least 0", min_delta.to_string())
            }
            Builtin::Checkpoint(Checkpoint { every: 0, .. }) => {
                wrong("every", "at least 1", "0".into())
            }
            Builtin::ReduceOnPlateau(plateau)
                if !(plateau.factor > 0.0 && plateau.factor < 1.0) || plateau.patience == 0 =>
            {
                let expected = "a factor between 0 and 1 and a patience of at least 1";
                wrong("reduce_on_plateau", expected, format!("{plateau:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// Saves the whole training: weights, optimiser state, history, settings and position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The file (safetensors), replaced atomically.
    pub path: PathBuf,
    /// Saves after every `every` epochs, and after the last one. Default: 1.
    #[serde(default = "one")]
    pub every: usize,
}

fn one() -> usize {
    1
}

/// Keras' `CSVLogger`: a line per epoch with `epoch`, `accuracy`, `loss`, `val_accuracy`, `val_loss`, `learning_rate` and
/// the seconds of training and validation. Rewrites the file each time, so that a resumed training leaves the same file
/// as an uninterrupted one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CsvLog {
    /// The file.
    pub path: PathBuf,
}

impl CsvLog {
    /// The text of the file.
    pub(crate) fn text(epochs: &[EpochMetrics]) -> String {
        let mut text = String::from(
            "epoch,accuracy,loss,val_accuracy,val_loss,learning_rate,training_seconds,validation_seconds\n",
        );
        let optional = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        for e in epochs {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{}",
                e.epoch,
                e.accuracy,
                e.loss,
                optional(e.val_accuracy),
                optional(e.val_loss),
                e.learning_rate,
                e.training_seconds,
                e.validation_seconds
            );
        }
        text
    }
}

/// Keras' `ReduceLROnPlateau` without cooldown and minimal rate: multiplies the learning rate by `factor` after every
/// `patience` epochs in a row, within a call of `fit`, whose value does not improve on the best one by more than
/// `min_delta`. Keras' defaults are `factor: 0.1, patience: 10, min_delta: 1e-4`.
///
/// PyTorch waits one epoch longer, so its `patience=2` is `patience: 3` here; its threshold is relative to the best value
/// (`threshold=1e-4`), unless `threshold_mode="abs"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceOnPlateau {
    /// The compared metric.
    #[serde(default)]
    pub monitor: Monitor,
    /// Between 0 and 1.
    pub factor: f64,
    /// Epochs without improvement before the rate falls, at least 1.
    pub patience: usize,
    /// The smallest change that counts as an improvement, in the metric's unit, at least 0. Default in JSON: 0.
    #[serde(default)]
    pub min_delta: f64,
}

impl ReduceOnPlateau {
    /// The factor on the learning rate after these epochs of a call of `fit`. Depends on them only, so that a resumed
    /// training has the same.
    pub fn factor_after(&self, epochs: &[EpochMetrics]) -> f64 {
        let (mut best, mut waited, mut factor) = (self.monitor.worst(), 0, 1.0);
        for value in epochs.iter().filter_map(|epoch| self.monitor.value(epoch)) {
            if self.monitor.improves_by(self.min_delta, value, best) {
                (best, waited) = (value, 0);
            } else {
                waited += 1;
                if waited >= self.patience {
                    factor *= self.factor;
                    waited = 0;
                }
            }
        }
        factor
    }
}

/// Keras' `ModelCheckpoint(save_best_only=True)`. The file holds weights and history, but not the optimiser's state,
/// which is twice as large, so such a model can be trained with `fit`, but not resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestCheckpoint {
    /// The file (safetensors), replaced atomically. The model keeps the best value so far for each file.
    pub path: PathBuf,
    /// The compared metric.
    #[serde(default)]
    pub monitor: Monitor,
}

/// Keras' `EarlyStopping` without baseline. Each call of `fit` starts the count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// The compared metric.
    #[serde(default)]
    pub monitor: Monitor,
    /// Epochs in a row without improvement before the training ends.
    pub patience: usize,
    /// The smallest change that counts as an improvement, in the metric's unit, at least 0. Default in Keras and in
    /// JSON: 0.
    #[serde(default)]
    pub min_delta: f64,
    /// Whether the training ends with the weights of its best epoch, stopped early or not, as in Keras 3. Memory holds them
    /// until then, so a training resumed from a file restores the best of its own epochs. Default: false.
    #[serde(default)]
    pub restore_best_weights: bool,
}

impl EarlyStopping {
    /// Stops after `patience` epochs in which the validation accuracy does not improve.
    pub fn new(patience: usize) -> Self {
        let (monitor, min_delta) = (Monitor::default(), 0.0);
        Self { monitor, patience, min_delta, restore_best_weights: false }
    }

    /// Whether the newest of these epochs is the best.
    pub(crate) fn is_best(&self, epochs: &[EpochMetrics]) -> bool {
        let Some((newest, before)) = epochs.split_last() else { return false };
        let best = before.iter().filter_map(|epoch| self.monitor.value(epoch)).fold(
            self.monitor.worst(),
            |best, value| {
                if self.monitor.improves_by(self.min_delta, value, best) { value } else { best }
            },
        );
        self.monitor
            .value(newest)
            .is_some_and(|value| self.monitor.improves_by(self.min_delta, value, best))
    }

    /// Whether the last `patience` of these epochs did not improve on those before.
    pub fn stops(&self, epochs: &[EpochMetrics]) -> bool {
        let values: Vec<f64> =
            epochs.iter().filter_map(|epoch| self.monitor.value(epoch)).collect();
        let mut best = (self.monitor.worst(), 0);
        for (index, value) in values.iter().enumerate() {
            if self.monitor.improves_by(self.min_delta, *value, best.0) {
                best = (*value, index + 1);
            }
        }
        values.len() > best.1 && values.len() - best.1 >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(losses: &[f64]) -> Vec<EpochMetrics> {
        let metrics =
            |loss: &f64| EpochMetrics { val_loss: Some(*loss), ..EpochMetrics::default() };
        losses.iter().map(metrics).collect()
    }

    #[test]
    fn early_stopping_waits_for_its_patience() {
        let stopping = EarlyStopping { monitor: Monitor::ValidationLoss, ..EarlyStopping::new(2) };
        assert!(!stopping.stops(&epochs(&[0.5, 0.4])));
        assert!(!stopping.stops(&epochs(&[0.5, 0.4, 0.45])));
        assert!(stopping.stops(&epochs(&[0.5, 0.4, 0.45, 0.41])));
        assert!(!stopping.stops(&epochs(&[0.5, 0.4, 0.45, 0.39])));
        assert!(
            EarlyStopping { min_delta: 0.01, ..stopping }.stops(&epochs(&[0.5, 0.4, 0.45, 0.391]))
        );
    }

    #[test]
    fn the_rate_falls_after_each_plateau() {
        let epochs = epochs(&[0.5, 0.4, 0.41, 0.42, 0.43, 0.44, 0.3]);
        let plateau = ReduceOnPlateau {
            monitor: Monitor::ValidationLoss,
            factor: 0.5,
            patience: 2,
            min_delta: 0.0,
        };
        let factors: Vec<f64> = (0..=7).map(|n| plateau.factor_after(&epochs[..n])).collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    /// The rates that `keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2, min_delta=0.01)` of Keras
    /// 3.15 sets after these losses, from a rate of 1: 0.395 is better than 0.4 by too little.
    #[test]
    fn an_improvement_smaller_than_min_delta_counts_as_none() {
        let epochs = epochs(&[0.5, 0.4, 0.395, 0.392, 0.38, 0.375, 0.372]);
        let plateau = ReduceOnPlateau {
            monitor: Monitor::ValidationLoss,
            factor: 0.5,
            patience: 2,
            min_delta: 0.01,
        };
        let factors: Vec<f64> = (1..=7).map(|n| plateau.factor_after(&epochs[..n])).collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn a_loss_that_is_no_number_counts_the_same_after_a_file() {
        let epochs = epochs(&[0.5, f64::NAN, f64::NAN, f64::INFINITY, 0.6]);
        let text = serde_json::to_string(&epochs).unwrap();
        let read: Vec<EpochMetrics> = serde_json::from_str(&text).unwrap();
        assert!(read[1].val_loss.is_some_and(f64::is_nan), "{text}");
        assert_eq!(read[3].val_loss, Some(f64::INFINITY));
        let plateau = ReduceOnPlateau {
            monitor: Monitor::ValidationLoss,
            factor: 0.5,
            patience: 2,
            min_delta: 0.0,
        };
        assert_eq!([&epochs, &read].map(|e| plateau.factor_after(e)), [0.25, 0.25]);
        let without = EpochMetrics { val_loss: None, ..EpochMetrics::default() };
        let text = serde_json::to_string(&without).unwrap();
        assert_eq!(serde_json::from_str::<EpochMetrics>(&text).unwrap(), without);
    }
}
