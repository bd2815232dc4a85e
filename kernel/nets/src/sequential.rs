//! A net without branches, layer by layer.

use crate::architectures::Architecture;
use crate::graph::{Graph, Node};
use crate::operations::{
    Activation, AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, Function, GlobalAvgPool2d,
    GruLayer, LayerNorm, LstmLayer, MaxPool2d, Operation, Padding, Rows,
};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A chain of layers with Keras' names (`conv2d_1`, `dense_1`, …). [`Net::new`](crate::Net::new) reports mistakes.
///
/// ```
/// use benchbook_nets::Sequential;
/// let net = Sequential::image(3, 64, 64)
///     .conv(32, 3).relu().max_pool(2)
///     .flatten().dense(128).relu().dropout(0.5).dense(10);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequential {
    graph: Graph,
}

impl Sequential {
    /// A net of images with this many channels and pixels.
    pub fn image(channels: usize, height: usize, width: usize) -> Self {
        Self::new(Shape::Map([channels, height, width]))
    }

    /// A net of vectors.
    pub fn vector(length: usize) -> Self {
        Self::new(Shape::Vector([length]))
    }

    fn new(input: Shape) -> Self {
        let (name, class) = ("sequential".into(), "Sequential".into());
        Self {
            graph: Graph {
                name,
                class,
                modules: BTreeMap::new(),
                input,
                nodes: Vec::new(),
                base: 0,
            },
        }
    }

    /// The name in records and summaries. Default: `sequential`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.graph.name = name.into();
        self
    }

    /// Adds any operation and gives it a unique name.
    pub fn layer(mut self, operation: impl Into<Operation>) -> Self {
        let operation = operation.into();
        let kind = kind(&operation);
        let same = self.graph.nodes.iter().filter(|node| self::kind(&node.operation) == kind);
        let name = format!("{kind}_{}", same.count() + 1);
        let index = self.graph.nodes.len();
        self.graph.nodes.push(Node::new(name, operation).torch(index.to_string()));
        self
    }

    /// A convolution with a square window and stride 1 that keeps the map's size.
    pub fn conv(self, channels: usize, side: usize) -> Self {
        self.layer(Conv2d::same(channels, side))
    }

    /// Batch normalisation with PyTorch's epsilon and momentum.
    pub fn batch_norm(self) -> Self {
        self.layer(BatchNorm::default())
    }

    /// Layer normalisation of a vector with PyTorch's epsilon.
    pub fn layer_norm(self) -> Self {
        self.layer(LayerNorm::default())
    }

    /// The rectified linear unit.
    pub fn relu(self) -> Self {
        self.layer(Activation::RELU)
    }

    /// Another activation function.
    pub fn activation(self, function: Function) -> Self {
        self.layer(Activation { function })
    }

    /// Max pooling with adjacent square windows.
    pub fn max_pool(self, side: usize) -> Self {
        self.layer(MaxPool2d::square(side))
    }

    /// Average pooling with adjacent square windows.
    pub fn avg_pool(self, side: usize) -> Self {
        let (kernel, stride) = ([side; 2], [side; 2]);
        self.layer(AvgPool2d { kernel, stride, padding: Padding::default() })
    }

    /// The average of each channel, as a vector.
    pub fn global_avg_pool(self) -> Self {
        self.layer(GlobalAvgPool2d {})
    }

    /// Flattens the map, in PyTorch's order.
    pub fn flatten(self) -> Self {
        self.layer(Flatten { order: Default::default() })
    }

    /// Turns the map into a sequence, one step per row.
    pub fn rows(self) -> Self {
        self.layer(Rows {})
    }

    /// The last hidden state of a long short-term memory over a sequence.
    pub fn lstm(self, units: usize) -> Self {
        self.layer(LstmLayer { units, return_sequences: false })
    }

    /// The last hidden state of a gated recurrent unit over a sequence.
    pub fn gru(self, units: usize) -> Self {
        self.layer(GruLayer { units, return_sequences: false })
    }

    /// A fully connected layer with bias.
    pub fn dense(self, units: usize) -> Self {
        self.layer(Dense::new(units))
    }

    /// Dropout; `rate` is the share of values that become zero.
    pub fn dropout(self, rate: f64) -> Self {
        self.layer(Dropout { rate })
    }

    /// Marks all layers so far as the base, which can be frozen.
    pub fn end_base(mut self) -> Self {
        self.graph.base = self.graph.nodes.len();
        self
    }
}

impl Architecture for Sequential {
    fn graph(&self) -> Graph {
        self.graph.clone()
    }
}

/// Keras' name of a layer of this kind: its class in snake case (keras.utils.naming.auto_name).
fn kind(operation: &Operation) -> String {
    let class: Vec<char> = operation.rule().keras().chars().collect();
    let mut name = String::new();
    for (index, letter) in class.iter().enumerate() {
        let is_lowercase = |at: Option<usize>| {
            at.and_then(|at| class.get(at)).is_some_and(char::is_ascii_lowercase)
        };
        let begins_word =
            is_lowercase(index.checked_sub(1)) || (index > 0 && is_lowercase(Some(index + 1)));
        if letter.is_ascii_uppercase() && begins_word {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_kerass_names() {
        let net = Sequential::image(3, 8, 8)
            .conv(4, 3)
            .batch_norm()
            .relu()
            .activation(Function::LeakyRelu)
            .conv(4, 3)
            .max_pool(2)
            .global_avg_pool()
            .rows()
            .layer(LstmLayer { units: 4, return_sequences: true })
            .gru(4)
            .dense(2);
        let names: Vec<String> = net.graph().nodes.into_iter().map(|node| node.name).collect();
        assert_eq!(
            names,
            [
                "conv2d_1",
                "batch_normalization_1",
                "re_lu_1",
                "leaky_re_lu_1",
                "conv2d_2",
                "max_pooling2d_1",
                "global_average_pooling2d_1",
                "reshape_1",
                "lstm_1",
                "gru_1",
                "dense_1"
            ]
        );
    }
}
