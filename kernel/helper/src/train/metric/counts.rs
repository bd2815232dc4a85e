//! How often each class was predicted, was true, and was both.

use super::ScoredBatch;

/// The counts of one class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// Examples of the class that were predicted to be of it.
    pub(super) both: usize,
    /// Examples that were predicted to be of the class.
    pub(super) predicted: usize,
    /// Examples of the class.
    pub(super) actual: usize,
}

/// The counts of each class.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Vec<Count>);

impl Counts {
    pub(super) fn add(&mut self, batch: &ScoredBatch<'_>) {
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

    /// A quotient for class 1 of two classes, or the mean of the quotients of more classes, each with the same weight
    /// (sklearn's `average="binary"` and `average="macro"`). A class that was neither predicted nor true does not count,
    /// and a quotient by 0 is 0. NaN before the first batch.
    pub(super) fn average(&self, quotient: impl Fn(Count) -> (usize, usize)) -> f64 {
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
pub(super) mod tests {
    use super::super::Metric;
    use super::*;

    /// A batch of the classes that sklearn's documentation uses, as logits.
    pub(in super::super) fn of_three_classes(metric: &mut impl Metric) -> f64 {
        let predicted: [usize; 6] = [0, 2, 1, 0, 0, 1];
        let logits = predicted.map(|class| [0, 1, 2].map(|at| if at == class { 2.0 } else { 0.5 }));
        let labels = [0, 1, 2, 0, 1, 2];
        for (logits, labels) in logits.chunks(4).zip(labels.chunks(4)) {
            metric.update(&ScoredBatch { loss: 0.0, logits: logits.as_flattened(), labels });
        }
        metric.value()
    }

    /// Four examples of two classes with one logit: classes 1, 1, 0, 1 of which 1, 0, 1, 1 are predicted.
    pub(in super::super) fn of_two_classes(metric: &mut impl Metric) -> f64 {
        let logits = [1.0, -1.0, 0.5, 3.0];
        metric.update(&ScoredBatch { loss: 0.0, logits: &logits, labels: &[1, 1, 0, 1] });
        metric.value()
    }
}
