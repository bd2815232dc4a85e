//! Pooling.

use super::{Mismatch, Padding, Rule, map, short, windows};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Largest value of each window; padding is never the maximum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Rows and columns between two windows.
    pub stride: [usize; 2],
    /// Rows and columns around the map, at most half of the window. Default: none.
    #[serde(default, skip_serializing_if = "Padding::is_default")]
    pub padding: Padding,
}

impl MaxPool2d {
    /// Square windows beside each other; an incomplete last row or column is dropped.
    pub fn square(side: usize) -> Self {
        Self { kernel: [side; 2], stride: [side; 2], padding: Padding::default() }
    }
}

impl Rule for MaxPool2d {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let input = map(inputs)?;
        let Padding { top, bottom, left, right } = self.padding;
        if top.max(bottom) > self.kernel[0] / 2 || left.max(right) > self.kernel[1] / 2 {
            let kernel = format!("{} × {}", self.kernel[0], self.kernel[1]);
            let expected = format!("a padding of at most half of the window ({kernel})");
            return Err(Mismatch::new(expected, format!("{:?}", <[usize; 4]>::from(self.padding))));
        }
        let [height, width] = windows(input, self.kernel, self.stride, self.padding)?;
        Ok(Shape::Map([input[0], height, width]))
    }

    fn keras(&self) -> &'static str {
        "MaxPooling2D"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        let padding = match self.padding.symmetric() {
            Some(sides) => short(sides),
            None => self.padding.pytorch(),
        };
        format!(
            "MaxPool2d(kernel_size={}, stride={}, padding={padding}, dilation=1, ceil_mode=False)",
            short(self.kernel),
            short(self.stride)
        )
    }
}

/// Average of each window. Zeros of the padding count, as in PyTorch's default (`count_include_pad=True`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Rows and columns between two windows.
    pub stride: [usize; 2],
    /// Zeros around the map. Default: none.
    #[serde(default, skip_serializing_if = "Padding::is_default")]
    pub padding: Padding,
}

impl Rule for AvgPool2d {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let input = map(inputs)?;
        let [height, width] = windows(input, self.kernel, self.stride, self.padding)?;
        Ok(Shape::Map([input[0], height, width]))
    }

    fn keras(&self) -> &'static str {
        "AveragePooling2D"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        let padding = match self.padding.symmetric() {
            Some(sides) => short(sides),
            None => self.padding.pytorch(),
        };
        format!(
            "AvgPool2d(kernel_size={}, stride={}, padding={padding})",
            short(self.kernel),
            short(self.stride)
        )
    }
}

/// Averages a map of any size to `output`. Row i of n averages the rows from ⌊i · height / n⌋ to
/// ⌈(i + 1) · height / n⌉ (aten/src/ATen/native/AdaptivePooling.h).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveAvgPool2d {
    /// Rows and columns of the output.
    pub output: [usize; 2],
}

impl Rule for AdaptiveAvgPool2d {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let [channels, ..] = map(inputs)?;
        let [height, width] = self.output;
        if height == 0 || width == 0 {
            return Err(Mismatch::new(
                "an output of at least 1 × 1",
                format!("{height} × {width}"),
            ));
        }
        Ok(Shape::Map([channels, height, width]))
    }

    fn keras(&self) -> &'static str {
        "AdaptiveAvgPool2d"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        let [height, width] = self.output;
        format!("AdaptiveAvgPool2d(output_size=({height}, {width}))")
    }
}

/// Average of each channel: `[channels, h, w]` to `[channels]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool2d {}

impl Rule for GlobalAvgPool2d {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let [channels, ..] = map(inputs)?;
        Ok(Shape::Vector([channels]))
    }

    fn keras(&self) -> &'static str {
        "GlobalAveragePooling2D"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        "AdaptiveAvgPool2d(output_size=(1, 1))".into()
    }
}
