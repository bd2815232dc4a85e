//! Losses with their gradients.

use benchbook_nets::Loss;

/// Mean loss of the logits, and its gradient with respect to them.
pub(crate) fn loss(
    kind: Loss,
    logits: &[f64],
    classes: &[usize],
    class_weights: Option<&[f32]>,
) -> (f64, Vec<f64>) {
    let factor = |class: usize| class_weights.map_or(1.0, |factors| f64::from(factors[class]));
    let total = match kind {
        // The mean over the examples: Keras' way.
        Loss::BinaryCrossEntropy => classes.len() as f64,
        // The mean over the factors: PyTorch's way.
        Loss::CrossEntropy => classes.iter().map(|class| factor(*class)).sum(),
    };
    let (mut sum, mut gradient) = (0.0, Vec::with_capacity(logits.len()));
    for (logits, class) in logits.chunks_exact(logits.len() / classes.len()).zip(classes) {
        let share = factor(*class) / total;
        match kind {
            Loss::BinaryCrossEntropy => {
                let (logit, label) = (logits[0], *class as f64);
                sum += share * (logit.max(0.0) - logit * label + (-logit.abs()).exp().ln_1p());
                gradient.push(share * (1.0 / (1.0 + (-logit).exp()) - label));
            }
            Loss::CrossEntropy => {
                let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
                let powers_sum: f64 = powers.iter().sum();
                sum += share * (powers_sum.ln() + largest - logits[*class]);
                gradient.extend(powers.iter().enumerate().map(|(index, power)| {
                    let label = if index == *class { 1.0 } else { 0.0 };
                    share * (power / powers_sum - label)
                }));
            }
        }
    }
    (sum, gradient)
}
