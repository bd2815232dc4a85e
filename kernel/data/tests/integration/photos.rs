//! Real photos, where `BENCHBOOK_DATA` names an image folder.

use benchbook_data::{Augmentation, ImageFolder, Loader, LoaderConfig, Preprocessing};
use benchbook_display::Rich;

fn folder() -> Option<ImageFolder> {
    let Some(path) = std::env::var_os("BENCHBOOK_DATA") else {
        println!("SKIPPED: BENCHBOOK_DATA does not name an image folder");
        return None;
    };
    Some(ImageFolder::open(path).unwrap())
}

#[test]
fn photos_of_every_split_are_usable() {
    let Some(folder) = folder() else { return };
    for split in [folder.train(), folder.validation(), folder.test()] {
        let errors = split.subset(25, 0).verify();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn photos_load_alike_on_one_thread_and_on_four() {
    let Some(folder) = folder() else { return };
    let split = folder.train().subset(20, 1);
    let load = |threads| {
        let config = LoaderConfig {
            height: 64,
            width: 64,
            batch_size: 16,
            threads,
            preprocessing: Preprocessing::Torchvision,
            augmentation: vec![Augmentation::FLIP, Augmentation::ROTATION_180],
            ..LoaderConfig::default()
        };
        Loader::new(&split, config).unwrap().epoch(3).collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert!(load(1) == load(4));
}

/// Photos normalised by the statistics of ImageNet are centred near 0 with a deviation near 1.
#[test]
fn normalised_photos_have_plausible_statistics() {
    let Some(folder) = folder() else { return };
    let split = folder.train().subset(50, 1);
    let config =
        LoaderConfig { preprocessing: Preprocessing::Torchvision, ..LoaderConfig::default() };
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for batch in Loader::new(&split, config).unwrap().epoch(0) {
        for value in batch.unwrap().values {
            sum += f64::from(value);
            squares += f64::from(value).powi(2);
            count += 1.0;
        }
    }
    let mean = sum / count;
    let deviation = (squares / count - mean * mean).sqrt();
    assert!(mean.abs() < 0.5 && (0.8..1.5).contains(&deviation), "{mean} {deviation}");
}

#[test]
fn photos_show_as_a_grid() {
    let Some(folder) = folder() else { return };
    let bundle = folder.bundle();
    let html = bundle.data["text/html"].as_str().unwrap();
    assert_eq!(html.matches("<img ").count(), 12);
    assert!(html.len() < 400_000, "{} bytes", html.len());
}
