//! The library where there is one, and small nets.

use benchbook_tensorflow::{
    Description, Error, FlattenOrder, Layer, Library, LoadError, Loss, Net, Processor, Step, Values,
};
use std::path::Path;

/// TensorFlow: the one that is found in the usual places, else that of the Python references. `None`
/// (and a line that says so) if there is none; a broken or unfit one fails the test.
pub fn library() -> Option<&'static Library> {
    let references = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv-references");
    let found = Library::load().or_else(|error| match error {
        LoadError::NotFound { .. } if references.exists() => Library::load_from(&references),
        other => Err(other),
    });
    match found {
        Ok(library) => Some(library),
        Err(error @ LoadError::NotFound { .. }) => {
            println!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Numbers between -1 and 1 that look random and are the same each time.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / 8_388_608.0) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Values for every parameter: weights and biases look random, batch normalisation starts as usual.
pub fn weights(description: &Description, seed: u64) -> Values {
    let parameters = description.parameters().into_iter().enumerate();
    parameters
        .map(|(index, parameter)| {
            let count = parameter.shape.iter().product();
            let values = if parameter.name.ends_with("running_var") {
                vec![1.0; count]
            } else {
                let scale = 0.7 / (count as f32).powf(0.25);
                numbers(count, seed + index as u64).into_iter().map(|value| value * scale).collect()
            };
            (parameter.name, values)
        })
        .collect()
}

pub fn build(library: &'static Library, description: &Description, weights: &Values) -> Net {
    let value = |name: &str| weights.get(name).map(Vec::as_slice);
    Net::new(library, description.clone(), Processor::Cpu, Some(2), value).unwrap()
}

pub fn conv(name: &str, inputs: usize, outputs: usize) -> Layer {
    Layer::Conv { name: name.into(), inputs, outputs }
}

pub fn dense(name: &str, inputs: usize, outputs: usize) -> Layer {
    Layer::Dense { name: name.into(), inputs, outputs }
}

/// One dense layer on a picture of `length` values: small enough to compute by hand.
pub fn linear(length: usize, loss: Loss) -> Description {
    Description {
        input: [length, 1, 1],
        base: Vec::new(),
        head: vec![
            Layer::Flatten(FlattenOrder::ChannelHeightWidth),
            dense("dense", length, loss.outputs()),
        ],
        loss,
        frozen: false,
    }
}

/// Every kind of layer on 8×8 pixels of 3 channels.
pub fn small(batch_norm: bool, frozen: bool) -> Description {
    let mut base = Vec::new();
    for (name, inputs, outputs) in [("features.0", 3, 4), ("features.3", 4, 6)] {
        base.push(conv(name, inputs, outputs));
        if batch_norm {
            base.push(Layer::BatchNorm { name: format!("{name}.norm"), channels: outputs });
        }
        base.extend([Layer::Relu, Layer::MaxPool]);
    }
    Description {
        input: [3, 8, 8],
        base,
        head: vec![
            Layer::AveragePool { side: 3 },
            Layer::Flatten(FlattenOrder::ChannelHeightWidth),
            dense("classifier.0", 54, 16),
            Layer::Relu,
            Layer::Dropout { rate: 0.5 },
            dense("classifier.3", 16, 2),
        ],
        loss: Loss::CrossEntropy,
        frozen,
    }
}

/// Four pictures for [`small`] with their classes.
pub fn pictures() -> (Vec<f32>, Vec<i64>) {
    (numbers(4 * 3 * 8 * 8, 77), vec![0, 1, 1, 0])
}

/// A training step that drops a quarter of the values, always the same of a seed.
pub fn step(net: &mut Net, rate: f64, seed: u64) -> Result<f64, Error> {
    let (pixels, labels) = pictures();
    let mask = |layer: usize, rate: f64, count: usize| {
        let kept = (1.0 / (1.0 - rate)) as f32;
        let chosen = numbers(count, seed + layer as u64);
        chosen.into_iter().map(|value| if value < -0.5 { 0.0 } else { kept }).collect()
    };
    let input = benchbook_tensorflow::Input::Pixels(&pixels);
    net.train_step(input, &labels, Step { rate, class_weights: None }, &mask)
        .map(|outcome| outcome.loss)
}

/// The largest difference, relative to the largest value.
pub fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-30_f64, |largest, value| largest.max(value.abs()));
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0_f64, |worst, (f, e)| worst.max((f64::from(*f) - e).abs())) / largest
}

pub fn no_dropout(_layer: usize, _rate: f64, count: usize) -> Vec<f32> {
    vec![1.0; count]
}

pub fn rate(rate: f64) -> Step {
    Step { rate, class_weights: None }
}
