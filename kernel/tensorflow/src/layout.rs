//! Conversion between Benchbook's layout and Keras' (TensorFlow's).

use benchbook_nets::Shape;

/// The order of a parameter's values in TensorFlow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As in Benchbook.
    Same,
    /// `[outputs, inputs]` in Benchbook, `[inputs, outputs]` in TensorFlow.
    Dense { outputs: usize, inputs: usize },
    /// `[outputs, inputs, rows, columns]` in Benchbook, `[rows, columns, inputs, outputs]` in TensorFlow; `taps` is
    /// rows · columns.
    Convolution { outputs: usize, inputs: usize, taps: usize },
}

impl Layout {
    pub(crate) fn of(shape: &[usize]) -> Self {
        match *shape {
            [outputs, inputs] => Layout::Dense { outputs, inputs },
            [outputs, inputs, rows, columns] => {
                Layout::Convolution { outputs, inputs, taps: rows * columns }
            }
            _ => Layout::Same,
        }
    }

    /// The shape in TensorFlow.
    pub(crate) fn inside(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Layout::Dense { outputs, inputs }, _) => vec![inputs, outputs],
            (Layout::Convolution { .. }, [outputs, inputs, rows, columns]) => {
                vec![*rows, *columns, *inputs, *outputs]
            }
            _ => shape.to_vec(),
        }
    }

    /// Both slices have the parameter's length.
    pub(crate) fn to_inside(self, from: &[f32], to: &mut [f32]) {
        match self {
            Layout::Same => to.copy_from_slice(from),
            Layout::Dense { outputs, inputs } => transpose(from, to, outputs, inputs),
            Layout::Convolution { outputs, inputs, taps } => {
                let row = |column: usize| (column % taps) * inputs + column / taps;
                tiles(outputs, inputs * taps, |at, column| {
                    to[row(column) * outputs + at] = from[at * inputs * taps + column];
                });
            }
        }
    }

    /// Both slices have the parameter's length.
    pub(crate) fn to_outside(self, from: &[f32], to: &mut [f32]) {
        match self {
            Layout::Same => to.copy_from_slice(from),
            Layout::Dense { outputs, inputs } => transpose(from, to, inputs, outputs),
            Layout::Convolution { outputs, inputs, taps } => {
                let row = |column: usize| (column % taps) * inputs + column / taps;
                tiles(outputs, inputs * taps, |at, column| {
                    to[at * inputs * taps + column] = from[row(column) * outputs + at];
                });
            }
        }
    }
}

/// The axes of one example in TensorFlow: `[height, width, channels]` or `[length]`.
pub(crate) fn channels_last(shape: Shape) -> Vec<usize> {
    match shape {
        Shape::Map([channels, height, width]) => vec![height, width, channels],
        Shape::Vector([length]) => vec![length],
    }
}

/// A batch from `[batch, channels, height, width]` to `[batch, height, width, channels]`; vectors stay as they are.
pub(crate) fn batch_to_inside(shape: Shape, from: &[f32], to: &mut [f32]) {
    batch(shape, from, to, transpose);
}

/// The inverse of [`batch_to_inside`].
pub(crate) fn batch_to_outside(shape: Shape, from: &[f32], to: &mut [f32]) {
    batch(shape, from, to, |from, to, channels, pixels| transpose(from, to, pixels, channels));
}

fn batch(
    shape: Shape,
    from: &[f32],
    to: &mut [f32],
    copy: impl Fn(&[f32], &mut [f32], usize, usize),
) {
    let Shape::Map([channels, height, width]) = shape else { return to.copy_from_slice(from) };
    for (from, to) in from.chunks_exact(shape.len()).zip(to.chunks_exact_mut(shape.len())) {
        copy(from, to, channels, height * width);
    }
}

/// `[rows, columns]` to `[columns, rows]`.
fn transpose(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    tiles(rows, columns, |row, column| to[column * rows + row] = from[row * columns + column]);
}

/// Visits every cell of a table tile by tile, so that both the read and the written values stay in
/// the CPU's cache.
fn tiles(rows: usize, columns: usize, mut visit: impl FnMut(usize, usize)) {
    const SIDE: usize = 32;
    for top in (0..rows).step_by(SIDE) {
        for left in (0..columns).step_by(SIDE) {
            for row in top..rows.min(top + SIDE) {
                for column in left..columns.min(left + SIDE) {
                    visit(row, column);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_becomes_rows_columns_inputs_outputs() {
        // Value = 1000·output + 100·input + 10·row + column, so that each value encodes its position.
        let shape = [33, 2, 3, 3];
        let layout = Layout::of(&shape);
        assert_eq!(layout.inside(&shape), [3, 3, 2, 33]);
        let mut outside = Vec::new();
        for output in 0..33 {
            for input in 0..2 {
                for tap in 0..9 {
                    outside.push((1000 * output + 100 * input + 10 * (tap / 3) + tap % 3) as f32);
                }
            }
        }
        let mut inside = vec![0.0; outside.len()];
        layout.to_inside(&outside, &mut inside);
        let at = |row: usize, column: usize, input: usize, output: usize| {
            inside[((row * 3 + column) * 2 + input) * 33 + output]
        };
        assert_eq!(at(0, 0, 0, 0), 0.0);
        assert_eq!(at(2, 1, 1, 32), 32_121.0);
        assert_eq!(at(0, 2, 0, 7), 7_002.0);
        let mut back = vec![0.0; outside.len()];
        layout.to_outside(&inside, &mut back);
        assert_eq!(back, outside);
    }

    #[test]
    fn a_dense_layer_and_an_image_are_transposed_and_back() {
        let layout = Layout::of(&[2, 3]);
        let mut inside = [0.0; 6];
        layout.to_inside(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut inside);
        assert_eq!(inside, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let mut back = [0.0; 6];
        layout.to_outside(&inside, &mut back);
        assert_eq!(back, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);

        // Two images of two channels and two pixels.
        let shape = Shape::Map([2, 1, 2]);
        let images = [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0];
        let mut last = [0.0; 8];
        batch_to_inside(shape, &images, &mut last);
        assert_eq!(last, [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0]);
        let mut first = [0.0; 8];
        batch_to_outside(shape, &last, &mut first);
        assert_eq!(first, images);
    }
}
