//! Maps from pixels of a result to points of an image.

/// A map from the pixel (row, column) of the result to a point of the image: the first two rows
/// of a 3 × 3 matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine(pub(super) [[f64; 3]; 2]);

impl Affine {
    pub(super) fn mirror_across(width: usize) -> Self {
        Self([[1.0, 0.0, 0.0], [0.0, -1.0, width as f64 - 1.0]])
    }

    pub(super) fn mirror_down(height: usize) -> Self {
        Self([[-1.0, 0.0, height as f64 - 1.0], [0.0, 1.0, 0.0]])
    }

    /// Rotates about the centre, in the direction of Keras' `apply_affine_transform`. Unlike that function, it does not
    /// exchange the two coordinates of the centre of an image that is not square.
    pub(super) fn rotation(degrees: f64, height: usize, width: usize) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (row, column) = centre(height, width);
        Self([
            [cos, sin, row - cos * row - sin * column],
            [-sin, cos, column + sin * row - cos * column],
        ])
    }

    pub(super) fn shift(rows: f64, columns: f64) -> Self {
        Self([[1.0, 0.0, rows], [0.0, 1.0, columns]])
    }

    /// Enlarges or reduces about the centre.
    pub(super) fn zoom((down, across): (f64, f64), height: usize, width: usize) -> Self {
        let (row, column) = centre(height, width);
        Self([[down, 0.0, row - down * row], [0.0, across, column - across * column]])
    }

    /// This map after `inner`: `self(inner(p))`.
    pub(super) fn after(self, inner: Self) -> Self {
        let mut out = [[0.0; 3]; 2];
        for (row, out) in self.0.iter().zip(&mut out) {
            for (column, out) in out.iter_mut().enumerate() {
                *out = row[0] * inner.0[0][column] + row[1] * inner.0[1][column];
            }
            out[2] += row[2];
        }
        Self(out)
    }

    #[inline]
    pub(super) fn apply(&self, y: f64, x: f64) -> (f64, f64) {
        let [down, across] = self.0;
        (down[0] * y + down[1] * x + down[2], across[0] * y + across[1] * x + across[2])
    }
}

/// The centre of an image, in the coordinates in which the first pixel's centre is 0.
fn centre(height: usize, width: usize) -> (f64, f64) {
    (height as f64 / 2.0 - 0.5, width as f64 / 2.0 - 0.5)
}
