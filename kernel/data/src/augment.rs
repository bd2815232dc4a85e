//! Random changes of training images.
//!
//! Keras' geometric changes that follow each other in a list are combined into one map from the
//! pixels of the result to points of the image, so the image is sampled once and blurred once, as
//! in Keras' `ImageDataGenerator`.

mod affine;
mod warp;

use std::fmt;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::preprocess::PixelMap;
use crate::seed::{Purpose, generator};
use affine::Affine;
use warp::{Sampling, Stage};

/// A random change, drawn for each image and epoch.
///
/// Keras' generator rotates, shifts, zooms and mirrors in this order. With the changes in this order,
/// the result equals Keras' for the same angle, shift and zoom.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Augmentation {
    /// Mirrors left and right with probability `p`, 0 to 1: torchvision's `RandomHorizontalFlip`;
    /// Keras' `horizontal_flip` is `p = 0.5`.
    HorizontalFlip {
        /// The probability.
        p: f64,
    },
    /// Mirrors top and bottom with probability `p`, 0 to 1: torchvision's `RandomVerticalFlip`;
    /// Keras' `vertical_flip` is `p = 0.5`.
    VerticalFlip {
        /// The probability.
        p: f64,
    },
    /// Rotates about the centre by an angle drawn uniformly from `-degrees` to `degrees`, with bilinear
    /// interpolation: Keras' `rotation_range` (`apply_affine_transform` with `order=1`).
    Rotation {
        /// The largest angle in degrees, 0 to 180.
        degrees: f64,
        /// The pixels outside the rotated image.
        fill: Fill,
    },
    /// Shifts by a fraction of the height and a fraction of the width, each drawn uniformly from minus to plus
    /// its limit, with bilinear interpolation: Keras' `height_shift_range` and `width_shift_range`
    /// as fractions. (Keras 3.15 exchanges the two axes; here `height` moves up and down.)
    Shift {
        /// The largest share of the height, 0 to 1.
        height: f64,
        /// The largest share of the width, 0 to 1.
        width: f64,
        /// The pixels outside the shifted image.
        fill: Fill,
    },
    /// Enlarges (below 1) or reduces (above 1) height and width, each by a separate factor drawn
    /// uniformly from `low` to `high`, with bilinear interpolation: Keras' `zoom_range=[low, high]`.
    /// Keras' `zoom_range=0.2` is 0.8 to 1.2.
    Zoom {
        /// The smallest factor, above 0.
        low: f64,
        /// The largest factor, at most 100.
        high: f64,
        /// The pixels outside the reduced image.
        fill: Fill,
    },
    /// Rotates about the centre by an angle drawn uniformly from `-degrees` to `degrees`, with the
    /// nearest pixel: torchvision's `RandomRotation` with its default interpolation. Keras' changes
    /// after it in the list use the nearest pixel, too.
    RandomRotation {
        /// The largest angle in degrees, 0 to 180.
        degrees: f64,
        /// The colour outside the rotated image, RGB, each 0 to 255; torchvision's default is black.
        fill: [f32; 3],
    },
}

impl Augmentation {
    /// Mirrors with probability 0.5: Keras' `horizontal_flip=True`.
    pub const FLIP: Self = Self::HorizontalFlip { p: 0.5 };

    /// The report's augmentation: Keras' `rotation_range=180` with its default
    /// `fill_mode="nearest"`.
    pub const ROTATION_180: Self = Self::Rotation { degrees: 180.0, fill: Fill::Nearest };
}

/// The pixels outside an image that was rotated, shifted or reduced: Keras' `fill_mode`, as SciPy's
/// `affine_transform` defines it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Fill {
    /// The nearest pixel of the edge: `nearest`.
    #[default]
    Nearest,
    /// One colour, RGB, each 0 to 255; a point beyond the centres of the outermost pixels is
    /// outside: `constant` with `cval`.
    Constant([f32; 3]),
    /// The image mirrored at its edges, `d c b a | a b c d | d c b a`: `reflect`.
    Reflect,
    /// The image repeated, with the first pixel on the last one: `wrap`.
    Wrap,
}

/// A drawn change, in pixels of the resized image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Left and right are exchanged.
    MirroredAcross,
    /// Top and bottom are exchanged.
    MirroredDown,
    /// [`Augmentation::Rotation`] by this angle.
    Turned {
        /// The angle; Keras' `theta`.
        degrees: f64,
        /// The pixels outside.
        fill: Fill,
    },
    /// [`Augmentation::Shift`] by a number of pixels: the result at row r and column c is the image
    /// at (r + `rows`, c + `columns`).
    Shifted {
        /// Down in the image, up in the result.
        rows: f64,
        /// To the right in the image, to the left in the result.
        columns: f64,
        /// The pixels outside.
        fill: Fill,
    },
    /// [`Augmentation::Zoom`] by these factors.
    Zoomed {
        /// The factor of the height.
        height: f64,
        /// The factor of the width.
        width: f64,
        /// The pixels outside.
        fill: Fill,
    },
    /// [`Augmentation::RandomRotation`] by this angle.
    TurnedToNearest {
        /// The angle, counter-clockwise.
        degrees: f64,
        /// The colour outside.
        fill: [f32; 3],
    },
}

/// Draws the changes of one image of `(height, width)` pixels, which depend only on `seed`, `epoch` and
/// `index`.
pub(crate) fn draw(
    list: &[Augmentation],
    (height, width): (usize, usize),
    (seed, epoch, index): (u64, u64, usize),
) -> Vec<Change> {
    if list.is_empty() {
        return Vec::new();
    }
    let mut random = generator(Purpose::Augment, seed, epoch, index as u64);
    let mut changes = Vec::with_capacity(list.len());
    for change in list {
        match *change {
            Augmentation::HorizontalFlip { p } => {
                if random.random_bool(p) {
                    changes.push(Change::MirroredAcross);
                }
            }
            Augmentation::VerticalFlip { p } => {
                if random.random_bool(p) {
                    changes.push(Change::MirroredDown);
                }
            }
            Augmentation::Rotation { degrees, fill } => {
                let degrees = random.random_range(-degrees..=degrees);
                changes.push(Change::Turned { degrees, fill });
            }
            Augmentation::Shift { height: down, width: across, fill } => {
                let rows = random.random_range(-down..=down) * height as f64;
                let columns = random.random_range(-across..=across) * width as f64;
                changes.push(Change::Shifted { rows, columns, fill });
            }
            Augmentation::Zoom { low, high, fill } => {
                let height = random.random_range(low..=high);
                let width = random.random_range(low..=high);
                changes.push(Change::Zoomed { height, width, fill });
            }
            Augmentation::RandomRotation { degrees, fill } => {
                let degrees = random.random_range(-degrees..=degrees);
                changes.push(Change::TurnedToNearest { degrees, fill });
            }
        }
    }
    changes
}

/// Changes and preprocesses an image: `[height, width, 3]` bytes to `[3, height, width]` values.
/// `memory` is reused from image to image.
pub(crate) fn apply(
    changes: &[Change],
    rgb: &[u8],
    size: (usize, usize),
    pixels: &PixelMap,
    memory: &mut Vec<[f32; 4]>,
    out: &mut [f32],
) {
    let plan = Plan::new(changes, size);
    if !plan.stages.is_empty() {
        warp::apply(&plan.stages, rgb, size, pixels, memory, out);
        return;
    }
    let (height, width) = size;
    pixels.planes(rgb, out);
    if plan.across {
        out.chunks_exact_mut(width).for_each(<[f32]>::reverse);
    }
    if plan.down {
        for plane in out.chunks_exact_mut(height * width) {
            let (upper, rest) = plane.split_at_mut(height / 2 * width);
            let lower = &mut rest[height % 2 * width..];
            let rows = upper.chunks_exact_mut(width).zip(lower.chunks_exact_mut(width).rev());
            rows.for_each(|(a, b)| a.swap_with_slice(b));
        }
    }
}

/// The execution of changes.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// The samplings in the order of the changes; empty if there are only flips.
    stages: Vec<Stage>,
    /// Without stages: whether left and right are exchanged.
    across: bool,
    /// Without stages: whether top and bottom are exchanged.
    down: bool,
}

impl Plan {
    fn new(changes: &[Change], (height, width): (usize, usize)) -> Self {
        let mut plan = Self::default();
        for change in changes {
            let (map, sampling) = match *change {
                Change::MirroredAcross => {
                    plan.across ^= true;
                    (Affine::mirror_across(width), Sampling::None)
                }
                Change::MirroredDown => {
                    plan.down ^= true;
                    (Affine::mirror_down(height), Sampling::None)
                }
                Change::Turned { degrees, fill } => {
                    (Affine::rotation(degrees, height, width), Sampling::Bilinear(fill))
                }
                Change::Shifted { rows, columns, fill } => {
                    (Affine::shift(rows, columns), Sampling::Bilinear(fill))
                }
                Change::Zoomed { height: down, width: across, fill } => {
                    (Affine::zoom((down, across), height, width), Sampling::Bilinear(fill))
                }
                Change::TurnedToNearest { degrees, fill } => {
                    (Affine::rotation(degrees, height, width), Sampling::Nearest(fill))
                }
            };
            match plan.stages.last_mut() {
                Some(last) if last.joins(sampling) => last.join(map, sampling),
                _ => plan.stages.push(Stage { map, sampling }),
            }
        }
        if plan.stages.iter().all(|stage| stage.sampling == Sampling::None) {
            plan.stages.clear();
        }
        plan
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HorizontalFlip { p } => write!(f, "horizontal flip (p = {p})"),
            Self::VerticalFlip { p } => write!(f, "vertical flip (p = {p})"),
            Self::Rotation { degrees, .. } => write!(f, "rotation up to {degrees}°"),
            Self::Shift { height, width, .. } => {
                write!(f, "shift up to {height} of the height and {width} of the width")
            }
            Self::Zoom { low, high, .. } => write!(f, "zoom {low} to {high}"),
            Self::RandomRotation { degrees, .. } => {
                write!(f, "rotation up to {degrees}° (nearest pixel)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::pattern;
    use crate::preprocess::Preprocessing;

    const SIZE: (usize, usize) = (5, 5);

    /// The red plane of the pattern of 5 × 5 pixels after changes, values 0 to 255.
    fn red(changes: &[Change]) -> Vec<f32> {
        let mut out = vec![0.0; 3 * 5 * 5];
        let unscaled = PixelMap::new(&Preprocessing::Custom(Vec::new()));
        apply(changes, &pattern(5, 5).rgb, SIZE, &unscaled, &mut Vec::new(), &mut out);
        out.truncate(25);
        out
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f32]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-3);
        assert!(near && found.len() == expected.len(), "expected {expected:?}, found {found:?}");
    }

    fn turned(degrees: f64, fill: Fill) -> Change {
        Change::Turned { degrees, fill }
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
        assert_close(&red(&[turned(30.0, Fill::Nearest)]), &expected);
    }

    /// As above with `fill_mode="constant", cval=10`.
    #[test]
    fn a_rotation_with_a_constant_is_keras() {
        let expected = [
            10.0, 10.0, 26.914, 124.222, 10.0, 74.84, 172.149, 124.308, 110.765, 10.0, 61.383,
            141.543, 0.0, 97.308, 194.617, 10.0, 145.235, 114.543, 83.851, 129.713, 10.0, 131.778,
            229.086, 10.0, 10.0,
        ];
        assert_close(&red(&[turned(30.0, Fill::Constant([10.0; 3]))]), &expected);
    }

    /// SciPy 1.17.1: `affine_transform(np.arange(10., 60, 10), [[1.]], [p], order=1, mode=mode)`.
    #[test]
    fn points_outside_are_scipys() {
        let row = |value: f32| [value, value, value, 0.0];
        // One row of five, with the last row and column twice.
        let values = [10.0, 20.0, 30.0, 40.0, 50.0, 50.0].map(row);
        let source = warp::Source { pixels: &[values, values].concat(), height: 1, width: 5 };
        for (at, reflected, wrapped) in [
            (-6.3, 47.0, 27.0),
            (-5.2, 50.0, 38.0),
            (-1.2, 12.0, 38.0),
            (-0.2, 10.0, 48.0),
            (4.5, 50.0, 15.0),
            (5.3, 47.0, 23.0),
            (9.4, 10.0, 24.0),
            (11.2, 22.0, 42.0),
        ] {
            let found = [source.reflected(0.0, at)[0], source.wrapped(0.0, at)[0]];
            assert_close(&found, &[reflected, wrapped]);
        }
    }

    #[test]
    fn half_a_turn_reverses_the_pixels() {
        let mut expected = red(&[]);
        expected.reverse();
        assert_close(&red(&[turned(180.0, Fill::Nearest)]), &expected);
        let nearest = Change::TurnedToNearest { degrees: 180.0, fill: [0.0; 3] };
        assert_close(&red(&[nearest]), &expected);
        assert_eq!(red(&[Change::MirroredAcross, Change::MirroredDown]), expected);
    }

    #[test]
    fn a_quarter_counter_clockwise_moves_the_right_column_to_the_top() {
        let nearest = Change::TurnedToNearest { degrees: 90.0, fill: [0.0; 3] };
        let (before, after) = (red(&[]), red(&[nearest]));
        assert_eq!(after[..5], [before[4], before[9], before[14], before[19], before[24]]);
        assert_close(&red(&[turned(90.0, Fill::Nearest)]), &after);
    }

    #[test]
    fn a_flip_mirrors_each_row_or_each_column() {
        let mut across = red(&[]);
        across.chunks_exact_mut(5).for_each(<[f32]>::reverse);
        assert_eq!(red(&[Change::MirroredAcross]), across);
        let down: Vec<f32> = red(&[]).chunks_exact(5).rev().flatten().copied().collect();
        assert_eq!(red(&[Change::MirroredDown]), down);
    }

    #[test]
    fn a_shift_by_whole_pixels_moves_them() {
        let fill = Fill::Constant([7.0; 3]);
        let before = red(&[]);
        let after = red(&[Change::Shifted { rows: 1.0, columns: -2.0, fill }]);
        assert_eq!(after[..5], [7.0, 7.0, before[5], before[6], before[7]]);
        assert_eq!(after[20..], [7.0; 5]);
    }

    #[test]
    fn changes_apply_in_their_order_with_one_sampling() {
        let (flip, still) = (Change::MirroredAcross, turned(0.0, Fill::Nearest));
        let expected = red(&[flip]);
        assert_close(&red(&[still, flip]), &expected);
        assert_eq!(red(&[flip, flip]), red(&[]));
        assert_eq!(Plan::new(&[turned(5.0, Fill::Wrap), flip, still], SIZE).stages.len(), 1);
        // Mirroring after a rotation equals rotating the mirrored image in the other direction.
        let there = Affine::rotation(20.0, 5, 5).after(Affine::mirror_across(5));
        let back = Affine::mirror_across(5).after(Affine::rotation(-20.0, 5, 5));
        for (a, b) in there.0.as_flattened().iter().zip(back.0.as_flattened()) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    /// Two rotations with the nearest pixel are two samplings: two quarter turns are exactly a half turn,
    /// and a flip between them is executed between them.
    #[test]
    fn samplings_of_the_nearest_pixel_follow_each_other() {
        let quarter = Change::TurnedToNearest { degrees: 90.0, fill: [0.0; 3] };
        let half = Change::TurnedToNearest { degrees: 180.0, fill: [0.0; 3] };
        assert_eq!(red(&[quarter, quarter]), red(&[half]));
        assert_eq!(
            red(&[quarter, Change::MirroredAcross, quarter]),
            red(&[Change::MirroredAcross])
        );
    }

    #[test]
    fn draws_depend_on_seed_epoch_and_index() {
        let list = [Augmentation::ROTATION_180];
        let base = draw(&list, SIZE, (1, 2, 3));
        assert_eq!(base, draw(&list, SIZE, (1, 2, 3)));
        for key in [(2, 2, 3), (1, 3, 3), (1, 2, 4)] {
            assert_ne!(base, draw(&list, SIZE, key));
        }
    }

    #[test]
    fn a_flip_with_one_half_is_drawn_about_half_of_the_time() {
        let flips = (0..1000)
            .filter(|&index| !draw(&[Augmentation::FLIP], SIZE, (7, 0, index)).is_empty())
            .count();
        // 500 with a deviation of 15.8; four deviations on either side.
        assert!((437..=563).contains(&flips), "{flips}");
    }
}
