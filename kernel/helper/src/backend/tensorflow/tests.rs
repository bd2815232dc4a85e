//! TensorFlow against LibTorch in one process: the same weights, the same pictures, the same masks.
//! Without TensorFlow each test says that it was skipped.

use super::*;
use crate::backend::Library;
use crate::vgg::{Depth, Head};

/// Whether there is a TensorFlow. A broken or unfit one fails the test.
fn is_here() -> bool {
    let references =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv-references");
    let found = tensorflow::Library::load().or_else(|error| match error {
        tensorflow::LoadError::NotFound { .. } if references.exists() => {
            tensorflow::Library::load_from(&references)
        }
        other => Err(other),
    });
    match found {
        Ok(_) => true,
        Err(error @ tensorflow::LoadError::NotFound { .. }) => {
            println!("SKIPPED: {error}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn architecture(head: Head, batch_norm: bool, size: usize) -> Architecture {
    Architecture { depth: Depth::Vgg11, head, batch_norm, size, dropout: 0.5 }
}

fn plan(architecture: &Architecture, base: Base) -> Plan {
    Plan {
        architecture: architecture.clone(),
        base,
        processor: Processor::Cpu,
        threads: Some(2),
        compute: Compute::default(),
    }
}

fn both(architecture: &Architecture, base: Base, seed: u64) -> [Box<dyn Network>; 2] {
    let weights = Parameters::initial(&architecture.parameters(), seed);
    [Library::LibTorch, Library::TensorFlow]
        .map(|library| library.backend().build(&plan(architecture, base), &weights).unwrap())
}

/// Pictures with some noise and a bright left half for class 1.
fn pictures(count: usize, size: usize) -> (Vec<f32>, Vec<i64>) {
    let labels: Vec<i64> = (0..count as i64).map(|index| index % 2).collect();
    let pixels = labels.iter().enumerate().flat_map(|(index, label)| {
        (0..3 * size * size).map(move |at| {
            let noise = ((index * 7919 + at * 104_729) % 97) as f32 / 970.0;
            if at % size < size / 2 && *label == 1 { 0.9 - noise } else { noise }
        })
    });
    (pixels.collect(), labels)
}

/// ‖a − b‖ / ‖b‖
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let apart = square(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (apart / square(&mut b.iter().map(|b| f64::from(*b))).max(1e-30)).sqrt()
}

#[test]
fn logits_features_loss_and_every_layers_gradient_are_those_of_libtorch() {
    if !is_here() {
        return;
    }
    for (head, batch_norm, size) in
        [(Head::Keras, false, 64), (Head::PyTorch, false, 64), (Head::Keras, true, 32)]
    {
        let (pixels, labels) = pictures(4, size);
        let [mut torch, mut flow] = both(&architecture(head, batch_norm, size), Base::Trainable, 3);
        let input = Input::Pixels(&pixels);
        let logits = [&mut torch, &mut flow].map(|net| net.logits(input, 4).unwrap());
        // The tolerance of logits that different sums in 32 bits allow.
        assert!(distance(&logits[1], &logits[0]) < 1e-4, "{head}: {logits:?}");
        let predictions = [&mut torch, &mut flow].map(|net| net.predict(input, 4).unwrap());
        assert!(distance(&predictions[1], &predictions[0]) < 1e-4, "{head}: {predictions:?}");
        let features = [&mut torch, &mut flow].map(|net| net.features(&pixels, 4).unwrap());
        assert!(distance(&features[1], &features[0]) < 1e-4, "{head}");
        let outcomes =
            [&mut torch, &mut flow].map(|net| net.evaluate_step(input, &labels).unwrap());
        assert!((outcomes[1].loss / outcomes[0].loss - 1.0).abs() < 1e-4, "{head}: {outcomes:?}");
        assert_eq!(outcomes[0].correct, outcomes[1].correct);

        let gradients = [&mut torch, &mut flow].map(|net| net.gradients(input, &labels).unwrap());
        let names = gradients[0].arrays.keys().collect::<Vec<_>>();
        assert_eq!(names, gradients[1].arrays.keys().collect::<Vec<_>>());
        for name in names {
            let [one, other] = [&gradients[0].arrays[name], &gradients[1].arrays[name]];
            assert_eq!(one.shape, other.shape, "{name}");
            // Before batch normalisation a bias changes nothing: its gradient is rounding alone, which
            // is compared with the gradient of the same layer's weights.
            let weight = name.strip_suffix("bias").map(|layer| format!("{layer}weight"));
            let weight = weight.and_then(|weight| gradients[0].arrays.get(&weight));
            if let Some(weight) = weight.filter(|w| batch_norm && w.shape.len() == 4) {
                let size = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
                for bias in [one, other] {
                    let share = size(&bias.values) / size(&weight.values);
                    assert!(share < 1e-4, "{name}: {share}");
                }
                continue;
            }
            let apart = distance(&other.values, &one.values);
            assert!(apart < 2e-3, "{head}, batch norm {batch_norm}, {name}: {apart}");
        }
    }
}

#[test]
fn three_steps_with_dropout_and_class_weights_go_the_same_way() {
    use crate::optimizer::Convention::{Keras, PyTorch};
    if !is_here() {
        return;
    }
    let (pixels, labels) = pictures(4, 32);
    for (head, batch_norm, optimizer, rate) in [
        (Head::Keras, false, Optimizer::momentum(0.9), 0.005),
        (Head::Keras, true, Optimizer::adam(Keras), 1e-5),
        (Head::PyTorch, false, Optimizer::adam(PyTorch), 1e-5),
        (Head::Keras, false, Optimizer::rmsprop(Keras), 1e-6),
        (Head::Keras, false, Optimizer::rmsprop(PyTorch), 1e-6),
    ] {
        let losses =
            both(&architecture(head, batch_norm, 32), Base::Trainable, 1).map(|mut net| {
                net.compile(optimizer);
                let losses: Vec<f32> = (0..3)
                    .map(|seed| {
                        let step =
                            Step { class_weights: Some([0.5, 2.0]), ..Step::new(rate, seed) };
                        net.train_step(Input::Pixels(&pixels), &labels, step).unwrap().loss as f32
                    })
                    .collect();
                (losses, net.parameters().unwrap())
            });
        let [(torch, torch_weights), (flow, flow_weights)] = losses;
        // Without the same masks the losses would be some 10% apart from the first step on.
        assert!(distance(&flow, &torch) < 1e-3, "{head}, {optimizer}: {torch:?} {flow:?}");
        if batch_norm {
            for name in ["features.1.running_mean", "features.1.running_var"] {
                let [one, other] = [&torch_weights, &flow_weights].map(|w| &w.arrays[name].values);
                assert!(distance(other, one) < 1e-3, "{name}: {one:?} {other:?}");
            }
        }
    }
}

#[test]
fn a_training_goes_on_in_the_other_library() {
    if !is_here() {
        return;
    }
    let (pixels, labels) = pictures(4, 32);
    let optimizer = Optimizer::adam(Convention::Keras);
    let step = |net: &mut Box<dyn Network>, seed| {
        let step = Step::new(1e-5, seed);
        net.train_step(Input::Pixels(&pixels), &labels, step).unwrap().loss
    };
    let [mut torch, mut flow] = both(&architecture(Head::Keras, true, 32), Base::Trainable, 1);
    torch.compile(optimizer);
    flow.compile(optimizer);
    assert_eq!(flow.optimizer_state().unwrap().arrays["step"].values, [0.0]);
    step(&mut torch, 0);
    let (weights, state) = (torch.parameters().unwrap(), torch.optimizer_state().unwrap());
    flow.set_parameters(&weights).unwrap();
    flow.set_optimizer_state(&state).unwrap();
    assert_eq!(flow.parameters().unwrap(), weights);
    assert_eq!(flow.optimizer_state().unwrap(), state);
    let losses = [step(&mut torch, 1), step(&mut flow, 1)];
    assert!((losses[1] / losses[0] - 1.0).abs() < 1e-4, "{losses:?}");
    let state = [&torch, &flow].map(|net| net.optimizer_state().unwrap());
    assert_eq!(state[1].arrays["step"].values, [2.0]);
    let name = "dense_1.weight.mean";
    assert!(distance(&state[1].arrays[name].values, &state[0].arrays[name].values) < 1e-2);
}

#[test]
fn a_frozen_base_learns_from_cached_features() {
    if !is_here() {
        return;
    }
    let (pixels, labels) = pictures(4, 32);
    let [mut torch, mut flow] = both(&architecture(Head::PyTorch, true, 32), Base::Frozen, 2);
    let features = torch.features(&pixels, 4).unwrap();
    let losses = [&mut torch, &mut flow].map(|net| {
        net.compile(Optimizer::sgd());
        let before = net.parameters().unwrap();
        let step = Step::new(1e-3, 5);
        let loss = net.train_step(Input::Features(&features), &labels, step).unwrap().loss;
        for (name, array) in net.parameters().unwrap().arrays {
            assert_eq!(array == before.arrays[&name], name.starts_with("features"), "{name}");
        }
        loss
    });
    assert!((losses[1] / losses[0] - 1.0).abs() < 1e-4, "{losses:?}");
}

#[test]
fn what_the_library_does_not_have_is_refused() {
    if !is_here() {
        return;
    }
    let architecture = architecture(Head::Keras, false, 32);
    let weights = Parameters::initial(&architecture.parameters(), 1);
    let build = |compute: Compute, processor: Processor| {
        let plan = Plan { compute, processor, ..plan(&architecture, Base::Trainable) };
        let built = TensorFlow.build(&plan, &weights);
        built.map(|_| ()).unwrap_err().to_string()
    };
    let cpu = Processor::Cpu;
    let precision = build(Compute { precision: Precision::BFloat16, ..Compute::default() }, cpu);
    assert!(precision.contains("precision") && precision.contains("BFloat16"), "{precision}");
    let pinned = build(Compute { pinned_memory: true, ..Compute::default() }, cpu);
    assert!(
        pinned.contains("pinned_memory") && pinned.contains("TensorFlow on the CPU"),
        "{pinned}"
    );
    if load().unwrap().gpus().unwrap() == 0 {
        let gpu = build(Compute::default(), Processor::Cuda(0));
        assert!(gpu.contains("TensorFlow") && gpu.contains("no CUDA GPU"), "{gpu}");
    }
    let mut short = weights.clone();
    short.arrays.remove("dense_2.bias");
    let missing = TensorFlow.build(&plan(&architecture, Base::Trainable), &short);
    let missing = missing.map(|_| ()).unwrap_err().to_string();
    assert!(missing.contains("`dense_2.bias`"), "{missing}");
}

#[test]
fn the_crates_parameters_are_the_nets() {
    for (head, batch_norm) in [(Head::Keras, true), (Head::PyTorch, false)] {
        for base in [Base::Trainable, Base::Frozen] {
            let architecture = architecture(head, batch_norm, 64);
            let ours = architecture.parameters();
            let theirs = description(&architecture, base).parameters();
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!((&ours.name, &ours.shape), (&theirs.name, &theirs.shape));
                let frozen = base == Base::Frozen && ours.part == crate::parameters::Part::Base;
                assert_eq!(theirs.learns, ours.learned && !frozen, "{}", ours.name);
            }
        }
    }
}
