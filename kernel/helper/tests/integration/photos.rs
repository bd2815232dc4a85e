//! Real photos and ImageNet weights, where the machine has them.

use benchbook::model::{Vgg, Weights};
use benchbook::prelude::{Base, Fit, ImageFolder, Schedule};
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
    let net = Vgg {
        size: 128,
        weights: Weights::from_file(weights).unwrap(),
        base: Base::Frozen,
        threads: Some(2),
        ..Vgg::default()
    };
    let mut model = net.build().unwrap();
    let fit = Fit {
        epochs: 8,
        batch_size: 16,
        learning_rate: Some(1e-4),
        schedule: Schedule::Cosine,
        cache_features: true,
        ..Fit::default()
    };
    let history = model.fit_splits(&train, &validation, fit, &mut Silent).unwrap();
    assert!(history.epochs.iter().all(|epoch| epoch.loss.is_finite()));
    assert!(history.epochs[7].loss < history.epochs[0].loss, "{history:?}");
    // Chance is 0.5; 80 pictures at 0.75 are four standard deviations away from it.
    let accuracy = history.epochs[7].val_accuracy.unwrap();
    assert!(accuracy >= 0.75, "{accuracy}");
}
