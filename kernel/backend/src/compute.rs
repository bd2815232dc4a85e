//! Settings that change how a library computes.

use serde::{Deserialize, Serialize};

/// The type of the numbers in which convolutions and dense layers are computed. Weights, gradients
/// and optimiser are 64-bit floats with `Float64` and 32-bit floats otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Float32,
    /// 64-bit floats: about half as fast on a CPU. A study's check uses them.
    Float64,
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
            Precision::Float64 => "float64",
            Precision::BFloat16 => "bfloat16 autocast",
            Precision::Float16 => "float16 autocast",
        })
    }
}

/// Settings that change how a library computes. The defaults are PyTorch's own. A setting that a library
/// or a device lacks is an error, never ignored.
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
    /// Whether images and convolutions lie in memory with the channel changing fastest
    /// (`memory_format=torch.channels_last`). Default: false.
    pub channels_last: bool,
    /// Whether batches are put into page-locked memory first (`DataLoader(pin_memory=True)`). For a
    /// GPU only. Default: false.
    pub pinned_memory: bool,
    /// Whether copies to a GPU are asynchronous (`to(device,
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
    /// 32-bit floats, with or without TF32, in a form that every library supports: on a GPU TensorFlow always tries
    /// several of cuDNN's algorithms, and has one switch for both kinds of TF32. On the CPU nothing changes.
    pub fn common(tf32: bool) -> Self {
        Self {
            tf32_matmul: tf32,
            tf32_convolutions: tf32,
            cudnn_benchmark: true,
            ..Self::default()
        }
    }

    /// 64-bit floats on the processor, and nothing else that a library might choose.
    pub fn exact() -> Self {
        Self {
            precision: Precision::Float64,
            tf32_matmul: false,
            tf32_convolutions: false,
            ..Self::default()
        }
    }
}
