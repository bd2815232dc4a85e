//! Fully connected layer.

use super::{Mismatch, Rule, Tensor, vector};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Fully connected layer: `[inputs]` to `[units]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Length of the output.
    pub units: usize,
    /// Whether a bias is added. Default: true.
    #[serde(default = "yes")]
    pub bias: bool,
}

fn yes() -> bool {
    true
}

impl Dense {
    /// A layer with bias.
    pub fn new(units: usize) -> Self {
        Self { units, bias: true }
    }
}

impl Rule for Dense {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        vector(inputs)?;
        if self.units == 0 {
            return Err(Mismatch::new("at least 1 unit", 0));
        }
        Ok(Shape::Vector([self.units]))
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<(&'static str, Tensor)> {
        let length = inputs[0].channels();
        let mut parameters = vec![("weight", Tensor::he(vec![self.units, length], length))];
        if self.bias {
            parameters.push(("bias", Tensor::constant(self.units, 0.0)));
        }
        parameters
    }

    fn keras(&self) -> &'static str {
        "Dense"
    }

    fn pytorch(&self, inputs: &[Shape]) -> String {
        let bias = if self.bias { "True" } else { "False" };
        let inputs = inputs[0].channels();
        format!("Linear(in_features={inputs}, out_features={}, bias={bias})", self.units)
    }
}
