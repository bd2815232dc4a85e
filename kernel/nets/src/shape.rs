//! Shapes of one example's values, without the batch axis.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The shape of one example. In JSON `[channels, height, width]` or `[length]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shape {
    /// A feature map: `[channels, height, width]`.
    Map([usize; 3]),
    /// A vector: `[length]`.
    Vector([usize; 1]),
}

impl Shape {
    /// The lengths of the axes.
    pub fn axes(&self) -> &[usize] {
        match self {
            Shape::Map(axes) => axes,
            Shape::Vector(axes) => axes,
        }
    }

    /// Number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.axes().iter().product()
    }

    /// Channels of a map, or the length of a vector.
    pub fn channels(&self) -> usize {
        self.axes()[0]
    }
}

impl From<[usize; 3]> for Shape {
    fn from(axes: [usize; 3]) -> Self {
        Shape::Map(axes)
    }
}

impl From<[usize; 1]> for Shape {
    fn from(axes: [usize; 1]) -> Self {
        Shape::Vector(axes)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.axes())
    }
}
