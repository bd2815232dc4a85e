//! What a run leaves behind.

use crate::pictures::{Pictures, build, small_model, small_net};
use benchbook::job::{self, Job};
use benchbook::prelude::{Fit, Record, Rich, Run, Vgg11};
use benchbook::train::Silent;

#[test]
fn a_job_leaves_a_record_with_everything_a_comparison_checks() {
    let pictures = Pictures::new(6, 2);
    let path = pictures.path().join("results/record.json");
    let job = Job {
        name: "check".into(),
        net: small_net().into(),
        build: build(),
        fit: Fit { epochs: 2, batch_size: 5, seed: 3, ..Fit::default() },
        predictions: Some(pictures.path().join("predictions.csv")),
        record: Some(path.clone()),
        ..Job::new(pictures.path())
    };
    let record = job::run(&job, &mut Silent).unwrap();
    assert_eq!(Record::read(&path).unwrap(), record);
    assert!(job.predictions.unwrap().exists());

    assert_eq!((record.schema, record.name.as_str()), (3, "check"));
    let library = &record.library;
    assert_eq!((library.name.as_str(), library.device.as_deref()), ("LibTorch", Some("cpu")));
    assert_eq!((library.version.as_deref(), library.threads), (Some("2.11.0"), Some(2)));
    assert_eq!(library.precision.as_deref(), Some("float32"));
    assert_eq!(library.device_name, record.environment.cpu);
    let net = &record.net;
    assert_eq!((net.name.as_str(), net.classes), ("vgg11_bn", Some(2)));
    assert_eq!(
        (net.weights.as_deref(), net.base.as_deref()),
        (Some("random (He, seed 0)"), Some("trainable"))
    );
    assert_eq!(
        (net.input_size, net.preprocessing.as_deref()),
        (Some([32, 32]), Some("x / 255, RGB"))
    );
    assert_eq!((record.data.training, record.data.validation, record.data.test), (12, 4, 4));
    assert_eq!(record.data.classes, ["cat", "dog"]);
    assert_eq!((record.images_seen.training, record.images_seen.validation), (Some(24), Some(8)));
    assert_eq!((record.images_seen.test, record.steps), (Some(4), Some(6)));
    let training = record.training.as_ref().unwrap();
    assert_eq!((training.batch_size, training.seed), (Some(5), Some(3)));
    assert_eq!((training.learning_rate, training.cache_features), (Some(0.001), Some(false)));
    assert_eq!(training.augmentation, Some("none".into()));
    assert_eq!(training.schedule, Some("constant".into()));
    let build = &record.library.parts["build"];
    assert!(build.ends_with(" bytes"), "{build}");
    assert_eq!((record.data.skipped, record.data.skipped_sha256.is_some()), (0, true));
    assert_eq!(training.cache.as_deref(), Some("none"));
    assert_eq!(record.data.files_sha256.as_ref().map(String::len), Some(64));
    // VGG11 with batch normalisation: 9,225,984 learned in the base and 5,504 fixed (running means
    // and variances of 2,752 channels), 394,241 in the head at 32².
    assert_eq!((net.trainable_parameters, net.parameters), (Some(9_620_225), Some(9_625_729)));

    let phases = record.phases;
    for seconds in [phases.load, phases.build, phases.train, phases.test] {
        assert!(seconds.is_some_and(|seconds| seconds > 0.0), "{phases:?}");
    }
    let parts = record.train_parts;
    assert!(
        parts.training + parts.validation + parts.callbacks <= phases.train.unwrap(),
        "{parts:?}"
    );
    assert!(parts.input_wait.unwrap() <= parts.training, "{parts:?}");
    assert!(0.0 < parts.first_epoch && parts.first_epoch < parts.training, "{parts:?}");
    let load = record.load_parts;
    let whole = load.list.unwrap() + load.first_batch.unwrap() + load.copy.unwrap();
    assert!((whole / phases.load.unwrap() - 1.0).abs() < 1e-9, "{load:?}");
    let divided = load.decode.unwrap() + load.transform.unwrap();
    assert!((divided / load.first_batch.unwrap() - 1.0).abs() < 1e-9, "{load:?}");
    let build = record.build_parts;
    assert!(build.initialise.unwrap() + build.to_device.unwrap() <= phases.build.unwrap());
    assert!(build.first_step.is_some_and(|seconds| seconds < phases.train.unwrap()), "{build:?}");
    assert_eq!(record.clock_faults(), [""; 0]);
    let rate = 24.0 / parts.training;
    assert!((record.throughput.training.unwrap() / rate - 1.0).abs() < 1e-9);
    assert!(record.peak_memory.host_bytes.is_some_and(|bytes| bytes > 50_000_000));
    assert_eq!(record.metrics.val_accuracy, record.epochs[1].val_accuracy);
    assert_eq!(record.metrics.evaluations.len(), 1);
    assert!(record.environment.cpu.is_some());
    assert!(record.revision.starts_with(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_phase_chart_has_the_records_numbers() {
    let pictures = Pictures::new(2, 1);
    let mut run = Run::new("phases");
    let fit = Fit { batch_size: 4, ..Fit::default() };
    let (data, batch) = run.load(pictures.path(), &small_net(), &build(), &fit).unwrap();
    assert_eq!(batch.shape(), [4, 3, 32, 32]);
    let mut model = run.build(small_net(), &data, build()).unwrap();
    run.test(&mut model, &data.test()).unwrap();
    let record = run.record(&mut model).unwrap();
    let measured = record.phases.measured();
    assert_eq!(
        measured.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["load", "build", "test"]
    );

    let chart = record.phase_chart().unwrap();
    let bars = chart.data();
    assert_eq!(bars.series[0].name, "LibTorch", "its colour is the library's");
    let drawn = bars.categories.iter().map(String::as_str).zip(bars.series[0].values.clone());
    assert_eq!(drawn.collect::<Vec<_>>(), measured, "{bars:?}");

    let shown = record.bundle();
    assert!(
        shown.plain().contains(&format!("{:.3} s", record.phases.load.unwrap())),
        "{}",
        shown.plain()
    );
    assert!(shown.data["text/html"].as_str().unwrap().contains("<svg"));
}

#[test]
fn rates_come_after_a_training_and_leave_the_weights_alone() {
    let pictures = Pictures::new(4, 2);
    let data = pictures.open();
    let net = Vgg11 { batch_norm: false, ..small_net() };
    let mut run = Run::new("rates");
    let mut model = run.build(net, &data, build()).unwrap();
    let early = run.rates(&mut model, &data).unwrap_err().to_string();
    assert!(early.contains("run.train"), "{early}");
    let fit = Fit { batch_size: 4, ..Fit::default() };
    run.train_with(&mut model, &data, fit, &mut Silent).unwrap();
    let before = model.parameters().unwrap();
    let rates = run.rates(&mut model, &data).unwrap();
    assert_eq!(model.parameters().unwrap(), before);
    assert!(rates.limit().is_some(), "{rates}");
    let record = run.record(&mut model).unwrap();
    assert_eq!(record.rates, Some(rates));
    assert!((record.throughput.training.unwrap() / rates.real - 1.0).abs() < 1e-9);
}

#[test]
fn a_record_needs_a_net_and_a_newer_record_is_refused() {
    let pictures = Pictures::new(2, 1);
    let mut model = small_model();
    let error = Run::new("nothing").record(&mut model).unwrap_err();
    assert!(error.to_string().contains("run.build"), "{error}");
    let path = pictures.path().join("newer.json");
    std::fs::write(&path, r#"{"schema": 4}"#).unwrap();
    assert!(Record::read(&path).unwrap_err().to_string().contains("got 4"));
}

#[test]
fn a_job_file_needs_the_data_alone_and_a_misspelt_field_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.json");
    std::fs::write(&path, r#"{"data": "photos"}"#).unwrap();
    assert_eq!(Job::read(&path).unwrap(), Job::new("photos"));
    std::fs::write(
        &path,
        r#"{"data": "photos", "net": {"architecture": "vgg16", "head": "pytorch", "size": 160},
            "build": {"frozen": true, "weights": {"file": "vgg16.safetensors"}, "device": "cpu"},
            "fit": {"epochs": 3, "optimizer": {"name": "sgd", "momentum": 0.9},
            "callbacks": [{"name": "best_checkpoint", "path": "best.safetensors"}]}}"#,
    )
    .unwrap();
    let job = Job::read(&path).unwrap();
    assert_eq!(job.fit.optimizer, benchbook::prelude::Optimizer::momentum(0.9));
    assert_eq!(job.build.device, Some(benchbook::tch::Device::Cpu));
    std::fs::write(&path, r#"{"data": "photos", "fit": {"epoch": 3}}"#).unwrap();
    let error = Job::read(&path).unwrap_err().to_string();
    assert!(error.contains("`epoch`") && error.contains("job.json"), "{error}");
}
