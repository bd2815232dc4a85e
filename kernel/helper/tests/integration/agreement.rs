//! The same weights and pictures give what PyTorch's own Python gives: logits, loss, gradients, and
//! the loss after a step.
//!
//! Weights and pictures follow from integer arithmetic that is written down twice, here and in
//! `environment/originals/golden.py`, which wrote `tests/data/agreement.json` with torch 2.11.0. For
//! each gradient the file has its norm, its largest value and eight values spread over it.
//! `kernel/tests/test_agreement.py` compares whole gradients of larger nets, where PyTorch's Python
//! is installed.
//!
//! Tolerances: logits and losses rtol 1e-4 and atol 1e-5; gradients rtol 1e-4 of the value and atol
//! 1e-4 of the gradient's largest value, since sums in another order differ by rounding, or 1e-5 of the
//! largest in its layer's weight if that is more: the gradient of a bias before a batch normalisation is
//! nothing but rounding, and other processors round otherwise.

use benchbook::backend::{Compute, Device, Input, LibTorch, Optimizer, Parameters, Plan, Step};
use benchbook::nets::{Architecture, Head, Named, Net};
use benchbook::serde_json;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    labels: Vec<i64>,
    rate: f64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    net: Settings,
    logits: Vec<f64>,
    loss: f64,
    gradients: BTreeMap<String, Gradient>,
    loss_after: f64,
}

#[derive(Debug, Deserialize)]
struct Settings {
    depth: String,
    head: Head,
    size: usize,
    batch_norm: bool,
}

#[derive(Deserialize)]
struct Gradient {
    largest: f64,
    norm: f64,
    values: Vec<f64>,
}

/// Numbers in [-1, 1): golden.py's `spread`.
fn spread(count: usize, stream: u64) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |at| {
        let mut x = (at * 2_654_435_761 + stream * 40_503 + 12_345) & 0xffff_ffff;
        x ^= x >> 16;
        x = (x * 2_246_822_519) & 0xffff_ffff;
        x ^= x >> 13;
        x as f64 / 2_147_483_648.0 - 1.0
    })
}

/// golden.py's `fill`.
fn weights(net: &Net) -> Parameters {
    let specifications = net.parameters();
    let mut parameters = Parameters::initial(specifications, 0);
    let learned = specifications.iter().filter(|p| p.learned);
    for (stream, specification) in learned.enumerate() {
        let count = specification.len();
        let values = spread(count, stream as u64).map(|value| {
            let value = if specification.shape.len() > 1 {
                value * (6.0 / (count / specification.shape[0]) as f64).sqrt()
            } else if specification.name.ends_with(".weight") {
                value * 0.1 + 1.0
            } else {
                value * 0.1
            };
            value as f32
        });
        parameters.arrays.get_mut(&specification.name).unwrap().values = values.collect();
    }
    parameters
}

#[track_caller]
fn close(found: f64, expected: f64, absolute: f64, what: &str) {
    let allowed = 1e-4 * expected.abs() + absolute;
    assert!((found - expected).abs() <= allowed, "{what}: {found}, in Python {expected}");
}

#[test]
fn logits_loss_gradients_and_a_step_agree_with_pytorchs_python() {
    let golden: Golden = serde_json::from_str(include_str!("../data/agreement.json")).unwrap();
    for Case { net, logits, loss, gradients, loss_after } in golden.cases {
        let what = format!("{net:?}");
        let Settings { depth, head, size, batch_norm } = net;
        let named: Named = serde_json::from_value(serde_json::json!({
            "architecture": depth, "head": head, "size": size, "batch_norm": batch_norm,
            "dropout": 0.0,
        }))
        .unwrap();
        let net = Net::new(named.graph()).unwrap();
        let parameters = weights(&net);
        let plan = Plan {
            net,
            frozen: false,
            device: Device::Cpu,
            threads: Some(2),
            ranks: 1,
            compute: Compute::default(),
        };
        let mut net = LibTorch.build(&plan, &parameters).unwrap();
        let batch = golden.labels.len();
        let pixels: Vec<f32> = spread(batch * 3 * size * size, 999).map(|v| v as f32).collect();
        let input = Input::Values(&pixels);

        let found = net.logits(input, batch).unwrap();
        assert_eq!(found.len(), logits.len());
        for (found, expected) in found.iter().zip(&logits) {
            close(f64::from(*found), *expected, 1e-5, &format!("a logit of {what}"));
        }
        let found = net.gradients(input, &golden.labels).unwrap();
        assert_eq!(found.arrays.keys().collect::<Vec<_>>(), gradients.keys().collect::<Vec<_>>());
        for (name, expected) in &gradients {
            let values = &found.arrays[name].values;
            let what = format!("the gradient of {name} of {what}");
            let (layer, _) = name.rsplit_once('.').unwrap();
            let weight = &gradients[&format!("{layer}.weight")];
            let absolute = (1e-4 * expected.largest).max(1e-5 * weight.largest);
            let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            close(norm, expected.norm, absolute * (values.len() as f64).sqrt(), &what);
            for (index, value) in expected.values.iter().enumerate() {
                let found = values[index * values.len() / expected.values.len()];
                close(f64::from(found), *value, absolute, &what);
            }
        }
        net.compile(Optimizer::sgd());
        let step = Step::new(golden.rate, 0);
        let found = net.train_step(input, &golden.labels, step).unwrap().loss;
        close(found, loss, 1e-5, &format!("the loss of {what}"));
        let after = net.train_step(input, &golden.labels, Step { rate: 0.0, ..step }).unwrap().loss;
        close(after, loss_after, 1e-5, &format!("the loss after a step of {what}"));
    }
}
