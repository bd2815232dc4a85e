//! ResNet (He et al., 2015), with torchvision's layers and names.

use super::Architecture;
use crate::graph::{Graph, Node};
use crate::operations::{
    Activation, AdaptiveAvgPool2d, Add, BatchNorm, Conv2d, Dense, Flatten, MaxPool2d, Padding,
};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// ResNet with eight residual blocks of two convolutions each. All but the last layer are the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResNet18 {
    /// Number of classes. Default: 2.
    pub classes: usize,
    /// Height and width of the input in pixels. Default: 224.
    pub size: usize,
}

impl ResNet18 {
    /// The net at 224 × 224 with this number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, size: 224 }
    }
}

impl Default for ResNet18 {
    fn default() -> Self {
        Self::new(2)
    }
}

/// A convolution without bias that halves the map if `stride` is 2.
fn conv(channels: usize, side: usize, stride: usize) -> Conv2d {
    let padding = Padding::all(side / 2);
    Conv2d { stride: [stride; 2], padding, bias: false, ..Conv2d::valid(channels, side) }
}

/// One residual block on the output of the last node.
fn block(nodes: &mut Vec<Node>, path: &str, channels: usize, stride: usize, widens: bool) {
    let input = nodes.last().map_or("input".into(), |node| node.name.clone());
    let name = |part: &str| format!("{path}.{part}");
    nodes.push(Node::new(name("conv1"), conv(channels, 3, stride)));
    nodes.push(Node::new(name("bn1"), BatchNorm::default()));
    nodes.push(Node::new(name("relu"), Activation::RELU));
    nodes.push(Node::new(name("conv2"), conv(channels, 3, 1)));
    nodes.push(Node::new(name("bn2"), BatchNorm::default()));
    let shortcut = if widens {
        let projection = conv(channels, 1, stride);
        nodes.push(Node::new(name("downsample.0"), projection).after([&input]));
        nodes.push(Node::new(name("downsample.1"), BatchNorm::default()));
        name("downsample.1")
    } else {
        input
    };
    nodes.push(Node::new(name("add"), Add {}).after([name("bn2"), shortcut]).torch(""));
    nodes.push(Node::new(name("relu_2"), Activation::RELU).torch(""));
}

impl Architecture for ResNet18 {
    fn graph(&self) -> Graph {
        let pool = MaxPool2d { kernel: [3, 3], stride: [2, 2], padding: Padding::all(1) };
        let mut nodes = vec![
            Node::new("conv1", conv(64, 7, 2)),
            Node::new("bn1", BatchNorm::default()),
            Node::new("relu", Activation::RELU),
            Node::new("maxpool", pool),
        ];
        let mut modules = BTreeMap::new();
        for (stage, channels) in (1..).zip([64, 128, 256, 512]) {
            for index in 0..2 {
                let path = format!("layer{stage}.{index}");
                let widens = stage > 1 && index == 0;
                block(&mut nodes, &path, channels, if widens { 2 } else { 1 }, widens);
                modules.insert(path, "BasicBlock".into());
            }
        }
        nodes.push(Node::new("avgpool", AdaptiveAvgPool2d { output: [1, 1] }));
        let base = nodes.len();
        nodes.push(Node::new("flatten", Flatten { order: Default::default() }).torch(""));
        nodes.push(Node::new("fc", Dense::new(self.classes)));
        let input = Shape::Map([3, self.size, self.size]);
        Graph { name: "resnet18".into(), class: "ResNet".into(), modules, input, nodes, base }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn it_has_torchvisions_parameter_count() {
        // torchvision's documented total for 1,000 classes; running statistics (9,600 values) are not in it.
        let net = Net::new(ResNet18::new(1000).graph()).unwrap();
        assert_eq!(net.parameter_counts(false).1, 11_689_512);
        assert_eq!(net.parameter_counts(false).0, 11_689_512 + 9_600);
        assert_eq!(net.features().unwrap().to_string(), "[512, 1, 1]");
    }
}
