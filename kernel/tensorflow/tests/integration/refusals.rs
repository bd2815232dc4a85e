//! What is refused, and in which words; and nets beside each other.

use crate::support::{
    build, images, library, linear, linear_weights, net, plan, small, step, weights,
};
use benchbook_backend::{
    Backend, BackendError, Compute, Device, Input, Optimizer, Parameters, Plan, Precision, Step,
};
use benchbook_nets::Sequential;
use benchbook_tensorflow::TensorFlow;

fn text<T>(wrong: Result<T, BackendError>) -> String {
    wrong.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn unfit_batches_and_steps_are_named() {
    if library().is_none() {
        return;
    }
    let (images, labels) = images();
    let small = small(false);
    let mut net = build(&small, false, &weights(&small, 1));
    let input = Input::Values(&images);
    let step = Step::new(0.1, 0);
    let none = text(net.train_step(input, &labels, step));
    assert!(none.contains("`compile`"), "{none}");
    net.compile(Optimizer::sgd());
    let short = text(net.evaluate_step(Input::Values(&[0.0; 10]), &[0, 1]));
    for words in ["384", "the batch [2, 3, 8, 8]", "got 10"] {
        assert!(short.contains(words), "{short}");
    }
    for label in [2, -1] {
        let wrong = [0, 1, label, 0];
        for label_error in
            [text(net.evaluate_step(input, &wrong)), text(net.train_step(input, &wrong, step))]
        {
            let words = format!("label {label} of example 2");
            assert!(
                label_error.contains(&words) && label_error.contains("0 to 1"),
                "{label_error}"
            );
        }
    }
    let factors = Step { class_weights: Some(&[1.0]), ..step };
    let factors = text(net.train_step(input, &labels, factors));
    assert!(factors.contains("class weights [2]") && factors.contains("got 1"), "{factors}");
    let features = net.features(&images, 4).unwrap();
    let trainable = net.train_step(Input::Features(&features), &labels, step);
    assert!(matches!(trainable, Err(BackendError::TrainableBase)), "{trainable:?}");
    let short = text(net.logits(Input::Features(&features), 3));
    assert!(short.contains("the features [3, 6, 2, 2]"), "{short}");
    // After all that it still trains.
    net.train_step(input, &labels, step).unwrap();
}

#[test]
fn a_net_without_a_base_has_no_features() {
    if library().is_none() {
        return;
    }
    let mut net = build(&linear(2, 1), true, &linear_weights(&[1.0, 1.0], &[0.0]));
    assert!(matches!(net.features(&[1.0, 2.0], 1), Err(BackendError::NoBase)));
    let logits = net.logits(Input::Features(&[1.0, 2.0]), 1);
    assert!(matches!(logits, Err(BackendError::NoBase)), "{logits:?}");
    net.compile(Optimizer::sgd());
    let step = net.train_step(Input::Features(&[1.0, 2.0]), &[0], Step::new(0.1, 0));
    assert!(matches!(step, Err(BackendError::NoBase)), "{step:?}");
}

#[test]
fn weights_that_do_not_fit_are_named_and_change_nothing() {
    if library().is_none() {
        return;
    }
    let net = linear(4, 2);
    let given = weights(&net, 1);
    let built = |weights: &Parameters| text(TensorFlow.build(&plan(&net, false), weights));
    let mut missing = given.clone();
    missing.arrays.remove("dense_1.weight");
    assert!(built(&missing).contains("`dense_1.weight` is missing"), "{}", built(&missing));
    let mut wrong = given.clone();
    wrong.arrays.get_mut("dense_1.bias").unwrap().shape = vec![3];
    assert!(built(&wrong).contains("[2], got [3]"), "{}", built(&wrong));
    let mut short = given.clone();
    short.arrays.get_mut("dense_1.bias").unwrap().values.pop();
    assert!(built(&short).contains("`dense_1.bias` [2]"), "{}", built(&short));

    let mut built = build(&net, false, &given);
    for weights in [missing, wrong, short] {
        built.set_parameters(&weights).unwrap_err();
    }
    assert_eq!(built.parameters().unwrap(), given);
    built.compile(Optimizer::momentum(0.9));
    let mut state = built.optimizer_state().unwrap();
    let array = given.arrays["dense_1.bias"].clone();
    state.arrays.insert("dense_1.weight.mean".into(), array);
    let state = text(built.set_optimizer_state(&state));
    assert!(state.contains("`dense_1.weight.mean`") && state.contains("[2, 4]"), "{state}");
}

#[test]
fn settings_that_the_library_does_not_have_are_refused_before_it_is_opened() {
    let supports = |device, compute| {
        let plan = Plan { device, compute, ..plan(&linear(1, 1), false) };
        TensorFlow.supports(&plan)
    };
    let exact = Compute::default();
    supports(Device::Cpu, exact).unwrap();
    let (cpu, gpu) = (Device::Cpu, Device::Cuda(0));
    let fast = Compute { cudnn_benchmark: true, ..exact };
    for (device, compute, words) in [
        (cpu, Compute { precision: Precision::BFloat16, ..exact }, ["`precision`", "BFloat16"]),
        (cpu, Compute { pinned_memory: true, ..exact }, ["`pinned_memory`", "on the CPU"]),
        (gpu, Compute { asynchronous_copies: true, ..fast }, ["`asynchronous_copies`", "a GPU"]),
        (gpu, fast, ["`tf32_matmul`", "one switch"]),
        (gpu, Compute { cudnn_benchmark: false, ..Compute::common(false) }, ["`cudnn", "a GPU"]),
        (Device::Cuda(1), Compute::common(false), ["cuda:1", "CUDA_VISIBLE_DEVICES"]),
    ] {
        let text = text(supports(device, compute));
        assert!(words.iter().all(|words| text.contains(words)), "{text}");
    }
    supports(gpu, Compute::common(true)).unwrap();
    let huge = net(Sequential::image(1, 1 << 16, 1 << 16).global_avg_pool().dense(2));
    TensorFlow.supports(&plan(&huge, false)).unwrap();
    let huge = net(Sequential::image(1, 1 << 16, 1 << 16).relu().global_avg_pool().dense(2));
    let huge = text(TensorFlow.supports(&plan(&huge, false)));
    assert!(huge.contains("`re_lu_1`") && huge.contains("[1, 65536, 65536]"), "{huge}");
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_that_says_so() {
    let Some(library) = library() else { return };
    if library.gpus().unwrap() > 0 {
        println!("SKIPPED: this TensorFlow sees a CUDA GPU");
        return;
    }
    let (net, given) = (linear(1, 1), linear_weights(&[1.0], &[0.0]));
    let compute = Compute::common(false);
    let build = |device| TensorFlow.build(&Plan { device, compute, ..plan(&net, false) }, &given);
    let wrong = text(build(Device::Cuda(0)));
    assert!(wrong.contains("cuda:0") && wrong.contains("no CUDA GPU"), "{wrong}");
    let wrong = text(TensorFlow.upload(&[1.0], Device::Cuda(0)));
    assert!(wrong.contains("cuda:0"), "{wrong}");
    TensorFlow.upload(&[1.0, 2.0], Device::Auto).unwrap();
    assert_eq!(build(Device::Auto).unwrap().info().device, "cpu");
}

#[test]
fn nets_beside_each_other_share_nothing_and_have_threads_of_their_own() {
    if library().is_none() {
        return;
    }
    let net = small(true);
    let start = weights(&net, 1);
    let build = |threads| {
        let plan = Plan { threads: Some(threads), ..plan(&net, false) };
        TensorFlow.build(&plan, &start).unwrap()
    };
    let (mut one, mut other) = (build(1), build(2));
    assert_eq!((one.info().threads, other.info().threads), (1, 2));
    one.compile(Optimizer::sgd());
    step(&mut *one, 0.1, 0).unwrap();
    assert_eq!(other.parameters().unwrap(), start);
    other.compile(Optimizer::sgd());
    drop(one);
    // In another thread than the one that made it.
    let moved = std::thread::spawn(move || step(&mut *other, 0.1, 0).unwrap());
    assert!(moved.join().unwrap().is_finite());
}

#[test]
fn the_library_and_its_settings_are_known() {
    let Some(library) = library() else { return };
    let settings = library.settings();
    for name in ["TF_ENABLE_ONEDNN_OPTS=", "TF_DETERMINISTIC_OPS="] {
        let found = settings.iter().find_map(|setting| setting.strip_prefix(name));
        assert!(found.is_some_and(|value| !value.is_empty()), "{settings:?}");
    }
    let info = build(&linear(1, 1), false, &linear_weights(&[1.0], &[0.0])).info();
    assert_eq!((info.name.as_str(), info.precision.as_str()), ("TensorFlow", "float32"));
    assert_eq!(info.version, library.version());
}

#[test]
fn a_frozen_net_without_parameters_to_train_still_steps() {
    if library().is_none() {
        return;
    }
    // Everything that has parameters is the frozen base.
    let net = net(Sequential::vector(3).dense(2).end_base().relu());
    let mut built = build(&net, true, &weights(&net, 1));
    let before = built.parameters().unwrap();
    built.compile(Optimizer::default());
    let result = built.train_step(Input::Values(&[1.0, 2.0, 3.0]), &[1], Step::new(0.1, 0));
    assert!(result.unwrap().loss.is_finite());
    assert!(built.gradients(Input::Values(&[1.0, 2.0, 3.0]), &[1]).unwrap().arrays.is_empty());
    assert_eq!(built.parameters().unwrap(), before);
}
