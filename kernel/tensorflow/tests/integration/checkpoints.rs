//! What is kept, what goes on, and what must not change.

use crate::support::{build, library, no_dropout, pictures, rate, small, step, weights};
use benchbook_tensorflow::{Convention, Input, Net, Optimizer};

fn adam() -> Optimizer {
    Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, convention: Convention::Keras }
}

fn all() -> [Optimizer; 4] {
    [
        Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 },
        adam(),
        Optimizer::RmsProp { decay: 0.9, epsilon: 1e-7, convention: Convention::Keras },
    ]
}

#[test]
fn weights_come_back_bit_for_bit() {
    let Some(library) = library() else { return };
    let description = small(true, false);
    let given = weights(&description, 8);
    let net = build(library, &description, &given);
    assert_eq!(net.parameters().unwrap(), given);
}

#[test]
fn training_goes_on_identically_from_weights_and_optimiser_state() {
    let Some(library) = library() else { return };
    let description = small(true, false);
    for optimizer in all() {
        let losses = |net: &mut Net, seeds: std::ops::Range<u64>| -> Vec<f64> {
            seeds.map(|seed| step(net, 0.01, seed).unwrap()).collect()
        };
        let mut through = build(library, &description, &weights(&description, 1));
        through.compile(optimizer).unwrap();
        losses(&mut through, 0..2);
        let (kept, state) = (through.parameters().unwrap(), through.optimizer_state().unwrap());
        let uninterrupted = losses(&mut through, 2..5);

        let mut resumed = build(library, &description, &weights(&description, 99));
        resumed.compile(optimizer).unwrap();
        resumed.set(|name| kept.get(name).map(Vec::as_slice)).unwrap();
        resumed.set_optimizer_state(&state).unwrap();
        assert_eq!(losses(&mut resumed, 2..5), uninterrupted, "{optimizer:?}");
        assert_eq!(resumed.parameters().unwrap(), through.parameters().unwrap(), "{optimizer:?}");
    }
}

#[test]
fn a_loss_that_is_no_number_changes_nothing() {
    let Some(library) = library() else { return };
    let description = small(true, false);
    let (pixels, labels) = pictures();
    for optimizer in all() {
        let mut net = build(library, &description, &weights(&description, 1));
        net.compile(optimizer).unwrap();
        step(&mut net, 0.01, 0).unwrap();
        let (before, state) = (net.parameters().unwrap(), net.optimizer_state().unwrap());
        let broken = vec![f32::NAN; pixels.len()];
        let input = Input::Pixels(&broken);
        let outcome = net.train_step(input, &labels, rate(0.01), &no_dropout).unwrap();
        assert!(outcome.loss.is_nan(), "{optimizer:?}: {}", outcome.loss);
        assert_eq!(net.parameters().unwrap(), before, "{optimizer:?}");
        assert_eq!(net.optimizer_state().unwrap(), state, "{optimizer:?}");
        assert!(step(&mut net, 0.01, 1).unwrap().is_finite());
    }
}

#[test]
fn the_loss_falls_with_every_optimiser() {
    let Some(library) = library() else { return };
    let (pixels, labels) = pictures();
    for batch_norm in [false, true] {
        let description = small(batch_norm, false);
        for (optimizer, rate) in all().into_iter().zip([0.1, 0.05, 0.01, 0.01]) {
            let mut net = build(library, &description, &weights(&description, 1));
            net.compile(optimizer).unwrap();
            let first = net.evaluate_step(Input::Pixels(&pixels), &labels).unwrap();
            for seed in 0..60 {
                step(&mut net, rate, seed).unwrap();
            }
            let last = net.evaluate_step(Input::Pixels(&pixels), &labels).unwrap();
            assert!(last.loss < 0.5 * first.loss, "{optimizer:?}: {first:?} {last:?}");
            assert_eq!(last.correct, 4, "{optimizer:?}");
        }
    }
}

#[test]
fn the_same_optimiser_keeps_its_state_and_another_one_starts_afresh() {
    let Some(library) = library() else { return };
    let description = small(false, false);
    let mut net = build(library, &description, &weights(&description, 1));
    assert!(net.optimizer_state().unwrap().is_empty());
    net.compile(adam()).unwrap();
    step(&mut net, 0.01, 0).unwrap();
    let state = net.optimizer_state().unwrap();
    assert_eq!(state["step"], [1.0]);
    net.compile(adam()).unwrap();
    assert_eq!(net.optimizer_state().unwrap(), state);
    net.compile(all()[1]).unwrap();
    assert_eq!(net.optimizer_state().unwrap()["step"], [0.0]);
    step(&mut net, 0.01, 1).unwrap();
    // Back to the first: what it remembered is gone.
    net.compile(adam()).unwrap();
    let fresh = net.optimizer_state().unwrap();
    assert_eq!(fresh["step"], [0.0]);
    assert!(fresh["classifier.3.weight.mean"].iter().all(|value| *value == 0.0));
}
