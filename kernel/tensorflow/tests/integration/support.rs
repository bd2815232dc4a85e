//! The library where there is one, and small nets.

use benchbook_backend::{
    Array, Backend, BackendError, Compute, Device, Input, Network, Parameters, Plan, Step,
};
use benchbook_nets::{AdaptiveAvgPool2d, Architecture, Net, Sequential};
use benchbook_tensorflow::{Library, LoadError, TensorFlow};
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

pub fn net(architecture: impl Architecture) -> Net {
    Net::new(architecture.graph()).unwrap()
}

/// Values for every parameter that look random; variances are between 0.5 and 1.5.
pub fn weights(net: &Net, seed: u64) -> Parameters {
    let arrays = net.parameters().iter().zip(seed..).map(|(parameter, seed)| {
        let inputs: usize = parameter.shape.iter().skip(1).product();
        let (middle, reach) = match parameter.shape.len() {
            1 if parameter.name.ends_with("running_var") => (1.0, 0.5),
            1 => (0.1, 0.5),
            _ => (0.0, 1.7 / (inputs as f32).sqrt()),
        };
        let values = numbers(parameter.len(), seed).into_iter();
        let values = values.map(|value| middle + reach * value).collect();
        (parameter.name.clone(), Array { shape: parameter.shape.clone(), values })
    });
    Parameters { arrays: arrays.collect() }
}

/// Weights of [`linear`].
pub fn linear_weights(weight: &[f32], bias: &[f32]) -> Parameters {
    let array = |shape, values: &[f32]| Array { shape, values: values.to_vec() };
    let rows = vec![bias.len(), weight.len() / bias.len()];
    let weight = ("dense_1.weight".into(), array(rows, weight));
    Parameters { arrays: [weight, ("dense_1.bias".into(), array(vec![bias.len()], bias))].into() }
}

pub fn plan(net: &Net, frozen: bool) -> Plan {
    let (device, threads, compute) = (Device::Cpu, Some(2), Compute::default());
    Plan { net: net.clone(), frozen, device, threads, ranks: 1, compute }
}

pub fn build(net: &Net, frozen: bool, weights: &Parameters) -> Box<dyn Network> {
    TensorFlow.build(&plan(net, frozen), weights).unwrap()
}

pub fn build_with(compute: Compute, net: &Net, weights: &Parameters) -> Box<dyn Network> {
    TensorFlow.build(&Plan { compute, ..plan(net, false) }, weights).unwrap()
}

/// One dense layer: small enough to compute by hand.
pub fn linear(length: usize, outputs: usize) -> Net {
    net(Sequential::vector(length).dense(outputs))
}

/// The usual layers on 8×8 pixels of 3 channels.
pub fn small(batch_norm: bool) -> Net {
    let mut base = Sequential::image(3, 8, 8);
    for channels in [4, 6] {
        base = base.conv(channels, 3);
        base = if batch_norm { base.batch_norm() } else { base };
        base = base.relu().max_pool(2);
    }
    let head = base.end_base().layer(AdaptiveAvgPool2d { output: [3, 3] });
    net(head.flatten().dense(16).relu().dropout(0.5).dense(2))
}

/// Four images for [`small`] with their classes.
pub fn images() -> (Vec<f32>, Vec<i64>) {
    (numbers(4 * 3 * 8 * 8, 77), vec![0, 1, 1, 0])
}

/// A training step of [`small`], and its loss.
pub fn step(net: &mut dyn Network, rate: f64, seed: u64) -> Result<f64, BackendError> {
    let (images, labels) = images();
    let step = Step::new(rate, seed);
    net.train_step(Input::Values(&images), &labels, step).map(|result| result.loss)
}

/// The largest difference, relative to the largest value.
pub fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-30_f64, |largest, value| largest.max(value.abs()));
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0_f64, |worst, (f, e)| worst.max((f64::from(*f) - e).abs())) / largest
}
