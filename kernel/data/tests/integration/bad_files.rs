//! Files that are not what their name says.

use std::error::Error;

use benchbook_data::{
    DEFAULT_MAX_PIXELS, DataError, ImageFault, Loader, LoaderConfig, OnBadImage, Picture, Split,
};
use tempfile::TempDir;

use crate::pictures::{below, bytes, class_folders, gradient, jpeg_bytes};

/// A folder of twelve good images and three bad ones, by class and name: a cat that is truncated,
/// a dog that is text and a dog without bytes.
fn damaged() -> (TempDir, Split) {
    let root = class_folders();
    let whole = jpeg_bytes(&gradient(200, 150, 90));
    bytes(&below(&root, "train/cat/half.jpg"), &whole[..whole.len() / 2]);
    bytes(&below(&root, "train/dog/text.jpg"), b"<html>404 Not Found</html>\n");
    bytes(&below(&root, "train/dog/zero.jpg"), b"");
    let split = Split::open(below(&root, "train")).unwrap();
    (root, split)
}

fn small() -> LoaderConfig {
    LoaderConfig {
        height: 16,
        width: 16,
        batch_size: 4,
        threads: 2,
        shuffle: false,
        ..LoaderConfig::default()
    }
}

fn fault(content: &[u8]) -> ImageFault {
    Picture::decode(content, DEFAULT_MAX_PIXELS).unwrap_err()
}

#[test]
fn verifying_names_each_bad_file_and_the_reason() {
    let (root, split) = damaged();
    let errors = split.verify();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    for (text, (name, reason)) in texts.iter().zip([
        ("cat/half.jpg", "the JPEG data is truncated"),
        ("dog/text.jpg", "found 27 bytes that begin with \"<html>404 Not Found</htm…\""),
        ("dog/zero.jpg", "the file is empty (0 bytes)"),
    ]) {
        assert!(text.contains(below(&root, "train").join(name).to_str().unwrap()), "{text}");
        assert!(text.contains(reason), "{text}");
    }
    let source = errors[0].source().and_then(|source| source.downcast_ref::<ImageFault>());
    assert!(matches!(source, Some(ImageFault::Truncated { format: "JPEG", .. })));
}

#[test]
fn an_epoch_ends_with_the_first_bad_file() {
    let (_root, split) = damaged();
    let mut epoch = Loader::new(&split, small()).unwrap().epoch(0);
    assert_eq!(epoch.next().unwrap().unwrap().indices, [0, 1, 2, 3]);
    let error = epoch.next().unwrap().unwrap_err();
    assert!(matches!(error, DataError::BadImage { .. }));
    assert!(error.to_string().contains("half.jpg"), "{error}");
    assert!(epoch.next().is_none());
}

#[test]
fn skipped_files_are_listed_and_the_others_arrive() {
    let (_root, split) = damaged();
    let config = LoaderConfig { on_bad_image: OnBadImage::Skip, ..small() };
    let loader = Loader::new(&split, config).unwrap();
    assert!(loader.skipped().is_empty());
    for epoch in 0..2 {
        let batches: Vec<_> = loader.epoch(epoch).collect::<Result<_, _>>().unwrap();
        let sizes: Vec<_> = batches.iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes, [4, 3, 4, 1]);
        for batch in &batches {
            assert_eq!(batch.labels.len(), batch.len());
            assert_eq!(batch.values.len(), batch.len() * 3 * 16 * 16);
        }
    }
    let skipped = loader.skipped();
    let names: Vec<_> =
        skipped.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["half.jpg", "text.jpg", "zero.jpg"]);
    assert!(skipped[0].reason.contains("truncated"), "{}", skipped[0].reason);
    assert_eq!(split.files()[skipped[0].index].path, skipped[0].path);
}

#[test]
fn an_epoch_of_bad_files_alone_is_an_error_and_no_endless_loop() {
    let root = tempfile::tempdir().unwrap();
    bytes(&below(&root, "0.jpg"), b"");
    bytes(&below(&root, "1.jpg"), b"text");
    let split = Split::open(root.path()).unwrap();
    let config = LoaderConfig { on_bad_image: OnBadImage::Skip, repeat: true, ..small() };
    let mut epoch = Loader::new(&split, config).unwrap().epoch(0);
    assert!(matches!(epoch.next(), Some(Err(DataError::AllSkipped { .. }))));
    assert!(epoch.next().is_none());
}

#[test]
fn a_file_that_vanished_is_named() {
    let root = class_folders();
    let split = Split::open(below(&root, "train")).unwrap();
    std::fs::remove_file(below(&root, "train/cat/cat.0.jpg")).unwrap();
    let error = Loader::new(&split, small()).unwrap().epoch(0).next().unwrap().unwrap_err();
    assert!(error.to_string().contains("cat.0.jpg: cannot be read"), "{error}");
}

/// Every cut of a JPEG is found, also within its headers and when only the end marker is lost.
#[test]
fn a_jpeg_cut_anywhere_is_an_error() {
    let whole = jpeg_bytes(&gradient(64, 48, 90));
    assert!(Picture::decode(&whole, DEFAULT_MAX_PIXELS).is_ok());
    for end in 3..whole.len() {
        let fault = fault(&whole[..end]);
        assert!(matches!(fault, ImageFault::Truncated { .. }), "cut at {end}: {fault}");
    }
}

/// Stray bytes after the end of the image are common in photos from the web.
#[test]
fn bytes_after_the_end_of_a_jpeg_are_passed_over() {
    let mut content = jpeg_bytes(&gradient(64, 48, 90));
    let whole = Picture::decode(&content, DEFAULT_MAX_PIXELS).unwrap();
    content.extend([0; 100]);
    assert_eq!(Picture::decode(&content, DEFAULT_MAX_PIXELS).unwrap(), whole);
}

#[test]
fn a_truncated_png_is_an_error() {
    let mut content = std::io::Cursor::new(Vec::new());
    gradient(64, 48, 90).write_to(&mut content, image::ImageFormat::Png).unwrap();
    let content = content.into_inner();
    let fault = fault(&content[..content.len() / 2]);
    assert!(matches!(fault, ImageFault::Truncated { format: "PNG", .. }), "{fault}");
}

/// The beginning of a PNG of 30,000 × 30,000 RGBA pixels, which would want 3.6 GB.
pub fn huge_png() -> Vec<u8> {
    let mut content = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend(30_000_u32.to_be_bytes());
    header.extend(30_000_u32.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    content.extend(13_u32.to_be_bytes());
    content.extend(&header);
    content.extend(crc(&header).to_be_bytes());
    content.extend([0, 0, 0, 0]);
    content.extend(b"IDAT");
    content.extend(crc(b"IDAT").to_be_bytes());
    content
}

#[test]
fn a_decompression_bomb_is_refused_by_its_header() {
    let fault = fault(&huge_png());
    assert!(matches!(fault, ImageFault::TooLarge { width: 30_000, height: 30_000, .. }), "{fault}");
    assert!(fault.to_string().contains("over the limit of 89478485 pixels"), "{fault}");
}

#[test]
fn the_limit_of_pixels_holds_for_jpeg_too() {
    let content = jpeg_bytes(&gradient(64, 48, 90));
    assert!(Picture::decode(&content, 64 * 48).is_ok());
    let fault = Picture::decode(&content, 64 * 48 - 1).unwrap_err();
    assert!(matches!(fault, ImageFault::TooLarge { limit: 3071, .. }), "{fault}");
}

#[test]
fn noise_after_a_jpeg_header_is_no_crash() {
    let whole = jpeg_bytes(&gradient(64, 48, 90));
    for seed in 0..200_usize {
        let mut content = whole.clone();
        for (at, byte) in content.iter_mut().enumerate().skip(2 + seed % 40) {
            *byte = (at.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 7) as u8;
        }
        if let Ok(picture) = Picture::decode(&content, 1 << 20) {
            assert_eq!(picture.rgb.len() as u32, picture.width * picture.height * 3);
        }
    }
}

/// CRC-32 as PNG uses it (W3C PNG specification, annex D).
fn crc(content: &[u8]) -> u32 {
    !content.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 }
        })
    })
}
