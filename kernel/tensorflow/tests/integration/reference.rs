//! The operations by their definitions, as loops in 64 bits.

use benchbook_backend::{Parameters, dropout_mask};
use benchbook_nets::{FlattenOrder, Function, Layer, Loss, Net, Operation, Padding, Shape, Source};
use std::collections::BTreeMap;

/// Values by the names of the parameters.
pub type Weights = BTreeMap<String, Vec<f64>>;

pub fn exact(weights: &Parameters) -> Weights {
    let exact = |values: &[f32]| values.iter().copied().map(f64::from).collect();
    weights.arrays.iter().map(|(name, array)| (name.clone(), exact(&array.values))).collect()
}

/// A batch of examples in the order outside.
type Batch = Vec<Vec<f64>>;

pub struct Reference<'a> {
    pub net: &'a Net,
    pub weights: &'a Weights,
    /// Whether the batch's statistics are used in batch normalisation.
    pub training: bool,
    /// The seed of the dropout masks; `None` drops nothing.
    pub seed: Option<u64>,
}

impl Reference<'_> {
    /// The outputs of all layers.
    pub fn outputs(&self, inputs: &[f32]) -> Vec<Batch> {
        let examples = inputs.chunks_exact(self.net.input().len());
        let input: Batch =
            examples.map(|example| example.iter().copied().map(f64::from).collect()).collect();
        let (mut outputs, mut dropouts) = (Vec::<Batch>::new(), 0);
        for layer in self.net.layers() {
            let inputs: Vec<&Batch> = layer
                .inputs
                .iter()
                .map(|source| match *source {
                    Source::Input => &input,
                    Source::Layer(at) => &outputs[at],
                })
                .collect();
            let output = self.layer(layer, &inputs, dropouts);
            assert!(output.iter().all(|example| example.len() == layer.output.len()));
            dropouts += usize::from(matches!(layer.operation, Operation::Dropout(_)));
            outputs.push(output);
        }
        outputs
    }

    pub fn logits(&self, inputs: &[f32]) -> Vec<f64> {
        self.outputs(inputs).pop().unwrap().concat()
    }

    pub fn loss(&self, inputs: &[f32], labels: &[i64], class_weights: Option<&[f32]>) -> f64 {
        let (mut sum, mut whole) = (0.0, 0.0);
        for (logits, &label) in self.outputs(inputs).pop().unwrap().iter().zip(labels) {
            let factor = class_weights.map_or(1.0, |weights| f64::from(weights[label as usize]));
            let (loss, share) = match self.net.loss() {
                Loss::BinaryCrossEntropy => {
                    let signed = if label == 1 { -logits[0] } else { logits[0] };
                    (signed.max(0.0) + (-signed.abs()).exp().ln_1p(), 1.0)
                }
                Loss::CrossEntropy => {
                    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
                    (sum.ln() - logits[label as usize], factor)
                }
            };
            sum += factor * loss;
            whole += share;
        }
        sum / whole
    }

    fn layer(&self, layer: &Layer, inputs: &[&Batch], dropouts: usize) -> Batch {
        let parameters = self.net.parameters_of(layer);
        let weight = |at: usize| parameters.get(at).map(|parameter| &self.weights[&parameter.name]);
        let shape = layer.input_shapes[0];
        let each = |one: &dyn Fn(&[f64]) -> Vec<f64>| -> Batch {
            inputs[0].iter().map(|example| one(example)).collect()
        };
        match &layer.operation {
            Operation::Activation(activation) => {
                each(&|example| example.iter().map(|x| activate(activation.function, *x)).collect())
            }
            Operation::AdaptiveAvgPool2d(pool) => each(&|example| {
                let (Shape::Map([channels, height, width]), [rows, columns]) = (shape, pool.output)
                else {
                    panic!("no map: {shape}")
                };
                let range = |at: usize, length: usize, side: usize| {
                    at * length / side..((at + 1) * length).div_ceil(side)
                };
                let mut result = Vec::new();
                for channel in 0..channels {
                    for (row, column) in cells(rows, columns) {
                        let values: Vec<f64> = range(row, height, rows)
                            .flat_map(|y| range(column, width, columns).map(move |x| (y, x)))
                            .map(|(y, x)| example[(channel * height + y) * width + x])
                            .collect();
                        result.push(values.iter().sum::<f64>() / values.len() as f64);
                    }
                }
                result
            }),
            Operation::Add(_) => (0..inputs[0].len())
                .map(|example| {
                    let values = 0..inputs[0][example].len();
                    values.map(|at| inputs.iter().map(|input| input[example][at]).sum()).collect()
                })
                .collect(),
            Operation::AvgPool2d(pool) => each(&|example| {
                let count = (pool.kernel[0] * pool.kernel[1]) as f64;
                let windows = Windows::new(shape, pool.kernel, pool.stride, pool.padding);
                windows.each(|_, window| {
                    window.iter().flatten().map(|at| example[*at]).sum::<f64>() / count
                })
            }),
            Operation::BatchNorm(norm) => {
                let (channels, pixels) = (shape.channels(), shape.len() / shape.channels());
                let mut result = inputs[0].clone();
                for channel in 0..channels {
                    let at = channel * pixels..(channel + 1) * pixels;
                    let all: Vec<f64> =
                        inputs[0].iter().flat_map(|example| example[at.clone()].to_vec()).collect();
                    let (mean, variance) = if self.training {
                        moments(&all)
                    } else {
                        (weight(2).unwrap()[channel], weight(3).unwrap()[channel])
                    };
                    let factor = weight(0).unwrap()[channel] / (variance + norm.epsilon).sqrt();
                    for example in &mut result {
                        for value in &mut example[at.clone()] {
                            *value = (*value - mean) * factor + weight(1).unwrap()[channel];
                        }
                    }
                }
                result
            }
            Operation::Custom(_) => unreachable!("no other library has the code"),
            Operation::Concat(_) => (0..inputs[0].len())
                .map(|example| inputs.iter().flat_map(|input| input[example].clone()).collect())
                .collect(),
            Operation::Conv2d(conv) => each(&|example| {
                let area = conv.kernel[0] * conv.kernel[1];
                let inputs = shape.channels() / conv.groups;
                let windows = Windows {
                    channels: conv.channels,
                    ..Windows::new(shape, conv.kernel, conv.stride, conv.padding)
                };
                let pixels = shape.len() / shape.channels();
                windows.each(|output, window| {
                    let group = output / (conv.channels / conv.groups);
                    let mut sum = weight(1).map_or(0.0, |bias| bias[output]);
                    for input in 0..inputs {
                        let factors =
                            &weight(0).unwrap()[(output * inputs + input) * area..][..area];
                        let from = (group * inputs + input) * pixels;
                        for (factor, at) in factors.iter().zip(window) {
                            // The window's places are those of the channel with the output's number.
                            sum += at.map_or(0.0, |at| factor * example[from + at % pixels]);
                        }
                    }
                    sum
                })
            }),
            Operation::Dense(dense) => each(&|example| {
                let row = |output: usize| {
                    let factors = &weight(0).unwrap()[output * example.len()..][..example.len()];
                    let bias = weight(1).map_or(0.0, |bias| bias[output]);
                    bias + factors.iter().zip(example).map(|(w, x)| w * x).sum::<f64>()
                };
                (0..dense.units).map(row).collect()
            }),
            Operation::Dropout(dropout) => {
                let Some(seed) = self.seed else { return inputs[0].clone() };
                let count = inputs[0].len() * shape.len();
                let mask = dropout_mask(count, dropout.rate, seed, dropouts);
                let masks = mask.chunks_exact(shape.len());
                let masked = |(example, mask): (&Vec<f64>, &[f32])| -> Vec<f64> {
                    example.iter().zip(mask).map(|(x, factor)| x * f64::from(*factor)).collect()
                };
                inputs[0].iter().zip(masks).map(masked).collect()
            }
            Operation::Flatten(flatten) => each(&|example| match flatten.order {
                FlattenOrder::ChannelHeightWidth => example.to_vec(),
                FlattenOrder::HeightWidthChannel => {
                    let (channels, pixels) = (shape.channels(), shape.len() / shape.channels());
                    let places = cells(pixels, channels);
                    places.map(|(pixel, channel)| example[channel * pixels + pixel]).collect()
                }
            }),
            Operation::GlobalAvgPool2d(_) => each(&|example| {
                let channels = example.chunks_exact(shape.len() / shape.channels());
                channels.map(|values| moments(values).0).collect()
            }),
            Operation::LayerNorm(norm) => each(&|example| {
                let (mean, variance) = moments(example);
                let values = example.iter().zip(weight(0).unwrap()).zip(weight(1).unwrap());
                let values =
                    values.map(|((x, w), b)| (x - mean) / (variance + norm.epsilon).sqrt() * w + b);
                values.collect()
            }),
            Operation::MaxPool2d(pool) => each(&|example| {
                let windows = Windows::new(shape, pool.kernel, pool.stride, pool.padding);
                windows.each(|_, window| {
                    let values = window.iter().flatten().map(|at| example[*at]);
                    values.fold(f64::NEG_INFINITY, f64::max)
                })
            }),
            // The conformance suite has every operation; these tests have more settings of some.
            other => panic!("the reference in Rust does not have {other:?}"),
        }
    }
}

/// Mean and biased variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}

fn cells(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

fn activate(function: Function, x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    match function {
        Function::Relu => x.max(0.0),
        Function::Relu6 => x.clamp(0.0, 6.0),
        Function::LeakyRelu => x.max(0.01 * x),
        Function::Elu => {
            if x > 0.0 {
                x
            } else {
                x.exp_m1()
            }
        }
        Function::Gelu => x * normal(x),
        Function::Silu => x * sigmoid,
        Function::Sigmoid => sigmoid,
        Function::Tanh => x.tanh(),
    }
}

/// The normal distribution Φ by its Taylor series: ½ + (x − x³/6 + x⁵/40 − …) / √(2π).
fn normal(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        let n = f64::from(n);
        term *= -x * x / (2.0 * n);
        sum += term / (2.0 * n + 1.0);
    }
    0.5 + sum / std::f64::consts::TAU.sqrt()
}

/// The windows of a pooling or convolution.
struct Windows {
    /// Of the output.
    channels: usize,
    map: [usize; 3],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
}

impl Windows {
    fn new(shape: Shape, kernel: [usize; 2], stride: [usize; 2], padding: Padding) -> Self {
        let Shape::Map(map) = shape else { panic!("no map: {shape}") };
        Self { channels: map[0], map, kernel, stride, padding }
    }

    /// Calls with each output channel and the places of its window in an example, `None` in the padding.
    fn each(&self, mut one: impl FnMut(usize, &[Option<usize>]) -> f64) -> Vec<f64> {
        let ([_, height, width], Padding { top, bottom, left, right }) = (self.map, self.padding);
        let rows = (height + top + bottom - self.kernel[0]) / self.stride[0] + 1;
        let columns = (width + left + right - self.kernel[1]) / self.stride[1] + 1;
        let mut result = Vec::new();
        for channel in 0..self.channels {
            for (row, column) in cells(rows, columns) {
                let window: Vec<Option<usize>> = cells(self.kernel[0], self.kernel[1])
                    .map(|(r, c)| {
                        let y = (row * self.stride[0] + r).checked_sub(top)?;
                        let x = (column * self.stride[1] + c).checked_sub(left)?;
                        (y < height && x < width).then_some((channel * height + y) * width + x)
                    })
                    .collect();
                result.push(one(channel, &window));
            }
        }
        result
    }
}
