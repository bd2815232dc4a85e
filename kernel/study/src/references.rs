//! The Python programs that studies compare with. They are part of this library, so that an installation
//! needs no checkout to find them.
//!
//! All of them read the same [`Job`], and the net in it is the graph that every backend builds. A reference is two
//! files: an interpreter of the graph in its library's own layers, and a program that loads images, trains and tests
//! as that library's users do. `common.py` runs the program's phases, or the check of its losses and gradients.

use crate::error::Error;
use crate::record::Record;
use benchbook_backend::Convention;
use benchbook_chart::Colour;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A Python library that studies compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name in jobs and studies, for example `python-pytorch`.
    pub id: &'static str,
    /// The name in texts and charts, for example `PyTorch`.
    pub name: &'static str,
    /// The colour in every chart.
    pub colour: Colour,
    /// The language that calls the library.
    pub language: &'static str,
    /// The command that installs the library.
    pub install: &'static str,
    /// The formula of its optimisers.
    pub convention: Convention,
    /// The file of the program, which trains or, for a job with [`Job::check`], computes losses and gradients.
    pub program: &'static str,
    /// The file that builds the net from the graph.
    pub interpreter: &'static str,
}

/// All references. A new one is its two files and its entry here.
pub const ALL: [Reference; 2] = [
    Reference {
        id: "python-pytorch",
        name: "PyTorch",
        colour: Colour(0x7e, 0x1f, 0x56),
        language: "Python",
        install: INSTALL,
        convention: Convention::PyTorch,
        program: "reference_pytorch.py",
        interpreter: "net_pytorch.py",
    },
    Reference {
        id: "python-keras",
        name: "Keras",
        colour: Colour(0x12, 0xb8, 0x86),
        language: "Python",
        install: INSTALL,
        convention: Convention::Keras,
        program: "reference_keras.py",
        interpreter: "net_keras.py",
    },
];

const INSTALL: &str = "environment/references";

/// Each file by its name; the programs import from each other.
const FILES: [(&str, &str); 5] = [
    ("common.py", include_str!("../references/common.py")),
    ("net_pytorch.py", include_str!("../references/net_pytorch.py")),
    ("reference_pytorch.py", include_str!("../references/reference_pytorch.py")),
    ("net_keras.py", include_str!("../references/net_keras.py")),
    ("reference_keras.py", include_str!("../references/reference_keras.py")),
];

/// What a reference is told to do, as JSON in a file whose name is its only argument.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// What is known of the run beforehand: the requested conditions, and the machine.
    pub record: Record,
    /// Where the record goes; the losses, if `check` is set.
    pub output: PathBuf,
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
    /// Set for a check of losses and gradients instead of a run.
    pub check: Option<Check>,
}

/// The files of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The batches that all backends are given, as 32-bit floats: `pixels` `[steps, batch, …input]`, `labels`
    /// `[steps, batch]`, and for the n-th dropout layer, from 0, `factors.n` `[steps, batch, …output]`.
    pub batches: PathBuf,
    /// How many steps to train, of the batches that are there.
    pub steps: usize,
    /// Where the gradients go: of the first batch at the starting weights, without dropout.
    pub gradients: PathBuf,
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
    /// The reference with this [`id`](Self::id).
    pub fn find(id: &str) -> Option<&'static Self> {
        ALL.iter().find(|reference| reference.id == id)
    }
}

/// Writes all programs into a folder.
///
/// # Errors
/// [`Error::File`].
pub fn write(folder: &Path) -> Result<(), Error> {
    for (name, text) in FILES {
        let path = folder.join(name);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|source| Error::File { action: "write", path, source })?;
    }
    Ok(())
}

/// The Python that has the originals: `BENCHBOOK_REFERENCES` (an environment's folder), or
/// `.venv-references` in one of `folders` or above the working folder.
///
/// # Errors
/// Where it was looked for, and what to do, in words.
pub fn python(folders: &[PathBuf]) -> Result<PathBuf, String> {
    let in_environment = |folder: &Path| folder.join("bin/python");
    if let Some(folder) = std::env::var_os("BENCHBOOK_REFERENCES") {
        let python = in_environment(Path::new(&folder));
        return if python.exists() {
            Ok(python)
        } else {
            Err(format!("BENCHBOOK_REFERENCES: there is no {}", python.display()))
        };
    }
    let here = std::env::current_dir().unwrap_or_default();
    let above = here.ancestors().map(Path::to_path_buf);
    let mut looked = Vec::new();
    for folder in folders.iter().cloned().chain(above) {
        let python = in_environment(&folder.join(".venv-references"));
        if python.exists() {
            return Ok(python);
        }
        looked.push(folder);
    }
    let first = looked.first().cloned().unwrap_or_default();
    Err(format!(
        "the Python originals are not installed: there is no .venv-references in {} or above; run \
         `environment/references`, or set BENCHBOOK_REFERENCES to an environment with torch and keras",
        first.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        FILES.iter().find(|(file, _)| *file == name).unwrap().1
    }

    #[test]
    fn a_program_lists_its_differences_from_the_tutorials_first() {
        for reference in ALL {
            let head = text(reference.program).split("\"\"\"").nth(1).unwrap();
            assert!(head.contains("https://") && head.contains("Differences"), "{head}");
        }
    }

    #[test]
    fn the_programs_are_written_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("deep")).unwrap();
        for reference in ALL {
            for name in [reference.program, reference.interpreter, "common.py"] {
                let written = std::fs::read_to_string(folder.path().join("deep").join(name));
                assert_eq!(written.unwrap(), text(name));
            }
        }
    }

    #[test]
    fn ids_and_colours_are_unique_and_found() {
        for (index, reference) in ALL.iter().enumerate() {
            assert_eq!(Reference::find(reference.id), Some(reference));
            assert!(ALL[..index].iter().all(|other| other.colour != reference.colour));
        }
        assert_eq!(Reference::find("python-jax"), None);
    }
}
