//! Accuracies and their confidence intervals.

use crate::statistics::NORMAL_QUANTILE;
use benchbook_display::{Bundle, Rich};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Loss and accuracy on a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The split's name.
    pub split: String,
    /// Mean loss.
    #[serde(deserialize_with = "crate::record::number")]
    pub loss: f64,
    /// Share of correctly classified images, 0 to 1.
    pub accuracy: f64,
    /// Wilson's 95% interval of the accuracy: lower and upper end.
    pub interval: [f64; 2],
    /// The number of images.
    pub images: usize,
    /// From the first file to the last result.
    pub seconds: f64,
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: loss {:.4}, accuracy {:.4} (95% interval {:.3} to {:.3}), {} images in {:.1} s",
            self.split,
            self.loss,
            self.accuracy,
            self.interval[0],
            self.interval[1],
            self.images,
            self.seconds
        )
    }
}

impl Rich for Evaluation {
    fn bundle(&self) -> Bundle {
        Bundle::text(self.to_string())
    }
}

/// Wilson's score interval at 95% for `correct` of `images` (Wilson, 1927).
pub fn wilson_interval(correct: usize, images: usize) -> (f64, f64) {
    wilson_of_share(correct as f64 / images as f64, images)
}

/// The same for a share of `images`, 0 to 1.
pub(crate) fn wilson_of_share(share: f64, images: usize) -> (f64, f64) {
    if images == 0 {
        return (0.0, 1.0);
    }
    let (z, count) = (NORMAL_QUANTILE, images as f64);
    let centre = share + z * z / (2.0 * count);
    let reach = z * (share * (1.0 - share) / count + z * z / (4.0 * count * count)).sqrt();
    let scale = 1.0 + z * z / count;
    (((centre - reach) / scale).max(0.0), ((centre + reach) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_the_digests() {
        // The report: 305 of 320 gives [0.924, 0.971].
        let (low, high) = wilson_interval(305, 320);
        assert!((low - 0.924).abs() < 5e-4 && (high - 0.971).abs() < 5e-4, "{low} {high}");
        assert!((wilson_interval(10, 10).1 - 1.0).abs() < 1e-12);
        assert_eq!(wilson_interval(0, 0), (0.0, 1.0));
    }
}
