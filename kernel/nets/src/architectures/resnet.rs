//! ResNet (He et al., 2015, table 1), with torchvision's layers and names.

use super::Architecture;
use crate::graph::{Graph, Node};
use crate::operations::{
    Activation, AdaptiveAvgPool2d, Add, BatchNorm, Conv2d, Dense, Flatten, MaxPool2d, Padding,
};
use crate::shape::Shape;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// ResNet with `LAYERS` layers: 18, 34 or 50; see [`ResNet18`]. All but the last layer are the base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResNet<const LAYERS: usize> {
    /// Number of classes. Default: 2.
    pub classes: usize,
    /// Height and width of the input in pixels. Default: 224.
    pub size: usize,
}

/// The fields of [`ResNet`] in JSON, where each may be missing: serde derives no defaults for const generics.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    classes: Option<usize>,
    size: Option<usize>,
}

impl<'de, const LAYERS: usize> Deserialize<'de> for ResNet<LAYERS> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (found, default) = (Settings::deserialize(from)?, Self::default());
        Ok(Self {
            classes: found.classes.unwrap_or(default.classes),
            size: found.size.unwrap_or(default.size),
        })
    }
}

/// ResNet with eight residual blocks of two convolutions each.
pub type ResNet18 = ResNet<18>;
/// ResNet with sixteen residual blocks of two convolutions each.
pub type ResNet34 = ResNet<34>;
/// ResNet with sixteen bottlenecks of three convolutions each. The second of them has the stride, as in torchvision's
/// version 1.5.
pub type ResNet50 = ResNet<50>;

impl<const LAYERS: usize> ResNet<LAYERS> {
    /// The net at 224 × 224 with this number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, size: 224 }
    }

    /// Residual blocks in each of the four stages.
    const BLOCKS: [usize; 4] = match LAYERS {
        18 => [2; 4],
        34 | 50 => [3, 4, 6, 3],
        _ => panic!("ResNet has 18, 34 or 50 layers"),
    };
}

impl<const LAYERS: usize> Default for ResNet<LAYERS> {
    fn default() -> Self {
        Self::new(2)
    }
}

/// One residual block on the output of the last node. A `projection` changes the shortcut's shape.
fn block(nodes: &mut Vec<Node>, path: &str, convolutions: &[Conv2d], projection: Option<Conv2d>) {
    let input = nodes.last().map_or("input".into(), |node| node.name.clone());
    let name = |part: &str| format!("{path}.{part}");
    let last = convolutions.len();
    // torchvision has one ReLU, which a block of two convolutions lists after the first and a bottleneck at the end.
    let listed = if last == 2 { 1 } else { last };
    let relu = |index: usize| {
        if index == listed {
            return Node::new(name("relu"), Activation::RELU);
        }
        Node::new(name(&format!("relu_{index}")), Activation::RELU).torch("")
    };
    for (index, convolution) in (1..).zip(convolutions) {
        nodes.push(Node::new(name(&format!("conv{index}")), convolution.clone()));
        nodes.push(Node::new(name(&format!("bn{index}")), BatchNorm::default()));
        if index < last {
            nodes.push(relu(index));
        }
    }
    let shortcut = match projection {
        Some(projection) => {
            nodes.push(Node::new(name("downsample.0"), projection).after([&input]));
            nodes.push(Node::new(name("downsample.1"), BatchNorm::default()));
            name("downsample.1")
        }
        None => input,
    };
    let inputs = [name(&format!("bn{last}")), shortcut];
    nodes.push(Node::new(name("add"), Add {}).after(inputs).torch(""));
    nodes.push(relu(last));
}

impl<const LAYERS: usize> Architecture for ResNet<LAYERS> {
    fn graph(&self) -> Graph {
        let conv = Conv2d::unbiased;
        let pool = MaxPool2d { kernel: [3, 3], stride: [2, 2], padding: Padding::all(1) };
        let mut nodes = vec![
            Node::new("conv1", conv(64, 7, 2)),
            Node::new("bn1", BatchNorm::default()),
            Node::new("relu", Activation::RELU),
            Node::new("maxpool", pool),
        ];
        let mut modules = BTreeMap::new();
        for (stage, channels) in [64, 128, 256, 512].into_iter().enumerate() {
            for index in 0..Self::BLOCKS[stage] {
                let path = format!("layer{}.{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let (class, convolutions) = match LAYERS {
                    50 => {
                        let middle = conv(channels, 3, stride);
                        ("Bottleneck", vec![conv(channels, 1, 1), middle, conv(4 * channels, 1, 1)])
                    }
                    _ => ("BasicBlock", vec![conv(channels, 3, stride), conv(channels, 3, 1)]),
                };
                let outputs = convolutions[convolutions.len() - 1].channels;
                let widens = index == 0 && (stride == 2 || outputs != channels);
                let projection = widens.then(|| conv(outputs, 1, stride));
                block(&mut nodes, &path, &convolutions, projection);
                modules.insert(path, class.into());
            }
        }
        nodes.push(Node::new("avgpool", AdaptiveAvgPool2d { output: [1, 1] }));
        let base = nodes.len();
        nodes.push(Node::new("flatten", Flatten { order: Default::default() }).torch(""));
        nodes.push(Node::new("fc", Dense::new(self.classes)));
        let input = Shape::Map([3, self.size, self.size]);
        let name = format!("resnet{LAYERS}");
        Graph { name, class: "ResNet".into(), modules, input, nodes, base }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn they_have_torchvisions_parameter_counts() {
        fn net<const LAYERS: usize>() -> Net {
            Net::new(ResNet::<LAYERS>::new(1000).graph()).unwrap()
        }
        // torchvision's documented totals for 1,000 classes. Running statistics are not in them: two for each channel of
        // a batch normalisation.
        for (net, total, channels, features) in [
            (net::<18>(), 11_689_512, 4_800, "[512, 1, 1]"),
            (net::<34>(), 21_797_672, 8_512, "[512, 1, 1]"),
            (net::<50>(), 25_557_032, 26_560, "[2048, 1, 1]"),
        ] {
            assert_eq!(net.parameter_counts(false), (total + 2 * channels, total));
            assert_eq!(net.features().unwrap().to_string(), features);
        }
    }
}
