//! Dropout.

use super::{Mismatch, Rule, one};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Zeroes each value with probability `rate` in training and scales the others by 1 / (1 − `rate`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// At least 0 and below 1.
    pub rate: f64,
}

impl Rule for Dropout {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Mismatch::new("a dropout rate of at least 0 and below 1", self.rate));
        }
        one(inputs)
    }

    fn keras(&self) -> &'static str {
        "Dropout"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        format!("Dropout(p={}, inplace=False)", self.rate)
    }
}
