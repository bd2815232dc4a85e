//! What is kept, what goes on, and what must not change.

use crate::support::{build, images, library, small, step, weights};
use benchbook_backend::{Convention, Input, Network, Optimizer, Parameters, Step};

fn adam() -> Optimizer {
    Optimizer::adam(Convention::Keras)
}

fn all() -> [Optimizer; 4] {
    [
        Optimizer::sgd(),
        Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 },
        adam(),
        Optimizer::rmsprop(Convention::Keras),
    ]
}

#[test]
fn weights_come_back_bit_for_bit() {
    if library().is_none() {
        return;
    }
    let net = small(true);
    let given = weights(&net, 8);
    let mut built = build(&net, false, &given);
    assert_eq!(built.parameters().unwrap(), given);
    let others = weights(&net, 9);
    built.set_parameters(&others).unwrap();
    assert_eq!(built.parameters().unwrap(), others);
    assert_eq!(built.not_finite().unwrap(), None);
}

#[test]
fn training_goes_on_identically_from_weights_and_optimiser_state() {
    if library().is_none() {
        return;
    }
    let net = small(true);
    for optimizer in all() {
        let losses = |net: &mut dyn Network, seeds: std::ops::Range<u64>| -> Vec<f64> {
            seeds.map(|seed| step(net, 0.01, seed).unwrap()).collect()
        };
        let mut through = build(&net, false, &weights(&net, 1));
        through.compile(optimizer);
        losses(&mut *through, 0..2);
        let (kept, state) = (through.parameters().unwrap(), through.optimizer_state().unwrap());
        let uninterrupted = losses(&mut *through, 2..5);

        let mut resumed = build(&net, false, &weights(&net, 99));
        resumed.compile(optimizer);
        resumed.set_parameters(&kept).unwrap();
        resumed.set_optimizer_state(&state).unwrap();
        assert_eq!(losses(&mut *resumed, 2..5), uninterrupted, "{optimizer}");
        assert_eq!(resumed.parameters().unwrap(), through.parameters().unwrap(), "{optimizer}");
    }
}

#[test]
fn a_loss_that_is_not_finite_changes_nothing() {
    if library().is_none() {
        return;
    }
    let net = small(true);
    let (images, labels) = images();
    for optimizer in all() {
        let mut net = build(&net, false, &weights(&net, 1));
        net.compile(optimizer);
        step(&mut *net, 0.01, 0).unwrap();
        let (before, state) = (net.parameters().unwrap(), net.optimizer_state().unwrap());
        let broken = vec![f32::NAN; images.len()];
        let result = net.train_step(Input::Values(&broken), &labels, Step::new(0.01, 1)).unwrap();
        assert!(result.loss.is_nan(), "{optimizer}: {}", result.loss);
        assert_eq!(net.parameters().unwrap(), before, "{optimizer}");
        assert_eq!(net.optimizer_state().unwrap(), state, "{optimizer}");
        assert!(step(&mut *net, 0.01, 1).unwrap().is_finite());
    }
}

#[test]
fn the_loss_falls_with_every_optimiser() {
    if library().is_none() {
        return;
    }
    let (images, labels) = images();
    for batch_norm in [false, true] {
        let net = small(batch_norm);
        for (optimizer, rate) in all().into_iter().zip([0.1, 0.05, 0.01, 0.01]) {
            let mut net = build(&net, false, &weights(&net, 1));
            net.compile(optimizer);
            let first = net.evaluate_step(Input::Values(&images), &labels).unwrap();
            for seed in 0..60 {
                step(&mut *net, rate, seed).unwrap();
            }
            let last = net.evaluate_step(Input::Values(&images), &labels).unwrap();
            assert!(last.loss < 0.5 * first.loss, "{optimizer}: {first:?} {last:?}");
            for (logits, label) in last.logits.chunks_exact(2).zip(&labels) {
                assert_eq!(i64::from(logits[1] > logits[0]), *label, "{optimizer}: {last:?}");
            }
        }
    }
}

#[test]
fn the_same_optimiser_keeps_its_state_and_another_one_starts_afresh() {
    if library().is_none() {
        return;
    }
    let net = small(false);
    let mut net = build(&net, false, &weights(&net, 1));
    let steps = |state: &Parameters| state.arrays["step"].values.clone();
    assert!(net.optimizer_state().unwrap().arrays.is_empty());
    net.compile(adam());
    // Chosen and not used yet.
    assert_eq!(steps(&net.optimizer_state().unwrap()), [0.0]);
    step(&mut *net, 0.01, 0).unwrap();
    let state = net.optimizer_state().unwrap();
    assert_eq!(steps(&state), [1.0]);
    assert_eq!(state.arrays["dense_2.weight.mean"].shape, [2, 16]);
    net.compile(adam());
    assert_eq!(net.optimizer_state().unwrap(), state);
    net.compile(all()[1]);
    assert_eq!(steps(&net.optimizer_state().unwrap()), [0.0]);
    step(&mut *net, 0.01, 1).unwrap();
    // Back to the first: what it remembered is gone.
    net.compile(adam());
    net.set_optimizer_state(&Parameters::default()).unwrap();
    let fresh = net.optimizer_state().unwrap();
    assert_eq!(steps(&fresh), [0.0]);
    assert!(fresh.arrays["dense_2.weight.mean"].values.iter().all(|value| *value == 0.0));
}
