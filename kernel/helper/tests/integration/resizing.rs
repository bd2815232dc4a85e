//! Which part of a picture a net sees, and how it is resized.

use crate::pictures::{Pictures, build, small_model, small_net};
use benchbook::data::{Crop, DEFAULT_MAX_PIXELS, Filter, ImageFolder, Picture, Resize};
use benchbook::image::{RgbImage, imageops};
use benchbook::job::{self, Job};
use benchbook::prelude::{Build, Fit, Model};
use benchbook::serde_json;
use benchbook::train::Silent;

/// The pictures of 48 × 40 pixels as they are once the middle was cut out and resized by `filter`.
fn prepared(pictures: &Pictures, filter: Filter) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = pictures.open();
    let all = [data.train(), data.validation(), data.test()];
    for path in all.iter().flat_map(|split| split.paths()) {
        let picture = Picture::open(path, DEFAULT_MAX_PIXELS).unwrap();
        assert_eq!((picture.width, picture.height), (48, 40));
        let whole = RgbImage::from_raw(48, 40, picture.rgb).unwrap();
        let rgb = imageops::crop_imm(&whole, 4, 0, 40, 40).to_image().into_raw();
        let middle = Picture { width: 40, height: 40, rgb };
        let small = Resize { height: 32, width: 32, filter }.apply(middle);
        let inside = path.strip_prefix(pictures.path()).unwrap().with_extension("png");
        let target = folder.path().join(inside);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        RgbImage::from_raw(32, 32, small.rgb).unwrap().save(target).unwrap();
    }
    folder
}

#[test]
fn crop_and_filter_of_a_net_hold_in_every_phase_and_come_back_from_its_file() {
    let pictures = Pictures::new(6, 3);
    let folder = prepared(&pictures, Filter::Nearest);
    let (data, small) = (pictures.open(), ImageFolder::open(folder.path()).unwrap());
    let fit = Fit { batch_size: 4, ..Fit::default() };
    let settings = Build { crop: Crop::AspectRatio, filter: Filter::Nearest, ..build() };
    let mut model = Model::new(small_net(), settings.clone()).unwrap();
    let mut plain = small_model();
    let seen = |model: &mut Model, data: &ImageFolder| {
        let evaluation = model.evaluate(&data.validation()).unwrap();
        let predictions = model.predict(&data.test()).unwrap().predictions;
        let probabilities: Vec<_> = predictions.into_iter().map(|one| one.probabilities).collect();
        (evaluation.loss, probabilities)
    };
    assert_ne!(seen(&mut model, &data), seen(&mut plain, &data), "the defaults see something else");
    let trained = model.fit_with(&data, fit.clone(), &mut Silent).unwrap().epochs.remove(0);
    let expected = plain.fit_with(&small, fit, &mut Silent).unwrap().epochs.remove(0);
    assert_eq!((trained.loss, trained.val_loss), (expected.loss, expected.val_loss));
    assert_eq!(seen(&mut model, &data), seen(&mut plain, &small));
    assert!(model.summary().0.contains("crop AspectRatio, filter Nearest"), "{}", model.summary());

    let path = pictures.path().join("model.safetensors");
    model.save(&path).unwrap();
    let mut loaded = Model::load(&path).unwrap();
    assert_eq!(
        (loaded.settings().crop, loaded.settings().filter),
        (settings.crop, settings.filter)
    );
    assert_eq!(seen(&mut loaded, &data), seen(&mut model, &data));
}

/// Headers and jobs of before have neither field, and what has the defaults is written as it was.
#[test]
fn settings_without_crop_and_filter_have_the_defaults() {
    for (settings, field) in [
        (serde_json::to_value(Build::default()).unwrap(), "filter"),
        (serde_json::to_value(Fit::default()).unwrap(), "loader_threads"),
    ] {
        assert!(settings.get("crop").is_none(), "{settings}");
        assert_eq!(settings.get(field).is_none(), field == "filter", "{settings}");
    }
    let build: Build = serde_json::from_str(r#"{"seed": 1}"#).unwrap();
    assert_eq!((build.crop, build.filter), (Crop::None, Filter::Bilinear));
}

#[test]
fn a_random_crop_of_the_training_leaves_the_validation_alone_and_is_in_the_record() {
    let pictures = Pictures::new(6, 3);
    let job: Job = serde_json::from_value(serde_json::json!({
        "data": pictures.path(),
        "net": {"architecture": "vgg11", "size": 32, "dropout": 0.0},
        "build": {"threads": 2, "filter": "Bicubic", "crop": {"Center": {"shorter": 36}}},
        "fit": {"epochs": 2, "batch_size": 4, "learning_rate": 0.0,
            "crop": {"RandomResized": {"scale": [0.2, 0.5], "ratio": [0.75, 1.333]}}},
    }))
    .unwrap();
    let cropped = job::run(&job, &mut Silent).unwrap();
    let fixed = Job { fit: Fit { crop: None, ..job.fit.clone() }, ..job.clone() };
    let fixed = job::run(&fixed, &mut Silent).unwrap();
    // Nothing is learned, so every epoch and every validation of one net on the same pixels is alike.
    let change =
        |record: &benchbook::prelude::Record| (record.epochs[0].loss - record.epochs[1].loss).abs();
    assert!(change(&fixed) < 1e-5, "{}", change(&fixed));
    assert!(change(&cropped) > 1e-4, "{}", change(&cropped));
    assert_eq!(cropped.epochs[0].val_loss, fixed.epochs[0].val_loss);
    assert_eq!(cropped.epochs[0].val_loss, cropped.epochs[1].val_loss);
    let words = "x / 255, RGB, crop Center(shorter 36), filter Bicubic";
    assert_eq!(cropped.net.preprocessing.as_deref(), Some(words));
    let training = cropped.training.unwrap().augmentation.unwrap();
    let crop = serde_json::json!({"RandomResized": {"scale": [0.2, 0.5], "ratio": [0.75, 1.333]}});
    assert_eq!(training, serde_json::json!([{ "crop": crop }]));
    assert_eq!(fixed.training.unwrap().augmentation, Some("none".into()));
}

#[test]
fn a_random_crop_of_the_net_and_a_crop_with_cached_features_are_refused() {
    let random = Build { crop: Crop::RANDOM_RESIZED, ..build() };
    let text = Model::new(small_net(), random).unwrap_err().to_string();
    assert!(text.contains("Build::crop") && text.contains("set `Fit::crop`"), "{text}");
    let pictures = Pictures::new(2, 1);
    let mut frozen = Model::new(small_net(), Build { frozen: true, ..build() }).unwrap();
    let fit = Fit { cache_features: true, crop: Some(Crop::RANDOM_RESIZED), ..Fit::default() };
    let error = frozen.fit_with(&pictures.open(), fit, &mut Silent);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("cache_features") && text.contains("RandomResized"), "{text}");
}
