//! Optimisers with the defaults of the two libraries, which differ.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The library whose formula and defaults apply where libraries differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// `torch.optim`.
    #[default]
    PyTorch,
    /// `keras.optimizers`.
    Keras,
}

/// How gradients change the weights. The learning rate is a setting of its own, so that it can
/// change while the optimiser and its state stay.
///
/// | | PyTorch 2 | Keras 3 |
/// | --- | --- | --- |
/// | SGD | rate 0.001, no momentum | rate 0.01, no momentum |
/// | Adam | rate 0.001, betas 0.9 and 0.999, epsilon 1e-8 added to √v̂ | the same with epsilon 1e-7 added to √v |
/// | RMSprop | rate 0.01, decay 0.99, epsilon 1e-8 added to √v | rate 0.001, decay 0.9, epsilon 1e-7 added to v |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent as in PyTorch: `b ← momentum · b + g`, `w ← w − rate · b`. Keras puts the
    /// rate into the momentum, `b ← momentum · b + rate · g`, `w ← w − b`: the same while the rate is constant.
    Sgd {
        /// 0 for none.
        #[serde(default)]
        momentum: f64,
        /// Whether to use Nesterov momentum: `w ← w − rate · (g + momentum · b)`.
        #[serde(default)]
        nesterov: bool,
        /// Added to the gradient times the weight; 0 for none.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba, 2014).
    Adam {
        /// Decay of the mean of gradients.
        beta1: f64,
        /// Decay of the mean of squared gradients.
        beta2: f64,
        /// Keeps the denominator from zero; where it is added depends on the convention.
        epsilon: f64,
        /// The library whose formula applies.
        convention: Convention,
    },
    /// RMSprop without centring and momentum.
    RmsProp {
        /// Decay of the mean of squared gradients.
        decay: f64,
        /// Keeps the denominator from zero; where it is added depends on the convention.
        epsilon: f64,
        /// The library whose formula applies.
        convention: Convention,
    },
}

impl Default for Optimizer {
    /// Adam as in PyTorch.
    fn default() -> Self {
        Optimizer::adam(Convention::PyTorch)
    }
}

impl Optimizer {
    /// Plain stochastic gradient descent: the same formula in both libraries, with other default rates.
    pub fn sgd() -> Self {
        Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }

    /// Stochastic gradient descent with momentum.
    pub fn momentum(momentum: f64) -> Self {
        Optimizer::Sgd { momentum, nesterov: false, weight_decay: 0.0 }
    }

    /// Adam with a library's defaults.
    pub fn adam(convention: Convention) -> Self {
        let epsilon = match convention {
            Convention::PyTorch => 1e-8,
            Convention::Keras => 1e-7,
        };
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon, convention }
    }

    /// RMSprop with a library's defaults.
    pub fn rmsprop(convention: Convention) -> Self {
        let (decay, epsilon) = match convention {
            Convention::PyTorch => (0.99, 1e-8),
            Convention::Keras => (0.9, 1e-7),
        };
        Optimizer::RmsProp { decay, epsilon, convention }
    }

    /// The same optimiser in a library's formula, with that library's epsilon where this one has the
    /// other library's own.
    pub fn in_convention(self, wanted: Convention) -> Self {
        let swap = |epsilon: f64, own: Convention| {
            let default = |convention| match convention {
                Convention::PyTorch => 1e-8,
                Convention::Keras => 1e-7,
            };
            if epsilon == default(own) { default(wanted) } else { epsilon }
        };
        match self {
            Optimizer::Sgd { .. } => self,
            Optimizer::Adam { beta1, beta2, epsilon, convention } => Optimizer::Adam {
                beta1,
                beta2,
                epsilon: swap(epsilon, convention),
                convention: wanted,
            },
            Optimizer::RmsProp { decay, epsilon, convention } => {
                Optimizer::RmsProp { decay, epsilon: swap(epsilon, convention), convention: wanted }
            }
        }
    }

    /// The default learning rate of the optimiser's library. [`Optimizer::Sgd`] is PyTorch's; for
    /// Keras' rate set `Fit::learning_rate` to 0.01.
    pub fn default_rate(&self) -> f64 {
        match self {
            Optimizer::RmsProp { convention: Convention::PyTorch, .. } => 0.01,
            _ => 0.001,
        }
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                write!(
                    f,
                    "SGD(momentum {momentum}, nesterov {nesterov}, weight decay {weight_decay})"
                )
            }
            Optimizer::Adam { beta1, beta2, epsilon, convention } => {
                write!(f, "Adam(betas {beta1} and {beta2}, epsilon {epsilon:e}, {convention:?})")
            }
            Optimizer::RmsProp { decay, epsilon, convention } => {
                write!(f, "RMSprop(decay {decay}, epsilon {epsilon:e}, {convention:?})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table, from `lr=` in torch.optim 2.11 and `learning_rate=` in keras.optimizers 3.15.
    #[test]
    fn default_rates_are_the_librarys() {
        let rates = [
            (Optimizer::sgd(), 0.001),
            (Optimizer::momentum(0.9), 0.001),
            (Optimizer::adam(Convention::PyTorch), 0.001),
            (Optimizer::adam(Convention::Keras), 0.001),
            (Optimizer::rmsprop(Convention::PyTorch), 0.01),
            (Optimizer::rmsprop(Convention::Keras), 0.001),
        ];
        for (optimizer, rate) in rates {
            assert_eq!(optimizer.default_rate(), rate, "{optimizer}");
        }
    }
}
