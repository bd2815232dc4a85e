//! Metrics of a pass over a split, for [`Model::evaluate_with`](crate::model::Model::evaluate_with). A new metric is
//! one file here and two lines below.

mod accuracy;
mod auc;
mod counts;
mod loss;
mod top_k;

pub use accuracy::Accuracy;
pub use auc::Auc;
pub use counts::{F1, Precision, Recall};
pub use loss::Loss;
pub use top_k::TopK;

/// A batch with the net's outputs.
#[derive(Clone, Copy, Debug)]
pub struct ScoredBatch<'a> {
    /// Mean loss over the batch.
    pub loss: f64,
    /// The net's outputs before sigmoid or softmax, `[batch, outputs]`: one logit for two classes, or one per class.
    pub logits: &'a [f32],
    /// The class of each example, `[batch]`.
    pub labels: &'a [i64],
}

impl ScoredBatch<'_> {
    /// Number of classes, at least 2.
    pub fn classes(&self) -> usize {
        self.outputs().max(2)
    }

    fn outputs(&self) -> usize {
        (self.logits.len() / self.labels.len().max(1)).max(1)
    }

    /// The most probable class of each example.
    pub fn predicted(&self) -> impl Iterator<Item = usize> {
        self.logits.chunks_exact(self.outputs()).map(most_probable)
    }

    /// The logits `[outputs]` of each example with its label.
    pub fn examples(&self) -> impl Iterator<Item = (&[f32], i64)> {
        self.logits.chunks_exact(self.outputs()).zip(self.labels.iter().copied())
    }
}

/// The most probable class by the logits or probabilities of one example; the first of equals.
pub(crate) fn most_probable(logits: &[f32]) -> usize {
    if let [logit] = logits {
        return usize::from(*logit > 0.0);
    }
    let mut best = 0;
    for (class, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = class;
        }
    }
    best
}

/// A figure computed over the batches of a pass.
pub trait Metric {
    /// Adds a batch.
    fn update(&mut self, batch: &ScoredBatch<'_>);

    /// The figure over all batches so far; NaN before the first.
    fn value(&self) -> f64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_accuracy_are_means_over_examples_not_batches() {
        let (mut loss, mut accuracy) = (Loss::default(), Accuracy::default());
        let batches = [
            ScoredBatch { loss: 1.0, logits: &[0.1, 0.9, 0.0, 0.5, 0.2, 0.3], labels: &[1, 2] },
            ScoredBatch { loss: 4.0, logits: &[2.0, 2.0, 1.0], labels: &[0] },
        ];
        for batch in &batches {
            loss.update(batch);
            accuracy.update(batch);
        }
        assert_eq!((loss.value(), accuracy.value()), (2.0, 2.0 / 3.0));
    }

    #[test]
    fn one_logit_is_class_1_above_0() {
        let batch = ScoredBatch { loss: 0.0, logits: &[-0.5, 0.0, 0.5], labels: &[0, 0, 1] };
        assert_eq!(batch.predicted().collect::<Vec<_>>(), [0, 0, 1]);
    }
}
