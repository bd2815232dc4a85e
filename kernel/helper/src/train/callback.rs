//! What happens after an epoch.

use super::EpochMetrics;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
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
    /// Lowers the learning rate when it no longer gets better.
    ReduceOnPlateau(ReduceOnPlateau),
    /// Saves everything that [`Model::resume`](crate::model::Model::resume) needs.
    Checkpoint(Checkpoint),
    /// Writes a table of the epochs.
    CsvLog(CsvLog),
}

impl Callback {
    /// Saves the weights to `path` whenever the validation accuracy is better than before.
    pub fn best_checkpoint(path: impl Into<PathBuf>) -> Self {
        Callback::BestCheckpoint(BestCheckpoint { path: path.into(), monitor: Monitor::default() })
    }

    /// Saves the whole training to `path` after each epoch, so that it can be resumed.
    pub fn checkpoint(path: impl Into<PathBuf>) -> Self {
        Callback::Checkpoint(Checkpoint { path: path.into(), every: 1 })
    }

    /// Ends the training after `patience` epochs without a better validation accuracy.
    pub fn early_stopping(patience: usize) -> Self {
        Callback::EarlyStopping(EarlyStopping { monitor: Monitor::default(), patience })
    }

    /// Writes the epochs to `path` (CSV).
    pub fn csv_log(path: impl Into<PathBuf>) -> Self {
        Callback::CsvLog(CsvLog { path: path.into() })
    }

    /// The file that it writes.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Callback::BestCheckpoint(BestCheckpoint { path, .. })
            | Callback::Checkpoint(Checkpoint { path, .. })
            | Callback::CsvLog(CsvLog { path }) => Some(path),
            Callback::EarlyStopping(_) | Callback::ReduceOnPlateau(_) => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |name, expected, found: String| Err(Error::Setting { name, expected, found });
        match self {
            Callback::Checkpoint(Checkpoint { every: 0, .. }) => {
                wrong("every", "at least 1", "0".into())
            }
            Callback::ReduceOnPlateau(plateau)
                if !(plateau.factor > 0.0 && plateau.factor < 1.0) || plateau.patience == 0 =>
            {
                let expected = "a factor between 0 and 1 and a patience of at least 1";
                wrong("reduce_on_plateau", expected, format!("{plateau:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// The whole training in a file: weights, optimiser's state, history, settings and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The file (safetensors), replaced in one move.
    pub path: PathBuf,
    /// Epochs between two writings; the last epoch is always written.
    #[serde(default = "one")]
    pub every: usize,
}

fn one() -> usize {
    1
}

/// Keras' `CSVLogger`: a line an epoch with `epoch`, `accuracy`, `loss`, `val_accuracy`, `val_loss`,
/// `learning_rate` and the seconds of training and validation. The file is written anew each time,
/// so that a resumed training leaves the same one as an uninterrupted one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CsvLog {
    /// The file.
    pub path: PathBuf,
}

impl CsvLog {
    /// The whole table.
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

/// `ReduceLROnPlateau` of both libraries: the learning rate is multiplied by `factor` after each
/// `patience` epochs without a better value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceOnPlateau {
    /// What is compared.
    #[serde(default)]
    pub monitor: Monitor,
    /// Between 0 and 1.
    pub factor: f64,
    /// Epochs without a better value before the rate falls.
    pub patience: usize,
}

impl ReduceOnPlateau {
    /// The factor on the learning rate after these epochs of a call of `fit`. It follows from them
    /// alone, so that a resumed training has the same.
    pub fn factor_after(&self, epochs: &[EpochMetrics]) -> f64 {
        let (mut best, mut waited, mut factor) = (self.monitor.worst(), 0, 1.0);
        for value in epochs.iter().filter_map(|epoch| self.monitor.value(epoch)) {
            if self.monitor.improves(value, best) {
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

    #[test]
    fn the_rate_falls_after_each_plateau() {
        let epochs: Vec<EpochMetrics> = [0.5, 0.4, 0.41, 0.42, 0.43, 0.44, 0.3]
            .iter()
            .map(|loss| EpochMetrics { val_loss: Some(*loss), ..EpochMetrics::default() })
            .collect();
        let plateau =
            ReduceOnPlateau { monitor: Monitor::ValidationLoss, factor: 0.5, patience: 2 };
        let factors: Vec<f64> = (0..=7).map(|n| plateau.factor_after(&epochs[..n])).collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }
}
