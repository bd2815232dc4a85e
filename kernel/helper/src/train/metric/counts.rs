//! Precision, recall and F1, from how often each class was predicted, was true, and was both.

use super::{Metric, ScoredBatch};

macro_rules! metrics {
    ($($(#[$doc:meta])* $metric:ident = $quotient:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $metric(Counts);

        impl Metric for $metric {
            fn update(&mut self, batch: &ScoredBatch<'_>) {
                self.0.add(batch);
            }

            fn value(&self) -> f64 {
                self.0.average($quotient)
            }
        }
    )*};
}

metrics! {
    /// Precision: the share of the examples predicted as a class that are of the class, 0 to 1. With two classes: that
    /// of class 1. With more: the mean over classes (sklearn's `average="macro"`). 0 if the divisor is 0.
    Precision = |count| (count.both, count.predicted);
    /// Recall: the share of the examples of a class that are predicted as the class, 0 to 1. With two classes: that of
    /// class 1. With more: the mean over classes (sklearn's `average="macro"`). 0 if the divisor is 0.
    Recall = |count| (count.both, count.actual);
    /// F1: the harmonic mean of precision and recall of a class, 0 to 1: 2 · both / (predicted + actual). With two
    /// classes: that of class 1. With more: the mean over classes (sklearn's `average="macro"`). 0 if the divisor is 0.
    F1 = |count| (2 * count.both, count.predicted + count.actual);
}

/// The counts of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Examples of the class that were predicted as it.
    both: usize,
    /// Examples that were predicted as the class.
    predicted: usize,
    /// Examples of the class.
    actual: usize,
}

/// The counts of each class.
#[derive(Clone, Debug, Default)]
struct Counts(Vec<Count>);

impl Counts {
    fn add(&mut self, batch: &ScoredBatch<'_>) {
        self.0.resize(self.0.len().max(batch.classes()), Count::default());
        for (predicted, label) in batch.predicted().zip(batch.labels) {
            let actual = usize::try_from(*label).ok().filter(|class| *class < self.0.len());
            self.0[predicted].predicted += 1;
            if let Some(actual) = actual {
                self.0[actual].actual += 1;
                self.0[actual].both += usize::from(actual == predicted);
            }
        }
    }

    /// The quotient of class 1 of two classes, or the mean of the quotients of more classes (sklearn's `average="binary"`
    /// and `average="macro"`). Skips classes that were neither predicted nor true. NaN before the first batch.
    fn average(&self, quotient: impl Fn(Count) -> (usize, usize)) -> f64 {
        let of = |count: &Count| match quotient(*count) {
            (_, 0) => 0.0,
            (part, whole) => part as f64 / whole as f64,
        };
        match &self.0[..] {
            [_, one] => of(one),
            all => {
                let counted = all.iter().filter(|count| count.predicted + count.actual > 0);
                counted.clone().map(of).sum::<f64>() / counted.count() as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value for three classes, with the example of sklearn's documentation in two batches.
    fn of_three_classes(mut metric: impl Metric) -> f64 {
        let predicted: [usize; 6] = [0, 2, 1, 0, 0, 1];
        let logits = predicted.map(|class| [0, 1, 2].map(|at| if at == class { 2.0 } else { 0.5 }));
        let labels = [0, 1, 2, 0, 1, 2];
        for (logits, labels) in logits.chunks(4).zip(labels.chunks(4)) {
            metric.update(&ScoredBatch { loss: 0.0, logits: logits.as_flattened(), labels });
        }
        metric.value()
    }

    /// The value for two classes and one logit: labels 1, 1, 0, 1 with the predictions 1, 0, 1, 1.
    fn of_two_classes(mut metric: impl Metric) -> f64 {
        let logits = [1.0, -1.0, 0.5, 3.0];
        metric.update(&ScoredBatch { loss: 0.0, logits: &logits, labels: &[1, 1, 0, 1] });
        metric.value()
    }

    #[test]
    fn values_are_those_of_sklearns_documentation() {
        let [precision, recall, f1] = [
            of_three_classes(Precision::default()),
            of_three_classes(Recall::default()),
            of_three_classes(F1::default()),
        ];
        // sklearn.metrics.precision_score(average="macro"), its example: 0.222 = (2/3 + 0/2 + 0/1) / 3
        assert!((precision - 2.0 / 9.0).abs() < 1e-12, "{precision}");
        // recall_score: 0.333 = (2/2 + 0/2 + 0/2) / 3
        assert!((recall - 1.0 / 3.0).abs() < 1e-12, "{recall}");
        // f1_score: 0.267 = (2·2/(3 + 2) + 0 + 0) / 3
        assert!((f1 - 0.8 / 3.0).abs() < 1e-12, "{f1}");
        // Both 2, predicted 3, actual 3.
        assert_eq!(of_two_classes(Precision::default()), 2.0 / 3.0);
        assert_eq!(of_two_classes(Recall::default()), 2.0 / 3.0);
        assert_eq!(of_two_classes(F1::default()), 2.0 / 3.0);
        assert!(F1::default().value().is_nan() && Recall::default().value().is_nan());
    }
}
