//! Normalisation.

use super::{Mismatch, Rule, Tensor, one, vector};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Batch normalisation of each channel of a map, or of each value of a vector. In training the batch's mean and biased
/// variance are used, and the running statistics move by `momentum` towards the batch's mean and unbiased variance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Keeps the denominator from zero. Default: 1e-5, PyTorch's (Keras' is 1e-3).
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// The share of the new batch in the running statistics, PyTorch's form. Default: 0.1 (Keras' default, in this
    /// form, is 0.01).
    #[serde(default = "momentum")]
    pub momentum: f64,
}

fn epsilon() -> f64 {
    1e-5
}

fn momentum() -> f64 {
    0.1
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { epsilon: epsilon(), momentum: momentum() }
    }
}

impl Rule for BatchNorm {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        positive(self.epsilon)?;
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Mismatch::new("a momentum from 0 to 1", self.momentum));
        }
        one(inputs)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<(&'static str, Tensor)> {
        let channels = inputs[0].channels();
        vec![
            ("weight", Tensor::constant(channels, 1.0)),
            ("bias", Tensor::constant(channels, 0.0)),
            ("running_mean", Tensor::constant(channels, 0.0).fixed()),
            ("running_var", Tensor::constant(channels, 1.0).fixed()),
        ]
    }

    fn keras(&self) -> &'static str {
        "BatchNormalization"
    }

    fn pytorch(&self, inputs: &[Shape]) -> String {
        let dimensions = if matches!(inputs[0], Shape::Map(_)) { 2 } else { 1 };
        format!(
            "BatchNorm{dimensions}d({}, eps={}, momentum={}, affine=True, track_running_stats=True)",
            inputs[0].channels(),
            python(self.epsilon),
            python(self.momentum)
        )
    }
}

/// Layer normalisation of a vector: mean and biased variance over its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// Keeps the denominator from zero. Default: 1e-5, PyTorch's (Keras' is 1e-3).
    #[serde(default = "epsilon")]
    pub epsilon: f64,
}

impl Default for LayerNorm {
    fn default() -> Self {
        Self { epsilon: epsilon() }
    }
}

impl Rule for LayerNorm {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        positive(self.epsilon)?;
        vector(inputs).map(|length| Shape::Vector([length]))
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<(&'static str, Tensor)> {
        let length = inputs[0].channels();
        vec![("weight", Tensor::constant(length, 1.0)), ("bias", Tensor::constant(length, 0.0))]
    }

    fn keras(&self) -> &'static str {
        "LayerNormalization"
    }

    fn pytorch(&self, inputs: &[Shape]) -> String {
        let epsilon = python(self.epsilon);
        format!("LayerNorm(({},), eps={epsilon}, elementwise_affine=True)", inputs[0].channels())
    }
}

fn positive(epsilon: f64) -> Result<(), Mismatch> {
    if epsilon.is_finite() && epsilon > 0.0 {
        return Ok(());
    }
    Err(Mismatch::new("a finite epsilon above 0", epsilon))
}

/// A number as Python prints it: below 1e-4 with an exponent of two digits.
fn python(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-4 {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once("e-").unwrap_or((&text, "0"));
        return format!("{digits}e-{exponent:0>2}");
    }
    format!("{number:?}")
}
