//! Real photos and ImageNet weights, where the machine has them.

use benchbook::prelude::{Build, Fit, ImageFolder, Model, Schedule, Vgg16, Weights};
use benchbook::train::Silent;
use std::path::PathBuf;

#[test]
fn a_frozen_imagenet_base_learns_real_photos_in_a_few_steps() {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let (Some(data), Some(weights)) = (variable("BENCHBOOK_DATA"), variable("BENCHBOOK_WEIGHTS"))
    else {
        println!(
            "SKIPPED: BENCHBOOK_DATA (an image folder) and BENCHBOOK_WEIGHTS (.safetensors, .pth or .h5) are not set"
        );
        return;
    };
    let data = ImageFolder::open(data).unwrap();
    let (train, validation) = (data.train().subset(60, 1), data.validation().subset(40, 1));
    let settings = Build {
        weights: Weights::from_file(weights).unwrap(),
        frozen: true,
        threads: Some(2),
        ..Build::default()
    };
    let part = (train, validation);
    let net = Vgg16 { size: 128, ..Vgg16::new(data.classes()) };
    let mut model = Model::build(net, &part, settings).unwrap();
    let fit = Fit {
        epochs: 8,
        batch_size: 16,
        learning_rate: Some(1e-4),
        schedule: Schedule::Cosine,
        cache_features: true,
        ..Fit::default()
    };
    let history = model.fit_with(&part, fit, &mut Silent).unwrap();
    assert!(history.epochs.iter().all(|epoch| epoch.loss.is_finite()));
    assert!(history.epochs[7].loss < history.epochs[0].loss, "{history:?}");
    // Chance is 0.5; 80 pictures at 0.75 are four standard deviations away from it.
    let accuracy = history.epochs[7].val_accuracy.unwrap();
    assert!(accuracy >= 0.75, "{accuracy}");
}
