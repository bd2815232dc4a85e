//! A model's predictions.

use super::wilson_interval;
use crate::error::Error;
use crate::files::write_atomically;
use benchbook_chart::{BarChart, ConfusionMatrix, Mark, Picture, PictureGrid};
use benchbook_data::Split;
use benchbook_display::{Bundle, Rich};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The prediction for one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The file's path, or the sample's name.
    pub name: String,
    /// Its index in the split.
    pub index: usize,
    /// Index of the most probable class.
    pub class: usize,
    /// The probability of each class, `[classes]`.
    pub probabilities: Vec<f32>,
    /// The sample's true class, if known.
    pub truth: Option<usize>,
}

impl Prediction {
    /// The probability of the most probable class, 1 / classes to 1.
    pub fn probability(&self) -> f64 {
        f64::from(self.probabilities[self.class])
    }
}

/// The predictions for a split, in its order. Shown as a grid of the first images.
#[derive(Clone)]
pub struct Predictions {
    /// The split.
    pub split: Split,
    /// Class names.
    pub classes: Vec<String>,
    /// One prediction per sample.
    pub predictions: Vec<Prediction>,
    /// Elapsed time from the first file to the last result.
    pub seconds: f64,
}

/// `1 image`, `2 images`.
fn images(count: usize) -> String {
    if count == 1 { "1 image".into() } else { format!("{count} images") }
}

/// Images in the grid that a cell shows.
const SHOWN: usize = 12;

impl Predictions {
    /// Number of correct predictions, and of images whose class is known.
    pub fn correct(&self) -> (usize, usize) {
        let known = self.predictions.iter().filter(|p| p.truth.is_some());
        (known.clone().filter(|p| p.truth == Some(p.class)).count(), known.count())
    }

    /// The first `count` images with their predicted classes, marked right or wrong if the class is known.
    ///
    /// # Errors
    /// [`Error::Data`] if a file can no longer be read.
    pub fn grid(&self, count: usize) -> Result<PictureGrid, Error> {
        self.grid_of(self.to_string(), self.predictions.iter().take(count))
    }

    /// The `count` wrong predictions with the highest probability, in decreasing order.
    ///
    /// # Errors
    /// [`Error::Unlabelled`] if no image has a known class, [`Error::Data`] if a file can no longer be read.
    pub fn most_wrong(&self, count: usize) -> Result<PictureGrid, Error> {
        self.accuracy()?;
        let mut wrong: Vec<&Prediction> =
            self.predictions.iter().filter(|p| p.truth.is_some_and(|t| t != p.class)).collect();
        wrong.sort_by(|a, b| b.probability().total_cmp(&a.probability()));
        let title = format!("{}: {} wrong, the most certain first", self.split.name(), wrong.len());
        self.grid_of(title, wrong.into_iter().take(count))
    }

    /// The `count` predictions with the lowest probability, right or wrong, in increasing order.
    ///
    /// # Errors
    /// [`Error::Data`] if a file can no longer be read.
    pub fn most_unsure(&self, count: usize) -> Result<PictureGrid, Error> {
        let mut all: Vec<&Prediction> = self.predictions.iter().collect();
        all.sort_by(|a, b| a.probability().total_cmp(&b.probability()));
        let title = format!("{}: the least certain first", self.split.name());
        self.grid_of(title, all.into_iter().take(count))
    }

    fn grid_of<'a>(
        &self,
        title: String,
        predictions: impl Iterator<Item = &'a Prediction>,
    ) -> Result<PictureGrid, Error> {
        let mut grid = PictureGrid::new(title).columns(6);
        for prediction in predictions {
            let Some(picture) = self.split.picture(prediction.index) else { continue };
            let picture = picture?;
            let Some(pixels) =
                image::RgbImage::from_raw(picture.width, picture.height, picture.rgb)
            else {
                continue;
            };
            let mark = prediction
                .truth
                .map(|truth| if truth == prediction.class { Mark::Right } else { Mark::Wrong });
            let class = &self.classes[prediction.class];
            let percent = prediction.probability() * 100.0;
            let caption = match prediction.truth {
                Some(truth) if truth != prediction.class => {
                    let file = Path::new(&prediction.name).file_name().unwrap_or_default();
                    let truth = &self.classes[truth];
                    format!("{class} {percent:.0}%, is {truth}: {}", file.to_string_lossy())
                }
                _ => format!("{class} {percent:.0}%"),
            };
            grid = grid.with(Picture { pixels, caption, mark });
        }
        Ok(grid)
    }

    /// Share of correct predictions, 0 to 1, and the ends of Wilson's 95% interval.
    ///
    /// # Errors
    /// [`Error::Unlabelled`] if no image has a known class.
    pub fn accuracy(&self) -> Result<(f64, [f64; 2]), Error> {
        let (correct, known) = self.correct();
        if known == 0 {
            return Err(Error::Unlabelled { split: self.split.name().into() });
        }
        let (low, high) = wilson_interval(correct, known);
        Ok((correct as f64 / known as f64, [low, high]))
    }

    /// The accuracy of all images and of each class, 0 to 1, as bars with Wilson's 95% intervals. A class without images
    /// has no bar.
    ///
    /// # Errors
    /// [`Error::Unlabelled`] if no image has a known class, [`Error::Chart`].
    pub fn accuracy_chart(&self) -> Result<BarChart, Error> {
        let mut names = vec!["all".to_owned()];
        let mut counts = vec![self.correct()];
        for (index, class) in self.classes.iter().enumerate() {
            let own = self.predictions.iter().filter(|p| p.truth == Some(index));
            names.push(class.clone());
            counts.push((own.clone().filter(|p| p.class == index).count(), own.count()));
        }
        let (_, known) = counts[0];
        self.accuracy()?;
        let mut bars = [const { Vec::new() }; 3];
        for (correct, known) in counts {
            let (low, high) = match known {
                0 => (f64::NAN, f64::NAN),
                known => wilson_interval(correct, known),
            };
            let figures = [correct as f64 / known as f64, low, high];
            bars.iter_mut().zip(figures).for_each(|(values, figure)| values.push(figure));
        }
        let [values, low, high] = bars;
        let chart = BarChart::new(format!("{}: accuracy", self.split.name()), names).y("accuracy");
        let chart = chart.series_with_interval("accuracy", values, low, high)?;
        Ok(chart.subtitle(format!("{}, 95% intervals (Wilson)", images(known))))
    }

    /// The numbers of predictions by true and predicted class, under the accuracy with its interval.
    ///
    /// # Errors
    /// [`Error::Unlabelled`] if no image has a known class, [`Error::Chart`].
    pub fn confusion_matrix(&self) -> Result<ConfusionMatrix, Error> {
        let (accuracy, [low, high]) = self.accuracy()?;
        let mut counts = vec![vec![0_u64; self.classes.len()]; self.classes.len()];
        for prediction in &self.predictions {
            if let Some(truth) = prediction.truth {
                counts[truth][prediction.class] += 1;
            }
        }
        let matrix =
            ConfusionMatrix::new(self.split.name().to_owned(), self.classes.clone(), counts)?;
        Ok(matrix.subtitle(format!("accuracy {accuracy:.3} (95%: {low:.3} to {high:.3})")))
    }

    /// Writes a CSV file with the columns `id,path,label,probability`: the file name without extension, the path, the
    /// predicted class and its probability; with more than two classes also the probability of each. Replaces the file
    /// atomically.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = path.as_ref();
        let each = if self.classes.len() > 2 { self.classes.as_slice() } else { &[] };
        let mut text = String::from("id,path,label,probability");
        for class in each {
            text += &format!(",{}", quoted(&format!("probability of {class}")));
        }
        text.push('\n');
        for prediction in &self.predictions {
            let stem = Path::new(&prediction.name).file_stem().unwrap_or_default();
            let id = stem.to_string_lossy().into_owned();
            let fields = [id, prediction.name.clone(), self.classes[prediction.class].clone()];
            let fields = fields.map(|field| quoted(&field));
            text += &format!("{},{:.6}", fields.join(","), prediction.probability());
            for (probability, _) in prediction.probabilities.iter().zip(each) {
                text += &format!(",{probability:.6}");
            }
            text.push('\n');
        }
        write_atomically(path, |file| file.write_all(text.as_bytes()))
            .map_err(Error::file("write", path))?;
        Ok(path.into())
    }
}

/// A CSV field, quoted after RFC 4180 where necessary.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

impl fmt::Display for Predictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.split.name(), images(self.predictions.len()))?;
        for (index, class) in self.classes.iter().enumerate() {
            let count = self.predictions.iter().filter(|p| p.class == index).count();
            write!(f, ", {count} {class}")?;
        }
        match self.correct() {
            (_, 0) => Ok(()),
            (correct, known) => write!(f, ", {correct} of {known} right"),
        }
    }
}

impl fmt::Debug for Predictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predictions({self})")
    }
}

impl Rich for Predictions {
    fn bundle(&self) -> Bundle {
        match self.grid(SHOWN) {
            Ok(grid) => grid.bundle(),
            Err(error) => Bundle::text(format!("{self}\n({error})")),
        }
    }
}
