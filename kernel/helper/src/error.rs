//! What training, testing and recording can report.

use crate::backend::{BackendError, ParametersError};
use crate::download::DownloadError;
use crate::interrupt::Interrupted;
use benchbook_data::DataError;
use benchbook_nets::{NetError, Shape};
use benchbook_weights::WeightsError;
use std::path::PathBuf;

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
    /// The net is code that cannot be trained.
    #[error("the net `{net}` must have {expected}")]
    Code {
        /// The net's name.
        net: String,
        /// What it must have, and what was found.
        expected: String,
    },
    /// Weights cannot be read, written or used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Weights that do not fit the net.
    #[error(transparent)]
    Parameters(ParametersError),
    /// Weights cannot be downloaded.
    #[error(transparent)]
    Download(DownloadError),
    /// The library failed.
    #[error(transparent)]
    Backend(BackendError),
    /// A folder, a picture or a loader's setting.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A chart that cannot be drawn.
    #[error(transparent)]
    Chart(#[from] benchbook_chart::Error),
    /// A record or a study.
    #[error(transparent)]
    Study(#[from] benchbook_study::Error),
    /// Training diverged.
    #[error(
        "training stopped in epoch {epoch} at step {step}: expected a finite loss, found {loss} with \
         learning rate {rate} (try a smaller one); the model keeps the weights from before this step \
         and the history of {}", epochs(*kept)
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
    /// A batch of one sample, of which batch normalisation cannot take the variance.
    #[error(
        "epoch {epoch}, step {step}: the batch has one sample, and `{layer}` normalises each value over the batch, \
         which takes at least two (found `batch_size` {batch_size}); choose a `batch_size` that leaves no batch of one, \
         or use `layer_norm`"
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
    /// Training has left weights with which nothing can be computed.
    #[error(
        "training diverged: {found} (learning rate {rate}; try a smaller one){}; the model keeps these weights \
         and the history of {}: load a checkpoint or build the net anew", of_weights(parameter), epochs(*kept)
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
    /// The weights were not finite when something was to be computed with them.
    #[error(
        "expected finite weights for {wanted}, found NaN or infinity in `{parameter}`: an earlier training \
         diverged, or the file of the weights holds them; load a checkpoint or build the net anew"
    )]
    WeightsNotFinite {
        /// What was asked for.
        wanted: String,
        /// The parameter.
        parameter: String,
    },
    /// Finite weights have given a result that is none.
    #[error(
        "expected a finite {what}, found {found}: all weights are finite, but the net's outputs overflow, as after a \
         training with too large a learning rate; load a checkpoint or build the net anew"
    )]
    ResultNotFinite {
        /// The result, and of which pictures.
        what: String,
        /// NaN or an infinity.
        found: f64,
    },
    /// The data has another number of classes than the net.
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
    /// Samples of another shape than the net's input.
    #[error("`{net}` takes inputs of shape {expected}, got {found:?} from the split \"{split}\"")]
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
    /// Pictures of other classes than those that the model has learned.
    #[error(
        "expected the split \"{split}\" to have the classes that the model was trained on, {expected:?}, \
         found {found:?} (give pictures of no known class no labels: `Split::new`)"
    )]
    OtherClasses {
        /// The split.
        split: String,
        /// The model's.
        expected: Vec<String>,
        /// The split's.
        found: Vec<String>,
    },
    /// Pictures without a class where one is needed.
    #[error("expected labelled pictures in the split \"{split}\", found some without a class")]
    Unlabelled {
        /// The split.
        split: String,
    },
    /// A setting outside its range, or two that exclude each other.
    #[error("expected {name} to be {expected}, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value as it arrived.
        found: String,
    },
    /// A run is asked for something that it has not measured yet.
    #[error(
        "expected the phase `{missing}` before {wanted}, found none (call `run.{missing}(…)` first)"
    )]
    Phase {
        /// What was asked for.
        wanted: &'static str,
        /// The phase that is missing.
        missing: &'static str,
    },
    /// A file that holds no model of ours.
    #[error("expected a model saved by `save`, found {found}: {}", path.display())]
    NoModel {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A model that was computed where, or as, this machine cannot.
    #[error(
        "cannot load {} where it was saved: {source}; `Model::load_on(path, device, compute)` \
         computes elsewhere", path.display()
    )]
    NotHere {
        /// The file.
        path: PathBuf,
        /// What is missing.
        source: BackendError,
    },
    /// A record, job or table that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A job or record whose JSON does not fit.
    #[error("expected {what} in {}: {source}", path.display())]
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
