//! Every operation of the nets, against the loops of [`reference`](crate::reference): outputs, losses, and gradients
//! against differences of the loss in 64 bits.

use crate::reference::{Reference, exact};
use crate::support::{build, build_with, difference, library, net, numbers, weights};
use benchbook_backend::{Compute, Input, Optimizer, Step};
use benchbook_nets::{
    Activation, AdaptiveAvgPool2d, Add, AvgPool2d, BatchNorm, Concat, Conv2d, Dense, Dropout,
    Flatten, FlattenOrder, Function, GlobalAvgPool2d, Graph, LayerNorm, MaxPool2d, Net, Node,
    Operation, Padding, ResNet18, Sequential, Shape,
};

const BATCH: usize = 3;

/// Compares logits, training loss and gradients of a net with the reference's, in both precisions.
fn check(case: &str, net: &Net) {
    check_in(Compute::default(), 2e-5, case, net);
    check_in(Compute::exact(), 1e-6, case, net);
}

fn check_in(compute: Compute, near: f64, case: &str, net: &Net) {
    let given = weights(net, 5);
    let exact = exact(&given);
    let inputs = numbers(BATCH * net.input().len(), 21);
    let labels: Vec<i64> = (0..BATCH).map(|index| (index % net.classes()) as i64).collect();
    let mut built = build_with(compute, net, &given);

    let reference = |training, seed| Reference { net, weights: &exact, training, seed };
    let logits = built.logits(Input::Values(&inputs), BATCH).unwrap();
    let apart = difference(&logits, &reference(false, None).logits(&inputs));
    assert!(apart < near, "{case}: logits {apart}");
    let loss = built.evaluate_step(Input::Values(&inputs), &labels).unwrap().loss;
    let expected = reference(false, None).loss(&inputs, &labels, None);
    assert!((loss - expected).abs() < near * expected.max(1.0), "{case}: {loss} {expected}");

    let gradients = built.gradients(Input::Values(&inputs), &labels).unwrap().arrays;
    let learned = net.parameters().iter().filter(|parameter| parameter.learned);
    assert_eq!(gradients.len(), learned.clone().count(), "{case}");
    // The gradient of a bias before a batch normalisation is zero: what counts is the net's largest.
    let sizes = gradients.values().flat_map(|array| &array.values);
    let largest = f64::from(sizes.fold(0.0_f32, |largest, value| largest.max(value.abs())));
    assert!(largest > 1e-3, "{case}: {largest}");
    for parameter in learned {
        let found = &gradients[&parameter.name].values;
        assert_eq!(gradients[&parameter.name].shape, parameter.shape);
        // Up to 24 values, from all over the array.
        for at in (0..parameter.len()).step_by(parameter.len().div_ceil(24)) {
            let loss_at = |moved: f64| {
                let mut weights = exact.clone();
                weights.get_mut(&parameter.name).unwrap()[at] += moved;
                let reference = Reference { net, weights: &weights, training: true, seed: None };
                reference.loss(&inputs, &labels, None)
            };
            let slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
            let apart = (f64::from(found[at]) - slope).abs() / largest;
            assert!(apart < 5.0 * near, "{case}, {}[{at}]: {} {slope}", parameter.name, found[at]);
        }
    }

    // A step with dropout, class weights and the batch's statistics.
    let class_weights: Vec<f32> = (0..net.classes()).map(|class| 0.5 + class as f32).collect();
    let class_weights = Some(class_weights.as_slice());
    built.compile(Optimizer::sgd());
    let step = Step { class_weights, ..Step::new(0.1, 9) };
    let result = built.train_step(Input::Values(&inputs), &labels, step).unwrap();
    let training = reference(true, Some(9));
    let expected = training.loss(&inputs, &labels, class_weights);
    let apart = (result.loss - expected).abs();
    assert!(apart < near * expected.max(1.0), "{case}: {} {expected}", result.loss);
    assert!(difference(&result.logits, &training.logits(&inputs)) < near, "{case}");
}

/// The operation between two layers with parameters, on `[4, 6, 5]`.
fn on_maps(operation: impl Into<Operation>) -> Net {
    let operation = operation.into();
    let is_map = !matches!(operation, Operation::GlobalAvgPool2d(_) | Operation::Flatten(_));
    let begun = Sequential::image(2, 6, 5).conv(4, 3).layer(operation);
    net(if is_map { begun.flatten() } else { begun }.dense(3))
}

fn on_vectors(operation: impl Into<Operation>) -> Net {
    net(Sequential::vector(5).dense(6).layer(operation).dense(3))
}

#[test]
fn convolutions_with_any_window_stride_padding_and_groups() {
    if library().is_none() {
        return;
    }
    let conv = |channels, kernel, stride, padding: [usize; 4], groups| Conv2d {
        kernel,
        stride,
        padding: padding.into(),
        groups,
        ..Conv2d::valid(channels, 1)
    };
    for conv in [
        Conv2d::valid(3, 1),
        Conv2d { bias: false, ..Conv2d::same(5, 3) },
        Conv2d::same(3, 2),
        conv(3, [3, 2], [1, 1], [0; 4], 1),
        conv(3, [3, 2], [2, 1], [1, 0, 2, 1], 1),
        conv(3, [3, 3], [2, 2], [1; 4], 1),
        conv(3, [5, 3], [3, 2], [2, 2, 0, 1], 1),
        conv(6, [3, 3], [1, 1], [1; 4], 2),
        conv(2, [3, 3], [2, 2], [1; 4], 2),
        // Depthwise, with one and two outputs of each channel.
        conv(4, [3, 3], [1, 1], [1; 4], 4),
        conv(8, [3, 2], [2, 2], [1, 0, 0, 1], 4),
        conv(8, [3, 3], [2, 1], [1; 4], 4),
    ] {
        check(&format!("{conv:?}"), &on_maps(conv));
    }
}

#[test]
fn poolings_with_any_window_stride_and_padding() {
    if library().is_none() {
        return;
    }
    for (kernel, stride, padding) in [
        ([2, 2], [2, 2], Padding::default()),
        ([2, 3], [1, 2], Padding::default()),
        ([3, 3], [2, 2], Padding::all(1)),
        ([3, 3], [1, 1], Padding::all(1)),
        ([4, 3], [2, 1], Padding::from([2, 1, 0, 1])),
    ] {
        for operation in [
            Operation::from(MaxPool2d { kernel, stride, padding }),
            AvgPool2d { kernel, stride, padding }.into(),
        ] {
            check(&format!("{operation:?}"), &on_maps(operation));
        }
    }
    for output in [[1, 1], [2, 3], [6, 5], [7, 9]] {
        check(&format!("adaptive {output:?}"), &on_maps(AdaptiveAvgPool2d { output }));
    }
    check("global", &on_maps(GlobalAvgPool2d {}));
}

#[test]
fn padding_never_wins_a_maximum() {
    if library().is_none() {
        return;
    }
    let pool = MaxPool2d { kernel: [3, 3], stride: [2, 2], padding: Padding::all(1) };
    let net = net(Sequential::image(1, 4, 4).layer(pool).end_base().flatten().dense(2));
    let mut built = build(&net, false, &weights(&net, 1));
    // The windows around rows and columns 0 and 2; the values are below zero.
    let values: Vec<f32> = (0..16).map(|at| -1e30 * (at + 1) as f32).collect();
    let expected = [1.0, 2.0, 5.0, 6.0].map(|at: f32| -1e30 * at);
    assert_eq!(built.features(&values, 1).unwrap(), expected);
}

#[test]
fn normalisations_of_maps_and_vectors() {
    if library().is_none() {
        return;
    }
    for norm in [BatchNorm::default(), BatchNorm { epsilon: 1e-2, momentum: 0.3 }] {
        check(&format!("maps: {norm:?}"), &on_maps(norm.clone()));
        check(&format!("vectors: {norm:?}"), &on_vectors(norm));
    }
    check("layer", &on_vectors(LayerNorm::default()));
    check("layer, large epsilon", &on_vectors(LayerNorm { epsilon: 0.1 }));
}

#[test]
fn running_statistics_move_by_the_graphs_momentum() {
    if library().is_none() {
        return;
    }
    let norm = BatchNorm { momentum: 0.25, ..BatchNorm::default() };
    for net in [on_maps(norm.clone()), on_vectors(norm)] {
        let given = weights(&net, 5);
        let exact = exact(&given);
        let inputs = numbers(BATCH * net.input().len(), 21);
        let mut built = build(&net, false, &given);
        built.compile(Optimizer::sgd());
        built.train_step(Input::Values(&inputs), &[0, 1, 2], Step::new(0.1, 0)).unwrap();
        let after = built.parameters().unwrap().arrays;
        let reference = Reference { net: &net, weights: &exact, training: true, seed: None };
        let normalised = &net.layers()[1];
        let (channels, outputs) = (normalised.output.channels(), reference.outputs(&inputs));
        let pixels = normalised.output.len() / channels;
        #[allow(clippy::needless_range_loop)]
        for channel in 0..channels {
            let at = channel * pixels..(channel + 1) * pixels;
            let values: Vec<f64> =
                outputs[0].iter().flat_map(|example| example[at.clone()].to_vec()).collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            for (suffix, batch) in
                [("running_mean", mean), ("running_var", squares / (count - 1.0))]
            {
                let name = format!("{}.{suffix}", normalised.name);
                let expected = 0.75 * exact[&name][channel] + 0.25 * batch;
                let found = f64::from(after[&name].values[channel]);
                assert!((found - expected).abs() < 1e-5, "{name}: {found} {expected}");
            }
        }
    }
}

#[test]
fn activation_functions_of_maps_and_vectors() {
    if library().is_none() {
        return;
    }
    use Function::{Elu, Gelu, LeakyRelu, Relu, Relu6, Sigmoid, Silu, Tanh};
    for function in [Relu, Relu6, LeakyRelu, Elu, Gelu, Silu, Sigmoid, Tanh] {
        check(&format!("maps: {function:?}"), &on_maps(Activation { function }));
        check(&format!("vectors: {function:?}"), &on_vectors(Activation { function }));
    }
    // Where it is cut, which the values above do not reach.
    let cut = Activation { function: Function::Relu6 };
    let net = net(Sequential::image(1, 1, 3).layer(cut).end_base().flatten().dense(2));
    let mut built = build(&net, false, &weights(&net, 1));
    assert_eq!(built.features(&[-1.0, 4.0, 7.0], 1).unwrap(), [0.0, 4.0, 6.0]);
}

#[test]
fn dropout_and_flattening_have_the_order_outside() {
    if library().is_none() {
        return;
    }
    check("dropout of maps", &on_maps(Dropout { rate: 0.4 }));
    check("dropout of vectors", &on_vectors(Dropout { rate: 0.4 }));
    let two = Sequential::image(2, 4, 4).conv(3, 3).dropout(0.3).relu().flatten();
    check("two dropouts", &net(two.dense(8).dropout(0.0).dropout(0.6).dense(3)));
    for order in [FlattenOrder::ChannelHeightWidth, FlattenOrder::HeightWidthChannel] {
        check(&format!("{order:?}"), &on_maps(Flatten { order }));
    }
    check("dense without bias", &on_vectors(Dense { units: 4, bias: false }));
}

#[test]
fn one_logit_and_two_three_and_ten_classes() {
    if library().is_none() {
        return;
    }
    for outputs in [1, 2, 3, 10] {
        check(&format!("{outputs}"), &net(Sequential::vector(4).dense(5).relu().dense(outputs)));
    }
}

fn graph(input: Shape, nodes: Vec<Node>) -> Net {
    let (name, class, modules) = ("test".into(), "Net".into(), Default::default());
    net(Graph { name, class, modules, input, nodes, base: 0 })
}

#[test]
fn residual_and_concatenated_branches() {
    if library().is_none() {
        return;
    }
    check(
        "maps",
        &graph(
            Shape::Map([2, 5, 4]),
            vec![
                Node::new("a", Conv2d::same(3, 3)),
                Node::new("b", Conv2d::same(3, 1)).after(["a"]),
                Node::new("c", Activation::RELU).after(["a"]),
                Node::new("sum", Add {}).after(["b", "c"]),
                Node::new("three", Add {}).after(["a", "sum", "c"]),
                Node::new("joined", Concat {}).after(["three", "input", "b"]),
                Node::new("flat", Flatten { order: FlattenOrder::ChannelHeightWidth }),
                Node::new("end", Dense::new(3)),
            ],
        ),
    );
    check(
        "vectors",
        &graph(
            Shape::Vector([4]),
            vec![
                Node::new("a", Dense::new(4)),
                Node::new("sum", Add {}).after(["a", "input"]),
                Node::new("b", Dense::new(2)),
                Node::new("joined", Concat {}).after(["b", "sum"]),
                Node::new("end", Dense::new(3)),
            ],
        ),
    );
}

#[test]
fn resnet_computes_its_definition_and_learns() {
    if library().is_none() {
        return;
    }
    let net = net(ResNet18 { size: 32, ..ResNet18::new(3) });
    let given = weights(&net, 3);
    let inputs = numbers(2 * 3 * 32 * 32, 4);
    let mut built = build(&net, false, &given);
    let exact = exact(&given);
    let reference = Reference { net: &net, weights: &exact, training: false, seed: None };
    let logits = built.logits(Input::Values(&inputs), 2).unwrap();
    let apart = difference(&logits, &reference.logits(&inputs));
    assert!(apart < 1e-4, "{apart}: {logits:?}");

    built.compile(Optimizer::momentum(0.9));
    let mut loss = |seed| {
        built.train_step(Input::Values(&inputs), &[2, 0], Step::new(0.01, seed)).unwrap().loss
    };
    let losses: Vec<f64> = (0..12).map(&mut loss).collect();
    assert!(losses[11] < 0.5 * losses[0], "{losses:?}");
}
