//! Libraries that studies run as separate programs, in Python and other languages.
//!
//! All programs read the same [`Job`], which contains the graph that every backend builds. A Python library has two
//! files: an interpreter of the graph in the library's own layers, and a program that loads images, trains and tests
//! as the library's users do. `common.py` runs the phases and traces values. This crate embeds the files, so that an
//! installation needs no checkout.
//!
//! Several entries may share a program: a *variant* is a program with settings ([`Reference::variant`]), for example
//! Keras on JAX. A Python library may be named with a version (`python-pytorch@1.13`), which may have an
//! environment of its own.

mod environment;
mod list;
mod rust;

pub use environment::Python;
pub use list::*;
pub use rust::{BURN, CANDLE, RUST};

use crate::error::Error;
use crate::record::Record;
use benchbook_backend::{About, Compute, Convention};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A library that a study runs as a separate program.
#[derive(Clone)]
pub struct Reference {
    /// The library's names, colour and command to install.
    pub about: About,
    /// The formulas of the optimisers.
    pub convention: Convention,
    /// Whether the library supports the settings, on a GPU (`true`) or a processor; the error names the unsupported setting.
    pub supports: fn(&Compute, bool) -> Result<(), &'static str>,
    /// The program, which trains and writes the trace that a job requests.
    pub program: Program,
    /// Whether several processes, started by `torchrun`, can train together.
    pub has_ranks: bool,
    /// Whether the program writes [`Job::profile`].
    pub has_profile: bool,
    /// The settings that make this library a variant of its program: [`Job::variant`].
    pub variant: &'static [(&'static str, &'static str)],
}

/// The kind of a program.
#[derive(Clone, Copy)]
pub enum Program {
    /// Python files.
    Python(Python),
    /// The name of an executable.
    Executable(&'static str),
}

/// A file's name and text.
pub type File = (&'static str, &'static str);

/// The job of a reference, as JSON in a file. The file's name is the program's only argument.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// The requested conditions and the machine.
    pub record: Record,
    /// The path of the record to write.
    pub output: PathBuf,
    /// [`Reference::variant`].
    pub variant: BTreeMap<&'static str, &'static str>,
    /// The net: `benchbook_nets::Net` as JSON, with every shape and parameter.
    pub net: serde_json::Value,
    /// Class names in the order of their numbers.
    pub class_names: Vec<String>,
    /// An image folder with `train/<class>`, `validation/<class>` and optionally `test`.
    pub data: PathBuf,
    /// Starting weights: safetensors with the names and shapes of the net's parameters.
    pub start: PathBuf,
    /// Whether the base is frozen.
    pub freeze: bool,
    /// `rescaled`, `torchvision` or `caffe`.
    pub preprocessing: &'static str,
    /// Images per batch.
    pub batch_size: usize,
    /// Images per batch of the phase test.
    pub test_batch_size: usize,
    /// Epochs.
    pub epochs: usize,
    /// Batches per epoch; `None` for one pass over the images.
    pub steps_per_epoch: Option<usize>,
    /// Whether each epoch ends with a validation.
    pub validate: bool,
    /// The [`Compute`] settings, by their names in a job.
    pub compute: serde_json::Value,
    /// The optimiser with its settings, by their names in a job.
    pub optimizer: serde_json::Value,
    /// The learning rate.
    pub learning_rate: f64,
    /// Seed of the order and of dropout.
    pub seed: u64,
    /// CPU threads within one operation.
    pub threads: usize,
    /// Processes that train together.
    pub ranks: usize,
    /// Processes (PyTorch) or threads (TensorFlow) that decode images.
    pub loader_threads: usize,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The images of every batch of every epoch, as paths, in the same order for all libraries.
    pub order: Vec<Vec<Vec<PathBuf>>>,
    /// The trace to write.
    pub trace: Option<Question>,
    /// The profile of ten more training steps to write.
    pub profile: Option<PathBuf>,
    /// The conditions that the reference must state, as places in the record, and whether each is optional.
    pub states: BTreeMap<&'static str, bool>,
}

/// Requests a trace from given batches and weights. The process writes an [`Answer`] as JSON and the arrays of a
/// [`Trace`](crate::agreement::Trace).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The batches as 32-bit floats: `pixels` `[steps, batch, …input]`, `labels` `[steps, batch]`, and for the n-th
    /// dropout layer, from 0, `factors.n` `[steps, batch, …output]`.
    pub batches: PathBuf,
    /// The weights: safetensors with the names and shapes of the net's parameters.
    pub start: PathBuf,
    /// The weights from which the process started its training; `None` if it only computes the trace.
    pub before: Option<PathBuf>,
    /// Number of training steps.
    pub steps: usize,
    /// The learning rate of these steps, as a [share](crate::agreement::rate_share) of the job's.
    pub rate_share: f64,
    /// The step after which changes are compared.
    pub changes_after: usize,
    /// The path of the arrays to write: `logits`, `gradient.NAME` and `change.NAME`, each a [sample](crate::agreement::sample).
    pub arrays: PathBuf,
    /// The path of the answer to write.
    pub output: PathBuf,
}

/// A process's answer to a [`Question`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The library's version, as in its records.
    pub version: String,
    /// [`Trace::omitted`](crate::agreement::Trace::omitted).
    #[serde(default)]
    pub omitted: Vec<String>,
    /// Differences of the library's objects from the job, as text.
    #[serde(default)]
    pub deviations: Vec<String>,
    /// The losses of the steps; `null` if not finite.
    pub losses: Vec<Option<f64>>,
    /// [`Record::step_seconds`], with the job's batch size.
    #[serde(default)]
    pub step_seconds: Vec<f64>,
    /// Parameters that training has not changed.
    #[serde(default)]
    pub unchanged: Vec<String>,
}

impl Job {
    /// Writes the job as JSON.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Json`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).map_err(|source| Error::Json {
            what: "a reference's job",
            path: path.into(),
            source,
        })?;
        std::fs::write(path, text).map_err(|source| Error::File {
            action: "write",
            path: path.into(),
            source,
        })
    }
}

impl Reference {
    /// Finds the program.
    ///
    /// # Errors
    /// A message with the searched places, what is missing, and how to install it.
    pub fn installed(&self) -> Result<PathBuf, String> {
        match self.program {
            Program::Python(python) => python.find(self.about.install),
            Program::Executable(name) => rust::find(name, self.about.install),
        }
    }

    /// Writes a Python program's files into a folder and returns the one to start; `None` for an executable.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, folder: &Path) -> Result<Option<PathBuf>, Error> {
        let Program::Python(python) = self.program else { return Ok(None) };
        python.write(folder)?;
        Ok(Some(folder.join(python.files[0].0)))
    }

    /// Returns the library in another version, which runs in its own environment. Entries are created once and live as long
    /// as the process.
    ///
    /// # Errors
    /// A message if the library has only one version, or the version is not a number.
    pub fn at(&'static self, version: &str) -> Result<&'static Self, String> {
        static KNOWN: Mutex<Vec<&'static Reference>> = Mutex::new(Vec::new());
        let About { id, name, .. } = self.about;
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let Program::Python(python) = self.program else {
            return Err(format!("`{id}` has only one version; remove `@{version}`"));
        };
        if !version.split('.').all(number) {
            return Err(format!(
                "the version must be numbers, as in `{id}@1.13` (got `{id}@{version}`)"
            ));
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let full = format!("{id}@{version}");
        if let Some(found) = known.iter().find(|known| known.about.id == full) {
            return Ok(*found);
        }
        let text = |text: String| &*text.leak();
        let about = About {
            name: text(format!("{name} {version}")),
            install: text(format!("environment/references {full}")),
            id: text(full),
            ..self.about
        };
        let program = Program::Python(Python { version: Some(text(version.to_owned())), ..python });
        let made: &'static Self = Box::leak(Box::new(Self { about, program, ..self.clone() }));
        known.push(made);
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(reference: &Reference) -> Python {
        match reference.program {
            Program::Python(python) => python,
            Program::Executable(_) => panic!("{} is no Python program", reference.about.id),
        }
    }

    #[test]
    fn a_program_lists_its_differences_from_the_tutorials_first() {
        for reference in PYTHON {
            let (name, text) = python(reference).files[0];
            let head = text.split("\"\"\"").nth(1).unwrap();
            assert!(head.contains("https://") && head.contains("Differences"), "{name}: {head}");
        }
    }

    #[test]
    fn the_programs_are_written_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        for reference in PYTHON {
            let python = python(reference);
            python.write(&folder.path().join("deep")).unwrap();
            for (name, text) in python.files {
                let written = std::fs::read_to_string(folder.path().join("deep").join(name));
                assert_eq!(written.unwrap(), *text);
            }
        }
    }

    #[test]
    fn a_version_is_a_library_of_its_own_and_made_once() {
        let old = PYTORCH.at("1.13").unwrap();
        let About { id, name, install, .. } = old.about;
        assert_eq!([id, name], ["python-pytorch@1.13", "PyTorch 1.13"]);
        assert_eq!(install, "environment/references python-pytorch@1.13");
        assert!(std::ptr::eq(old, PYTORCH.at("1.13").unwrap()));
        assert!(!std::ptr::eq(old, PYTORCH.at("2.11").unwrap()));
        for wrong in ["", "new", "1.", "1.13; rm"] {
            assert!(
                PYTORCH.at(wrong).is_err_and(|error| error.contains("python-pytorch@1.13")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn keras_supports_only_what_tensorflow_leaves_open() {
        for (compute, on_cpu, on_gpu) in [
            (Compute::common(false), true, true),
            (Compute::common(true), true, true),
            (Compute::default(), true, false),
            (Compute { channels_last: true, ..Compute::common(false) }, false, false),
        ] {
            let supports = |on_gpu| (KERAS.supports)(&compute, on_gpu).is_ok();
            assert_eq!([supports(false), supports(true)], [on_cpu, on_gpu], "{compute:?}");
            assert!((PYTORCH.supports)(&compute, true).is_ok());
        }
    }
}
