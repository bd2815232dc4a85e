//! MobileNetV2 (Sandler et al., 2018, table 2), with torchvision's layers and names.

use super::Architecture;
use crate::graph::{Graph, Node};
use crate::operations::{
    Activation, Add, BatchNorm, Conv2d, Dense, Dropout, Function, GlobalAvgPool2d,
};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seventeen inverted residuals, each with a depthwise convolution, between two convolutions.
/// All but dropout and the last layer are the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MobileNetV2 {
    /// Number of classes. Default: 2.
    pub classes: usize,
    /// Height and width of the input in pixels. Default: 224.
    pub size: usize,
    /// The dropout rate before the last layer. Default: 0.2.
    pub dropout: f64,
}

impl MobileNetV2 {
    /// The net at 224 × 224 with this number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, size: 224, dropout: 0.2 }
    }
}

impl Default for MobileNetV2 {
    fn default() -> Self {
        Self::new(2)
    }
}

/// Expansion, output channels, blocks and first stride of each stage.
const STAGES: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

/// The graph under construction.
#[derive(Default)]
struct Built {
    nodes: Vec<Node>,
    modules: BTreeMap<String, String>,
}

impl Built {
    fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// A convolution without bias, batch normalisation and ReLU6.
    fn activated(&mut self, path: &str, conv: Conv2d) {
        self.push(Node::new(format!("{path}.0"), conv));
        self.push(Node::new(format!("{path}.1"), BatchNorm::default()));
        self.push(Node::new(format!("{path}.2"), Activation { function: Function::Relu6 }));
        self.modules.insert(path.into(), "Conv2dNormActivation".into());
    }

    /// One inverted residual on the output of the last node, from `inputs` to `outputs` channels.
    fn block(
        &mut self,
        path: &str,
        inputs: usize,
        outputs: usize,
        expansion: usize,
        stride: usize,
    ) {
        let input = self.nodes.last().map_or("input".into(), |node| node.name.clone());
        let hidden = inputs * expansion;
        let mut parts = (0..).map(|index| format!("{path}.conv.{index}"));
        let mut part = || parts.next().unwrap_or_default();
        if expansion > 1 {
            self.activated(&part(), Conv2d::unbiased(hidden, 1, 1));
        }
        self.activated(&part(), Conv2d { groups: hidden, ..Conv2d::unbiased(hidden, 3, stride) });
        self.push(Node::new(part(), Conv2d::unbiased(outputs, 1, 1)));
        let last = part();
        self.push(Node::new(&last, BatchNorm::default()));
        if stride == 1 && inputs == outputs {
            self.push(Node::new(format!("{path}.add"), Add {}).after([input, last]).torch(""));
        }
        self.modules.insert(path.into(), "InvertedResidual".into());
    }
}

impl Architecture for MobileNetV2 {
    fn graph(&self) -> Graph {
        let mut built = Built::default();
        built.activated("features.0", Conv2d::unbiased(32, 3, 2));
        let (mut inputs, mut index) = (32, 1);
        for [expansion, outputs, blocks, stride] in STAGES {
            for block in 0..blocks {
                let stride = if block == 0 { stride } else { 1 };
                built.block(&format!("features.{index}"), inputs, outputs, expansion, stride);
                (inputs, index) = (outputs, index + 1);
            }
        }
        built.activated(&format!("features.{index}"), Conv2d::unbiased(1280, 1, 1));
        built.push(Node::new("avgpool", GlobalAvgPool2d {}).torch(""));
        let base = built.nodes.len();
        built.push(Node::new("classifier.0", Dropout { rate: self.dropout }));
        built.push(Node::new("classifier.1", Dense::new(self.classes)));
        let Built { nodes, modules } = built;
        let input = Shape::Map([3, self.size, self.size]);
        let (name, class) = ("mobilenet_v2".into(), "MobileNetV2".into());
        Graph { name, class, modules, input, nodes, base }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn it_has_torchvisions_parameter_count() {
        // torchvision's documented total for 1,000 classes, and two running statistics for each of 17,056 channels.
        let net = Net::new(MobileNetV2::new(1000).graph()).unwrap();
        assert_eq!(net.parameter_counts(false), (3_504_872 + 2 * 17_056, 3_504_872));
        assert_eq!(net.features().unwrap().to_string(), "[1280]");
    }
}
