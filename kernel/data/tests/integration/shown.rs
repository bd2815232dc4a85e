//! How folders, splits and loaders show themselves.

use benchbook_data::{ImageFolder, Loader, LoaderConfig, Split};
use benchbook_display::Rich;

use crate::pictures::{below, bytes, class_folders, flat};

#[test]
fn the_text_is_a_table_of_counts() {
    let root = class_folders();
    bytes(&below(&root, "train/cat/notes.txt"), b"a note");
    let folder = ImageFolder::open(root.path()).unwrap();
    let expected = format!(
        "image folder {}\n\
         split       cat  dog  unlabelled  total\n\
         train         6    6           0     12\n\
         validation    2    2           0      4\n\
         test          0    0           3      3\n\
         ignored 1: train/cat/notes.txt (not an image by its extension)",
        root.path().display()
    );
    assert_eq!(folder.to_string(), expected);
    assert_eq!(format!("{folder:?}"), expected);
    assert!(folder.bundle().plain().starts_with(&expected));
}

#[test]
fn a_division_is_said() {
    let root = flat(25);
    let text = ImageFolder::open(root.path()).unwrap().to_string();
    assert!(
        text.ends_with(
            "classes from file names; validation is 21.4 % of each class of train/, drawn with seed 0"
        ),
        "{text}"
    );
}

#[test]
fn the_html_holds_counts_and_labelled_pictures() {
    let root = class_folders();
    let folder = ImageFolder::open(root.path()).unwrap();
    let bundle = folder.bundle();
    let html = bundle.data["text/html"].as_str().unwrap();
    assert_eq!(html.matches("<img src=\"data:image/jpeg;base64,").count(), 12);
    assert_eq!(html.matches(">cat</figcaption>").count(), 6);
    assert!(html.contains(">12</td>") && html.contains(">validation</td>"));
    assert!(html.contains("alt=\"dog: dog."), "{html}");
    assert_eq!(html, folder.bundle().data["text/html"].as_str().unwrap());
    assert_eq!(bundle.plain().matches("  cat.").count(), 6, "{}", bundle.plain());
}

#[test]
fn a_bad_file_in_a_grid_is_shown_as_such() {
    let root = class_folders();
    bytes(&below(&root, "test/<b>.jpg"), b"no image");
    let split = Split::open(below(&root, "test")).unwrap();
    let bundle = split.bundle();
    let html = bundle.data["text/html"].as_str().unwrap();
    assert_eq!(html.matches("<img ").count(), 3);
    assert!(html.contains("&lt;b&gt;.jpg") && !html.contains("<b>"), "{html}");
    assert!(bundle.plain().contains("unlabelled  <b>.jpg (expected the content"));
}

#[test]
fn splits_and_loaders_say_what_they_hold() {
    let root = class_folders();
    let split = Split::open(below(&root, "train")).unwrap();
    assert_eq!(split.to_string(), "train: 12 images (cat 6, dog 6)");
    assert_eq!(format!("{split:?}"), "Split(train: 12 images (cat 6, dog 6))");
    let loader = Loader::new(&split, LoaderConfig::default()).unwrap();
    assert_eq!(
        loader.to_string(),
        "train: 12 images (cat 6, dog 6) in 1 batch of 32, 224 × 224 pixels, x / 255, RGB"
    );
}
