//! The description of a whole run, for `benchbook bench` and studies, which use the same [`Run`] as notebooks.

use crate::backend::Rank;
use crate::error::Error;
use crate::files::read_json;
use crate::model::{Build, Model, Predictions};
use crate::record::Record;
use crate::run::Run;
use crate::train::{Callback, Fit, Silent};
use benchbook_data::{FolderOptions, ImageFolder};
use benchbook_nets::Named;
use benchbook_study::runner::PHASE;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The settings of a run. JSON needs only `data`.
///
/// ```json
/// {
///   "name": "report",
///   "data": "datasets/drawings",
///   "net": { "architecture": "vgg16", "size": 224, "batch_norm": true },
///   "build": { "backend": "tensorflow", "device": "cpu" },
///   "fit": { "epochs": 3, "batch_size": 32, "optimizer": { "name": "sgd", "momentum": 0.9 } }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The run's name in its record. Default: `job`.
    #[serde(default = "default_name")]
    pub name: String,
    /// An image folder: `train/<class>`, `validation/<class>`, optional `test/`; Kaggle's
    /// flat layout; or class folders without a split.
    pub data: PathBuf,
    /// How to split a folder without a validation part.
    #[serde(default)]
    pub folder: FolderOptions,
    /// The net: an architecture with its settings, or a graph. Default: the report's VGG16.
    #[serde(default)]
    pub net: Named,
    /// The settings of the model.
    #[serde(default)]
    pub build: Build,
    /// The settings of the training.
    #[serde(default)]
    pub fit: Fit,
    /// The CSV file for the predictions for the test images. Default: none.
    #[serde(default)]
    pub predictions: Option<PathBuf>,
    /// The file for the record. Default: none.
    #[serde(default)]
    pub record: Option<PathBuf>,
    /// Whether net and loader are also measured separately at the end ([`Run::rates`]). Default: false.
    #[serde(default)]
    pub rates: bool,
}

fn default_name() -> String {
    "job".into()
}

impl Job {
    /// Sixteen hexadecimal digits that identify the job.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written as JSON.
    pub(crate) fn digest(&self) -> Result<String, Error> {
        let text = serde_json::to_vec(self).map_err(Error::file("write", "a job".as_ref()))?;
        Ok(crate::record::digest(text)[..16].into())
    }

    /// The job for its record, which may be published: without output paths, and with only the last part of absolute paths.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written as JSON.
    pub(crate) fn published(&self) -> Result<serde_json::Value, Error> {
        let job = Self { record: None, predictions: None, ..self.clone() };
        let mut job = serde_json::to_value(job).map_err(Error::file("write", "a job".as_ref()))?;
        without_folders(&mut job);
        Ok(job)
    }

    /// A job on a folder with defaults.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            name: default_name(),
            data: data.into(),
            folder: FolderOptions::default(),
            net: Named::default(),
            build: Build::default(),
            fit: Fit::default(),
            predictions: None,
            record: None,
            rates: false,
        }
    }

    /// Reads a job from a JSON file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Json`] with line and column, also for a misspelt field.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        read_json(path.as_ref(), "a job")
    }
}

/// Shortens each absolute path to its last part.
fn without_folders(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) if Path::new(text).is_absolute() => {
            let name = Path::new(text).file_name().unwrap_or_default();
            *text = name.to_string_lossy().into_owned();
        }
        Value::Array(parts) => parts.iter_mut().for_each(without_folders),
        Value::Object(parts) => parts.values_mut().for_each(without_folders),
        _ => {}
    }
}

/// The results of a job.
pub struct Finished {
    /// The record.
    pub record: Record,
    /// The trained model.
    pub model: Model,
    /// The model's predictions for the test images, or for the validation images if there are none.
    pub predictions: Predictions,
}

/// Runs a job through the phases load, build, train and test, then evaluates the model on the validation images.
///
/// # Errors
/// As the calls of [`Run`], and [`Error::File`] for output files.
pub fn run(job: &Job, callback: &mut dyn Callback) -> Result<Record, Error> {
    run_whole(job, callback).map(|finished| finished.record)
}

/// [`run`], with the model and its predictions.
///
/// # Errors
/// As [`run`].
pub fn run_whole(job: &Job, callback: &mut dyn Callback) -> Result<Finished, Error> {
    if job.rates && job.build.ranks > 1 {
        let (name, expected) = ("rates", "false with several ranks, whose clocks differ");
        return Err(Error::Setting { name, expected, found: "true".into() });
    }
    let mut run = Run::new(&job.name);
    let is_first = job.build.rank().is_first();
    let announce = |phase| announce(job.build.rank(), phase);
    // Before the phase is announced, which excludes it from the phase's energy and CPU time.
    crate::run::wake(&job.build)?;
    announce("load");
    let (data, _batch) = run.load_with(&job.data, job.folder, &job.net, &job.build, &job.fit)?;
    announce("build");
    let mut model = run.build(&job.net, &data, job.build.clone())?;
    announce("train");
    run.train_with(&mut model, &data, job.fit.clone(), callback)?;
    announce("end");
    let split = if data.test().is_empty() { data.validation() } else { data.test() };
    announce("test");
    let predictions = run.test(&mut model, &split)?;
    announce("end");
    // After the test, which it would speed up.
    run.evaluate(&mut model, &data.validation())?;
    if job.rates {
        run.rates(&mut model, &data)?;
    }
    if let Some(path) = &job.predictions
        && is_first
    {
        predictions.write_csv(path)?;
    }
    let record = Record { job: Some(job.published()?), ..run.record(&mut model)? };
    if let Some(path) = &job.record
        && is_first
    {
        record.write(path)?;
    }
    Ok(Finished { record, model, predictions })
}

/// Trains ten more steps on images as in the training, and writes what LibTorch does in them.
///
/// # Errors
/// As [`Model::fit`]; [`Error::Backend`] for the file.
pub(crate) fn profile(job: &Job, model: &mut Model, file: &Path) -> Result<(), Error> {
    let data = ImageFolder::open_with(&job.data, job.folder)?;
    let fit = Fit {
        epochs: 1,
        steps_per_epoch: Some(10),
        validate: false,
        callbacks: Vec::new(),
        ..job.fit.clone()
    };
    let on_gpu = model.backend().device != "cpu";
    let mut trained = Ok(());
    crate::backend::profile(on_gpu, file, &mut || {
        let fitted = model.fit_with(&data, fit.clone(), &mut Silent);
        trained = fitted.and_then(|_| Ok(model.network().synchronize()?));
    })?;
    trained
}

/// Whether this process is a run of a study, which reads its standard output.
pub(crate) fn is_studied() -> bool {
    std::env::var_os(STUDIED).is_some()
}

/// Set for the processes of a study.
pub(crate) const STUDIED: &str = "BENCHBOOK_STUDY";

/// Announces a phase to the study. With several ranks, only the first one does.
pub(crate) fn announce(rank: Rank, phase: &str) {
    if is_studied() && rank.is_first() {
        println!("{PHASE}{phase}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Weights;

    #[test]
    fn a_published_job_names_no_folder_of_the_machine_and_is_read_back() {
        let mut job = Job::new("/home/somebody/photos");
        job.build.weights = Weights::File("/home/somebody/vgg16.pth".into());
        job.record = Some("/tmp/record.json".into());
        job.fit.epochs = 7;
        let published = job.published().unwrap();
        assert!(!published.to_string().contains('/'), "{published}");
        let back: Job = serde_json::from_value(published).unwrap();
        assert_eq!((back.data, back.record, back.fit.epochs), ("photos".into(), None, 7));
        assert_eq!(back.build.weights, Weights::File("vgg16.pth".into()));
        let near = Job::new("datasets/drawings").published().unwrap();
        assert_eq!(near["data"], "datasets/drawings");
    }
}
