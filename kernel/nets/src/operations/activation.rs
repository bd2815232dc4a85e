//! Activation functions.

use super::{Mismatch, Rule, one};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// A function of each value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    /// The function.
    pub function: Function,
}

/// Activation functions, with the definitions that PyTorch and Keras share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above 0, otherwise `0.01 · x` (PyTorch's default slope; Keras' is 0.3).
    LeakyRelu,
    /// `x` above 0, otherwise `exp(x) − 1`.
    Elu,
    /// `x · Φ(x)` with the exact normal distribution.
    Gelu,
    /// `x · sigmoid(x)`, also called swish.
    Silu,
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The rectified linear unit.
    pub const RELU: Self = Self { function: Function::Relu };
}

impl Rule for Activation {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        one(inputs)
    }

    fn keras(&self) -> &'static str {
        match self.function {
            Function::Relu | Function::Relu6 => "ReLU",
            Function::LeakyRelu => "LeakyReLU",
            Function::Elu => "ELU",
            Function::Gelu | Function::Silu | Function::Sigmoid | Function::Tanh => "Activation",
        }
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        match self.function {
            Function::Relu => "ReLU(inplace=True)",
            Function::Relu6 => "ReLU6(inplace=True)",
            Function::LeakyRelu => "LeakyReLU(negative_slope=0.01)",
            Function::Elu => "ELU(alpha=1.0)",
            Function::Gelu => "GELU(approximate='none')",
            Function::Silu => "SiLU()",
            Function::Sigmoid => "Sigmoid()",
            Function::Tanh => "Tanh()",
        }
        .into()
    }
}
