//! Folders of images, with one folder per class or with the class in the file names.

mod list;
pub(crate) mod show;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::split::{Sample, Split};
pub(crate) use list::EXTENSIONS;
use list::{Part, describe, read_part};

/// The fraction of Kaggle's 25,000 training images that the report used for validation: its log states 19,652
/// images for training and 5,348 for validation.
pub const REPORT_VALIDATION_FRACTION: f64 = 5_348.0 / 25_000.0;

const VALIDATION_NAMES: [&str; 3] = ["validation", "val", "valid"];
/// `test1` is the name in Kaggle's archive of the competition.
const TEST_NAMES: [&str; 2] = ["test", "test1"];

/// How to open a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FolderOptions {
    /// The fraction of each class for the validation split if there is no validation folder, above 0 and below 1.
    /// Default: `None`, [`REPORT_VALIDATION_FRACTION`] for Kaggle's flat layout and for class folders without a split;
    /// an error for class folders in `train/`, since the name of the validation folder may be misspelt.
    pub validation_fraction: Option<f64>,
    /// The seed of this division. Default: 0.
    pub seed: u64,
}

/// The layout of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// `train/cat/….jpg` or `cat/….jpg`: one folder per class.
    ClassFolders,
    /// `train/cat.123.jpg`: the class is in the name, as in Kaggle's archive.
    Flat,
}

/// An ignored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The file or folder.
    pub path: PathBuf,
    /// The reason.
    pub reason: &'static str,
}

/// A folder of images for training, validation and test. Opening it lists the files without decoding any.
#[derive(Clone)]
pub struct ImageFolder {
    root: PathBuf,
    layout: Layout,
    /// Whether the folder has a folder `train`.
    is_split: bool,
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
    /// Supports three layouts: `train/{cat,dog}` with `validation/{cat,dog}` (or `val`, `valid`);
    /// Kaggle's flat `train/cat.123.jpg`; and class folders without a split, such as `PetImages/{Cat,Dog}`.
    /// With the last two, a seeded part of each class becomes the validation split. `test/` (or `test1`)
    /// is optional and needs no classes. There are at least two classes. Class names
    /// are sorted before they are numbered, so cat is 0 and dog is 1. Files are sorted by name.
    /// Hidden entries and those of the system (`__MACOSX`, `lost+found`, `Thumbs.db`) are skipped; other
    /// unused entries are listed in [`ignored`](Self::ignored).
    ///
    /// # Errors
    /// [`DataError::FolderMissing`], [`DataError::PartMissing`] (no training or validation folder),
    /// [`DataError::NoImages`] (also for a single class folder), [`DataError::OneClass`],
    /// [`DataError::ClassMismatch`], [`DataError::Division`] (a class with a single image),
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
        if let Some(fraction) = options.validation_fraction {
            crate::split::check_fraction(fraction)?;
        }
        list::check_root(root)?;
        let mut ignored = Vec::new();
        let given = find(root, &["train"]);
        let test_path = find(root, &TEST_NAMES);
        let is_split = given.is_some();
        let train_path = given.unwrap_or_else(|| root.into());
        let (part, test_path) = match is_split {
            true => (read_part(&train_path, &[], &mut ignored)?, test_path),
            false => read_undivided(root, test_path, &mut ignored)?,
        };
        check_filled(&train_path, &part)?;
        check_several(root, &train_path, &part)?;
        let class_names: Arc<[String]> = part.classes.keys().cloned().collect();
        let all = Split::from_parts("train", &class_names, label(&part.classes));

        let validation_path = find(root, &VALIDATION_NAMES).filter(|_| is_split);
        let (train, validation, divided) = match validation_path {
            Some(path) => {
                let part = read_part(&path, &[], &mut ignored)?;
                check_classes(&path, &part, &class_names)?;
                check_filled(&path, &part)?;
                let samples = label(&part.classes);
                (all, Split::from_parts("validation", &class_names, samples), None)
            }
            None => {
                // Beside `train/cat`, a missing validation folder may have a misspelt name.
                let usual = !is_split || part.layout == Layout::Flat;
                let fraction = options
                    .validation_fraction
                    .or(usual.then_some(REPORT_VALIDATION_FRACTION))
                    .ok_or_else(|| missing(root, &VALIDATION_NAMES))?;
                let (train, validation) =
                    all.divide(fraction, options.seed).map_err(|error| match error {
                        DataError::Division { class, found, .. } => DataError::Division {
                            place: train_path.display().to_string(),
                            class,
                            found,
                        },
                        error => error,
                    })?;
                (train, validation, Some((fraction, options.seed)))
            }
        };
        let test = match test_path {
            Some(path) => list::read_test(&path, &class_names, &mut ignored)?,
            None => Vec::new(),
        };
        ignored.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            root: root.into(),
            layout: part.layout,
            is_split,
            divided,
            train,
            validation,
            test: Split::from_parts("test", &class_names, test),
            ignored: ignored.into(),
            listing: began.elapsed(),
        })
    }

    /// The folder as it was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The layout of the training images.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The fraction and the seed of the division into training and validation images, or `None` if the folder has a
    /// validation folder.
    pub fn divided(&self) -> Option<(f64, u64)> {
        self.divided
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.train.classes()
    }

    /// The class names, sorted; a label is an index into them.
    pub fn class_names(&self) -> &[String] {
        self.train.class_names()
    }

    /// The training images.
    pub fn train(&self) -> Split {
        self.train.clone()
    }

    /// The validation images.
    pub fn validation(&self) -> Split {
        self.validation.clone()
    }

    /// The test images, with labels if they are in class folders; empty without a test folder.
    pub fn test(&self) -> Split {
        self.test.clone()
    }

    /// The elapsed time of listing the files.
    pub fn listing(&self) -> Duration {
        self.listing
    }

    /// Unused files and folders, sorted by path, without hidden ones.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }
}

impl Split {
    /// The images of one folder, with labels if it has class folders or names like `cat.123.jpg`. Unlike
    /// [`ImageFolder`], it does not list unused entries.
    ///
    /// # Errors
    /// As [`ImageFolder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        list::check_root(path)?;
        let part = read_part(path, &[], &mut Vec::new())?;
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

/// The dataset's name is the folder's.
impl Dataset for ImageFolder {
    fn name(&self) -> String {
        let root = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned()
    }

    fn train(&self) -> Split {
        self.train()
    }

    fn validation(&self) -> Split {
        self.validation()
    }

    fn test(&self) -> Split {
        self.test()
    }
}

/// The first of these folders that exists, ignoring the case of its name.
fn find(root: &Path, names: &[&str]) -> Option<PathBuf> {
    let folders = list::folders(root);
    let exact = |wanted: &&str| folders.iter().find(|(name, _)| name == wanted);
    let similar =
        |wanted: &&str| folders.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let found = names.iter().find_map(|name| exact(name).or_else(|| similar(name)));
    found.map(|(_, path)| path.clone())
}

/// Reads a folder without `train/`: class folders or files with the class in their name, and optionally a folder for the
/// test.
fn read_undivided(
    root: &Path,
    mut test: Option<PathBuf>,
    ignored: &mut Vec<Ignored>,
) -> Result<(Part, Option<PathBuf>), DataError> {
    let validation = find(root, &VALIDATION_NAMES);
    let reserved = usize::from(validation.is_some()) + usize::from(test.is_some());
    let others = list::folders(root).len() - reserved;
    // `valid` beside `invalid`, and `test` beside `control`, are classes. Otherwise a validation folder
    // belongs to a missing training folder.
    let may_be_class = |path: &PathBuf| others == 1 && list::folders(path).is_empty();
    if validation.as_ref().is_some_and(|path| !may_be_class(path)) {
        return Err(missing(root, &["train"]));
    }
    if validation.is_none() && test.as_ref().is_some_and(may_be_class) {
        test = None;
    }
    let excluded: Vec<PathBuf> = test.iter().cloned().collect();
    let part = read_part(root, &excluded, ignored)?;
    if part.classes.is_empty() {
        return Err(missing(root, &["train"]));
    }
    Ok((part, test))
}

/// A folder in `root` that can be opened instead of `root`, for a message.
fn opens_instead(root: &Path) -> String {
    let inner = list::folders(root).into_iter().find(|(_, path)| {
        let folders = list::folders(path);
        folders.len() > 1 || folders.iter().any(|(name, _)| name.eq_ignore_ascii_case("train"))
    });
    inner.map_or(String::new(), |(_, path)| format!(" (or open {})", path.display()))
}

/// Fails for fewer than two classes.
fn check_several(root: &Path, path: &Path, part: &Part) -> Result<(), DataError> {
    match (part.classes.len(), part.classes.keys().next()) {
        (1, Some(class)) => Err(DataError::OneClass {
            path: path.into(),
            class: class.clone(),
            hint: opens_instead(root),
        }),
        _ => Ok(()),
    }
}

fn missing(root: &Path, names: &[&str]) -> DataError {
    let folders: Vec<_> = names.iter().map(|name| format!("{name}/")).collect();
    let (hint, instead) = match names {
        ["train"] => (" or a folder for each class", opens_instead(root)),
        _ => (" (or the option `validation_fraction`)", String::new()),
    };
    DataError::PartMissing {
        path: root.into(),
        expected: format!("a folder {}{hint}", folders.join(" or ")),
        found: format!("{}{instead}", describe(root)),
    }
}

fn check_filled(path: &Path, part: &Part) -> Result<(), DataError> {
    if part.classes.is_empty() {
        return Err(DataError::NoImages { path: path.into(), found: describe(path) });
    }
    match part.classes.iter().find(|(_, files)| files.is_empty()) {
        Some((class, _)) => {
            let hint = opens_instead(path);
            let path = path.join(class);
            Err(DataError::NoImages { found: format!("{}{hint}", describe(&path)), path })
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
