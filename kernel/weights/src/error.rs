//! What can be wrong with a weight file.

use std::fmt;
use std::path::PathBuf;

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("cannot read the weights {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is damaged, or of another format.
    #[error("expected {expected}, got {problem}: {}", path.display())]
    Format {
        /// What the file should be.
        expected: &'static str,
        /// What it is.
        problem: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor is not of floats that fit into 32 bits.
    #[error(
        "tensor `{name}` must hold floats of 32 or 16 bits, got {found}; convert it before saving: {}",
        path.display()
    )]
    Kind {
        /// The tensor.
        name: String,
        /// What its values are.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The tensors are another net's.
    #[error("the weights do not fit the net `{net}`: {mismatch}: {}", path.display())]
    Mismatch {
        /// The net's name.
        net: String,
        /// The tensors that do not fit.
        mismatch: Box<Mismatch>,
        /// The file.
        path: PathBuf,
    },
    /// The tensors can be given to the net in more than one way.
    #[error("cannot tell which weights belong to which layer of the net `{net}`: {problem}: {}", path.display())]
    Ambiguous {
        /// The net's name.
        net: String,
        /// What is ambiguous, and what to do.
        problem: String,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the weights {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A tensor's name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// For example `features.0.weight`.
    pub name: String,
    /// Lengths of the axes, in the layout of [`benchbook_backend::Parameters`].
    pub shape: Vec<usize>,
}

impl fmt::Display for TensorShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {:?}", self.name, self.shape)
    }
}

/// The first tensors, in the order of the net and of the file, that do not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// The net has it, the file lacks it.
    pub missing: Option<TensorShape>,
    /// The file has it, the net does not.
    pub surplus: Option<TensorShape>,
    /// Both have it, with the net's shape here, and the file's.
    pub reshaped: Option<(TensorShape, Vec<usize>)>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some((expected, got)) = &self.reshaped {
            parts.push(format!("tensor {expected} has the shape {got:?} in the file"));
        }
        if let Some(missing) = &self.missing {
            parts.push(format!("the file lacks {missing}"));
        }
        if let Some(surplus) = &self.surplus {
            parts.push(format!("the net has no {surplus}"));
        }
        f.write_str(&parts.join("; "))
    }
}
