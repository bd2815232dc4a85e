//! Crops: the part of an image that a network sees.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::seed::{Purpose, generator};

/// The part of an image that is resized to the input size of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Crop {
    /// The whole image; the aspect ratio changes: torchvision's `Resize((height, width))`, Keras'
    /// `target_size` and `image_size`.
    #[default]
    None,
    /// The middle of the image after its shorter side was resized to `shorter` pixels: torchvision's
    /// `Resize(shorter)` followed by `CenterCrop((height, width))`. Its weights for 224 × 224 pixels
    /// are evaluated with 256.
    Center {
        /// Length of the shorter side before the middle is cut out, in pixels; at least the larger
        /// of the loader's height and width.
        shorter: usize,
    },
    /// The largest part from the middle that has the aspect ratio of the result: Keras'
    /// `crop_to_aspect_ratio=True`.
    AspectRatio,
    /// A part drawn for each image and epoch: torchvision's `RandomResizedCrop`.
    RandomResized {
        /// The smallest and the largest share of the image's area, above 0 to 1.
        scale: [f64; 2],
        /// The smallest and the largest ratio of width to height.
        ratio: [f64; 2],
    },
}

impl Crop {
    /// torchvision's `RandomResizedCrop` with its defaults: 8% to 100% of the area, 3:4 to 4:3.
    pub const RANDOM_RESIZED: Self =
        Self::RandomResized { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] };

    /// Whether the part is drawn at random.
    pub fn is_random(&self) -> bool {
        matches!(self, Self::RandomResized { .. })
    }

    /// The crop for validation and test: the same crop, or the middle if this crop is random. torchvision's middle is
    /// 224 of 256 pixels.
    pub(crate) fn for_evaluation(self, (height, width): (usize, usize)) -> Self {
        match self {
            Self::RandomResized { .. } => Self::Center {
                shorter: (height.max(width) as f64 * 256.0 / 224.0).round() as usize,
            },
            other => other,
        }
    }

    /// The part of an image of `source` that becomes `target`, both `(height, width)` in pixels.
    /// Random choices depend only on `seed`, `epoch` and `index`.
    pub(crate) fn window(
        &self,
        source: (u32, u32),
        target: (usize, usize),
        (seed, epoch, index): (u64, u64, usize),
    ) -> Window {
        match *self {
            Self::None => Window::Whole,
            Self::Center { shorter } => center(source, target, shorter),
            Self::AspectRatio => aspect_ratio(source, target),
            Self::RandomResized { scale, ratio } => {
                let random = generator(Purpose::Crop, seed, epoch, index as u64);
                random_resized(source, scale, ratio, random)
            }
        }
    }
}

/// The part of an image that is resized, in pixels of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Window {
    /// The whole image.
    #[default]
    Whole,
    /// Cut out and then resized, so that pixels outside the part have no influence.
    Cut {
        /// First column.
        left: u32,
        /// First row.
        top: u32,
        /// Columns, at least 1.
        width: u32,
        /// Rows, at least 1.
        height: u32,
    },
    /// Resized with its surroundings and then cut out, so that pixels outside the part influence those
    /// at its edge.
    Within {
        /// Left edge.
        left: f64,
        /// Upper edge.
        top: f64,
        /// Distance to the right edge.
        width: f64,
        /// Distance to the lower edge.
        height: f64,
    },
}

/// torchvision 0.26, `functional.py`: `_compute_resized_output_size` and `center_crop`. Resizing
/// only the kept part gives the same pixels as resizing the whole image.
fn center(source: (u32, u32), target: (usize, usize), shorter: usize) -> Window {
    let (height, width) = (f64::from(source.0), f64::from(source.1));
    let (short, long) = if height < width { (height, width) } else { (width, height) };
    let new_long = (shorter as f64 * long / short).floor();
    let (new_height, new_width) =
        if height < width { (shorter as f64, new_long) } else { (new_long, shorter as f64) };
    let (rows, columns) = (target.0 as f64, target.1 as f64);
    // Python's `round` rounds halves to the even neighbour.
    let top = ((new_height - rows) / 2.0).round_ties_even();
    let left = ((new_width - columns) / 2.0).round_ties_even();
    let (down, across) = (height / new_height, width / new_width);
    Window::Within {
        left: left * across,
        top: top * down,
        width: (columns * across).min(width - left * across),
        height: (rows * down).min(height - top * down),
    }
}

/// Keras 3.15, `keras/src/utils/image_utils.py`: `smart_resize`.
fn aspect_ratio((height, width): (u32, u32), target: (usize, usize)) -> Window {
    let side = |along: u32, target_along: usize, across: u32, target_across: usize| {
        let wanted = f64::from(across) * target_along as f64 / target_across as f64;
        (wanted as u32).min(along).max(1)
    };
    let rows = side(height, target.0, width, target.1);
    let columns = side(width, target.1, height, target.0);
    Window::Cut {
        left: (width - columns) / 2,
        top: (height - rows) / 2,
        width: columns,
        height: rows,
    }
}

/// torchvision 0.26, `RandomResizedCrop.get_params`.
fn random_resized(
    (height, width): (u32, u32),
    scale: [f64; 2],
    ratio: [f64; 2],
    mut random: impl Rng,
) -> Window {
    const TRIES: usize = 10;
    let area = f64::from(height) * f64::from(width);
    for _ in 0..TRIES {
        let wanted = area * random.random_range(scale[0]..=scale[1]);
        let aspect = random.random_range(ratio[0].ln()..=ratio[1].ln()).exp();
        let columns = (wanted * aspect).sqrt().round_ties_even();
        let rows = (wanted / aspect).sqrt().round_ties_even();
        let fits = (1.0..=f64::from(width)).contains(&columns)
            && (1.0..=f64::from(height)).contains(&rows);
        if fits {
            let (rows, columns) = (rows as u32, columns as u32);
            let top = random.random_range(0..=height - rows);
            let left = random.random_range(0..=width - columns);
            return Window::Cut { left, top, width: columns, height: rows };
        }
    }
    let found = f64::from(width) / f64::from(height);
    let (rows, columns) = if found < ratio[0] {
        ((f64::from(width) / ratio[0]).round_ties_even() as u32, width)
    } else if found > ratio[1] {
        (height, (f64::from(height) * ratio[1]).round_ties_even() as u32)
    } else {
        (height, width)
    };
    let (rows, columns) = (rows.clamp(1, height), columns.clamp(1, width));
    Window::Cut {
        left: (width - columns) / 2,
        top: (height - rows) / 2,
        width: columns,
        height: rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(crop: Crop, source: (u32, u32), target: (usize, usize)) -> Window {
        crop.window(source, target, (0, 0, 0))
    }

    /// By torchvision's rules: 375 × 500 becomes 256 × 341, of which row 16 and column 58 are the
    /// first that are kept ((341 - 224) / 2 = 58.5, rounded to even).
    #[test]
    fn the_middle_is_torchvisions() {
        let found = window(Crop::Center { shorter: 256 }, (375, 500), (224, 224));
        let Window::Within { left, top, width, height } = found else { panic!("{found:?}") };
        let (down, across) = (375.0 / 256.0, 500.0 / 341.0);
        for (found, expected) in [
            (left, 58.0 * across),
            (top, 16.0 * down),
            (width, 224.0 * across),
            (height, 224.0 * down),
        ] {
            assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
        }
    }

    /// Keras: `crop_height = int(500 * 100 / 200) = 250`, `crop_width = min(500, int(375 * 2)) = 500`.
    #[test]
    fn the_aspect_ratio_is_kept_as_by_keras() {
        let found = window(Crop::AspectRatio, (375, 500), (100, 200));
        assert_eq!(found, Window::Cut { left: 0, top: 62, width: 500, height: 250 });
    }

    #[test]
    fn random_crops_have_the_area_and_the_ratio_asked_for() {
        let crop = Crop::RandomResized { scale: [0.25, 0.5], ratio: [0.5, 2.0] };
        let mut shares = Vec::new();
        for index in 0..500 {
            let found = crop.window((375, 500), (224, 224), (3, 1, index));
            let Window::Cut { left, top, width, height } = found else { panic!("{found:?}") };
            assert!(left + width <= 500 && top + height <= 375);
            let share = f64::from(width * height) / (375.0 * 500.0);
            let ratio = f64::from(width) / f64::from(height);
            // Rounding to whole pixels moves each a little beyond its limit.
            assert!((0.24..=0.51).contains(&share) && (0.49..=2.02).contains(&ratio));
            shares.push(share);
        }
        let mean = shares.iter().sum::<f64>() / 500.0;
        // Even between 0.25 and 0.5, so 0.375 with a deviation of 0.0032 for 500; parts that do not
        // fit into the image are drawn again, which are more often large ones.
        assert!((0.35..0.39).contains(&mean), "{mean}");
    }

    /// No part of an image of 10 × 1000 pixels has a ratio of 3:4 to 4:3 and 8% of the area, so it
    /// is torchvision's fallback: the middle with the widest ratio, 13 × 10.
    #[test]
    fn a_picture_without_such_a_part_gives_its_middle() {
        let found = window(Crop::RANDOM_RESIZED, (10, 1000), (224, 224));
        assert_eq!(found, Window::Cut { left: 493, top: 0, width: 13, height: 10 });
    }

    #[test]
    fn evaluation_sees_the_middle_in_place_of_a_random_part() {
        let size = (224, 224);
        assert_eq!(Crop::RANDOM_RESIZED.for_evaluation(size), Crop::Center { shorter: 256 });
        assert_eq!(Crop::AspectRatio.for_evaluation(size), Crop::AspectRatio);
    }
}
