//! A training that another process goes on with.

use crate::pictures::{Pictures, build, model_of, small_model, small_net};
use benchbook::data::Augmentation;
use benchbook::prelude::{
    Build, Builtin, Compute, Device, Fit, History, Model, Optimizer, Schedule, Vgg11,
};
use benchbook::train::{
    Checkpoint, EarlyStopping, EpochMetrics, Event, Events, Monitor, ReduceOnPlateau, Silent,
};
use benchbook::weights::safetensors;
use std::ops::ControlFlow;
use std::path::Path;

/// What two trainings must have in common: everything but the times.
fn numbers(history: &History) -> Vec<EpochMetrics> {
    let timeless = |epoch: &EpochMetrics| EpochMetrics {
        training_seconds: 0.0,
        input_wait_seconds: 0.0,
        validation_seconds: 0.0,
        callback_seconds: 0.0,
        ..epoch.clone()
    };
    history.epochs.iter().map(timeless).collect()
}

/// The files of a training: its checkpoint, the best weights and the log.
fn callbacks(folder: &Path) -> Vec<Builtin> {
    vec![
        Builtin::best_checkpoint(folder.join("best.safetensors")),
        Builtin::csv_log(folder.join("log.csv")),
        Builtin::ReduceOnPlateau(ReduceOnPlateau {
            monitor: Monitor::ValidationLoss,
            factor: 0.5,
            patience: 1,
            min_delta: 0.0,
        }),
        Builtin::checkpoint(folder.join("last.safetensors")),
    ]
}

/// Trains four epochs at once, and another time two and then, with what the checkpoint holds, two.
fn compare(settings: Build, fit: Fit) {
    let pictures = Pictures::new(9, 3);
    let data = pictures.open();
    let (whole, parted) = (pictures.path().join("whole"), pictures.path().join("parted"));
    let of = |folder: &Path| Fit { epochs: 4, callbacks: callbacks(folder), ..fit.clone() };

    let mut through = Model::new(small_net(), settings.clone()).unwrap();
    let uninterrupted = through.fit_with(&data, of(&whole), &mut Silent).unwrap();

    let mut first = Model::new(small_net(), settings).unwrap();
    let mut two_epochs = |epoch: &EpochMetrics| match epoch.epoch {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    first.fit_with(&data, of(&parted), &mut two_epochs).unwrap();
    assert_eq!(first.history().epochs.len(), 2);
    drop(first);
    let mut second = Model::load(parted.join("last.safetensors")).unwrap();
    let resumed = second.resume_with(&data, &mut Silent).unwrap();

    assert_eq!(numbers(&uninterrupted), numbers(&resumed), "{fit:?}");
    assert_eq!((uninterrupted.steps, uninterrupted.passes), (resumed.steps, resumed.passes));
    assert_eq!(through.parameters().unwrap(), second.parameters().unwrap());
    let states = [&mut through, &mut second].map(|m| m.network().optimizer_state().unwrap());
    assert_eq!(states[0], states[1]);
    let best =
        |folder: &Path| Model::load(folder.join("best.safetensors")).unwrap().parameters().unwrap();
    assert_eq!(best(&whole), best(&parted));
    let log = std::fs::read_to_string(parted.join("log.csv")).unwrap();
    assert_eq!(log.lines().count(), 5, "{log}");
    // Nothing is left to do.
    let mut events = Events::default();
    second.resume_with(&data, &mut events).unwrap();
    assert!(!events.0.iter().any(|event| matches!(event, Event::Step { .. })));
    assert_eq!(second.history(), resumed);
}

fn fit() -> Fit {
    Fit { batch_size: 4, learning_rate: Some(1e-4), seed: 3, ..Fit::default() }
}

#[test]
fn a_resumed_training_has_the_losses_of_the_uninterrupted_one_bit_by_bit() {
    compare(build(), Fit { schedule: Schedule::Cosine, ..fit() });
}

#[test]
fn so_has_one_with_a_fixed_number_of_steps_augmentation_and_momentum() {
    // Three batches of a pass of five are left over at the checkpoint.
    let stream = Fit {
        steps_per_epoch: Some(4),
        augmentation: vec![Augmentation::FLIP],
        optimizer: Optimizer::momentum(0.9),
        schedule: Schedule::Step { epochs: 1, factor: 0.5 },
        class_weights: Some(vec![1.0, 2.0]),
        ..fit()
    };
    compare(build(), stream);
}

#[test]
fn so_has_one_with_cached_features() {
    let settings = Build { frozen: true, ..build() };
    for steps_per_epoch in [None, Some(4)] {
        compare(settings.clone(), Fit { cache_features: true, steps_per_epoch, ..fit() });
    }
}

#[test]
fn an_early_stopped_training_stays_stopped() {
    let pictures = Pictures::new(4, 2);
    let data = pictures.open();
    let file = pictures.path().join("last.safetensors");
    let fit = Fit {
        epochs: 9,
        // A learning rate of 0 never improves.
        learning_rate: Some(0.0),
        callbacks: vec![
            Builtin::EarlyStopping(EarlyStopping {
                monitor: Monitor::ValidationLoss,
                ..EarlyStopping::new(1)
            }),
            Builtin::Checkpoint(Checkpoint { path: file.clone(), every: 5 }),
        ],
        ..fit()
    };
    let mut model = model_of(Vgg11 { batch_norm: false, ..small_net() });
    assert_eq!(model.fit_with(&data, fit, &mut Silent).unwrap().epochs.len(), 2);
    let mut loaded = Model::load(&file).unwrap();
    assert_eq!(loaded.resume_with(&data, &mut Silent).unwrap().epochs.len(), 2);
}

#[test]
fn a_model_that_was_never_trained_cannot_be_resumed() {
    let pictures = Pictures::new(2, 1);
    let mut model = small_model();
    let wrong = model.resume_with(&pictures.open(), &mut Silent).unwrap_err();
    assert!(wrong.to_string().contains("never trained"), "{wrong}");
}

#[test]
fn a_best_checkpoint_is_not_resumed_and_knows_its_own_value() {
    let pictures = Pictures::new(6, 3);
    let data = pictures.open();
    let file = pictures.path().join("best.safetensors");
    let with = |learning_rate| Fit {
        learning_rate: Some(learning_rate),
        callbacks: vec![Builtin::best_checkpoint(&file)],
        ..fit()
    };
    let mut model = small_model();
    model.fit_with(&data, with(1e-4), &mut Silent).unwrap();
    let best = model.history().epochs[0].val_accuracy.unwrap();

    let mut loaded = Model::load(&file).unwrap();
    let wrong = loaded.resume_with(&data, &mut Silent).unwrap_err().to_string();
    assert!(wrong.contains("without the optimiser's state"), "{wrong}");
    assert!(wrong.contains("`Builtin::checkpoint`") && wrong.contains("`fit`"), "{wrong}");
    // One that was saved again is no better.
    let again = pictures.path().join("again.safetensors");
    loaded.save(&again).unwrap();
    assert!(Model::load(&again).unwrap().resume_with(&data, &mut Silent).is_err());

    let mut events = Events::default();
    loaded.fit_with(&data, with(1e-4), &mut events).unwrap();
    let compared = events.0.iter().find_map(|event| match event {
        Event::Checkpoint { best, .. } => Some(*best),
        _ => None,
    });
    assert_eq!(compared, Some(best));
}

#[test]
fn a_best_value_whose_file_could_not_be_written_is_not_remembered() {
    let pictures = Pictures::new(4, 2);
    let data = pictures.open();
    let folder = pictures.path().join("not yet a folder");
    std::fs::write(&folder, "in the way").unwrap();
    let callbacks = vec![Builtin::best_checkpoint(folder.join("best.safetensors"))];
    let with = Fit { learning_rate: Some(0.0), callbacks, ..fit() };
    let mut model = small_model();
    model.fit_with(&data, with.clone(), &mut Silent).unwrap_err();
    std::fs::remove_file(&folder).unwrap();
    let mut events = Events::default();
    model.fit_with(&data, with, &mut events).unwrap();
    let compared = events.0.iter().find_map(|event| match event {
        Event::Checkpoint { best, .. } => Some(*best),
        _ => None,
    });
    assert_eq!(compared, Some(f64::NEG_INFINITY));
}

#[test]
fn other_pictures_and_other_classes_are_refused() {
    let pictures = Pictures::new(4, 2);
    let data = pictures.open();
    let file = pictures.path().join("last.safetensors");
    let two = Fit { epochs: 2, callbacks: vec![Builtin::checkpoint(&file)], ..fit() };
    let mut one_epoch = |_: &EpochMetrics| ControlFlow::Break(());
    small_model().fit_with(&data, two, &mut one_epoch).unwrap();

    let more = Pictures::new(5, 2).open();
    let wrong = Model::load(&file).unwrap().resume_with(&more, &mut Silent).unwrap_err();
    assert!(wrong.to_string().contains("10 for training and 4 for validation"), "{wrong}");

    let others = Pictures::new(4, 2);
    for part in ["train", "validation"] {
        for (class, name) in [("cat", "wolf"), ("dog", "fox")] {
            let folder = others.path().join(part);
            std::fs::rename(folder.join(class), folder.join(name)).unwrap();
        }
    }
    let others = others.open();
    let mut model = Model::load(&file).unwrap();
    let errors = [
        model.resume_with(&others, &mut Silent).map(|_| ()).unwrap_err(),
        model.evaluate(&others.validation()).map(|_| ()).unwrap_err(),
        model.predict(&others.validation()).map(|_| ()).unwrap_err(),
    ];
    for wrong in errors {
        let text = wrong.to_string();
        let both = [r#"["cat", "dog"]"#, r#"["fox", "wolf"]"#];
        assert!(both.iter().all(|classes| text.contains(classes)), "{text}");
    }
    // The pictures of before go on, wherever they lie by now.
    let moved = tempfile::tempdir().unwrap();
    for part in ["train", "validation"] {
        std::fs::rename(pictures.path().join(part), moved.path().join(part)).unwrap();
    }
    let data = benchbook::data::ImageFolder::open(moved.path()).unwrap();
    assert_eq!(model.resume_with(&data, &mut Silent).unwrap().epochs.len(), 2);
}

#[test]
fn a_model_saved_on_a_gpu_is_loaded_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let model = small_model();
    model.save(&file).unwrap();
    let (parameters, mut metadata) = safetensors::read(&file).unwrap();
    let header = metadata.get_mut("benchbook.model").unwrap();
    // The seventeenth GPU, which no machine of ours has.
    let on_a_gpu = header
        .replace(r#""device":null"#, r#""device":"cuda:16""#)
        .replace(r#""pinned_memory":false"#, r#""pinned_memory":true"#);
    assert!(on_a_gpu.contains("16") && on_a_gpu.contains(r#""pinned_memory":true"#), "{header}");
    *header = on_a_gpu;
    safetensors::write(&parameters, &file, metadata).unwrap();

    let wrong = Model::load(&file).unwrap_err().to_string();
    for words in [file.to_str().unwrap(), "cuda:16", "`Model::load_on("] {
        assert!(wrong.contains(words), "{wrong}");
    }
    let loaded = Model::load_on(&file, Device::Cpu, Compute::default()).unwrap();
    assert_eq!(loaded.backend().device, "cpu");
    assert_eq!(loaded.parameters().unwrap(), model.parameters().unwrap());
}

#[test]
fn features_of_a_frozen_base_are_shared_between_heads_and_only_with_the_same_base() {
    let pictures = Pictures::new(6, 2);
    let data = pictures.open();
    let settings = |seed| Build { frozen: true, seed, ..build() };
    let model = |seed| Model::new(small_net(), settings(seed)).unwrap();
    let fit = Fit { cache_features: true, ..fit() };
    let mut first = model(0);
    first.fit_with(&data, fit.clone(), &mut Silent).unwrap();
    let trained = |model: &mut Model| {
        let mut events = Events::default();
        let history = model.fit_with(&data, fit.clone(), &mut events).unwrap();
        let computed = events.0.iter().any(|event| matches!(event, Event::Features { .. }));
        (numbers(&history), computed)
    };
    let mut alone = model(0);
    let mut sharing = model(0);
    sharing.share_features(&first).unwrap();
    let ((expected, computed), (found, again)) = (trained(&mut alone), trained(&mut sharing));
    assert_eq!(expected, found);
    assert!(computed && !again);
    let mut other = model(9);
    let wrong = other.share_features(&first).unwrap_err();
    assert!(wrong.to_string().contains("other weights of the base"), "{wrong}");
}
