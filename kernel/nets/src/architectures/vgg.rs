//! VGG (Simonyan and Zisserman, 2014, table 1: configurations A, B, D and E) with the two heads of the 2019 report.

use super::Architecture;
use crate::graph::{Graph, Node};
use crate::operations::{
    Activation, AdaptiveAvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, FlattenOrder,
    MaxPool2d,
};
use crate::shape::Shape;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// VGG with `LAYERS` layers, which count the convolutions and the three dense layers of the original net: 11, 13, 16
/// or 19; see [`Vgg16`]. Layers have torchvision's names, and Keras' where Keras has the layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vgg<const LAYERS: usize> {
    /// Number of classes. Default: 2.
    pub classes: usize,
    /// The layers after the convolutions. Default: Keras'.
    pub head: Head,
    /// Height and width of the input in pixels, at least 32. Default: 224.
    pub size: usize,
    /// Whether each convolution is followed by batch normalisation. Default: false.
    pub batch_norm: bool,
    /// The head's dropout rate. The report prints 0.5 for PyTorch and leaves Keras' open; 0.5, the rate of Keras' own
    /// example of a VGG-like net in 2019, is taken for both.
    pub dropout: f64,
}

/// The fields of [`Vgg`] in JSON, where each may be missing: serde derives no defaults for const generics.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    classes: Option<usize>,
    head: Option<Head>,
    size: Option<usize>,
    batch_norm: Option<bool>,
    dropout: Option<f64>,
}

impl<'de, const LAYERS: usize> Deserialize<'de> for Vgg<LAYERS> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (found, default) = (Settings::deserialize(from)?, Self::default());
        Ok(Self {
            classes: found.classes.unwrap_or(default.classes),
            head: found.head.unwrap_or(default.head),
            size: found.size.unwrap_or(default.size),
            batch_norm: found.batch_norm.unwrap_or(default.batch_norm),
            dropout: found.dropout.unwrap_or(default.dropout),
        })
    }
}

/// VGG with eight convolutions.
pub type Vgg11 = Vgg<11>;
/// VGG with ten convolutions.
pub type Vgg13 = Vgg<13>;
/// VGG with thirteen convolutions: the net of the report.
pub type Vgg16 = Vgg<16>;
/// VGG with sixteen convolutions.
pub type Vgg19 = Vgg<19>;

/// The layers after the convolutions, as the report has them in its two notebooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// Flatten, Dense 512, ReLU, Dropout, Dense 256, ReLU, Dense. With two classes the last layer has one logit for
    /// the binary cross-entropy, as in the report. Its first layer grows with the input.
    #[default]
    Keras,
    /// Average pooling to 7 × 7, Linear 4096, ReLU, Dropout, Linear with one logit per class.
    PyTorch,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Head::Keras => "Keras",
            Head::PyTorch => "PyTorch",
        })
    }
}

impl<const LAYERS: usize> Vgg<LAYERS> {
    /// The report's Keras net at 224 × 224 with this number of classes.
    pub fn new(classes: usize) -> Self {
        let (head, size, batch_norm, dropout) = (Head::Keras, 224, false, 0.5);
        Self { classes, head, size, batch_norm, dropout }
    }

    /// Output channels of each convolution, one slice for each block that ends in a pooling.
    const BLOCKS: [&'static [usize]; 5] = match LAYERS {
        11 => [&[64], &[128], &[256; 2], &[512; 2], &[512; 2]],
        13 => [&[64; 2], &[128; 2], &[256; 2], &[512; 2], &[512; 2]],
        16 => [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]],
        19 => [&[64; 2], &[128; 2], &[256; 4], &[512; 4], &[512; 4]],
        _ => panic!("VGG has 11, 13, 16 or 19 layers"),
    };

    fn base(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        for (block, channels) in (1..).zip(Self::BLOCKS) {
            for (convolution, &channels) in (1..).zip(channels) {
                let node =
                    Node::new(format!("features.{}", nodes.len()), Conv2d::same(channels, 3));
                nodes.push(node.keras(format!("block{block}_conv{convolution}")));
                if self.batch_norm {
                    nodes
                        .push(Node::new(format!("features.{}", nodes.len()), BatchNorm::default()));
                }
                nodes.push(Node::new(format!("features.{}", nodes.len()), Activation::RELU));
            }
            let pool = Node::new(format!("features.{}", nodes.len()), MaxPool2d::square(2));
            nodes.push(pool.keras(format!("block{block}_pool")));
        }
        nodes
    }

    fn head(&self) -> Vec<Node> {
        let dropout =
            || Node::new("dropout_1", Dropout { rate: self.dropout }).torch("classifier.2");
        match self.head {
            Head::Keras => {
                let outputs = if self.classes == 2 { 1 } else { self.classes };
                let order = FlattenOrder::HeightWidthChannel;
                vec![
                    Node::new("flatten_1", Flatten { order }).torch(""),
                    Node::new("dense_1", Dense::new(512)).torch("classifier.0"),
                    Node::new("dense_1_relu", Activation::RELU).torch("classifier.1"),
                    dropout(),
                    Node::new("dense_2", Dense::new(256)).torch("classifier.3"),
                    Node::new("dense_2_relu", Activation::RELU).torch("classifier.4"),
                    Node::new("dense_3", Dense::new(outputs)).torch("classifier.5"),
                ]
            }
            Head::PyTorch => vec![
                Node::new("avgpool", AdaptiveAvgPool2d { output: [7, 7] }),
                Node::new("flatten_1", Flatten { order: FlattenOrder::ChannelHeightWidth })
                    .torch(""),
                Node::new("classifier.0", Dense::new(4096)),
                Node::new("classifier.1", Activation::RELU),
                dropout(),
                Node::new("classifier.3", Dense::new(self.classes)),
            ],
        }
    }
}

impl<const LAYERS: usize> Default for Vgg<LAYERS> {
    fn default() -> Self {
        Self::new(2)
    }
}

impl<const LAYERS: usize> Architecture for Vgg<LAYERS> {
    fn graph(&self) -> Graph {
        let mut nodes = self.base();
        let base = nodes.len();
        nodes.extend(self.head());
        Graph {
            name: format!("vgg{LAYERS}{}", if self.batch_norm { "_bn" } else { "" }),
            class: "VGG".into(),
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
    use crate::net::{Net, Parameter};

    fn net<const LAYERS: usize>(vgg: Vgg<LAYERS>) -> Net {
        Net::new(vgg.graph()).unwrap()
    }

    #[test]
    fn both_heads_have_the_reports_parameter_counts() {
        // The report, figures 2 and 7: 14,714,688 in the base and the rest in the head.
        let keras = Vgg16::new(2);
        assert_eq!(net(keras.clone()).parameter_counts(false), (27_691_841, 27_691_841));
        assert_eq!(net(keras.clone()).parameter_counts(true), (27_691_841, 12_977_153));
        let pytorch = Vgg16 { head: Head::PyTorch, ..keras };
        assert_eq!(net(pytorch).parameter_counts(false).0, 117_487_426);
    }

    #[test]
    fn other_depths_have_torchvisions_counts() {
        // torchvision's documented totals less its classifier of 123,642,856 parameters
        // (25088·4096 + 4096 + 4096·4096 + 4096 + 4096·1000 + 1000).
        fn base<const LAYERS: usize>(batch_norm: bool) -> usize {
            let net = net(Vgg::<LAYERS> { batch_norm, ..Vgg::default() });
            net.parameters().iter().filter(|p| p.in_base && p.learned).map(Parameter::len).sum()
        }
        for (count, total) in [
            (base::<11>(false), 132_863_336),
            (base::<11>(true), 132_868_840),
            (base::<13>(false), 133_047_848),
            (base::<13>(true), 133_053_736),
            (base::<16>(false), 138_357_544),
            (base::<16>(true), 138_365_992),
            (base::<19>(false), 143_667_240),
            (base::<19>(true), 143_678_248),
        ] {
            assert_eq!(count, total - 123_642_856);
        }
    }

    #[test]
    fn an_image_smaller_than_32_pixels_is_refused_by_the_pooling_that_has_nothing_left() {
        let text = Net::new(Vgg16 { size: 31, ..Vgg16::new(2) }.graph()).unwrap_err().to_string();
        for part in ["vgg16", "features.30", "at least 2 × 2", "[512, 1, 1]"] {
            assert!(text.contains(part), "{text}");
        }
        net(Vgg16 { size: 32, ..Vgg16::new(2) });
    }

    #[test]
    fn the_keras_head_follows_input_size_and_classes() {
        let net = net(Vgg16 { size: 64, ..Vgg16::new(10) });
        let shape = |name| &net.parameters().iter().find(|p| p.name == name).unwrap().shape;
        assert_eq!(*shape("dense_1.weight"), [512, 512 * 2 * 2]);
        assert_eq!(*shape("dense_3.weight"), [10, 256]);
        assert_eq!((net.outputs(), net.classes()), (10, 10));
    }
}
