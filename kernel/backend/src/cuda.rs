//! One CUDA library per process.
//!
//! PyTorch and TensorFlow bring different releases of cuDNN under the same file name, and each manages the whole
//! memory of a GPU. The first library that uses CUDA therefore keeps it, and a second one is an error. On the CPU all
//! libraries work beside each other.

use crate::error::BackendError;
use std::sync::OnceLock;

static OWNER: OnceLock<&'static str> = OnceLock::new();

/// Takes CUDA for a library.
///
/// # Errors
/// [`BackendError::SecondCudaLibrary`] if another library has it.
pub fn claim(library: &'static str) -> Result<(), BackendError> {
    check(OWNER.get_or_init(|| library), library)
}

/// Checks whether a library could take CUDA.
///
/// # Errors
/// [`BackendError::SecondCudaLibrary`] if another library has it.
pub fn is_free_for(library: &'static str) -> Result<(), BackendError> {
    OWNER.get().map_or(Ok(()), |owner| check(owner, library))
}

fn check(owner: &'static str, library: &'static str) -> Result<(), BackendError> {
    if owner == library {
        return Ok(());
    }
    Err(BackendError::SecondCudaLibrary { library, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_library_is_sent_to_a_process_of_its_own() {
        assert!(check("LibTorch", "LibTorch").is_ok());
        let text = check("LibTorch", "TensorFlow").unwrap_err().to_string();
        for words in ["LibTorch", "TensorFlow", "`device`", "study", "benchbook bench"] {
            assert!(text.contains(words), "{words} is not in: {text}");
        }
    }
}
