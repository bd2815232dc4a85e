//! AlexNet in torchvision's form (Krizhevsky, 2014: "One weird trick for parallelizing convolutional neural networks").

use super::Architecture;
use crate::graph::{Graph, Node};
use crate::operations::{
    Activation, AdaptiveAvgPool2d, Conv2d, Dense, Dropout, Flatten, MaxPool2d, Operation, Padding,
};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Five convolutions and three dense layers, with torchvision's layers and names. The convolutions are the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlexNet {
    /// Number of classes. Default: 2.
    pub classes: usize,
    /// Height and width of the input in pixels, at least 63. Default: 224.
    pub size: usize,
    /// The rate of both dropouts. Default: 0.5.
    pub dropout: f64,
}

impl AlexNet {
    /// The net at 224 × 224 with this number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, size: 224, dropout: 0.5 }
    }
}

impl Default for AlexNet {
    fn default() -> Self {
        Self::new(2)
    }
}

/// Nodes with their indices as names, as torchvision has them.
fn named<const N: usize>(module: &str, operations: [Operation; N]) -> Vec<Node> {
    let node = |(index, operation)| Node::new(format!("{module}.{index}"), operation);
    (0..).zip(operations).map(node).collect()
}

impl Architecture for AlexNet {
    fn graph(&self) -> Graph {
        let conv = |channels, side, stride, padding| Conv2d {
            stride: [stride; 2],
            padding: Padding::all(padding),
            ..Conv2d::valid(channels, side)
        };
        let pool = || MaxPool2d { stride: [2, 2], ..MaxPool2d::square(3) };
        let dropout = Dropout { rate: self.dropout };
        let features = [
            conv(64, 11, 4, 2).into(),
            Activation::RELU.into(),
            pool().into(),
            conv(192, 5, 1, 2).into(),
            Activation::RELU.into(),
            pool().into(),
            conv(384, 3, 1, 1).into(),
            Activation::RELU.into(),
            conv(256, 3, 1, 1).into(),
            Activation::RELU.into(),
            conv(256, 3, 1, 1).into(),
            Activation::RELU.into(),
            pool().into(),
        ];
        let classifier = [
            dropout.clone().into(),
            Dense::new(4096).into(),
            Activation::RELU.into(),
            dropout.into(),
            Dense::new(4096).into(),
            Activation::RELU.into(),
            Dense::new(self.classes).into(),
        ];
        let base = features.len();
        let mut nodes = named("features", features);
        nodes.push(Node::new("avgpool", AdaptiveAvgPool2d { output: [6, 6] }));
        nodes.push(Node::new("flatten", Flatten { order: Default::default() }).torch(""));
        nodes.extend(named("classifier", classifier));
        Graph {
            name: "alexnet".into(),
            class: "AlexNet".into(),
            modules: BTreeMap::new(),
            input: Shape::Map([3, self.size, self.size]),
            nodes,
            base,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn it_has_torchvisions_parameter_count() {
        // torchvision's documented total for 1,000 classes.
        let net = Net::new(AlexNet::new(1000).graph()).unwrap();
        assert_eq!(net.parameter_counts(false), (61_100_840, 61_100_840));
        assert_eq!(net.features().unwrap().to_string(), "[256, 6, 6]");
    }

    #[test]
    fn an_image_smaller_than_63_pixels_is_refused_by_the_last_pooling() {
        let net = |size| Net::new(AlexNet { size, ..AlexNet::new(2) }.graph());
        let text = net(62).unwrap_err().to_string();
        for part in ["alexnet", "features.12", "at least 3 × 3", "[256, 2, 2]"] {
            assert!(text.contains(part), "{text}");
        }
        net(63).unwrap();
    }
}
