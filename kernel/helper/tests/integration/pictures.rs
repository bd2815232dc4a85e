//! Small JPEG files that a net can tell apart.

use benchbook::data::ImageFolder;
use benchbook::image::{Rgb, RgbImage};
use benchbook::prelude::{Build, Model, Vgg11};
use std::path::Path;

/// An image folder in the report's layout, which is removed when it goes out of scope.
pub struct Pictures {
    folder: tempfile::TempDir,
}

impl Pictures {
    /// `train` and `validation` pictures of each class, and four for the test. A cat is bright on
    /// the left, a dog on the right; brightness and noise differ from picture to picture.
    pub fn new(train: usize, validation: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (part, count) in [("train", train), ("validation", validation)] {
            for (class, left) in [("cat", true), ("dog", false)] {
                for index in 0..count {
                    let path = format!("{part}/{class}/{class}.{index}.jpg");
                    write(&folder.path().join(path), left, index * 31 + part.len());
                }
            }
        }
        for index in 0..4 {
            write(&folder.path().join(format!("test/{index}.jpg")), index % 2 == 0, 977 + index);
        }
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn open(&self) -> ImageFolder {
        ImageFolder::open(self.path()).unwrap()
    }
}

fn write(path: &Path, left: bool, number: usize) {
    let picture = RgbImage::from_fn(48, 40, |x, y| {
        let noise = (number * 7919 + x as usize * 131 + y as usize * 517) % 61;
        let bright = if (x < 24) == left { 150 } else { 20 };
        let value = (bright + number % 40 + noise).min(255) as u8;
        Rgb([value, value / 2 + 20, 255 - value])
    });
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

/// The smallest net that these tests need: every kind of layer, a fifth of VGG16's work.
pub fn small_net() -> Vgg11 {
    Vgg11 { size: 32, batch_norm: true, ..Vgg11::new(2) }
}

/// Two threads, and the defaults of everything else.
pub fn build() -> Build {
    Build { threads: Some(2), ..Build::default() }
}

pub fn model_of(net: Vgg11) -> Model {
    Model::new(net, build()).unwrap()
}

pub fn small_model() -> Model {
    model_of(small_net())
}
