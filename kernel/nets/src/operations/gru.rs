//! Gated recurrent unit.

use super::{Mismatch, Rule, Tensor, recurrent};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Gated recurrent unit (Cho et al., 2014) from a state of zeros: `[1, steps, features]` to the last hidden state
/// `[units]`, or to all of them, `[1, steps, units]`. The reset gate multiplies after the product with the state, as in
/// PyTorch and in Keras' `reset_after=True`:
///
/// ```text
/// r, z = sigmoid(W x + b + U h), n = tanh(W x + b + r · (U h))
/// h' = (1 − z) · n + z · h
/// ```
///
/// The gates stand in PyTorch's order r, z, n; Keras' is z, r, h. The bias of `U h`, which both libraries have, is zero
/// and frozen. All parameters start from PyTorch's uniform numbers within ±1 / √`units`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GruLayer {
    /// Length of the hidden state.
    pub units: usize,
    /// Whether the output is the hidden state of every step. Default: only the last one.
    #[serde(default)]
    pub return_sequences: bool,
}

impl Rule for GruLayer {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        recurrent::output(self.units, self.return_sequences, inputs)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<(&'static str, Tensor)> {
        recurrent::parameters(3, self.units, inputs)
    }

    fn keras(&self) -> &'static str {
        "GRU"
    }

    fn pytorch(&self, inputs: &[Shape]) -> String {
        recurrent::pytorch("GRU", self.units, inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Init;

    #[test]
    fn it_has_three_gates_and_starts_within_pytorchs_bound() {
        let gru = GruLayer { units: 16, return_sequences: true };
        let sequence = [Shape::Map([1, 8, 5])];
        assert_eq!(gru.output(&sequence), Ok(Shape::Map([1, 8, 16])));
        let shapes = gru.parameters(&sequence).into_iter().map(|(name, t)| (name, t.shape, t.init));
        let init = Init::Uniform { bound: 0.25 };
        let expected = [
            ("weight_ih_l0", vec![48, 5], init),
            ("weight_hh_l0", vec![48, 16], init),
            ("bias_ih_l0", vec![48], init),
        ];
        assert_eq!(shapes.collect::<Vec<_>>(), expected);
        // torch 2.11: print(nn.GRU(5, 16, batch_first=True))
        assert_eq!(gru.pytorch(&sequence), "GRU(5, 16, batch_first=True)");
    }
}
