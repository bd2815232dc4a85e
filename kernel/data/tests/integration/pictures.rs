//! Makes the files that the tests read.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// An image in which each pixel differs from its neighbours: a gradient in red and green, and
/// `tint` in blue.
pub fn gradient(width: u32, height: u32, tint: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, tint])
    })
}

/// Writes an image in the format of its extension, with the folders above it.
pub fn save(path: &Path, image: &RgbImage) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

/// Writes a small JPEG whose blue value is `tint`.
pub fn jpeg(path: &Path, tint: u8) {
    save(path, &gradient(40, 30, tint));
}

/// Writes bytes, with the folders above them.
pub fn bytes(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// `train` with 6 cats and 6 dogs, `validation` with 2 of each, `test` with 3 without class.
pub fn class_folders() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for class in ["dog", "cat"] {
        for number in 0..6 {
            jpeg(&root.path().join(format!("train/{class}/{class}.{number}.jpg")), number * 20);
        }
        for number in 0..2 {
            jpeg(&root.path().join(format!("validation/{class}/{number}.jpeg")), number * 20);
        }
    }
    for number in 0..3 {
        jpeg(&root.path().join(format!("test/{number}.jpg")), 200);
    }
    root
}

/// Kaggle's layout, `train/cat.0.jpg`, with `count` files of each class; they hold no pictures.
pub fn flat(count: usize) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        for number in 0..count {
            bytes(&root.path().join(format!("train/{class}.{number}.jpg")), b"not read");
        }
    }
    root
}

/// The bytes of a JPEG file.
pub fn jpeg_bytes(image: &RgbImage) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image.write_to(&mut out, image::ImageFormat::Jpeg).unwrap();
    out.into_inner()
}

/// A path below a folder.
pub fn below(root: &TempDir, path: &str) -> PathBuf {
    root.path().join(path)
}
