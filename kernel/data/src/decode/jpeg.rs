//! JPEG through zune-jpeg, the fastest of the decoders that build without system packages. On 800
//! photos and one core of a busy machine: 1,073 images/s, against 566 of jpeg-decoder and 522 of
//! mozjpeg without its assembly, and against 666 and 688 of these two with scaled decoding. zune-jpeg
//! cannot decode at a reduced size yet (its issues 103 and 434; pull request 412 is open).

use std::io::BufRead;

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{Picture, check_size, orient};
use crate::error::ImageFault;

pub(super) fn decode_into(
    bytes: &[u8],
    max_pixels: u64,
    picture: &mut Picture,
) -> Result<(), ImageFault> {
    // Not strict: photos in well-known data sets contain stray bytes that every other decoder
    // ignores. A truncated file is detected here instead.
    if !ends_with_its_picture(bytes) {
        return Err(ImageFault::Truncated { format: "JPEG", bytes: bytes.len() });
    }
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(ImageFault::Jpeg)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    check_size(width as u64, height as u64, max_pixels)?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    // A damaged scan does not change the rest of the buffer, which must not contain the previous image.
    picture.rgb.clear();
    picture.rgb.resize(width * height * 3, 128);
    (picture.width, picture.height) = (width as u32, height as u32);
    decoder.decode_into(&mut picture.rgb).map_err(ImageFault::Jpeg)?;
    orient(picture, orientation.unwrap_or(Orientation::NoTransforms));
    Ok(())
}

/// Whether the end-of-image marker follows the scans. The segments before them are stepped over,
/// because a thumbnail in the EXIF data has such a marker too. Markers: ITU-T T.81, table B.1.
fn ends_with_its_picture(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: u8 = 0xD9;
    let mut at = 2;
    let mut in_scan = false;
    while let Some(mut rest) = bytes.get(at..) {
        // The standard library's way to search for one byte with vector instructions.
        let Ok(passed @ 1..) = rest.skip_until(0xFF) else { return false };
        at += passed - 1;
        if bytes[at] != 0xFF {
            return false;
        }
        let Some(&marker) = bytes.get(at + 1) else { return false };
        match marker {
            // A byte 0xFF of the scan, a restart, or padding before a marker.
            0x00 | 0x01 | 0xD0..=0xD8 => at += 2,
            0xFF => at += 1,
            END_OF_IMAGE => return in_scan,
            _ => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                in_scan |= marker == START_OF_SCAN;
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
    false
}
