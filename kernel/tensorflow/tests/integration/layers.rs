//! What the layers compute, against loops over their definitions in 64 bits.

use crate::support::{
    build, conv, dense, difference, library, linear, no_dropout, numbers, rate, weights,
};
use benchbook_tensorflow::{Description, FlattenOrder, Input, Layer, Loss, Optimizer};

/// 3×3 convolution with padding 1: weights `[outputs, inputs, 3, 3]`, maps `[channels, side, side]`.
fn convolved(map: &[f64], weight: &[f32], bias: &[f32], inputs: usize, side: usize) -> Vec<f64> {
    let mut result = Vec::new();
    for (output, bias) in bias.iter().enumerate() {
        for row in 0..side {
            for column in 0..side {
                let mut sum = f64::from(*bias);
                for input in 0..inputs {
                    for (r, c) in (0..3).flat_map(|r| (0..3).map(move |c| (r, c))) {
                        // Padding: row + r - 1 may lie outside.
                        let (y, x) = (row + r, column + c);
                        if (1..=side).contains(&y) && (1..=side).contains(&x) {
                            let value = map[(input * side + y - 1) * side + x - 1];
                            let factor = weight[((output * inputs + input) * 3 + r) * 3 + c];
                            sum += value * f64::from(factor);
                        }
                    }
                }
                result.push(sum);
            }
        }
    }
    result
}

#[test]
fn convolution_pooling_and_both_flattenings_follow_their_definitions() {
    let Some(library) = library() else { return };
    let (pixels, batch) = (numbers(2 * 2 * 5 * 5, 3), 2);
    for order in [FlattenOrder::ChannelHeightWidth, FlattenOrder::HeightWidthChannel] {
        let description = Description {
            input: [2, 5, 5],
            base: vec![conv("features.0", 2, 3), Layer::Relu, Layer::MaxPool],
            head: vec![Layer::Flatten(order), dense("dense", 12, 1)],
            loss: Loss::BinaryCrossEntropy,
            frozen: false,
        };
        let weights = weights(&description, 1);
        let mut net = build(library, &description, &weights);
        let (mut features, mut logits) = (Vec::new(), Vec::new());
        for picture in pixels.chunks_exact(50) {
            let picture: Vec<f64> = picture.iter().map(|value| f64::from(*value)).collect();
            let (weight, bias) = (&weights["features.0.weight"], &weights["features.0.bias"]);
            let map = convolved(&picture, weight, bias, 2, 5);
            // 5×5 to 2×2: the last row and column are dropped.
            let at = |channel: usize, row: usize, column: usize| {
                let one = |r: usize, c: usize| {
                    map[(channel * 5 + 2 * row + r) * 5 + 2 * column + c].max(0.0)
                };
                one(0, 0).max(one(0, 1)).max(one(1, 0)).max(one(1, 1))
            };
            let mut logit = f64::from(weights["dense.bias"][0]);
            for channel in 0..3 {
                for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    features.push(at(channel, row, column));
                    let place = match order {
                        FlattenOrder::ChannelHeightWidth => (channel * 2 + row) * 2 + column,
                        FlattenOrder::HeightWidthChannel => (row * 2 + column) * 3 + channel,
                    };
                    logit += at(channel, row, column) * f64::from(weights["dense.weight"][place]);
                }
            }
            logits.push(logit);
        }
        let found = net.features(&pixels, batch).unwrap();
        assert!(difference(&found, &features) < 1e-5, "{found:?}");
        let direct = net.logits(Input::Pixels(&pixels), batch).unwrap();
        assert!(difference(&direct, &logits) < 1e-5, "{direct:?}");
        let through_features = net.logits(Input::Features(&found), batch).unwrap();
        assert!(difference(&through_features, &logits) < 1e-5, "{through_features:?}");
    }
}

#[test]
fn adaptive_average_pooling_grows_and_shrinks_a_map() {
    let Some(library) = library() else { return };
    let pixels = numbers(3 * 3, 5);
    for side in [2, 3, 5] {
        // Each logit is one cell of the result: the dense layer picks it.
        for cell in 0..side * side {
            let description = Description {
                input: [1, 3, 3],
                base: Vec::new(),
                head: vec![
                    Layer::AveragePool { side },
                    Layer::Flatten(FlattenOrder::ChannelHeightWidth),
                    dense("dense", side * side, 1),
                ],
                loss: Loss::BinaryCrossEntropy,
                frozen: false,
            };
            let mut weights = weights(&description, 1);
            let mut picks = vec![0.0; side * side];
            picks[cell] = 1.0;
            weights.insert("dense.weight".into(), picks);
            weights.insert("dense.bias".into(), vec![0.0]);
            let range = |at: usize| at * 3 / side..((at + 1) * 3).div_ceil(side);
            let (rows, columns) = (range(cell / side), range(cell % side));
            let count = (rows.len() * columns.len()) as f64;
            let cells = rows.flat_map(|row| columns.clone().map(move |column| row * 3 + column));
            let expected = cells.map(|at| f64::from(pixels[at])).sum::<f64>() / count;
            let mut net = build(library, &description, &weights);
            let found = net.logits(Input::Pixels(&pixels), 1).unwrap()[0];
            assert!(
                (f64::from(found) - expected).abs() < 1e-6,
                "{side} {cell}: {found} {expected}"
            );
        }
    }
}

#[test]
fn batch_normalisation_learns_from_the_batch_and_remembers_its_statistics() {
    let Some(library) = library() else { return };
    // One channel of 2×1 pixels, two pictures: the values 1, 2, 3, 6 have mean 3, variance 3.5 and,
    // with Bessel's correction, 14/3.
    let description = Description {
        input: [1, 2, 1],
        base: vec![Layer::BatchNorm { name: "norm".into(), channels: 1 }],
        head: vec![Layer::Flatten(FlattenOrder::HeightWidthChannel), dense("dense", 2, 1)],
        loss: Loss::BinaryCrossEntropy,
        frozen: false,
    };
    let mut weights = weights(&description, 1);
    for (name, value) in
        [("weight", 2.0), ("bias", 0.5), ("running_mean", 10.0), ("running_var", 4.0)]
    {
        weights.insert(format!("norm.{name}"), vec![value]);
    }
    weights.insert("dense.weight".into(), vec![1.0, 0.0]);
    weights.insert("dense.bias".into(), vec![0.0]);
    let (pixels, labels) = ([1.0, 2.0, 3.0, 6.0], [1, 1]);
    let mut net = build(library, &description, &weights);
    let logit = |value: f64, mean: f64, variance: f64| {
        2.0 * (value - mean) / (variance + 1e-5_f64).sqrt() + 0.5
    };
    let found = net.logits(Input::Pixels(&pixels), 2).unwrap();
    let expected = [logit(1.0, 10.0, 4.0), logit(3.0, 10.0, 4.0)];
    assert!(difference(&found, &expected) < 1e-5, "{found:?}");

    net.compile(Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }).unwrap();
    let outcome = net.train_step(Input::Pixels(&pixels), &labels, rate(0.0), &no_dropout).unwrap();
    let losses = [1.0, 3.0].map(|value| (-logit(value, 3.0, 3.5)).exp().ln_1p());
    let expected = (losses[0] + losses[1]) / 2.0;
    assert!((outcome.loss - expected).abs() < 1e-5, "{} {expected}", outcome.loss);
    let after = net.parameters().unwrap();
    // 10 + 0.1·(3 − 10) and 4 + 0.1·(14/3 − 4)
    assert!((after["norm.running_mean"][0] - 9.3).abs() < 1e-5, "{:?}", after["norm.running_mean"]);
    assert!(
        (after["norm.running_var"][0] - 4.066_667).abs() < 1e-5,
        "{:?}",
        after["norm.running_var"]
    );
}

#[test]
fn the_loss_is_exact_for_large_logits_of_either_sign() {
    let Some(library) = library() else { return };
    let description = linear(1, Loss::BinaryCrossEntropy);
    let mut weights = weights(&description, 1);
    weights.insert("dense.weight".into(), vec![1.0]);
    weights.insert("dense.bias".into(), vec![0.0]);
    let mut net = build(library, &description, &weights);
    for (logit, label) in [(30.0, 1), (30.0, 0), (-30.0, 1), (-30.0, 0), (0.0, 1), (300.0, 0)] {
        let outcome = net.evaluate_step(Input::Pixels(&[logit]), &[label]).unwrap();
        let signed = f64::from(if label == 1 { -logit } else { logit });
        // ln(1 + exp(s)) without overflow
        let expected = signed.max(0.0) + (-signed.abs()).exp().ln_1p();
        assert!(
            (outcome.loss - expected).abs() <= 1e-6 * expected,
            "{logit} {label}: {}",
            outcome.loss
        );
        assert_eq!(outcome.correct, usize::from((logit > 0.0) == (label == 1)));
    }
}
