//! A net without convolutions.

use super::Architecture;
use crate::graph::Graph;
use crate::sequential::Sequential;
use serde::{Deserialize, Serialize};

/// A multilayer perceptron: two dense layers on all pixels, each with ReLU and dropout, and a dense layer with the
/// logits. The form, the units and the dropout are those of Keras' example `mnist_mlp`. There is no base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mlp {
    /// Number of classes. Default: 2.
    pub classes: usize,
    /// Height and width of the input in pixels. Default: 64.
    pub size: usize,
    /// Outputs of each hidden layer. Default: 512.
    pub units: usize,
    /// The dropout rate after each hidden layer. Default: 0.2.
    pub dropout: f64,
}

impl Mlp {
    /// The net at 64 × 64 with this number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, size: 64, units: 512, dropout: 0.2 }
    }
}

impl Default for Mlp {
    fn default() -> Self {
        Self::new(2)
    }
}

impl Architecture for Mlp {
    fn graph(&self) -> Graph {
        let mut net = Sequential::image(3, self.size, self.size).named("mlp").flatten();
        for _ in 0..2 {
            net = net.dense(self.units).relu().dropout(self.dropout);
        }
        net.dense(self.classes).graph()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn its_parameters_are_those_of_its_layers() {
        // 3·64·64·512+512 + 512·512+512 + 512·3+3
        let net = Net::new(Mlp::new(3).graph()).unwrap();
        assert_eq!(net.parameter_counts(false).0, 6_291_968 + 262_656 + 1_539);
        let images = Net::new(Mlp { size: 28, ..Mlp::new(10) }.graph()).unwrap();
        assert_eq!(images.parameters()[0].shape, [512, 3 * 28 * 28]);
    }
}
