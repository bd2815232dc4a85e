//! What can be wrong with a weight file.

use benchbook_nets::Net;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "fields are what the message prints")]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("cannot {action} the weights {}: {source}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The file is damaged, of another format, or does not fit the net.
    #[error("{problem}: {}", path.display())]
    Content { problem: String, path: PathBuf },
}

impl WeightsError {
    /// A file with other content than `expected`.
    pub fn format(expected: &str, got: &str, path: &Path) -> Self {
        Self::content(format!("expected {expected}, got {got}"), path)
    }

    pub(crate) fn content(problem: String, path: &Path) -> Self {
        Self::Content { problem, path: path.into() }
    }

    /// A tensor whose values do not fit into floats of 32 bits.
    pub(crate) fn kind(name: &str, found: &str, path: &Path) -> Self {
        let problem = format!(
            "tensor `{name}` must hold floats of 32 or 16 bits, got {found}; convert it before saving"
        );
        Self::content(problem, path)
    }

    /// Tensors that can be given to the net in more than one way.
    pub(crate) fn ambiguous(net: &Net, problem: &str, path: &Path) -> Self {
        let net = net.name();
        let problem = format!(
            "cannot tell which weights belong to which layer of the net `{net}`: {problem}"
        );
        Self::content(problem, path)
    }

    /// Turns an error of the file system into one that names the file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { action, path: path.into(), source }
    }
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
