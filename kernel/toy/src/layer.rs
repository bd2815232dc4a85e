//! The layers: one arm for each operation.

use crate::NAME;
use benchbook_backend::{BackendError, dropout_mask};
use benchbook_nets::{Flatten, FlattenOrder, Function, Layer, Operation, Padding, Shape};

/// Refuses an operation that this backend lacks.
pub(crate) fn check(layer: &Layer) -> Result<(), BackendError> {
    let lacks = match &layer.operation {
        Operation::Conv2d(conv) if conv.groups > 1 => "convolutions in groups".into(),
        Operation::Conv2d(_)
        | Operation::Dense(_)
        | Operation::Dropout(_)
        | Operation::Flatten(_)
        | Operation::MaxPool2d(_) => return Ok(()),
        Operation::Activation(activation) if activation.function == Function::Relu => return Ok(()),
        Operation::Activation(activation) => format!("the activation {:?}", activation.function),
        other => other.rule().keras().to_owned(),
    };
    let reason = format!("it does not have {lacks}");
    Err(BackendError::Operation { library: NAME, layer: layer.name.clone(), reason })
}

/// The weights of a layer, empty where it has none.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
}

/// The results of a layer's backward pass.
pub(crate) struct Gradients {
    pub(crate) input: Vec<f64>,
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
}

/// The output for a batch, `[batch, …output]`. `mask` holds the factors of a dropout layer; without it nothing is dropped.
pub(crate) fn forward(
    layer: &Layer,
    weights: Weights<'_>,
    x: &[f64],
    mask: Option<&[f32]>,
) -> Vec<f64> {
    let (inputs, outputs) = (layer.input_shapes[0].len(), layer.output.len());
    match &layer.operation {
        Operation::Activation(_) => return x.iter().map(|value| value.max(0.0)).collect(),
        Operation::Dropout(_) => return masked(x, mask),
        _ => {}
    }
    let mut y = vec![0.0; x.len() / inputs * outputs];
    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
        if let Operation::MaxPool2d(_) = layer.operation {
            y.fill(f64::NEG_INFINITY);
            terms(layer, |output, input, _| y[output] = y[output].max(x[input]));
            continue;
        }
        let area = outputs / weights.bias.len().max(1);
        for (output, bias) in weights.bias.iter().flat_map(|b| vec![b; area]).enumerate() {
            y[output] = f64::from(*bias);
        }
        terms(layer, |output, input, weight| y[output] += factor(weights, weight) * x[input]);
    }
    y
}

/// The gradients, from the gradient `dy` of the layer's output `y`.
pub(crate) fn backward(
    layer: &Layer,
    weights: Weights<'_>,
    (x, y, dy): (&[f64], &[f64], &[f64]),
    mask: Option<&[f32]>,
) -> Gradients {
    let (inputs, outputs) = (layer.input_shapes[0].len(), layer.output.len());
    let mut gradients = Gradients {
        input: vec![0.0; x.len()],
        weight: vec![0.0; weights.weight.len()],
        bias: vec![0.0; weights.bias.len()],
    };
    match &layer.operation {
        Operation::Activation(_) => {
            let passed = x.iter().zip(dy).map(|(x, dy)| if *x > 0.0 { *dy } else { 0.0 });
            gradients.input = passed.collect();
            return gradients;
        }
        Operation::Dropout(_) => {
            gradients.input = masked(dy, mask);
            return gradients;
        }
        _ => {}
    }
    let area = outputs / weights.bias.len().max(1);
    let examples = x.chunks_exact(inputs).zip(gradients.input.chunks_exact_mut(inputs));
    let results = y.chunks_exact(outputs).zip(dy.chunks_exact(outputs));
    for ((x, dx), (y, dy)) in examples.zip(results) {
        if let Operation::MaxPool2d(_) = layer.operation {
            // The first of several largest values takes the gradient.
            let mut is_taken = vec![false; outputs];
            terms(layer, |output, input, _| {
                if x[input] == y[output] && !std::mem::replace(&mut is_taken[output], true) {
                    dx[input] += dy[output];
                }
            });
            continue;
        }
        terms(layer, |output, input, weight| {
            dx[input] += factor(weights, weight) * dy[output];
            if let Some(gradient) = gradients.weight.get_mut(weight) {
                *gradient += x[input] * dy[output];
            }
        });
        for (bias, dy) in gradients.bias.iter_mut().zip(dy.chunks_exact(area)) {
            *bias += dy.iter().sum::<f64>();
        }
    }
    gradients
}

fn factor(weights: Weights<'_>, at: usize) -> f64 {
    // Flattening has no weights.
    weights.weight.get(at).map_or(1.0, |weight| f64::from(*weight))
}

fn masked(x: &[f64], mask: Option<&[f32]>) -> Vec<f64> {
    let Some(mask) = mask else { return x.to_vec() };
    x.iter().zip(mask).map(|(x, factor)| x * f64::from(*factor)).collect()
}

/// The factors of a dropout layer for values of a batch, the `ordinal`-th of the net.
pub(crate) fn mask(layer: &Layer, values: usize, seed: u64, ordinal: usize) -> Option<Vec<f32>> {
    let Operation::Dropout(dropout) = &layer.operation else { return None };
    Some(dropout_mask(values, dropout.rate, seed, ordinal))
}

/// Visits the places of output, input and weight of each term of a sum (or maximum), for one example.
fn terms(layer: &Layer, mut visit: impl FnMut(usize, usize, usize)) {
    match (&layer.operation, layer.input_shapes[0], layer.output) {
        (Operation::Dense(_), Shape::Vector([inputs]), Shape::Vector([outputs])) => {
            for output in 0..outputs {
                (0..inputs).for_each(|input| visit(output, input, output * inputs + input));
            }
        }
        (Operation::Conv2d(conv), Shape::Map(map), Shape::Map([channels, rows, columns])) => {
            let window = Window { kernel: conv.kernel, stride: conv.stride, padding: conv.padding };
            let (area, taps) = (map[1] * map[2], conv.kernel[0] * conv.kernel[1]);
            window.visit(map, [rows, columns], |output, input, tap| {
                for channel in 0..channels {
                    for from in 0..map[0] {
                        let weight = (channel * map[0] + from) * taps + tap;
                        visit(channel * rows * columns + output, from * area + input, weight);
                    }
                }
            });
        }
        (Operation::MaxPool2d(pool), Shape::Map(map), Shape::Map([_, rows, columns])) => {
            let window = Window { kernel: pool.kernel, stride: pool.stride, padding: pool.padding };
            let area = map[1] * map[2];
            window.visit(map, [rows, columns], |output, input, _| {
                for channel in 0..map[0] {
                    visit(channel * rows * columns + output, channel * area + input, 0);
                }
            });
        }
        (Operation::Flatten(Flatten { order }), Shape::Map([channels, rows, columns]), _) => {
            let area = rows * columns;
            for input in 0..channels * area {
                let output = match order {
                    FlattenOrder::ChannelHeightWidth => input,
                    FlattenOrder::HeightWidthChannel => input % area * channels + input / area,
                };
                visit(output, input, 0);
            }
        }
        // `check` refuses the other operations, and these are sums over no other shapes.
        _ => {}
    }
}

struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
}

impl Window {
    /// Visits the places within the output's plane, the input's plane and the kernel. Padding is left out: it adds nothing
    /// to a sum and is never a maximum.
    fn visit(
        &self,
        [_, height, width]: [usize; 3],
        [rows, columns]: [usize; 2],
        mut visit: impl FnMut(usize, usize, usize),
    ) {
        let Self { kernel, stride, padding } = self;
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            for (down, across) in (0..kernel[0]).flat_map(|d| (0..kernel[1]).map(move |a| (d, a))) {
                let y = (row * stride[0] + down).checked_sub(padding.top);
                let x = (column * stride[1] + across).checked_sub(padding.left);
                if let (Some(y), Some(x)) = (y, x)
                    && y < height
                    && x < width
                {
                    visit(row * columns + column, y * width + x, down * kernel[1] + across);
                }
            }
        }
    }
}
