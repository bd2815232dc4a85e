//! Recall.

use super::counts::Counts;
use super::{Metric, ScoredBatch};

/// Share of the examples of a class that were predicted to be of it, 0 to 1. Of two classes that of class 1, of
/// more their mean (sklearn's `average="macro"`); 0 where there is nothing to divide by.
#[derive(Clone, Debug, Default)]
pub struct Recall(Counts);

impl Metric for Recall {
    fn update(&mut self, batch: &ScoredBatch<'_>) {
        self.0.add(batch);
    }

    fn value(&self) -> f64 {
        self.0.average(|count| (count.both, count.actual))
    }
}

#[cfg(test)]
mod tests {
    use super::super::counts::tests::{of_three_classes, of_two_classes};
    use super::*;

    #[test]
    fn it_is_that_of_sklearns_documentation() {
        // sklearn.metrics.recall_score(average="macro"), its example: 0.333 = (2/2 + 0/2 + 0/2) / 3
        let found = of_three_classes(&mut Recall::default());
        assert!((found - 1.0 / 3.0).abs() < 1e-12, "{found}");
        // Both 2, predicted 3, actual 3.
        assert_eq!(of_two_classes(&mut Recall::default()), 2.0 / 3.0);
        assert!(Recall::default().value().is_nan());
    }
}
