//! Area under the receiver operating characteristic.

use super::{Metric, ScoredBatch};

/// Area under the ROC curve, 0 to 1: the probability that an example of a class gets a higher score for it than an
/// example of another class, ties counting half (Hanley and McNeil, 1982). With two classes: the area for class 1,
/// scored by its logit. With more: the mean over the classes, each against the rest and scored by its probability
/// (sklearn's `multi_class="ovr"`, `average="macro"`). NaN if a class has no example.
///
/// Keeps all scores in memory: 4 bytes per example and class.
#[derive(Clone, Debug, Default)]
pub struct Auc {
    /// The scores of all examples, by class.
    scores: Vec<Vec<f32>>,
    labels: Vec<i64>,
}

impl Metric for Auc {
    fn update(&mut self, batch: &ScoredBatch<'_>) {
        let scored = if batch.classes() == 2 { 1 } else { batch.classes() };
        self.scores.resize(self.scores.len().max(scored), Vec::new());
        for (logits, label) in batch.examples() {
            match logits {
                [logit] => self.scores[0].push(*logit),
                [zero, one] => self.scores[0].push(one - zero),
                several => {
                    let largest = several.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let powers = several.iter().map(|logit| (logit - largest).exp());
                    let sum: f32 = powers.clone().sum();
                    let scores = self.scores.iter_mut().zip(powers);
                    scores.for_each(|(scores, power)| scores.push(power / sum));
                }
            }
            self.labels.push(label);
        }
    }

    fn value(&self) -> f64 {
        let first = if self.scores.len() == 1 { 1 } else { 0 };
        let areas =
            (first..).zip(&self.scores).map(|(class, scores)| area(scores, &self.labels, class));
        areas.sum::<f64>() / self.scores.len() as f64
    }
}

/// The Mann-Whitney statistic from the ranks of the scores; equal scores share their mean rank.
fn area(scores: &[f32], labels: &[i64], class: i64) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut ranks, mut before) = (0.0, 0);
    let is_own = |example: &&usize| labels[**example] == class;
    for equal in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
        ranks += rank * equal.iter().filter(is_own).count() as f64;
        before += equal.len();
    }
    let own = order.iter().filter(is_own).count() as f64;
    let others = labels.len() as f64 - own;
    (ranks - own * (own + 1.0) / 2.0) / (own * others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auc(logits: &[f32], labels: &[i64]) -> f64 {
        let mut metric = Auc::default();
        // In two batches.
        let (outputs, half) = (logits.len() / labels.len(), labels.len() / 2);
        let (first, second) = logits.split_at(outputs * half);
        for (logits, labels) in [(first, &labels[..half]), (second, &labels[half..])] {
            metric.update(&ScoredBatch { loss: 0.0, logits, labels });
        }
        metric.value()
    }

    #[test]
    fn two_classes_have_the_area_of_sklearns_documentation() {
        // sklearn.metrics.roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), the example of roc_curve: 3 of 4 pairs.
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1]), 0.75);
        let two = [0.0, 0.1, 1.0, 1.4, 0.0, 0.35, -1.0, -0.2];
        assert_eq!(auc(&two, &[0, 0, 1, 1]), 0.75);
        // A tie is half a pair: (1 + ½) / 2.
        assert_eq!(auc(&[0.5, 0.5, 0.1, 0.5], &[1, 0, 0, 1]), 0.75);
        assert!(auc(&[0.5, 0.1], &[1, 1]).is_nan());
    }

    #[test]
    fn more_classes_have_the_mean_of_each_against_the_rest() {
        // Probabilities of four examples of the classes 0, 1, 2 and 0. Pairs in the right order: of class 0 all 4
        // (0.7, 0.4 against 0.3, 0.2), of class 1 two of 3 (0.4 against 0.2, 0.2, 0.5), of class 2 all 3.
        let probabilities: [f32; 12] = [0.7, 0.2, 0.1, 0.3, 0.4, 0.3, 0.2, 0.2, 0.6, 0.4, 0.5, 0.1];
        let found = auc(&probabilities.map(f32::ln), &[0, 1, 2, 0]);
        assert!((found - (1.0 + 2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12, "{found}");
    }
}
