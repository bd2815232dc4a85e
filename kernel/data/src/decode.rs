//! Decodes the bytes of an image file to 8-bit RGB.

mod jpeg;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::{DataError, ImageFault};

/// Images with more pixels than this are refused unless a larger limit is set: the number at
/// which Pillow warns of a decompression bomb (`PIL.Image.MAX_IMAGE_PIXELS`, a quarter of a
/// gibibyte of RGB).
pub const DEFAULT_MAX_PIXELS: u64 = 89_478_485;

/// A decoded image.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Red, green and blue, each 0 to 255: `[height, width, 3]`.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Reads and decodes a file, whatever its extension, with at most `max_pixels` pixels. The file may have 8 bytes for each of
    /// these pixels plus 16 MiB. Pipes and devices are not opened.
    ///
    /// Grey and CMYK images become RGB, 16-bit channels are rounded to 8, transparency is
    /// dropped (as by Pillow's `convert("RGB")`), and a JPEG is rotated by its EXIF orientation
    /// (unlike in torchvision's `ImageFolder` and Keras).
    ///
    /// # Errors
    /// [`DataError::BadImage`] with the path and the reason.
    pub fn open(path: &Path, max_pixels: u64) -> Result<Self, DataError> {
        let mut picture = Self::default();
        let mut bytes = Vec::new();
        read_bytes(path, max_pixels, &mut bytes)
            .and_then(|()| decode_safely(&bytes, max_pixels, &mut picture))
            .map_err(|fault| DataError::BadImage { path: path.into(), fault })?;
        Ok(picture)
    }

    /// Decodes the bytes of a file as [`open`](Self::open) does.
    ///
    /// # Errors
    /// The reason why these bytes are not a usable image.
    pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<Self, ImageFault> {
        let mut picture = Self::default();
        decode_safely(bytes, max_pixels, &mut picture)?;
        Ok(picture)
    }
}

impl fmt::Debug for Picture {
    /// The size only: the values would fill a notebook.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({} × {} pixels)", self.width, self.height)
    }
}

/// Bytes of the largest pixel of these formats: RGBA with 16 bits a channel.
const PIXEL: u64 = 8;
/// Bytes that a file may have beside its pixels: profiles, previews, a camera's metadata.
const METADATA: u64 = 16 << 20;

/// Reads a file. `bytes` keeps its memory between calls, which avoids the page faults of new memory
/// for every file. A file that is larger than `max_pixels` uncompressed pixels and their metadata is not read.
pub(crate) fn read_bytes(
    path: &Path,
    max_pixels: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), ImageFault> {
    bytes.clear();
    let file = open_file(path).map_err(ImageFault::Read)?;
    let limit = max_pixels.saturating_mul(PIXEL).saturating_add(METADATA);
    let size = file.metadata().map_err(ImageFault::Read)?.len();
    if size > limit {
        return Err(ImageFault::TooManyBytes { bytes: size, limit });
    }
    bytes.reserve(usize::try_from(size).unwrap_or(0));
    file.take(limit).read_to_end(bytes).map_err(ImageFault::Read)?;
    Ok(())
}

/// Opens a file for reading. A pipe, socket, device or folder is an error at once: opening a pipe would
/// wait for a writer, and a device may have no end.
///
/// # Errors
/// The errors of the file system; [`ErrorKind::InvalidInput`] with the kind of the entry if it is not a file.
pub fn open_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    let kind = |file: &fs::Metadata| {
        let kind = file.file_type();
        let name = match () {
            () if kind.is_file() => return Ok(()),
            () if kind.is_dir() => "a folder",
            () if kind.is_fifo() => "a named pipe",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        Err(io::Error::new(ErrorKind::InvalidInput, format!("expected a file, found {name}")))
    };
    // Check first without opening, which has effects on some devices; then, without waiting, check the opened file.
    kind(&fs::metadata(path)?)?;
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    kind(&file.metadata()?)?;
    Ok(file)
}

/// Decodes the bytes of a file into `picture`, whose memory is reused. A panic of a decoder counts as an error of the
/// file, so that a training continues.
pub(crate) fn decode_safely(
    bytes: &[u8],
    max_pixels: u64,
    picture: &mut Picture,
) -> Result<(), ImageFault> {
    catch_unwind(AssertUnwindSafe(|| decode_into(bytes, max_pixels, picture)))
        .unwrap_or(Err(ImageFault::DecoderPanicked))
}

fn decode_into(bytes: &[u8], max_pixels: u64, picture: &mut Picture) -> Result<(), ImageFault> {
    if bytes.is_empty() {
        return Err(ImageFault::Empty);
    }
    match image::guess_format(bytes).ok().and_then(|format| Some((format, name(format)?))) {
        Some((ImageFormat::Jpeg, _)) => jpeg::decode_into(bytes, max_pixels, picture),
        Some((format, name)) => {
            *picture = decode_other(bytes, format, name, max_pixels)?;
            Ok(())
        }
        None => Err(ImageFault::NotAnImage { found: beginning(bytes) }),
    }
}

/// The name of a supported format.
fn name(format: ImageFormat) -> Option<&'static str> {
    match format {
        ImageFormat::Jpeg => Some("JPEG"),
        ImageFormat::Png => Some("PNG"),
        ImageFormat::WebP => Some("WebP"),
        ImageFormat::Bmp => Some("BMP"),
        _ => None,
    }
}

fn decode_other(
    bytes: &[u8],
    format: ImageFormat,
    name: &'static str,
    max_pixels: u64,
) -> Result<Picture, ImageFault> {
    let fault = |source| classify(source, name, bytes.len());
    let mut decoder =
        ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into(), max_pixels)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_pixels.saturating_mul(PIXEL));
    decoder.set_limits(limits).map_err(fault)?;
    let orientation = decoder.orientation().map_err(fault)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(fault)?;
    image.apply_orientation(orientation);
    let rgb = image.into_rgb8();
    Ok(Picture { width: rgb.width(), height: rgb.height(), rgb: rgb.into_raw() })
}

/// The fault of a file. A decoder that needs more bytes than the file has found a truncated file.
fn classify(source: image::ImageError, format: &'static str, bytes: usize) -> ImageFault {
    match &source {
        image::ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            ImageFault::Truncated { format, bytes }
        }
        _ => ImageFault::Decode { format, source },
    }
}

fn check_size(width: u64, height: u64, limit: u64) -> Result<(), ImageFault> {
    if width == 0 || height == 0 {
        return Err(ImageFault::NoPixels { width, height });
    }
    if width.saturating_mul(height) > limit {
        return Err(ImageFault::TooLarge { width, height, limit });
    }
    Ok(())
}

/// Rotates and mirrors an image by its EXIF orientation.
fn orient(picture: &mut Picture, orientation: Orientation) {
    if orientation == Orientation::NoTransforms {
        return;
    }
    let rgb = std::mem::take(&mut picture.rgb);
    if let Some(buffer) = image::RgbImage::from_raw(picture.width, picture.height, rgb) {
        let mut image = DynamicImage::ImageRgb8(buffer);
        image.apply_orientation(orientation);
        let turned = image.into_rgb8();
        (picture.width, picture.height) = turned.dimensions();
        picture.rgb = turned.into_raw();
    }
}

/// The first bytes of a file, for a message.
fn beginning(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(24)];
    let dots = if bytes.len() > head.len() { "…" } else { "" };
    format!("{} bytes that begin with \"{}{dots}\"", bytes.len(), head.escape_ascii())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The image that the expected values of this crate's tests were computed from: at row r,
    /// column c and channel k the value (37 r + 91 c + 53 k) mod 256.
    pub(crate) fn pattern(height: u32, width: u32) -> Picture {
        let value = |r: u32, c: u32, k: u32| ((r * 37 + c * 91 + k * 53) % 256) as u8;
        let rgb = (0..height)
            .flat_map(|r| (0..width).flat_map(move |c| (0..3).map(move |k| value(r, c, k))))
            .collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn the_limit_counts_pixels_and_does_not_overflow() {
        assert!(check_size(10, 10, 100).is_ok());
        assert!(check_size(10, 10, 99).is_err());
        assert!(check_size(u64::MAX, 2, DEFAULT_MAX_PIXELS).is_err());
    }

    /// An image without pixels would leave the previous image in the reused memory.
    #[test]
    fn a_bmp_without_rows_or_columns_is_refused() {
        for (width, height) in [(4u32, 0u32), (0, 4)] {
            let mut bytes = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
            bytes.extend(width.to_le_bytes().into_iter().chain(height.to_le_bytes()));
            // One plane, 24 bits a pixel, uncompressed; the rest of the header may be 0.
            bytes.extend([1, 0, 24, 0]);
            bytes.resize(54, 0);
            assert!(Picture::decode(&bytes, DEFAULT_MAX_PIXELS).is_err(), "{width} × {height}");
        }
    }
}
