//! Loss.

use super::{Metric, ScoredBatch};

/// Mean loss over the examples.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loss {
    sum: f64,
    examples: usize,
}

impl Metric for Loss {
    fn update(&mut self, batch: &ScoredBatch<'_>) {
        self.sum += batch.loss * batch.labels.len() as f64;
        self.examples += batch.labels.len();
    }

    fn value(&self) -> f64 {
        self.sum / self.examples as f64
    }
}
