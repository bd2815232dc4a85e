//! Colour, brightness and coarse layout must not tell cats from dogs.
//!
//! A network that reads shapes can learn these drawings; logistic regression on mean colours or on tiny
//! thumbnails has no eye for shape, and what it reaches is what the drawings give away besides.

use std::path::Path;

use benchbook_drawings::{Animal, Existing, Plan, generate};
use image::imageops::{FilterType, resize};
use rayon::prelude::*;

use crate::logistic::{Samples, best_accuracy};

/// Accuracy on the validation images that no such classifier may reach.
const BOUND: f64 = 0.70;

/// Reads all images of a labelled folder, each as the pixels of a `side` × `side` thumbnail.
fn thumbnails(folder: &Path, side: u32, grey: bool) -> Samples {
    let mut files = Vec::new();
    for animal in Animal::CATS_AND_DOGS {
        let class = folder.join(animal.name());
        for entry in std::fs::read_dir(&class).expect("the class folder is there") {
            files.push((entry.expect("the entry can be read").path(), animal == Animal::Dog));
        }
    }
    files.sort();
    let row = |path: &Path| -> Vec<f64> {
        let picture = image::open(path).expect("the image is a JPEG file").to_rgb8();
        let small = resize(&picture, side, side, FilterType::Triangle);
        let bytes = if grey {
            image::DynamicImage::ImageRgb8(small).to_luma8().into_raw()
        } else {
            small.into_raw()
        };
        bytes.into_iter().map(f64::from).collect()
    };
    Samples {
        rows: files.par_iter().map(|(path, _)| row(path)).collect(),
        dogs: files.iter().map(|(_, dog)| *dog).collect(),
    }
}

fn check(train: u32, validation: u32, seeds: &[u64]) {
    for seed in seeds {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("drawings");
        let plan = Plan { train, validation, test: 0, seed: *seed, ..Plan::default() };
        generate(&plan, &out, Existing::Keep, |_| {}).expect("the images are written");
        for (name, side, grey) in
            [("mean colour", 1, false), ("8x8 colour", 8, false), ("8x8 grey", 8, true)]
        {
            let samples =
                ["train", "validation"].map(|part| thumbnails(&out.join(part), side, grey));
            assert_eq!(samples[0].rows.len(), train as usize);
            assert_eq!(samples[1].rows.len(), validation as usize);
            let accuracy = best_accuracy(&samples[0], &samples[1]);
            println!("seed {seed}, {train} images, {name}: {accuracy:.3}");
            assert!(accuracy < BOUND, "{name} reaches {accuracy:.3} with seed {seed}");
        }
    }
}

#[test]
fn mean_colour_and_thumbnails_do_not_tell_cats_from_dogs() {
    check(1000, 400, &[1]);
}

#[test]
fn nor_do_they_with_four_thousand_pictures_and_three_seeds() {
    if std::env::var_os("BENCHBOOK_FULL").is_none() {
        println!("SKIPPED: set BENCHBOOK_FULL=1 to check 4,000 images of three seeds");
        return;
    }
    check(4000, 1000, &[1, 2, 3]);
}
