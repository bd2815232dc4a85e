//! The passes through the layers, as operations of the graph.

use super::recurrent;
use super::variables::Variable;
use crate::api::{DOUBLE, FLOAT, Output};
use crate::backend::NAME;
use crate::graph::Graph;
use crate::layout::channels_last;
use benchbook_backend::{BackendError, code_elsewhere};
use benchbook_nets::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm, Conv2d, FlattenOrder, Function, Layer, LayerNorm,
    MaxPool2d, Net, Operation, Padding, Shape, Source,
};
use std::ffi::CStr;

type Result<T> = std::result::Result<T, BackendError>;

/// The factors of a dropout layer, an input of each training step.
pub(super) struct Mask {
    pub(super) input: Output,
    /// The layer's position among the net's dropout layers.
    pub(super) dropout: usize,
    pub(super) rate: f64,
    /// The shape of one example.
    pub(super) shape: Shape,
}

/// A running statistic and the batch's value that it moves towards.
pub(super) struct Moving {
    pub(super) variable: Output,
    pub(super) value: Output,
    pub(super) batch: Output,
    pub(super) momentum: f64,
}

/// One pass under construction.
pub(super) struct Pass<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) gpu: bool,
    pub(super) net: &'a Net,
    /// In the order of the net's parameters.
    pub(super) variables: &'a [Variable],
    pub(super) masks: Vec<Mask>,
    pub(super) moving: Vec<Moving>,
    /// Outputs and inputs of the ReLUs.
    pub(super) relus: Vec<(Output, Output)>,
}

impl Pass<'_> {
    /// Adds all layers and returns their outputs. Those from `trained` on behave as in training.
    pub(super) fn layers(&mut self, input: Output, trained: usize) -> Result<Vec<Output>> {
        let (mut outputs, mut dropouts) = (Vec::new(), 0);
        for (index, layer) in self.net.layers().iter().enumerate() {
            let place = |source: &Source| match *source {
                Source::Input => input,
                Source::Layer(at) => outputs[at],
            };
            let inputs: Vec<Output> = layer.inputs.iter().map(place).collect();
            let mut output = self.layer(layer, &inputs, index >= trained, dropouts)?;
            if index + 1 == self.net.base() && index < trained {
                // Features are fed here. Without this operation, the transposes on both sides would cancel out.
                output = self.graph.fed(output, layer.output)?;
            }
            outputs.push(output);
            dropouts += usize::from(matches!(layer.operation, Operation::Dropout(_)));
        }
        Ok(outputs)
    }

    fn layer(
        &mut self,
        layer: &Layer,
        inputs: &[Output],
        training: bool,
        dropouts: usize,
    ) -> Result<Output> {
        let variables = &self.variables[layer.parameters.clone()];
        let graph = &mut *self.graph;
        let (x, shape) = (inputs[0], layer.input_shapes[0]);
        match &layer.operation {
            Operation::Activation(activation) => {
                let y = activate(graph, activation.function, x)?;
                if let Function::Relu | Function::Relu6 = activation.function {
                    self.relus.push((y, x));
                }
                Ok(y)
            }
            Operation::AdaptiveAvgPool2d(pool) => adaptive_average(graph, pool, x, shape),
            Operation::Add(_) => match inputs {
                [_, _] => graph.apply(c"AddV2", inputs),
                _ => graph.add(c"AddN").list(inputs).floats().output(),
            },
            Operation::AvgPool2d(AvgPool2d { kernel, stride, padding }) => {
                // Even if TensorFlow's padding would be the same, since it does not count the zeros.
                let x = pad(graph, x, *padding, None)?;
                pool(graph, c"AvgPool", x, *kernel, *stride, "VALID")
            }
            Operation::BatchNorm(norm) => self.batch_norm(norm, variables, x, shape, training),
            Operation::Concat(_) => graph.concat(inputs, channels_last(shape).len() as i32),
            Operation::Conv2d(convolution) => {
                let y = convolve(graph, self.gpu, convolution, [x, variables[0].value], shape)?;
                biased(graph, y, variables)
            }
            Operation::Dense(_) => {
                let product = graph.apply(c"MatMul", &[x, variables[0].value])?;
                biased(graph, product, variables)
            }
            Operation::Dropout(dropout) => {
                if !training || dropout.rate == 0.0 {
                    return Ok(x);
                }
                let input = graph.batches(shape)?;
                self.masks.push(Mask { input, dropout: dropouts, rate: dropout.rate, shape });
                graph.apply(c"Mul", &[x, input])
            }
            Operation::Flatten(flatten) => {
                let x = match flatten.order {
                    FlattenOrder::HeightWidthChannel => x,
                    FlattenOrder::ChannelHeightWidth => graph.transpose(x, &[0, 3, 1, 2])?,
                };
                graph.reshape(x, &[-1, shape.len() as i32])
            }
            Operation::GlobalAvgPool2d(_) => graph.reduce(c"Mean", x, &[1, 2], false),
            Operation::GruLayer(gru) => {
                let states = recurrent::gru(graph, variables, x, shape)?;
                recurrent::output(graph, &states, gru.return_sequences, layer.output)
            }
            Operation::Custom(_) => Err(code_elsewhere(&layer.name, NAME)),
            Operation::LayerNorm(norm) => layer_norm(graph, norm, variables, x),
            Operation::LstmLayer(lstm) => {
                let states = recurrent::lstm(graph, variables, x, shape)?;
                recurrent::output(graph, &states, lstm.return_sequences, layer.output)
            }
            Operation::MaxPool2d(MaxPool2d { kernel, stride, padding }) => {
                let (x, own) = match own_padding(shape, *kernel, *stride, *padding) {
                    Some(own) => (x, own),
                    None => (pad(graph, x, *padding, Some(f32::MIN))?, "VALID"),
                };
                pool(graph, c"MaxPool", x, *kernel, *stride, own)
            }
            Operation::Rows(_) => graph.examples(x, layer.output),
            Operation::Upsample(_) => {
                let size = layer.output.axes()[1..].iter().map(|length| *length as i32);
                let size = graph.integers(&size.collect::<Vec<_>>())?;
                let resized = graph.add(c"ResizeNearestNeighbor").inputs(&[x, size]).floats();
                resized.flag(c"half_pixel_centers", true).output()
            }
        }
    }

    fn batch_norm(
        &mut self,
        norm: &BatchNorm,
        variables: &[Variable],
        x: Output,
        shape: Shape,
        training: bool,
    ) -> Result<Output> {
        let graph = &mut *self.graph;
        let map = match shape {
            Shape::Map(_) => x,
            Shape::Vector([length]) => graph.reshape(x, &[-1, 1, 1, length as i32])?,
        };
        let mut inputs = vec![map];
        inputs.extend(variables.iter().map(|variable| variable.value));
        if training {
            // In training, TensorFlow needs empty running statistics.
            let none = graph.floats(&[0], &[])?;
            inputs[3..].fill(none);
        }
        if graph.numbers == DOUBLE {
            let (y, variance) = separate_batch_norm(graph, norm, &inputs, training)?;
            if let Some((mean, variance)) = variance {
                for (batch, variable) in [mean, variance].into_iter().zip(&variables[2..]) {
                    let Variable { handle: variable, value, .. } = *variable;
                    self.moving.push(Moving { variable, value, batch, momentum: norm.momentum });
                }
            }
            return match shape {
                Shape::Map(_) => Ok(y),
                Shape::Vector([length]) => graph.reshape(y, &[-1, length as i32]),
            };
        }
        let fused = graph.add(c"FusedBatchNormV3").inputs(&inputs).floats().kind(c"U", FLOAT);
        let fused = fused.float(c"epsilon", norm.epsilon as f32).flag(c"is_training", training);
        let y = fused.output()?;
        if training {
            // The variance is the unbiased one.
            for (index, variable) in (1..).zip(&variables[2..]) {
                self.moving.push(Moving {
                    variable: variable.handle,
                    value: variable.value,
                    batch: Output { index, ..y },
                    momentum: norm.momentum,
                });
            }
        }
        match shape {
            Shape::Map(_) => Ok(y),
            Shape::Vector([length]) => graph.reshape(y, &[-1, length as i32]),
        }
    }
}

/// Batch normalisation of 64-bit floats, which TensorFlow's operation does not support: the output, and in training the mean
/// and the unbiased variance of the batch.
fn separate_batch_norm(
    graph: &mut Graph,
    norm: &BatchNorm,
    inputs: &[Output],
    training: bool,
) -> Result<(Output, Option<(Output, Output)>)> {
    let (x, scale, shift) = (inputs[0], inputs[1], inputs[2]);
    let axes = [0, 1, 2];
    let (mean, variance, batch) = if training {
        let mean = graph.reduce(c"Mean", x, &axes, false)?;
        let centred = graph.apply(c"Sub", &[x, mean])?;
        let squares = graph.apply(c"Square", &[centred])?;
        let variance = graph.reduce(c"Mean", squares, &axes, false)?;
        let (ones, one) = (graph.apply(c"OnesLike", &[x])?, graph.scalar(1.0)?);
        let count = graph.reduce(c"Sum", ones, &axes, false)?;
        let fewer = graph.apply(c"Sub", &[count, one])?;
        let sum = graph.reduce(c"Sum", squares, &axes, false)?;
        let unbiased = graph.apply(c"RealDiv", &[sum, fewer])?;
        (mean, variance, Some((mean, unbiased)))
    } else {
        (inputs[3], inputs[4], None)
    };
    let epsilon = graph.scalar(norm.epsilon)?;
    let inside = graph.apply(c"AddV2", &[variance, epsilon])?;
    let factor = graph.apply(c"Rsqrt", &[inside])?;
    let factor = graph.apply(c"Mul", &[factor, scale])?;
    let centred = graph.apply(c"Sub", &[x, mean])?;
    let scaled = graph.apply(c"Mul", &[centred, factor])?;
    Ok((graph.apply(c"AddV2", &[scaled, shift])?, batch))
}

/// Adds the bias, the second of the layer's variables, if the layer has one.
fn biased(graph: &mut Graph, x: Output, variables: &[Variable]) -> Result<Output> {
    variables.get(1).map_or(Ok(x), |bias| graph.apply(c"BiasAdd", &[x, bias.value]))
}

fn activate(graph: &mut Graph, function: Function, x: Output) -> Result<Output> {
    match function {
        Function::Relu => graph.apply(c"Relu", &[x]),
        Function::Relu6 => graph.apply(c"Relu6", &[x]),
        Function::LeakyRelu => {
            graph.add(c"LeakyRelu").inputs(&[x]).floats().float(c"alpha", 0.01).output()
        }
        Function::Elu => graph.apply(c"Elu", &[x]),
        Function::Gelu => {
            // Φ(x) = (1 + erf(x / √2)) / 2
            let (root, one, half) = (
                graph.scalar(std::f64::consts::FRAC_1_SQRT_2)?,
                graph.scalar(1.0)?,
                graph.scalar(0.5)?,
            );
            let scaled = graph.apply(c"Mul", &[x, root])?;
            let error = graph.apply(c"Erf", &[scaled])?;
            let sum = graph.apply(c"AddV2", &[error, one])?;
            let share = graph.apply(c"Mul", &[sum, half])?;
            graph.apply(c"Mul", &[x, share])
        }
        Function::Silu => {
            let share = graph.apply(c"Sigmoid", &[x])?;
            graph.apply(c"Mul", &[x, share])
        }
        Function::Sigmoid => graph.apply(c"Sigmoid", &[x]),
        Function::Tanh => graph.apply(c"Tanh", &[x]),
    }
}

/// TensorFlow's name of a padding, if it has one. Its convolutions take other paddings as `explicit_paddings`, but the
/// gradients of the C API do not pass them on (tensorflow/cc/gradients/nn_grad.cc).
fn own_padding(
    shape: Shape,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
) -> Option<&'static str> {
    if padding.is_none() {
        return Some("VALID");
    }
    // https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    let same = |axis: usize| {
        let length = shape.axes()[axis + 1];
        let reach = (length.div_ceil(stride[axis]) - 1) * stride[axis] + kernel[axis];
        let total = reach.saturating_sub(length);
        (total / 2, total - total / 2)
    };
    let Padding { top, bottom, left, right } = padding;
    (shape.axes().len() == 3 && (top, bottom) == same(0) && (left, right) == same(1))
        .then_some("SAME")
}

/// Adds rows and columns of zeros, or of another value.
fn pad(graph: &mut Graph, x: Output, padding: Padding, value: Option<f32>) -> Result<Output> {
    if padding.is_none() {
        return Ok(x);
    }
    let Padding { top, bottom, left, right } = padding;
    let sides = [0, 0, top, bottom, left, right, 0, 0].map(|side| side as i32);
    let sides = graph.integer_array(&[4, 2], &sides)?;
    match value {
        None => graph.apply(c"Pad", &[x, sides]),
        Some(value) => {
            let value = graph.floats(&[], &[value])?;
            graph.apply(c"PadV2", &[x, sides, value])
        }
    }
}

fn pool(
    graph: &mut Graph,
    kind: &CStr,
    x: Output,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: &str,
) -> Result<Output> {
    let pool = graph.add(kind).inputs(&[x]).floats().text(c"padding", padding);
    pool.integers(c"ksize", &axes(kernel)).integers(c"strides", &axes(stride)).output()
}

/// Lengths along rows and columns as TensorFlow takes them, for `[batch, height, width, channels]`.
fn axes([rows, columns]: [usize; 2]) -> [i64; 4] {
    [1, rows as i64, columns as i64, 1]
}

/// A convolution without its bias.
fn convolve(
    graph: &mut Graph,
    gpu: bool,
    convolution: &Conv2d,
    [x, weight]: [Output; 2],
    shape: Shape,
) -> Result<Output> {
    let Conv2d { channels, kernel, stride, padding, groups, .. } = *convolution;
    let (x, own) = match own_padding(shape, kernel, stride, padding) {
        Some(own) => (x, own),
        None => (pad(graph, x, padding, None)?, "VALID"),
    };
    let one = |graph: &mut Graph, kind: &CStr, x: Output, weight: Output| {
        let one = graph.add(kind).inputs(&[x, weight]).floats();
        one.integers(c"strides", &axes(stride)).text(c"padding", own).output()
    };
    // Groups are those of the weights' shape, for which the CPU's convolution has no gradients.
    if groups == 1 || gpu {
        return one(graph, c"Conv2D", x, weight);
    }
    if groups == shape.channels() && stride[0] == stride[1] {
        // `[rows, columns, 1, inputs · multiplier]` has the values in the same order.
        let [rows, columns] = kernel.map(|length| length as i32);
        let depthwise = [rows, columns, groups as i32, (channels / groups) as i32];
        let weight = graph.reshape(weight, &depthwise)?;
        return one(graph, c"DepthwiseConv2dNative", x, weight);
    }
    let maps = graph.split(x, groups, 3)?;
    let weights = graph.split(weight, groups, 3)?;
    let parts = maps.into_iter().zip(weights);
    let parts = parts.map(|(x, weight)| one(graph, c"Conv2D", x, weight));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    graph.concat(&parts, 3)
}

fn layer_norm(
    graph: &mut Graph,
    norm: &LayerNorm,
    variables: &[Variable],
    x: Output,
) -> Result<Output> {
    let mean = graph.reduce(c"Mean", x, &[1], true)?;
    let centred = graph.apply(c"Sub", &[x, mean])?;
    let square = graph.apply(c"Square", &[centred])?;
    let variance = graph.reduce(c"Mean", square, &[1], true)?;
    let epsilon = graph.scalar(norm.epsilon)?;
    let inside = graph.apply(c"AddV2", &[variance, epsilon])?;
    let factor = graph.apply(c"Rsqrt", &[inside])?;
    let scaled = graph.apply(c"Mul", &[centred, factor])?;
    let weighted = graph.apply(c"Mul", &[scaled, variables[0].value])?;
    biased(graph, weighted, variables)
}

/// PyTorch's adaptive average pooling, for which TensorFlow has no operation: each value of the result is a weighted
/// sum of one channel's pixels, so the whole is one matrix product.
fn adaptive_average(
    graph: &mut Graph,
    pool: &AdaptiveAvgPool2d,
    x: Output,
    shape: Shape,
) -> Result<Output> {
    let (Shape::Map([channels, height, width]), [to_height, to_width]) = (shape, pool.output)
    else {
        return Ok(x);
    };
    if [height, width] == pool.output {
        return Ok(x);
    }
    let (rows, columns) = (shares(height, to_height), shares(width, to_width));
    let mut matrix = Vec::with_capacity(height * width * to_height * to_width);
    for row in 0..height {
        for column in 0..width {
            for to_row in &rows {
                matrix.extend(columns.iter().map(|to_column| to_row[row] * to_column[column]));
            }
        }
    }
    let matrix = graph.floats(&[height * width, to_height * to_width], &matrix)?;
    let x = graph.transpose(x, &[0, 3, 1, 2])?;
    let x = graph.reshape(x, &[-1, (height * width) as i32])?;
    let x = graph.apply(c"MatMul", &[x, matrix])?;
    let x = graph.reshape(x, &[-1, channels as i32, to_height as i32, to_width as i32])?;
    graph.transpose(x, &[0, 2, 3, 1])
}

/// For each of `side` results, the share that each of `length` inputs has in it. Result i averages the inputs from
/// ⌊i · length / side⌋ to ⌈(i + 1) · length / side⌉, as PyTorch does (aten/src/ATen/native/AdaptivePooling.h).
fn shares(length: usize, side: usize) -> Vec<Vec<f32>> {
    (0..side)
        .map(|at| {
            let range = at * length / side..((at + 1) * length).div_ceil(side);
            let share = 1.0 / range.len() as f32;
            (0..length).map(|input| if range.contains(&input) { share } else { 0.0 }).collect()
        })
        .collect()
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

    #[test]
    fn paddings_have_tensorflows_names_where_they_mean_the_same() {
        let own = |length: usize, kernel: usize, stride: usize, padding: [usize; 4]| {
            let shape = Shape::Map([3, length, length]);
            own_padding(shape, [kernel; 2], [stride; 2], Padding::from(padding))
        };
        assert_eq!(own(8, 3, 1, [1; 4]), Some("SAME"));
        assert_eq!(own(8, 2, 1, [0, 1, 0, 1]), Some("SAME"));
        assert_eq!(own(8, 3, 2, [0; 4]), Some("VALID"));
        // Rows -1, 1, 3, … in PyTorch; "SAME" takes 0, 2, 4, …
        assert_eq!(own(8, 3, 2, [1; 4]), None);
        assert_eq!(own(9, 3, 2, [1; 4]), Some("SAME"));
        assert_eq!(own(8, 3, 1, [1, 1, 0, 2]), None);
    }
}
