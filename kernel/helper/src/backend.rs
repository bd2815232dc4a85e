//! The boundary behind which the deep-learning libraries stand.
//!
//! Training, history, records and callbacks know a net only as a [`Network`]: numbers go in and
//! out as slices of `f32` in documented shapes, so that no library's tensor type shows. What all
//! libraries must agree on (the description of the net, its starting weights, the order of pictures,
//! the dropout masks) is made on this side; what they are compared by (how they compute) on theirs.

pub(crate) mod cuda;
pub mod libtorch;
pub mod tensorflow;

use crate::optimizer::Optimizer;
use crate::parameters::{Parameters, WeightsError};
use crate::vgg::{Architecture, ArchitectureError};
use serde::{Deserialize, Serialize};

/// Which library computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    /// PyTorch's C++ library, through the crate `tch`.
    #[default]
    LibTorch,
    /// TensorFlow, through its C API. It is found and opened when it is first used.
    TensorFlow,
}

impl std::str::FromStr for Library {
    type Err = BackendError;

    /// `libtorch` or `tensorflow`. A library that is not built in or not installed is an error and never
    /// replaced by another one.
    fn from_str(text: &str) -> Result<Self, BackendError> {
        let found = Library::ALL.into_iter().find(|library| library.id() == text);
        let library = found.ok_or_else(|| BackendError::NoLibrary { found: text.into() })?;
        library.check_installed().map(|()| library)
    }
}

impl Library {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::LibTorch, Self::TensorFlow];

    /// The name that jobs and studies ask for it by.
    pub fn id(self) -> &'static str {
        match self {
            Library::LibTorch => "libtorch",
            Library::TensorFlow => "tensorflow",
        }
    }

    /// Whether the library is where it is looked for. It is not opened.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`], with the places and how to get it.
    pub fn check_installed(self) -> Result<(), BackendError> {
        match self {
            // This library is linked to it.
            Library::LibTorch => Ok(()),
            Library::TensorFlow => tensorflow::check_installed(),
        }
    }

    /// The library, ready to build nets.
    pub fn backend(self) -> &'static dyn Backend {
        match self {
            Library::LibTorch => &libtorch::LibTorch,
            Library::TensorFlow => &tensorflow::TensorFlow,
        }
    }
}

/// Where a net computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Processor {
    /// The first CUDA GPU if the library sees one, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA GPU of this number, from 0.
    Cuda(usize),
}

/// Whether training changes the convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// Every layer learns.
    #[default]
    Trainable,
    /// Only the head learns; batch normalisation in the base uses its running statistics.
    Frozen,
}

/// The type of the numbers in which convolutions and dense layers are computed. Weights, gradients
/// and optimiser stay 32-bit floats in each case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Float32,
    /// Autocast to bfloat16.
    BFloat16,
    /// Autocast to 16-bit floats, with the loss scaled so that small gradients do not vanish
    /// (PyTorch's `GradScaler`).
    Float16,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Precision::Float32 => "float32",
            Precision::BFloat16 => "bfloat16 autocast",
            Precision::Float16 => "float16 autocast",
        })
    }
}

/// How a library computes where it leaves a choice. The defaults are PyTorch's own. What a library
/// or a device does not have is an error, never ignored.
///
/// Tested on the CPU: precisions, loss scaling, channels last, TF32's switches. Not run yet, for want
/// of a GPU: pinned memory, asynchronous copies, and what the others do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compute {
    /// Default: 32-bit floats.
    pub precision: Precision,
    /// Whether a GPU may use TF32 for matrix products (`torch.backends.cuda.matmul.allow_tf32`).
    /// Holds for the process. Default: false.
    pub tf32_matmul: bool,
    /// Whether a GPU may use TF32 for convolutions (`torch.backends.cudnn.allow_tf32`). Holds for
    /// the process. Default: true.
    pub tf32_convolutions: bool,
    /// Whether cuDNN tries several algorithms and takes the fastest
    /// (`torch.backends.cudnn.benchmark`). Holds for the process. Default: false.
    pub cudnn_benchmark: bool,
    /// Whether pictures and convolutions lie in memory with the channel changing fastest
    /// (`memory_format=torch.channels_last`). Default: false.
    pub channels_last: bool,
    /// Whether batches are put into page-locked memory first (`DataLoader(pin_memory=True)`). For a
    /// GPU only. Default: false.
    pub pinned_memory: bool,
    /// Whether the copy to a GPU is only ordered and not waited for (`to(device,
    /// non_blocking=True)`), which needs pinned memory. Default: false.
    pub asynchronous_copies: bool,
}

impl Default for Compute {
    fn default() -> Self {
        Self {
            precision: Precision::Float32,
            tf32_matmul: false,
            tf32_convolutions: true,
            cudnn_benchmark: false,
            channels_last: false,
            pinned_memory: false,
            asynchronous_copies: false,
        }
    }
}

impl Compute {
    /// 32-bit floats, with or without TF32, as every library can be asked for them: on a GPU TensorFlow always tries
    /// several of cuDNN's algorithms, and has one switch for both kinds of TF32. On the processor nothing changes.
    pub fn common(tf32: bool) -> Self {
        Self {
            tf32_matmul: tf32,
            tf32_convolutions: tf32,
            cudnn_benchmark: true,
            ..Self::default()
        }
    }

    /// The same in 32-bit floats without TF32.
    pub fn exact(self) -> Self {
        Self { precision: Precision::Float32, tf32_matmul: false, tf32_convolutions: false, ..self }
    }
}

/// What a backend needs to know to build a net.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The layers.
    pub architecture: Architecture,
    /// Whether the base learns.
    pub base: Base,
    /// Where to compute.
    pub processor: Processor,
    /// CPU threads within one operation; `None` leaves the library's choice. With LibTorch the setting
    /// holds for the whole process, since it has no narrower one.
    pub threads: Option<usize>,
    /// How the library computes where it leaves a choice.
    pub compute: Compute,
}

/// What a record says about the library that computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendInfo {
    /// For example `LibTorch`.
    pub name: String,
    /// The library's version.
    pub version: String,
    /// For example `cpu` or `cuda:0`.
    pub device: String,
    /// CPU threads within one operation.
    pub threads: usize,
    /// The type of the numbers, for example `float32`.
    pub precision: String,
}

/// A failure inside a library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The net cannot exist.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// The weights do not fit the net.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// No such library.
    #[error("expected a library that this build has (libtorch, tensorflow), found {found}")]
    NoLibrary {
        /// The name that was asked for.
        found: String,
    },
    /// The library is not installed, or cannot be used.
    #[error("{source}")]
    Unavailable {
        /// What was looked for, where, and how to get it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two libraries with CUDA in one process.
    #[error(
        "expected one CUDA library in a process, found {library} asked for a GPU beside {owner}, which \
         has CUDA here already; compute on the CPU (processor: Processor::Cpu), or run {library} in a \
         process of its own: a study gives each library one, and so does `benchbook bench`"
    )]
    SecondCudaLibrary {
        /// Who asks.
        library: &'static str,
        /// Who has CUDA.
        owner: &'static str,
    },
    /// The device is not there.
    #[error("expected a device that {library} can use, found none for {processor:?}: {found}")]
    Device {
        /// The library.
        library: &'static str,
        /// What was asked for.
        processor: Processor,
        /// What there is.
        found: String,
    },
    /// A setting that the library or the device does not have.
    #[error("expected {option} to be {expected}, found {found} with {library}")]
    Option {
        /// The library, and the device if it is the reason.
        library: String,
        /// The setting.
        option: &'static str,
        /// What it can be there.
        expected: &'static str,
        /// What was asked for.
        found: String,
    },
    /// A batch of another size than its labels say.
    #[error("expected {expected} values ({what}), found {found}")]
    BatchLength {
        /// What the values are, with their shape.
        what: String,
        /// How many there should be.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// A training step before [`Network::compile`].
    #[error(
        "expected an optimiser before the first training step, found none (compile the network first)"
    )]
    NoOptimizer,
    /// The library reports a failure.
    #[error("{library} failed in {operation}: {message}")]
    Library {
        /// The library.
        library: &'static str,
        /// What it was doing.
        operation: &'static str,
        /// What it says.
        message: String,
    },
}

/// Pictures of a batch, as the backend takes them.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Preprocessed pixels, `[batch, 3, height, width]`.
    Pixels(&'a [f32]),
    /// Outputs of the frozen base from [`Network::features`], `[batch, channels, height, width]`.
    Features(&'a [f32]),
}

/// One training step's settings.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Learning rate.
    pub rate: f64,
    /// Seed of the dropout masks of this step (see [`dropout_mask`]).
    pub seed: u64,
    /// Factors on the loss of pictures of class 0 and 1. The mean is taken as the head's library
    /// does: Keras divides by the number of pictures, PyTorch's cross-entropy by the sum of the
    /// pictures' factors. Validation ignores them.
    pub class_weights: Option<[f32; 2]>,
}

impl Step {
    /// A step without class weights.
    pub fn new(rate: f64, seed: u64) -> Self {
        Self { rate, seed, class_weights: None }
    }
}

/// What a step measured on its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Mean loss over the batch.
    pub loss: f64,
    /// Pictures whose most probable class is theirs.
    pub correct: usize,
}

/// A library that can build nets.
pub trait Backend: Sync {
    /// For example `LibTorch`.
    fn name(&self) -> &'static str;

    /// The version of the loaded library.
    fn version(&self) -> String;

    /// Copies values to the device and waits until they are there, so that the phase `load` can end
    /// where the first step could begin.
    ///
    /// # Errors
    /// [`BackendError::Device`], [`BackendError::Library`].
    fn upload(&self, values: &[f32], processor: Processor) -> Result<(), BackendError>;

    /// Builds a net with the given weights.
    ///
    /// # Errors
    /// [`BackendError`]: an impossible net, weights that do not fit, a missing device.
    fn build(&self, plan: &Plan, weights: &Parameters) -> Result<Box<dyn Network>, BackendError>;
}

/// A net on a device.
pub trait Network: Send {
    /// The library, its device and its settings.
    fn info(&self) -> BackendInfo;

    /// Sets the optimiser. The state of the former one is kept if it is the same optimiser, and
    /// dropped otherwise.
    fn compile(&mut self, optimizer: Optimizer);

    /// One forward and backward pass and one change of the weights. If the loss is not finite, the
    /// weights and the optimiser's state stay as they were and the loss is returned.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::NoOptimizer`], [`BackendError::Library`].
    fn train_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
        step: Step,
    ) -> Result<Outcome, BackendError>;

    /// Loss and correct pictures without dropout and without learning.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn evaluate_step(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Outcome, BackendError>;

    /// The head's outputs for `batch` pictures before sigmoid or softmax, without dropout,
    /// `[batch, 1]` or `[batch, 2]`.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn logits(&mut self, input: Input<'_>, batch: usize) -> Result<Vec<f32>, BackendError>;

    /// Probability of class 1 for each of `batch` pictures: the sigmoid of one logit, or the softmax
    /// of two.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn predict(&mut self, input: Input<'_>, batch: usize) -> Result<Vec<f32>, BackendError> {
        let logits = self.logits(input, batch)?;
        let sigmoid = |logit: f32| 1.0 / (1.0 + (-logit).exp());
        Ok(match logits.len() / batch.max(1) {
            1 => logits.into_iter().map(sigmoid).collect(),
            // The softmax of two values is the sigmoid of their difference.
            _ => logits.chunks_exact(2).map(|pair| sigmoid(pair[1] - pair[0])).collect(),
        })
    }

    /// Outputs of the base in inference mode for `batch` pictures, `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn features(&mut self, pixels: &[f32], batch: usize) -> Result<Vec<f32>, BackendError>;

    /// Gradients of the mean loss at the present weights without dropout, for what learns.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn gradients(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Parameters, BackendError>;

    /// The weights in the layout of [`crate::parameters`].
    ///
    /// # Errors
    /// [`BackendError::Library`].
    fn parameters(&self) -> Result<Parameters, BackendError>;

    /// The name of a parameter that holds NaN or an infinity; `None` if all are finite.
    ///
    /// # Errors
    /// [`BackendError::Library`].
    fn not_finite(&self) -> Result<Option<String>, BackendError> {
        let arrays = self.parameters()?.arrays;
        let mut names = arrays
            .into_iter()
            .filter(|(_, array)| array.values.iter().any(|value| !value.is_finite()));
        Ok(names.next().map(|(name, _)| name))
    }

    /// Replaces the weights.
    ///
    /// # Errors
    /// [`BackendError::Weights`], [`BackendError::Library`].
    fn set_parameters(&mut self, weights: &Parameters) -> Result<(), BackendError>;

    /// What the optimiser remembers, by the names of the parameters with a suffix.
    ///
    /// # Errors
    /// [`BackendError::Library`].
    fn optimizer_state(&self) -> Result<Parameters, BackendError>;

    /// Replaces what the optimiser remembers; what is missing starts afresh.
    ///
    /// # Errors
    /// [`BackendError::Library`], [`BackendError::Weights`].
    fn set_optimizer_state(&mut self, state: &Parameters) -> Result<(), BackendError>;

    /// Waits until the device has done everything that it was given.
    fn synchronize(&self);

    /// The most device memory in use since the last reset, in bytes; `None` where the library does
    /// not tell.
    fn peak_device_memory(&self) -> Option<u64>;
}

/// Factors of a dropout layer: 0 with probability `rate`, otherwise 1/(1−`rate`). They come from
/// the seed alone, so that every backend drops the same values and a resumed training the same as
/// an uninterrupted one; and a library's own generator, which a notebook may use, is left alone.
pub fn dropout_mask(count: usize, rate: f64, seed: u64, layer: usize) -> Vec<f32> {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(layer as u64);
    let kept = (1.0 / (1.0 - rate)) as f32;
    let limit = (rate * 4_294_967_296.0) as u32;
    (0..count).map(|_| if generator.next_u32() < limit { 0.0 } else { kept }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropout_mask_keeps_the_mean_and_depends_on_seed_and_layer() {
        let mask = dropout_mask(100_000, 0.25, 7, 0);
        let dropped = mask.iter().filter(|factor| **factor == 0.0).count();
        // 25,000 expected with a standard deviation of √(100000·0.25·0.75) = 137.
        assert!((24_400..=25_600).contains(&dropped), "{dropped}");
        assert!(mask.iter().all(|factor| *factor == 0.0 || (*factor - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(mask, dropout_mask(100_000, 0.25, 7, 0));
        assert_ne!(mask, dropout_mask(100_000, 0.25, 8, 0));
        assert_ne!(mask, dropout_mask(100_000, 0.25, 7, 1));
        assert!(dropout_mask(10, 0.0, 7, 0).iter().all(|factor| *factor == 1.0));
    }
}
