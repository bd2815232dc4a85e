//! What is listed, how it is numbered and divided, and what is refused.

use std::collections::HashSet;
use std::fs;

use benchbook_data::{DataError, FolderOptions, ImageFolder, Layout, Sample, Split};

use crate::pictures::{below, bytes, class_folders, flat, jpeg};

#[test]
fn class_folders_are_sorted_and_numbered() {
    let root = class_folders();
    let folder = ImageFolder::open(root.path()).unwrap();
    assert_eq!(folder.class_names(), ["cat", "dog"]);
    assert_eq!(folder.layout(), Layout::ClassFolders);
    assert_eq!(folder.divided(), None);
    assert_eq!(folder.train().counts(), [6, 6]);
    assert_eq!(folder.validation().counts(), [2, 2]);
    let train = folder.train();
    let first = &train.files()[0];
    assert_eq!(first.path, below(&root, "train/cat/cat.0.jpg"));
    assert_eq!(first.label, Some(0));
    assert_eq!(folder.train().files()[6].label, Some(1));
    assert!(folder.train().is_labelled());
    assert_eq!((folder.test().len(), folder.test().is_labelled()), (3, false));
    assert!(folder.ignored().is_empty());
}

#[test]
fn validation_may_be_called_val_or_valid() {
    for name in ["val", "valid"] {
        let root = class_folders();
        fs::rename(below(&root, "validation"), below(&root, name)).unwrap();
        assert_eq!(ImageFolder::open(root.path()).unwrap().validation().len(), 4);
    }
}

#[test]
fn test_pictures_in_class_folders_have_labels() {
    let root = class_folders();
    fs::remove_dir_all(below(&root, "test")).unwrap();
    jpeg(&below(&root, "test/dog/1.jpg"), 0);
    let test = ImageFolder::open(root.path()).unwrap().test();
    assert_eq!(test.files()[0].label, Some(1));
    assert!(test.is_labelled());
}

#[test]
fn a_folder_without_test_has_an_empty_test_split() {
    let root = class_folders();
    fs::remove_dir_all(below(&root, "test")).unwrap();
    assert!(ImageFolder::open(root.path()).unwrap().test().is_empty());
}

/// The report's log: 25,000 images, 19,652 for training and 5,348 for validation.
#[test]
fn the_flat_layout_is_divided_in_the_reports_proportion() {
    let root = flat(250);
    let folder = ImageFolder::open(root.path()).unwrap();
    assert_eq!(folder.layout(), Layout::Flat);
    // 250 × 5,348 / 25,000 = 53.48.
    assert_eq!(folder.train().counts(), [197, 197]);
    assert_eq!(folder.validation().counts(), [53, 53]);
    assert_eq!(folder.divided(), Some((5_348.0 / 25_000.0, 0)));
    let (train, validation) = (folder.train(), folder.validation());
    let all: HashSet<_> = train.paths().chain(validation.paths()).collect();
    assert_eq!(all.len(), 500);
}

#[test]
fn the_division_follows_its_seed() {
    let root = flat(40);
    let divide = |seed| {
        let options = FolderOptions { seed, ..FolderOptions::default() };
        ImageFolder::open_with(root.path(), options).unwrap().validation().files().to_vec()
    };
    assert_eq!(divide(7), divide(7));
    assert_ne!(divide(7), divide(8));
}

#[test]
fn another_fraction_may_be_asked_for_in_either_layout() {
    let options = FolderOptions { validation_fraction: Some(0.5), seed: 3 };
    let root = flat(10);
    assert_eq!(ImageFolder::open_with(root.path(), options).unwrap().validation().counts(), [5, 5]);
    let root = class_folders();
    fs::remove_dir_all(below(&root, "validation")).unwrap();
    let folder = ImageFolder::open_with(root.path(), options).unwrap();
    assert_eq!(folder.validation().counts(), [3, 3]);
    assert_eq!(folder.divided(), Some((0.5, 3)));
}

#[test]
fn what_is_not_used_is_listed_and_hidden_files_are_not() {
    let root = class_folders();
    bytes(&below(&root, "train/cat/notes.txt"), b"a note");
    bytes(&below(&root, "train/readme.jpg"), b"beside the classes");
    jpeg(&below(&root, "train/cat/old/1.jpg"), 0);
    bytes(&below(&root, "train/.DS_Store"), b"hidden");
    bytes(&below(&root, "train/cat/._cat.1.jpg"), b"hidden");
    let folder = ImageFolder::open(root.path()).unwrap();
    assert_eq!(folder.train().len(), 12);
    let listed: Vec<_> = folder
        .ignored()
        .iter()
        .map(|entry| {
            (entry.path.strip_prefix(root.path()).unwrap().to_str().unwrap(), entry.reason)
        })
        .collect();
    assert_eq!(
        listed,
        [
            ("train/cat/notes.txt", "not an image by its extension"),
            ("train/cat/old", "a folder inside a folder of images"),
            ("train/readme.jpg", "a file beside class folders"),
        ]
    );
}

#[test]
fn flat_names_without_a_class_are_listed() {
    let root = flat(5);
    bytes(&below(&root, "train/kitten.jpg"), b"no number");
    let folder = ImageFolder::open(root.path()).unwrap();
    assert_eq!(folder.ignored()[0].reason, "its name is not class.number.extension");
    assert_eq!(folder.class_names(), ["cat", "dog"]);
}

#[test]
fn a_missing_folder_names_what_is_there() {
    let root = class_folders();
    let path = below(&root, "phtoos");
    let error = ImageFolder::open(&path).unwrap_err();
    assert!(matches!(error, DataError::FolderMissing { .. }));
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(text.contains("does not exist"), "{text}");
    assert!(text.contains("test/, train/, validation/"), "{text}");
}

#[test]
fn a_file_in_place_of_a_folder_is_said_to_be_one() {
    let root = class_folders();
    let error = ImageFolder::open(below(&root, "test/1.jpg")).unwrap_err();
    assert!(error.to_string().ends_with("but it is a file"), "{error}");
}

#[test]
fn a_folder_without_train_says_what_was_looked_for() {
    let root = class_folders();
    fs::rename(below(&root, "train"), below(&root, "training")).unwrap();
    let error = ImageFolder::open(root.path()).unwrap_err();
    assert!(matches!(error, DataError::PartMissing { .. }));
    let text = error.to_string();
    assert!(text.starts_with("expected a folder train/ or a folder for each class in "), "{text}");
    assert!(text.contains("found test/, training/, validation/"), "{text}");
}

#[test]
fn a_folder_without_validation_says_what_was_looked_for() {
    let root = class_folders();
    fs::remove_dir_all(below(&root, "validation")).unwrap();
    let text = ImageFolder::open(root.path()).unwrap_err().to_string();
    assert!(text.contains("validation/ or val/ or valid/"), "{text}");
    assert!(text.contains("`validation_fraction`"), "{text}");
    assert!(text.ends_with("found test/, train/"), "{text}");
}

#[test]
fn an_empty_class_folder_is_named() {
    let root = class_folders();
    for number in 0..6 {
        fs::remove_file(below(&root, &format!("train/dog/dog.{number}.jpg"))).unwrap();
    }
    bytes(&below(&root, "train/dog/notes.txt"), b"only a note");
    let error = ImageFolder::open(root.path()).unwrap_err();
    assert!(matches!(error, DataError::NoImages { .. }));
    let text = error.to_string();
    assert!(text.contains(below(&root, "train/dog").to_str().unwrap()), "{text}");
    assert!(text.contains(".jpg") && text.ends_with("found notes.txt"), "{text}");
}

#[test]
fn a_train_folder_without_pictures_is_named() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(below(&root, "train")).unwrap();
    let text = ImageFolder::open(root.path()).unwrap_err().to_string();
    assert!(text.contains(below(&root, "train").to_str().unwrap()), "{text}");
    assert!(text.ends_with("found nothing"), "{text}");
}

#[test]
fn other_classes_in_validation_are_named() {
    let root = class_folders();
    fs::rename(below(&root, "validation/dog"), below(&root, "validation/fox")).unwrap();
    let error = ImageFolder::open(root.path()).unwrap_err();
    assert!(matches!(error, DataError::ClassMismatch { .. }));
    let text = error.to_string();
    assert!(text.ends_with("missing dog; surplus fox"), "{text}");
}

#[test]
fn a_fraction_of_one_is_refused() {
    let root = flat(4);
    for fraction in [0.0, 1.0, f64::NAN] {
        let options = FolderOptions { validation_fraction: Some(fraction), seed: 0 };
        let error = ImageFolder::open_with(root.path(), options).unwrap_err();
        assert!(matches!(error, DataError::Setting { name: "validation_fraction", .. }));
    }
}

#[test]
fn a_single_folder_opens_as_a_split() {
    let root = class_folders();
    let train = Split::open(below(&root, "train")).unwrap();
    assert_eq!((train.name(), train.counts()), ("train", vec![6, 6]));
    let test = Split::open(below(&root, "test")).unwrap();
    assert_eq!((test.len(), test.unlabelled()), (3, 3));
}

#[test]
fn a_subset_keeps_the_order_and_the_share_of_each_class() {
    let root = class_folders();
    let train = Split::open(below(&root, "train")).unwrap();
    let subset = train.subset(4, 1);
    assert_eq!(subset.counts(), [4, 4]);
    assert!(subset.files().is_sorted_by(|a, b| a.path < b.path));
    assert_eq!(subset.files(), train.subset(4, 1).files());
}

#[test]
fn a_label_outside_the_classes_is_refused() {
    let sample = Sample { path: "a.jpg".into(), label: Some(2) };
    let error = Split::new("own", vec!["cat".into(), "dog".into()], vec![sample]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "label of a.jpg must be at least 0 and below the number of classes, 2 (got 2)"
    );
}
