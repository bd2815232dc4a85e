//! Compares what libraries compute from the same weights on the same batches: outputs, losses, gradients, and the
//! changes of a few training steps.
//!
//! In 64-bit floats rounding is so small that fixed bounds separate a wrong formula from another order of summation.
//! The [majority](settle) of the libraries gives the settled values, with which the values in the timed precision are
//! compared.

use std::collections::BTreeMap;

/// The values that a library computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Outputs for the first batch in inference mode.
    pub logits: Vec<f32>,
    /// The loss of each training step on its batch, with given dropout masks, before the step's update.
    pub losses: Vec<f64>,
    /// The gradient of the first batch's loss in training mode without dropout, by parameter.
    pub gradients: BTreeMap<String, Vec<f32>>,
    /// The changes of the first [`CHANGES_AFTER`] steps by parameter, including running statistics.
    pub changes: BTreeMap<String, Vec<f32>>,
    /// Suffixes of the names of parameters that the library defines differently.
    pub omitted: Vec<String>,
}

/// Steps after which changes are compared, and the steps that a timed program takes after its clock has stopped.
pub const CHANGES_AFTER: usize = 3;

/// The learning rate of the compared steps, as a share of the job's rate: the largest power of two, at most 1, with which
/// the first step lowers the loss by at most a hundredth, to first order.
///
/// `step` is the trace of one step at the job's rate; `sizes` are the numbers of values of the parameters, of which a trace
/// has samples.
///
/// Larger steps amplify rounding. Example: ResNet18 at 64² with SGD, 0.01 and momentum 0.9 had a third loss that
/// differed by 6e-3 between two 32-bit libraries whose gradients agreed to 1e-5. With this share, PyTorch's losses of
/// ResNet18, ResNet50, MobileNetV2 and VGG16 (with batch normalisation and without) differ by 3e-5 at most between 32 and 64
/// bits, and no change of a weight by more than 0.1. Still smaller steps would be lost in the resolution of 32-bit weights. The
/// changes are proportional to the rate and compared relatively, so a wrong rate, momentum or weight decay shows at any rate.
pub fn rate_share(step: &Trace, sizes: &BTreeMap<String, usize>) -> f64 {
    let lowered = |(name, gradient): (&String, &Vec<f32>)| {
        let change = step.changes.get(name)?;
        let pairs = gradient.iter().zip(change);
        // In 64 bits: at a huge rate the products exceed 32.
        let sampled: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        Some(-sampled * *sizes.get(name)? as f64 / gradient.len() as f64)
    };
    let lowered: f64 = step.gradients.iter().filter_map(lowered).sum();
    let excess = lowered / (0.01 * step.losses.first().copied().unwrap_or(f64::NAN));
    if excess.is_finite() && excess > 1.0 { (-excess.log2().ceil()).exp2() } else { 1.0 }
}

/// The largest differences from the settled values that still count as agreement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Logits: the length of the difference divided by the length of the logits.
    pub logits: f64,
    /// Loss: relative difference.
    pub loss: f64,
    /// Gradient of each parameter: relative length. A gradient shorter than [`FLOOR`] of all gradients together is
    /// treated as that long.
    pub gradient: f64,
    /// Change of each parameter: relative length.
    pub change: f64,
    /// The relative distance of neighbouring floats: the smallest change that a weight can show.
    pub resolution: f64,
}

/// The share of the length of all gradients below which a single gradient is not compared. Example: the gradient of a
/// bias before batch normalisation is zero, and its computed value is rounding.
pub const FLOOR: f64 = 1e-3;

impl Bounds {
    /// For 64-bit floats, rounded to 32 bits for the comparison.
    ///
    /// Measured with LibTorch, TensorFlow, PyTorch and Keras on photos and drawings (VGG16 with and without batch
    /// normalisation, ResNet18, a small CNN; SGD, Adam, RMSprop): at most a tenth of each.
    pub const EXACT: Self =
        Self { logits: 1e-6, loss: 1e-6, gradient: 1e-5, change: 1e-4, resolution: 0.0 };

    /// For 32-bit floats without TF32. Where rounding changes the result of a ReLU or a maximum, whole
    /// gradients change, so the bounds of gradients are wide: VGG16 with batch normalisation at 64² had a relative
    /// difference of 0.03 in the first layer. bfloat16 changes logits by 3e-3 and gradients by 0.2 to 0.3.
    pub const SINGLE: Self =
        Self { logits: 1e-4, loss: 1e-3, gradient: 0.1, change: 0.2, resolution: 1.2e-7 };

    /// The least for TF32 and 16-bit floats; see [`Bounds::of_rounding`].
    pub const SHORT: Self =
        Self { logits: 0.1, loss: 0.05, gradient: 0.5, change: 0.7, resolution: 1.2e-7 };

    /// The loosest, for TF32 and 16-bit floats. Zeros in place of a vector have a relative difference of 1.
    pub const LOOSEST: Self =
        Self { logits: 0.9, loss: 0.9, gradient: 0.9, change: 0.9, resolution: 1.2e-7 };

    /// Twice the differences that appear in 64-bit floats when only the weights and the images are rounded to the timed precision,
    /// between two bounds.
    ///
    /// Measured with He weights at 64² and batch 8: rounding to bfloat16 changes ResNet18's gradients by 0.40, and a run in
    /// bfloat16 by 0.49; VGG16's with batch normalisation by 0.70 and 0.72.
    pub fn of_rounding(rounding: &Agreement, least: Self, most: Self) -> Self {
        // `max` and `min` return the other number for NaN.
        let twice = |moved: f64, least: f64, most: f64| (2.0 * moved).max(least).min(most);
        Self {
            logits: twice(rounding.logits, least.logits, most.logits),
            loss: twice(rounding.loss.0, least.loss, most.loss),
            gradient: twice(rounding.gradient.0, least.gradient, most.gradient),
            change: twice(rounding.change.0, least.change, most.change),
            resolution: least.resolution,
        }
    }
}

/// A value that rounding alone changes by more than half of a bound, so that the bound cannot tell another formula from
/// rounding. Examples: ResNet50's gradients in bfloat16 change by 1.4; batch normalisation of two values, of which the
/// smaller becomes -1 and the larger 1, changes by 2 where they are nearly equal.
pub fn undetermined(rounding: &Agreement, bounds: Bounds) -> Option<String> {
    let Agreement { logits, loss, gradient, change, .. } = rounding;
    let all = [
        (*logits, bounds.logits, "the logits".to_owned()),
        (loss.0, bounds.loss, format!("the loss of step {}", loss.1)),
        (gradient.0, bounds.gradient, format!("the gradient of {}", gradient.1)),
        (change.0, bounds.change, format!("the change of {}", change.1)),
    ];
    let (moved, _, what) = all.into_iter().find(|(moved, bound, _)| 2.0 * moved > *bound)?;
    Some(format!("{what} by {:.1}%", 100.0 * moved))
}

/// Rounds to a number of binary digits, to even between two neighbours. 32-bit floats have 24 digits.
pub fn rounded(value: f32, digits: u32) -> f32 {
    let dropped = 24 - digits;
    let bits = value.to_bits();
    let half = (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1);
    f32::from_bits((bits + half) >> dropped << dropped)
}

/// The differences of a library from the settled values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Relative difference of the logits.
    pub logits: f64,
    /// The largest relative difference of a loss, and its step, from 1.
    pub loss: (f64, usize),
    /// The largest relative difference of a gradient, and its parameter.
    pub gradient: (f64, String),
    /// The largest relative difference of a change, and its parameter.
    pub change: (f64, String),
    /// The differences beyond the bounds; empty if the library agrees.
    pub faults: Vec<String>,
}

/// Compares a library with the settled values. `start` holds the length of each starting parameter. Only the losses
/// that `other` has are compared.
pub fn agreement(
    truth: &Trace,
    other: &Trace,
    bounds: Bounds,
    start: &BTreeMap<String, f64>,
) -> Agreement {
    let mut found = Agreement::default();
    let mut faults = Vec::new();
    let mut judge = |distance: f64, bound: f64, what: &dyn std::fmt::Display| {
        if distance.is_nan() || distance > bound {
            faults.push(format!("{what}: relative difference {distance:.1e}"));
        }
    };
    found.logits = match (truth.logits.len(), other.logits.len()) {
        (expected, found) if expected == found => distance(&truth.logits, &other.logits, 0.0),
        _ => f64::NAN,
    };
    judge(found.logits, bounds.logits, &"logits");
    // Report gradients, which name a layer, before losses, which follow from the gradients.
    let whole = together(truth.gradients.values());
    for (name, expected) in &truth.gradients {
        let off = match other.gradients.get(name).filter(|found| found.len() == expected.len()) {
            Some(found) => distance(expected, found, FLOOR * whole),
            None => f64::NAN,
        };
        judge(off, bounds.gradient, &format_args!("gradient of {name}"));
        if further(off, found.gradient.0) {
            found.gradient = (off, name.clone());
        }
    }
    for name in other.gradients.keys().filter(|name| !truth.gradients.contains_key(*name)) {
        judge(f64::NAN, bounds.gradient, &format_args!("gradient of {name} (not trainable)"));
    }
    if other.losses.is_empty() {
        judge(f64::NAN, bounds.loss, &"losses");
    }
    for (step, (expected, loss)) in (1..).zip(truth.losses.iter().zip(&other.losses)) {
        let off = (expected - loss).abs() / expected.abs().max(f64::MIN_POSITIVE);
        judge(off, bounds.loss, &format_args!("loss of step {step}"));
        if further(off, found.loss.0) {
            found.loss = (off, step);
        }
    }
    let omitted = |name: &str| {
        let mut ends = truth.omitted.iter().chain(&other.omitted);
        ends.any(|end| name.ends_with(end.as_str()))
    };
    let of_learned = |name: &String| truth.gradients.contains_key(name);
    let learned = truth.changes.iter().filter(|(name, _)| of_learned(name));
    let all = together(learned.map(|(_, change)| change));
    for (name, expected) in truth.changes.iter().filter(|(name, _)| !omitted(name)) {
        // From a gradient that is only rounding, an optimiser may make a step of any length.
        let gradient = truth.gradients.get(name);
        let noise = |values: &Vec<f32>| length(values) < FLOOR * bounds.resolution.sqrt() * whole;
        if gradient.is_some_and(noise) {
            continue;
        }
        let own = length(expected);
        let unseen = bounds.resolution * start.get(name).copied().unwrap_or(0.0);
        let least = if of_learned(name) { FLOOR * all } else { 0.0 }.max(unseen / bounds.change);
        let off = match other.changes.get(name).filter(|found| found.len() == expected.len()) {
            Some(found) if own == 0.0 && least == 0.0 => length(found),
            Some(found) => distance(expected, found, least),
            None => f64::NAN,
        };
        judge(off, bounds.change, &format_args!("change of {name}"));
        if further(off, found.change.0) {
            found.change = (off, name.clone());
        }
    }
    found.faults = faults;
    found
}

/// The outcome of comparing several libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// More than half of the libraries agree with this one.
    By(usize),
    /// No majority.
    Open {
        /// The indices of two libraries that disagree.
        between: [usize; 2],
        /// The differences of the second from the first.
        how: String,
    },
}

/// Finds the library that the majority agrees with. A single library agrees with itself. `None` without libraries.
pub fn settle(traces: &[&Trace], bounds: Bounds, start: &BTreeMap<String, f64>) -> Option<Settled> {
    let faults =
        |truth: usize, other: usize| agreement(traces[truth], traces[other], bounds, start).faults;
    let mut candidates: Vec<usize> = (0..traces.len()).collect();
    // Prefer a trace that omits nothing.
    candidates.sort_by_key(|place| traces[*place].omitted.len());
    for candidate in &candidates {
        let agreeing = candidates.iter().filter(|other| faults(*candidate, **other).is_empty());
        if 2 * agreeing.count() > traces.len() {
            return Some(Settled::By(*candidate));
        }
    }
    let first = *candidates.first()?;
    let mut others = candidates.iter().map(|other| (*other, faults(first, *other)));
    let (other, faults) = others.find(|(_, faults)| !faults.is_empty())?;
    Some(Settled::Open { between: [first, other], how: first_of(&faults) })
}

/// Returns about 65,536 of the values, so that the trace of any net has a few megabytes. The stride is not divisible by 2 or
/// 3, so that every position of a convolution's kernel is sampled.
pub fn sample(values: &[f32]) -> Vec<f32> {
    let mut stride = values.len() / 65_536 + 1;
    while stride.is_multiple_of(2) || stride.is_multiple_of(3) {
        stride += 1;
    }
    values.iter().step_by(stride).copied().collect()
}

/// Joins the first three, and says how many more there are.
pub fn first_of(what: &[String]) -> String {
    let first = what.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    match what.len().saturating_sub(3) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Whether a difference exceeds the largest so far; NaN exceeds everything.
fn further(distance: f64, largest: f64) -> bool {
    !largest.is_nan() && (distance > largest || distance.is_nan())
}

/// The Euclidean length.
pub fn length(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

fn together<'a>(all: impl Iterator<Item = &'a Vec<f32>>) -> f64 {
    all.map(|values| length(values).powi(2)).sum::<f64>().sqrt()
}

/// The length of the difference divided by the length of `expected`, or by `least` if that is more; 0 for equal vectors.
fn distance(expected: &[f32], found: &[f32], least: f64) -> f64 {
    let squares = expected.iter().zip(found).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    let difference = squares.sum::<f64>().sqrt();
    if difference == 0.0 {
        0.0
    } else {
        difference / length(expected).max(least).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_no_stride_of_two_or_three() {
        // 65,536 · 5 values: 6 and then 7 are the first strides without these factors.
        let values: Vec<f32> = (0..65_536 * 5).map(|value| value as f32).collect();
        assert_eq!(sample(&values)[..3], [0.0, 7.0, 14.0]);
        assert_eq!(sample(&values[..100]), values[..100]);
    }

    fn trace(losses: &[f64], gradient: &[f32], change: &[f32]) -> Trace {
        let of = |values: &[f32]| BTreeMap::from([("conv.weight".to_owned(), values.to_vec())]);
        Trace {
            logits: vec![1.0, -1.0],
            losses: losses.to_vec(),
            gradients: of(gradient),
            changes: of(change),
            omitted: Vec::new(),
        }
    }

    fn compared(truth: &Trace, other: &Trace, bounds: Bounds) -> Agreement {
        agreement(truth, other, bounds, &BTreeMap::from([("conv.weight".into(), 1.0)]))
    }

    #[test]
    fn a_quarter_of_a_gradient_is_found_in_any_precision() {
        // What candle's max pooling did in a 2 × 2 window.
        let truth = trace(&[0.7, 0.6], &[4.0, -8.0], &[-0.4, 0.8]);
        let other = trace(&[0.7, 0.6], &[1.0, -2.0], &[-0.4, 0.8]);
        for bounds in [Bounds::EXACT, Bounds::SINGLE, Bounds::SHORT] {
            let found = compared(&truth, &other, bounds);
            assert_eq!(found.gradient, (0.75, "conv.weight".to_owned()));
            assert_eq!(found.faults, ["gradient of conv.weight: relative difference 7.5e-1"]);
        }
    }

    #[test]
    fn three_weight_decays_differ() {
        // SGD with a rate of 0.1 on weights of 1: the decay of 1e-4, 2e-4 and 5e-4 moves them by 1e-5 and more.
        let with =
            |decay: f32| trace(&[0.7], &[4.0, -8.0], &[-0.4 - decay * 0.1, 0.8 - decay * 0.1]);
        let truth = with(0.0);
        for decay in [0.002, 0.004, 0.01] {
            let faults = compared(&truth, &with(decay), Bounds::EXACT).faults;
            assert_eq!(faults.len(), 1, "{decay}: {faults:?}");
        }
        assert!(compared(&truth, &with(1e-5), Bounds::EXACT).faults.is_empty());
    }

    #[test]
    fn a_compared_step_lowers_the_loss_by_a_hundredth_at_most() {
        let share = |loss: f64, rate: f32| {
            let step = trace(&[loss], &[4.0, -8.0], &[-4.0 * rate, 8.0 * rate]);
            rate_share(&step, &BTreeMap::from([("conv.weight".into(), 20)]))
        };
        // A rate of 1e-3 lowers the loss by 1e-3 · 10 · (16 + 64), since two of 20 values are sampled.
        assert_eq!([share(80.1, 1e-3), share(79.9, 1e-3), share(8.0, 1e-3)], [1.0, 0.5, 0.0625]);
        assert!(share(0.8, 1e37) < 1e-36, "a huge rate has a share, too");
        assert_eq!([share(0.8, 0.0), share(f64::NAN, 0.1), share(0.8, -1.0)], [1.0; 3]);
    }

    #[test]
    fn rounding_to_bfloat16_keeps_eight_digits() {
        // From 1 on the neighbours are two units apart.
        let unit: f32 = 1.0 / 256.0;
        let all = [1.0, 1.0 + unit, 1.0 + 1.01 * unit, 1.0 + 3.0 * unit, -1.0 - unit, 0.0];
        let expected = [1.0, 1.0, 1.0 + 2.0 * unit, 1.0 + 4.0 * unit, -1.0, 0.0];
        assert_eq!(all.map(|value| rounded(value, 8)), expected);
    }

    #[test]
    fn bounds_of_short_floats_follow_what_rounding_does_to_the_net() {
        let moved = |gradient: f64| Agreement {
            logits: 0.01,
            gradient: (gradient, "bn1.bias".into()),
            ..Agreement::default()
        };
        let of = |moved: &Agreement| Bounds::of_rounding(moved, Bounds::SHORT, Bounds::LOOSEST);
        let bounds = [0.1, 0.4, 1.4, f64::NAN].map(|gradient| of(&moved(gradient)));
        assert_eq!(bounds.map(|bounds| bounds.gradient), [0.5, 0.8, 0.9, 0.5]);
        assert_eq!(bounds[1], Bounds { gradient: 0.8, ..Bounds::SHORT });
        let why = |gradient: f64, bounds| undetermined(&moved(gradient), bounds);
        assert_eq!([0.1, 0.4].map(|gradient| why(gradient, Bounds::LOOSEST)), [None, None]);
        let words = why(1.4, Bounds::LOOSEST).unwrap();
        assert_eq!(words, "the gradient of bn1.bias by 140.0%");
        assert_eq!(why(0.001, Bounds::SINGLE).unwrap(), "the logits by 1.0%");
    }

    #[test]
    fn nan_missing_values_and_missing_steps_are_faults() {
        let truth = trace(&[0.7, 0.6], &[4.0, -8.0], &[-0.4, 0.8]);
        let mut none = trace(&[f64::NAN], &[f32::NAN, 1.0], &[0.0]);
        none.logits.clear();
        let found = compared(&truth, &none, Bounds::SHORT);
        assert_eq!(found.faults.len(), 4, "{found:?}");
        assert!(found.logits.is_nan() && found.loss.0.is_nan() && found.change.0.is_nan());
        let empty = compared(&truth, &Trace::default(), Bounds::SHORT);
        assert_eq!(empty.faults.len(), 4, "{empty:?}");
    }

    #[test]
    fn a_frozen_parameter_and_one_too_many_are_found() {
        let truth = trace(&[0.7], &[4.0, -8.0], &[-0.4, 0.8]);
        let frozen = trace(&[0.7], &[4.0, -8.0], &[0.0, 0.0]);
        assert_eq!(
            compared(&truth, &frozen, Bounds::SINGLE).faults,
            ["change of conv.weight: relative difference 1.0e0"]
        );
        let mut surplus = truth.clone();
        surplus.gradients.insert("base.weight".into(), vec![1.0]);
        let faults = compared(&truth, &surplus, Bounds::SINGLE).faults;
        assert_eq!(faults, ["gradient of base.weight (not trainable): relative difference NaN"]);
    }

    #[test]
    fn what_a_bias_before_batch_normalisation_gets_is_rounding() {
        let mut truth = trace(&[0.7], &[4.0, -8.0], &[-0.4, 0.8]);
        let mut other = truth.clone();
        for (trace, gradient, change) in [(&mut truth, 1e-16, 0.001), (&mut other, 1e-7, -0.001)] {
            trace.gradients.insert("bias".into(), vec![gradient]);
            trace.changes.insert("bias".into(), vec![change]);
        }
        assert!(compared(&truth, &other, Bounds::SINGLE).faults.is_empty());
    }

    #[test]
    fn the_majority_settles_and_a_tie_settles_nothing() {
        let right = trace(&[0.7, 0.6], &[4.0, -8.0], &[-0.4, 0.8]);
        let wrong = trace(&[0.7, 0.7], &[4.0, -8.0], &[0.0, 0.0]);
        let start = BTreeMap::new();
        let settled = |traces: &[&Trace]| settle(traces, Bounds::EXACT, &start);
        assert_eq!(settled(&[&wrong, &right, &right]), Some(Settled::By(1)));
        assert_eq!(settled(&[&right]), Some(Settled::By(0)));
        assert_eq!(settled(&[]), None);
        let Some(Settled::Open { between, how }) = settled(&[&wrong, &right]) else {
            panic!("a tie was settled")
        };
        assert_eq!(between, [0, 1]);
        assert!(how.contains("loss of step 2") && how.contains("change of conv.weight"), "{how}");
    }

    #[test]
    fn what_one_defines_otherwise_is_not_compared() {
        let mut keras = trace(&[0.7], &[4.0, -8.0], &[-0.4, 0.8]);
        let mut torch = keras.clone();
        torch.changes.insert("norm.running_var".into(), vec![0.1]);
        keras.omitted.push("running_var".into());
        assert!(compared(&torch, &keras, Bounds::EXACT).faults.is_empty());
        let start = BTreeMap::new();
        let settled = settle(&[&keras, &torch], Bounds::EXACT, &start);
        assert_eq!(settled, Some(Settled::By(1)), "the one that omits nothing");
    }
}
