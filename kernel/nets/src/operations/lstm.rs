//! Long short-term memory.

use super::{Mismatch, Rule, Tensor, recurrent};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Long short-term memory (Hochreiter and Schmidhuber, 1997, with forget gates) from a state of zeros: `[1, steps,
/// features]` to the last hidden state `[units]`, or to all of them, `[1, steps, units]`.
///
/// ```text
/// i, f, o = sigmoid(W x + U h + b), g = tanh(W x + U h + b)
/// c' = f · c + i · g, h' = o · tanh(c')
/// ```
///
/// The gates stand in PyTorch's order i, f, g, o, which is Keras' i, f, c, o. There is one bias, as in Keras; PyTorch's
/// second one is zero and frozen. All parameters start from PyTorch's uniform numbers within ±1 / √`units`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LstmLayer {
    /// Length of the hidden state.
    pub units: usize,
    /// Whether the output is the hidden state of every step. Default: only the last one.
    #[serde(default)]
    pub return_sequences: bool,
}

impl Rule for LstmLayer {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        recurrent::output(self.units, self.return_sequences, inputs)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<(&'static str, Tensor)> {
        recurrent::parameters(4, self.units, inputs)
    }

    fn keras(&self) -> &'static str {
        "LSTM"
    }

    fn pytorch(&self, inputs: &[Shape]) -> String {
        recurrent::pytorch("LSTM", self.units, inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_a_sequence_and_has_kerass_number_of_parameters() {
        let lstm = |return_sequences| LstmLayer { units: 64, return_sequences };
        let sequence = [Shape::Map([1, 32, 96])];
        assert_eq!(lstm(false).output(&sequence), Ok(Shape::Vector([64])));
        assert_eq!(lstm(true).output(&sequence), Ok(Shape::Map([1, 32, 64])));
        let count = |(_, tensor): (_, Tensor)| tensor.shape.iter().product::<usize>();
        let parameters: usize = lstm(false).parameters(&sequence).into_iter().map(count).sum();
        // keras.layers.LSTM(64) of 96 features: 4 · (96 · 64 + 64 · 64 + 64)
        assert_eq!(parameters, 41_216);
        // torch 2.11: print(nn.LSTM(96, 64, batch_first=True))
        assert_eq!(lstm(false).pytorch(&sequence), "LSTM(96, 64, batch_first=True)");
    }

    #[test]
    fn an_image_without_rows_and_a_layer_without_units_are_refused() {
        let output = |units, shape| LstmLayer { units, return_sequences: false }.output(&[shape]);
        let error = output(4, Shape::Map([3, 8, 8])).unwrap_err();
        assert!(error.expected.contains("`rows`"), "{error:?}");
        assert_eq!(error.got, "[3, 8, 8]");
        assert_eq!(output(4, Shape::Vector([8])).unwrap_err().got, "[8]");
        assert_eq!(output(0, Shape::Map([1, 8, 8])).unwrap_err().expected, "at least 1 unit");
    }
}
