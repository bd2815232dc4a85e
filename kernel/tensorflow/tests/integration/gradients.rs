//! Losses and gradients against closed forms, dropout, and a frozen base.

use crate::support::{
    build, difference, images, library, linear, linear_weights, net, numbers, small, weights,
};
use benchbook_backend::{Input, Optimizer, Step};
use benchbook_nets::Sequential;

#[test]
fn one_dense_layer_has_the_closed_forms_gradients() {
    if library().is_none() {
        return;
    }
    let (length, labels) = (4, [0, 1, 1]);
    let inputs = numbers(3 * length, 9);
    for outputs in [1, 2, 3] {
        let net = linear(length, outputs);
        let weights = weights(&net, 2);
        let [given, biases] =
            ["dense_1.weight", "dense_1.bias"].map(|name| &weights.arrays[name].values);
        let mut weight = vec![0.0; outputs * length];
        let mut bias = vec![0.0; outputs];
        let mut mean = 0.0;
        for (example, label) in inputs.chunks_exact(length).zip(labels) {
            let logits: Vec<f64> = (0..outputs)
                .map(|output| {
                    let pairs = given[output * length..][..length].iter().zip(example);
                    f64::from(biases[output])
                        + pairs.map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>()
                })
                .collect();
            // d loss / d logit is the probability less the truth, for both losses.
            let errors: Vec<f64> = if outputs == 1 {
                mean += (logits[0].exp().ln_1p() - label as f64 * logits[0]) / 3.0;
                vec![1.0 / (1.0 + (-logits[0]).exp()) - label as f64]
            } else {
                let sum: f64 = logits.iter().map(|x| x.exp()).sum();
                mean += (sum.ln() - logits[label as usize]) / 3.0;
                let truth = |class| if class == label as usize { 1.0 } else { 0.0 };
                (0..outputs).map(|class| logits[class].exp() / sum - truth(class)).collect()
            };
            for (output, error) in errors.iter().enumerate() {
                bias[output] += error / 3.0;
                for (at, x) in example.iter().enumerate() {
                    weight[output * length + at] += error * f64::from(*x) / 3.0;
                }
            }
        }
        let mut net = build(&net, false, &weights);
        let found = net.evaluate_step(Input::Values(&inputs), &labels).unwrap().loss;
        assert!((found - mean).abs() < 1e-6, "{outputs}: {found} {mean}");
        let gradients = net.gradients(Input::Values(&inputs), &labels).unwrap().arrays;
        for (name, expected) in [("dense_1.weight", weight), ("dense_1.bias", bias)] {
            let apart = difference(&gradients[name].values, &expected);
            assert!(apart < 1e-5, "{outputs}, {name}: {gradients:?}");
        }
    }
}

#[test]
fn class_weights_are_averaged_as_the_losss_library_does() {
    if library().is_none() {
        return;
    }
    let (inputs, labels) = ([0.75, -0.5], [0, 1]);
    // Logit w·x + b of each example, and the loss and its slope by the logit, with w = 0.5 and b = 0.25
    // in the one logit, or in the second of two whose first is 0: then the two losses are the same.
    let parts =
        inputs.map(|x: f64| 0.5 * x + 0.25).map(|logit| (logit, 1.0 / (1.0 + (-logit).exp())));
    let losses = [-(1.0 - parts[0].1).ln(), -parts[1].1.ln()];
    let slopes = [parts[0].1, parts[1].1 - 1.0];
    // Factors 2 and 0.5: Keras divides by two examples, PyTorch by 2.5.
    for (outputs, whole) in [(1, 2.0), (2, 2.5)] {
        let zeros = vec![0.0_f32; outputs - 1];
        let start = linear_weights(
            &[zeros.as_slice(), &[0.5]].concat(),
            &[zeros.as_slice(), &[0.25]].concat(),
        );
        let mut net = build(&linear(1, outputs), false, &start);
        net.compile(Optimizer::sgd());
        let step = Step { class_weights: Some(&[2.0, 0.5]), ..Step::new(1.0, 0) };
        let values = inputs.map(|x| x as f32);
        let found = net.train_step(Input::Values(&values), &labels, step).unwrap().loss;
        let expected = (2.0 * losses[0] + 0.5 * losses[1]) / whole;
        assert!((found - expected).abs() < 1e-6, "{outputs}: {found} {expected}");
        let slope = (2.0 * slopes[0] * inputs[0] + 0.5 * slopes[1] * inputs[1]) / whole;
        let after = net.parameters().unwrap();
        let found = f64::from(*after.arrays["dense_1.weight"].values.last().unwrap());
        assert!((found - (0.5 - slope)).abs() < 1e-6, "{outputs}: {found} {}", 0.5 - slope);
    }
}

#[test]
fn a_logit_of_zero_has_a_gradient_too() {
    // A loss made of |x| or max(x, 0) would have none there: 1/(1 + exp(0)) − 1 = −0.5.
    if library().is_none() {
        return;
    }
    let mut net = build(&linear(1, 1), false, &linear_weights(&[0.0], &[0.0]));
    let gradients = net.gradients(Input::Values(&[1.0]), &[1]).unwrap();
    assert_eq!(gradients.arrays["dense_1.bias"].values, [-0.5]);
}

#[test]
fn the_loss_is_exact_for_large_logits_of_either_sign() {
    if library().is_none() {
        return;
    }
    let mut net = build(&linear(1, 1), false, &linear_weights(&[1.0], &[0.0]));
    for (logit, label) in [(30.0, 1), (30.0, 0), (-30.0, 1), (-30.0, 0), (0.0, 1), (300.0, 0)] {
        let result = net.evaluate_step(Input::Values(&[logit]), &[label]).unwrap();
        let signed = f64::from(if label == 1 { -logit } else { logit });
        // ln(1 + exp(s)) without overflow
        let expected = signed.max(0.0) + (-signed.abs()).exp().ln_1p();
        assert!((result.loss - expected).abs() <= 1e-6 * expected, "{label}: {result:?}");
        assert_eq!(result.logits, [logit]);
    }
}

#[test]
fn dropout_scales_what_it_keeps_and_drops_the_same_in_both_directions() {
    if library().is_none() {
        return;
    }
    let net = net(Sequential::vector(3).dropout(0.25).dense(1));
    let start = linear_weights(&[0.5, -0.25, 1.0], &[0.0]);
    let inputs = [1.0, 2.0, 3.0];
    // A seed that drops the second value alone.
    let kept = 4.0_f32 / 3.0;
    let mask = |seed: &u64| benchbook_backend::dropout_mask(3, 0.25, *seed, 0) == [kept, 0.0, kept];
    let seed = (0..).find(mask).unwrap();
    let mut net = build(&net, false, &start);
    net.compile(Optimizer::sgd());
    let result = net.train_step(Input::Values(&inputs), &[0], Step::new(1.0, seed)).unwrap();
    // x = 4/3·(0.5·1 + 1·3) = 14/3; loss ln(1 + exp(14/3)); the gradient of weight i is p·4/3·input.
    let x: f64 = 14.0 / 3.0;
    assert!((result.loss - x.exp().ln_1p()).abs() < 1e-5, "{}", result.loss);
    let p = 1.0 / (1.0 + (-x).exp());
    let after = &net.parameters().unwrap().arrays["dense_1.weight"].values;
    let expected = [0.5 - p * 4.0 / 3.0, -0.25, 1.0 - p * 4.0];
    assert!(difference(after, &expected) < 1e-5, "{after:?}");
    assert_eq!(after[1], -0.25);
    // Inference and gradients drop nothing.
    net.set_parameters(&start).unwrap();
    assert_eq!(net.logits(Input::Values(&inputs), 1).unwrap(), [3.0]);
    let p = 1.0 / (1.0 + (-3.0_f64).exp());
    let gradients = net.gradients(Input::Values(&inputs), &[0]).unwrap();
    let found = &gradients.arrays["dense_1.weight"].values;
    assert!(difference(found, &[p, 2.0 * p, 3.0 * p]) < 1e-5, "{found:?}");
}

#[test]
fn a_frozen_base_has_no_gradients_and_its_features_stand_for_the_images() {
    if library().is_none() {
        return;
    }
    let (images, labels) = images();
    let net = small(true);
    let mut net = build(&net, true, &weights(&net, 4));
    let features = net.features(&images, 4).unwrap();
    let logits = net.logits(Input::Values(&images), 4).unwrap();
    assert_eq!(net.logits(Input::Features(&features), 4).unwrap(), logits);
    let direct = net.gradients(Input::Values(&images), &labels).unwrap().arrays;
    let cached = net.gradients(Input::Features(&features), &labels).unwrap().arrays;
    assert!(direct.keys().all(|name| name.starts_with("dense")), "{:?}", direct.keys());
    assert_eq!(direct, cached);
    let before = net.parameters().unwrap().arrays;
    net.compile(Optimizer::sgd());
    net.train_step(Input::Features(&features), &labels, Step::new(0.1, 0)).unwrap();
    for (name, array) in net.parameters().unwrap().arrays {
        assert_eq!(array == before[&name], !name.starts_with("dense"), "{name}");
    }
}
