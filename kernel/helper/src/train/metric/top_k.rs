//! Top-k accuracy.

use super::{Metric, ScoredBatch};

/// Share of examples whose class is among the `k` most probable ones, 0 to 1. Of equal logits the first ranks higher.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    k: usize,
    correct: usize,
    examples: usize,
}

impl TopK {
    /// The metric for the `k` most probable classes. ImageNet results give k = 5 beside the accuracy.
    pub fn new(k: usize) -> Self {
        Self { k, correct: 0, examples: 0 }
    }
}

impl Metric for TopK {
    fn update(&mut self, batch: &ScoredBatch<'_>) {
        for (logits, label) in batch.examples() {
            let one_logit;
            let logits = match logits {
                // Class 0 has the logit 0, and wins at 0.
                [logit] => {
                    one_logit = [0.0, *logit];
                    one_logit.as_slice()
                }
                several => several,
            };
            let Ok(label) = usize::try_from(label) else { continue };
            let Some(own) = logits.get(label) else { continue };
            let before =
                |(class, logit): &(usize, &f32)| *logit > own || (*logit == own && *class < label);
            let better = logits.iter().enumerate().filter(before).count();
            self.correct += usize::from(better < self.k);
        }
        self.examples += batch.labels.len();
    }

    fn value(&self) -> f64 {
        self.correct as f64 / self.examples as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_sklearns_documentation() {
        // sklearn.metrics.top_k_accuracy_score, its example: 0.75 for k=2.
        let logits = [0.5, 0.2, 0.2, 0.3, 0.4, 0.2, 0.2, 0.4, 0.3, 0.7, 0.2, 0.1];
        let batch = ScoredBatch { loss: 0.0, logits: &logits, labels: &[0, 1, 2, 2] };
        let value = |k| {
            let mut metric = TopK::new(k);
            metric.update(&batch);
            metric.value()
        };
        assert_eq!([1, 2, 3].map(value), [0.5, 0.75, 1.0]);
    }

    #[test]
    fn one_logit_has_two_classes() {
        let batch = ScoredBatch { loss: 0.0, logits: &[-1.0, 0.0, 2.0], labels: &[0, 1, 1] };
        let mut metrics = [TopK::new(1), TopK::new(2)];
        metrics.iter_mut().for_each(|metric| metric.update(&batch));
        assert_eq!(metrics.map(|metric| metric.value()), [2.0 / 3.0, 1.0]);
    }
}
