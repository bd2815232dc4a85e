//! A net as a list of layers.

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
    /// Batch normalisation over each channel with epsilon 1e-5; in training the running statistics
    /// move by 0.1 towards those of the batch, the variance with Bessel's correction (PyTorch's
    /// rules).
    BatchNorm {
        /// Prefix of `.weight`, `.bias`, `.running_mean` and `.running_var`.
        name: String,
        /// Channels.
        channels: usize,
    },
    /// Rectified linear unit.
    Relu,
    /// 2×2, stride 2, no padding; an odd last row or column is dropped.
    MaxPool,
    /// Averages the map to `side` × `side`, whatever its size, as PyTorch's adaptive pooling does.
    AveragePool {
        /// Rows and columns of the output.
        side: usize,
    },
    /// Makes a vector of a feature map.
    Flatten(FlattenOrder),
    /// Zeroes each value of a vector with probability `rate` in training and scales the others by
    /// 1/(1-`rate`). The factors come from outside.
    Dropout {
        /// At least 0 and below 1.
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
    /// Binary cross-entropy of the sigmoid of one logit; class 1 is the sigmoid's 1.
    BinaryCrossEntropy,
    /// Cross-entropy of the softmax of two logits, one a class.
    CrossEntropy,
}

impl Loss {
    /// Logits of one picture.
    pub fn outputs(self) -> usize {
        match self {
            Loss::BinaryCrossEntropy => 1,
            Loss::CrossEntropy => 2,
        }
    }
}

/// The whole net.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Shape of one picture: `[channels, height, width]`.
    pub input: [usize; 3],
    /// The convolutional layers.
    pub base: Vec<Layer>,
    /// The layers after them, up to the logits.
    pub head: Vec<Layer>,
    /// What is minimised.
    pub loss: Loss,
    /// Whether the base keeps its weights; it then always runs in inference mode.
    pub frozen: bool,
}

impl Description {
    /// Every parameter in the order of the layers.
    pub fn parameters(&self) -> Vec<Parameter> {
        let base = self.base.iter().flat_map(|layer| parameters(layer, !self.frozen));
        base.chain(self.head.iter().flat_map(|layer| parameters(layer, true))).collect()
    }
}

/// One parameter as the net expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// For example `features.0.weight`.
    pub name: String,
    /// `[outputs, inputs, rows, columns]`, `[outputs, inputs]` or `[length]`.
    pub shape: Vec<usize>,
    /// Whether training changes it by gradients.
    pub learns: bool,
}

fn parameters(layer: &Layer, learning: bool) -> Vec<Parameter> {
    let one = |name: &str, suffix: &str, shape: &[usize], learns| Parameter {
        name: format!("{name}.{suffix}"),
        shape: shape.into(),
        learns,
    };
    match layer {
        Layer::Conv { name, inputs, outputs } => vec![
            one(name, "weight", &[*outputs, *inputs, 3, 3], learning),
            one(name, "bias", &[*outputs], learning),
        ],
        Layer::BatchNorm { name, channels } => vec![
            one(name, "weight", &[*channels], learning),
            one(name, "bias", &[*channels], learning),
            one(name, "running_mean", &[*channels], false),
            one(name, "running_var", &[*channels], false),
        ],
        Layer::Dense { name, inputs, outputs } => vec![
            one(name, "weight", &[*outputs, *inputs], learning),
            one(name, "bias", &[*outputs], learning),
        ],
        Layer::Relu
        | Layer::MaxPool
        | Layer::AveragePool { .. }
        | Layer::Flatten(_)
        | Layer::Dropout { .. } => Vec::new(),
    }
}
