//! Finds libtorch. It is looked for each time a worker starts, so one build of the helper library
//! runs with the small CPU part and with the CUDA build of a Python environment.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The release that tch 0.24 is made for.
pub const VERSION: &str = "2.11.0";

/// Why a libtorch cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibtorchError {
    /// The folder holds no libtorch.
    #[error("{folder}{chosen_by} holds no libtorch: there is no lib/libtorch_cpu.so; {FIX}", folder = .folder.display())]
    Missing {
        /// The folder that was looked at.
        folder: PathBuf,
        /// Which setting named it.
        chosen_by: String,
    },
    /// Its release is another one.
    #[error("{folder}{chosen_by} is libtorch {found}, and Benchbook needs {VERSION}; {FIX}", folder = .folder.display())]
    Version {
        /// The folder that was looked at.
        folder: PathBuf,
        /// Which setting named it.
        chosen_by: String,
        /// Its version, or that it does not tell.
        found: String,
    },
    /// No place to look at.
    #[error("no libtorch was found: {FIX}")]
    Nowhere,
}

const FIX: &str =
    "run `environment/run`, which installs it, or set LIBTORCH to a folder with libtorch 2.11.0";

/// A usable libtorch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libtorch {
    /// The folder that holds `lib`: an unpacked libtorch, or `site-packages/torch`.
    pub folder: PathBuf,
    /// Its full version, for example `2.11.0+cu130`.
    pub version: String,
}

impl Libtorch {
    /// Checks a folder. `chosen_by` says in messages why it was looked at.
    ///
    /// # Errors
    /// It holds no libtorch, or one of another release.
    pub fn at(folder: &Path, chosen_by: &str) -> Result<Self, LibtorchError> {
        let folder = folder.to_path_buf();
        let chosen_by =
            if chosen_by.is_empty() { String::new() } else { format!(" ({chosen_by})") };
        if !folder.join("lib/libtorch_cpu.so").exists() {
            return Err(LibtorchError::Missing { folder, chosen_by });
        }
        match version(&folder) {
            Some(version) if version.split('+').next() == Some(VERSION) => {
                Ok(Self { folder, version })
            }
            found => {
                let found = found.unwrap_or_else(|| "of unknown version".into());
                Err(LibtorchError::Version { folder, chosen_by, found })
            }
        }
    }

    /// `LIBTORCH` if it is set, else the PyTorch of an active Python environment if it fits, else
    /// the one with which Benchbook was installed. A PyTorch that does not fit is refused with a
    /// line in the log.
    ///
    /// # Errors
    /// `LIBTORCH` names none that fits, or there is none at all.
    pub fn find(installed: Option<&Path>) -> Result<Self, LibtorchError> {
        if let Some(folder) = std::env::var_os("LIBTORCH") {
            return Self::at(Path::new(&folder), "from LIBTORCH");
        }
        for torch in active_pytorch() {
            match Self::at(&torch, "the PyTorch of the active environment") {
                Ok(found) => return Ok(found),
                Err(error) => tracing::warn!("not used: {error}"),
            }
        }
        installed
            .map_or(Err(LibtorchError::Nowhere), |folder| Self::at(folder, "used at installation"))
    }

    /// The folder with the shared libraries.
    pub fn libraries(&self) -> PathBuf {
        self.folder.join("lib")
    }

    /// Whether it is a build with CUDA.
    pub fn has_cuda(&self) -> bool {
        self.libraries().join("libtorch_cuda.so").exists()
    }
}

/// The `torch` packages of the active virtual or conda environment.
pub fn active_pytorch() -> Vec<PathBuf> {
    ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .iter()
        .filter_map(std::env::var_os)
        .filter_map(|environment| fs::read_dir(Path::new(&environment).join("lib")).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("site-packages/torch"))
        .filter(|torch| torch.join("lib/libtorch_cpu.so").exists())
        .collect()
}

/// The version that a folder tells: `build-version` of a libtorch, `version.py` of a PyTorch.
fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let python = fs::read_to_string(folder.join("version.py")).ok()?;
    let line = python.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torch(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn both_kinds_of_folder_tell_their_version() {
        let zip = torch(&[("lib/libtorch_cpu.so", ""), ("build-version", "2.11.0+cpu\n")]);
        assert_eq!(Libtorch::at(zip.path(), "").unwrap().version, "2.11.0+cpu");
        let wheel =
            torch(&[("lib/libtorch_cpu.so", ""), ("version.py", "__version__ = '2.11.0+cu130'\n")]);
        assert_eq!(Libtorch::at(wheel.path(), "").unwrap().version, "2.11.0+cu130");
    }

    #[test]
    fn another_release_is_refused_with_both_versions() {
        let old = torch(&[("lib/libtorch_cpu.so", ""), ("version.py", "__version__ = '2.9.1'\n")]);
        let error = Libtorch::at(old.path(), "from LIBTORCH").unwrap_err().to_string();
        assert!(
            error.contains("2.9.1") && error.contains(VERSION) && error.contains("LIBTORCH"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_without_libtorch_is_named() {
        let empty = torch(&[]);
        let error = Libtorch::at(empty.path(), "").unwrap_err().to_string();
        assert!(error.contains(empty.path().to_str().unwrap()), "{error}");
    }
}
