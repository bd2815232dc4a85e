//! The passes through the layers, as operations of the graph.

use super::variables::Variables;
use crate::api::{FLOAT, Output};
use crate::error::Error;
use crate::graph::Graph;
use crate::layer::{FlattenOrder, Layer};

/// How a pass treats dropout and batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Training,
    Inference,
}

/// What flows from layer to layer, for one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Map { height: usize, width: usize, channels: usize },
    Vector(usize),
}

/// The factors of a dropout layer, an input of each training step.
pub(super) struct Mask {
    pub(super) input: Output,
    /// The layer's place in its list.
    pub(super) layer: usize,
    pub(super) rate: f64,
    /// Values of one picture.
    pub(super) length: usize,
}

/// A running statistic and what it moves towards.
pub(super) struct Moving {
    pub(super) variable: Output,
    pub(super) value: Output,
    pub(super) batch: Output,
}

/// One pass under construction.
pub(super) struct Pass<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) variables: &'a Variables,
    pub(super) mode: Mode,
    pub(super) masks: Vec<Mask>,
    pub(super) moving: Vec<Moving>,
}

/// PyTorch's default, which both backends use.
const EPSILON: f32 = 1e-5;

impl Pass<'_> {
    /// Adds the layers after `x`.
    pub(super) fn layers(
        &mut self,
        layers: &[Layer],
        mut x: Output,
        mut shape: Shape,
    ) -> Result<(Output, Shape), Error> {
        for (index, layer) in layers.iter().enumerate() {
            (x, shape) = self.layer(index, layer, x, shape)?;
        }
        Ok((x, shape))
    }

    fn layer(
        &mut self,
        index: usize,
        layer: &Layer,
        x: Output,
        shape: Shape,
    ) -> Result<(Output, Shape), Error> {
        use Shape::{Map, Vector};
        Ok(match (layer, shape) {
            (Layer::Conv { name, inputs, outputs }, Map { height, width, channels })
                if channels == *inputs =>
            {
                let conv = self.graph.add(c"Conv2D").floats();
                let conv = conv.inputs(&[x, self.variables.value(name, "weight")?]);
                let conv =
                    conv.integers(c"strides", &[1, 1, 1, 1]).text(c"padding", "SAME").output()?;
                let x = self.biased(conv, name)?;
                (x, Map { height, width, channels: *outputs })
            }
            (Layer::BatchNorm { name, channels }, Map { channels: found, .. })
                if found == *channels =>
            {
                (self.batch_norm(x, name)?, shape)
            }
            (Layer::Relu, _) => (self.graph.apply(c"Relu", &[x])?, shape),
            (Layer::MaxPool, Map { height, width, channels }) => {
                let pool = self.graph.add(c"MaxPool").inputs(&[x]).floats();
                let pool =
                    pool.integers(c"ksize", &[1, 2, 2, 1]).integers(c"strides", &[1, 2, 2, 1]);
                let x = pool.text(c"padding", "VALID").output()?;
                (x, Map { height: height / 2, width: width / 2, channels })
            }
            (Layer::AveragePool { side }, Map { height, width, channels }) => {
                let x = self.average(x, [height, width, channels], *side)?;
                (x, Map { height: *side, width: *side, channels })
            }
            (Layer::Flatten(order), Map { height, width, channels }) => {
                let x = match order {
                    FlattenOrder::HeightWidthChannel => x,
                    FlattenOrder::ChannelHeightWidth => self.graph.transpose(x, &[0, 3, 1, 2])?,
                };
                let length = height * width * channels;
                (self.graph.reshape(x, &[-1, length as i32])?, Vector(length))
            }
            (Layer::Dropout { rate }, Vector(length)) => {
                if self.mode == Mode::Inference || *rate == 0.0 {
                    return Ok((x, shape));
                }
                let input = self.graph.placeholder(&[-1, length as i64])?;
                self.masks.push(Mask { input, layer: index, rate: *rate, length });
                (self.graph.apply(c"Mul", &[x, input])?, shape)
            }
            (Layer::Dense { name, inputs, outputs }, Vector(length)) if length == *inputs => {
                let weight = self.variables.value(name, "weight")?;
                let product = self.graph.apply(c"MatMul", &[x, weight])?;
                (self.biased(product, name)?, Vector(*outputs))
            }
            (layer, shape) => {
                return Err(Error::Layer {
                    layer: format!("{layer:?}"),
                    expected: expected(layer).into(),
                    found: format!("{shape:?}"),
                });
            }
        })
    }

    fn biased(&mut self, x: Output, name: &str) -> Result<Output, Error> {
        self.graph.apply(c"BiasAdd", &[x, self.variables.value(name, "bias")?])
    }

    fn batch_norm(&mut self, x: Output, name: &str) -> Result<Output, Error> {
        let training = self.mode == Mode::Training;
        let (weight, bias) =
            (self.variables.value(name, "weight")?, self.variables.value(name, "bias")?);
        let (mean, variance) = (
            self.variables.value(name, "running_mean")?,
            self.variables.value(name, "running_var")?,
        );
        let mut inputs = vec![x, weight, bias, mean, variance];
        if training {
            // In training TensorFlow wants nothing in these two places.
            let none = self.graph.floats(&[0], &[])?;
            inputs[3..].fill(none);
        }
        let norm = self.graph.add(c"FusedBatchNormV3").inputs(&inputs).floats().kind(c"U", FLOAT);
        let y = norm.float(c"epsilon", EPSILON).flag(c"is_training", training).output()?;
        if training {
            for (suffix, value, index) in [("running_mean", mean, 1), ("running_var", variance, 2)]
            {
                let batch = Output { index, ..y };
                let variable = self.variables.handle(name, suffix)?;
                self.moving.push(Moving { variable, value, batch });
            }
        }
        Ok(y)
    }

    /// PyTorch's adaptive average pooling, of which TensorFlow has no operation: each value of the
    /// result is a weighted sum of one channel's pixels, so the whole is one matrix product.
    fn average(
        &mut self,
        x: Output,
        [height, width, channels]: [usize; 3],
        side: usize,
    ) -> Result<Output, Error> {
        if [height, width] == [side, side] {
            return Ok(x);
        }
        let (rows, columns) = (shares(height, side), shares(width, side));
        let mut matrix = Vec::with_capacity(height * width * side * side);
        for row in 0..height {
            for column in 0..width {
                for to_row in &rows {
                    matrix.extend(columns.iter().map(|to_column| to_row[row] * to_column[column]));
                }
            }
        }
        let matrix = self.graph.floats(&[height * width, side * side], &matrix)?;
        let x = self.graph.transpose(x, &[0, 3, 1, 2])?;
        let x = self.graph.reshape(x, &[-1, (height * width) as i32])?;
        let x = self.graph.apply(c"MatMul", &[x, matrix])?;
        let x = self.graph.reshape(x, &[-1, channels as i32, side as i32, side as i32])?;
        self.graph.transpose(x, &[0, 2, 3, 1])
    }
}

/// For each of `side` results, the share that each of `length` inputs has in it. Result i averages the
/// inputs from ⌊i · length / side⌋ to ⌈(i + 1) · length / side⌉, as PyTorch does
/// (aten/src/ATen/native/AdaptivePooling.h).
fn shares(length: usize, side: usize) -> Vec<Vec<f32>> {
    (0..side)
        .map(|at| {
            let range = at * length / side..((at + 1) * length).div_ceil(side);
            let share = 1.0 / range.len() as f32;
            (0..length).map(|input| if range.contains(&input) { share } else { 0.0 }).collect()
        })
        .collect()
}

fn expected(layer: &Layer) -> &'static str {
    match layer {
        Layer::Conv { .. } | Layer::BatchNorm { .. } => "a feature map with the layer's channels",
        Layer::MaxPool | Layer::AveragePool { .. } | Layer::Flatten(_) => "a feature map",
        Layer::Dropout { .. } => "a vector",
        Layer::Dense { .. } => "a vector of the layer's length",
        Layer::Relu => "anything",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adaptive_averages_take_pytorchs_ranges() {
        // torch.nn.AdaptiveAvgPool1d(7) on two values a, b gives a a a (a+b)/2 b b b.
        let two = shares(2, 7);
        assert_eq!(two[0], [1.0, 0.0]);
        assert_eq!(two[2], [1.0, 0.0]);
        assert_eq!(two[3], [0.5, 0.5]);
        assert_eq!(two[4], [0.0, 1.0]);
        // From 9 to 7: the second result averages inputs 1 and 2.
        assert_eq!(shares(9, 7)[1], [0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        // From 7 to 7 nothing changes.
        assert!(shares(7, 7).iter().enumerate().all(|(at, row)| row[at] == 1.0));
    }
}
