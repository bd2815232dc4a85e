//! A forward pass in the user's code.

use super::{Mismatch, Rule, Tensor, one};
use crate::net::Init;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// A forward pass in a cell's code, from the input to the logits. Only the model that was built with the code can
/// compute it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// Length of the output.
    pub units: usize,
    /// The parameters with their full names.
    pub parameters: Vec<Variable>,
    /// Digest of outputs for a fixed input and fixed starting values, in training and in inference, so that nets with the
    /// same parameters that compute different values differ.
    pub fingerprint: String,
}

/// A parameter of the user's code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// For example `fc.weight`.
    pub name: String,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Whether gradients change it.
    pub learned: bool,
}

impl Rule for Custom {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        one(inputs)?;
        Ok(Shape::Vector([self.units]))
    }

    fn named_parameters(&self, _node: &str, _inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let tensor = |variable: &Variable| Tensor {
            shape: variable.shape.clone(),
            // The user's code draws the starting values.
            init: Init::Constant(0.0),
            learned: variable.learned,
        };
        self.parameters.iter().map(|variable| (variable.name.clone(), tensor(variable))).collect()
    }

    fn keras(&self) -> &'static str {
        "Custom"
    }

    fn pytorch(&self, inputs: &[Shape]) -> String {
        format!("Custom({} to [{}])", inputs[0], self.units)
    }
}
