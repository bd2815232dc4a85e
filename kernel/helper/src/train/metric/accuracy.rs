//! Accuracy.

use super::{Metric, ScoredBatch};

/// Share of examples whose most probable class is the labelled one, 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accuracy {
    pub(crate) correct: usize,
    examples: usize,
}

impl Metric for Accuracy {
    fn update(&mut self, batch: &ScoredBatch<'_>) {
        let pairs = batch.predicted().zip(batch.labels);
        self.correct += pairs.filter(|(class, label)| *class as i64 == **label).count();
        self.examples += batch.labels.len();
    }

    fn value(&self) -> f64 {
        self.correct as f64 / self.examples as f64
    }
}
