//! The Python programs that studies compare with. They are part of this library, so that an installation
//! needs no checkout to find them.

use crate::error::Error;
use crate::record::Record;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A Python original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// PyTorch and torchvision.
    PyTorch,
    /// Keras 3 on TensorFlow.
    Keras,
}

/// Each file by its name; the programs import from each other.
const FILES: [(&str, &str); 9] = [
    ("common.py", include_str!("../references/common.py")),
    ("net_pytorch.py", include_str!("../references/net_pytorch.py")),
    ("pictures_pytorch.py", include_str!("../references/pictures_pytorch.py")),
    ("reference_pytorch.py", include_str!("../references/reference_pytorch.py")),
    ("check_pytorch.py", include_str!("../references/check_pytorch.py")),
    ("net_keras.py", include_str!("../references/net_keras.py")),
    ("pictures_keras.py", include_str!("../references/pictures_keras.py")),
    ("reference_keras.py", include_str!("../references/reference_keras.py")),
    ("check_keras.py", include_str!("../references/check_keras.py")),
];

/// What a reference is told to do, as JSON in a file whose name is its only argument.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// What is known of the run beforehand: the conditions that were asked for, and the machine.
    pub record: Record,
    /// Where the record goes; the losses, if `check` is set.
    pub output: PathBuf,
    /// An image folder with `train/<class>`, `validation/<class>` and perhaps `test`.
    pub data: PathBuf,
    /// Starting weights: safetensors in torchvision's names and layout.
    pub start: PathBuf,
    /// Height and width of the pictures in pixels.
    pub size: usize,
    /// `Keras` or `PyTorch`.
    pub head: String,
    /// Dropout rate of the head.
    pub dropout: f64,
    /// Whether the convolutions stay as they are.
    pub freeze: bool,
    /// `rescaled`, `torchvision` or `caffe`.
    pub preprocessing: &'static str,
    /// Pictures in a batch.
    pub batch_size: usize,
    /// Pictures in a batch of the phase test.
    pub test_batch_size: usize,
    /// Epochs.
    pub epochs: usize,
    /// Batches in an epoch; `None` for one pass over the pictures.
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
    /// Set for a check of gradients instead of a run.
    pub check: Option<Check>,
}

/// The files of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The batches that all backends are given: `pixels` `[steps, batch, 3, height, width]`, `labels`
    /// `[steps, batch]`, and the dropout's `factors` `[steps, batch, width]`.
    pub batches: PathBuf,
    /// How many steps to train, of the batches that are there.
    pub steps: usize,
    /// Where the gradients go.
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
    /// Both.
    pub const ALL: [Self; 2] = [Self::PyTorch, Self::Keras];

    /// The name that studies ask for it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::PyTorch => "python-pytorch",
            Self::Keras => "python-keras",
        }
    }

    /// The file of the program that trains.
    pub fn program(self) -> &'static str {
        match self {
            Self::PyTorch => "reference_pytorch.py",
            Self::Keras => "reference_keras.py",
        }
    }

    /// The file of the program that computes losses and gradients from the common start.
    pub fn check(self) -> &'static str {
        match self {
            Self::PyTorch => "check_pytorch.py",
            Self::Keras => "check_keras.py",
        }
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

    #[test]
    fn a_reference_is_under_100_lines_and_lists_its_differences_first() {
        for (name, text) in FILES {
            assert!(text.lines().count() < 100, "{name} has {} lines", text.lines().count());
        }
        for reference in Reference::ALL {
            let (_, text) = FILES.iter().find(|(name, _)| *name == reference.program()).unwrap();
            let head = text.split("\"\"\"").nth(1).unwrap();
            assert!(head.contains("https://") && head.contains("Differences"), "{head}");
        }
    }

    #[test]
    fn the_programs_are_written_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("deep")).unwrap();
        for reference in Reference::ALL {
            for name in [reference.program(), reference.check(), "common.py"] {
                assert!(folder.path().join("deep").join(name).exists(), "{name}");
            }
        }
    }
}
