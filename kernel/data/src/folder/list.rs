//! Listing folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Ignored, Layout};
use crate::error::DataError;
use crate::split::Sample;

/// The extensions of images, in lower case.
pub(crate) const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

const NOT_A_PICTURE: &str = "not an image by its extension";
const NESTED: &str = "a folder inside a folder of images";
const BESIDE_CLASSES: &str = "a file beside class folders";
const NOT_A_FILE: &str = "a pipe, socket or device";
/// Entries that operating systems and programs leave in folders, in lower case, without hidden ones.
const OF_THE_SYSTEM: [&str; 9] = [
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "system volume information",
    "thumbs.db",
];
const NO_CLASS: &str = "its name is not class.number.extension";

/// The images of `train/` or `validation/` by class.
pub(super) struct Part {
    pub(super) layout: Layout,
    pub(super) classes: BTreeMap<String, Vec<PathBuf>>,
}

struct Entry {
    path: PathBuf,
    name: String,
    is_folder: bool,
    is_file: bool,
}

impl Entry {
    /// The reason why the entry is not an image, if it is not.
    fn fault(&self) -> Option<&'static str> {
        let extension = self.path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if !extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) {
            return Some(NOT_A_PICTURE);
        }
        // Opening a pipe would wait for a writer.
        (!self.is_file).then_some(NOT_A_FILE)
    }
}

/// The entries of a folder by name, without hidden ones and those of the system. Symbolic links count as their targets.
fn entries(path: &Path) -> Result<Vec<Entry>, DataError> {
    let fault = |source| DataError::List { path: path.into(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || OF_THE_SYSTEM.contains(&name.to_lowercase().as_str()) {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(fault)?;
        let kind = match kind.is_symlink() {
            true => fs::metadata(&path).map(|data| data.file_type()).ok(),
            false => Some(kind),
        };
        let is_folder = kind.is_some_and(|kind| kind.is_dir());
        // A link without a target is an error when it is read.
        let is_file = kind.is_none_or(|kind| kind.is_file());
        found.push(Entry { path, name, is_folder, is_file });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The folders in a folder, by name; none if it cannot be listed.
pub(super) fn folders(path: &Path) -> Vec<(String, PathBuf)> {
    let found = entries(path).unwrap_or_default();
    found
        .into_iter()
        .filter(|entry| entry.is_folder)
        .map(|entry| (entry.name, entry.path))
        .collect()
}

pub(super) fn check_root(root: &Path) -> Result<(), DataError> {
    if root.is_dir() {
        return Ok(());
    }
    let found = if root.exists() {
        "it is a file".to_string()
    } else {
        match root.ancestors().skip(1).find(|path| !path.as_os_str().is_empty() && path.is_dir()) {
            Some(parent) => {
                format!("it does not exist; {} holds {}", parent.display(), describe(parent))
            }
            None => match std::env::current_dir() {
                Ok(here) => format!("it does not exist in {}", here.display()),
                Err(_) => "it does not exist".to_string(),
            },
        }
    };
    Err(DataError::FolderMissing { path: root.into(), found })
}

/// The content of a folder, for a message.
pub(super) fn describe(path: &Path) -> String {
    const SHOWN: usize = 8;
    let Ok(entries) = entries(path) else { return "a folder that cannot be listed".to_string() };
    if entries.is_empty() {
        return "nothing".to_string();
    }
    let mut names: Vec<_> = entries
        .iter()
        .take(SHOWN)
        .map(|entry| if entry.is_folder { format!("{}/", entry.name) } else { entry.name.clone() })
        .collect();
    if entries.len() > SHOWN {
        names.push(format!("… ({} entries)", entries.len()));
    }
    names.join(", ")
}

/// Reads `train/` or `validation/` in any layout: class folders if there is a folder that is not `excluded`.
pub(super) fn read_part(
    path: &Path,
    excluded: &[PathBuf],
    ignored: &mut Vec<Ignored>,
) -> Result<Part, DataError> {
    let mut entries = entries(path)?;
    entries.retain(|entry| !excluded.contains(&entry.path));
    let mut classes = BTreeMap::new();
    if entries.iter().any(|entry| entry.is_folder) {
        for entry in entries {
            if entry.is_folder {
                let files = pictures(&entry.path, ignored)?;
                classes.insert(entry.name, files);
            } else {
                ignored.push(Ignored { path: entry.path, reason: BESIDE_CLASSES });
            }
        }
        return Ok(Part { layout: Layout::ClassFolders, classes });
    }
    for entry in entries {
        if let Some(reason) = entry.fault() {
            ignored.push(Ignored { path: entry.path, reason });
        } else if let Some(class) = class_in_name(&entry.name) {
            classes.entry(class.to_string()).or_insert_with(Vec::new).push(entry.path);
        } else {
            ignored.push(Ignored { path: entry.path, reason: NO_CLASS });
        }
    }
    Ok(Part { layout: Layout::Flat, classes })
}

/// The class in a name like `cat.123.jpg`.
fn class_in_name(name: &str) -> Option<&str> {
    let mut parts = name.split('.');
    let (class, number, _extension) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (parts.next().is_none() && !class.is_empty() && is_number).then_some(class)
}

/// The images directly in a folder.
fn pictures(path: &Path, ignored: &mut Vec<Ignored>) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    for entry in entries(path)? {
        if entry.is_folder {
            ignored.push(Ignored { path: entry.path, reason: NESTED });
        } else if let Some(reason) = entry.fault() {
            ignored.push(Ignored { path: entry.path, reason });
        } else {
            files.push(entry.path);
        }
    }
    Ok(files)
}

/// Reads `test/`: loose images, and images in folders, which have a label if the folder has the
/// name of a class (Keras wants test images in a folder of any name).
pub(super) fn read_test(
    path: &Path,
    classes: &[String],
    ignored: &mut Vec<Ignored>,
) -> Result<Vec<Sample>, DataError> {
    let mut samples = Vec::new();
    for entry in entries(path)? {
        if entry.is_folder {
            let label = classes.iter().position(|class| *class == entry.name);
            let files = pictures(&entry.path, ignored)?;
            samples.extend(files.into_iter().map(|path| Sample { path, label }));
        } else if let Some(reason) = entry.fault() {
            ignored.push(Ignored { path: entry.path, reason });
        } else {
            samples.push(Sample { path: entry.path, label: None });
        }
    }
    Ok(samples)
}
