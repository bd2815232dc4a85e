//! Convolution.

use super::{Mismatch, Padding, Rule, Tensor, map, pair, windows};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// A two-dimensional cross-correlation: `[inputs, h, w]` to `[channels, h', w']`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    pub channels: usize,
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Rows and columns between two windows. Default: 1.
    #[serde(default = "ones")]
    pub stride: [usize; 2],
    /// Zeros around the map. Default: none.
    #[serde(default, skip_serializing_if = "Padding::is_default")]
    pub padding: Padding,
    /// Groups of channels that are convolved separately; both channel counts are multiples of it. Default: 1.
    #[serde(default = "one")]
    pub groups: usize,
    /// Whether a bias is added. Default: true.
    #[serde(default = "yes")]
    pub bias: bool,
}

fn ones() -> [usize; 2] {
    [1, 1]
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl Conv2d {
    /// A square window with stride 1 that keeps the map's size (Keras' `padding="same"`).
    pub fn same(channels: usize, side: usize) -> Self {
        Self { padding: Padding::same([side; 2]), ..Self::valid(channels, side) }
    }

    /// A square window with stride 1 and no padding.
    pub fn valid(channels: usize, side: usize) -> Self {
        let padding = Padding::default();
        Self { channels, kernel: [side; 2], stride: [1, 1], padding, groups: 1, bias: true }
    }

    /// A square window without bias that keeps the map's size, or halves it with stride 2.
    pub(crate) fn unbiased(channels: usize, side: usize, stride: usize) -> Self {
        let padding = Padding::all(side / 2);
        Self { stride: [stride; 2], padding, bias: false, ..Self::valid(channels, side) }
    }
}

impl Rule for Conv2d {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let input = map(inputs)?;
        let Self { channels, groups, .. } = *self;
        if channels == 0 {
            return Err(Mismatch::new("at least 1 output channel", 0));
        }
        if groups == 0 || !input[0].is_multiple_of(groups) || !channels.is_multiple_of(groups) {
            return Err(Mismatch::new(
                "groups that divide input and output channels",
                format!("{groups} groups for {} input and {channels} output channels", input[0]),
            ));
        }
        let [height, width] = windows(input, self.kernel, self.stride, self.padding)?;
        Ok(Shape::Map([channels, height, width]))
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<(&'static str, Tensor)> {
        let [rows, columns] = self.kernel;
        let inputs = inputs[0].channels() / self.groups;
        let shape = vec![self.channels, inputs, rows, columns];
        let mut parameters = vec![("weight", Tensor::he(shape, inputs * rows * columns))];
        if self.bias {
            parameters.push(("bias", Tensor::constant(self.channels, 0.0)));
        }
        parameters
    }

    fn keras(&self) -> &'static str {
        "Conv2D"
    }

    fn pytorch(&self, inputs: &[Shape]) -> String {
        let mut text = format!(
            "Conv2d({}, {}, kernel_size={}, stride={}",
            inputs[0].channels(),
            self.channels,
            pair(self.kernel),
            pair(self.stride)
        );
        if !self.padding.is_none() {
            text += &format!(", padding={}", self.padding.pytorch());
        }
        if self.groups != 1 {
            text += &format!(", groups={}", self.groups);
        }
        if !self.bias {
            text += ", bias=False";
        }
        text + ")"
    }
}
