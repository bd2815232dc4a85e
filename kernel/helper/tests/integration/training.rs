//! Fitting, continuing, caching, saving.

use crate::pictures::{Pictures, build, small_model, small_net};
use benchbook::model::{Evaluation, Model};
use benchbook::prelude::{Build, Builtin, Fit, Head, Metric, Optimizer, Vgg11, metrics};
use benchbook::train::{Event, Events, KerasLog, Outcome, RateSearch, Silent};
use std::cmp::Ordering;

fn fit(epochs: usize) -> Fit {
    Fit { epochs, batch_size: 8, learning_rate: Some(1e-4), ..Fit::default() }
}

#[test]
fn loss_is_finite_and_falls_and_a_second_fit_counts_on() {
    let pictures = Pictures::new(12, 4);
    let data = pictures.open();
    let mut model = small_model();
    let mut events = Events::default();
    model.fit_with(&data, fit(3), &mut events).unwrap();
    let losses: Vec<f64> = events
        .0
        .iter()
        .filter_map(|event| if let Event::Step { loss, .. } = event { Some(*loss) } else { None })
        .collect();
    assert_eq!(losses.len(), 9, "three epochs of three batches of 24 pictures");
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    let history = model.history();
    assert!(history.epochs[2].loss < history.epochs[0].loss, "{history:?}");
    assert_eq!(history.epochs[0].training_images, 24);
    assert_eq!(history.epochs[0].validation_images, 8);
    assert_eq!(events.0.last(), Some(&Event::End(Outcome::Finished)));

    let history = model.fit_with(&data, fit(1), &mut events).unwrap();
    assert_eq!(history.epochs.iter().map(|e| e.epoch).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((history.steps, history.passes), (12, 4));
    assert!(events.0.contains(&Event::EpochStart { epoch: 4, epochs: 4 }));
}

#[test]
fn a_search_for_a_learning_rate_changes_nothing_but_finds_where_the_loss_falls() {
    let pictures = Pictures::new(12, 4);
    let data = pictures.open();
    let (mut searched, mut other) = (small_model(), small_model());
    let next = |model: &mut Model| {
        model.fit_with(&data, fit(1), &mut Silent).unwrap().epochs.last().unwrap().loss
    };
    let search = searched.find_learning_rate(&data, fit(1)).unwrap();
    let RateSearch { rates, losses, smoothed, suggestion } = search;
    assert!(rates.len() > 11 && losses.len() == rates.len() && smoothed.len() == rates.len());
    // Rates in equal ratios, 1e8 over 99 steps: 10^(8/99).
    assert!(rates[0] == 1e-7 && (rates[10] / rates[9] - 1.204_503_5).abs() < 1e-6, "{rates:?}");
    let suggested = suggestion.unwrap_or_else(|| panic!("{smoothed:?}"));
    assert!(rates.contains(&suggested) && suggested > 1e-6, "{suggested}: {smoothed:?}");
    // Weights and the optimiser's state are those of before.
    assert!(searched.history().epochs.is_empty());
    assert_eq!(searched.parameters().unwrap(), other.parameters().unwrap());
    assert_eq!(next(&mut searched), next(&mut other));
    let optimizer = Optimizer::sgd();
    let chart = searched.find_learning_rate(&data, Fit { optimizer, ..fit(1) }).unwrap().chart();
    assert!(chart.unwrap().data().log_x);
    assert_eq!(next(&mut searched), next(&mut other));
    assert_eq!(searched.parameters().unwrap(), other.parameters().unwrap());
}

#[test]
fn an_evaluation_gives_its_batches_to_any_metric() {
    let pictures = Pictures::new(12, 20);
    let data = pictures.open();
    let mut model = small_model();
    model.fit_with(&data, fit(3), &mut Silent).unwrap();
    let mut accuracy = metrics::Accuracy::default();
    let (mut top, mut auc) = (metrics::TopK::new(2), metrics::Auc::default());
    let split = data.validation();
    let found = model.evaluate_with(&split, &mut [&mut accuracy, &mut top, &mut auc]).unwrap();
    assert_eq!(found, Evaluation { seconds: found.seconds, ..model.evaluate(&split).unwrap() });
    assert_eq!(accuracy.value(), found.accuracy);
    assert_eq!(top.value(), 1.0);
    // Of the same predictions: the share of pairs in the right order.
    let predictions = model.predict(&split).unwrap().predictions;
    let of = |class| predictions.iter().filter(move |p| p.truth == Some(class));
    let pairs = of(1).flat_map(|one| of(0).map(move |zero| (one, zero)));
    let right =
        pairs.map(|(one, zero)| match one.probabilities[1].total_cmp(&zero.probabilities[1]) {
            Ordering::Greater => 1.0,
            Ordering::Equal => 0.5,
            Ordering::Less => 0.0,
        });
    assert!((auc.value() - right.sum::<f64>() / 400.0).abs() < 1e-9, "{}", auc.value());
}

#[test]
fn the_same_seed_gives_the_same_losses_and_another_seed_others() {
    let pictures = Pictures::new(6, 2);
    let data = pictures.open();
    let losses = |seed| {
        let mut model = Model::new(small_net(), Build { seed, ..build() }).unwrap();
        let history = model.fit_with(&data, Fit { seed, ..fit(1) }, &mut Silent).unwrap();
        (history.epochs[0].loss, history.epochs[0].val_loss)
    };
    assert_eq!(losses(1), losses(1));
    assert_ne!(losses(1), losses(2));
}

#[test]
fn cached_features_give_what_computing_them_each_time_gives() {
    let pictures = Pictures::new(9, 3);
    let data = pictures.open();
    for (head, steps_per_epoch) in [(Head::Keras, None), (Head::PyTorch, Some(4))] {
        let history = |cache_features| {
            let net = Vgg11 { head, ..small_net() };
            let mut model = Model::new(net, Build { frozen: true, ..build() }).unwrap();
            let fit = Fit { cache_features, steps_per_epoch, ..fit(2) };
            model.fit_with(&data, fit, &mut Silent).unwrap()
        };
        let (each_time, once) = (history(false), history(true));
        assert_eq!((each_time.steps, each_time.passes), (once.steps, once.passes));
        for (a, b) in each_time.epochs.iter().zip(&once.epochs) {
            assert_eq!(a.training_images, b.training_images);
            // The convolutions may round otherwise in batches of another size.
            assert!((a.loss - b.loss).abs() < 1e-4 * a.loss.max(1.0), "{} {}", a.loss, b.loss);
            let (x, y) = (a.val_loss.unwrap(), b.val_loss.unwrap());
            assert!((x - y).abs() < 1e-4 * x.max(1.0), "{x} {y}");
        }
    }
}

#[test]
fn a_saved_model_goes_on_as_if_it_had_not_been_interrupted() {
    let pictures = Pictures::new(6, 2);
    let data = pictures.open();
    let file = pictures.path().join("model.safetensors");
    let mut through = small_model();
    through.fit_with(&data, fit(1), &mut Silent).unwrap();
    through.save(&file).unwrap();
    through.fit_with(&data, fit(1), &mut Silent).unwrap();

    let mut resumed = Model::load(&file).unwrap();
    resumed.fit_with(&data, fit(1), &mut Silent).unwrap();
    let (a, b) = (through.history(), resumed.history());
    assert_eq!(a.epochs[1].loss, b.epochs[1].loss);
    assert_eq!(a.epochs[1].val_loss, b.epochs[1].val_loss);
    assert_eq!(a.steps, b.steps);
}

#[test]
fn the_best_checkpoint_is_logged_in_the_reports_words_and_can_be_loaded() {
    let pictures = Pictures::new(6, 3);
    let data = pictures.open();
    let file = pictures.path().join("vgg16_1.safetensors");
    let mut model = small_model();
    let fit = Fit { callbacks: vec![Builtin::best_checkpoint(&file)], ..fit(2) };
    let mut log = KerasLog::new(Vec::new());
    let history = model.fit_with(&data, fit, &mut log).unwrap();
    let log = String::from_utf8(log.into_inner()).unwrap();
    let first = history.epochs[0].val_accuracy.unwrap();
    let improved = format!(
        "Epoch 00001: val_acc improved from -inf to {first:.5}, saving model to {}",
        file.display()
    );
    assert!(log.contains(&improved), "{log}");
    let kept = history.epochs.iter().filter_map(|e| e.val_accuracy).fold(0.0, f64::max);
    let mut best = Model::load(&file).unwrap();
    assert_eq!(best.evaluate(&data.validation()).unwrap().accuracy, kept);
}

#[test]
fn predictions_become_a_grid_and_a_table() {
    let pictures = Pictures::new(4, 2);
    let data = pictures.open();
    let mut model = small_model();
    let predictions = model.predict(&data.test()).unwrap();
    assert_eq!(predictions.predictions.len(), 4);
    let csv = predictions.write_csv(pictures.path().join("predictions.csv")).unwrap();
    let text = std::fs::read_to_string(csv).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "id,path,label,probability");
    assert_eq!(lines.len(), 5);
    let fields: Vec<&str> = lines[1].split(',').collect();
    assert_eq!(fields[0], "0");
    assert!(fields[1].ends_with("test/0.jpg"));
    assert!(["cat", "dog"].contains(&fields[2]));
    assert!((0.5..=1.0).contains(&fields[3].parse::<f64>().unwrap()), "{}", fields[3]);

    let grid = benchbook::prelude::Rich::bundle(&model.predict(&data.validation()).unwrap());
    assert!(grid.data.len() >= 2, "{:?}", grid.data.keys());
    assert!(grid.plain().contains("of 4 right"), "{}", grid.plain());
}
