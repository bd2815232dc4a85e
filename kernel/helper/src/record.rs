//! What one run was, and what it took: everything that a later comparison must check.

mod environment;
mod memory;
mod show;

pub use environment::Environment;
pub use memory::PeakMemory;
pub(crate) use memory::reset as reset_peak_memory;

use crate::backend::{BackendInfo, Base};
use crate::error::Error;
use crate::files::{read_json, write_atomically};
use crate::model::{Evaluation, Vgg};
use crate::train::{Fit, History};
use benchbook_data::Preprocessing;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The version of the record's form. A reader refuses what is newer than itself.
pub const SCHEMA: u32 = 1;

/// Seconds of the four phases of the report, by a monotonic clock with the device synchronised on
/// both sides. A phase that a run did not do is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// From the folder to the first batch on the device: listing, decoding, resizing, copying.
    pub load: Option<f64>,
    /// From the settings to the net on the device: reading or drawing the weights, copying them.
    pub build: Option<f64>,
    /// All epochs with their validations and checkpoints; decoding during training counts here.
    pub train: Option<f64>,
    /// Predicting the test pictures, from the first file to the last result.
    pub test: Option<f64>,
}

impl Phases {
    /// The phases that were measured, by name, in order.
    pub fn measured(&self) -> Vec<(&'static str, f64)> {
        [("load", self.load), ("build", self.build), ("train", self.train), ("test", self.test)]
            .into_iter()
            .filter_map(|(name, seconds)| seconds.map(|seconds| (name, seconds)))
            .collect()
    }
}

/// What the seconds of `train` were spent on. The rest is bookkeeping and drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainParts {
    /// Steps, with the waiting for input.
    pub training: f64,
    /// Part of `training` in which the net waited for pictures.
    pub input_wait: f64,
    /// Validations.
    pub validation: f64,
    /// Callbacks: writing checkpoints.
    pub callbacks: f64,
    /// Computing the features of a frozen base once.
    pub features: f64,
}

/// Pictures that went through the net, each as often as it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesSeen {
    /// In training steps.
    pub training: usize,
    /// In validations during training.
    pub validation: usize,
    /// In the test.
    pub test: usize,
}

/// Pictures a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Training pictures over the seconds of the training steps. With cached features these steps
    /// run the head alone; the record's `cache_features` says so.
    pub training: Option<f64>,
    /// Training pictures over the whole phase `train`, which is what the report's times amount to.
    pub train_phase: Option<f64>,
    /// Test pictures over the phase `test`.
    pub test: Option<f64>,
}

/// How good the model was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Training loss of the last epoch.
    pub loss: Option<f64>,
    /// Training accuracy of the last epoch.
    pub accuracy: Option<f64>,
    /// Validation loss of the last epoch.
    pub val_loss: Option<f64>,
    /// Validation accuracy of the last epoch.
    pub val_accuracy: Option<f64>,
    /// The evaluations that the run asked for.
    pub evaluations: Vec<Evaluation>,
}

/// The pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
    /// The folder's own name, without the path that leads there.
    pub name: String,
    /// Class names in the order of their numbers.
    pub classes: Vec<String>,
    /// Pictures for training.
    pub training: usize,
    /// Pictures for validation.
    pub validation: usize,
    /// Pictures for the test.
    pub test: usize,
}

/// One measured execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The run's name.
    pub name: String,
    /// When it began: seconds since 1970, UTC.
    pub started: u64,
    /// The library, its version, device, threads and precision.
    pub backend: BackendInfo,
    /// The net as it was asked for: depth, head, size, batch normalisation, dropout, weights, seed.
    /// Files stand here and in `fit` by their names alone, without the folders of this machine.
    pub net: Vgg,
    /// SHA-256 of the weights' file, since its name says little; `None` for random weights.
    pub weights_sha256: Option<String>,
    /// Whether the base learned.
    pub base: Base,
    /// All values of the net.
    pub parameters: usize,
    /// Values that training changed.
    pub trainable_parameters: usize,
    /// `[height, width]` in pixels.
    pub input_size: [usize; 2],
    /// What happened to pixels.
    pub preprocessing: Preprocessing,
    /// The pictures.
    pub data: DataFacts,
    /// The training as it was asked for: batch, optimiser, seed, augmentation, `cache_features`;
    /// `None` if nothing was trained.
    pub fit: Option<Fit>,
    /// The learning rate of the first step; `fit` says how it changes.
    pub learning_rate: Option<f64>,
    /// Whether features of the frozen base were computed once for each picture.
    pub cache_features: bool,
    /// Pictures that went through the net.
    pub images_seen: ImagesSeen,
    /// Changes of the weights.
    pub steps: u64,
    /// Seconds of the phases.
    pub phases: Phases,
    /// What `train` was spent on.
    pub train_parts: TrainParts,
    /// Pictures a second.
    pub throughput: Throughput,
    /// The most memory in use since the run began.
    pub peak_memory: PeakMemory,
    /// How good the model was.
    pub metrics: Metrics,
    /// Each epoch.
    pub history: History,
    /// The machine.
    pub environment: Environment,
    /// The version of Benchbook, and its commit where it is known.
    pub revision: String,
}

/// SHA-256 of a file in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> Result<String, Error> {
    use sha2::{Digest, Sha256};
    let failed = |source| Error::File { action: "read", path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(failed)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The last part of a path.
pub(crate) fn file_name(path: &Path) -> PathBuf {
    path.file_name().map_or_else(|| path.into(), Into::into)
}

/// The package's version and, where whoever started the process told it (`BENCHBOOK_REVISION`), the
/// commit it was built from. A commit found at run time could be another project's.
pub(crate) fn revision() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match std::env::var("BENCHBOOK_REVISION")
        .ok()
        .or(option_env!("BENCHBOOK_REVISION").map(Into::into))
    {
        Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version.into(),
    }
}

impl Record {
    /// What charts name as the source of their numbers: the run's name and when it began.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.started)
    }

    /// Writes the record as JSON, in one move.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Json`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self).map_err(|source| Error::Json {
            what: "a record",
            path: path.into(),
            source,
        })?;
        write_atomically(path, |file| writeln!(file, "{text}")).map_err(|source| Error::File {
            action: "write",
            path: path.into(),
            source,
        })?;
        Ok(path.into())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Json`]; [`Error::Setting`] for a schema newer than [`SCHEMA`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let value: serde_json::Value = read_json(path, "a record")?;
        let json = |source| Error::Json { what: "a record", path: path.into(), source };
        if let Some(schema) = value.get("schema").and_then(serde_json::Value::as_u64)
            && schema > u64::from(SCHEMA)
        {
            return Err(Error::Setting {
                name: "the record's schema",
                expected: "1, the newest that this version reads",
                found: schema.to_string(),
            });
        }
        serde_json::from_value(value).map_err(json)
    }
}
