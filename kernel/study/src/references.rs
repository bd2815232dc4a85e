//! The Python programs that studies compare with. They are part of this library, so that an installation
//! needs no checkout to find them.
//!
//! All of them read the same [`Job`], and the net in it is the graph that every backend builds. A reference is two
//! files: an interpreter of the graph in its library's own layers, and a program that loads images, trains and tests
//! as that library's users do. `common.py` runs the program's phases, and traces what it computes.

use crate::error::Error;
use crate::record::Record;
use benchbook_backend::{About, Compute, Convention, Precision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A Python library that studies compare with.
pub struct Reference {
    /// The library's names, colour and command to install.
    pub about: About,
    /// The formula of its optimisers.
    pub convention: Convention,
    /// Which settings the library supports, on a GPU or not; otherwise the reason.
    pub supports: fn(&Compute, bool) -> Result<(), &'static str>,
    /// The program, which trains, and leaves the trace that a job asks for.
    pub program: File,
    /// Builds the net from the graph.
    pub interpreter: File,
}

/// A file's name and text.
type File = (&'static str, &'static str);

/// Both programs import it.
const COMMON: File = ("common.py", include_str!("../references/common.py"));

/// PyTorch's tutorials.
pub static PYTORCH: Reference = Reference {
    about: About {
        id: "python-pytorch",
        name: "PyTorch",
        language: "Python",
        colour: [0x7e, 0x1f, 0x56],
        install: INSTALL,
        variables: &[],
    },
    convention: Convention::PyTorch,
    supports: |_, _| Ok(()),
    program: ("reference_pytorch.py", include_str!("../references/reference_pytorch.py")),
    interpreter: ("net_pytorch.py", include_str!("../references/net_pytorch.py")),
};

/// Keras' tutorials, on TensorFlow.
pub static KERAS: Reference = Reference {
    about: About {
        id: "python-keras",
        name: "Keras",
        language: "Python",
        colour: [0x12, 0xb8, 0x86],
        install: INSTALL,
        variables: &[("KERAS_BACKEND", "tensorflow")],
    },
    convention: Convention::Keras,
    supports: |compute, on_gpu| {
        let Compute { precision, tf32_matmul, tf32_convolutions, cudnn_benchmark, .. } = *compute;
        let free = if on_gpu {
            // There is one switch for both kinds of TF32, and cuDNN always tries its algorithms.
            let tf32_matmul = tf32_convolutions;
            Compute { tf32_matmul, tf32_convolutions, cudnn_benchmark: true, ..Compute::default() }
        } else {
            Compute { tf32_matmul, tf32_convolutions, cudnn_benchmark, ..Compute::default() }
        };
        let precision = match precision {
            Precision::Float64 => precision,
            Precision::Float32 | Precision::BFloat16 | Precision::Float16 => Precision::Float32,
        };
        let free = Compute { precision, ..free };
        let reason = "a build.compute other than TensorFlow's own (on a GPU cudnn_benchmark, and one switch for TF32)";
        if *compute == free { Ok(()) } else { Err(reason) }
    },
    program: ("reference_keras.py", include_str!("../references/reference_keras.py")),
    interpreter: ("net_keras.py", include_str!("../references/net_keras.py")),
};

const INSTALL: &str = "environment/references";

/// What a reference is told to do, as JSON in a file whose name is its only argument.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// What is known of the run beforehand: the requested conditions, and the machine.
    pub record: Record,
    /// Where the record goes.
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
    /// Writes the programs into a folder.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        for (name, text) in [COMMON, self.program, self.interpreter] {
            let path = folder.join(name);
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, text))
                .map_err(|source| Error::File { action: "write", path, source })?;
        }
        Ok(())
    }
}

/// The Python that has the originals: `BENCHBOOK_REFERENCES` (an environment's folder), or `.venv-references` in the
/// checkout that this was installed from (`BENCHBOOK_CHECKOUT`), in the working folder or above it.
///
/// # Errors
/// Where it was looked for, and what to do, in words.
pub fn python() -> Result<PathBuf, String> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let folders: Vec<PathBuf> = match variable("BENCHBOOK_REFERENCES") {
        Some(chosen) => vec![chosen],
        None => {
            let here = std::env::current_dir().unwrap_or_default();
            let checkout = variable("BENCHBOOK_CHECKOUT").into_iter();
            let folders = checkout.chain(here.ancestors().map(Path::to_path_buf));
            folders.map(|folder| folder.join(".venv-references")).collect()
        }
    };
    let mut pythons = folders.iter().map(|folder| folder.join("bin/python"));
    pythons.find(|python| python.exists()).ok_or_else(|| {
        format!(
            "the Python originals are not installed: there is no {}/bin/python{}; run `{INSTALL}` and leave \
             BENCHBOOK_REFERENCES unset, or set it to an environment with torch and keras",
            folders[0].display(),
            if folders.len() > 1 { ", nor one in the working folder or above" } else { "" }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_lists_its_differences_from_the_tutorials_first() {
        for reference in [&PYTORCH, &KERAS] {
            let head = reference.program.1.split("\"\"\"").nth(1).unwrap();
            assert!(head.contains("https://") && head.contains("Differences"), "{head}");
        }
    }

    #[test]
    fn the_programs_are_written_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        for reference in [&PYTORCH, &KERAS] {
            reference.write(&folder.path().join("deep")).unwrap();
            for (name, text) in [reference.program, reference.interpreter, COMMON] {
                let written = std::fs::read_to_string(folder.path().join("deep").join(name));
                assert_eq!(written.unwrap(), text);
            }
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
