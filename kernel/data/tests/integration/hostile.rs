//! Files and folders that are made to hang, to exhaust the memory or to break a decoder.

use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use benchbook_data::{
    DEFAULT_MAX_PIXELS, ImageFault, ImageFolder, Loader, LoaderConfig, Picture, Split,
};
use image::ImageFormat;
use proptest::prelude::*;

use crate::pictures::{below, class_folders, gradient};

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn small() -> LoaderConfig {
    LoaderConfig { height: 16, width: 16, batch_size: 4, threads: 2, ..LoaderConfig::default() }
}

#[test]
fn pipes_and_devices_among_pictures_are_listed_as_ignored() {
    let root = class_folders();
    pipe(&below(&root, "train/cat/pipe.jpg"));
    symlink("/dev/zero", below(&root, "train/dog/zeros.jpg")).unwrap();
    symlink("pipe.jpg", below(&root, "train/cat/link.jpg")).unwrap();
    pipe(&below(&root, "test/pipe.png"));
    // A link to an image is one.
    symlink("cat.0.jpg", below(&root, "train/cat/again.jpg")).unwrap();
    let folder = ImageFolder::open(root.path()).unwrap();
    let ignored: Vec<_> = folder
        .ignored()
        .iter()
        .map(|entry| (entry.path.file_name().unwrap().to_str().unwrap(), entry.reason))
        .collect();
    let reason = "a pipe, socket or device";
    assert_eq!(
        ignored,
        ["pipe.png", "link.jpg", "pipe.jpg", "zeros.jpg"].map(|name| (name, reason))
    );
    let batches = Loader::new(&folder.train(), small()).unwrap().epoch(0);
    assert_eq!(batches.map(|batch| batch.unwrap().len()).sum::<usize>(), 13);
    assert_eq!(folder.test().len(), 3);
}

/// What was an image when the folder was listed.
#[test]
fn a_picture_that_has_become_a_pipe_is_named_at_once() {
    let root = class_folders();
    let split = Split::open(below(&root, "train")).unwrap();
    let path = below(&root, "train/cat/cat.0.jpg");
    fs::remove_file(&path).unwrap();
    pipe(&path);
    let error = Loader::new(&split, small()).unwrap().epoch(0).find_map(Result::err).unwrap();
    assert!(error.to_string().contains("cat.0.jpg"), "{error}");
    assert!(error.to_string().contains("expected a file, found a named pipe"), "{error}");
}

/// A sparse file takes no room on the disk, and would take gigabytes of memory.
#[test]
fn a_file_larger_than_any_picture_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("huge.jpg");
    File::create(&path).unwrap().set_len(2 << 30).unwrap();
    let error = Picture::open(&path, DEFAULT_MAX_PIXELS).unwrap_err().to_string();
    assert!(error.contains("huge.jpg") && error.contains("2147483648 bytes"), "{error}");
    assert!(error.contains("`max_pixels`"), "{error}");
}

/// An image of 24 × 20 pixels in each format.
fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    gradient(24, 20, 90).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A lossless WebP of one pixel (RIFF, VP8L), since no encoder is built in.
const WEBP: &[u8] =
    b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    /// Whatever bytes change, in whatever format: a fault, or as many values as the size says, and within the limit.
    #[test]
    fn changed_bytes_are_a_fault_or_a_picture(
        format in 0_usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        const LIMIT: u64 = 1 << 20;
        let mut content = match format {
            0 => encoded(ImageFormat::Jpeg),
            1 => encoded(ImageFormat::Png),
            2 => encoded(ImageFormat::Bmp),
            _ => WEBP.to_vec(),
        };
        for (at, value) in changes {
            let at = at.index(content.len());
            content[at] = value;
        }
        if let Some(cut) = cut {
            content.truncate(cut.index(content.len()));
        }
        match Picture::decode(&content, LIMIT) {
            Ok(picture) => {
                let pixels = u64::from(picture.width) * u64::from(picture.height);
                prop_assert!(pixels <= LIMIT);
                prop_assert_eq!(picture.rgb.len() as u64, 3 * pixels);
            }
            Err(fault) => prop_assert!(!matches!(fault, ImageFault::DecoderPanicked), "{:?}", content),
        }
    }
}
