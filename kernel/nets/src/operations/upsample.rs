//! Upsampling.

use super::{Mismatch, Rule, map};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Repeats each row and column: `[channels, h, w]` to `[channels, h · scale[0], w · scale[1]]` (interpolation to the
/// nearest neighbour).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upsample {
    /// Repetitions of each row and each column.
    pub scale: [usize; 2],
}

impl Rule for Upsample {
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let [channels, height, width] = map(inputs)?;
        let [rows, columns] = self.scale;
        if rows == 0 || columns == 0 {
            return Err(Mismatch::new("a scale of at least 1 × 1", format!("{rows} × {columns}")));
        }
        Ok(Shape::Map([channels, height.saturating_mul(rows), width.saturating_mul(columns)]))
    }

    fn keras(&self) -> &'static str {
        "UpSampling2D"
    }

    fn pytorch(&self, _inputs: &[Shape]) -> String {
        match self.scale {
            [rows, columns] if rows == columns => {
                format!("Upsample(scale_factor={rows}.0, mode='nearest')")
            }
            [rows, columns] => {
                format!("Upsample(scale_factor=({rows}.0, {columns}.0), mode='nearest')")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_axis_grows_by_its_scale() {
        let output = |scale, shape| Upsample { scale }.output(&[shape]);
        let map = Shape::Map([4, 6, 5]);
        assert_eq!(output([2, 3], map), Ok(Shape::Map([4, 12, 15])));
        let error = output([2, 0], map).unwrap_err();
        assert_eq!((&*error.expected, &*error.got), ("a scale of at least 1 × 1", "2 × 0"));
        let error = output([2, 2], Shape::Vector([4])).unwrap_err();
        assert_eq!(error.got, "[4]");
    }

    #[test]
    fn it_is_printed_as_pytorch_prints_it() {
        // torch 2.11: print(nn.Upsample(scale_factor=2)), print(nn.Upsample(scale_factor=(2, 3)))
        let printed = |scale| Upsample { scale }.pytorch(&[]);
        assert_eq!(printed([2, 2]), "Upsample(scale_factor=2.0, mode='nearest')");
        assert_eq!(printed([2, 3]), "Upsample(scale_factor=(2.0, 3.0), mode='nearest')");
    }
}
