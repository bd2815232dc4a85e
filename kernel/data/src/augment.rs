//! Random changes of training pictures.
//!
//! The geometric changes of a list are combined into one map from the pixels of the result to
//! points of the picture, so the picture is sampled once and blurred once, as in Keras'
//! `ImageDataGenerator`.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::preprocess::PixelMap;
use crate::seed::{Purpose, generator};

/// A random change, drawn anew for each picture and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Augmentation {
    /// Mirrors left and right with probability `p`, 0 to 1: torchvision's `RandomHorizontalFlip`;
    /// Keras' `horizontal_flip` is `p = 0.5`.
    HorizontalFlip {
        /// The probability.
        p: f64,
    },
    /// Turns about the centre by an angle drawn evenly from `-degrees` to `degrees`, with bilinear
    /// interpolation: Keras' `rotation_range` (`apply_affine_transform` with `order=1`).
    Rotation {
        /// The largest angle in degrees, 0 to 180.
        degrees: f64,
        /// What is seen where the turned picture does not reach.
        fill: Fill,
    },
}

impl Augmentation {
    /// Mirrored or not with equal chance: Keras' `horizontal_flip=True`.
    pub const FLIP: Self = Self::HorizontalFlip { p: 0.5 };

    /// The report's augmentation: Keras' `rotation_range=180` with its default
    /// `fill_mode="nearest"`.
    pub const ROTATION_180: Self = Self::Rotation { degrees: 180.0, fill: Fill::Nearest };
}

/// What is seen outside of a picture that was turned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Fill {
    /// The nearest pixel of the edge: Keras' and SciPy's `nearest`.
    #[default]
    Nearest,
    /// One colour, RGB, each 0 to 255; a point beyond the centres of the outermost pixels is
    /// outside: Keras' and SciPy's `constant`, but for SciPy's treatment of the last pixel's width.
    Constant([f32; 3]),
}

/// A map from the pixel (row, column) of the result to a point of the picture: the first two rows
/// of a 3 × 3 matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Affine([[f64; 3]; 2]);

impl Affine {
    const IDENTITY: Self = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);

    fn flip(width: usize) -> Self {
        Self([[1.0, 0.0, 0.0], [0.0, -1.0, width as f64 - 1.0]])
    }

    /// Turns about the centre, in the direction of Keras' `apply_affine_transform`. That function
    /// exchanges the two coordinates of the centre of a picture that is not square; this does not.
    fn rotation(degrees: f64, height: usize, width: usize) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (row, column) = (height as f64 / 2.0 - 0.5, width as f64 / 2.0 - 0.5);
        Self([
            [cos, sin, row - cos * row - sin * column],
            [-sin, cos, column + sin * row - cos * column],
        ])
    }

    /// This map after `inner`: `self(inner(p))`.
    fn after(self, inner: Self) -> Self {
        let mut out = [[0.0; 3]; 2];
        for (row, out) in self.0.iter().zip(&mut out) {
            for (column, out) in out.iter_mut().enumerate() {
                *out = row[0] * inner.0[0][column] + row[1] * inner.0[1][column];
            }
            out[2] += row[2];
        }
        Self(out)
    }
}

/// What the draws for one picture came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Draw {
    /// The picture as it is.
    Unchanged,
    /// Mirrored only, which moves pixels and makes none.
    Mirrored,
    /// Sampled through a map.
    Mapped(Mapped),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mapped {
    map: Affine,
    fill: Fill,
}

/// Draws the changes of one picture, which depend on `seed`, `epoch` and `index` only. The fill of
/// the last rotation in the list holds for the whole map.
pub(crate) fn draw(
    list: &[Augmentation],
    (height, width): (usize, usize),
    seed: u64,
    epoch: u64,
    index: usize,
) -> Draw {
    let mut random = generator(Purpose::Augment, seed, epoch, index as u64);
    let (mut map, mut fill) = (Affine::IDENTITY, None);
    for change in list {
        match *change {
            Augmentation::HorizontalFlip { p } => {
                if random.random_bool(p) {
                    map = map.after(Affine::flip(width));
                }
            }
            Augmentation::Rotation { degrees, fill: outside } => {
                let angle = random.random_range(-degrees..=degrees);
                map = map.after(Affine::rotation(angle, height, width));
                fill = Some(outside);
            }
        }
    }
    match fill {
        Some(fill) => Draw::Mapped(Mapped { map, fill }),
        None if map == Affine::IDENTITY => Draw::Unchanged,
        None => Draw::Mirrored,
    }
}

impl Draw {
    /// Changes and preprocesses a picture: `[height, width, 3]` bytes to `[3, height, width]`.
    pub(crate) fn apply(
        &self,
        rgb: &[u8],
        (height, width): (usize, usize),
        pixels: &PixelMap,
        out: &mut [f32],
    ) {
        match self {
            Self::Unchanged => pixels.planes(rgb, out),
            Self::Mirrored => {
                pixels.planes(rgb, out);
                out.chunks_exact_mut(width).for_each(<[f32]>::reverse);
            }
            Self::Mapped(mapped) => mapped.apply(rgb, (height, width), pixels, out),
        }
    }
}

impl Mapped {
    /// Preprocesses first and samples then: preprocessing is linear in each channel and the weights
    /// of an interpolation add up to 1, so the order does not matter, and four lanes a pixel are
    /// what a processor adds and multiplies at once.
    fn apply(
        &self,
        rgb: &[u8],
        (height, width): (usize, usize),
        pixels: &PixelMap,
        out: &mut [f32],
    ) {
        let source = Source { pixels: pixels.interleaved(rgb), height, width };
        let outside = match self.fill {
            Fill::Nearest => None,
            Fill::Constant(colour) => Some(pixels.pixel(colour)),
        };
        let (first, rest) = out.split_at_mut(height * width);
        let (second, third) = rest.split_at_mut(height * width);
        let planes = first
            .chunks_exact_mut(width)
            .zip(second.chunks_exact_mut(width))
            .zip(third.chunks_exact_mut(width));
        let [down, across] = self.map.0;
        for (row, ((first, second), third)) in planes.enumerate() {
            let y = down[0] * row as f64 + down[2];
            let x = across[0] * row as f64 + across[2];
            let values = first.iter_mut().zip(second).zip(third);
            for (column, ((first, second), third)) in values.enumerate() {
                let (y, x) = (y + down[1] * column as f64, x + across[1] * column as f64);
                [*first, *second, *third, _] = source.sample(outside, y, x);
            }
        }
    }
}

/// A preprocessed picture, with a fourth value that is not used.
struct Source {
    pixels: Vec<[f32; 4]>,
    height: usize,
    width: usize,
}

impl Source {
    /// The values at a point between pixel centres, interpolated between the four around it.
    #[inline]
    fn sample(&self, outside: Option<[f32; 4]>, y: f64, x: f64) -> [f32; 4] {
        let (bottom, right) = ((self.height - 1) as f64, (self.width - 1) as f64);
        if let Some(colour) = outside
            && !((0.0..=bottom).contains(&y) && (0.0..=right).contains(&x))
        {
            return colour;
        }
        let (y, x) = (y.clamp(0.0, bottom), x.clamp(0.0, right));
        // Through i32, which is one instruction; the clamp has made both small and positive.
        let (top, left) = (y as i32, x as i32);
        let (dy, dx) = ((y - f64::from(top)) as f32, (x - f64::from(left)) as f32);
        let (top, left) = (top as usize, left as usize);
        let beside = usize::from(left + 1 < self.width);
        let below = if top + 1 < self.height { self.width } else { 0 };
        let at = top * self.width + left;
        let (a, b) = (self.pixels[at], self.pixels[at + beside]);
        let (c, d) = (self.pixels[at + below], self.pixels[at + below + beside]);
        std::array::from_fn(|i| {
            let upper = a[i] + (b[i] - a[i]) * dx;
            let lower = c[i] + (d[i] - c[i]) * dx;
            upper + (lower - upper) * dy
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::pattern;
    use crate::preprocess::Preprocessing;

    const SIZE: (usize, usize) = (5, 5);

    /// The red plane of the pattern of 5 × 5 pixels after a change, values 0 to 255.
    fn red(draw: Draw) -> Vec<f32> {
        let mut out = vec![0.0; 3 * 5 * 5];
        let unscaled = PixelMap::new(&Preprocessing::Custom(Vec::new()));
        draw.apply(&pattern(5, 5).rgb, SIZE, &unscaled, &mut out);
        out.truncate(25);
        out
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f32]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-3);
        assert!(near && found.len() == expected.len(), "expected {expected:?}, found {found:?}");
    }

    fn turned(degrees: f64, fill: Fill) -> Draw {
        Draw::Mapped(Mapped { map: Affine::rotation(degrees, 5, 5), fill })
    }

    /// `apply_affine_transform` of Keras 3.15.1 (`keras/src/legacy/preprocessing/image.py`, with
    /// SciPy 1.17.1) on the pattern as float32: `theta=30, row_axis=0, col_axis=1, channel_axis=2,
    /// fill_mode="nearest", order=1`, channel 0.
    #[test]
    fn a_rotation_with_the_nearest_pixel_is_keras() {
        let expected = [
            115.383, 159.894, 26.914, 124.222, 154.914, 74.84, 172.149, 124.308, 110.765, 186.957,
            61.383, 141.543, 0.0, 97.308, 194.617, 69.043, 145.235, 114.543, 83.851, 129.713,
            101.086, 131.778, 229.086, 96.106, 140.617,
        ];
        assert_close(&red(turned(30.0, Fill::Nearest)), &expected);
    }

    /// As above with `fill_mode="constant", cval=10`, but for the pixel (1, 4): its point is 0.232
    /// pixels beyond the right edge, which SciPy counts as inside (186.957), though not the pixel
    /// opposite, (3, 0), which is as far beyond the left edge.
    #[test]
    fn a_rotation_with_a_constant_is_keras() {
        let expected = [
            10.0, 10.0, 26.914, 124.222, 10.0, 74.84, 172.149, 124.308, 110.765, 10.0, 61.383,
            141.543, 0.0, 97.308, 194.617, 10.0, 145.235, 114.543, 83.851, 129.713, 10.0, 131.778,
            229.086, 10.0, 10.0,
        ];
        assert_close(&red(turned(30.0, Fill::Constant([10.0; 3]))), &expected);
    }

    #[test]
    fn half_a_turn_reverses_the_pixels() {
        let mut expected = red(Draw::Unchanged);
        expected.reverse();
        assert_close(&red(turned(180.0, Fill::Nearest)), &expected);
    }

    #[test]
    fn a_flip_mirrors_each_row() {
        let mut expected = red(Draw::Unchanged);
        expected.chunks_exact_mut(5).for_each(<[f32]>::reverse);
        assert_eq!(red(draw(&[Augmentation::HorizontalFlip { p: 1.0 }], SIZE, 0, 0, 0)), expected);
    }

    #[test]
    fn changes_apply_in_their_order_with_one_sampling() {
        let flip = Augmentation::HorizontalFlip { p: 1.0 };
        let still = Augmentation::Rotation { degrees: 0.0, fill: Fill::Nearest };
        let expected = red(draw(&[flip], SIZE, 0, 0, 0));
        assert_close(&red(draw(&[still, flip], SIZE, 0, 0, 0)), &expected);
        assert_eq!(draw(&[flip, flip], SIZE, 0, 0, 0), Draw::Unchanged);
        // Mirroring after a turn to one side is turning the mirrored picture to the other side.
        let there = Affine::rotation(20.0, 5, 5).after(Affine::flip(5));
        let back = Affine::flip(5).after(Affine::rotation(-20.0, 5, 5));
        for (a, b) in there.0.as_flattened().iter().zip(back.0.as_flattened()) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn draws_depend_on_seed_epoch_and_index() {
        let list = [Augmentation::ROTATION_180];
        let base = draw(&list, SIZE, 1, 2, 3);
        assert_eq!(base, draw(&list, SIZE, 1, 2, 3));
        for (seed, epoch, index) in [(2, 2, 3), (1, 3, 3), (1, 2, 4)] {
            assert_ne!(base, draw(&list, SIZE, seed, epoch, index));
        }
    }

    #[test]
    fn a_flip_with_one_half_is_drawn_about_half_of_the_time() {
        let flips = (0..1000)
            .filter(|&index| draw(&[Augmentation::FLIP], SIZE, 7, 0, index) == Draw::Mirrored)
            .count();
        // 500 with a deviation of 15.8; four deviations on either side.
        assert!((437..=563).contains(&flips), "{flips}");
    }
}
