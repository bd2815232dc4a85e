//! The job's optimiser: candle's, or an implementation of one that candle-nn lacks.

use benchbook_reference::{Convention, Optimizer, different};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer as _, ParamsAdamW, SGD};

/// The job's optimiser.
pub(crate) enum AnyOptimizer {
    Sgd(SGD),
    Momentum(Momentum),
    Adam(AdamW),
    RmsProp(RmsProp),
}

impl AnyOptimizer {
    pub(crate) fn new(variables: Vec<Var>, settings: Optimizer, rate: f64) -> anyhow::Result<Self> {
        Ok(match settings {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                if momentum == 0.0 && weight_decay == 0.0 {
                    return Ok(Self::Sgd(SGD::new(variables, rate)?));
                }
                let memory = vec![None; variables.len()];
                Self::Momentum(Momentum {
                    variables,
                    memory,
                    rate,
                    momentum,
                    nesterov,
                    weight_decay,
                })
            }
            // AdamW without weight decay is PyTorch's Adam.
            Optimizer::Adam { beta1, beta2, epsilon: eps, convention: Convention::PyTorch } => {
                Self::Adam(AdamW::new(
                    variables,
                    ParamsAdamW { lr: rate, beta1, beta2, eps, weight_decay: 0.0 },
                )?)
            }
            Optimizer::RmsProp { decay, epsilon, convention: Convention::PyTorch } => {
                let memory = vec![None; variables.len()];
                Self::RmsProp(RmsProp { variables, memory, rate, decay, epsilon })
            }
            other => anyhow::bail!("candle's program has only PyTorch's formulas, got {other}"),
        })
    }

    /// Computes the gradients of a loss and updates the variables.
    pub(crate) fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        match self {
            Self::Sgd(sgd) => sgd.backward_step(loss),
            Self::Momentum(momentum) => momentum.step(&loss.backward()?),
            Self::Adam(adam) => adam.backward_step(loss),
            Self::RmsProp(rmsprop) => rmsprop.step(&loss.backward()?),
        }
    }

    pub(crate) fn deviations(&self, settings: Optimizer, rate: f64) -> Vec<String> {
        let (found, found_rate) = match self {
            Self::Sgd(sgd) => (Optimizer::sgd(), sgd.learning_rate()),
            Self::Momentum(Momentum { momentum, nesterov, weight_decay, rate, .. }) => {
                let (momentum, nesterov, weight_decay) = (*momentum, *nesterov, *weight_decay);
                (Optimizer::Sgd { momentum, nesterov, weight_decay }, *rate)
            }
            Self::Adam(adam) => {
                let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = adam.params().clone();
                if weight_decay != 0.0 {
                    return vec![format!("the optimiser's weight decay is {weight_decay}")];
                }
                let convention = Convention::PyTorch;
                (Optimizer::Adam { beta1, beta2, epsilon: eps, convention }, lr)
            }
            Self::RmsProp(RmsProp { decay, epsilon, rate, .. }) => {
                let (decay, epsilon, convention) = (*decay, *epsilon, Convention::PyTorch);
                (Optimizer::RmsProp { decay, epsilon, convention }, *rate)
            }
        };
        let of_rate = different("the optimiser's rate", found_rate, rate);
        different("the optimiser", found, settings).into_iter().chain(of_rate).collect()
    }
}

/// SGD with momentum and weight decay in PyTorch's formula.
pub(crate) struct Momentum {
    variables: Vec<Var>,
    memory: Vec<Option<Tensor>>,
    rate: f64,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
}

impl Momentum {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let Self { momentum, nesterov, weight_decay, .. } = *self;
        let each = |weight: &Tensor, mut gradient: Tensor, memory: &mut Option<Tensor>| {
            if weight_decay != 0.0 {
                gradient = (gradient + (weight * weight_decay)?)?;
            }
            if momentum == 0.0 {
                return Ok(gradient);
            }
            let sum = match memory.take() {
                Some(earlier) => ((earlier * momentum)? + &gradient)?,
                None => gradient.clone(),
            };
            *memory = Some(sum.clone());
            if nesterov { gradient + (sum * momentum)? } else { Ok(sum) }
        };
        update(&self.variables, &mut self.memory, gradients, self.rate, each)
    }
}

/// RMSprop in PyTorch's formula.
pub(crate) struct RmsProp {
    variables: Vec<Var>,
    memory: Vec<Option<Tensor>>,
    rate: f64,
    decay: f64,
    epsilon: f64,
}

impl RmsProp {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let Self { decay, epsilon, .. } = *self;
        let each = |_: &Tensor, gradient: Tensor, memory: &mut Option<Tensor>| {
            let square = (gradient.sqr()? * (1.0 - decay))?;
            let mean = match memory.take() {
                Some(earlier) => ((earlier * decay)? + square)?,
                None => square,
            };
            let step = gradient / (mean.sqrt()? + epsilon)?;
            *memory = Some(mean);
            step
        };
        update(&self.variables, &mut self.memory, gradients, self.rate, each)
    }
}

/// Subtracts the step of each variable times the rate, where `step` computes it from the weight, the gradient and the
/// optimiser's memory of that variable.
fn update(
    variables: &[Var],
    memory: &mut [Option<Tensor>],
    gradients: &GradStore,
    rate: f64,
    step: impl Fn(&Tensor, Tensor, &mut Option<Tensor>) -> Result<Tensor>,
) -> Result<()> {
    for (variable, memory) in variables.iter().zip(memory) {
        let Some(gradient) = gradients.get(variable) else { continue };
        let weight = variable.as_detached_tensor();
        // A gradient refers to the tensors that it was computed from, which the optimiser's state would keep alive.
        let step = step(&weight, gradient.detach(), memory)?;
        variable.set(&(weight - (step * rate)?)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn what_the_optimisers_keep_holds_no_earlier_step() -> anyhow::Result<()> {
        let variables = || -> Result<Vec<Var>> {
            (0..2).map(|_| Var::ones((2, 2), DType::F32, &Device::Cpu)).collect()
        };
        let momentum = Optimizer::momentum(0.9);
        let rmsprop =
            Optimizer::RmsProp { decay: 0.9, epsilon: 1e-7, convention: Convention::PyTorch };
        for settings in [momentum, rmsprop] {
            let variables = variables()?;
            let mut optimizer = AnyOptimizer::new(variables.clone(), settings, 0.1)?;
            for _ in 0..2 {
                let loss = variables[0].matmul(&variables[1])?.sqr()?.sum_all()?;
                optimizer.backward_step(&loss)?;
            }
            let (AnyOptimizer::Momentum(Momentum { memory, .. })
            | AnyOptimizer::RmsProp(RmsProp { memory, .. })) = &optimizer
            else {
                panic!("{settings} has a memory of ours")
            };
            assert!(memory.iter().flatten().all(|kept| !kept.track_op()), "{settings}");
            assert_eq!(memory.iter().flatten().count(), 2);
        }
        Ok(())
    }
}
