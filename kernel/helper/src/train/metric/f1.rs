//! F1.

use super::counts::Counts;
use super::{Metric, ScoredBatch};

/// Harmonic mean of precision and recall of a class, 0 to 1: 2 · both / (predicted + actual). Of two classes that of
/// class 1, of
/// more their mean (sklearn's `average="macro"`); 0 where there is nothing to divide by.
#[derive(Clone, Debug, Default)]
pub struct F1(Counts);

impl Metric for F1 {
    fn update(&mut self, batch: &ScoredBatch<'_>) {
        self.0.add(batch);
    }

    fn value(&self) -> f64 {
        self.0.average(|count| (2 * count.both, count.predicted + count.actual))
    }
}

#[cfg(test)]
mod tests {
    use super::super::counts::tests::{of_three_classes, of_two_classes};
    use super::*;

    #[test]
    fn it_is_that_of_sklearns_documentation() {
        // sklearn.metrics.f1_score(average="macro"), its example: 0.267 = (2·2/(3 + 2) + 0 + 0) / 3
        let found = of_three_classes(&mut F1::default());
        assert!((found - 0.8 / 3.0).abs() < 1e-12, "{found}");
        // Both 2, predicted 3, actual 3.
        assert_eq!(of_two_classes(&mut F1::default()), 2.0 / 3.0);
        assert!(F1::default().value().is_nan());
    }
}
