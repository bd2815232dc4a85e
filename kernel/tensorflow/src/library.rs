//! Finds and opens TensorFlow's library. Its settings hold for the whole process.

use crate::api::Api;
use crate::graph::Graph;
use crate::session::{Config, Session};
use benchbook_backend::BackendError;
use std::ffi::{CStr, OsStr};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The oldest release whose library is accepted: the first that came with Keras 3.
pub const MINIMUM: [u32; 2] = [2, 16];

/// File names of the library: in a Python package, and in TensorFlow's download for C.
const FILES: [&str; 2] = ["libtensorflow_cc.so.2", "libtensorflow.so.2"];

/// Names the only folder that is searched.
const VARIABLE: &str = "BENCHBOOK_TENSORFLOW";

/// The package folders of the Python that started the kernel. The Python package `benchbook` sets it.
const SITE_PACKAGES: &str = "BENCHBOOK_SITE_PACKAGES";

/// How to install the library.
const FIX: &str = "run `environment/tensorflow` in a checkout, which fetches it (270 MB), or \
                   `pip install tensorflow-cpu` for the Python of `%%rust` cells, or set BENCHBOOK_TENSORFLOW \
                   to the folder of a TensorFlow 2.16 or newer, for example a Python environment's \
                   site-packages/tensorflow";

/// Errors in finding or opening TensorFlow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No searched folder has the library.
    #[error("TensorFlow was not found: expected {} in {}; {FIX}", FILES[0], Places(searched))]
    NotFound {
        /// The searched folders, in order.
        searched: Vec<PathBuf>,
    },
    /// The system cannot open the library.
    #[error("TensorFlow cannot be opened: {}: {}; {FIX}", path.display(), words(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: libloading::Error,
    },
    /// The library lacks a function of the C API.
    #[error(
        "expected TensorFlow's C API with {symbol}, found a library without it: {}: {}; {FIX}",
        path.display(),
        words(source)
    )]
    Symbol {
        /// The file.
        path: PathBuf,
        /// The function.
        symbol: &'static str,
        /// The system's message.
        source: libloading::Error,
    },
    /// An older release.
    #[error(
        "expected TensorFlow {}.{} or newer, found {found}: {}; {FIX}",
        MINIMUM[0],
        MINIMUM[1],
        path.display()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
}

/// The system's message, which `libloading` stores as the source of its own.
fn words(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

struct Places<'a>(&'a [PathBuf]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(
                "an active Python environment or Benchbook's cache, and neither exists",
            );
        }
        let places: Vec<String> = self.0.iter().map(|place| place.display().to_string()).collect();
        f.write_str(&places.join(", "))
    }
}

/// Looks for the library without opening it: only in the folder that `BENCHBOOK_TENSORFLOW` names
/// if it is set; else in Benchbook's cache, where `environment/tensorflow` puts it, among
/// the packages of the Python that started the kernel (`BENCHBOOK_SITE_PACKAGES`), in the active
/// Python environment (`VIRTUAL_ENV`, `CONDA_PREFIX`), and in the folders of `LD_LIBRARY_PATH`. The cache comes
/// first, so that an unsupported release elsewhere does not hide it.
///
/// # Errors
/// [`LoadError::NotFound`] with all searched folders.
pub(crate) fn find() -> Result<PathBuf, LoadError> {
    find_with(&|name| std::env::var_os(name).map(PathBuf::from).filter(|path| path != ""))
}

fn find_with(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, LoadError> {
    let mut folders = Vec::new();
    if let Some(chosen) = variable(VARIABLE) {
        if chosen.is_file() {
            return Ok(chosen);
        }
        folders.push(chosen.clone());
        folders.extend(packages(&chosen));
    } else {
        folders.extend(cache(variable));
        let sites = variable(SITE_PACKAGES).unwrap_or_default();
        let sites = std::env::split_paths(&sites).filter(|site| site != "");
        folders.extend(sites.map(|site| site.join("tensorflow")));
        for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
            folders.extend(variable(name).into_iter().flat_map(|prefix| packages(&prefix)));
        }
        let paths = variable("LD_LIBRARY_PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&paths).filter(|path| path != ""));
    }
    let found = folders
        .iter()
        .find_map(|folder| FILES.iter().map(|file| folder.join(file)).find(|path| path.is_file()));
    found.ok_or(LoadError::NotFound { searched: folders })
}

/// The package folders in a Python environment, or the path where one would be.
fn packages(prefix: &Path) -> Vec<PathBuf> {
    let pythons = std::fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = pythons
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .map(|entry| entry.path().join("site-packages/tensorflow"))
        .collect();
    folders.sort();
    if folders.is_empty() {
        folders.push(prefix.join("lib/python3/site-packages/tensorflow"));
    }
    folders
}

/// `$BENCHBOOK_CACHE/tensorflow`, else `~/.cache/benchbook/tensorflow`.
fn cache(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let cache = variable("BENCHBOOK_CACHE").or_else(|| {
        let caches = variable("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| variable("HOME").map(|home| home.join(".cache")));
        caches.map(|caches| caches.join("benchbook"))
    });
    cache.map(|cache| cache.join("tensorflow"))
}

/// Variables that TensorFlow reads once, at its first use. An existing value stays; otherwise the
/// second column is set, so that the setting does not depend on the release.
const PINNED: [(&str, &str); 4] = [
    ("TF_ENABLE_ONEDNN_OPTS", "1"),
    // On a GPU, 1 also disables cuDNN's benchmarks; the processes of a study have 0.
    ("TF_DETERMINISTIC_OPS", "1"),
    // Each net has its own threads; by default all nets share those of the first one.
    ("TF_OVERRIDE_GLOBAL_THREADPOOL", "1"),
    // Keeps informational messages out of the notebook; errors still appear.
    ("TF_CPP_MIN_LOG_LEVEL", "2"),
];

/// The opened library. It stays open until the process ends.
pub struct Library {
    pub(crate) api: Api,
    path: PathBuf,
    version: String,
    cuda: bool,
    set_tf32: Option<unsafe extern "C" fn(bool)>,
}

static LOADED: OnceLock<Library> = OnceLock::new();

impl Library {
    /// Finds and opens the library, or returns the one that is open.
    ///
    /// # Errors
    /// [`LoadError`]. A later call tries again.
    pub fn load() -> Result<&'static Self, LoadError> {
        Self::load_found(find)
    }

    /// Opens the library of a folder (as `BENCHBOOK_TENSORFLOW` may name it), or returns the one that
    /// is open already, wherever it is from.
    ///
    /// # Errors
    /// [`LoadError`]. A later call tries again.
    pub fn load_from(folder: &Path) -> Result<&'static Self, LoadError> {
        let chosen = |name: &str| (name == VARIABLE).then(|| folder.to_path_buf());
        Self::load_found(|| find_with(&chosen))
    }

    /// The library if it is open.
    pub fn loaded() -> Option<&'static Self> {
        LOADED.get()
    }

    fn load_found(
        find: impl FnOnce() -> Result<PathBuf, LoadError>,
    ) -> Result<&'static Self, LoadError> {
        static LOADING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = LOADED.get() {
            return Ok(library);
        }
        let library = Self::open(find()?)?;
        Ok(LOADED.get_or_init(|| library))
    }

    fn open(path: PathBuf) -> Result<Self, LoadError> {
        for (name, value) in PINNED {
            if std::env::var_os(name).is_none() {
                // SAFETY: Rust's own readers of the environment wait for each other. C code of another
                // thread could read it at this moment: this happens once, before the first net.
                unsafe { std::env::set_var(name, value) };
            }
        }
        // SAFETY: TensorFlow's initialisers register its operations and touch nothing of ours.
        let library = unsafe { libloading::Library::new(&path) }
            .map_err(|source| LoadError::Open { path: path.clone(), source })?;
        let api = Api::bind(&library, &path)?;
        // SAFETY: these C++ functions (tensorflow/core/util/port.h, tsl/platform/tensor_float_32_utils.h)
        // have the given types in every release since MINIMUM; the C++ ABI calls them as C's.
        let (is_cuda, set_tf32) = unsafe {
            (
                library.get::<unsafe extern "C" fn() -> bool>(
                    b"_ZN10tensorflow19IsGoogleCudaEnabledEv",
                ),
                library.get::<unsafe extern "C" fn(bool)>(
                    b"_ZN3tsl32enable_tensor_float_32_executionEb",
                ),
            )
        };
        // A build without this information may use a GPU.
        // SAFETY: no arguments.
        let cuda = is_cuda.map_or(true, |is_cuda| unsafe { is_cuda() });
        let set_tf32 = set_tf32.ok().map(|set| *set);
        // TensorFlow's threads never end, so the library cannot be closed.
        std::mem::forget(library);
        // SAFETY: no arguments; the text is a constant of the library.
        let version = unsafe { CStr::from_ptr((api.TF_Version)()) }.to_string_lossy().into_owned();
        if is_older(&version) {
            return Err(LoadError::TooOld { path, found: version });
        }
        Ok(Self { api, path, version, cuda, set_tf32 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For example `2.21.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The settings of the process that affect speed or repeatability, as
    /// `NAME=value`.
    pub fn settings(&self) -> Vec<String> {
        let pinned = PINNED[..2].iter();
        let value = |name| std::env::var_os(name).unwrap_or_default();
        pinned.map(|(name, _)| format!("{name}={}", OsStr::to_string_lossy(&value(name)))).collect()
    }

    /// Whether it is a build that can use a CUDA GPU.
    pub fn has_cuda(&self) -> bool {
        self.cuda
    }

    /// Whether a GPU may use TF32 for matrix products and convolutions; TensorFlow has one switch for
    /// both and the process. Returns false if the library has none.
    pub fn allow_tf32(&self, allowed: bool) -> bool {
        // SAFETY: it stores the value.
        self.set_tf32.map(|set| unsafe { set(allowed) }).is_some()
    }

    /// Number of CUDA GPUs that it can use, 0 for a build for the CPU. The first call initialises the GPUs, which
    /// takes a second or more.
    ///
    /// # Errors
    /// [`BackendError::Library`].
    pub fn gpus(&'static self) -> Result<usize, BackendError> {
        if !self.cuda {
            return Ok(0);
        }
        static COUNT: OnceLock<usize> = OnceLock::new();
        if let Some(count) = COUNT.get() {
            return Ok(*count);
        }
        let graph = Graph::new(&self.api);
        let session = Session::new(&graph, Config { gpu: true, threads: 1 });
        let count = session.and_then(|session| session.gpus())?;
        Ok(*COUNT.get_or_init(|| count))
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("path", &self.path).field("version", &self.version).finish()
    }
}

/// Whether a version such as `2.21.0-rc1` is older than [`MINIMUM`]; an unreadable version is.
fn is_older(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    [parts.next().unwrap_or(0), parts.next().unwrap_or(0)] < MINIMUM
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn environment<'a>(pairs: &'a [(&'a str, &'a Path)]) -> impl Fn(&str) -> Option<PathBuf> + 'a {
        move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_path_buf())
    }

    fn place(folder: PathBuf) -> PathBuf {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(FILES[0]), "").unwrap();
        folder.join(FILES[0])
    }

    #[test]
    fn the_chosen_folder_excludes_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let (chosen, active) = (folder.path().join("chosen"), folder.path().join("active"));
        let in_active = place(active.join("lib/python3.12/site-packages/tensorflow"));
        let find = |pairs: &[(&str, &Path)]| find_with(&environment(pairs));
        let found = find(&[("VIRTUAL_ENV", &active)]).unwrap();
        assert_eq!(found, in_active);
        let both = [(VARIABLE, chosen.as_path()), ("VIRTUAL_ENV", active.as_path())];
        let text = find(&both).unwrap_err().to_string();
        assert!(text.contains(chosen.to_str().unwrap()), "{text}");
        assert!(!text.contains(active.to_str().unwrap()), "{text}");
        // A package folder, an environment and the file itself are all accepted.
        let file = place(chosen.clone());
        assert_eq!(find(&both).unwrap(), file);
        assert_eq!(find(&[(VARIABLE, &file)]).unwrap(), file);
        assert_eq!(find(&[(VARIABLE, &active)]).unwrap(), in_active);
    }

    #[test]
    fn the_cache_comes_before_the_active_environment() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let active = folder.path().join("active");
        let in_active = place(active.join("lib/python3.11/site-packages/tensorflow"));
        let pairs = [("HOME", home.as_path()), ("VIRTUAL_ENV", active.as_path())];
        assert_eq!(find_with(&environment(&pairs)).unwrap(), in_active);
        let cached = place(home.join(".cache/benchbook/tensorflow"));
        assert_eq!(find_with(&environment(&pairs)).unwrap(), cached);
    }

    #[test]
    fn the_packages_of_the_running_python_come_before_the_active_environment() {
        let folder = tempfile::tempdir().unwrap();
        let (dist, active) = (folder.path().join("dist-packages"), folder.path().join("active"));
        place(active.join("lib/python3.12/site-packages/tensorflow"));
        let sites = std::env::join_paths([&folder.path().join("site-packages"), &dist]).unwrap();
        let pairs = [(SITE_PACKAGES, Path::new(&sites)), ("VIRTUAL_ENV", active.as_path())];
        let in_dist = place(dist.join("tensorflow"));
        assert_eq!(find_with(&environment(&pairs)).unwrap(), in_dist);
    }

    #[test]
    fn a_missing_library_is_an_error_that_says_where_it_was_looked_for_and_how_to_get_it() {
        let nowhere = Path::new("/nowhere/home");
        let pairs = [("HOME", nowhere), ("VIRTUAL_ENV", Path::new("/nowhere/environment"))];
        let text = find_with(&environment(&pairs)).unwrap_err().to_string();
        for words in [
            "libtensorflow_cc.so.2",
            "/nowhere/environment/lib/python3/site-packages/tensorflow",
            "/nowhere/home/.cache/benchbook/tensorflow",
            "environment/tensorflow",
            "BENCHBOOK_TENSORFLOW",
        ] {
            assert!(text.contains(words), "{words} is not in: {text}");
        }
        let text = find_with(&|_| None).unwrap_err().to_string();
        assert!(text.contains("neither exists"), "{text}");
    }

    #[test]
    fn a_file_that_is_no_library_is_named_with_the_systems_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = place(folder.path().into());
        let text = Library::open(path.clone()).unwrap_err().to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("too short"), "{text}");
    }

    #[test]
    fn a_library_without_the_c_api_is_named_with_the_function() {
        // `libm` is on every machine and is not TensorFlow.
        let path = PathBuf::from("libm.so.6");
        let text = Library::open(path).unwrap_err().to_string();
        assert!(text.contains("TF_Version") && text.contains("libm.so.6"), "{text}");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, older) in [
            ("2.21.0", false),
            ("2.16.0", false),
            ("2.16.0-rc0", false),
            ("3.0", false),
            ("2.9.3", true),
            ("1.15.5", true),
            ("", true),
        ] {
            assert_eq!(is_older(version), older, "{version}");
        }
    }
}
