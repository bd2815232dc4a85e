//! VGG as a description: which layers there are, in which order, with which parameters.
//!
//! Everything here is data. A backend walks over [`Architecture::base`] and [`Architecture::head`]
//! and builds what it finds; the printed forms, the parameter counts and the checks of weight files
//! come from the same lists, so that they cannot disagree with the net that is trained.

mod printed;

use crate::parameters::{Init, Part, Specification};
use serde::{Deserialize, Serialize};

/// The smallest input side in pixels: five poolings halve it to one.
pub const SMALLEST_SIDE: usize = 32;

/// How many convolutions the net has. The number counts them and the three dense layers of the
/// original nets (Simonyan and Zisserman, 2014, table 1: configurations A, B, D and E).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Eight convolutions.
    Vgg11,
    /// Ten convolutions.
    Vgg13,
    /// Thirteen convolutions: the net of the report.
    #[default]
    Vgg16,
    /// Sixteen convolutions.
    Vgg19,
}

impl Depth {
    /// Output channels of each convolution, one slice for each block that ends in a pooling.
    pub fn blocks(self) -> [&'static [usize]; 5] {
        match self {
            Depth::Vgg11 => [&[64], &[128], &[256; 2], &[512; 2], &[512; 2]],
            Depth::Vgg13 => [&[64; 2], &[128; 2], &[256; 2], &[512; 2], &[512; 2]],
            Depth::Vgg16 => [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]],
            Depth::Vgg19 => [&[64; 2], &[128; 2], &[256; 4], &[512; 4], &[512; 4]],
        }
    }

    /// The name that Keras gives the base, for example `vgg16`.
    pub fn name(self) -> &'static str {
        match self {
            Depth::Vgg11 => "vgg11",
            Depth::Vgg13 => "vgg13",
            Depth::Vgg16 => "vgg16",
            Depth::Vgg19 => "vgg19",
        }
    }
}

/// The layers after the convolutions, as the report has them in its two notebooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// Flatten, Dense 512, ReLU, Dropout, Dense 256, ReLU, Dense 1; binary cross-entropy of the
    /// sigmoid, computed on the logit. Its first layer grows with the input.
    #[default]
    Keras,
    /// Average pooling to 7×7, Linear 4096, ReLU, Dropout, Linear 2; cross-entropy of the softmax.
    PyTorch,
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Head::Keras => "Keras",
            Head::PyTorch => "PyTorch",
        })
    }
}

/// The axes in the order in which a feature map becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlattenOrder {
    /// Keras' order: the channel changes fastest.
    HeightWidthChannel,
    /// PyTorch's order: the column changes fastest.
    ChannelHeightWidth,
}

/// What is minimised: the mean over the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Of one logit; class 1 is the sigmoid's 1.
    BinaryCrossEntropy,
    /// Of one logit a class.
    CrossEntropy,
}

/// One layer. `name` is the prefix of its parameters' names.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// 3×3, stride 1, padding 1, with bias.
    Conv {
        /// Prefix of `.weight` and `.bias`.
        name: String,
        /// Input channels.
        inputs: usize,
        /// Output channels.
        outputs: usize,
    },
    /// Batch normalisation over each channel, momentum 0.1, epsilon 1e-5 (PyTorch's defaults).
    BatchNorm {
        /// Prefix of `.weight`, `.bias`, `.running_mean` and `.running_var`.
        name: String,
        /// Channels.
        channels: usize,
    },
    /// Rectified linear unit, in place.
    Relu,
    /// 2×2, stride 2, no padding; an odd last row or column is dropped.
    MaxPool,
    /// Averages the map to `side` × `side`, whatever its size.
    AveragePool {
        /// Rows and columns of the output.
        side: usize,
    },
    /// Makes a vector of a feature map.
    Flatten(FlattenOrder),
    /// Zeroes each value with probability `rate` in training and scales the others by 1/(1-`rate`).
    Dropout {
        /// Between 0 and 1.
        rate: f64,
    },
    /// A fully connected layer with bias.
    Dense {
        /// Prefix of `.weight` and `.bias`.
        name: String,
        /// Length of the input vector.
        inputs: usize,
        /// Length of the output vector.
        outputs: usize,
    },
}

/// The whole net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Which VGG.
    pub depth: Depth,
    /// Whether each convolution is followed by batch normalisation.
    pub batch_norm: bool,
    /// Which head.
    pub head: Head,
    /// Input height and width in pixels.
    pub size: usize,
    /// The head's dropout rate. The report prints 0.5 for PyTorch and leaves Keras' open; 0.5, the
    /// rate of Keras' own example of a VGG-like net in 2019, is taken for both.
    pub dropout: f64,
}

impl Default for Architecture {
    fn default() -> Self {
        Self { depth: Depth::Vgg16, batch_norm: false, head: Head::Keras, size: 224, dropout: 0.5 }
    }
}

/// A net that cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ArchitectureError {
    /// The poolings would leave nothing.
    #[error(
        "expected pictures of at least {SMALLEST_SIDE} × {SMALLEST_SIDE} pixels, since {net} halves \
         them five times; found size: {size}"
    )]
    InputTooSmall {
        /// The net's name.
        net: &'static str,
        /// The size asked for, in pixels.
        size: usize,
    },
    /// Not a probability below one.
    #[error("expected a dropout rate of at least 0 and below 1, found dropout: {0}")]
    DropoutRate(f64),
}

impl Architecture {
    /// Checks that the net can be built.
    ///
    /// # Errors
    /// A picture smaller than [`SMALLEST_SIDE`], a dropout rate outside [0, 1).
    pub fn check(&self) -> Result<(), ArchitectureError> {
        if self.size < SMALLEST_SIDE {
            return Err(ArchitectureError::InputTooSmall {
                net: self.depth.name(),
                size: self.size,
            });
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(ArchitectureError::DropoutRate(self.dropout));
        }
        Ok(())
    }

    /// Shape of one picture's features, the output of the base: `[channels, height, width]`.
    pub fn features(&self) -> [usize; 3] {
        [512, self.size / 32, self.size / 32]
    }

    /// The convolutional layers, with torchvision's names.
    pub fn base(&self) -> Vec<Layer> {
        let mut layers: Vec<Layer> = Vec::new();
        let mut inputs = 3;
        for block in self.depth.blocks() {
            for &outputs in block {
                layers.push(Layer::Conv {
                    name: format!("features.{}", layers.len()),
                    inputs,
                    outputs,
                });
                if self.batch_norm {
                    let name = format!("features.{}", layers.len());
                    layers.push(Layer::BatchNorm { name, channels: outputs });
                }
                layers.push(Layer::Relu);
                inputs = outputs;
            }
            layers.push(Layer::MaxPool);
        }
        layers
    }

    /// The layers after the convolutions.
    pub fn head(&self) -> Vec<Layer> {
        let dense =
            |name: &str, inputs, outputs| Layer::Dense { name: name.into(), inputs, outputs };
        let [channels, height, width] = self.features();
        match self.head {
            Head::Keras => vec![
                Layer::Flatten(FlattenOrder::HeightWidthChannel),
                dense("dense_1", channels * height * width, 512),
                Layer::Relu,
                Layer::Dropout { rate: self.dropout },
                dense("dense_2", 512, 256),
                Layer::Relu,
                dense("dense_3", 256, 1),
            ],
            Head::PyTorch => vec![
                Layer::AveragePool { side: 7 },
                Layer::Flatten(FlattenOrder::ChannelHeightWidth),
                dense("classifier.0", channels * 7 * 7, 4096),
                Layer::Relu,
                Layer::Dropout { rate: self.dropout },
                dense("classifier.3", 4096, 2),
            ],
        }
    }

    /// What the head minimises.
    pub fn loss(&self) -> Loss {
        match self.head {
            Head::Keras => Loss::BinaryCrossEntropy,
            Head::PyTorch => Loss::CrossEntropy,
        }
    }

    /// Every parameter in the order of the layers, in the layout of [`crate::parameters`].
    pub fn parameters(&self) -> Vec<Specification> {
        let base = self.base().into_iter().flat_map(|layer| specifications(&layer, Part::Base));
        let head = self.head().into_iter().flat_map(|layer| specifications(&layer, Part::Head));
        base.chain(head).collect()
    }

    /// Number of values that training may change, and of those that it never does (the running
    /// statistics of batch normalisation), when no part is frozen.
    pub fn parameter_counts(&self) -> (usize, usize) {
        self.parameters().iter().fold((0, 0), |(learned, fixed), parameter| {
            if parameter.learned {
                (learned + parameter.len(), fixed)
            } else {
                (learned, fixed + parameter.len())
            }
        })
    }

    /// The printed form of the base's name: `vgg16`, or `vgg16_bn` with batch normalisation.
    pub fn name(&self) -> String {
        format!("{}{}", self.depth.name(), if self.batch_norm { "_bn" } else { "" })
    }
}

fn specifications(layer: &Layer, part: Part) -> Vec<Specification> {
    let one = |name: String, shape: Vec<usize>, init, learned| Specification {
        name,
        shape,
        init,
        part,
        learned,
    };
    match layer {
        Layer::Conv { name, inputs, outputs } => vec![
            one(
                format!("{name}.weight"),
                vec![*outputs, *inputs, 3, 3],
                Init::He { fan_in: inputs * 9 },
                true,
            ),
            one(format!("{name}.bias"), vec![*outputs], Init::Constant(0.0), true),
        ],
        Layer::BatchNorm { name, channels } => vec![
            one(format!("{name}.weight"), vec![*channels], Init::Constant(1.0), true),
            one(format!("{name}.bias"), vec![*channels], Init::Constant(0.0), true),
            one(format!("{name}.running_mean"), vec![*channels], Init::Constant(0.0), false),
            one(format!("{name}.running_var"), vec![*channels], Init::Constant(1.0), false),
        ],
        Layer::Dense { name, inputs, outputs } => vec![
            one(
                format!("{name}.weight"),
                vec![*outputs, *inputs],
                Init::He { fan_in: *inputs },
                true,
            ),
            one(format!("{name}.bias"), vec![*outputs], Init::Constant(0.0), true),
        ],
        Layer::Relu
        | Layer::MaxPool
        | Layer::AveragePool { .. }
        | Layer::Flatten(_)
        | Layer::Dropout { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_heads_have_the_reports_parameter_counts() {
        // The report, figures 2 and 7: 14,714,688 in the base and the rest in the head.
        let keras = Architecture::default();
        assert_eq!(keras.parameter_counts(), (27_691_841, 0));
        let pytorch = Architecture { head: Head::PyTorch, ..keras };
        assert_eq!(pytorch.parameter_counts(), (117_487_426, 0));
    }

    #[test]
    fn other_depths_have_torchvisions_counts() {
        // torchvision's documented totals less its classifier of 123,642,856 parameters
        // (25088·4096 + 4096 + 4096·4096 + 4096 + 4096·1000 + 1000).
        let base = |depth, batch_norm| {
            let net = Architecture { depth, batch_norm, ..Architecture::default() };
            let all = net.parameters();
            all.iter()
                .filter(|p| p.part == Part::Base && p.learned)
                .map(Specification::len)
                .sum::<usize>()
        };
        for (depth, plain, normal) in [
            (Depth::Vgg11, 132_863_336, 132_868_840),
            (Depth::Vgg13, 133_047_848, 133_053_736),
            (Depth::Vgg16, 138_357_544, 138_365_992),
            (Depth::Vgg19, 143_667_240, 143_678_248),
        ] {
            assert_eq!(base(depth, false), plain - 123_642_856, "{depth:?}");
            assert_eq!(base(depth, true), normal - 123_642_856, "{depth:?} with normalisation");
        }
    }

    #[test]
    fn a_picture_smaller_than_32_pixels_is_refused_by_name() {
        let net = Architecture { size: 31, ..Architecture::default() };
        let text = net.check().unwrap_err().to_string();
        assert!(
            text.contains("32 × 32") && text.contains("vgg16") && text.contains("size: 31"),
            "{text}"
        );
        assert!(Architecture { size: 32, ..net }.check().is_ok());
    }

    #[test]
    fn the_keras_head_follows_the_input_size() {
        let net = Architecture { size: 64, ..Architecture::default() };
        let dense = net.parameters().into_iter().find(|p| p.name == "dense_1.weight").unwrap();
        assert_eq!(dense.shape, [512, 512 * 2 * 2]);
    }
}
