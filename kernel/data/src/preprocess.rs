//! Preprocessing: from 8-bit RGB to the values for the first layer, by the convention of the weights.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decode::Picture;

/// The preprocessing of pixels. Wrong preprocessing is a silent error: the network runs, but is less accurate. So the
/// convention belongs to the weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Preprocessing {
    /// `x / 255`, RGB, 0 to 1: Keras' `ImageDataGenerator(rescale=1./255)`, for random weights.
    #[default]
    Rescaled,
    /// `(x / 255 - mean) / std` with ImageNet's mean (0.485, 0.456, 0.406) and deviation (0.229,
    /// 0.224, 0.225), RGB: torchvision's weights (`VGG16_Weights.IMAGENET1K_V1.transforms()`).
    Torchvision,
    /// BGR, minus ImageNet's mean (103.939, 116.779, 123.68), not scaled: the weights of the VGG
    /// authors, and so `keras.applications.vgg16.preprocess_input` (mode `caffe`).
    Caffe,
    /// Custom steps, applied in order.
    Custom(Vec<PixelStep>),
}

/// One step on the three values of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum PixelStep {
    /// Multiplies each value: Keras' `rescale`. `Rescale(1.0 / 255.0)` gives 0 to 1.
    Rescale(f32),
    /// `(x - mean) / std` for each channel, in the current order of the channels:
    /// torchvision's `Normalize`.
    Normalize {
        /// Subtracted from each channel.
        mean: [f32; 3],
        /// Divides each channel; not 0.
        std: [f32; 3],
    },
    /// Red, green, blue become blue, green, red.
    ReverseChannels,
}

impl Preprocessing {
    /// The steps in order.
    pub fn steps(&self) -> Vec<PixelStep> {
        match self {
            Self::Rescaled => vec![PixelStep::Rescale(1.0 / 255.0)],
            Self::Torchvision => vec![
                PixelStep::Rescale(1.0 / 255.0),
                PixelStep::Normalize { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
            ],
            Self::Caffe => vec![
                PixelStep::ReverseChannels,
                PixelStep::Normalize { mean: [103.939, 116.779, 123.68], std: [1.0; 3] },
            ],
            Self::Custom(steps) => steps.clone(),
        }
    }

    /// The values of one image, `[3, height, width]`.
    pub fn apply(&self, picture: &Picture) -> Vec<f32> {
        let mut out = vec![0.0; picture.rgb.len()];
        PixelMap::new(self).planes(&picture.rgb, &mut out);
        out
    }
}

impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rescaled => write!(f, "x / 255, RGB"),
            Self::Torchvision => write!(f, "(x / 255 - mean) / std of ImageNet, RGB"),
            Self::Caffe => write!(f, "x - mean of ImageNet, BGR"),
            Self::Custom(steps) => write!(f, "{steps:?}"),
        }
    }
}

/// The steps as one operation for each channel of the result.
pub(crate) struct PixelMap {
    channels: [Channel; 3],
}

struct Channel {
    /// The source channel in the RGB image.
    source: usize,
    scale: f32,
    offset: f32,
    /// The result for each 8-bit value, computed by the steps, so the rounding is the same.
    table: [f32; 256],
}

impl PixelMap {
    pub(crate) fn new(preprocessing: &Preprocessing) -> Self {
        let mut channels = [0, 1, 2].map(|source| Channel {
            source,
            scale: 1.0,
            offset: 0.0,
            table: std::array::from_fn(|value| value as f32),
        });
        for step in preprocessing.steps() {
            if step == PixelStep::ReverseChannels {
                channels.reverse();
                continue;
            }
            for (index, channel) in channels.iter_mut().enumerate() {
                let apply = |x: f32| match step {
                    PixelStep::Rescale(factor) => x * factor,
                    PixelStep::Normalize { mean, std } => (x - mean[index]) / std[index],
                    PixelStep::ReverseChannels => x,
                };
                channel.table = channel.table.map(apply);
                let slope = match step {
                    PixelStep::Rescale(factor) => factor,
                    PixelStep::Normalize { std, .. } => 1.0 / std[index],
                    PixelStep::ReverseChannels => 1.0,
                };
                channel.offset = apply(channel.offset);
                channel.scale *= slope;
            }
        }
        Self { channels }
    }

    /// `[height, width, 3]` bytes to `[3, height, width]` values.
    pub(crate) fn planes(&self, rgb: &[u8], out: &mut [f32]) {
        for (channel, plane) in self.channels.iter().zip(out.chunks_exact_mut(rgb.len() / 3)) {
            for (value, pixel) in plane.iter_mut().zip(rgb.as_chunks::<3>().0) {
                *value = channel.table[usize::from(pixel[channel.source])];
            }
        }
    }

    /// `[height, width, 3]` bytes to `[height + 1, width + 1, 4]` values, of which the fourth is 0. The
    /// last row and the last column are repeated, so that every pixel has a right and a lower neighbour.
    pub(crate) fn interleaved(&self, rgb: &[u8], width: usize, out: &mut Vec<[f32; 4]>) {
        let [a, b, c] = &self.channels;
        let value =
            |channel: &Channel, pixel: &[u8; 3]| channel.table[usize::from(pixel[channel.source])];
        out.clear();
        out.reserve((rgb.len() / (3 * width) + 1) * (width + 1));
        for row in rgb.chunks_exact(3 * width) {
            let pixels = row.as_chunks::<3>().0.iter();
            out.extend(
                pixels.map(|pixel| [value(a, pixel), value(b, pixel), value(c, pixel), 0.0]),
            );
            out.extend_from_within(out.len() - 1..);
        }
        out.extend_from_within(out.len() - (width + 1)..);
    }

    /// One colour with fractions, 0 to 255.
    pub(crate) fn pixel(&self, rgb: [f32; 3]) -> [f32; 4] {
        let value = |channel: &Channel| rgb[channel.source] * channel.scale + channel.offset;
        let [a, b, c] = &self.channels;
        [value(a), value(b), value(c), 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One orange pixel, R 255, G 128, B 0.
    fn orange(preprocessing: &Preprocessing) -> Vec<f32> {
        preprocessing.apply(&Picture { width: 1, height: 1, rgb: vec![255, 128, 0] })
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: [f64; 3]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 2e-5, "{found} for {expected}");
        }
    }

    /// 128 / 255 = 0.501961.
    #[test]
    fn rescaled_is_a_fraction_of_255() {
        assert_close(&orange(&Preprocessing::Rescaled), [1.0, 0.501_961, 0.0]);
    }

    /// By hand: (1 - 0.485) / 0.229, (0.501961 - 0.456) / 0.224, (0 - 0.406) / 0.225.
    #[test]
    fn torchvision_normalises_red_first() {
        assert_close(&orange(&Preprocessing::Torchvision), [2.248_908, 0.205_182, -1.804_444]);
    }

    /// By hand: 0 - 103.939, 128 - 116.779, 255 - 123.68.
    #[test]
    fn caffe_puts_blue_first() {
        assert_close(&orange(&Preprocessing::Caffe), [-103.939, 11.221, 131.32]);
    }

    #[test]
    fn custom_steps_apply_in_their_order() {
        let normalize = PixelStep::Normalize { mean: [1.0, 2.0, 3.0], std: [1.0, 2.0, 4.0] };
        let after = vec![PixelStep::ReverseChannels, PixelStep::Rescale(0.5), normalize];
        assert_close(&orange(&Preprocessing::Custom(after)), [-1.0, 31.0, 31.125]);
        let before = vec![normalize, PixelStep::ReverseChannels];
        assert_close(&orange(&Preprocessing::Custom(before)), [-0.75, 63.0, 254.0]);
    }

    #[test]
    fn both_ways_of_preprocessing_agree() {
        let steps = [Preprocessing::Rescaled, Preprocessing::Torchvision, Preprocessing::Caffe];
        for preprocessing in steps {
            let planes = orange(&preprocessing);
            let map = PixelMap::new(&preprocessing);
            let mut interleaved = Vec::new();
            map.interleaved(&[255, 128, 0], 1, &mut interleaved);
            assert_eq!(interleaved.len(), 4);
            assert!(interleaved.iter().all(|pixel| pixel[..3] == planes));
            let exact = map.pixel([255.0, 128.0, 0.0]);
            for (a, b) in exact.iter().zip(&planes) {
                assert!((a - b).abs() < 2e-5, "{a} {b}");
            }
        }
    }
}
