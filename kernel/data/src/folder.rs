//! Folders of images, one folder a class, or all in one with the class in the name.

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

/// The part of Kaggle's 25,000 training images that the report validated on: its log says 19,652
/// for training and 5,348 for validation.
pub const REPORT_VALIDATION_FRACTION: f64 = 5_348.0 / 25_000.0;

const VALIDATION_NAMES: [&str; 3] = ["validation", "val", "valid"];
/// `test1` is what Kaggle's archive of the competition is called.
const TEST_NAMES: [&str; 2] = ["test", "test1"];

/// How to open a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FolderOptions {
    /// The part of each class that becomes the validation split when there is no validation folder,
    /// above 0 and below 1. `None` (the default): [`REPORT_VALIDATION_FRACTION`] for Kaggle's flat
    /// layout and for class folders without a split; an error for class folders in `train/`, whose
    /// validation folder may be one with its name misspelt.
    pub validation_fraction: Option<f64>,
    /// The seed of that division. Default: 0.
    pub seed: u64,
}

/// How the images of a folder are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// `train/cat/….jpg` or `cat/….jpg`: one folder a class.
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

/// A folder of images for training, validation and test. Opening it lists the files and decodes
/// none of them.
#[derive(Clone)]
pub struct ImageFolder {
    root: PathBuf,
    layout: Layout,
    /// Whether it has a folder `train`.
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
    /// Three layouts are read: `train/{cat,dog}` with `validation/{cat,dog}` (or `val`, `valid`);
    /// Kaggle's flat `train/cat.123.jpg`; and class folders without a split, as `PetImages/{Cat,Dog}`.
    /// Of the last two a seeded part of each class becomes the validation split. `test/` (or `test1`)
    /// is optional and need not have classes. There may be any number of classes from two. Class names
    /// are sorted before they are numbered, so cat is 0 and dog is 1. Files are sorted by name.
    /// Hidden entries and those of the system (`__MACOSX`, `lost+found`, `Thumbs.db`) are skipped; what
    /// else is not used is listed in [`ignored`](Self::ignored).
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
                // Beside `train/cat`, a missing validation folder may be one with its name misspelt.
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

    /// The fraction and the seed with which a validation split was taken from the training
    /// images, or `None` where the folder has a validation folder.
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

    /// The test images, without labels unless they lie in class folders; empty where there is no
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
    /// The images of one folder: with labels where it has class folders or names like
    /// `cat.123.jpg`, without otherwise. What is not used is not listed; [`ImageFolder`] does that.
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

/// The first of these folders that is there, in whichever case its name is written.
fn find(root: &Path, names: &[&str]) -> Option<PathBuf> {
    let folders = list::folders(root);
    let exact = |wanted: &&str| folders.iter().find(|(name, _)| name == wanted);
    let similar =
        |wanted: &&str| folders.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let found = names.iter().find_map(|name| exact(name).or_else(|| similar(name)));
    found.map(|(_, path)| path.clone())
}

/// Reads class folders, or files with the class in their name, beside which there may be a folder for
/// test: what a folder without `train/` holds.
fn read_undivided(
    root: &Path,
    mut test: Option<PathBuf>,
    ignored: &mut Vec<Ignored>,
) -> Result<(Part, Option<PathBuf>), DataError> {
    let validation = find(root, &VALIDATION_NAMES);
    let reserved = usize::from(validation.is_some()) + usize::from(test.is_some());
    let others = list::folders(root).len() - reserved;
    // `valid` beside `invalid`, and `test` beside `control`, are classes. Otherwise a validation folder
    // belongs to a training folder that is not there.
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

/// A folder within `root` that can be opened instead of it, for a message.
fn opens_instead(root: &Path) -> String {
    let inner = list::folders(root).into_iter().find(|(_, path)| {
        let folders = list::folders(path);
        folders.len() > 1 || folders.iter().any(|(name, _)| name.eq_ignore_ascii_case("train"))
    });
    inner.map_or(String::new(), |(_, path)| format!(" (or open {})", path.display()))
}

/// A net needs at least two classes to choose from.
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
