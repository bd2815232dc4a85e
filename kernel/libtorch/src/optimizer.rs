//! Optimisers on LibTorch's tensors.
//!
//! On the CPU one loop over the values does what LibTorch's own operations do in about ten passes over the memory
//! ([`Update`]); with 15 million weights and small pictures the update is otherwise most of a step. On a GPU SGD and Adam are
//! LibTorch's fused ones, which Python's PyTorch has with `fused=True`; RMSprop, which has none, 64-bit floats and scaled
//! gradients take the same formulas in LibTorch's operations.

use crate::net::{read, write};
use crate::{layout, shim};
use benchbook_backend::{Array, Convention, Optimizer, Parameters};
use rayon::prelude::*;
use std::collections::BTreeMap;
use tch::{Device, Kind, TchError, Tensor};

/// Suffixes of the state's names: momentum or mean of gradients, and mean of squared gradients.
pub(crate) const SUFFIXES: [&str; 2] = [".mean", ".square"];
const STEP: &str = "step";

/// What changes weights that are 32-bit floats. All others are changed by operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// One pass over the values: on the processor a loop of Benchbook's, on a GPU LibTorch's fused operations.
    Loop,
    /// LibTorch's operations, one parameter after the other, as in `torch::optim`.
    Operations,
}

/// What an optimiser remembers between steps.
#[derive(Debug)]
pub(crate) struct State {
    by: Update,
    /// Updates done so far.
    steps: u32,
    /// By the name of the parameter.
    moments: BTreeMap<String, Moments>,
}

#[derive(Debug, Default)]
struct Moments {
    mean: Option<Tensor>,
    square: Option<Tensor>,
}

/// The numbers of one step's formula, the same for all weights.
#[derive(Clone, Copy)]
enum Rule {
    Sgd {
        rate: f64,
        momentum: f64,
        nesterov: bool,
        decay: f64,
        first: bool,
    },
    /// `w ← w − rate · m / (√v / root + epsilon)`
    Adam {
        rate: f64,
        beta1: f64,
        beta2: f64,
        root: f64,
        epsilon: f64,
    },
    RmsProp {
        rate: f64,
        decay: f64,
        epsilon: f64,
        inside: bool,
    },
}

impl Rule {
    fn new(optimizer: &Optimizer, rate: f64, step: u32) -> Self {
        match *optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay: decay } => {
                Rule::Sgd { rate, momentum, nesterov, decay, first: step == 1 }
            }
            Optimizer::Adam { beta1, beta2, epsilon, convention } => {
                let (one, two) = (1.0 - beta1.powf(step.into()), 1.0 - beta2.powf(step.into()));
                // Keras adds epsilon to √v before the correction, which is a larger epsilon after it.
                let epsilon = match convention {
                    Convention::PyTorch => epsilon,
                    Convention::Keras => epsilon / two.sqrt(),
                };
                Rule::Adam { rate: rate / one, beta1, beta2, root: two.sqrt(), epsilon }
            }
            Optimizer::RmsProp { decay, epsilon, convention } => {
                Rule::RmsProp { rate, decay, epsilon, inside: convention == Convention::Keras }
            }
        }
    }

    fn needs_mean(self) -> bool {
        match self {
            Rule::Sgd { momentum, .. } => momentum != 0.0,
            Rule::Adam { .. } => true,
            Rule::RmsProp { .. } => false,
        }
    }

    fn needs_square(self) -> bool {
        !matches!(self, Rule::Sgd { .. })
    }
}

impl State {
    pub(crate) fn new(by: Update) -> Self {
        Self { by, steps: 0, moments: BTreeMap::new() }
    }

    /// Changes the given weights by their gradients, in place.
    pub(crate) fn update<'a>(
        &mut self,
        optimizer: &Optimizer,
        rate: f64,
        weights: impl Iterator<Item = (&'a str, Tensor, &'a Tensor)>,
    ) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let rule = Rule::new(optimizer, rate, self.steps);
        for (name, mut weight, gradient) in weights {
            let (by, moments) = (self.by, self.moments_of(name, &weight, rule)?);
            let has_loop = weight.device() == Device::Cpu && weight.kind() == Kind::Float;
            if has_loop && by == Update::Loop {
                on_the_cpu(rule, &weight, gradient, moments)?;
            } else {
                by_operations(rule, &mut weight, gradient, moments)?;
            }
        }
        Ok(())
    }

    /// Whether [`State::launch`] can do this optimiser's update.
    pub(crate) fn is_fused(optimizer: &Optimizer) -> bool {
        matches!(optimizer, Optimizer::Sgd { .. } | Optimizer::Adam { .. })
    }

    /// Does what [`State::update`] does in one pass over all weights, and leaves it out if `found_inf` holds 1. Whoever
    /// learns later that it held 1 calls [`State::take_back`].
    pub(crate) fn launch<'a>(
        &mut self,
        optimizer: &Optimizer,
        rate: f64,
        weights: impl Iterator<Item = (&'a str, Tensor, &'a Tensor)>,
        found_inf: &Tensor,
    ) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let rule = Rule::new(optimizer, rate, self.steps);
        let [mut all, mut gradients, mut means, mut squares] = [const { Vec::new() }; 4];
        for (name, weight, gradient) in weights {
            let moments = self.moments_of(name, &weight, rule)?;
            means.extend(moments.mean.as_ref().map(Tensor::shallow_clone));
            squares.extend(moments.square.as_ref().map(Tensor::shallow_clone));
            gradients.push(layout::same(gradient, &weight)?);
            all.push(weight);
        }
        let Some(first_weight) = all.first() else { return Ok(()) };
        let steps = Tensor::f_full(
            &[] as &[i64],
            f64::from(self.steps),
            (Kind::Float, first_weight.device()),
        )?;
        let tensors = shim::Tensors { weights: all, gradients, means, squares };
        match rule {
            Rule::Sgd { momentum, nesterov, decay, first, .. } => {
                shim::fused_sgd(&tensors, rate, momentum, decay, nesterov, first, found_inf)
            }
            Rule::Adam { beta1, beta2, epsilon, .. } => {
                shim::fused_adam(&tensors, &steps, rate, [beta1, beta2], epsilon, found_inf)
            }
            Rule::RmsProp { .. } => Err(TchError::Torch("RMSprop has no fused form".into())),
        }
    }

    /// The last update was none.
    pub(crate) fn take_back(&mut self) {
        self.steps = self.steps.saturating_sub(1);
    }

    /// A weight's moments, made if the rule needs them and they are not there yet.
    fn moments_of(
        &mut self,
        name: &str,
        weight: &Tensor,
        rule: Rule,
    ) -> Result<&mut Moments, TchError> {
        let moments = self.moments.entry(name.into()).or_default();
        if rule.needs_mean() && moments.mean.is_none() {
            moments.mean = Some(weight.f_zeros_like()?);
        }
        if rule.needs_square() && moments.square.is_none() {
            moments.square = Some(weight.f_zeros_like()?);
        }
        for moment in [&mut moments.mean, &mut moments.square].into_iter().flatten() {
            // One that was read from a file lies in memory as files do.
            *moment = layout::same(moment, weight)?;
        }
        Ok(moments)
    }

    pub(crate) fn read(&self) -> Result<Parameters, TchError> {
        let mut arrays = BTreeMap::new();
        for (name, moments) in &self.moments {
            for (suffix, tensor) in SUFFIXES.iter().zip([&moments.mean, &moments.square]) {
                if let Some(tensor) = tensor {
                    arrays.insert(format!("{name}{suffix}"), read(tensor)?);
                }
            }
        }
        // Exact up to 16.7 million steps, which is 76 years of the report's training.
        arrays.insert(STEP.into(), Array { shape: vec![1], values: vec![self.steps as f32] });
        Ok(Parameters { arrays })
    }

    pub(crate) fn from_parameters(
        by: Update,
        parameters: &Parameters,
        device: Device,
        kind: Kind,
    ) -> Result<Self, TchError> {
        let tensor = |array| write(array, device)?.f_to_kind(kind);
        let mut state = State::new(by);
        for (name, array) in &parameters.arrays {
            if name == STEP {
                state.steps = array.values.first().map_or(0, |steps| *steps as u32);
            } else if let Some(name) = name.strip_suffix(SUFFIXES[0]) {
                state.moments.entry(name.into()).or_default().mean = Some(tensor(array)?);
            } else if let Some(name) = name.strip_suffix(SUFFIXES[1]) {
                state.moments.entry(name.into()).or_default().square = Some(tensor(array)?);
            }
        }
        Ok(state)
    }
}

/// Values that a thread changes at a time: parts for as many threads as LibTorch uses, so that a net with
/// fewer threads than there are cores does not take the others for this.
fn share(values: usize) -> usize {
    // Less than this is not worth waking another thread for.
    const LEAST: usize = 1 << 15;
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
    values.div_ceil(threads).max(LEAST)
}

fn on_the_cpu(
    rule: Rule,
    weight: &Tensor,
    gradient: &Tensor,
    moments: &Moments,
) -> Result<(), TchError> {
    let ordered =
        |moment: &Option<Tensor>| moment.as_ref().map(layout::in_memory_order).transpose();
    let gradient = layout::in_memory_order(&layout::same(gradient, weight)?)?;
    let gradient = values(&gradient)?;
    let weight = layout::in_memory_order(weight)?;
    let weight = values_mut(&weight)?;
    let (mean, square) = (ordered(&moments.mean)?, ordered(&moments.square)?);
    let mean = mean.as_ref().map_or(Ok(&mut [][..]), values_mut)?;
    let square = square.as_ref().map_or(Ok(&mut [][..]), values_mut)?;
    let share = share(weight.len());
    let weights = weight.par_chunks_mut(share).zip(gradient.par_chunks(share));
    match rule {
        Rule::Sgd { rate, momentum, nesterov, decay, first } => {
            let [rate, momentum, decay] = [rate, momentum, decay].map(|number| number as f32);
            if momentum == 0.0 {
                weights.for_each(|(weight, gradient)| {
                    for (w, g) in weight.iter_mut().zip(gradient) {
                        *w -= rate * (g + decay * *w);
                    }
                });
                return Ok(());
            }
            weights.zip(mean.par_chunks_mut(share)).for_each(|((weight, gradient), mean)| {
                for ((w, g), m) in weight.iter_mut().zip(gradient).zip(mean) {
                    let g = g + decay * *w;
                    *m = if first { g } else { momentum * *m + g };
                    *w -= rate * if nesterov { g + momentum * *m } else { *m };
                }
            });
        }
        Rule::Adam { rate, beta1, beta2, root, epsilon } => {
            // 1 − 0.999 in 32-bit floats would be off by a hundred-thousandth.
            let (new1, new2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
            let [rate, beta2, root, epsilon] =
                [rate, beta2, root, epsilon].map(|number| number as f32);
            weights.zip(mean.par_chunks_mut(share).zip(square.par_chunks_mut(share))).for_each(
                |((weight, gradient), (mean, square))| {
                    for (((w, g), m), v) in weight.iter_mut().zip(gradient).zip(mean).zip(square) {
                        *m += new1 * (g - *m);
                        *v = beta2 * *v + new2 * g * g;
                        *w -= rate * *m / (v.sqrt() / root + epsilon);
                    }
                },
            );
        }
        Rule::RmsProp { rate, decay, epsilon, inside } => {
            let new = (1.0 - decay) as f32;
            let [rate, decay, epsilon] = [rate, decay, epsilon].map(|number| number as f32);
            weights.zip(square.par_chunks_mut(share)).for_each(|((weight, gradient), square)| {
                for ((w, g), v) in weight.iter_mut().zip(gradient).zip(square) {
                    *v = decay * *v + new * g * g;
                    let root = if inside { (*v + epsilon).sqrt() } else { v.sqrt() + epsilon };
                    *w -= rate * g / root;
                }
            });
        }
    }
    Ok(())
}

fn checked(tensor: &Tensor) -> Result<(), TchError> {
    if tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous() {
        Ok(())
    } else {
        Err(TchError::Kind("expected contiguous 32-bit floats on the CPU".into()))
    }
}

fn values(tensor: &Tensor) -> Result<&[f32], TchError> {
    checked(tensor)?;
    // SAFETY: the tensor holds `numel` contiguous floats on the CPU and outlives the slice; nothing
    // writes to a gradient while the optimiser reads it.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) })
}

#[allow(clippy::mut_from_ref)]
fn values_mut(tensor: &Tensor) -> Result<&mut [f32], TchError> {
    checked(tensor)?;
    // SAFETY: as for `values`; weights and moments have storage of their own, and `&mut self` of the
    // network keeps every other user away during a step.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) })
}

/// The formulas of [`on_the_cpu`] in LibTorch's operations, for tensors on a GPU and of 64-bit floats.
fn by_operations(
    rule: Rule,
    weight: &mut Tensor,
    gradient: &Tensor,
    moments: &mut Moments,
) -> Result<(), TchError> {
    let scaled = |tensor: &Tensor, factor: f64| tensor.f_mul_scalar(factor);
    let change = match (rule, &mut moments.mean, &mut moments.square) {
        (Rule::Sgd { rate, momentum, nesterov, decay, first }, mean, _) => {
            let gradient = if decay == 0.0 {
                gradient.shallow_clone()
            } else {
                gradient.f_add(&scaled(weight, decay)?)?
            };
            match mean {
                None => scaled(&gradient, rate)?,
                Some(mean) => {
                    let kept = if first { 0.0 } else { momentum };
                    let _ = mean.f_mul_scalar_(kept)?.f_add_(&gradient)?;
                    if nesterov {
                        scaled(&gradient.f_add(&scaled(mean, momentum)?)?, rate)?
                    } else {
                        scaled(mean, rate)?
                    }
                }
            }
        }
        (Rule::Adam { rate, beta1, beta2, root, epsilon }, Some(mean), Some(square)) => {
            let _ = mean.f_lerp_(gradient, 1.0 - beta1)?;
            let part = scaled(gradient, 1.0 - beta2)?;
            let _ = square.f_mul_scalar_(beta2)?.f_addcmul_(&part, gradient)?;
            let below = square.f_sqrt()?.f_div_scalar_(root)?.f_add_scalar_(epsilon)?;
            mean.f_div(&below)?.f_mul_scalar_(rate)?
        }
        (Rule::RmsProp { rate, decay, epsilon, inside }, _, Some(square)) => {
            let part = scaled(gradient, 1.0 - decay)?;
            let _ = square.f_mul_scalar_(decay)?.f_addcmul_(&part, gradient)?;
            let below = if inside {
                square.f_add_scalar(epsilon)?.f_sqrt_()?
            } else {
                square.f_sqrt()?.f_add_scalar_(epsilon)?
            };
            gradient.f_div(&below)?.f_mul_scalar_(rate)?
        }
        // `State::update` makes the moments that a rule needs before it calls this.
        (Rule::Adam { .. } | Rule::RmsProp { .. }, _, _) => return Ok(()),
    };
    let _ = weight.f_sub_(&change)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optimizers() -> Vec<Optimizer> {
        let mut all: Vec<Optimizer> = [Convention::PyTorch, Convention::Keras]
            .into_iter()
            .flat_map(|convention| [Optimizer::adam(convention), Optimizer::rmsprop(convention)])
            .collect();
        all.extend([
            Optimizer::sgd(),
            Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01 },
            Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0 },
        ]);
        all
    }

    #[test]
    fn the_loop_and_librarys_operations_agree() {
        for optimizer in optimizers() {
            let start = Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 0.0]);
            let (looped, mut by_library) = (start.copy(), start.copy());
            let zeros = || Some(start.zeros_like());
            let rule = Rule::new(&optimizer, 0.1, 1);
            let make = || Moments {
                mean: rule.needs_mean().then(zeros).flatten(),
                square: rule.needs_square().then(zeros).flatten(),
            };
            let (one, mut two) = (make(), make());
            for step in 1..4 {
                let rule = Rule::new(&optimizer, 0.1, step);
                let gradient = Tensor::from_slice(&[0.3_f32, -0.2, 0.001, 1.0]) * f64::from(step);
                on_the_cpu(rule, &looped, &gradient, &one).unwrap();
                by_operations(rule, &mut by_library, &gradient, &mut two).unwrap();
            }
            assert!(
                looped.allclose(&by_library, 1e-6, 1e-7, false),
                "{optimizer}: {looped} {by_library}"
            );
        }
    }

    /// On the CPU, where LibTorch has the same fused operations as on a GPU.
    #[test]
    fn fused_updates_are_the_others_and_an_infinity_leaves_everything_as_it_is() {
        let flag = |value: f32| Tensor::from_slice(&[value]);
        for optimizer in optimizers().into_iter().filter(State::is_fused) {
            let start = Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 0.0]);
            let (one_by_one, fused) = (start.copy(), start.copy());
            let [mut usual, mut launched] = [Update::Loop; 2].map(State::new);
            for step in 1..4 {
                let gradient = Tensor::from_slice(&[0.3_f32, -0.2, 0.001, 1.0]) * f64::from(step);
                let pair = |weight: &Tensor| [("w", weight.shallow_clone(), &gradient)].into_iter();
                usual.update(&optimizer, 0.1, pair(&one_by_one)).unwrap();
                launched.launch(&optimizer, 0.1, pair(&fused), &flag(0.0)).unwrap();
                let (weight, before) = (fused.copy(), launched.read().unwrap());
                launched.launch(&optimizer, 0.1, pair(&fused), &flag(1.0)).unwrap();
                launched.take_back();
                assert_eq!((&weight, before), (&fused, launched.read().unwrap()), "{optimizer}");
            }
            assert!(
                one_by_one.allclose(&fused, 1e-5, 1e-6, false),
                "{optimizer}: {one_by_one} {fused}"
            );
        }
    }

    /// Two steps from w = 0.5 with gradients 0.3 and −0.1, computed by `torch.optim` 2.11 and by the
    /// formulas of `keras.optimizers` 3 in float64.
    #[test]
    fn two_steps_agree_with_the_libraries_formulas() {
        let expected = |optimizer: &Optimizer| -> f64 {
            let (mut w, mut m, mut v) = (0.5_f64, 0.0_f64, 0.0_f64);
            for (t, g) in [(1, 0.3_f64), (2, -0.1)] {
                match *optimizer {
                    Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                        let g = g + weight_decay * w;
                        m = if t == 1 { g } else { momentum * m + g };
                        w -= 0.1 * if nesterov { g + momentum * m } else { m };
                    }
                    Optimizer::Adam { beta1, beta2, epsilon, convention } => {
                        m = beta1 * m + (1.0 - beta1) * g;
                        v = beta2 * v + (1.0 - beta2) * g * g;
                        let (c1, c2) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
                        w -= match convention {
                            Convention::PyTorch => 0.1 * (m / c1) / ((v / c2).sqrt() + epsilon),
                            Convention::Keras => 0.1 * c2.sqrt() / c1 * m / (v.sqrt() + epsilon),
                        };
                    }
                    Optimizer::RmsProp { decay, epsilon, convention } => {
                        v = decay * v + (1.0 - decay) * g * g;
                        w -= match convention {
                            Convention::PyTorch => 0.1 * g / (v.sqrt() + epsilon),
                            Convention::Keras => 0.1 * g / (v + epsilon).sqrt(),
                        };
                    }
                }
            }
            w
        };
        for optimizer in optimizers() {
            let weight = Tensor::from_slice(&[0.5_f32]);
            let mut state = State::new(Update::Loop);
            for gradient in [0.3_f32, -0.1] {
                let gradient = Tensor::from_slice(&[gradient]);
                state
                    .update(&optimizer, 0.1, [("w", weight.shallow_clone(), &gradient)].into_iter())
                    .unwrap();
            }
            let found = weight.double_value(&[0]);
            assert!((found - expected(&optimizer)).abs() < 2e-6, "{optimizer}: {found}");
        }
    }
}
