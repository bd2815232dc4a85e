//! Whether backends compute the same thing from the same start: the loss before the first step, the
//! gradient of each parameter there, and the losses of the steps that follow.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a backend computed from the common start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The loss of the first batch at the start without dropout, then that of each step on its batch, before
    /// the step's change of the weights.
    pub losses: Vec<f64>,
    /// The gradient of the first batch's loss by parameter, in the layout of the weights.
    pub gradients: BTreeMap<String, Vec<f32>>,
}

/// How far two backends may be apart.
///
/// 32-bit sums over a hundred thousand terms, taken in another order, differ by some 1e-6 to 1e-5 of
/// their size; a wrong formula (a factor, a mask, a transposed kernel) differs by 1e-2 and more. Training
/// multiplies what the first gradients differ by: VGG16 at 32² on noise with momentum 0.9, Python's PyTorch against
/// Keras, went from 3e-7 of the first loss in the first five steps to 4e-4 in step 11 and 4e-2 in step 20. So a
/// wrong rule of change is looked for in the first steps, and the whole curve only has to stay near.
///
/// How much rounding matters is the job's: where the pictures of two classes look alike to random weights, their gradients
/// cancel and what is left is rounding's to a hundredth; a high rate multiplies it with each step. So the reference is
/// also computed from weights that are moved by [`MOVED`], and nothing nearer than [`MARGIN`] times what that
/// changes is called a fault. Nor is it called the same beyond [`CAP`]: there nobody can tell.
///
/// What the steps do to the weights shows in the losses alone. So the reference's losses are also computed without
/// learning: a backend must be nearer to the reference than [`SHARE`] of what learning changes, and where that is no more
/// than rounding may, nobody can tell.
///
/// All of this is about 32-bit floats. By Python's PyTorch, VGG16 at 64² on photos, batch 8: the worst gradient moves by
/// 0.06 to 0.10 of its length when operands are rounded to TF32's 10 bits, by 0.06 to 0.11 with autocast to float16,
/// by 0.20 to 0.29 to bfloat16.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Of the first loss, relative.
    pub loss: f64,
    /// Of each parameter's gradient: the length of the difference over the length of the reference's.
    pub gradient: f64,
    /// Of the losses of the first [`EARLY`] steps: the largest difference, relative to the first loss.
    pub early: f64,
    /// Of the losses of all steps, likewise.
    pub curve: f64,
}

/// Steps in which rounding has not grown yet.
pub const EARLY: usize = 5;

/// By which part of itself each starting weight is moved, up or down, to see what rounding alone does.
pub const MOVED: f32 = 1e-6;

/// How many times that change still counts as rounding.
pub const MARGIN: f64 = 10.0;

/// How much of what the first steps change may be missing.
pub const SHARE: f64 = 0.1;

/// What differs by more is not called the same, however much of it rounding may explain: a formula that is wrong by a
/// factor differs by no less.
pub const CAP: f64 = 0.05;

impl Default for Tolerance {
    fn default() -> Self {
        Self { loss: 1e-4, gradient: 1e-3, early: 1e-3, curve: 0.2 }
    }
}

/// How far a backend is from the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// Relative difference of the first losses.
    pub loss: f64,
    /// The largest relative difference of a gradient, and whose it is.
    pub gradient: (f64, String),
    /// The largest difference of the losses of a step, relative to the first loss, and the step; 0 is the start.
    pub curve: (f64, usize),
    /// Whether the steps were compared: not where the two change the weights by different rules.
    pub same_rule: bool,
    /// What is beyond the tolerance, in words; empty if the backend computes the same.
    pub faults: Vec<String>,
    /// What can neither be called the same nor a fault, in words.
    pub doubts: Vec<String>,
}

/// What a difference says.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    Same,
    Doubt,
    Fault,
}

/// Of a difference where rounding alone makes `rounding` of it. NaN is within nothing.
fn says(distance: f64, tolerance: f64, rounding: f64, cap: f64) -> Says {
    if distance <= tolerance {
        Says::Same
    } else if distance <= MARGIN * rounding {
        if distance <= cap { Says::Same } else { Says::Doubt }
    } else {
        Says::Fault
    }
}

/// The reference, looked at in three ways.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// As the others are.
    pub truth: &'a Trace,
    /// From weights moved by [`MOVED`].
    pub moved: &'a Trace,
    /// With a learning rate of 0, at least for the first [`EARLY`] steps.
    pub still: &'a Trace,
}

/// Compares a backend with the reference; without the `same_rule` of changing weights, up to the first change.
pub fn agreement(
    reference: Reference<'_>,
    other: &Trace,
    tolerance: Tolerance,
    same_rule: bool,
) -> Agreement {
    let Reference { truth: reference, moved, still } = reference;
    let (mut faults, mut doubts) = (Vec::new(), Vec::new());
    let mut judge = |says: Says, words: String| match says {
        Says::Same => {}
        Says::Doubt => doubts.push(words),
        Says::Fault => faults.push(words),
    };
    let relative = |a: f64, b: f64| (a - b).abs() / a.abs().max(f64::MIN_POSITIVE);
    let first = |trace: &Trace| trace.losses.first().copied().unwrap_or(f64::NAN);
    let (a, b) = (first(reference), first(other));
    let loss = relative(a, b);
    let found = says(loss, tolerance.loss, relative(a, first(moved)), CAP);
    judge(found, format!("first loss {b:.6} for {a:.6}"));
    let mut gradient = (0.0f64, String::new());
    for (name, expected) in &reference.gradients {
        let found = other.gradients.get(name);
        let Some(found) = found.filter(|found| found.len() == expected.len()) else {
            judge(Says::Fault, format!("no gradient of {name} with {} values", expected.len()));
            continue;
        };
        let distance = relative_distance(expected, found);
        if further(distance, gradient.0) {
            gradient = (distance, name.clone());
        }
        let moved = moved.gradients.get(name).filter(|moved| moved.len() == expected.len());
        let rounding = moved.map_or(0.0, |moved| relative_distance(expected, moved));
        let found = says(distance, tolerance.gradient, rounding, CAP);
        judge(found, format!("gradient of {name} off by {distance:.2e} of its length"));
    }
    if reference.losses.len() != other.losses.len() {
        let (found, expected) = (other.losses.len(), reference.losses.len());
        judge(Says::Fault, format!("{found} steps for {expected}"));
    }
    let mut curve = (0.0f64, 0);
    let mut worst = (Says::Same, String::new());
    let (mut rounding, mut early_rounding, mut learned) = (0.0f64, 0.0f64, 0.0f64);
    // The loss of the first step is that of weights that have not changed yet.
    let compared = if same_rule { reference.losses.len() } else { 2 };
    let losses = reference.losses.iter().zip(&other.losses).take(compared);
    for (index, (expected, found)) in losses.enumerate() {
        let of_first = |loss: f64| (expected - loss).abs() / a.abs().max(f64::MIN_POSITIVE);
        let apart = |trace: &Trace| trace.losses.get(index).map_or(0.0, |loss| of_first(*loss));
        let distance = of_first(*found);
        rounding = rounding.max(apart(moved));
        if index == EARLY.min(reference.losses.len() - 1) {
            early_rounding = rounding;
        }
        // The first loss is that of the start and belongs to no step.
        if further(distance, curve.0) {
            curve = (distance, index);
        }
        let found = if index <= EARLY {
            learned = learned.max(apart(still));
            let shown = learned > MARGIN * rounding;
            let limit = if shown { tolerance.early.min(SHARE * learned) } else { tolerance.early };
            says(distance, limit, rounding, CAP)
        } else {
            // What the later steps do was decided by the first; rounding has grown too much to ask for more.
            says(distance, tolerance.curve, rounding, f64::INFINITY)
        };
        if worst.0 == Says::Same || (worst.0 == Says::Doubt && found == Says::Fault) {
            worst = (found, format!("loss of step {index} off by {distance:.2e} of the first"));
        }
    }
    judge(worst.0, worst.1);
    let steps = EARLY.min(reference.losses.len().saturating_sub(1));
    if same_rule && steps > 1 && learned <= MARGIN * early_rounding {
        judge(
            Says::Doubt,
            format!(
                "{steps} steps of learning change the losses by {learned:.1e} of the first and rounding by \
                 {early_rounding:.1e}, so a wrong step would not show; another learning rate may help"
            ),
        );
    }
    Agreement { loss, gradient, curve, same_rule, faults, doubts }
}

/// Whether a difference is larger than the largest so far; NaN is the largest of all.
fn further(distance: f64, largest: f64) -> bool {
    !largest.is_nan() && (distance > largest || distance.is_nan())
}

/// The length of the difference over the length of `expected`; 0 for two zero vectors.
fn relative_distance(expected: &[f32], found: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference =
        length(&mut expected.iter().zip(found).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let size = length(&mut expected.iter().map(|v| f64::from(*v)));
    if difference == 0.0 { 0.0 } else { difference / size.max(f64::MIN_POSITIVE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(losses: &[f64], gradient: &[f32]) -> Trace {
        Trace {
            losses: losses.to_vec(),
            gradients: BTreeMap::from([("features.0.weight".to_owned(), gradient.to_vec())]),
        }
    }

    /// Compared with a reference that rounding changes to `moved` and whose losses fall by learning.
    fn compared(truth: &Trace, moved: &Trace, other: &Trace) -> Agreement {
        let still = Trace { losses: vec![9.0; truth.losses.len()], ..Trace::default() };
        agreement(Reference { truth, moved, still: &still }, other, Tolerance::default(), true)
    }

    #[test]
    fn a_backend_with_a_quarter_of_a_gradient_is_found() {
        // What candle's max pooling did in a 2 × 2 window: a quarter of the gradient.
        let reference = trace(&[0.7, 0.6], &[4.0, -8.0]);
        let found = compared(&reference, &reference, &trace(&[0.7, 0.6], &[1.0, -2.0]));
        assert_eq!(found.gradient, (0.75, "features.0.weight".to_owned()));
        assert_eq!(found.faults, ["gradient of features.0.weight off by 7.50e-1 of its length"]);
    }

    #[test]
    fn rounding_is_no_fault_and_nan_is_one() {
        let reference = trace(&[0.7, 0.6], &[4.0, -8.0]);
        let near = compared(&reference, &reference, &trace(&[0.700_001, 0.600_1], &[4.0001, -8.0]));
        assert_eq!((near.faults.len(), near.doubts.len()), (0, 0), "{near:?}");
        let mut none = trace(&[0.7, f64::NAN, 0.5], &[f32::NAN, -8.0]);
        none.gradients.insert("z".into(), vec![1.0]);
        let mut reference = trace(&[0.7, 0.6, 0.5], &[4.0, -8.0]);
        reference.gradients.insert("z".into(), vec![1.5]);
        let nan = compared(&reference, &reference, &none);
        assert_eq!(nan.faults.len(), 3, "{nan:?}");
        // The worst is what is no number, whatever comes after it.
        assert!(nan.gradient.0.is_nan() && nan.curve.0.is_nan() && nan.curve.1 == 1, "{nan:?}");
    }

    #[test]
    fn another_rule_of_change_shows_in_the_first_steps_and_grown_rounding_is_none() {
        let curve = |change: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..=20).map(|step| 0.7 - 0.01 * step as f64 + change(step)).collect()
        };
        let reference = trace(&curve(&|_| 0.0), &[1.0]);
        // As measured: 3e-7 at first, 4e-2 after twenty steps.
        let rounding = trace(&curve(&|step| 3e-7 * 1.8f64.powi(step as i32)), &[1.0]);
        let found = compared(&reference, &reference, &rounding);
        assert!(found.faults.is_empty() && found.curve.1 == 20, "{found:?}");
        let other = trace(&curve(&|step| 0.002 * step.saturating_sub(1) as f64), &[1.0]);
        let faults = compared(&reference, &reference, &other).faults;
        assert_eq!(faults, ["loss of step 2 off by 2.86e-3 of the first"]);
    }

    #[test]
    fn a_missing_gradient_and_missing_steps_are_named() {
        let reference = trace(&[0.7, 0.6], &[4.0, -8.0]);
        let short = Trace { losses: vec![0.7], ..Trace::default() };
        let faults = compared(&reference, &reference, &short).faults;
        assert_eq!(faults, ["no gradient of features.0.weight with 2 values", "1 steps for 2"]);
    }

    #[test]
    fn what_rounding_alone_does_is_no_fault_and_a_wrong_gradient_still_is_one() {
        let reference = trace(&[0.7, 0.6, 0.5], &[4.0, -8.0]);
        // Rounding is a thousandth of this job's gradient, and of its second step.
        let moved = trace(&[0.7, 0.6, 0.5007], &[4.004, -8.008]);
        let alike = trace(&[0.7, 0.6, 0.503], &[4.02, -8.04]);
        let with = |moved: &Trace, other: &Trace| {
            let found = compared(&reference, moved, other);
            (found.faults.len(), found.doubts.len())
        };
        assert_eq!((with(&reference, &alike), with(&moved, &alike)), ((2, 0), (0, 0)));
        assert_eq!(with(&moved, &trace(&[0.7, 0.6, 0.52], &[4.2, -8.4])), (2, 0));
    }

    #[test]
    fn what_rounding_could_explain_but_is_large_is_neither_the_same_nor_a_fault() {
        let reference = trace(&[0.7, 0.6, 0.5], &[4.0, -8.0]);
        let chaos = trace(&[0.7, 0.6, 0.6], &[40.0, -8.0]);
        let found = compared(&reference, &chaos, &trace(&[0.7, 0.6, 0.9], &[1.0, -2.0]));
        let expected = [
            "gradient of features.0.weight off by 7.50e-1 of its length",
            "loss of step 2 off by 5.71e-1 of the first",
        ];
        assert_eq!((found.doubts, found.faults), (expected.map(String::from).into(), vec![]));
    }

    #[test]
    fn a_backend_that_does_not_learn_is_found_at_any_rate_that_shows() {
        let truth = trace(&[0.7, 0.7, 0.6901], &[1.0]);
        let moved = trace(&[0.7, 0.7, 0.690_101], &[1.0]);
        let still = trace(&[0.7, 0.7, 0.69], &[1.0]);
        let found = |moved: &Trace| {
            let reference = Reference { truth: &truth, moved, still: &still };
            agreement(reference, &still, Tolerance::default(), true)
        };
        // Far within the tolerance, yet all that learning does.
        assert_eq!(found(&moved).faults, ["loss of step 2 off by 1.43e-4 of the first"]);
        assert!(found(&moved).doubts.is_empty());
        let reference = Reference { truth: &truth, moved: &moved, still: &still };
        let other_rule = agreement(reference, &still, Tolerance::default(), false);
        assert!(other_rule.faults.is_empty() && other_rule.doubts.is_empty(), "{other_rule:?}");
        let rough = found(&trace(&[0.7, 0.7, 0.690_05], &[1.0]));
        assert!(rough.faults.is_empty());
        assert_eq!(
            rough.doubts,
            [
                "2 steps of learning change the losses by 1.4e-4 of the first and rounding by 7.1e-5, so a wrong step would \
              not show; another learning rate may help"
            ]
        );
    }
}
