//! A list of samples: what is trained, validated or tested on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::decode::{DEFAULT_MAX_PIXELS, Picture};
use crate::error::DataError;
use crate::seed::{Purpose, generator};

/// One picture and, where it is known, the number of its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// The index into [`Split::classes`], or `None` where the class is unknown.
    pub label: Option<usize>,
}

/// A list of samples with the names of their classes. Cloning is cheap: clones share the list.
#[derive(Clone)]
pub struct Split {
    name: Arc<str>,
    classes: Arc<[String]>,
    samples: Arc<[Sample]>,
}

impl Split {
    /// A split from its parts, for pictures that do not lie in an image folder. `name` is for
    /// messages and tables.
    ///
    /// # Errors
    /// [`DataError::Setting`] if a label is not an index into `classes`.
    pub fn new(name: &str, classes: Vec<String>, samples: Vec<Sample>) -> Result<Self, DataError> {
        let outside = samples.iter().find(|s| s.label.is_some_and(|l| l >= classes.len()));
        if let Some(Sample { path, label: Some(label) }) = outside {
            return Err(DataError::Setting {
                name: "label",
                expected: "an index into the class names",
                received: format!("{label} for {} with {} classes", path.display(), classes.len()),
            });
        }
        Ok(Self::from_parts(name, &classes.into(), samples))
    }

    pub(crate) fn from_parts(name: &str, classes: &Arc<[String]>, samples: Vec<Sample>) -> Self {
        Self { name: name.into(), classes: Arc::clone(classes), samples: samples.into() }
    }

    /// The name: `train`, `validation` or `test` in an image folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The class names in the order of their numbers.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The samples in their order.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The path of each sample in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.samples.iter().map(|sample| sample.path.as_path())
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Whether there are samples and the class of each is known.
    pub fn is_labelled(&self) -> bool {
        !self.is_empty() && self.samples.iter().all(|sample| sample.label.is_some())
    }

    /// The number of samples of each class, in the order of the class numbers.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for label in self.samples.iter().filter_map(|sample| sample.label) {
            counts[label] += 1;
        }
        counts
    }

    /// The number of samples whose class is unknown.
    pub fn unlabelled(&self) -> usize {
        self.samples.iter().filter(|sample| sample.label.is_none()).count()
    }

    /// At most `per_class` samples of each class (unlabelled ones count as one more class), drawn
    /// with `seed`, in the order that they have here.
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
        let samples = kept.into_iter().map(|index| self.samples[index].clone()).collect();
        Self::from_parts(&self.name, &self.classes, samples)
    }

    /// Decodes every picture and gives an error for each that cannot be used, in the order of the
    /// samples. It takes as long as an epoch without training; it uses rayon's global threads.
    pub fn verify(&self) -> Vec<DataError> {
        self.usable().1
    }

    /// The samples whose pictures can be used, and an error for each of the others: what
    /// [`verify`](Self::verify) finds is left out.
    pub fn usable(&self) -> (Self, Vec<DataError>) {
        let found: Vec<_> = self
            .samples
            .par_iter()
            .map(|sample| Picture::open(&sample.path, DEFAULT_MAX_PIXELS).err())
            .collect();
        let usable = self.samples.iter().zip(&found).filter(|(_, fault)| fault.is_none());
        let samples = usable.map(|(sample, _)| sample.clone()).collect();
        (
            Self::from_parts(&self.name, &self.classes, samples),
            found.into_iter().flatten().collect(),
        )
    }

    /// The indices of the samples class by class, and the unlabelled ones last.
    pub(crate) fn indices_by_class(&self) -> Vec<Vec<usize>> {
        let mut groups = vec![Vec::new(); self.classes.len() + 1];
        for (index, sample) in self.samples.iter().enumerate() {
            groups[sample.label.unwrap_or(self.classes.len())].push(index);
        }
        groups
    }
}

/// At most `count` of the indices, drawn at random.
pub(crate) fn choose(mut indices: Vec<usize>, count: usize, mut random: impl Rng) -> Vec<usize> {
    indices.shuffle(&mut random);
    indices.truncate(count);
    indices
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} pictures", self.name, self.len())?;
        let mut parts: Vec<String> = Vec::new();
        if self.counts().iter().any(|&count| count > 0) {
            let named = self.classes.iter().zip(self.counts());
            parts.extend(named.map(|(class, count)| format!("{class} {count}")));
        }
        match self.unlabelled() {
            0 => {}
            count => parts.push(format!("unlabelled {count}")),
        }
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }
}

impl fmt::Debug for Split {
    /// The counts, as in [`Display`](fmt::Display): a list of 25,000 paths helps nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Split({self})")
    }
}
