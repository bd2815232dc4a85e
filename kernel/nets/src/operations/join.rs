//! Operations on several inputs.

use super::{Mismatch, Rule};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Sum of two or more inputs of equal shape: the end of a residual block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {}

impl Rule for Add {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let first = several(inputs)?;
        if inputs.iter().any(|shape| *shape != first) {
            return Err(Mismatch::new(
                "inputs of equal shape (a convolution on one path can change its shape)",
                list(inputs),
            ));
        }
        Ok(first)
    }

    fn keras(&self) -> &'static str {
        "Add"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        "Add()".into()
    }
}

/// Concatenates the channels of maps, or vectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concat {}

impl Rule for Concat {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let first = several(inputs)?;
        if inputs.iter().any(|shape| shape.axes()[1..] != first.axes()[1..]) {
            let expected = "inputs with the same height and width, or vectors only";
            return Err(Mismatch::new(expected, list(inputs)));
        }
        let channels = inputs.iter().map(Shape::channels).sum();
        Ok(match first {
            Shape::Map([_, height, width]) => Shape::Map([channels, height, width]),
            Shape::Vector(_) => Shape::Vector([channels]),
        })
    }

    fn keras(&self) -> &'static str {
        "Concatenate"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        "Concat()".into()
    }
}

fn several(inputs: &[Shape]) -> Result<Shape, Mismatch> {
    match inputs {
        [first, _, ..] => Ok(*first),
        _ => Err(Mismatch::new("at least 2 inputs", format!("{}", inputs.len()))),
    }
}

fn list(inputs: &[Shape]) -> String {
    inputs.iter().map(Shape::to_string).collect::<Vec<_>>().join(" and ")
}
