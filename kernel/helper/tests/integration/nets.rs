//! Nets of a user's own, more than two classes, data in memory, and what is refused before anything is computed.

use crate::pictures::{Pictures, build, small_model, small_net};
use benchbook::Error;
use benchbook::image::{Rgb, RgbImage};
use benchbook::prelude::{
    Arrays, Build, Builtin, EpochMetrics, Fit, ImageFolder, Model, ResNet18, Sequential, SmallCnn,
    TensorFlow,
};
use benchbook::train::{EarlyStopping, Event, Events, Monitor, Silent};
use std::ops::ControlFlow;

/// Images of `classes` colours in class folders without a split.
fn colours(classes: usize, each: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for class in 0..classes {
        let path = folder.path().join(format!("class {class}"));
        std::fs::create_dir_all(&path).unwrap();
        for index in 0..each {
            let hue = (class * 255 / classes) as u8;
            let shade = |value: u8| value.saturating_add((index * 7 % 23) as u8);
            let image = RgbImage::from_fn(24, 24, |x, y| {
                let noise = ((x * 31 + y * 17 + index as u32) % 13) as u8;
                Rgb([shade(hue), 255 - hue, noise * if class % 2 == 0 { 1 } else { 15 }])
            });
            image.save(path.join(format!("{index}.png"))).unwrap();
        }
    }
    folder
}

/// Two values of which the larger is the class; `count` samples.
fn larger(count: usize) -> Arrays {
    let values = (0..count).flat_map(|at| {
        let spread = (at * 37 % 50) as f32 / 50.0 + 0.1;
        if at % 2 == 0 { [spread, -spread] } else { [-spread, spread] }
    });
    let labels = (0..count as i64).map(|at| at % 2).collect();
    Arrays::new(values.collect(), [2], labels, ["left", "right"]).unwrap()
}

#[test]
fn five_lines_train_a_net_on_three_and_ten_classes() {
    for classes in [3, 10] {
        let folder = colours(classes, 10);
        let data = ImageFolder::open(folder.path()).unwrap();
        assert_eq!(data.classes(), classes);
        let net = Sequential::image(3, 16, 16)
            .conv(8, 3)
            .relu()
            .max_pool(2)
            .flatten()
            .dense(32)
            .relu()
            .dropout(0.1)
            .dense(data.classes());
        let mut model = Model::build(net, &data, build()).unwrap();
        let fit = Fit { epochs: 12, batch_size: 8, learning_rate: Some(3e-3), ..Fit::default() };
        let history = model.fit_with(&data, fit, &mut Silent).unwrap();
        let accuracy = history.epochs.last().unwrap().val_accuracy.unwrap();
        // Chance is a third or a tenth.
        assert!(accuracy > 0.7, "{classes} classes: {accuracy}");

        let predictions = model.predict(&data.validation()).unwrap();
        for prediction in &predictions.predictions {
            assert_eq!(prediction.probabilities.len(), classes);
            let sum: f32 = prediction.probabilities.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
        let matrix = predictions.confusion_matrix().unwrap();
        assert_eq!(matrix.data().counts.len(), classes);
        let file = predictions.write_csv(folder.path().join("predictions.csv")).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let header = text.lines().next().unwrap();
        assert!(header.starts_with("id,path,label,probability,probability of class 0"), "{header}");
        assert_eq!(header.split(',').count(), 4 + classes);

        let one = model.predict_file(folder.path().join("class 1/0.png")).unwrap();
        assert_eq!(one.predictions.len(), 1);
        let wrong = model.predict_file("no such.png").unwrap_err().to_string();
        assert!(wrong.contains("no such.png"), "{wrong}");
    }
}

#[test]
fn class_weights_are_one_per_class() {
    let folder = colours(3, 6);
    let data = ImageFolder::open(folder.path()).unwrap();
    let mut model =
        Model::build(SmallCnn { size: 16, ..SmallCnn::new(3) }, &data, build()).unwrap();
    let with = |weights: &[f32]| Fit { class_weights: Some(weights.to_vec()), ..Fit::default() };
    let wrong = model.fit_with(&data, with(&[1.0, 2.0]), &mut Silent).unwrap_err().to_string();
    assert!(wrong.contains("class_weights") && wrong.contains("for each class"), "{wrong}");
    model.fit_with(&data, with(&[1.0, 2.0, 0.5]), &mut Silent).unwrap();
}

#[test]
fn arrays_in_memory_are_trained_on_and_a_pair_of_callbacks_is_one() {
    let data = larger(64);
    let net = Sequential::vector(2).dense(8).relu().dense(data.classes());
    let mut model = Model::build(net, &data, build()).unwrap();
    let mut accuracies = Vec::new();
    let own = |epoch: &EpochMetrics| {
        accuracies.push(epoch.accuracy);
        if epoch.epoch == 15 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let fit = Fit { epochs: 30, batch_size: 8, learning_rate: Some(0.02), ..Fit::default() };
    let mut both = (Events::default(), own);
    model.fit_with(&data, fit, &mut both).unwrap();
    assert!(both.0.0.iter().any(|event| matches!(event, Event::Step { .. })));
    assert_eq!(accuracies.len(), 15);
    assert!(accuracies[14] > 0.9, "{accuracies:?}");
    let predictions = model.predict(&data.validation()).unwrap();
    assert_eq!(predictions.predictions[0].name, data.validation().sample_name(0));
}

#[test]
fn a_resnet_learns_and_its_residuals_have_gradients() {
    let folder = colours(3, 8);
    let data = ImageFolder::open(folder.path()).unwrap();
    let net = ResNet18 { size: 32, ..ResNet18::new(data.classes()) };
    let mut model = Model::build(net, &data, build()).unwrap();
    assert!(model.to_string().contains("(0): BasicBlock("), "{model}");
    let fit = Fit { epochs: 3, batch_size: 8, learning_rate: Some(1e-3), ..Fit::default() };
    let history = model.fit_with(&data, fit, &mut Silent).unwrap();
    assert!(history.epochs[2].loss < history.epochs[0].loss, "{history:?}");
    let file = folder.path().join("resnet.safetensors");
    model.save(&file).unwrap();
    let mut loaded = Model::load(&file).unwrap();
    let loss = |model: &mut Model| model.evaluate(&data.validation()).unwrap().loss;
    assert_eq!(loss(&mut loaded), loss(&mut model));
}

/// A training at a rate that soon makes it worse.
fn worsening(epochs: usize, stopping: EarlyStopping) -> Fit {
    Fit {
        epochs,
        batch_size: 6,
        learning_rate: Some(0.02),
        callbacks: vec![Builtin::EarlyStopping(stopping)],
        ..Fit::default()
    }
}

#[test]
fn early_stopping_restores_the_weights_of_the_best_epoch_if_asked() {
    let pictures = Pictures::new(6, 3);
    let data = pictures.open();
    let mut model = small_model();
    let stopping = EarlyStopping {
        monitor: Monitor::ValidationLoss,
        restore_best_weights: true,
        ..EarlyStopping::new(2)
    };
    let fit = worsening(30, stopping);
    let mut events = Events::default();
    let history = model.fit_with(&data, fit, &mut events).unwrap();
    let restored = events.0.iter().find_map(|event| match event {
        Event::EarlyStop { restored, .. } => *restored,
        _ => None,
    });
    let losses: Vec<f64> = history.epochs.iter().filter_map(|epoch| epoch.val_loss).collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses[restored.expect("it stops early") - 1], best, "{losses:?}");
    let now = model.evaluate(&data.validation()).unwrap().loss;
    assert!((now - best).abs() < 1e-4 * best.max(1.0), "{now} {best}");
}

#[test]
fn the_best_weights_are_restored_too_if_the_training_ends_by_itself() {
    let pictures = Pictures::new(6, 3);
    let data = pictures.open();
    let mut model = small_model();
    let stopping = EarlyStopping {
        monitor: Monitor::ValidationLoss,
        restore_best_weights: true,
        // No later epoch is so much better than the first.
        min_delta: f64::MAX,
        ..EarlyStopping::new(50)
    };
    let fit = worsening(6, stopping);
    let history = model.fit_with(&data, fit, &mut Silent).unwrap();
    let losses: Vec<f64> = history.epochs.iter().filter_map(|epoch| epoch.val_loss).collect();
    let best = losses[0];
    assert!(losses.len() == 6 && losses[5] != best, "{losses:?}");
    let now = model.evaluate(&data.validation()).unwrap().loss;
    assert!((now - best).abs() < 1e-4 * best.max(1.0), "{now} {best}");
}

#[test]
fn a_base_that_is_frozen_later_keeps_history_and_weights() {
    let pictures = Pictures::new(4, 2);
    let data = pictures.open();
    let mut model = small_model();
    model.fit_with(&data, Fit::default(), &mut Silent).unwrap();
    let before = model.parameters().unwrap();
    model.set_frozen(true).unwrap();
    assert!(model.is_frozen());
    assert_eq!(model.parameters().unwrap(), before);
    let history = model.fit_with(&data, Fit::default(), &mut Silent).unwrap();
    assert_eq!(history.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [1, 2]);
    let after = model.parameters().unwrap();
    for parameter in model.net().parameters() {
        let unchanged = before.arrays[&parameter.name] == after.arrays[&parameter.name];
        assert_eq!(unchanged, parameter.in_base, "{}", parameter.name);
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_computed() {
    let folder = colours(3, 4);
    let data = ImageFolder::open(folder.path()).unwrap();
    let refused = |result: Result<Model, Error>, parts: &[&str]| {
        let text = result.unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    refused(
        Model::build(small_net(), &data, build()),
        &["`vgg11_bn` has 2 classes", "got 3", "class 1", "data.classes()"],
    );
    let vector = Sequential::vector(10).dense(3);
    refused(Model::build(vector, &data, build()), &["shape [10]", "\"train\""]);
    let plain = || Sequential::image(3, 8, 8).flatten().dense(3);
    let frozen = Build { frozen: true, ..build() };
    refused(Model::build(plain(), &data, frozen), &["frozen", "base", "sequential"]);
    let arrays = larger(8);
    let other = Sequential::vector(3).dense(2);
    refused(Model::build(other, &arrays, build()), &["shape [3]", "got [2]"]);
    let bad = Sequential::image(3, 8, 8).conv(4, 3).dense(3);
    refused(Model::build(bad, &data, build()), &["`dense_1`", "a vector", "[4, 8, 8]"]);
}

#[test]
fn a_backend_that_is_not_installed_says_so_and_is_not_replaced() {
    let net = Sequential::vector(2).dense(2);
    match Model::new(net, Build { backend: TensorFlow, ..build() }) {
        Ok(model) => assert_eq!(model.backend().name, "TensorFlow"),
        Err(error) => assert!(error.to_string().contains("TensorFlow"), "{error}"),
    }
}
