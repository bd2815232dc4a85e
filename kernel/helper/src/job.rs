//! A whole run as one description: what `benchbook bench` and studies execute.
//!
//! A job goes through the same [`Run`] as the calls of a notebook.

use crate::error::Error;
use crate::files::read_json;
use crate::model::{Build, Model, Predictions};
use crate::record::Record;
use crate::run::Run;
use crate::train::{Callback, Fit};
use benchbook_data::FolderOptions;
use benchbook_nets::Named;
use benchbook_study::runner::PHASE;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What to run. In JSON only `data` is needed; every other field has a default.
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
    /// How to divide a folder without a validation part.
    #[serde(default)]
    pub folder: FolderOptions,
    /// The net: an architecture with its settings, or a graph. Default: the report's VGG16.
    #[serde(default)]
    pub net: Named,
    /// How it is built.
    #[serde(default)]
    pub build: Build,
    /// The training.
    #[serde(default)]
    pub fit: Fit,
    /// Where to write the predictions for the test pictures as CSV. Default: nowhere.
    #[serde(default)]
    pub predictions: Option<PathBuf>,
    /// Where to write the record. Default: nowhere.
    #[serde(default)]
    pub record: Option<PathBuf>,
    /// Whether net and loader are also measured each by itself, after everything else (see
    /// [`Run::rates`]). Default: false.
    #[serde(default)]
    pub rates: bool,
}

fn default_name() -> String {
    "job".into()
}

impl Job {
    /// Sixteen digits that are equal for equal jobs.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written as JSON.
    pub(crate) fn digest(&self) -> Result<String, Error> {
        use sha2::{Digest, Sha256};
        let text = serde_json::to_vec(self).map_err(|error| Error::File {
            action: "write",
            path: "a job".into(),
            source: error.into(),
        })?;
        Ok(crate::record::hexadecimal(&Sha256::digest(text)[..8]))
    }

    /// The job as its record keeps it: without the places of its outputs, and of an absolute path only the last name, so
    /// that a published record tells nothing of the machine's folders.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written as JSON.
    pub(crate) fn published(&self) -> Result<serde_json::Value, Error> {
        let job = Self { record: None, predictions: None, ..self.clone() };
        let failed = |error: serde_json::Error| Error::File {
            action: "write",
            path: "a job".into(),
            source: error.into(),
        };
        let mut job = serde_json::to_value(job).map_err(failed)?;
        without_folders(&mut job);
        Ok(job)
    }

    /// A job on a folder with the defaults of everything else.
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

/// Leaves the last name of each absolute path.
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

/// What a job leaves behind beside its record.
pub struct Finished {
    /// The record.
    pub record: Record,
    /// The trained model.
    pub model: Model,
    /// What it says of the test pictures, or of the validation pictures where there are none.
    pub predictions: Predictions,
}

/// Runs a job through all four phases: load, build, train, test. An evaluation on the validation
/// images goes after the test.
///
/// # Errors
/// As the calls of [`Run`], and [`Error::File`] for what it is asked to write.
pub fn run(job: &Job, callback: &mut dyn Callback) -> Result<Record, Error> {
    run_whole(job, callback).map(|finished| finished.record)
}

/// [`run`], with the model and its predictions.
///
/// # Errors
/// As [`run`].
pub fn run_whole(job: &Job, callback: &mut dyn Callback) -> Result<Finished, Error> {
    let mut run = Run::new(&job.name);
    // Before the phase is announced, so that its energy and processor time are without it.
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
    // After the test, which it would warm.
    run.evaluate(&mut model, &data.validation())?;
    if job.rates {
        run.rates(&mut model, &data)?;
    }
    if let Some(path) = &job.predictions {
        predictions.write_csv(path)?;
    }
    let record = Record { job: Some(job.published()?), ..run.record(&mut model)? };
    if let Some(path) = &job.record {
        record.write(path)?;
    }
    Ok(Finished { record, model, predictions })
}

/// Whether this process is a run of a study, whose standard output is read by whoever started it.
pub(crate) fn is_studied() -> bool {
    std::env::var_os(STUDIED).is_some()
}

/// Set for the processes of a study.
pub(crate) const STUDIED: &str = "BENCHBOOK_STUDY";

/// Tells the study which phase begins.
pub(crate) fn announce(phase: &str) {
    if is_studied() {
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
