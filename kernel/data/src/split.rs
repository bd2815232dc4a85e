//! A list of samples for training, validation or test.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::decode::{DEFAULT_MAX_PIXELS, Picture};
use crate::error::DataError;
use crate::samples::Samples;
use crate::seed::{Purpose, generator};

/// One image file and, if known, the number of its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// The index into [`Split::class_names`], or `None` if the class is unknown.
    pub label: Option<usize>,
}

/// A list of samples with the names of their classes: image files, or rows of a [`Samples`]. Cloning
/// is cheap: clones share the list.
#[derive(Clone)]
pub struct Split {
    name: Arc<str>,
    class_names: Arc<[String]>,
    contents: Contents,
}

/// The samples of a split.
#[derive(Clone)]
pub(crate) enum Contents {
    Files(Arc<[Sample]>),
    /// The samples with these indices.
    Rows(Arc<dyn Samples>, Arc<[usize]>),
}

impl Split {
    /// A split from a list of files, for images outside an image folder. `name` is for
    /// messages and tables.
    ///
    /// # Errors
    /// [`DataError::Label`] if a label is not an index into `class_names`.
    pub fn new(
        name: &str,
        class_names: Vec<String>,
        files: Vec<Sample>,
    ) -> Result<Self, DataError> {
        Self::from_parts(name, &class_names.into(), files).checked()
    }

    /// A split of all samples of a custom source.
    ///
    /// # Errors
    /// [`DataError::Label`] if a label is not an index into `class_names`; [`DataError::Shape`] for a
    /// shape without values.
    pub fn from_samples(
        name: &str,
        class_names: Vec<String>,
        samples: Arc<dyn Samples>,
    ) -> Result<Self, DataError> {
        crate::samples::size(samples.shape())?;
        let rows = (0..samples.len()).collect();
        let contents = Contents::Rows(samples, rows);
        Self { name: name.into(), class_names: class_names.into(), contents }.checked()
    }

    pub(crate) fn from_parts(name: &str, class_names: &Arc<[String]>, files: Vec<Sample>) -> Self {
        let contents = Contents::Files(files.into());
        Self { name: name.into(), class_names: Arc::clone(class_names), contents }
    }

    fn checked(self) -> Result<Self, DataError> {
        let classes = self.classes();
        let outside = |index: &usize| self.label(*index).is_some_and(|label| label >= classes);
        match (0..self.len()).find(outside) {
            Some(index) => Err(DataError::Label {
                sample: self.sample_name(index),
                classes,
                found: self.label(index).map_or(-1, |label| label as i64),
            }),
            None => Ok(self),
        }
    }

    /// The name: `train`, `validation` or `test` in a [`Dataset`](crate::Dataset).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The class names in the order of their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The image files in order; empty for samples that are not files.
    pub fn files(&self) -> &[Sample] {
        match &self.contents {
            Contents::Files(files) => files,
            Contents::Rows(..) => &[],
        }
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The path of each image file in order; empty for samples that are not files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files().iter().map(|file| file.path.as_path())
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        match &self.contents {
            Contents::Files(files) => files.len(),
            Contents::Rows(_, rows) => rows.len(),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class number of a sample; `None` if the class is unknown.
    ///
    /// # Panics
    /// If there is no sample with this index. The same holds for all methods with an index.
    pub fn label(&self, index: usize) -> Option<usize> {
        match &self.contents {
            Contents::Files(files) => files[index].label,
            Contents::Rows(samples, rows) => samples.label(rows[index]),
        }
    }

    /// The file of a sample; `None` for a sample that is not a file.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.files().get(index).map(|file| file.path.as_path())
    }

    /// The name of a sample in messages and tables: its path, or for example `sample 17`.
    pub fn sample_name(&self, index: usize) -> String {
        match &self.contents {
            Contents::Files(files) => files[index].path.display().to_string(),
            Contents::Rows(samples, rows) => samples.name(rows[index]),
        }
    }

    /// The image of a sample, for display; `None` if the sample is not an image.
    ///
    /// # Errors
    /// [`DataError::BadImage`] for a file that cannot be used, [`DataError::BadSample`].
    pub fn picture(&self, index: usize) -> Option<Result<Picture, DataError>> {
        match &self.contents {
            Contents::Files(files) => Some(Picture::open(&files[index].path, DEFAULT_MAX_PIXELS)),
            Contents::Rows(samples, rows) => crate::samples::picture(samples.as_ref(), rows[index]),
        }
    }

    /// Whether there are samples and the class of each is known.
    pub fn is_labelled(&self) -> bool {
        !self.is_empty() && self.unlabelled() == 0
    }

    /// The number of samples of each class, in the order of the class numbers.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes()];
        for label in (0..self.len()).filter_map(|index| self.label(index)) {
            counts[label] += 1;
        }
        counts
    }

    /// The number of samples whose class is unknown.
    pub fn unlabelled(&self) -> usize {
        (0..self.len()).filter(|index| self.label(*index).is_none()).count()
    }

    /// Whether both splits list the same samples in the same order. Ignores the splits' names.
    pub fn same_samples(&self, other: &Self) -> bool {
        match (&self.contents, &other.contents) {
            (Contents::Files(mine), Contents::Files(theirs)) => mine == theirs,
            (Contents::Rows(mine, rows), Contents::Rows(theirs, others)) => {
                Arc::ptr_eq(mine, theirs) && rows == others
            }
            _ => false,
        }
    }

    /// At most `per_class` samples of each class (unlabelled ones count as one more class), drawn
    /// with `seed`, in the order of this split.
    pub fn subset(&self, per_class: usize, seed: u64) -> Self {
        let mut kept = Vec::new();
        for (class, indices) in self.indices_by_class().into_iter().enumerate() {
            kept.extend(choose(
                indices,
                per_class,
                generator(Purpose::Subset, seed, 0, class as u64),
            ));
        }
        kept.sort_unstable();
        self.select(&self.name, &kept)
    }

    /// Divides each class (stratified) into a `train` split and a `validation` split with
    /// `fraction` of the samples, above 0 and below 1, drawn with `seed`. Both have the same share of each class, and
    /// so the same accuracy of guessing: 12,500 cats and 12,500 dogs give
    /// 2,674 of each for validation, together the report's 5,348. Each class keeps at least one sample
    /// in both. The order does not change.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a fraction out of range, [`DataError::Division`] for a class with
    /// fewer than 2 samples.
    pub fn divide(&self, fraction: f64, seed: u64) -> Result<(Self, Self), DataError> {
        check_fraction(fraction)?;
        let mut for_validation = vec![false; self.len()];
        for (class, indices) in self.indices_by_class().into_iter().enumerate() {
            let name = self.class_names.get(class);
            if indices.len() < 2 && (name.is_some() || indices.len() == 1) {
                return Err(DataError::Division {
                    place: self.name.to_string(),
                    class: name.map_or("unlabelled", String::as_str).into(),
                    found: indices.len(),
                });
            } else if indices.is_empty() {
                continue;
            }
            let wanted = (indices.len() as f64 * fraction).round() as usize;
            let count = wanted.clamp(1, indices.len() - 1);
            let mut random = generator(Purpose::Split, seed, 0, class as u64);
            for chosen in rand::seq::index::sample(&mut random, indices.len(), count) {
                for_validation[indices[chosen]] = true;
            }
        }
        let part = |validation: bool| -> Vec<usize> {
            (0..self.len()).filter(|index| for_validation[*index] == validation).collect()
        };
        Ok((self.select("train", &part(false)), self.select("validation", &part(true))))
    }

    /// The samples with these indices.
    fn select(&self, name: &str, indices: &[usize]) -> Self {
        let contents = match &self.contents {
            Contents::Files(files) => {
                Contents::Files(indices.iter().map(|index| files[*index].clone()).collect())
            }
            Contents::Rows(samples, rows) => Contents::Rows(
                Arc::clone(samples),
                indices.iter().map(|index| rows[*index]).collect(),
            ),
        };
        Self { name: name.into(), class_names: Arc::clone(&self.class_names), contents }
    }

    /// Decodes every image file and returns an error for each unusable one, in the order of the
    /// samples. Takes as long as an epoch without training, on rayon's global threads.
    pub fn verify(&self) -> Vec<DataError> {
        self.usable().1
    }

    /// The samples with usable image files, and an error for each of the others ([`verify`](Self::verify)).
    pub fn usable(&self) -> (Self, Vec<DataError>) {
        let open = |file: &Sample| Picture::open(&file.path, DEFAULT_MAX_PIXELS).err();
        let mut found: Vec<_> = self.files().par_iter().map(open).collect();
        let good: Vec<usize> =
            (0..self.len()).filter(|index| found.get(*index).is_none_or(Option::is_none)).collect();
        (self.select(&self.name, &good), found.drain(..).flatten().collect())
    }

    /// The indices of the samples by class, with the unlabelled ones last.
    pub(crate) fn indices_by_class(&self) -> Vec<Vec<usize>> {
        let mut groups = vec![Vec::new(); self.classes() + 1];
        for index in 0..self.len() {
            groups[self.label(index).unwrap_or(self.classes())].push(index);
        }
        groups
    }
}

/// SHA-256 in hexadecimal digits of the names of splits, the classes of their samples, and the name and content of each
/// image file or the values of each other sample. A resumed training recognises its data by this digest, and a comparison
/// checks with it that two runs had the same images. Reads every sample, files on rayon's global threads.
pub fn digest(splits: &[Split]) -> String {
    let mut hash = Sha256::new();
    for split in splits {
        let contents = split.files().par_iter().map(|file| match std::fs::read(&file.path) {
            Ok(bytes) => format!("{:x}", Sha256::digest(bytes)),
            Err(error) => error.to_string(),
        });
        let contents: Vec<String> = contents.collect();
        for index in 0..split.len() {
            hash.update(format!("{}\0{:?}\0", split.name(), split.label(index)));
            match split.contents() {
                Contents::Files(files) => {
                    let path = &files[index].path;
                    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                    hash.update(format!("{name}\0{}", contents[index]));
                }
                Contents::Rows(samples, rows) => {
                    let mut values = vec![0.0; samples.shape().iter().product()];
                    match samples.read(rows[index], &mut values) {
                        Ok(()) => {
                            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
                            hash.update(bytes.collect::<Vec<u8>>());
                        }
                        Err(fault) => hash.update(fault.to_string()),
                    }
                }
            }
            hash.update("\n");
        }
    }
    format!("{:x}", hash.finalize())
}

/// # Errors
/// [`DataError::Setting`] for a fraction of samples that leaves one of two parts empty.
pub(crate) fn check_fraction(fraction: f64) -> Result<(), DataError> {
    if fraction > 0.0 && fraction < 1.0 {
        return Ok(());
    }
    Err(DataError::Setting {
        name: "validation_fraction",
        expected: "above 0 and below 1",
        received: fraction.to_string(),
    })
}

/// At most `count` of the indices, drawn at random.
pub(crate) fn choose(mut indices: Vec<usize>, count: usize, mut random: impl Rng) -> Vec<usize> {
    indices.shuffle(&mut random);
    indices.truncate(count);
    indices
}

/// Largest number of classes whose counts are listed; with more, only the smallest and the largest count are given.
pub(crate) const LISTED_CLASSES: usize = 12;

/// The smallest and the largest of some counts: `40`, or `40 to 52`.
pub(crate) fn span(counts: &[usize]) -> String {
    let (low, high) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.contents {
            Contents::Files(_) => "images",
            Contents::Rows(..) => "samples",
        };
        write!(f, "{}: {} {unit}", self.name, self.len())?;
        let mut parts: Vec<String> = Vec::new();
        let counts = self.counts();
        if counts.iter().any(|&count| count > 0) {
            if counts.len() > LISTED_CLASSES {
                parts.push(format!("{} classes of {}", counts.len(), span(&counts)));
            } else {
                let named = self.class_names.iter().zip(counts);
                parts.extend(named.map(|(class, count)| format!("{class} {count}")));
            }
        }
        match self.unlabelled() {
            0 => {}
            count => parts.push(format!("unlabelled {count}")),
        }
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }
}

impl fmt::Debug for Split {
    /// The counts, as in [`Display`](fmt::Display): a list of 25,000 paths does not help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Split({self})")
    }
}
