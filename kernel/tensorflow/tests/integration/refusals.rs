//! What is refused, and in which words; and nets beside each other.

use crate::support::{
    build, dense, library, linear, no_dropout, pictures, rate, small, step, weights,
};
use benchbook_tensorflow::{FlattenOrder, Input, Layer, Loss, Net, Optimizer, Processor, Values};

fn sgd() -> Optimizer {
    Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }
}

#[test]
fn unfit_batches_and_steps_are_named() {
    let Some(library) = library() else { return };
    let description = small(false, false);
    let (pixels, labels) = pictures();
    let mut net = build(library, &description, &weights(&description, 1));
    let text = |wrong: Result<_, benchbook_tensorflow::Error>| {
        wrong.map(|outcome: benchbook_tensorflow::Outcome| outcome.loss).unwrap_err().to_string()
    };
    let none = text(net.train_step(Input::Pixels(&pixels), &labels, rate(0.1), &no_dropout));
    assert!(none.contains("optimiser"), "{none}");
    net.compile(sgd()).unwrap();
    let short = text(net.evaluate_step(Input::Pixels(&[0.0; 10]), &[0, 1]));
    assert!(
        short.contains("384") && short.contains("pixels [2, 3, 8, 8]") && short.contains("10"),
        "{short}"
    );
    let label = text(net.evaluate_step(Input::Pixels(&pixels), &[0, 1, 2, 0]));
    assert!(label.contains("0 to 1") && label.contains("found 2"), "{label}");
    let mask =
        text(net.train_step(Input::Pixels(&pixels), &labels, rate(0.1), &|_, _, _| vec![1.0]));
    assert!(mask.contains("dropout factors [4, 16]"), "{mask}");
    let features = net.features(&pixels, 4).unwrap();
    let learning =
        text(net.train_step(Input::Features(&features), &labels, rate(0.1), &no_dropout));
    assert!(learning.contains("base learns"), "{learning}");
    // After all that it still trains.
    net.train_step(Input::Pixels(&pixels), &labels, rate(0.1), &no_dropout).unwrap();
}

#[test]
fn nets_that_do_not_fit_together_are_named() {
    let Some(library) = library() else { return };
    let mut description = linear(4, Loss::CrossEntropy);
    let build = |description: &benchbook_tensorflow::Description, given: &Values| {
        let value = |name: &str| given.get(name).map(Vec::as_slice);
        let built = Net::new(library, description.clone(), Processor::Cpu, Some(1), value);
        built.map(|_| ()).unwrap_err().to_string()
    };
    let given = weights(&description, 1);
    let missing = build(&description, &Values::new());
    assert!(missing.contains("`dense.weight` [2, 4]"), "{missing}");
    let mut short = given.clone();
    short.insert("dense.bias".into(), vec![0.0]);
    let short = build(&description, &short);
    assert!(short.contains("`dense.bias` [2]") && short.contains("found 1"), "{short}");
    description.head = vec![dense("dense", 4, 2)];
    let map = build(&description, &given);
    assert!(map.contains("vector") && map.contains("Map"), "{map}");
    description.head = vec![Layer::Flatten(FlattenOrder::ChannelHeightWidth), dense("dense", 5, 2)];
    let length = build(&description, &weights(&description, 1));
    assert!(length.contains("Vector(4)"), "{length}");
    description.head = vec![Layer::Flatten(FlattenOrder::ChannelHeightWidth), dense("dense", 4, 3)];
    let outputs = build(&description, &weights(&description, 1));
    assert!(outputs.contains("2 logits"), "{outputs}");
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_that_says_so() {
    let Some(library) = library() else { return };
    if library.gpus().unwrap() > 0 {
        println!("SKIPPED: this TensorFlow sees a CUDA GPU");
        return;
    }
    let description = linear(1, Loss::BinaryCrossEntropy);
    let given = weights(&description, 1);
    let value = |name: &str| given.get(name).map(Vec::as_slice);
    let wrong = Net::new(library, description.clone(), Processor::Cuda(0), None, value);
    let wrong = wrong.map(|_| ()).unwrap_err().to_string();
    assert!(wrong.contains("Cuda(0)") && wrong.contains("no CUDA GPU"), "{wrong}");
    let net = Net::new(library, description, Processor::Auto, None, value).unwrap();
    assert_eq!(net.device(), benchbook_tensorflow::Device::Cpu);
}

#[test]
fn nets_beside_each_other_share_nothing_and_have_threads_of_their_own() {
    let Some(library) = library() else { return };
    let description = small(true, false);
    let start = weights(&description, 1);
    let value = |name: &str| start.get(name).map(Vec::as_slice);
    let net = |threads| {
        Net::new(library, description.clone(), Processor::Cpu, Some(threads), value).unwrap()
    };
    let (mut one, mut other) = (net(1), net(2));
    assert_eq!((one.threads(), other.threads()), (1, 2));
    one.compile(sgd()).unwrap();
    step(&mut one, 0.1, 0).unwrap();
    assert_eq!(other.parameters().unwrap(), start);
    other.compile(sgd()).unwrap();
    drop(one);
    // In another thread than the one that made it.
    let moved = std::thread::spawn(move || step(&mut other, 0.1, 0).unwrap());
    assert!(moved.join().unwrap().is_finite());
}

#[test]
fn the_settings_of_the_process_are_known() {
    let Some(library) = library() else { return };
    let settings = library.settings();
    for name in ["TF_ENABLE_ONEDNN_OPTS=", "TF_DETERMINISTIC_OPS="] {
        let found = settings.iter().find_map(|setting| setting.strip_prefix(name));
        assert!(found.is_some_and(|value| !value.is_empty()), "{settings:?}");
    }
}
