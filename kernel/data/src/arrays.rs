//! Arrays in memory with a label for each sample.

use std::fmt;
use std::sync::Arc;

use benchbook_display::{Bundle, Rich};

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::folder::{REPORT_VALIDATION_FRACTION, show};
use crate::samples::{SampleFault, Samples, size};
use crate::split::Split;

/// A dataset in memory. The net gets the values without preprocessing or augmentation.
///
/// ```
/// use benchbook_data::Arrays;
///
/// # fn main() -> Result<(), benchbook_data::DataError> {
/// let (values, labels) = (vec![0.5; 8 * 28 * 28], vec![0, 1, 0, 1, 0, 1, 0, 1]);
/// let digits = Arrays::new(values, [1, 28, 28], labels, ["zero", "one"])?.divide(0.25, 7)?;
/// assert_eq!((digits.train().len(), digits.validation().len()), (6, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Arrays {
    shape: Arc<[usize]>,
    /// The training samples before the division.
    whole: Split,
    divided: Option<(f64, u64)>,
    train: Split,
    validation: Split,
    test: Split,
}

impl Arrays {
    /// Samples of `shape` (`[channels, height, width]` or `[features]`), one after the other in
    /// `values` (`[samples, …shape]`, row-major), and the class number of each. A part of each class
    /// becomes the validation split: [`REPORT_VALIDATION_FRACTION`], drawn with seed 0; see
    /// [`divide`](Self::divide) for another division and [`from_parts`](Self::from_parts) for a given one.
    ///
    /// # Errors
    /// [`DataError::Shape`], [`DataError::Lengths`] (values, shape and labels do not fit),
    /// [`DataError::NotFinite`] and [`DataError::Label`] (a label outside the classes), each with
    /// the index; [`DataError::ClassNames`] (fewer than two, or one twice);
    /// [`DataError::Division`] (a class with fewer than two samples).
    pub fn new(
        values: Vec<f32>,
        shape: impl Into<Vec<usize>>,
        labels: Vec<i64>,
        class_names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, DataError> {
        let shape: Arc<[usize]> = shape.into().into();
        let class_names = checked_names(class_names)?;
        let whole = split(WHOLE, &shape, &class_names, values, labels)?;
        let validation = Split::from_parts("validation", &class_names, Vec::new());
        let test = Split::from_parts("test", &class_names, Vec::new());
        let whole_train = whole.clone();
        Self { shape, whole, divided: None, train: whole_train, validation, test }
            .divide(REPORT_VALIDATION_FRACTION, 0)
    }

    /// Samples with a given division into training and validation, each part as values
    /// `[samples, …shape]` and labels.
    ///
    /// # Errors
    /// As [`new`](Self::new), but for the division.
    pub fn from_parts(
        shape: impl Into<Vec<usize>>,
        class_names: impl IntoIterator<Item = impl Into<String>>,
        train: (Vec<f32>, Vec<i64>),
        validation: (Vec<f32>, Vec<i64>),
    ) -> Result<Self, DataError> {
        let shape: Arc<[usize]> = shape.into().into();
        let class_names = checked_names(class_names)?;
        let train = split("train", &shape, &class_names, train.0, train.1)?;
        let validation = split("validation", &shape, &class_names, validation.0, validation.1)?;
        let test = Split::from_parts("test", &class_names, Vec::new());
        Ok(Self { shape, whole: train.clone(), divided: None, train, validation, test })
    }

    /// Adds test samples; without labels if `labels` is empty.
    ///
    /// # Errors
    /// As [`new`](Self::new), but for the division.
    pub fn with_test(mut self, values: Vec<f32>, labels: Vec<i64>) -> Result<Self, DataError> {
        let class_names = self.train.class_names().into();
        self.test = split("test", &self.shape, &class_names, values, labels)?;
        Ok(self)
    }

    /// Divides the training samples again ([`Split::divide`]). Drops the validation samples of
    /// [`from_parts`](Self::from_parts).
    ///
    /// # Errors
    /// As [`Split::divide`].
    pub fn divide(mut self, fraction: f64, seed: u64) -> Result<Self, DataError> {
        (self.train, self.validation) = self.whole.divide(fraction, seed)?;
        self.divided = Some((fraction, seed));
        Ok(self)
    }

    /// The shape of one sample.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.train.classes()
    }

    /// The class names; a label is an index into them.
    pub fn class_names(&self) -> &[String] {
        self.train.class_names()
    }

    /// The training samples.
    pub fn train(&self) -> Split {
        self.train.clone()
    }

    /// The validation samples.
    pub fn validation(&self) -> Split {
        self.validation.clone()
    }

    /// The test samples; none unless [`with_test`](Self::with_test) added some.
    pub fn test(&self) -> Split {
        self.test.clone()
    }

    /// The fraction and the seed of the division; `None` if the division was given.
    pub fn divided(&self) -> Option<(f64, u64)> {
        self.divided
    }

    fn splits(&self) -> Vec<&Split> {
        let all = [&self.train, &self.validation, &self.test];
        all.into_iter().filter(|split| !split.is_empty()).collect()
    }
}

impl Dataset for Arrays {
    fn name(&self) -> String {
        "arrays".into()
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

impl fmt::Display for Arrays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "arrays of shape {:?}", self.shape)?;
        write!(f, "{}", show::table_text(&show::table(&self.splits())))?;
        if let Some((fraction, seed)) = self.divided {
            let percent = fraction * 100.0;
            write!(f, "\nvalidation is {percent:.1} % of each class, drawn with seed {seed}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Arrays {
    /// The same table as [`Display`](fmt::Display).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Rich for Arrays {
    /// Shape, counts and, for images, a grid of training samples.
    fn bundle(&self) -> Bundle {
        let (text, splits) = (self.to_string(), self.splits());
        let above = format!("<div>arrays of shape <code>{:?}</code></div>", self.shape);
        show::bundle(&text, &splits, &self.train, [&above, ""])
    }
}

/// The name of the part that holds all samples before the division.
const WHOLE: &str = "arrays";

/// Values and labels of some samples.
struct Rows {
    part: &'static str,
    shape: Arc<[usize]>,
    values: Vec<f32>,
    /// Empty for samples without labels.
    labels: Vec<i64>,
}

impl Rows {
    fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Samples for Rows {
    fn len(&self) -> usize {
        self.values.len() / self.size()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).map(|label| *label as usize)
    }

    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), SampleFault> {
        let size = self.size();
        out.copy_from_slice(&self.values[index * size..][..size]);
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        sample_name(self.part, index)
    }

    fn in_memory(&self) -> bool {
        true
    }
}

fn sample_name(part: &str, index: usize) -> String {
    if part == WHOLE { format!("sample {index}") } else { format!("{part} sample {index}") }
}

fn checked_names(
    names: impl IntoIterator<Item = impl Into<String>>,
) -> Result<Arc<[String]>, DataError> {
    let names: Arc<[String]> = names.into_iter().map(Into::into).collect();
    let twice = names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
    if names.len() < 2 || twice {
        return Err(DataError::ClassNames { found: names.to_vec() });
    }
    Ok(names)
}

/// Checks the samples of one part and creates a split from them.
fn split(
    part: &'static str,
    shape: &Arc<[usize]>,
    class_names: &Arc<[String]>,
    values: Vec<f32>,
    labels: Vec<i64>,
) -> Result<Split, DataError> {
    let size = size(shape)?;
    let unlabelled = part == "test" && labels.is_empty();
    let count = values.len() / size;
    if !values.len().is_multiple_of(size) || (count != labels.len() && !unlabelled) {
        return Err(DataError::Lengths {
            part,
            values: values.len(),
            shape: shape.to_vec(),
            labels: labels.len(),
        });
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let (index, position, found) = (at / size, at % size, values[at]);
        return Err(DataError::NotFinite { part, index, position, found });
    }
    let classes = class_names.len();
    let outside = |label: &i64| usize::try_from(*label).map_or(true, |label| label >= classes);
    if let Some(index) = labels.iter().position(outside) {
        let sample = sample_name(part, index);
        return Err(DataError::Label { sample, classes, found: labels[index] });
    }
    let rows = Rows { part, shape: Arc::clone(shape), values, labels };
    Split::from_samples(part, class_names.to_vec(), Arc::new(rows))
}
