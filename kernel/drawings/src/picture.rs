//! One image: which one it is, and how it is drawn.

use image::codecs::jpeg::JpegEncoder;
use image::{ImageResult, RgbImage};
use tiny_skia::{Pixmap, Transform};

use crate::animal::{self, Animal};
use crate::colour::Palette;
use crate::dice::Dice;
use crate::figure::{Figure, Style};
use crate::light::Light;
use crate::scene;

/// JPEG quality of the written images, 1 to 100.
pub const JPEG_QUALITY: u8 = 90;

/// The part of a data set that an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Images for training.
    Train,
    /// Images for validation.
    Validation,
    /// Images without a label.
    Test,
}

impl Split {
    /// All parts, in the order in which they are written.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name of the part's folder: `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Width and height of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Squares with this side in pixels.
    Square(u32),
    /// The longer side has this many pixels; the shorter side has between half of them and all.
    /// Portrait and landscape images are equally frequent, as in a folder of photos.
    Photo(u32),
}

/// One image of the endless sequence of a seed and a split.
///
/// Its content depends only on these numbers, not on the number of images, their order or the
/// number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The seed of the data set.
    pub seed: u64,
    /// The part of the data set.
    pub split: Split,
    /// The number in that part, from 0.
    pub index: u32,
    /// The number of classes, 2 to 10: [`Animal::of_classes`].
    pub classes: usize,
}

impl Picture {
    /// The animal of the image. In labelled parts the classes alternate; in the test part it is random.
    pub fn animal(&self) -> Animal {
        let animals = Animal::of_classes(self.classes);
        let last = animals.len() - 1;
        let class = match self.split {
            Split::Train | Split::Validation => self.index as usize % animals.len(),
            Split::Test => {
                let lot = self.dice(Purpose::Animal).between(0.0, animals.len() as f32);
                last - (lot as usize).min(last)
            }
        };
        animals[class]
    }

    /// Draws the image.
    pub fn draw(&self, frame: Frame) -> RgbImage {
        let mut dice = self.dice(Purpose::Drawing);
        let (wide, high) = extent(frame, &mut dice);
        let palette = Palette::new(&mut dice);
        let style = Style::new(&mut dice);
        let light = Light::new(&mut dice);
        let place = Place::new(&mut dice);
        let Some(mut canvas) = Pixmap::new(wide, high) else { return RgbImage::new(wide, high) };
        scene::draw(&mut canvas, &palette, &mut dice);
        let figure = animal::figure(self.animal(), palette, &mut dice);
        let transform = place.transform(&figure, wide as f32, high as f32);
        figure.draw(&mut canvas, transform, &style, palette.ink);
        // The canvas is opaque, so its colours need no division by the opacity.
        let picture = RgbImage::from_fn(wide, high, |x, y| {
            let at = (y as usize * wide as usize + x as usize) * 4;
            image::Rgb([canvas.data()[at], canvas.data()[at + 1], canvas.data()[at + 2]])
        });
        light.fall_on(picture, &mut self.dice(Purpose::Noise))
    }

    /// Draws the image and encodes it as a JPEG file.
    ///
    /// # Errors
    /// A side is longer than the 65,535 pixels that the format allows.
    pub fn jpeg(&self, frame: Frame) -> ImageResult<Vec<u8>> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(&self.draw(frame))?;
        Ok(bytes)
    }

    fn dice(&self, purpose: Purpose) -> Dice {
        let stream = (self.split as u64) << 40 | (purpose as u64) << 32 | u64::from(self.index);
        Dice::new(self.seed, stream)
    }
}

/// The purpose of a stream of random numbers. Separate streams keep an image's content independent of its size.
#[derive(Clone, Copy)]
enum Purpose {
    Drawing,
    Noise,
    Animal,
}

fn extent(frame: Frame, dice: &mut Dice) -> (u32, u32) {
    let (ratio, upright) = (dice.between(0.5, 1.0), dice.chance(0.5));
    match frame {
        Frame::Square(side) => (side, side),
        Frame::Photo(longer) => {
            let shorter = ((longer as f32 * ratio) as u32).max(1);
            if upright { (shorter, longer) } else { (longer, shorter) }
        }
    }
}

/// The place of the animal in the image, measured on the box around its silhouette, so that both
/// animals have the same sizes and distances from the centre.
struct Place {
    /// Longer side of the box as a fraction of the image's shorter side.
    size: f32,
    /// Position of the box in the remaining space, -1 to 1 in each direction.
    offset: (f32, f32),
    degrees: f32,
    /// Factor on the animal's width.
    stretch: f32,
}

impl Place {
    fn new(dice: &mut Dice) -> Self {
        Self {
            size: dice.between(0.78, 1.04),
            offset: (dice.between(-1.0, 1.0), dice.between(-1.0, 1.0)),
            degrees: dice.around_zero(22.0),
            stretch: 1.0 + dice.around_zero(0.12),
        }
    }

    fn transform(&self, figure: &Figure, wide: f32, high: f32) -> Transform {
        let Some(bounds) = figure.bounds() else { return Transform::identity() };
        let scale = self.size * wide.min(high) / bounds.width().max(bounds.height()).max(1e-6);
        let room = |side: f32, taken: f32| ((side * 1.04 - taken) / 2.0).max(0.0);
        let middle = (
            wide / 2.0 + self.offset.0 * room(wide, bounds.width() * scale),
            high / 2.0 + self.offset.1 * room(high, bounds.height() * scale),
        );
        Transform::from_translate(
            -(bounds.left() + bounds.right()) / 2.0,
            -(bounds.top() + bounds.bottom()) / 2.0,
        )
        .post_scale(scale * self.stretch, scale / self.stretch)
        .post_rotate(self.degrees)
        .post_translate(middle.0, middle.1)
    }
}
