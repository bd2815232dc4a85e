//! Shapes, parameters and printed form that recurrent layers share.

use super::{Mismatch, Tensor, one};
use crate::net::Init;
use crate::shape::Shape;

/// Steps and features of the single input, a sequence.
fn sequence(inputs: &[Shape]) -> Result<[usize; 2], Mismatch> {
    match one(inputs)? {
        Shape::Map([1, steps, features]) => Ok([steps, features]),
        other => {
            Err(Mismatch::new("a sequence [1, steps, features] (put `rows` before it)", other))
        }
    }
}

pub(super) fn output(
    units: usize,
    return_sequences: bool,
    inputs: &[Shape],
) -> Result<Shape, Mismatch> {
    let [steps, _] = sequence(inputs)?;
    if units == 0 {
        return Err(Mismatch::new("at least 1 unit", 0));
    }
    Ok(if return_sequences { Shape::Map([1, steps, units]) } else { Shape::Vector([units]) })
}

/// The parameters under PyTorch's names: for inputs, for the hidden state, and the bias.
pub(super) fn parameters(
    gates: usize,
    units: usize,
    inputs: &[Shape],
) -> Vec<(&'static str, Tensor)> {
    let features = sequence(inputs).map_or(0, |[_, features]| features);
    let init = Init::Uniform { bound: 1.0 / (units as f64).sqrt() };
    let rows = gates.saturating_mul(units);
    let tensor = |shape| Tensor { shape, init, learned: true };
    vec![
        ("weight_ih_l0", tensor(vec![rows, features])),
        ("weight_hh_l0", tensor(vec![rows, units])),
        ("bias_ih_l0", tensor(vec![rows])),
    ]
}

pub(super) fn pytorch(class: &str, units: usize, inputs: &[Shape]) -> String {
    let features = sequence(inputs).map_or(0, |[_, features]| features);
    format!("{class}({features}, {units}, batch_first=True)")
}
