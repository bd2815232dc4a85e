//! What `generate` writes, and when it refuses to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use benchbook_drawings::{
    Animal, CHECKSUM_FILE, DESCRIPTION_FILE, Description, Existing, Frame, Picture, Plan, Split,
    estimate_bytes, file_name, generate,
};
use tempfile::TempDir;

const SMALL: Plan =
    Plan { train: 12, validation: 5, test: 3, classes: 2, seed: 7, frame: Frame::Square(48) };

/// All files below a folder with their contents, by their paths in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

/// The images of a plan, without the description.
fn generated(plan: &Plan) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    generate(plan, &out, Existing::Keep, |_| {}).unwrap();
    let mut files = files(&out);
    for beside in [DESCRIPTION_FILE, CHECKSUM_FILE] {
        files.remove(Path::new(beside)).unwrap();
    }
    files
}

fn count(files: &BTreeMap<PathBuf, Vec<u8>>, folder: &str) -> usize {
    files.keys().filter(|path| path.parent() == Some(Path::new(folder))).count()
}

#[test]
fn folders_hold_as_many_pictures_as_asked_for() {
    let files = generated(&SMALL);
    assert_eq!(files.len(), 20);
    assert_eq!(count(&files, "train/cat"), 6);
    assert_eq!(count(&files, "train/dog"), 6);
    assert_eq!(count(&files, "validation/cat"), 3);
    assert_eq!(count(&files, "validation/dog"), 2);
    assert_eq!(count(&files, "test"), 3);
    assert!(files.contains_key(Path::new("train/cat/cat.00005.jpg")));
    assert!(files.contains_key(Path::new("train/dog/dog.00005.jpg")));
    assert!(files.contains_key(Path::new("test/00002.jpg")));
}

#[test]
fn every_picture_is_a_jpeg_file_of_the_size_asked_for() {
    for (path, bytes) in generated(&SMALL) {
        let picture =
            image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg).unwrap();
        assert_eq!((picture.width(), picture.height()), (48, 48), "{}", path.display());
    }
}

#[test]
fn photo_like_pictures_vary_in_proportion_and_keep_the_longer_side() {
    let mut upright = 0;
    let mut lying = 0;
    for index in 0..20 {
        let picture =
            Picture { seed: 1, split: Split::Train, index, classes: 2 }.draw(Frame::Photo(64));
        let (wide, high) = picture.dimensions();
        assert_eq!(wide.max(high), 64);
        assert!(wide.min(high) >= 32);
        upright += u32::from(wide < high);
        lying += u32::from(wide > high);
    }
    assert!(upright >= 4 && lying >= 4, "{upright} upright, {lying} lying");
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_number_of_threads() {
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| generated(&SMALL))
    };
    let alone = with_threads(1);
    assert!(alone == with_threads(4));
    assert!(alone == generated(&SMALL));
}

#[test]
fn a_larger_count_starts_with_the_same_pictures() {
    let larger = generated(&Plan { train: 20, validation: 9, test: 8, ..SMALL });
    for (path, bytes) in generated(&SMALL) {
        assert!(larger[&path] == bytes, "{} differs", path.display());
    }
}

#[test]
fn other_seeds_and_other_parts_give_other_pictures() {
    let ours = generated(&SMALL);
    let theirs = generated(&Plan { seed: 8, ..SMALL });
    assert!(ours.iter().all(|(path, bytes)| theirs[path] != *bytes));
    let mut all: Vec<&Vec<u8>> = ours.values().chain(theirs.values()).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
}

#[test]
fn a_picture_shows_the_same_at_any_size() {
    let picture = Picture { seed: 3, split: Split::Validation, index: 4, classes: 2 };
    let large = picture.draw(Frame::Square(256));
    let small = picture.draw(Frame::Square(64));
    let shrunk = image::imageops::resize(&large, 64, 64, image::imageops::FilterType::Triangle);
    let difference: f64 = small
        .as_raw()
        .iter()
        .zip(shrunk.as_raw())
        .map(|(a, b)| f64::from(a.abs_diff(*b)))
        .sum::<f64>()
        / small.as_raw().len() as f64;
    // Another image of the same seed differs by 50 and more.
    assert!(difference < 8.0, "mean difference {difference}");
}

#[test]
fn test_pictures_show_both_animals_in_no_fixed_order() {
    let dogs = (0..200)
        .map(|index| {
            Picture { seed: 1, split: Split::Test, index, classes: 2 }.animal() == Animal::Dog
        })
        .collect::<Vec<_>>();
    let share = dogs.iter().filter(|dog| **dog).count();
    assert!((70..=130).contains(&share), "{share} dogs of 200");
    assert!(dogs.windows(2).any(|pair| pair[0] == pair[1]));
}

#[test]
fn the_description_says_how_the_pictures_were_made() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("new/drawings");
    let written = generate(&SMALL, &out, Existing::Keep, |_| {}).unwrap();
    let text = fs::read_to_string(out.join(DESCRIPTION_FILE)).unwrap();
    let description: Description = serde_json::from_str(&text).unwrap();
    assert_eq!((description.train, description.validation, description.test), (12, 5, 3));
    assert_eq!((description.seed, description.side), (7, 48));
    assert_eq!(description.frame, "square");
    assert_eq!(description.classes, ["cat", "dog"]);
    assert_eq!(description.licence, "CC0-1.0");

    let pictures = files(&out);
    let bytes: usize = pictures
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "jpg"))
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert_eq!((written.pictures, written.bytes), (20, bytes as u64));
    // All twenty images are in the sample from which the size is estimated.
    assert_eq!(estimate_bytes(&SMALL).unwrap(), bytes as u64);
    // Nothing is left of the folder in which they were made.
    assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn progress_counts_every_picture_once() {
    let folder = TempDir::new().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    generate(&SMALL, &folder.path().join("out"), Existing::Keep, |ready| {
        seen.lock().unwrap().push(ready);
    })
    .unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

#[test]
fn an_empty_folder_is_filled() {
    let folder = TempDir::new().unwrap();
    generate(&SMALL, folder.path(), Existing::Keep, |_| {}).unwrap();
    assert!(
        folder
            .path()
            .join(file_name(&Picture { seed: 7, split: Split::Test, index: 0, classes: 2 }))
            .exists()
    );
}

#[test]
fn a_folder_in_use_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let refused = generate(&SMALL, folder.path(), Existing::Keep, |_| {}).unwrap_err();
    assert!(refused.to_string().contains("not empty (it holds 1 entries)"), "{refused}");
    assert!(refused.to_string().contains(&folder.path().display().to_string()));

    let refused = generate(&SMALL, folder.path(), Existing::Replace, |_| {}).unwrap_err();
    assert!(refused.to_string().contains("so it is not replaced"), "{refused}");
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn an_earlier_output_is_replaced_only_on_request() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    generate(&SMALL, &out, Existing::Keep, |_| {}).unwrap();
    let before = files(&out);
    let fewer = Plan { train: 2, validation: 2, test: 0, ..SMALL };
    assert!(generate(&fewer, &out, Existing::Keep, |_| {}).is_err());
    assert!(files(&out) == before);

    generate(&fewer, &out, Existing::Replace, |_| {}).unwrap();
    assert_eq!(files(&out).len(), 6);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn sizes_out_of_range_are_refused() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    for side in [0, 15, 4097] {
        let plan = Plan { frame: Frame::Square(side), ..SMALL };
        let refused = generate(&plan, &out, Existing::Keep, |_| {}).unwrap_err();
        let expected = format!("longer side must be 16 to 4096 pixels (got {side})");
        assert_eq!(refused.to_string(), expected);
    }
    assert!(!out.exists());
}

/// The means of an image's quarters, taken from files that the generator wrote when it knew cats and
/// dogs only: the same seed still gives the same drawings.
#[test]
fn cats_and_dogs_are_those_of_before() {
    let before: [(Split, u32, [u8; 12]); 4] = [
        (Split::Train, 0, [159, 163, 141, 179, 184, 160, 115, 113, 92, 134, 135, 114]),
        (Split::Train, 1, [142, 68, 99, 160, 104, 123, 137, 72, 100, 194, 163, 165]),
        (Split::Validation, 4, [75, 69, 67, 66, 61, 60, 98, 96, 85, 75, 71, 67]),
        (Split::Test, 2, [146, 137, 109, 128, 124, 107, 127, 112, 83, 115, 102, 90]),
    ];
    for (split, index, expected) in before {
        let picture = Picture { seed: 1, split, index, classes: 2 }.draw(Frame::Square(64));
        let found = image::imageops::thumbnail(&picture, 2, 2).into_raw();
        // The files were compressed, which moves a mean by less than 2.
        let alike = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2);
        assert!(alike, "{split:?} {index}: {found:?}");
    }
}

#[test]
fn three_and_ten_classes_have_a_folder_each_and_as_many_images() {
    for (classes, names) in [
        (3, &["cat", "dog", "rabbit"][..]),
        (
            10,
            &[
                "bear",
                "bird",
                "butterfly",
                "cat",
                "dog",
                "fish",
                "rabbit",
                "snail",
                "snake",
                "turtle",
            ],
        ),
    ] {
        let plan = Plan { train: 30, validation: 20, test: 3, classes, ..SMALL };
        let files = generated(&plan);
        assert_eq!(files.len(), 53);
        let folders: std::collections::BTreeSet<_> =
            files.keys().filter_map(|path| path.parent()).map(Path::to_path_buf).collect();
        assert_eq!(folders.len(), 2 * classes + 1, "{folders:?}");
        for name in names {
            assert_eq!(count(&files, &format!("train/{name}")), 30 / classes, "{name}");
            let least = 20 / classes;
            let found = count(&files, &format!("validation/{name}"));
            assert!((least..=least + 1).contains(&found), "{name}: {found}");
            let first = format!("train/{name}/{name}.00000.jpg");
            assert!(files.contains_key(Path::new(&first)), "{first}");
        }
    }
}

#[test]
fn the_description_names_the_classes() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let plan = Plan { train: 3, validation: 3, test: 0, classes: 3, ..SMALL };
    generate(&plan, &out, Existing::Keep, |_| {}).unwrap();
    let text = fs::read_to_string(out.join(DESCRIPTION_FILE)).unwrap();
    let description: Description = serde_json::from_str(&text).unwrap();
    assert_eq!(description.classes, ["cat", "dog", "rabbit"]);
}

#[test]
fn the_test_part_shows_all_classes() {
    let mut counts = std::collections::BTreeMap::new();
    for index in 0..400 {
        let picture = Picture { seed: 2, split: Split::Test, index, classes: 10 };
        *counts.entry(picture.animal().name()).or_insert(0) += 1;
    }
    // 40 of each are expected, with a standard deviation of 6.
    assert_eq!(counts.len(), 10);
    assert!(counts.values().all(|count| (16..=64).contains(count)), "{counts:?}");
}

#[test]
fn other_numbers_of_classes_are_refused() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    for classes in [0, 1, 11] {
        let plan = Plan { classes, ..SMALL };
        let refused = generate(&plan, &out, Existing::Keep, |_| {}).unwrap_err();
        let expected = format!("number of classes must be 2 to 10 (got {classes})");
        assert_eq!(refused.to_string(), expected);
        assert!(estimate_bytes(&plan).is_err());
    }
    assert!(!out.exists());
}

/// Where an image has edges, in a grid of cells relative to where most of them are.
fn outline(picture: &image::RgbImage) -> Vec<f64> {
    const CELLS: i32 = 10;
    let grey = image::imageops::grayscale(picture);
    let (wide, high) = grey.dimensions();
    let at = |x: u32, y: u32| f64::from(grey.get_pixel(x, y).0[0]);
    let mut edges = Vec::new();
    for y in 0..high - 1 {
        for x in 0..wide - 1 {
            let strength = (at(x + 1, y) - at(x, y)).abs() + (at(x, y + 1) - at(x, y)).abs();
            if strength > 40.0 {
                edges.push((f64::from(x), f64::from(y)));
            }
        }
    }
    let count = edges.len().max(1) as f64;
    let mean = |value: &dyn Fn(&(f64, f64)) -> f64| edges.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(&|edge| edge.0), mean(&|edge| edge.1));
    let spread = mean(&|edge| (edge.0 - x).hypot(edge.1 - y)).max(1.0);
    let mut cells = vec![0.0; (CELLS * CELLS) as usize];
    for edge in &edges {
        let cell = |along: f64| (along / spread * 2.0).floor() as i32 + CELLS / 2;
        let (column, row) = (cell(edge.0 - x), cell(edge.1 - y));
        if (0..CELLS).contains(&column) && (0..CELLS).contains(&row) {
            cells[(row * CELLS + column) as usize] += 1.0 / count;
        }
    }
    cells
}

/// Even the nearest mean outline, which knows neither parts nor poses, tells ten classes apart far
/// better than chance (0.1).
#[test]
fn ten_classes_have_outlines_of_their_own() {
    use rayon::prelude::*;
    let outlines = |split, count: u32| -> Vec<(Animal, Vec<f64>)> {
        (0..count)
            .into_par_iter()
            .map(|index| {
                let picture = Picture { seed: 4, split, index, classes: 10 };
                (picture.animal(), outline(&picture.draw(Frame::Square(64))))
            })
            .collect()
    };
    let train = outlines(Split::Train, 400);
    let means: Vec<(Animal, Vec<f64>)> = Animal::ALL
        .into_iter()
        .map(|animal| {
            let own: Vec<_> = train.iter().filter(|sample| sample.0 == animal).collect();
            let mean = |cell: usize| own.iter().map(|o| o.1[cell]).sum::<f64>() / own.len() as f64;
            (animal, (0..own[0].1.len()).map(mean).collect())
        })
        .collect();
    let validation = outlines(Split::Validation, 200);
    let right = validation.iter().filter(|(animal, outline)| {
        let distance = |mean: &Vec<f64>| -> f64 {
            mean.iter().zip(outline).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let nearest = means.iter().min_by(|a, b| distance(&a.1).total_cmp(&distance(&b.1)));
        nearest.is_some_and(|(nearest, _)| nearest == animal)
    });
    let accuracy = right.count() as f64 / validation.len() as f64;
    println!("nearest mean outline: {accuracy:.3}");
    assert!(accuracy > 0.3, "{accuracy}");
}
