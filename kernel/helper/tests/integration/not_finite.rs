//! NaN and infinities are errors that say where they come from, and cost neither history nor model.

use crate::pictures::{Pictures, model_of, small_net};
use benchbook::Error;
use benchbook::model::Model;
use benchbook::prelude::{Builtin, Fit, Vgg11};
use benchbook::train::{Event, Events, Outcome, Silent};

fn fit(rate: f64) -> Fit {
    Fit { batch_size: 12, learning_rate: Some(rate), ..Fit::default() }
}

/// One step of an epoch with a rate that leaves weights with which nothing can be computed.
fn diverged(pictures: &Pictures, validate: bool) -> (Model, Error, Vec<Event>) {
    let mut model = model_of(Vgg11 { batch_norm: false, ..small_net() });
    let mut events = Events::default();
    let fit = Fit { validate, ..fit(if validate { 1e9 } else { f64::MAX }) };
    let error = model.fit_with(&pictures.open(), fit, &mut events).unwrap_err();
    (model, error, events.0)
}

#[test]
fn a_validation_loss_that_is_not_finite_fails_the_training_and_is_kept_in_the_history() {
    let pictures = Pictures::new(6, 2);
    let (model, error, events) = diverged(&pictures, true);
    let text = error.to_string();
    assert!(matches!(error, Error::Diverged { kept: 1, .. }), "{text}");
    assert!(text.contains("the validation loss after epoch 1 is"), "{text}");
    assert!(
        text.contains("learning rate 1000000000") && text.contains("history of 1 epoch)"),
        "{text}"
    );
    let history = model.history();
    assert!(history.epochs[0].loss.is_finite());
    assert!(history.epochs[0].val_loss.is_some_and(|loss| !loss.is_finite()));
    assert!(matches!(events.last(), Some(Event::End(Outcome::Failed(_)))));
}

#[test]
fn weights_that_are_not_finite_fail_a_training_without_validation() {
    let (model, error, _) = diverged(&Pictures::new(6, 2), false);
    let text = error.to_string();
    assert!(text.contains("the weights after epoch 1 are not finite"), "{text}");
    assert!(text.contains("` holds NaN or infinity"), "{text}");
    assert_eq!(model.history().epochs.len(), 1);
}

#[test]
fn what_follows_says_that_the_weights_are_to_blame_and_not_its_own_rate() {
    let pictures = Pictures::new(6, 2);
    let data = pictures.open();
    for validate in [true, false] {
        let (mut model, ..) = diverged(&pictures, validate);
        let said = [
            model.evaluate(&data.validation()).unwrap_err(),
            model.predict(&data.test()).unwrap_err(),
            model.fit_with(&data, fit(1e-5), &mut Silent).unwrap_err(),
        ];
        let wanted = ["loss on the split \"validation\"", "probability for ", "epoch 2"];
        for (error, wanted) in said.iter().zip(wanted) {
            let text = error.to_string();
            assert!(
                matches!(error, Error::WeightsNotFinite { .. } | Error::ResultNotFinite { .. }),
                "{text}"
            );
            assert!(text.contains(wanted) && !text.contains("0.00001"), "{text}");
            assert!(text.contains("load a checkpoint or build the net again"), "{text}");
        }
        assert_eq!(model.history().epochs.len(), 1);
    }
}

#[test]
fn no_checkpoint_of_a_good_epoch_is_replaced_by_one_that_is_not_finite() {
    let pictures = Pictures::new(6, 2);
    let data = pictures.open();
    let (last, best) = (pictures.path().join("last"), pictures.path().join("best"));
    let callbacks = vec![Builtin::checkpoint(&last), Builtin::best_checkpoint(&best)];
    let mut model = model_of(Vgg11 { batch_norm: false, ..small_net() });
    let with = |rate| Fit { callbacks: callbacks.clone(), ..fit(rate) };
    model.fit_with(&data, with(1e-5), &mut Silent).unwrap();
    let before = [&last, &best].map(|path| std::fs::read(path).unwrap());
    model.fit_with(&data, with(1e9), &mut Silent).unwrap_err();
    assert!([&last, &best].map(|path| std::fs::read(path).unwrap()) == before);
    let mut model = Model::load(&last).unwrap();
    model.fit_with(&data, fit(1e-5), &mut Silent).unwrap();
    model.evaluate(&data.validation()).unwrap();
}
