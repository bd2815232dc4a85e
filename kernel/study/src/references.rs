//! Libraries that studies run as programs of their own: Python's, and others.
//!
//! All programs read the same [`Job`], and the net in it is the graph that every backend builds. A Python library is two
//! files: an interpreter of the graph in its library's own layers, and a program that loads images, trains and tests
//! as that library's users do. `common.py` runs the program's phases, and traces what it computes. The files are part of
//! this library, so that an installation needs no checkout to find them.
//!
//! Several entries may share a program: a *variant* is a program with settings ([`Reference::variant`]), for example
//! Keras on JAX. A Python library may be named with a version (`python-pytorch@1.13`), which may have an
//! environment of its own.

mod environment;
mod list;

pub use environment::Python;
pub use list::*;

use crate::error::Error;
use crate::record::Record;
use benchbook_backend::{About, Compute, Convention};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A library that a study runs as a program of its own.
#[derive(Clone)]
pub struct Reference {
    /// The library's names, colour and command to install.
    pub about: About,
    /// The formula of its optimisers.
    pub convention: Convention,
    /// Which settings the library supports, on a GPU or not; otherwise the reason.
    pub supports: fn(&Compute, bool) -> Result<(), &'static str>,
    /// The program, which trains, and leaves the trace that a job asks for.
    pub program: Program,
    /// The settings that make this library a variant of its program: [`Job::variant`].
    pub variant: &'static [(&'static str, &'static str)],
}

/// What is started.
#[derive(Clone, Copy)]
pub enum Program {
    /// Files that a Python runs.
    Python(Python),
    /// An executable, whose path the function returns; without it, where it was searched and how to get it, in words.
    Executable(fn() -> Result<PathBuf, String>),
}

/// A file's name and text.
pub type File = (&'static str, &'static str);

/// What a reference is told to do, as JSON in a file whose name is its only argument.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// What is known of the run beforehand: the requested conditions, and the machine.
    pub record: Record,
    /// Where the record goes.
    pub output: PathBuf,
    /// [`Reference::variant`].
    pub variant: BTreeMap<&'static str, &'static str>,
    /// The net: `benchbook_nets::Net` as JSON, with every shape and parameter.
    pub net: serde_json::Value,
    /// Class names in the order of their numbers.
    pub class_names: Vec<String>,
    /// An image folder with `train/<class>`, `validation/<class>` and perhaps `test`.
    pub data: PathBuf,
    /// Starting weights: safetensors with the names and shapes of the net's parameters.
    pub start: PathBuf,
    /// Whether the base keeps its weights.
    pub freeze: bool,
    /// `rescaled`, `torchvision` or `caffe`.
    pub preprocessing: &'static str,
    /// Images in a batch.
    pub batch_size: usize,
    /// Images in a batch of the phase test.
    pub test_batch_size: usize,
    /// Epochs.
    pub epochs: usize,
    /// Batches in an epoch; `None` for one pass over the images.
    pub steps_per_epoch: Option<usize>,
    /// Whether each epoch ends with a validation.
    pub validate: bool,
    /// How the library computes where it leaves a choice, by the names in the job's JSON.
    pub compute: serde_json::Value,
    /// The optimiser with its settings, by their names in the job's JSON.
    pub optimizer: serde_json::Value,
    /// The learning rate.
    pub learning_rate: f64,
    /// Seed of the order and of dropout.
    pub seed: u64,
    /// CPU threads within one operation.
    pub threads: usize,
    /// Processes (PyTorch) or threads (TensorFlow) that decode.
    pub loader_threads: usize,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The images of every batch of every epoch, as paths: the order in which all libraries train.
    pub order: Vec<Vec<Vec<PathBuf>>>,
    /// The trace to leave.
    pub trace: Option<Question>,
    /// The places in the record of the conditions that the reference itself states, and whether it may lack them.
    pub states: BTreeMap<&'static str, bool>,
}

/// Asks a process what it computes of common batches from common weights. It answers with the [`Answer`] as JSON and the
/// arrays of a [`Trace`](crate::agreement::Trace).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The batches as 32-bit floats: `pixels` `[steps, batch, …input]`, `labels` `[steps, batch]`, and for the n-th
    /// dropout layer, from 0, `factors.n` `[steps, batch, …output]`.
    pub batches: PathBuf,
    /// The weights: safetensors with the names and shapes of the net's parameters.
    pub start: PathBuf,
    /// The weights from which the process trained before; `None` if it only computes the trace.
    pub before: Option<PathBuf>,
    /// How many steps to train.
    pub steps: usize,
    /// After how many of them changes are compared.
    pub changes_after: usize,
    /// Where the arrays go: `logits`, `gradient.NAME` and `change.NAME`, each a [sample](crate::agreement::sample).
    pub arrays: PathBuf,
    /// Where the answer goes.
    pub output: PathBuf,
}

/// What a process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The library's version, as its records have it.
    pub version: String,
    /// [`Trace::omitted`](crate::agreement::Trace::omitted).
    #[serde(default)]
    pub omitted: Vec<String>,
    /// What differs from the job in the library's own objects, in words.
    #[serde(default)]
    pub deviations: Vec<String>,
    /// The losses of the steps; `null` for those that are not finite.
    pub losses: Vec<Option<f64>>,
    /// Seconds of training steps on one batch of the job's size that is in memory already.
    #[serde(default)]
    pub step_seconds: Vec<f64>,
    /// Parameters that training has left exactly as they were.
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
    /// Where the program is.
    ///
    /// # Errors
    /// Where it was searched, what is missing, and how to get it, in words.
    pub fn installed(&self) -> Result<PathBuf, String> {
        match self.program {
            Program::Python(python) => python.find(self.about.install),
            Program::Executable(find) => find(),
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

    /// The library in a version, in the environment that has it. Each version is made once and lasts as long as the
    /// process.
    ///
    /// # Errors
    /// That a library has no versions, or that this is none, in words.
    pub fn at(&'static self, version: &str) -> Result<&'static Self, String> {
        static KNOWN: Mutex<Vec<&'static Reference>> = Mutex::new(Vec::new());
        let About { id, name, .. } = self.about;
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let Program::Python(python) = self.program else {
            return Err(format!("`{id}` is there in one version only; received `{id}@{version}`"));
        };
        if !version.split('.').all(number) {
            return Err(format!(
                "a version is numbers, as in `{id}@1.13`; received `{id}@{version}`"
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
