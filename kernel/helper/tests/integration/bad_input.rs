//! Each is a clear error, and what was there before it still is.

use crate::pictures::{Pictures, build, model_of, small_model, small_net};
use benchbook::Error;
use benchbook::data::{Cache, FolderOptions, OnBadImage, Preprocessing};
use benchbook::model::{Model, Weights};
use benchbook::prelude::{Build, Builtin, Fit, Run, Vgg11, Vgg13};
use benchbook::train::{Event, Events, Silent};
use benchbook::weights::safetensors;

#[test]
fn a_learning_rate_that_diverges_stops_with_epoch_and_step_and_keeps_the_history() {
    let pictures = Pictures::new(6, 2);
    let data = pictures.open();
    let mut model = model_of(Vgg11 { batch_norm: false, ..small_net() });
    let good = Fit { batch_size: 4, learning_rate: Some(1e-5), ..Fit::default() };
    model.fit_with(&data, good.clone(), &mut Silent).unwrap();
    let before = model.history();
    let bad = Fit { learning_rate: Some(1e30), ..good.clone() };
    let error = model.fit_with(&data, bad, &mut Silent).unwrap_err();
    let Error::NotFinite { epoch: 2, step, .. } = error else { panic!("{error}") };
    assert!(step >= 2, "the first step still has finite weights");
    let text = error.to_string();
    assert!(
        text.contains(&format!("epoch 2 at step {step}")) && text.contains("1000000000"),
        "{text}"
    );
    assert_eq!(model.history().epochs, before.epochs);
}

#[test]
fn a_net_that_cannot_be_is_refused_before_anything_is_built() {
    let refused = |net: Vgg11| Model::new(net, build()).unwrap_err().to_string();
    let error = refused(Vgg11 { size: 20, ..small_net() });
    assert!(error.contains("`features.28`") && error.contains("at least 2 × 2"), "{error}");
    let error = refused(Vgg11 { dropout: 1.0, ..small_net() });
    assert!(error.contains("`dropout_1`") && error.contains("got 1"), "{error}");
}

#[test]
fn weights_of_another_net_and_a_damaged_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let other = Vgg13 { size: 32, batch_norm: true, ..Vgg13::new(2) };
    Model::new(other, build()).unwrap().save(&path).unwrap();
    let weights = Weights::File(path.clone());
    let of = |weights| Model::new(small_net(), Build { weights, ..build() });
    let text = of(weights.clone()).unwrap_err().to_string();
    assert!(text.contains("`features.") && text.contains("weights.safetensors"), "{text}");

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..1000]).unwrap();
    let error = of(weights).unwrap_err().to_string();
    assert!(error.contains("safetensors") && error.contains("weights.safetensors"), "{error}");
}

#[test]
fn weights_whose_preprocessing_is_not_understood_are_refused_unless_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let build = |preprocessing| {
        let weights = Weights::File(path.clone());
        Model::new(small_net(), Build { weights, preprocessing, ..build() })
    };
    let saved = small_model();
    saved.save(&path).unwrap();
    assert_eq!(build(None).unwrap().preprocessing(), &Preprocessing::Rescaled);
    let (parameters, metadata) = safetensors::read(&path).unwrap();
    let with = |key: &str, text: &str| {
        let metadata = [(key.to_owned(), text.to_owned())].into();
        safetensors::write(&parameters, &path, metadata).unwrap();
    };
    let header = &metadata["benchbook.model"];
    let newer = header.replace(r#""schema":2"#, r#""schema":3"#);
    let unknown = header.replace(r#""seed":0"#, r#""seed":0,"pooling":"mean""#);
    for (key, text, found) in [
        ("benchbook.model", newer.as_str(), "schema 3"),
        ("benchbook.model", unknown.as_str(), "unknown field `pooling`"),
        ("preprocessing", "x / 512, RGB", "x / 512, RGB"),
    ] {
        assert_ne!(text, header);
        with(key, text);
        let wrong = build(None).unwrap_err().to_string();
        for words in [found, "`Build::preprocessing`", path.to_str().unwrap()] {
            assert!(wrong.contains(words), "{wrong}");
        }
        let given = build(Some(Preprocessing::Rescaled)).unwrap();
        assert_eq!(given.parameters().unwrap(), saved.parameters().unwrap());
    }
    for (words, expected) in [
        ("x / 255, RGB", Preprocessing::Rescaled),
        ("(x / 255 - mean) / std of ImageNet, RGB", Preprocessing::Torchvision),
        ("RGB->BGR, minus (103.939,116.779,123.68)", Preprocessing::Caffe),
    ] {
        with("preprocessing", words);
        assert_eq!(build(None).unwrap().preprocessing(), &expected, "{words}");
    }
    with("benchbook.model", &newer);
    let wrong = Model::load(&path).unwrap_err().to_string();
    assert!(wrong.contains("schema 3") && wrong.contains(path.to_str().unwrap()), "{wrong}");
    // As torchvision's own.
    with("format", "pt");
    assert_eq!(build(None).unwrap().preprocessing(), &Preprocessing::Torchvision);
}

#[test]
fn a_missing_folder_and_a_damaged_picture_are_named_and_the_model_stays() {
    let mut run = Run::new("test");
    let error = run.load("no/such/folder", &small_net(), &build(), &Fit::default()).unwrap_err();
    assert!(error.to_string().contains("no/such/folder"), "{error}");

    let pictures = Pictures::new(6, 2);
    std::fs::write(pictures.path().join("train/dog/dog.3.jpg"), "not a picture").unwrap();
    let data = pictures.open();
    let mut model = small_model();
    let error = model.fit_with(&data, Fit::default(), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("dog.3.jpg"), "{error}");
}

#[test]
fn what_is_left_out_is_left_out_in_every_phase_told_once_and_kept_in_the_record() {
    let pictures = Pictures::new(6, 2);
    let damaged = ["train/dog/dog.0.jpg", "train/cat/cat.3.jpg", "validation/dog/dog.1.jpg"];
    for name in damaged {
        assert!(pictures.path().join(name).exists(), "{name}");
        std::fs::write(pictures.path().join(name), "not a picture").unwrap();
    }
    let mut run = Run::new("test");
    let skip = OnBadImage::Skip;
    // A first batch of all pictures, so that bad ones are among them.
    let first = Fit { batch_size: 12, on_bad_image: skip, ..Fit::default() };
    let options = FolderOptions::default();
    let (data, batch) =
        run.load_with(pictures.path(), options, &small_net(), &build(), &first).unwrap();
    assert_eq!(batch.len(), 10);
    let mut model = run.build(small_net(), &data, build()).unwrap();
    let mut events = Events::default();
    let fit = Fit { epochs: 2, on_bad_image: skip, cache: Cache::Memory, ..Fit::default() };
    let history = run.train_with(&mut model, &data, fit, &mut events).unwrap();
    assert_eq!((history.epochs[1].training_images, history.epochs[1].validation_images), (10, 3));
    let notes = events.0.iter().filter_map(|event| match event {
        Event::Note(text) => Some(text.as_str()),
        _ => None,
    });
    let notes: Vec<&str> = notes.collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
    // 16 pictures of 3 × 32 × 32 bytes.
    assert_eq!(notes[0], "Decoded images are cached in up to 1 MB of memory");
    assert!(notes[1].starts_with("skipped 2 files of train: "), "{notes:?}");
    assert!(notes[1].contains("cat.3.jpg: expected the content of a JPEG"), "{notes:?}");
    assert!(notes[2].starts_with("skipped 1 file of validation: "), "{notes:?}");
    assert_eq!(run.evaluate(&mut model, &data.validation()).unwrap().images, 3);
    let predicted = run.test(&mut model, &data.train()).unwrap().predictions;
    assert_eq!(predicted.len(), 10);
    for prediction in &predicted {
        let path = std::path::Path::new(&prediction.name);
        let class = path.parent().unwrap().file_name().unwrap();
        assert_eq!(data.class_names()[prediction.truth.unwrap()].as_str(), class);
        assert!(damaged.iter().all(|name| !path.ends_with(name)));
    }
    let record = run.record(&mut model).unwrap();
    assert_eq!((record.data.skipped, record.data.skipped_files.len()), (3, 3));
    let first = &record.data.skipped_files[0];
    assert!(first.starts_with("cat/cat.3.jpg: expected the content"), "{first}");
    assert!(record.table().unwrap().to_text().contains("3 files: cat/cat.3.jpg"));
}

#[test]
fn settings_that_exclude_each_other_are_refused_in_words() {
    let pictures = Pictures::new(2, 1);
    let data = pictures.open();
    let mut model = small_model();
    let cached = Fit { cache_features: true, ..Fit::default() };
    let error = model.fit_with(&data, cached.clone(), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("trainable base"), "{error}");
    let mut frozen = Model::new(small_net(), Build { frozen: true, ..build() }).unwrap();
    let turned = Fit { augmentation: vec![benchbook::data::Augmentation::FLIP], ..cached };
    let error = frozen.fit_with(&data, turned, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("augmentation"), "{error}");
    let stopping = Builtin::early_stopping(3);
    let blind = Fit { validate: false, callbacks: vec![stopping], ..Fit::default() };
    let error = frozen.fit_with(&data, blind, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("`validate` must be true"), "{error}");
    assert!(error.contains("EarlyStopping"), "{error}");
    let none = Fit { epochs: 0, ..Fit::default() };
    let error = frozen.fit_with(&data, none, &mut Silent).unwrap_err();
    assert_eq!(error.to_string(), "`epochs` must be at least 1 (got 0)");
    let error = model.evaluate(&data.test()).unwrap_err();
    assert!(
        error.to_string().contains("every image of the split \"test\" needs a class"),
        "{error}"
    );
}
