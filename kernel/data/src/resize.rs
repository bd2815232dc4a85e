//! Resizing to the input size of a network.

use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::crop::Window;
use crate::decode::Picture;

/// The filter that computes the pixels of the resized image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// Bilinear with a support that grows with the reduction (antialias): Pillow's `BILINEAR`, and
    /// so torchvision's `Resize` on a PIL image, and its default on tensors (`antialias=True`).
    #[default]
    Bilinear,
    /// Bilinear between the four nearest pixels, whatever the reduction, with pixel centres at
    /// halves: `tf.image.resize` with its default `antialias=False`, and so
    /// `image_dataset_from_directory`.
    BilinearNoAntialias,
    /// Cubic (a = -0.5) with a support that grows with the reduction: Pillow's `BICUBIC`, and so
    /// torchvision's on a PIL image, but for up to four levels where the cubic overshoots black or white.
    Bicubic,
    /// The nearest pixel, with pixel centres at halves: Pillow's `NEAREST`, and so Keras'
    /// `load_img` and `ImageDataGenerator.flow_from_directory` by default.
    Nearest,
}

/// A resize to `height` × `width` pixels; the aspect ratio is not kept, as in torchvision's
/// `Resize((height, width))` and Keras' `target_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// Height in pixels, at least 1.
    pub height: usize,
    /// Width in pixels, at least 1.
    pub width: usize,
    /// The filter.
    pub filter: Filter,
}

impl Resize {
    /// The resized image: `[height, width, 3]`, each value rounded to 0 to 255.
    pub fn apply(&self, mut picture: Picture) -> Picture {
        let mut rgb = vec![0; self.height * self.width * 3];
        self.apply_into(&mut Resizer::new(), &mut picture, Window::Whole, &mut rgb);
        Picture { width: self.width as u32, height: self.height as u32, rgb }
    }

    /// Resizes a part of an image, which must be inside it, into `out`, which must have
    /// `height * width * 3` bytes. Removes the rest of the image.
    pub(crate) fn apply_into(
        &self,
        resizer: &mut Resizer,
        picture: &mut Picture,
        window: Window,
        out: &mut [u8],
    ) {
        let algorithm = match self.filter {
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Filter::BilinearNoAntialias => ResizeAlg::Interpolation(FilterType::Bilinear),
            Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Filter::Nearest => ResizeAlg::Nearest,
        };
        let mut options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
        match window {
            Window::Whole => {}
            Window::Cut { left, top, width, height } => cut(picture, [left, top, width, height]),
            Window::Within { left, top, width, height } => {
                options = options.crop(left, top, width, height);
            }
        }
        // One concrete type for pixels, source and target: the generic `Resizer::resize` would be compiled in this crate
        // for 26 types, which takes a minute.
        let source =
            TypedImage::<U8x3>::from_buffer(picture.width, picture.height, &mut picture.rgb);
        let target = TypedImage::<U8x3>::from_buffer(self.width as u32, self.height as u32, out);
        // These fail only if the size of a buffer does not match its width and height, from which both were allocated.
        let (Ok(source), Ok(mut target)) = (source, target) else {
            unreachable!("an image's buffer has the size that its width and height say")
        };
        let resized = resizer.resize_typed(&source, &mut target, &options);
        assert!(resized.is_ok(), "the part lies in the image: {resized:?}");
    }
}

/// Reduces an image to a part, `[left, top, width, height]`, in place.
fn cut(picture: &mut Picture, [left, top, width, height]: [u32; 4]) {
    let bytes = |pixels: u32| 3 * pixels as usize;
    for row in 0..height {
        let start = bytes(picture.width) * (top + row) as usize + bytes(left);
        picture.rgb.copy_within(start..start + bytes(width), bytes(width) * row as usize);
    }
    picture.rgb.truncate(bytes(width) * height as usize);
    (picture.width, picture.height) = (width, height);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::pattern;

    /// The red values of a resized pattern of 9 × 11 pixels.
    fn red(filter: Filter, height: usize, width: usize) -> Vec<i32> {
        let resized = Resize { height, width, filter }.apply(pattern(9, 11));
        assert_eq!((resized.height, resized.width), (height as u32, width as u32));
        resized.rgb.iter().step_by(3).map(|&value| i32::from(value)).collect()
    }

    #[track_caller]
    fn assert_within(tolerance: i32, found: &[i32], expected: &[i32]) {
        assert_eq!(found.len(), expected.len());
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance);
        assert!(near, "expected {expected:?} within {tolerance}, found {found:?}");
    }

    /// Pillow 13.0.0: `np.asarray(Image.fromarray(p).resize((width, height), Image.BILINEAR))[..., 0]`
    /// with `r, c, k = np.mgrid[0:9, 0:11, 0:3]; p = ((r*37 + c*91 + k*53) % 256).astype(np.uint8)`.
    #[test]
    fn bilinear_is_pillows() {
        assert_within(
            1,
            &red(Filter::Bilinear, 4, 3),
            &[102, 130, 140, 122, 117, 144, 126, 116, 122, 113, 129, 108],
        );
        let larger = red(Filter::Bilinear, 5, 16);
        assert_within(
            1,
            &larger[..16],
            &[21, 69, 128, 178, 98, 64, 126, 177, 151, 58, 120, 176, 205, 104, 115, 163],
        );
        assert_within(
            1,
            &larger[64..],
            &[37, 76, 130, 192, 114, 75, 125, 187, 161, 56, 118, 129, 104, 78, 113, 161],
        );
    }

    /// As above with `Image.NEAREST`.
    #[test]
    fn nearest_is_pillows() {
        assert_within(
            0,
            &red(Filter::Nearest, 4, 3),
            &[128, 236, 88, 202, 54, 162, 20, 128, 236, 94, 202, 54],
        );
    }

    /// OpenCV 5.0.0, which has TensorFlow's definition (centres at halves, four neighbours):
    /// `np.rint(cv2.resize(p.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))`
    /// for the same `p`.
    #[test]
    fn bilinear_without_antialias_is_that_of_tensorflow() {
        assert_within(
            1,
            &red(Filter::BilinearNoAntialias, 4, 3),
            &[144, 222, 129, 142, 49, 127, 55, 133, 189, 138, 216, 91],
        );
        assert_within(
            1,
            &red(Filter::BilinearNoAntialias, 5, 16)[..16],
            &[15, 63, 126, 188, 99, 57, 120, 183, 157, 52, 114, 177, 215, 102, 108, 157],
        );
    }

    /// The pattern's value at row r, column c and channel k is (37 r + 91 c + 53 k) mod 256.
    #[test]
    fn a_part_that_is_cut_out_has_the_pixels_of_its_place() {
        let mut picture = pattern(9, 11);
        cut(&mut picture, [4, 2, 3, 2]);
        assert_eq!((picture.width, picture.height), (3, 2));
        let red: Vec<u8> = picture.rgb.iter().step_by(3).copied().collect();
        assert_eq!(red, [182, 17, 108, 219, 54, 145]);
        assert_eq!(picture.rgb.len(), 18);
    }

    #[test]
    fn a_picture_of_the_right_size_stays_as_it_is() {
        let picture = pattern(9, 11);
        let same = Resize { height: 9, width: 11, filter: Filter::Bilinear }.apply(picture.clone());
        assert_eq!(same, picture);
    }
}
