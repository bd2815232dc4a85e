//! The values of a net, in one layout for all backends.
//!
//! | parameter | axes |
//! | --- | --- |
//! | weight of a convolution | `[output channels, input channels, rows, columns]` |
//! | weight of a dense layer | `[outputs, inputs]` |
//! | bias, and the four vectors of batch normalisation | `[channels]` or `[outputs]` |
//!
//! All values are 32-bit floats. Names are torchvision's where torchvision has the layer
//! (`features.0.weight`, `classifier.0.bias`, …) and `dense_1` to `dense_3` in the Keras head.
//! The inputs of `dense_1` follow Keras' flattening: input `(row · width + column) · 512 + channel`.
//! A convolution is a cross-correlation, as both libraries compute it: nothing is mirrored.

mod file;
mod he;
mod keras;
mod torch;

pub use file::WeightsError;
use std::collections::BTreeMap;

/// Which part of the net a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The convolutions.
    Base,
    /// The layers after them.
    Head,
}

/// The value that a parameter starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and standard deviation √(2 / `fan_in`) (He et al., 2015, equation 10).
    He {
        /// Number of inputs that one output sees.
        fan_in: usize,
    },
    /// The same value everywhere.
    Constant(f32),
}

/// One parameter as the net expects it.
#[derive(Clone, Debug, PartialEq)]
pub struct Specification {
    /// For example `features.0.weight`.
    pub name: String,
    /// In the layout of this module.
    pub shape: Vec<usize>,
    /// What it starts from.
    pub init: Init,
    /// Where it belongs.
    pub part: Part,
    /// Whether gradients change it; the running statistics of batch normalisation are not learned.
    pub learned: bool,
}

impl Specification {
    /// Number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A named block of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// In row-major order: the last axis changes fastest.
    pub values: Vec<f32>,
}

/// Arrays by name: the weights of a net, or the state of an optimiser.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// Sorted by name.
    pub arrays: BTreeMap<String, Array>,
}

impl Parameters {
    /// Starting values from a seed: the same for every backend, machine and number of threads
    /// (up to the last bit of the C library's `cos` and `log`).
    pub fn initial(specifications: &[Specification], seed: u64) -> Self {
        let arrays = specifications
            .iter()
            .enumerate()
            .map(|(index, specification)| {
                let values = match specification.init {
                    Init::Constant(value) => vec![value; specification.len()],
                    Init::He { fan_in } => {
                        let deviation = (2.0 / fan_in as f64).sqrt();
                        he::normal(specification.len(), deviation, seed, index as u64)
                    }
                };
                (specification.name.clone(), Array { shape: specification.shape.clone(), values })
            })
            .collect();
        Self { arrays }
    }

    /// The array called `name`, with the expected shape.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Shape`]; `origin` names where the arrays are from.
    pub fn get(&self, name: &str, shape: &[usize], origin: &str) -> Result<&Array, WeightsError> {
        let array = self.arrays.get(name).ok_or_else(|| WeightsError::Missing {
            name: name.into(),
            origin: origin.into(),
            found: self.some_names(),
        })?;
        if array.shape != shape {
            return Err(WeightsError::Shape {
                name: name.into(),
                expected: shape.into(),
                found: array.shape.clone(),
                origin: origin.into(),
            });
        }
        Ok(array)
    }

    fn some_names(&self) -> String {
        let mut names: Vec<&str> = self.arrays.keys().take(4).map(String::as_str).collect();
        if self.arrays.len() > names.len() {
            names.push("…");
        }
        format!("{} tensors ({})", self.arrays.len(), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vgg::Architecture;

    #[test]
    fn initial_values_have_the_deviation_of_he_and_depend_on_the_seed_alone() {
        let net = Architecture { size: 32, ..Architecture::default() };
        let (one, again, other) = (
            Parameters::initial(&net.parameters(), 1),
            Parameters::initial(&net.parameters(), 1),
            Parameters::initial(&net.parameters(), 2),
        );
        assert_eq!(one, again);
        assert_ne!(one, other);
        let weight = &one.arrays["features.28.weight"];
        let mean =
            weight.values.iter().map(|v| f64::from(*v)).sum::<f64>() / weight.values.len() as f64;
        let variance = weight.values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>()
            / weight.values.len() as f64;
        // √(2 / (512·9)) = 0.020833; 2.36 million samples estimate it to about 0.05%.
        assert!((variance.sqrt() / 0.020_833 - 1.0).abs() < 0.002, "{}", variance.sqrt());
        assert!(mean.abs() < 1e-4, "{mean}");
        assert!(one.arrays["features.28.bias"].values.iter().all(|v| *v == 0.0));
    }
}
