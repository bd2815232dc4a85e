//! The errors of models, runs and jobs.

use crate::backend::{BackendError, ParametersError};
use crate::download::DownloadError;
use crate::interrupt::Interrupted;
use benchbook_data::DataError;
use benchbook_nets::{NetError, Shape};
use benchbook_weights::WeightsError;
use std::path::{Path, PathBuf};

/// A failure of a model, a run or a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user interrupted the cell. What was trained so far is kept.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The net cannot be built.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The net's own code cannot be trained.
    #[error("the net `{net}` must have {expected}")]
    Code {
        /// The net's name.
        net: String,
        /// What the net must have, and what was found.
        expected: String,
    },
    /// Weights cannot be read, written or used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The weights do not fit the net.
    #[error(transparent)]
    Parameters(ParametersError),
    /// Weights cannot be downloaded.
    #[error(transparent)]
    Download(DownloadError),
    /// The backend failed.
    #[error(transparent)]
    Backend(BackendError),
    /// A folder, an image or a setting of the loader is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A chart cannot be drawn.
    #[error(transparent)]
    Chart(#[from] benchbook_chart::Error),
    /// A record or a study failed.
    #[error(transparent)]
    Study(#[from] benchbook_study::Error),
    /// Training diverged.
    #[error(
        "training stopped in epoch {epoch} at step {step}: the loss is {loss} with learning rate {rate}; try a smaller \
         rate (the model keeps the weights from before this step and the history of {})", epochs(*kept)
    )]
    NotFinite {
        /// The epoch, from 1.
        epoch: usize,
        /// The step in the epoch, from 1.
        step: usize,
        /// NaN or an infinity.
        loss: f64,
        /// The learning rate of the step.
        rate: f64,
        /// Complete epochs in the history.
        kept: usize,
    },
    /// A batch has one sample, for which batch normalisation has no variance.
    #[error(
        "epoch {epoch}, step {step}: the batch has one sample, but `{layer}` normalises over the batch and needs at \
         least two; choose a `batch_size` that leaves no batch of one (got {batch_size}), or use `layer_norm`"
    )]
    SingleSample {
        /// From 1.
        epoch: usize,
        /// From 1.
        step: usize,
        /// The layer's name.
        layer: String,
        /// The setting.
        batch_size: usize,
    },
    /// Training has diverged and left weights that are not finite.
    #[error(
        "training diverged: {found} with learning rate {rate}{}; load a checkpoint or build the net again, and try a \
         smaller rate (the model keeps these weights and the history of {})", of_weights(parameter), epochs(*kept)
    )]
    Diverged {
        /// What is not finite: the validation loss or a weight, after which epoch.
        found: String,
        /// The learning rate of the call.
        rate: f64,
        /// A parameter that holds NaN or an infinity.
        parameter: Option<String>,
        /// Complete epochs in the history.
        kept: usize,
    },
    /// A result cannot be computed, because weights are not finite.
    #[error(
        "cannot compute the {wanted}: `{parameter}` holds NaN or infinity, from the weights file or from a training that \
         diverged; load a checkpoint or build the net again"
    )]
    WeightsNotFinite {
        /// The result.
        wanted: String,
        /// The parameter.
        parameter: String,
    },
    /// A result is not finite although all weights are.
    #[error(
        "the {what} is {found}: all weights are finite, but the net's outputs overflow, as after a training with too \
         large a learning rate; load a checkpoint or build the net again"
    )]
    ResultNotFinite {
        /// The result, with its split or sample.
        what: String,
        /// NaN or an infinity.
        found: f64,
    },
    /// The numbers of classes of data and net differ.
    #[error(
        "`{net}` has {expected} classes, got {}: {classes:?}; build the net for `data.classes()`", classes.len()
    )]
    ClassCount {
        /// The net's name.
        net: String,
        /// Its number of classes.
        expected: usize,
        /// The classes of the data.
        classes: Vec<String>,
    },
    /// The shapes of samples and the net's input differ.
    #[error(
        "`{net}` takes inputs of shape {expected}, got {found:?} from the split \"{split}\"; build the net for that shape"
    )]
    SampleShape {
        /// The net's name.
        net: String,
        /// Its input.
        expected: Shape,
        /// The split.
        split: String,
        /// The shape of its samples.
        found: Vec<usize>,
    },
    /// The classes of a split are not those of the training.
    #[error(
        "the split \"{split}\" must have the classes of the training, {expected:?} (got {found:?}); leave images of \
         unknown classes without a label (`Split::new`)"
    )]
    OtherClasses {
        /// The split.
        split: String,
        /// The model's.
        expected: Vec<String>,
        /// The split's.
        found: Vec<String>,
    },
    /// Images have no class, but the call needs one.
    #[error(
        "every image of the split \"{split}\" needs a class, got images without; label them, or call `predict`"
    )]
    Unlabelled {
        /// The split.
        split: String,
    },
    /// A setting outside its range, or two that exclude each other.
    #[error("`{name}` must be {expected} (got {found})")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its valid values.
        expected: &'static str,
        /// The given value.
        found: String,
    },
    /// A run lacks the phase that a call needs.
    #[error("`Run::{wanted}` needs the phase `{missing}`; call `run.{missing}(…)` first")]
    Phase {
        /// The method.
        wanted: &'static str,
        /// The missing phase.
        missing: &'static str,
    },
    /// A file is not a saved model.
    #[error("{} is not a model of `Model::save`: it holds {found}", path.display())]
    NoModel {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A model was saved on a device, or with settings, that this machine lacks.
    #[error(
        "cannot load {} with its saved device and settings: {source}; choose others with \
         `Model::load_on(path, device, compute)`", path.display()
    )]
    NotHere {
        /// The file.
        path: PathBuf,
        /// What is missing.
        source: BackendError,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The JSON of a file is wrong.
    #[error("cannot read {what} from {}: {source}", path.display())]
    Json {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
}

fn epochs(count: usize) -> String {
    if count == 1 { "1 epoch".into() } else { format!("{count} epochs") }
}

fn of_weights(parameter: &Option<String>) -> String {
    parameter
        .as_ref()
        .map(|name| format!(", and `{name}` holds NaN or infinity"))
        .unwrap_or_default()
}

impl Error {
    /// Makes [`Error::File`] of an error of the file system, as `map_err` needs it.
    pub(crate) fn file<E: Into<std::io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl Fn(E) -> Self {
        move |source| Error::File { action, path: path.into(), source: source.into() }
    }
}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Parameters(error) => Error::Parameters(error),
            other => Error::Backend(other),
        }
    }
}

impl From<DownloadError> for Error {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Interrupted(interrupted) => Error::Interrupted(interrupted),
            other => Error::Download(other),
        }
    }
}
