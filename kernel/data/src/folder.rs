//! Folders of pictures, one folder a class, or all in one with the class in the name.

mod flat;
mod list;
mod show;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::split::{Sample, Split};
pub(crate) use list::EXTENSIONS;
use list::{Part, describe, read_part};

/// The part of Kaggle's 25,000 training pictures that the report validated on: its log says 19,652
/// for training and 5,348 for validation.
pub const REPORT_VALIDATION_FRACTION: f64 = 5_348.0 / 25_000.0;

const VALIDATION_NAMES: [&str; 3] = ["validation", "val", "valid"];
/// `test1` is what Kaggle's archive of the competition is called.
const TEST_NAMES: [&str; 2] = ["test", "test1"];

/// How to open a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FolderOptions {
    /// The part of each class of `train/` that becomes the validation split when there is no
    /// validation folder, above 0 and below 1. `None`: [`REPORT_VALIDATION_FRACTION`] for Kaggle's
    /// flat layout, and an error for class folders.
    pub validation_fraction: Option<f64>,
    /// The seed of that division.
    pub seed: u64,
}

/// How the pictures of a folder are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// `train/cat/….jpg`: one folder a class.
    ClassFolders,
    /// `train/cat.123.jpg`: the class is in the name, as in Kaggle's archive.
    Flat,
}

/// An entry that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The file or folder.
    pub path: PathBuf,
    /// The reason.
    pub reason: &'static str,
}

/// A folder of pictures for training, validation and test. Opening it lists the files and decodes
/// none of them.
#[derive(Clone)]
pub struct ImageFolder {
    root: PathBuf,
    layout: Layout,
    divided: Option<(f64, u64)>,
    train: Split,
    validation: Split,
    test: Split,
    ignored: Arc<[Ignored]>,
    listing: Duration,
}

impl ImageFolder {
    /// Opens a folder with the default [`FolderOptions`].
    ///
    /// Two layouts are read: `train/{cat,dog}` with `validation/{cat,dog}` (or `val`, `valid`), and
    /// Kaggle's flat `train/cat.123.jpg`, of which a seeded part of each class becomes the
    /// validation split. `test/` (or `test1`) is optional and need not have classes. Class names
    /// are sorted before they are numbered, so cat is 0 and dog is 1. Files are sorted by name.
    /// Hidden entries are skipped; what else is not used is listed in [`ignored`](Self::ignored).
    ///
    /// # Errors
    /// [`DataError::FolderMissing`], [`DataError::PartMissing`] (no training or validation folder),
    /// [`DataError::NoImages`] (also for a single class folder), [`DataError::ClassMismatch`],
    /// [`DataError::List`] (permissions), each with the path, what was expected and what was found.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::open_with(path, FolderOptions::default())
    }

    /// Opens a folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`DataError::Setting`] if the fraction is not between 0 and 1.
    pub fn open_with(path: impl AsRef<Path>, options: FolderOptions) -> Result<Self, DataError> {
        let began = Instant::now();
        let root = path.as_ref();
        if let Some(fraction) = options.validation_fraction
            && !(fraction > 0.0 && fraction < 1.0)
        {
            return Err(DataError::Setting {
                name: "validation_fraction",
                expected: "above 0 and below 1",
                received: fraction.to_string(),
            });
        }
        list::check_root(root)?;
        let mut ignored = Vec::new();
        let train_path = find(root, &["train"]).ok_or_else(|| missing(root, &["train"]))?;
        let train = read_part(&train_path, &mut ignored)?;
        let classes: Arc<[String]> = train.classes.keys().cloned().collect();
        check_filled(&train_path, &train)?;

        let mut divided = None;
        let (train_samples, validation_samples) = match find(root, &VALIDATION_NAMES) {
            Some(path) => {
                let part = read_part(&path, &mut ignored)?;
                check_classes(&path, &part, &classes)?;
                check_filled(&path, &part)?;
                (label(&train.classes), label(&part.classes))
            }
            None => {
                let usual = (train.layout == Layout::Flat).then_some(REPORT_VALIDATION_FRACTION);
                let fraction = options
                    .validation_fraction
                    .or(usual)
                    .ok_or_else(|| missing(root, &VALIDATION_NAMES))?;
                divided = Some((fraction, options.seed));
                let (kept, taken) =
                    flat::divide(&train_path, &train.classes, fraction, options.seed)?;
                (label(&kept), label(&taken))
            }
        };
        let test_samples = match find(root, &TEST_NAMES) {
            Some(path) => list::read_test(&path, &classes, &mut ignored)?,
            None => Vec::new(),
        };
        ignored.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            root: root.into(),
            layout: train.layout,
            divided,
            train: Split::from_parts("train", &classes, train_samples),
            validation: Split::from_parts("validation", &classes, validation_samples),
            test: Split::from_parts("test", &classes, test_samples),
            ignored: ignored.into(),
            listing: began.elapsed(),
        })
    }

    /// The folder as it was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The layout of the training pictures.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The fraction and the seed with which a validation split was taken from the training
    /// pictures, or `None` where the folder has a validation folder.
    pub fn divided(&self) -> Option<(f64, u64)> {
        self.divided
    }

    /// The class names, sorted; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        self.train.classes()
    }

    /// The training pictures.
    pub fn train(&self) -> Split {
        self.train.clone()
    }

    /// The validation pictures.
    pub fn validation(&self) -> Split {
        self.validation.clone()
    }

    /// The test pictures, without labels unless they lie in class folders; empty where there is no
    /// test folder.
    pub fn test(&self) -> Split {
        self.test.clone()
    }

    /// The time that listing the files took.
    pub fn listing(&self) -> Duration {
        self.listing
    }

    /// Files and folders that are not used, sorted by path. Hidden ones are not listed.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }
}

impl Split {
    /// The pictures of one folder: with labels where it has class folders or names like
    /// `cat.123.jpg`, without otherwise. What is not used is not listed; [`ImageFolder`] does that.
    ///
    /// # Errors
    /// As [`ImageFolder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        list::check_root(path)?;
        let part = read_part(path, &mut Vec::new())?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        if part.classes.is_empty() {
            let samples = list::read_test(path, &[], &mut Vec::new())?;
            if !samples.is_empty() {
                return Ok(Self::from_parts(&name, &Arc::from([]), samples));
            }
        }
        check_filled(path, &part)?;
        let classes: Arc<[String]> = part.classes.keys().cloned().collect();
        Ok(Self::from_parts(&name, &classes, label(&part.classes)))
    }
}

/// The first of these folders that is there.
fn find(root: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| root.join(name)).find(|path| path.is_dir())
}

fn missing(root: &Path, names: &[&str]) -> DataError {
    let folders: Vec<_> = names.iter().map(|name| format!("{name}/")).collect();
    let hint = match names {
        ["train"] => "",
        _ => " (or the option `validation_fraction`)",
    };
    DataError::PartMissing {
        path: root.into(),
        expected: format!("a folder {}{hint}", folders.join(" or ")),
        found: describe(root),
    }
}

fn check_filled(path: &Path, part: &Part) -> Result<(), DataError> {
    if part.classes.is_empty() {
        return Err(DataError::NoImages { path: path.into(), found: describe(path) });
    }
    match part.classes.iter().find(|(_, files)| files.is_empty()) {
        Some((class, _)) => {
            let path = path.join(class);
            Err(DataError::NoImages { found: describe(&path), path })
        }
        None => Ok(()),
    }
}

fn check_classes(path: &Path, part: &Part, classes: &[String]) -> Result<(), DataError> {
    if part.classes.is_empty() || part.classes.keys().eq(classes) {
        return Ok(());
    }
    Err(DataError::ClassMismatch {
        path: path.into(),
        expected: classes.to_vec(),
        found: part.classes.keys().cloned().collect(),
    })
}

/// Samples in the order of class and file name. A map's keys are sorted, so the position of a key
/// is the number of the class.
fn label(classes: &BTreeMap<String, Vec<PathBuf>>) -> Vec<Sample> {
    let numbered = classes.values().enumerate();
    numbered
        .flat_map(|(class, files)| {
            files.iter().map(move |path| Sample { path: path.clone(), label: Some(class) })
        })
        .collect()
}

impl fmt::Debug for ImageFolder {
    /// The same table as [`Display`](fmt::Display).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
