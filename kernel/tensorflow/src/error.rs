//! What can fail in a loaded TensorFlow.

use crate::api::{Api, OK, TF_Status};
use crate::session::Processor;
use std::ffi::CStr;

/// A failure of a net.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// TensorFlow reports a failure.
    #[error("TensorFlow failed in {operation}: {message}")]
    Library {
        /// What it was doing.
        operation: &'static str,
        /// What it says.
        message: String,
    },
    /// The device is not there.
    #[error("expected a device that TensorFlow can use, found none for {processor:?}: {found}")]
    Device {
        /// What was asked for.
        processor: Processor,
        /// What there is.
        found: String,
    },
    /// A layer that cannot follow the one before it.
    #[error("expected {expected} before {layer}, found {found}")]
    Layer {
        /// The layer.
        layer: String,
        /// What it takes.
        expected: String,
        /// What the layers before it give.
        found: String,
    },
    /// A batch of another size than its labels say.
    #[error("expected {expected} values ({what}), found {found}")]
    Length {
        /// What the values are, with their shape.
        what: String,
        /// How many there should be.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// A label that is no class of the net.
    #[error("expected labels from 0 to {last}, found {found}")]
    Label {
        /// The last class.
        last: i64,
        /// The label.
        found: i64,
    },
    /// Values for a parameter that did not come.
    #[error("expected values for `{name}` {shape:?}, found none")]
    MissingParameter {
        /// The parameter.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Features in a training step of a net whose base learns.
    #[error(
        "expected pixels for a training step of a net whose base learns, found features of the base"
    )]
    FeaturesOfLearningBase,
    /// A training step without an optimiser.
    #[error("expected an optimiser before the first training step, found none")]
    NoOptimizer,
}

/// Where the functions of the C API leave their outcome.
pub(crate) struct Status {
    api: &'static Api,
    pub(crate) raw: *mut TF_Status,
}

impl Status {
    pub(crate) fn new(api: &'static Api) -> Self {
        // SAFETY: no arguments.
        let raw = unsafe { (api.TF_NewStatus)() };
        Self { api, raw }
    }

    /// An error unless the call that had this status succeeded.
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), Error> {
        // SAFETY: the status is alive, and so is its text until the next call with it.
        unsafe {
            if (self.api.TF_GetCode)(self.raw) == OK {
                return Ok(());
            }
            let message = CStr::from_ptr((self.api.TF_Message)(self.raw)).to_string_lossy();
            Err(Error::Library { operation, message: first_words(&message) })
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        // SAFETY: made by `new` and deleted once.
        unsafe { (self.api.TF_DeleteStatus)(self.raw) }
    }
}

/// TensorFlow adds where in the graph an operation is from, which says nothing to users of a net.
fn first_words(message: &str) -> String {
    let lines = message.lines().take_while(|line| !line.starts_with("\t [[") && !line.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}
