//! Finds libtorch each time a worker starts, so that one build of the helper library runs with the small CPU build and with
//! any CUDA build of the same release.
//!
//! The search order:
//! 1. `LIBTORCH`, which must be suitable;
//! 2. the Python that started the kernel (`BENCHBOOK_SITE_PACKAGES`), and the Python into which the wheel was installed;
//! 3. the active environment (`VIRTUAL_ENV`, `CONDA_PREFIX`);
//! 4. the Python on PATH;
//! 5. the folder that was chosen when a checkout was installed;
//! 6. the cache, where `benchbook setup` installs one.
//!
//! The search does not check driver and GPU: it uses an installed build without these checks. [`crate::gpu_support`] decides
//! which build Benchbook would download.

use crate::cache;
use crate::kernelspec;
use crate::toolchain::on_path;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The libtorch release that tch 0.24 requires.
pub const VERSION: &str = "2.11.0";

/// Why a libtorch cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibtorchError {
    /// The folder holds no libtorch.
    #[error("{folder}{chosen_by} holds no libtorch: there is no lib/libtorch_cpu.so; {FIX}", folder = .folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The setting that named it.
        chosen_by: String,
    },
    /// The folder holds another release.
    #[error("{folder}{chosen_by} is libtorch {found}, and Benchbook needs {VERSION}; {FIX}", folder = .folder.display())]
    Version {
        /// The folder.
        folder: PathBuf,
        /// The setting that named it.
        chosen_by: String,
        /// Its version, or a note that the version is unknown.
        found: String,
    },
    /// No place holds a suitable libtorch.
    #[error("no libtorch {VERSION} was found{others}; {fix}", others = .0, fix = download_fix())]
    Nowhere(String),
}

const FIX: &str =
    "set LIBTORCH to a folder with libtorch 2.11.0, or unset it to have one looked for";

/// How to get libtorch, with download sizes. The sizes are those of PyPI's wheels for Linux x86-64.
fn download_fix() -> String {
    let setup = cache::setup_command();
    format!(
        "run `{setup}`, which downloads it (CPU: 545 MB, 525 MB on disk, some two minutes; with CUDA: 2.7 GB, 4.9 GB \
         on disk), or set LIBTORCH to a folder with libtorch {VERSION}"
    )
}

/// A usable libtorch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libtorch {
    /// The folder that holds `lib`: an unpacked libtorch, or `site-packages/torch`.
    pub folder: PathBuf,
    /// Its full version, for example `2.11.0+cu130`.
    pub version: String,
}

impl Libtorch {
    /// Checks a folder. `chosen_by` names, for messages, the setting that chose it.
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

    /// The first suitable libtorch, in the order above.
    ///
    /// # Errors
    /// `LIBTORCH` names an unsuitable one, or no place has a suitable one; the message lists other releases.
    pub fn find(chosen: Option<&Path>) -> Result<Self, LibtorchError> {
        if let Some(folder) = std::env::var_os("LIBTORCH") {
            return Self::at(Path::new(&folder), "from LIBTORCH");
        }
        let (fits, others) = survey(chosen);
        match fits {
            Some(found) => {
                others.iter().for_each(|error| tracing::info!("not used: {error}"));
                Ok(found)
            }
            None => Err(LibtorchError::Nowhere(
                others.iter().map(|other| format!("; {other}")).collect(),
            )),
        }
    }

    /// The folder with the shared libraries.
    pub fn libraries(&self) -> PathBuf {
        self.folder.join("lib")
    }

    /// Whether this is a CUDA build.
    pub fn has_cuda(&self) -> bool {
        self.libraries().join("libtorch_cuda.so").exists()
    }
}

/// The first suitable libtorch, and descriptions of the unsuitable ones that precede it.
pub fn survey(chosen: Option<&Path>) -> (Option<Libtorch>, Vec<String>) {
    let mut others = Vec::new();
    for folder in places(chosen) {
        match Libtorch::at(&folder, "") {
            Ok(found) => return (Some(found), others),
            Err(LibtorchError::Version { found, .. }) => {
                others.push(format!("the PyTorch at {} is {found}", folder.display()));
            }
            Err(_) => {}
        }
    }
    (None, others)
}

/// The folders to search, except `LIBTORCH`.
fn places(chosen: Option<&Path>) -> Vec<PathBuf> {
    let paths = |name: &str| {
        let value = std::env::var_os(name).unwrap_or_default();
        std::env::split_paths(&value).filter(|path| path.is_absolute()).collect::<Vec<_>>()
    };
    let mut found: Vec<PathBuf> =
        paths("BENCHBOOK_SITE_PACKAGES").iter().map(|packages| packages.join("torch")).collect();
    let mut prefixes: Vec<PathBuf> = kernelspec::wheel_prefix().into_iter().collect();
    prefixes.extend(paths("VIRTUAL_ENV"));
    prefixes.extend(paths("CONDA_PREFIX"));
    for name in ["python", "python3"] {
        prefixes.extend(on_path(name).as_deref().and_then(prefix));
    }
    found.extend(prefixes.iter().flat_map(|prefix| torch_in(prefix)));
    found.extend(chosen.map(Path::to_path_buf));
    if let Ok(cache) = cache::folder() {
        found.push(cache.join(format!("libtorch-{VERSION}-cuda/torch")));
        found.push(cache.join(format!("libtorch-{VERSION}-cpu")));
    }
    let mut seen = HashSet::new();
    found.retain(|folder| {
        folder.join("lib/libtorch_cpu.so").exists() && seen.insert(folder.clone())
    });
    found
}

/// The environment of a Python: `<prefix>/bin/python`.
fn prefix(python: &Path) -> Option<PathBuf> {
    Some(python.parent()?.parent()?.to_path_buf())
}

/// The `torch` packages of an environment, of whichever Python; Debian's Python has `dist-packages`.
fn torch_in(prefix: &Path) -> Vec<PathBuf> {
    let mut libraries: Vec<PathBuf> = fs::read_dir(prefix.join("lib"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python"))
        .map(|entry| entry.path())
        .collect();
    libraries.sort();
    let packages = |library: PathBuf| {
        ["site-packages/torch", "dist-packages/torch"].map(|folder| library.join(folder))
    };
    libraries.into_iter().flat_map(packages).collect()
}

/// The version in a folder: `build-version` of a libtorch, `version.py` of a PyTorch.
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
