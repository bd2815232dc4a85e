//! Each is a clear error, and what was there before it still is.

use crate::pictures::{Pictures, small_net};
use benchbook::Error;
use benchbook::data::Preprocessing;
use benchbook::model::{Model, Vgg, Weights};
use benchbook::parameters::Parameters;
use benchbook::prelude::{Base, Callback, Fit, Run};
use benchbook::train::Silent;

#[test]
fn a_learning_rate_that_diverges_stops_with_epoch_and_step_and_keeps_the_history() {
    let pictures = Pictures::new(6, 2);
    let data = pictures.open();
    let mut model = Vgg { batch_norm: false, ..small_net() }.build().unwrap();
    let good = Fit { batch_size: 4, learning_rate: Some(1e-5), ..Fit::default() };
    model.fit_observed(&data, good.clone(), &mut Silent).unwrap();
    let before = model.history();
    let bad = Fit { learning_rate: Some(1e30), ..good.clone() };
    let error = model.fit_observed(&data, bad, &mut Silent).unwrap_err();
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
    let error = Vgg { size: 20, ..small_net() }.build().unwrap_err();
    assert!(error.to_string().contains("at least 32 × 32 pixels"), "{error}");
    let error = Vgg { dropout: 1.0, ..small_net() }.build().unwrap_err();
    assert!(error.to_string().contains("dropout: 1"), "{error}");
}

#[test]
fn weights_of_another_net_and_a_damaged_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let other = Vgg { depth: benchbook::prelude::Depth::Vgg13, ..small_net() }.build().unwrap();
    other.save(&path).unwrap();
    let weights = Weights::Safetensors(path.clone());
    let error = Vgg { weights: weights.clone(), ..small_net() }.build().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`features.") && text.contains("weights.safetensors"), "{text}");

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..1000]).unwrap();
    let error = Vgg { weights, ..small_net() }.build().unwrap_err();
    assert!(error.to_string().contains("expected a safetensors file"), "{error}");
}

#[test]
fn weights_whose_preprocessing_is_not_understood_are_refused_unless_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let build = |preprocessing| {
        Vgg { weights: Weights::Safetensors(path.clone()), preprocessing, ..small_net() }.build()
    };
    let saved = small_net().build().unwrap();
    saved.save(&path).unwrap();
    assert_eq!(build(None).unwrap().preprocessing(), &Preprocessing::Rescaled);
    let (parameters, metadata) = Parameters::read(&path).unwrap();
    let with = |key: &str, text: &str| {
        parameters.write(&path, [(key.to_owned(), text.to_owned())].into()).unwrap();
    };
    let header = &metadata["benchbook.model"];
    let newer = header.replace(r#""schema":1"#, r#""schema":2"#);
    let unknown = header.replace(r#""seed":0"#, r#""seed":0,"crop":"centre""#);
    for (key, text, found) in [
        ("benchbook.model", newer.as_str(), "schema 2"),
        ("benchbook.model", unknown.as_str(), "unknown field `crop`"),
        ("preprocessing", "x / 512, RGB", "x / 512, RGB"),
    ] {
        assert_ne!(text, header);
        with(key, text);
        let wrong = build(None).unwrap_err().to_string();
        for words in [found, "give the net `preprocessing", path.to_str().unwrap()] {
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
    assert!(wrong.contains("schema 2") && wrong.contains(path.to_str().unwrap()), "{wrong}");
    // As torchvision's own.
    with("format", "pt");
    assert_eq!(build(None).unwrap().preprocessing(), &Preprocessing::Torchvision);
}

#[test]
fn a_missing_folder_and_a_damaged_picture_are_named_and_the_model_stays() {
    let mut run = Run::new("test");
    let error = run.load("no/such/folder", &small_net(), 4).unwrap_err();
    assert!(error.to_string().contains("no/such/folder"), "{error}");

    let pictures = Pictures::new(6, 2);
    std::fs::write(pictures.path().join("train/dog/dog.3.jpg"), "not a picture").unwrap();
    let data = pictures.open();
    let mut model = small_net().build().unwrap();
    let error = model.fit_observed(&data, Fit::default(), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("dog.3.jpg"), "{error}");
    let skip = Fit { on_bad_image: benchbook::data::OnBadImage::Skip, ..Fit::default() };
    let history = model.fit_observed(&data, skip, &mut Silent).unwrap();
    assert_eq!(history.epochs[0].training_images, 11);
}

#[test]
fn settings_that_exclude_each_other_are_refused_in_words() {
    let pictures = Pictures::new(2, 1);
    let data = pictures.open();
    let mut model = small_net().build().unwrap();
    let cached = Fit { cache_features: true, ..Fit::default() };
    let error = model.fit_observed(&data, cached.clone(), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("trainable base"), "{error}");
    let mut frozen = Vgg { base: Base::Frozen, ..small_net() }.build().unwrap();
    let turned = Fit { augmentation: vec![benchbook::data::Augmentation::FLIP], ..cached };
    let error = frozen.fit_observed(&data, turned, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("augmentation"), "{error}");
    let stopping = Callback::early_stopping(3);
    let blind = Fit { validate: false, callbacks: vec![stopping], ..Fit::default() };
    let error = frozen.fit_observed(&data, blind, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("expected validate to be true"), "{error}");
    assert!(error.contains("EarlyStopping"), "{error}");
    let none = Fit { epochs: 0, ..Fit::default() };
    let error = frozen.fit_observed(&data, none, &mut Silent).unwrap_err();
    assert_eq!(error.to_string(), "expected epochs to be at least 1, found 0");
    let error = model.evaluate(&data.test()).unwrap_err();
    assert!(error.to_string().contains("labelled pictures in the split \"test\""), "{error}");
}
