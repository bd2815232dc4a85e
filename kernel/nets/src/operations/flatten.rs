//! Feature map to vector.

use super::{Mismatch, Rule, map};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Flattens a feature map into a vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {
    /// Default: PyTorch's.
    #[serde(default)]
    pub order: FlattenOrder,
}

/// The order of axes in the flattened vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlattenOrder {
    /// PyTorch's order: the column changes fastest.
    #[default]
    ChannelHeightWidth,
    /// Keras' order: the channel changes fastest.
    HeightWidthChannel,
}

impl Rule for Flatten {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        map(inputs).map(|axes| Shape::Vector([axes.iter().product()]))
    }

    fn keras(&self) -> &'static str {
        "Flatten"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        "Flatten(start_dim=1, end_dim=-1)".into()
    }
}
