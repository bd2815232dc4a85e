//! The values of a net, in one layout for all backends.
//!
//! | parameter | axes |
//! | --- | --- |
//! | weight of a convolution | `[output channels, input channels / groups, rows, columns]` |
//! | weight of a dense layer | `[outputs, inputs]` |
//! | weight of a recurrent layer | `[gates · units, features]`, of the hidden state `[gates · units, units]` |
//! | bias, and the vectors of normalisations | `[channels]` or `[outputs]` |
//!
//! All values are 32-bit floats. A parameter is called like its layer with a suffix (`features.0.weight`). Inputs of a
//! dense layer after a flattening follow that flattening's order. A convolution is a cross-correlation, as both
//! libraries compute it: nothing is mirrored.

use crate::random;
use benchbook_nets::{Init, Parameter};
use std::collections::BTreeMap;

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

/// Arrays that do not fit a net.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// The net has a parameter that the arrays lack.
    #[error("tensor `{name}` is missing in {origin}, which has {found}")]
    Missing {
        /// The tensor.
        name: String,
        /// Where it was looked for.
        origin: String,
        /// What is there.
        found: String,
    },
    /// A tensor belongs to a net of another form.
    #[error("tensor `{name}` must have the shape {expected:?}, got {found:?} in {origin}")]
    Shape {
        /// The tensor.
        name: String,
        /// What the net has.
        expected: Vec<usize>,
        /// What the arrays have.
        found: Vec<usize>,
        /// Where the arrays are from.
        origin: String,
    },
}

impl Parameters {
    /// Starting values from a seed: the same for every backend, machine and number of threads
    /// (up to the last bit of the C library's `cos` and `log`).
    pub fn initial(parameters: &[Parameter], seed: u64) -> Self {
        let array = |(index, parameter): (usize, &Parameter)| {
            let values = match parameter.init {
                Init::Constant(value) => vec![value; parameter.len()],
                Init::He { fan_in } => {
                    let deviation = (2.0 / fan_in as f64).sqrt();
                    random::normal(parameter.len(), deviation, seed, index as u64)
                }
                Init::Uniform { bound } => {
                    random::uniform(parameter.len(), bound, seed, index as u64)
                }
            };
            (parameter.name.clone(), Array { shape: parameter.shape.clone(), values })
        };
        Self { arrays: parameters.iter().enumerate().map(array).collect() }
    }

    /// The array called `name`, with the expected shape.
    ///
    /// # Errors
    /// [`ParametersError`]; `origin` names where the arrays are from.
    pub fn get(
        &self,
        name: &str,
        shape: &[usize],
        origin: &str,
    ) -> Result<&Array, ParametersError> {
        let array = self.arrays.get(name).ok_or_else(|| ParametersError::Missing {
            name: name.into(),
            origin: origin.into(),
            found: self.some_names(),
        })?;
        if array.shape != shape {
            return Err(ParametersError::Shape {
                name: name.into(),
                expected: shape.into(),
                found: array.shape.clone(),
                origin: origin.into(),
            });
        }
        Ok(array)
    }

    /// Checks that every parameter of a net is there with its shape.
    ///
    /// # Errors
    /// [`ParametersError`], naming the first that is not.
    pub fn check(&self, parameters: &[Parameter], origin: &str) -> Result<(), ParametersError> {
        parameters.iter().try_for_each(|p| self.get(&p.name, &p.shape, origin).map(drop))
    }

    /// How many arrays there are, with the first few names.
    pub fn some_names(&self) -> String {
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
    use benchbook_nets::{Architecture, Lstm, Net, Vgg16};

    #[test]
    fn initial_values_have_the_deviation_of_he_and_depend_on_the_seed_alone() {
        let net = Net::new(Vgg16 { size: 32, ..Vgg16::new(2) }.graph()).unwrap();
        let initial = |seed| Parameters::initial(net.parameters(), seed);
        let (one, again, other) = (initial(1), initial(1), initial(2));
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

    #[test]
    fn recurrent_layers_start_within_their_bound() {
        let net = Net::new(Lstm { units: 64, ..Lstm::new(2) }.graph()).unwrap();
        let initial = Parameters::initial(net.parameters(), 1);
        let weight = &initial.arrays["lstm_1.weight_ih_l0"].values;
        assert!(weight.iter().all(|v| v.abs() <= 0.125));
        let squares: f64 = weight.iter().map(|v| f64::from(*v).powi(2)).sum();
        // 1/8 / √3 = 0.072169; 49,152 samples estimate it to about 0.3%.
        let deviation = (squares / weight.len() as f64).sqrt();
        assert!((deviation / 0.072_169 - 1.0).abs() < 0.01, "{deviation}");
    }
}
