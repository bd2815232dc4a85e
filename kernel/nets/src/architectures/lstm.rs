//! A recurrent net that reads an image row by row: long short-term memory.

use super::Architecture;
use crate::graph::Graph;
use crate::sequential::Sequential;
use serde::{Deserialize, Serialize};

/// An LSTM that takes one row of the image after the other, from the top, and a dense layer on its last hidden state. The
/// LSTM is the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lstm {
    /// Number of classes. Default: 2.
    pub classes: usize,
    /// Height and width of the input in pixels: the number of steps. Default: 64.
    pub size: usize,
    /// Length of the hidden state. Default: 128.
    pub units: usize,
}

impl Lstm {
    /// The net at 64 × 64 with this number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, size: 64, units: 128 }
    }
}

impl Default for Lstm {
    fn default() -> Self {
        Self::new(2)
    }
}

impl Architecture for Lstm {
    fn graph(&self) -> Graph {
        let image = Sequential::image(3, self.size, self.size).named("lstm");
        image.rows().lstm(self.units).end_base().dense(self.classes).graph()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn its_parameters_are_those_of_its_layers() {
        // 4 · (3·64·128 + 128·128 + 128) + 128·3+3
        let net = Net::new(Lstm::new(3).graph()).unwrap();
        assert_eq!(net.parameter_counts(false).0, 164_352 + 387);
        assert_eq!(net.features().unwrap().to_string(), "[128]");
        assert_eq!(net.layers()[0].output.to_string(), "[1, 64, 192]");
    }
}
