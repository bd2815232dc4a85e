//! Every kind of file becomes 8-bit RGB.

use std::io::Cursor;

use benchbook_data::{DEFAULT_MAX_PIXELS, Picture};
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba};

use crate::pictures::{gradient, jpeg_bytes};

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.into().write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn decode(content: &[u8]) -> Picture {
    Picture::decode(content, DEFAULT_MAX_PIXELS).unwrap()
}

fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
    let start = (y * picture.width + x) as usize * 3;
    [picture.rgb[start], picture.rgb[start + 1], picture.rgb[start + 2]]
}

#[track_caller]
fn assert_near(picture: &Picture, (x, y): (u32, u32), expected: [u8; 3], tolerance: u8) {
    let found = pixel(picture, x, y);
    let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= tolerance);
    assert!(near, "at ({x}, {y}): expected {expected:?} within {tolerance}, found {found:?}");
}

#[test]
fn lossless_formats_keep_every_value() {
    let image = gradient(23, 17, 77);
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let picture = decode(&encoded(image.clone(), format));
        assert_eq!((picture.width, picture.height), (23, 17));
        assert!(picture.rgb == *image.as_raw(), "{format:?}");
    }
}

#[test]
fn the_content_decides_and_not_the_name() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("really-a-png.jpg");
    let image = gradient(23, 17, 77);
    std::fs::write(&path, encoded(image.clone(), ImageFormat::Png)).unwrap();
    assert!(Picture::open(&path, DEFAULT_MAX_PIXELS).unwrap().rgb == *image.as_raw());
}

#[test]
fn a_grey_jpeg_becomes_three_equal_channels() {
    let image = ImageBuffer::from_fn(24, 24, |x, _| Luma([if x < 12 { 40_u8 } else { 200 }]));
    let picture = decode(&encoded(image, ImageFormat::Jpeg));
    assert_near(&picture, (3, 12), [40; 3], 3);
    assert_near(&picture, (20, 12), [200; 3], 3);
}

/// 16 bits become 8 by rounding x / 257: 32,896 is 128 × 257.
#[test]
fn a_png_of_16_bits_is_rounded() {
    let image = ImageBuffer::from_pixel(3, 2, Rgb([0_u16, 32_896, 65_535]));
    assert_eq!(pixel(&decode(&encoded(image, ImageFormat::Png)), 1, 1), [0, 128, 255]);
    let image = ImageBuffer::from_pixel(3, 2, Luma([257_u16 * 9]));
    assert_eq!(pixel(&decode(&encoded(image, ImageFormat::Png)), 1, 1), [9; 3]);
}

#[test]
fn transparency_is_dropped() {
    let image = ImageBuffer::from_pixel(3, 2, Rgba([10_u8, 20, 30, 0]));
    assert_eq!(pixel(&decode(&encoded(image, ImageFormat::Png)), 0, 0), [10, 20, 30]);
}

/// `cmyk.jpg` is 32 × 32 pixels of red, green, blue and grey (K = 128), written by Pillow 13.0.0 as
/// `Image.fromarray(a, "CMYK").save("cmyk.jpg", quality=90)`; expected is what Pillow's
/// `convert("RGB")` makes of it.
#[test]
fn a_cmyk_jpeg_becomes_rgb() {
    let picture = decode(include_bytes!("../data/cmyk.jpg"));
    assert_near(&picture, (8, 8), [255, 0, 0], 2);
    assert_near(&picture, (24, 8), [0, 255, 0], 2);
    assert_near(&picture, (8, 24), [0, 0, 255], 2);
    assert_near(&picture, (24, 24), [127, 127, 127], 2);
}

/// A JPEG with an EXIF orientation: marker APP1 with a TIFF directory of the one entry 0x0112
/// (EXIF 2.32, section 4.6.4).
fn oriented(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut content = jpeg_bytes(image);
    let mut segment = vec![0xFF, 0xE1];
    segment.extend((exif.len() as u16 + 2).to_be_bytes());
    segment.extend(exif);
    content.splice(2..2, segment);
    content
}

/// Orientation 6 is stored turned and has to be shown a quarter clockwise: the top left of the file
/// is the top right of the image. Orientation 3 is upside down.
#[test]
fn a_jpeg_is_turned_as_its_exif_says() {
    let image =
        RgbImage::from_fn(
            48,
            32,
            |x, y| if x < 16 && y < 16 { Rgb([230; 3]) } else { Rgb([20; 3]) },
        );
    let upright = decode(&oriented(&image, 1));
    assert_eq!((upright.width, upright.height), (48, 32));
    assert_near(&upright, (4, 4), [230; 3], 6);
    let quarter = decode(&oriented(&image, 6));
    assert_eq!((quarter.width, quarter.height), (32, 48));
    assert_near(&quarter, (27, 4), [230; 3], 6);
    assert_near(&quarter, (4, 4), [20; 3], 6);
    let half = decode(&oriented(&image, 3));
    assert_eq!((half.width, half.height), (48, 32));
    assert_near(&half, (43, 27), [230; 3], 6);
}

/// What Pillow 13.0.0 wrote, against the pixels that it reads from it: `tests/data/pillow/make.py` says
/// how. JPEG decoders differ by rounding in the transform and in the colours, and by more where the
/// chroma is coded at half the size and interpolated back.
#[test]
fn files_of_another_library_have_its_pixels() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pillow");
    let sizes = std::fs::read_to_string(folder.join("sizes.json")).unwrap();
    let sizes: std::collections::BTreeMap<String, (u32, u32)> =
        serde_json::from_str(&sizes).unwrap();
    assert_eq!(sizes.len(), 30);
    let mut wrong = Vec::new();
    for (name, (height, width)) in sizes {
        let picture = Picture::open(&folder.join(&name), DEFAULT_MAX_PIXELS).unwrap();
        assert_eq!((picture.height, picture.width), (height, width), "{name}");
        let expected = std::fs::read(folder.join(format!("{name}.rgb"))).unwrap();
        let largest = picture.rgb.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        let tolerance = match name.as_str() {
            "420.jpg" | "422.jpg" | "progressive.jpg" | "restart.jpg" => 4,
            "lossy.webp" => 2,
            name if name.ends_with(".jpg") => 2,
            _ => 0,
        };
        if largest > Some(tolerance) || expected.len() != picture.rgb.len() {
            wrong.push(format!("{name}: {largest:?} beyond {tolerance}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_gif_is_said_not_to_be_readable() {
    let fault = Picture::decode(b"GIF89a\x01\0\x01\0\0\0\0;", DEFAULT_MAX_PIXELS).unwrap_err();
    assert!(fault.to_string().contains("expected the content of a JPEG, PNG, WebP or BMP file"));
}
