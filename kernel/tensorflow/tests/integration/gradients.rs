//! Gradients against closed forms, and against differences of the loss.

use crate::support::{
    build, difference, library, linear, no_dropout, numbers, pictures, rate, small, weights,
};
use benchbook_tensorflow::{
    Description, FlattenOrder, Input, Layer, Loss, Optimizer, Step, Values,
};

#[test]
fn one_dense_layer_has_the_closed_forms_gradients() {
    let Some(library) = library() else { return };
    let (length, labels) = (4, [0, 1, 1]);
    let pixels = numbers(3 * length, 9);
    for loss in [Loss::BinaryCrossEntropy, Loss::CrossEntropy] {
        let description = linear(length, loss);
        let weights = weights(&description, 2);
        let outputs = loss.outputs();
        let mut weight = vec![0.0; outputs * length];
        let mut bias = vec![0.0; outputs];
        let mut mean = 0.0;
        for (picture, label) in pixels.chunks_exact(length).zip(labels) {
            let logits: Vec<f64> = (0..outputs)
                .map(|output| {
                    let row = &weights["dense.weight"][output * length..][..length];
                    let pairs = row.iter().zip(picture);
                    f64::from(weights["dense.bias"][output])
                        + pairs.map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>()
                })
                .collect();
            // d loss / d logit is the probability less the truth, for both losses.
            let errors: Vec<f64> = match loss {
                Loss::BinaryCrossEntropy => {
                    mean += (logits[0].exp().ln_1p() - label as f64 * logits[0]) / 3.0;
                    vec![1.0 / (1.0 + (-logits[0]).exp()) - label as f64]
                }
                Loss::CrossEntropy => {
                    let sum: f64 = logits.iter().map(|x| x.exp()).sum();
                    mean += (sum.ln() - logits[label as usize]) / 3.0;
                    let truth = |class| if class == label { 1.0 } else { 0.0 };
                    (0..2).map(|class| logits[class as usize].exp() / sum - truth(class)).collect()
                }
            };
            for (output, error) in errors.iter().enumerate() {
                bias[output] += error / 3.0;
                for (at, x) in picture.iter().enumerate() {
                    weight[output * length + at] += error * f64::from(*x) / 3.0;
                }
            }
        }
        let mut net = build(library, &description, &weights);
        let found = net.evaluate_step(Input::Pixels(&pixels), &labels).unwrap().loss;
        assert!((found - mean).abs() < 1e-6, "{loss:?}: {found} {mean}");
        let gradients = net.gradients(Input::Pixels(&pixels), &labels).unwrap();
        assert!(difference(&gradients["dense.weight"], &weight) < 1e-5, "{loss:?}: {gradients:?}");
        assert!(difference(&gradients["dense.bias"], &bias) < 1e-5, "{loss:?}: {gradients:?}");
    }
}

#[test]
fn class_weights_are_averaged_as_the_heads_library_does() {
    let Some(library) = library() else { return };
    let (pixels, labels) = ([0.75, -0.5], [0, 1]);
    // Logit w·x + b of each picture, and the loss and its slope by the logit, with w = 0.5 and b = 0.25
    // in the one logit, or in the second of two whose first is 0: then the two losses are the same.
    let parts =
        pixels.map(|x: f64| 0.5 * x + 0.25).map(|logit| (logit, 1.0 / (1.0 + (-logit).exp())));
    let losses = [-(1.0 - parts[0].1).ln(), -parts[1].1.ln()];
    let slopes = [parts[0].1, parts[1].1 - 1.0];
    // Factors 2 and 0.5: Keras divides by two pictures, PyTorch by 2.5.
    for (loss, whole) in [(Loss::BinaryCrossEntropy, 2.0), (Loss::CrossEntropy, 2.5)] {
        let zeros = vec![0.0; loss.outputs() - 1];
        let start: Values = [
            ("dense.weight".into(), [zeros.clone(), vec![0.5]].concat()),
            ("dense.bias".into(), [zeros, vec![0.25]].concat()),
        ]
        .into();
        let mut net = build(library, &linear(1, loss), &start);
        net.compile(Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }).unwrap();
        let step = Step { rate: 1.0, class_weights: Some([2.0, 0.5]) };
        let input = pixels.map(|x| x as f32);
        let found = net.train_step(Input::Pixels(&input), &labels, step, &no_dropout).unwrap().loss;
        let expected = (2.0 * losses[0] + 0.5 * losses[1]) / whole;
        assert!((found - expected).abs() < 1e-6, "{loss:?}: {found} {expected}");
        let slope = (2.0 * slopes[0] * pixels[0] + 0.5 * slopes[1] * pixels[1]) / whole;
        let found = *net.parameters().unwrap()["dense.weight"].last().unwrap();
        assert!(
            (f64::from(found) - (0.5 - slope)).abs() < 1e-6,
            "{loss:?}: {found} {}",
            0.5 - slope
        );
    }
}

#[test]
fn a_logit_of_zero_has_a_gradient_too() {
    // A loss made of |x| or max(x, 0) would have none there: 1/(1 + exp(0)) − 1 = −0.5.
    let Some(library) = library() else { return };
    let description = linear(1, Loss::BinaryCrossEntropy);
    let zero: Values =
        [("dense.weight".into(), vec![0.0]), ("dense.bias".into(), vec![0.0])].into();
    let mut net = build(library, &description, &zero);
    let gradients = net.gradients(Input::Pixels(&[1.0]), &[1]).unwrap();
    assert_eq!(gradients["dense.bias"], [-0.5]);
}

#[test]
fn every_layers_gradient_predicts_how_the_loss_changes() {
    let Some(library) = library() else { return };
    let (pixels, labels) = pictures();
    let description = small(false, false);
    let start = weights(&description, 4);
    let mut net = build(library, &description, &start);
    let gradients = net.gradients(Input::Pixels(&pixels), &labels).unwrap();
    assert_eq!(gradients.len(), description.parameters().len());
    for (name, gradient) in &gradients {
        let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        assert!(square > 0.0, "{name} has no gradient");
        // Along the gradient the loss changes by its square; the distance makes that 6e-5, a few
        // hundred times the rounding of the loss. The kinks of ReLUs and poolings on the way leave
        // some 10%; a lost factor or a transposed gradient would be off by far more. The comparison
        // to 32 bits is the helper library's, with LibTorch.
        let distance = 3e-5 / square;
        let mut loss_at = |sign: f64| {
            let mut moved = start.clone();
            if let Some(values) = moved.get_mut(name) {
                for (value, g) in values.iter_mut().zip(gradient) {
                    *value += (sign * distance * f64::from(*g)) as f32;
                }
            }
            net.set(|name| moved.get(name).map(Vec::as_slice)).unwrap();
            net.evaluate_step(Input::Pixels(&pixels), &labels).unwrap().loss
        };
        let slope = (loss_at(1.0) - loss_at(-1.0)) / (2.0 * distance);
        assert!((slope / square - 1.0).abs() < 0.25, "{name}: {slope} {square}");
    }
}

#[test]
fn dropout_scales_what_it_keeps_and_drops_the_same_in_both_directions() {
    let Some(library) = library() else { return };
    let description = Description {
        input: [3, 1, 1],
        base: Vec::new(),
        head: vec![
            Layer::Flatten(FlattenOrder::ChannelHeightWidth),
            Layer::Dropout { rate: 0.25 },
            crate::support::dense("dense", 3, 1),
        ],
        loss: Loss::BinaryCrossEntropy,
        frozen: false,
    };
    let start: Values =
        [("dense.weight".into(), vec![0.5, -0.25, 1.0]), ("dense.bias".into(), vec![0.0])].into();
    let mut net = build(library, &description, &start);
    net.compile(Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }).unwrap();
    let asked = std::cell::Cell::new(None);
    let outcome = net
        .train_step(Input::Pixels(&[1.0, 2.0, 3.0]), &[0], rate(1.0), &|layer, share, count| {
            asked.set(Some((layer, share, count)));
            vec![4.0 / 3.0, 0.0, 4.0 / 3.0]
        })
        .unwrap();
    assert_eq!(asked.get(), Some((1, 0.25, 3)));
    // x = 4/3·(0.5·1 + 1·3) = 14/3; loss ln(1 + exp(14/3)); the gradient of weight i is p·4/3·input.
    let x: f64 = 14.0 / 3.0;
    assert!((outcome.loss - x.exp().ln_1p()).abs() < 1e-5, "{}", outcome.loss);
    let p = 1.0 / (1.0 + (-x).exp());
    let after = net.parameters().unwrap();
    let expected = [0.5 - p * 4.0 / 3.0, -0.25, 1.0 - p * 4.0];
    assert!(difference(&after["dense.weight"], &expected) < 1e-5, "{after:?}");
    assert_eq!(after["dense.weight"][1], -0.25);
    // Inference and gradients drop nothing.
    net.set(|name| start.get(name).map(Vec::as_slice)).unwrap();
    let found = net.logits(Input::Pixels(&[1.0, 2.0, 3.0]), 1).unwrap();
    assert_eq!(found, [3.0]);
    let p = 1.0 / (1.0 + (-3.0_f64).exp());
    let gradients = net.gradients(Input::Pixels(&[1.0, 2.0, 3.0]), &[0]).unwrap();
    assert!(difference(&gradients["dense.weight"], &[p, 2.0 * p, 3.0 * p]) < 1e-5, "{gradients:?}");
}

#[test]
fn a_frozen_base_has_no_gradients_and_its_features_stand_for_the_pixels() {
    let Some(library) = library() else { return };
    let (pixels, labels) = pictures();
    let description = small(true, true);
    let mut net = build(library, &description, &weights(&description, 4));
    let features = net.features(&pixels, 4).unwrap();
    let direct = net.gradients(Input::Pixels(&pixels), &labels).unwrap();
    let cached = net.gradients(Input::Features(&features), &labels).unwrap();
    assert!(direct.keys().all(|name| name.starts_with("classifier")), "{:?}", direct.keys());
    assert_eq!(direct, cached);
    let before = net.parameters().unwrap();
    net.compile(Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }).unwrap();
    net.train_step(Input::Features(&features), &labels, rate(0.1), &no_dropout).unwrap();
    for (name, values) in net.parameters().unwrap() {
        assert_eq!(values == before[&name], name.starts_with("features"), "{name}");
    }
}
