//! Optimisers as operations of the graph.

use crate::api::{Output, TF_Operation};
use crate::graph::Graph;
use crate::status::failed;
use benchbook_backend::{BackendError, Convention, Optimizer};

/// An optimiser's state of each weight, by the suffixes of the names.
const MEAN: &str = ".mean";
const SQUARE: &str = ".square";

/// The suffixes of an optimiser's state of each weight.
pub(crate) fn slots(optimizer: &Optimizer) -> &'static [&'static str] {
    match optimizer {
        Optimizer::Sgd { momentum: 0.0, .. } => &[],
        Optimizer::Sgd { .. } => &[MEAN],
        Optimizer::Adam { .. } => &[MEAN, SQUARE],
        Optimizer::RmsProp { .. } => &[SQUARE],
    }
}

/// The rate and epsilon of step `t`, from 1. Adam's correction is computed here: TensorFlow subtracts
/// 0.999 from 1 in 32 bits, which leaves five digits.
pub(crate) fn numbers(optimizer: &Optimizer, rate: f64, t: u32) -> [f64; 2] {
    match *optimizer {
        Optimizer::Sgd { .. } => [rate, 0.0],
        Optimizer::RmsProp { epsilon, .. } => [rate, epsilon],
        Optimizer::Adam { beta1, beta2, epsilon, convention } => {
            let (one, two) = (1.0 - beta1.powf(t.into()), 1.0 - beta2.powf(t.into()));
            let epsilon = match convention {
                Convention::Keras => epsilon,
                // m / (√(v / two) + ε) = √two · m / (√v + √two · ε)
                Convention::PyTorch => epsilon * two.sqrt(),
            };
            [rate * two.sqrt() / one, epsilon]
        }
    }
}

/// A weight, its gradient and its state.
pub(crate) struct Place<'a> {
    /// The variable.
    pub(crate) variable: Output,
    /// Its value before the step.
    pub(crate) value: Output,
    pub(crate) gradient: Output,
    /// The variables of [`slots`].
    pub(crate) slots: &'a [Output],
    /// The update happens after these operations, and only if all of them do.
    pub(crate) after: &'a [*mut TF_Operation],
}

/// The inputs of an update that are the same for all weights.
pub(crate) struct Numbers {
    pub(crate) rate: Output,
    pub(crate) epsilon: Output,
}

/// Adds the operations that update one weight, and returns the last.
pub(crate) fn update(
    optimizer: &Optimizer,
    graph: &mut Graph,
    place: &Place<'_>,
    numbers: &Numbers,
) -> Result<*mut TF_Operation, BackendError> {
    let Place { variable, value, gradient, slots, after } = *place;
    let Numbers { rate, epsilon } = *numbers;
    match (*optimizer, slots) {
        (Optimizer::Sgd { momentum, nesterov, weight_decay }, slots) => {
            let gradient = if weight_decay == 0.0 {
                gradient
            } else {
                let factor = graph.scalar(weight_decay)?;
                let decay = graph.apply(c"Mul", &[value, factor])?;
                // With one row, TensorFlow would take AddV2 for the bias of the product that computes the gradient.
                graph.add(c"AddN").list(&[gradient, decay]).floats().output()?
            };
            if let [mean] = slots {
                let momentum = graph.scalar(momentum)?;
                let kept = graph.add(c"ResourceApplyMomentum").floats();
                let kept = kept.inputs(&[variable, *mean, rate, gradient, momentum]);
                kept.flag(c"use_nesterov", nesterov).after(after).operation()
            } else {
                let plain = graph.add(c"ResourceApplyGradientDescent").floats();
                plain.inputs(&[variable, rate, gradient]).after(after).operation()
            }
        }
        (Optimizer::Adam { beta1, beta2, .. }, [mean, square]) => {
            // The powers of the betas are zero: the rate is already corrected.
            let none = graph.scalar(0.0)?;
            let (beta1, beta2) = (graph.scalar(beta1)?, graph.scalar(beta2)?);
            let adam = graph.add(c"ResourceApplyAdam").floats();
            let moments = [variable, *mean, *square, none, none];
            let adam = adam.inputs(&moments).inputs(&[rate, beta1, beta2, epsilon, gradient]);
            adam.after(after).operation()
        }
        (Optimizer::RmsProp { decay, convention, .. }, [square]) => {
            // ResourceApplyRMSProp needs a momentum of the weight's size, which is not used here.
            let (kept, new) = (graph.scalar(decay)?, graph.scalar(1.0 - decay)?);
            let before = graph.add(c"ReadVariableOp").inputs(&[*square]);
            let before = before.numbers().output()?;
            let before = graph.apply(c"Mul", &[before, kept])?;
            let squared = graph.apply(c"Square", &[gradient])?;
            let squared = graph.apply(c"Mul", &[squared, new])?;
            let mean = graph.apply(c"AddV2", &[before, squared])?;
            let remember = graph.add(c"AssignVariableOp").inputs(&[*square, mean]);
            let remember = remember.numbers().after(after).operation()?;
            let root = match convention {
                Convention::Keras => {
                    let inside = graph.apply(c"AddV2", &[mean, epsilon])?;
                    graph.apply(c"Sqrt", &[inside])?
                }
                Convention::PyTorch => {
                    let root = graph.apply(c"Sqrt", &[mean])?;
                    graph.apply(c"AddV2", &[root, epsilon])?
                }
            };
            let scaled = graph.apply(c"Mul", &[gradient, rate])?;
            let change = graph.apply(c"RealDiv", &[scaled, root])?;
            let update = graph.add(c"AssignSubVariableOp").inputs(&[variable, change]);
            update.numbers().after(&[remember]).operation()
        }
        (Optimizer::Adam { .. } | Optimizer::RmsProp { .. }, slots) => {
            let message = format!("{optimizer} cannot have {} slots", slots.len());
            Err(failed("adding the optimiser", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adams_numbers_are_those_of_both_conventions() {
        let adam =
            |convention| Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, convention };
        // Step 1: √(1 − 0.999) / (1 − 0.9) = 0.316227766; step 2: √(1 − 0.998001) / (1 − 0.81) = 0.235317…
        let [rate, epsilon] = numbers(&adam(Convention::Keras), 0.1, 1);
        assert!((rate - 0.031_622_776_6).abs() < 1e-10 && epsilon == 1e-7, "{rate} {epsilon}");
        let [rate, epsilon] = numbers(&adam(Convention::PyTorch), 0.1, 2);
        let root = (1.0_f64 - 0.998_001).sqrt();
        assert!((rate - 0.1 * root / 0.19).abs() < 1e-12, "{rate}");
        assert!((epsilon - 1e-7 * root).abs() < 1e-18, "{epsilon}");
    }
}
