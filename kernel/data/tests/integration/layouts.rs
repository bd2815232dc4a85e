//! Class folders as archives unpack them and as systems leave them, with any number of classes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use benchbook_data::{
    Batch, DataError, FolderOptions, ImageFolder, Layout, Loader, LoaderConfig, OnBadImage, Split,
};
use benchbook_display::Rich;
use tempfile::TempDir;

use crate::pictures::{below, bytes, gradient, jpeg, save};

fn divided(root: &Path, fraction: f64, seed: u64) -> ImageFolder {
    let options = FolderOptions { validation_fraction: Some(fraction), seed };
    ImageFolder::open_with(root, options).unwrap()
}

fn refused(root: &Path) -> (DataError, String) {
    let error = ImageFolder::open(root).unwrap_err();
    let text = error.to_string();
    (error, text)
}

fn small() -> LoaderConfig {
    LoaderConfig { height: 16, width: 16, batch_size: 8, threads: 2, ..LoaderConfig::default() }
}

/// How often each label comes in a pass.
fn labels(split: &Split, config: LoaderConfig) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for batch in Loader::new(split, config).unwrap().epoch(0) {
        let batch: Batch = batch.unwrap();
        assert_eq!(batch.shape(), [batch.len(), 3, 16, 16]);
        batch.labels.iter().for_each(|label| *counts.entry(*label).or_insert(0) += 1);
    }
    counts
}

/// Class folders with so many JPEG files each.
fn classes(root: &Path, counts: &[(&str, usize)]) {
    for (class, count) in counts {
        for number in 0..*count {
            jpeg(&root.join(format!("{class}/{number}.jpg")), (number * 7 % 256) as u8);
        }
    }
}

/// As Microsoft's zip of PetImages unpacks: capitals, no `train`, a Thumbs.db in each folder, a file
/// without bytes and one that ends after its header.
fn pets() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pillow");
    for (class, source) in [("Cat", "444.jpg"), ("Dog", "420.jpg")] {
        let content = fs::read(fixtures.join(source)).unwrap();
        for number in 0..30 {
            bytes(&below(&root, &format!("PetImages/{class}/{number}.jpg")), &content);
        }
        bytes(&below(&root, &format!("PetImages/{class}/Thumbs.db")), b"\xd0\xcf\x11\xe0");
    }
    bytes(&below(&root, "PetImages/Cat/666.jpg"), b"");
    bytes(&below(&root, "PetImages/Dog/11702.jpg"), b"\xff\xd8\xff\xe0\x00\x10JFIF");
    root
}

#[test]
fn pet_images_are_divided_and_their_two_broken_files_named() {
    let root = pets();
    let data = divided(&below(&root, "PetImages"), 0.2, 1);
    assert_eq!((data.classes(), data.class_names()), (2, &["Cat".into(), "Dog".into()][..]));
    assert_eq!((data.layout(), data.divided()), (Layout::ClassFolders, Some((0.2, 1))));
    assert_eq!(data.train().counts(), [25, 25]);
    assert_eq!(data.validation().counts(), [6, 6]);
    assert!(data.ignored().is_empty(), "{:?}", data.ignored());
    let mut named = Vec::new();
    let mut used = 0;
    for split in [data.train(), data.validation()] {
        let config = LoaderConfig { on_bad_image: OnBadImage::Skip, ..small() };
        let loader = Loader::new(&split, config).unwrap();
        used += loader.epoch(0).map(|batch| batch.unwrap().len()).sum::<usize>();
        for file in loader.skipped() {
            named.push(file.path.strip_prefix(data.root()).unwrap().display().to_string());
        }
        let failing = Loader::new(&split, small()).unwrap();
        let error = failing.epoch(0).find_map(Result::err);
        assert_eq!(error.is_some(), !loader.skipped().is_empty());
    }
    named.sort();
    assert_eq!((used, named), (60, vec!["Cat/666.jpg".to_string(), "Dog/11702.jpg".to_string()]));
    let text = data.to_string();
    assert!(text.ends_with("validation is 20.0 % of each class, drawn with seed 1"), "{text}");
}

#[test]
fn the_division_of_class_folders_follows_its_seed_and_has_a_default() {
    let root = tempfile::tempdir().unwrap();
    classes(root.path(), &[("daisy", 40), ("rose", 20), ("tulip", 11), ("aster", 2), ("lily", 30)]);
    bytes(&below(&root, "readme[1].txt"), b"about the flowers");
    jpeg(&below(&root, "test/unknown.JPG"), 3);
    let data = ImageFolder::open(root.path()).unwrap();
    assert_eq!(data.class_names(), ["aster", "daisy", "lily", "rose", "tulip"]);
    // 5,348 of 25,000 of each class, rounded, and one at least: 0.4, 8.6, 6.4, 4.3 and 2.4.
    assert_eq!(data.validation().counts(), [1, 9, 6, 4, 2]);
    assert_eq!(data.train().counts(), [1, 31, 24, 16, 9]);
    assert_eq!((data.test().len(), data.test().is_labelled()), (1, false));
    assert_eq!(data.ignored().len(), 1);
    let paths = |seed| -> Vec<_> {
        let validation = divided(root.path(), 0.5, seed).validation();
        validation.paths().map(Path::to_path_buf).collect()
    };
    assert_eq!(paths(3), paths(3));
    assert_ne!(paths(3), paths(4));
    let expected = BTreeMap::from([(0, 1), (1, 31), (2, 24), (3, 16), (4, 9)]);
    assert_eq!(labels(&data.train(), small()), expected);
}

#[test]
fn a_folder_around_the_dataset_says_which_to_open() {
    let root = pets();
    bytes(&below(&root, "MSR-LA - 3467.docx"), b"terms");
    let (error, text) = refused(root.path());
    assert!(matches!(error, DataError::NoImages { .. }), "{text}");
    let inner = below(&root, "PetImages");
    assert!(text.ends_with(&format!("(or open {})", inner.display())), "{text}");

    let twice = tempfile::tempdir().unwrap();
    classes(&below(&twice, "photos/train"), &[("cat", 3), ("dog", 3)]);
    let (_, text) = refused(twice.path());
    assert!(text.contains(&format!("(or open {})", below(&twice, "photos").display())), "{text}");
}

#[test]
fn names_of_parts_are_classes_only_where_they_can_be_nothing_else() {
    let notes = tempfile::tempdir().unwrap();
    classes(notes.path(), &[("valid", 5), ("invalid", 5)]);
    assert_eq!(ImageFolder::open(notes.path()).unwrap().class_names(), ["invalid", "valid"]);
    classes(notes.path(), &[("test", 4)]);
    let data = ImageFolder::open(notes.path()).unwrap();
    assert_eq!((data.class_names().len(), data.test().len()), (2, 4));

    let trial = tempfile::tempdir().unwrap();
    classes(trial.path(), &[("control", 5), ("test", 5)]);
    assert_eq!(ImageFolder::open(trial.path()).unwrap().class_names(), ["control", "test"]);

    let misspelt = tempfile::tempdir().unwrap();
    for part in ["trian", "validation"] {
        classes(&misspelt.path().join(part), &[("cat", 3), ("dog", 3)]);
    }
    let (error, text) = refused(misspelt.path());
    assert!(matches!(error, DataError::PartMissing { .. }), "{text}");
    assert!(text.starts_with("expected a folder train/"), "{text}");
    let flat = tempfile::tempdir().unwrap();
    classes(flat.path(), &[("cat", 3), ("dog", 3), ("val", 3)]);
    assert!(refused(flat.path()).1.starts_with("expected a folder train/"));
}

#[test]
fn parts_may_be_written_in_capitals() {
    let root = tempfile::tempdir().unwrap();
    for part in ["Train", "Val", "Test"] {
        classes(&root.path().join(part), &[("cat", 3), ("dog", 2)]);
    }
    let data = ImageFolder::open(root.path()).unwrap();
    let counts = [data.train(), data.validation(), data.test()].map(|split| split.counts());
    assert_eq!(counts, [[3, 2], [3, 2], [3, 2]]);
}

#[test]
fn one_class_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    classes(root.path(), &[("cat", 5)]);
    let expected = format!(
        "expected at least two classes in {}, got one (cat): each class needs a folder of its own",
        root.path().display()
    );
    assert_eq!(refused(root.path()).1, expected);

    let split = tempfile::tempdir().unwrap();
    for part in ["train", "validation"] {
        classes(&split.path().join(part), &[("cat", 5)]);
    }
    let (error, text) = refused(split.path());
    assert!(matches!(error, DataError::OneClass { .. }));
    assert!(text.contains(below(&split, "train").to_str().unwrap()), "{text}");

    let nested = tempfile::tempdir().unwrap();
    for name in ["cat.0.jpg", "dog.0.jpg"] {
        jpeg(&below(&nested, &format!("train/train/{name}")), 0);
    }
    let (_, text) = refused(nested.path());
    let inner = below(&nested, "train").display().to_string();
    assert!(text.contains("got one (train)") && text.ends_with(&format!("(or open {inner})")));
}

#[test]
fn a_class_with_a_single_image_cannot_be_divided() {
    let root = tempfile::tempdir().unwrap();
    classes(root.path(), &[("cat", 5), ("dog", 1)]);
    let (error, text) = refused(root.path());
    assert!(matches!(error, DataError::Division { found: 1, .. }));
    let expected = format!("{}: class \"dog\" has too few samples", root.path().display());
    assert!(text.starts_with(&expected), "{text}");
}

/// As a Mac zips: `__MACOSX` beside the classes, with hidden files only.
#[test]
fn a_folder_that_a_mac_zipped_has_its_classes_only() {
    let root = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        for number in 0..8 {
            let path = below(&root, &format!("train/{class}/{number}.png"));
            save(&path, &gradient(40, 40, number * 9));
        }
        bytes(&below(&root, &format!("train/__MACOSX/{class}/._0.png")), b"\0\x05\x16\x07");
    }
    let data = divided(root.path(), 0.25, 0);
    assert_eq!(data.class_names(), ["cat", "dog"]);
    assert_eq!((data.train().counts(), data.validation().counts()), (vec![6, 6], vec![2, 2]));
    assert!(data.ignored().is_empty());
    assert_eq!(labels(&data.train(), small()), BTreeMap::from([(0, 6), (1, 6)]));
}

/// As notebooks, disks and network drives leave folders.
#[test]
fn what_systems_leave_is_no_class_in_any_part() {
    let root = tempfile::tempdir().unwrap();
    for part in ["train", "validation", "test"] {
        classes(&root.path().join(part), &[("cat", 4), ("dog", 4)]);
        for folder in [".ipynb_checkpoints", "lost+found", "$RECYCLE.BIN", "__pycache__"] {
            jpeg(&below(&root, &format!("{part}/{folder}/0.jpg")), 1);
        }
        jpeg(&below(&root, &format!("{part}/cat/@eaDir/thumb.jpg")), 1);
        jpeg(&below(&root, &format!("{part}/dog/._1.jpg")), 1);
        bytes(&below(&root, &format!("{part}/desktop.ini")), b"[.ShellClassInfo]");
    }
    let data = ImageFolder::open(root.path()).unwrap();
    for split in [data.train(), data.validation(), data.test()] {
        assert_eq!((split.classes(), split.counts()), (2, vec![4, 4]), "{split}");
    }
    assert!(data.ignored().is_empty(), "{:?}", data.ignored());
}

#[test]
fn what_systems_leave_is_no_class_without_parts() {
    let root = tempfile::tempdir().unwrap();
    classes(root.path(), &[("Cat", 6), ("Dog", 6)]);
    for folder in ["__MACOSX/Cat", "System Volume Information", "lost+found", ".git"] {
        bytes(&below(&root, &format!("{folder}/._0.jpg")), b"\0\x05\x16\x07");
    }
    for file in ["Thumbs.db", ".DS_Store", "Cat/ehthumbs.db", "Dog/.directory"] {
        bytes(&below(&root, file), b"system");
    }
    let data = ImageFolder::open(root.path()).unwrap();
    assert_eq!(data.class_names(), ["Cat", "Dog"]);
    assert_eq!((data.train().len(), data.validation().len()), (10, 2));
    assert!(data.ignored().is_empty(), "{:?}", data.ignored());
    let (_, text) = refused(&below(&root, "__MACOSX"));
    assert!(text.starts_with("expected images"), "{text}");
}

#[test]
fn three_classes_are_numbered_and_loaded() {
    let root = tempfile::tempdir().unwrap();
    for (class, tint) in [("cat", 40), ("dog", 120), ("fox", 200)] {
        for number in 0..8 {
            let path = below(&root, &format!("train/{class}/{number}.png"));
            save(&path, &gradient(40, 40, tint + number));
        }
    }
    let data = divided(root.path(), 0.25, 0);
    assert_eq!((data.classes(), data.class_names().join(" ")), (3, "cat dog fox".into()));
    assert_eq!(labels(&data.train(), small()), BTreeMap::from([(0, 6), (1, 6), (2, 6)]));
    assert_eq!(labels(&data.validation(), small()), BTreeMap::from([(0, 2), (1, 2), (2, 2)]));
}

#[test]
fn ten_classes_with_given_parts_keep_their_numbers_in_each() {
    let root = tempfile::tempdir().unwrap();
    let digits: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    for (part, each) in [("train", 3), ("valid", 1), ("test", 2)] {
        let counts: Vec<_> = digits.iter().map(|digit| (digit.as_str(), each)).collect();
        classes(&root.path().join(part), &counts);
    }
    let data = ImageFolder::open(root.path()).unwrap();
    assert_eq!((data.classes(), data.divided()), (10, None));
    for (split, each) in [(data.train(), 3), (data.validation(), 1), (data.test(), 2)] {
        assert_eq!(labels(&split, small()), (0..10).map(|digit| (digit, each)).collect());
    }
    fs::remove_dir_all(below(&root, "valid/7")).unwrap();
    let text = refused(root.path()).1;
    assert!(text.ends_with("differ from those of the training folder: missing 7"), "{text}");
}

#[test]
fn two_hundred_classes_are_shown_by_their_number() {
    let root = tempfile::tempdir().unwrap();
    for class in 0..200 {
        for number in 0..4 + class % 2 {
            bytes(&below(&root, &format!("n{class:04}/{number}.JPEG")), b"not read");
        }
    }
    let data = divided(root.path(), 0.25, 0);
    assert_eq!((data.classes(), data.train().len(), data.validation().len()), (200, 700, 200));
    let expected = "split       each of 200 classes  total\n\
                    train                    3 to 4    700\n\
                    validation                    1    200\n";
    assert!(data.to_string().contains(expected), "{data}");
    assert_eq!(data.train().to_string(), "train: 700 images (200 classes of 3 to 4)");
    assert!(data.bundle().plain().contains(expected));
}

#[cfg(unix)]
#[test]
fn a_class_may_be_a_link_to_a_folder_elsewhere() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    classes(root.path(), &[("cat", 4)]);
    classes(elsewhere.path(), &[("dogs", 4)]);
    std::os::unix::fs::symlink(below(&elsewhere, "dogs"), below(&root, "dog")).unwrap();
    let data = ImageFolder::open(root.path()).unwrap();
    assert_eq!(
        (data.class_names().join(" "), data.train().counts()),
        ("cat dog".into(), vec![3, 3])
    );
}
