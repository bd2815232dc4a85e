//! Optimisers on LibTorch's tensors: its own fused SGD and Adam, which Python's PyTorch has with `fused=True`, and RMSprop in its
//! operations, since there is no fused one.

use crate::net::{read, write};
use crate::{layout, shim};
use benchbook_backend::{Array, Convention, Optimizer, Parameters};
use std::collections::BTreeMap;
use tch::{Device, Kind, TchError, Tensor};

/// Suffixes of the state's names: momentum or mean of gradients, and mean of squared gradients.
pub(crate) const SUFFIXES: [&str; 2] = [".mean", ".square"];
const STEP: &str = "step";

/// The state of an optimiser.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Number of updates so far.
    steps: u32,
    /// By the name of the parameter.
    moments: BTreeMap<String, Moments>,
}

#[derive(Debug, Default)]
struct Moments {
    mean: Option<Tensor>,
    square: Option<Tensor>,
}

impl State {
    /// Whether [`State::update`] uses `found_inf`.
    pub(crate) fn is_fused(optimizer: &Optimizer) -> bool {
        !matches!(optimizer, Optimizer::RmsProp { .. })
    }

    /// Updates the weights in place from their gradients. A fused optimiser changes nothing if
    /// `found_inf` holds 1; a caller that later reads 1 calls [`State::take_back`].
    pub(crate) fn update<'a>(
        &mut self,
        optimizer: &Optimizer,
        rate: f64,
        weights: impl Iterator<Item = (&'a str, Tensor, &'a Tensor)>,
        found_inf: Option<&Tensor>,
    ) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let [mut all, mut gradients, mut means, mut squares] = [const { Vec::new() }; 4];
        for (name, weight, gradient) in weights {
            let moments = self.moments_of(name, &weight, optimizer)?;
            means.extend(moments.mean.as_ref().map(Tensor::shallow_clone));
            squares.extend(moments.square.as_ref().map(Tensor::shallow_clone));
            gradients.push(layout::same(gradient, &weight)?);
            all.push(weight);
        }
        let Some(device) = all.first().map(Tensor::device) else { return Ok(()) };
        let tensors = shim::Tensors { weights: all, gradients, means, squares };
        match *optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                let first = self.steps == 1;
                shim::fused_sgd(&tensors, rate, momentum, weight_decay, nesterov, first, found_inf)
            }
            Optimizer::Adam { beta1, beta2, epsilon, convention } => {
                // Keras adds epsilon to √v before the correction, which is a larger epsilon after it.
                let epsilon = match convention {
                    Convention::PyTorch => epsilon,
                    Convention::Keras => epsilon / (1.0 - beta2.powf(self.steps.into())).sqrt(),
                };
                let steps =
                    Tensor::f_full(&[] as &[i64], f64::from(self.steps), (Kind::Float, device))?;
                shim::fused_adam(&tensors, &steps, rate, [beta1, beta2], epsilon, found_inf)
            }
            Optimizer::RmsProp { decay, epsilon, convention } => {
                let each = tensors.weights.iter().zip(&tensors.gradients).zip(&tensors.squares);
                each.into_iter().try_for_each(|((weight, gradient), square)| {
                    rmsprop(rate, [decay, epsilon], convention, weight, gradient, square)
                })
            }
        }
    }

    /// Uncounts the last update, which `found_inf` prevented.
    pub(crate) fn take_back(&mut self) {
        self.steps = self.steps.saturating_sub(1);
    }

    /// A weight's moments, created on first use if the optimiser needs them.
    fn moments_of(
        &mut self,
        name: &str,
        weight: &Tensor,
        optimizer: &Optimizer,
    ) -> Result<&mut Moments, TchError> {
        let (has_mean, has_square) = match *optimizer {
            Optimizer::Sgd { momentum, .. } => (momentum != 0.0, false),
            Optimizer::Adam { .. } => (true, true),
            Optimizer::RmsProp { .. } => (false, true),
        };
        let moments = self.moments.entry(name.into()).or_default();
        if has_mean && moments.mean.is_none() {
            moments.mean = Some(weight.f_zeros_like()?);
        }
        if has_square && moments.square.is_none() {
            moments.square = Some(weight.f_zeros_like()?);
        }
        for moment in [&mut moments.mean, &mut moments.square].into_iter().flatten() {
            // A moment from a file has the memory layout of the file.
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
        parameters: &Parameters,
        device: Device,
        kind: Kind,
    ) -> Result<Self, TchError> {
        let tensor = |array| write(array, device)?.f_to_kind(kind);
        let mut state = State::default();
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

fn rmsprop(
    rate: f64,
    [decay, epsilon]: [f64; 2],
    convention: Convention,
    weight: &Tensor,
    gradient: &Tensor,
    square: &Tensor,
) -> Result<(), TchError> {
    let (mut weight, mut square) = (weight.shallow_clone(), square.shallow_clone());
    let part = gradient.f_mul_scalar(1.0 - decay)?;
    let _ = square.f_mul_scalar_(decay)?.f_addcmul_(&part, gradient)?;
    let below = match convention {
        Convention::PyTorch => square.f_sqrt()?.f_add_scalar_(epsilon)?,
        Convention::Keras => square.f_add_scalar(epsilon)?.f_sqrt_()?,
    };
    let _ = weight.f_sub_(&gradient.f_div(&below)?.f_mul_scalar_(rate)?)?;
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
    fn an_infinity_leaves_everything_as_it_is() {
        let flag = |value: f32| Tensor::from_slice(&[value]);
        for optimizer in optimizers().into_iter().filter(State::is_fused) {
            let weight = Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 0.0]);
            let gradient = Tensor::from_slice(&[0.3_f32, -0.2, 0.001, 1.0]);
            let pair = || [("w", weight.shallow_clone(), &gradient)].into_iter();
            let mut state = State::default();
            for _ in 0..3 {
                state.update(&optimizer, 0.1, pair(), Some(&flag(0.0))).unwrap();
                let before = (weight.copy(), state.read().unwrap());
                state.update(&optimizer, 0.1, pair(), Some(&flag(1.0))).unwrap();
                state.take_back();
                assert_eq!((weight.copy(), state.read().unwrap()), before, "{optimizer}");
            }
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
            let mut state = State::default();
            for gradient in [0.3_f32, -0.1] {
                let gradient = Tensor::from_slice(&[gradient]);
                state
                    .update(
                        &optimizer,
                        0.1,
                        [("w", weight.shallow_clone(), &gradient)].into_iter(),
                        None,
                    )
                    .unwrap();
            }
            let found = weight.double_value(&[0]);
            assert!((found - expected(&optimizer)).abs() < 2e-6, "{optimizer}: {found}");
        }
    }
}
