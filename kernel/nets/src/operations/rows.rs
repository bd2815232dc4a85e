//! Feature map to sequence.

use super::{Mismatch, Rule, map};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Turns a feature map into a sequence, one step per row from the top: `[channels, rows, columns]` to
/// `[1, rows, columns · channels]`. A step's features are the row's pixels from left to right, each with its channels:
/// Keras' `Reshape((rows, columns * channels))`, PyTorch's `x.permute(0, 2, 3, 1).flatten(2)`.
///
/// A sequence is a map of one channel: `[1, steps, features]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {}

impl Rule for Rows {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let [channels, rows, columns] = map(inputs)?;
        Ok(Shape::Map([1, rows, columns.saturating_mul(channels)]))
    }

    fn keras(&self) -> &'static str {
        "Reshape"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        "Rows()".into()
    }
}
