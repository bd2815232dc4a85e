//! Errors of backends.

use crate::device::Device;
use crate::parameters::ParametersError;

/// An error of a backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The weights do not fit the net.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The library is not installed, or cannot be used.
    #[error("{source}")]
    Unavailable {
        /// The searched files and folders, and how to install the library.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An operation that the library does not have.
    #[error("{library} cannot compute layer `{layer}`: {reason}")]
    Operation {
        /// The library.
        library: &'static str,
        /// The layer's name.
        layer: String,
        /// The reason.
        reason: String,
    },
    /// Two libraries with CUDA in one process.
    #[error(
        "{library} cannot use a GPU in this process, in which {owner} already uses CUDA: two CUDA libraries in a \
         process disturb each other; set `device` to the CPU, or run {library} in a process of its own: a study gives \
         each library one, and so does `benchbook bench`"
    )]
    SecondCudaLibrary {
        /// Which library needs a GPU.
        library: &'static str,
        /// Which library has CUDA.
        owner: &'static str,
    },
    /// The device is not there.
    #[error("{library} cannot use the device {device}: {found}")]
    Device {
        /// The library.
        library: &'static str,
        /// The requested device.
        device: Device,
        /// The reason, or the devices that the library sees.
        found: String,
    },
    /// A setting that the library or the device does not have.
    #[error("`{option}` must be {expected} with {library}, got {found}")]
    Option {
        /// The library, and the device if it is the reason.
        library: String,
        /// The setting.
        option: &'static str,
        /// The supported value.
        expected: &'static str,
        /// The requested value.
        found: String,
    },
    /// A batch whose number of values does not match its labels.
    #[error("{what} must have {expected} values, got {found}")]
    BatchLength {
        /// What the values are, with their shape.
        what: String,
        /// Required number of values.
        expected: usize,
        /// Number of values received.
        found: usize,
    },
    /// A label out of range.
    #[error("label {label} of example {index} in the batch is out of range: the net has {classes} classes (0 to {})", classes - 1)]
    Label {
        /// The label.
        label: i64,
        /// The example's index in the batch, from 0.
        index: usize,
        /// Classes of the net.
        classes: usize,
    },
    /// Features of a net without a base.
    #[error(
        "the net has no base whose features could be computed; mark its end in the graph (`base`)"
    )]
    NoBase,
    /// Held inputs of another net, or of another number of examples.
    #[error(
        "held inputs must belong to this net, one per label; call `hold` on this net with the batch first"
    )]
    NotHeld,
    /// Features for a trainable base.
    #[error("the base must be frozen to train on its features; set `frozen: true`")]
    TrainableBase,
    /// A training step before [`Network::compile`](crate::Network::compile).
    #[error("the first training step needs an optimiser; call `compile` first")]
    NoOptimizer,
    /// A failure that the library reports.
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
