//! Samples that are not image files.

use std::error::Error;

use crate::decode::Picture;
use crate::error::DataError;

/// The reason why a sample cannot be read.
pub type SampleFault = Box<dyn Error + Send + Sync>;

/// A custom source of samples by index, like `torch.utils.data.Dataset`.
/// [`Split::from_samples`](crate::Split::from_samples) creates a split from it; the
/// [`Loader`](crate::Loader) then adds order, batches, threads and repetition.
pub trait Samples: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of one sample for the net, without the batch: `[channels, height, width]`
    /// or `[features]`.
    fn shape(&self) -> &[usize];

    /// The class number of a sample; `None` if the class is unknown.
    fn label(&self, index: usize) -> Option<usize>;

    /// Writes all values of a sample to `out`, which has room for the values of [`shape`](Self::shape). The
    /// same index always gives the same values. Called from the loader's threads.
    ///
    /// # Errors
    /// The reason why the sample cannot be read. [`OnBadImage`](crate::OnBadImage) decides whether it is skipped.
    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), SampleFault>;

    /// The name of a sample in messages and tables. Default: for example `sample 17`.
    fn name(&self, index: usize) -> String {
        format!("sample {index}")
    }

    /// Whether [`read`](Self::read) only copies values, so that one thread makes whole batches.
    /// Default: false.
    fn in_memory(&self) -> bool {
        false
    }
}

/// The number of values of a sample.
///
/// # Errors
/// [`DataError::Shape`] for a shape without values, or with too many to count.
pub(crate) fn size(shape: &[usize]) -> Result<usize, DataError> {
    let size = shape.iter().try_fold(1_usize, |size, length| size.checked_mul(*length));
    let valid = size.filter(|size| *size > 0 && !shape.is_empty());
    valid.ok_or_else(|| DataError::Shape { shape: shape.to_vec() })
}

/// The image of a sample of shape `[1, height, width]` or `[3, height, width]`, with its smallest
/// value as black and its largest as white; `None` for other shapes.
pub(crate) fn picture(samples: &dyn Samples, index: usize) -> Option<Result<Picture, DataError>> {
    let &[channels @ (1 | 3), height, width] = samples.shape() else { return None };
    let mut values = vec![0.0; channels * height * width];
    if let Err(source) = samples.read(index, &mut values) {
        return Some(Err(DataError::BadSample { sample: samples.name(index), source }));
    }
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
    let plane = height * width;
    let rgb = (0..plane)
        .flat_map(|at| [0, 1, 2].map(|channel| values[at + plane * channel.min(channels - 1)]))
        .map(|value| ((value - low) * scale).round() as u8)
        .collect();
    Some(Ok(Picture { height: height as u32, width: width as u32, rgb }))
}
