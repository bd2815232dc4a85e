//! A net that a laptop trains in a minute.

use super::Architecture;
use crate::graph::Graph;
use crate::sequential::Sequential;
use serde::{Deserialize, Serialize};

/// Three convolutions of 32, 64 and 128 channels, each with ReLU and max pooling, and a dense layer of 128: the form of
/// the first net in Keras' and PyTorch's tutorials. The convolutions are the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmallCnn {
    /// Number of classes. Default: 2.
    pub classes: usize,
    /// Height and width of the input in pixels, at least 8. Default: 64.
    pub size: usize,
    /// The dropout rate before the last layer. Default: 0.5.
    pub dropout: f64,
}

impl SmallCnn {
    /// The net at 64 × 64 with this number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, size: 64, dropout: 0.5 }
    }
}

impl Default for SmallCnn {
    fn default() -> Self {
        Self::new(2)
    }
}

impl Architecture for SmallCnn {
    fn graph(&self) -> Graph {
        let mut net = Sequential::image(3, self.size, self.size).named("small_cnn");
        for channels in [32, 64, 128] {
            net = net.conv(channels, 3).relu().max_pool(2);
        }
        net.end_base().flatten().dense(128).relu().dropout(self.dropout).dense(self.classes).graph()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn its_parameters_are_those_of_its_layers() {
        // 3·32·9+32 + 32·64·9+64 + 64·128·9+128 + 8·8·128·128+128 + 128·3+3
        let net = Net::new(SmallCnn::new(3).graph()).unwrap();
        assert_eq!(net.parameter_counts(false).0, 896 + 18_496 + 73_856 + 1_048_704 + 387);
    }
}
