//! Optimisers against their formulas in 64 bits: those of `keras.optimizers` 3 and of `torch.optim` 2.

use crate::support::{build, library, linear, linear_weights};
use benchbook_backend::{Convention, Input, Optimizer, Step};

const RATE: f64 = 0.1;

/// One weight and one bias; the gradient of each step comes from the loss itself.
struct Scalar {
    value: f64,
    mean: f64,
    square: f64,
}

impl Scalar {
    fn new(value: f64) -> Self {
        Self { value, mean: 0.0, square: 0.0 }
    }

    fn update(&mut self, optimizer: &Optimizer, t: i32, g: f64) {
        let Self { value: w, mean: m, square: v } = self;
        match *optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                let g = g + weight_decay * *w;
                *m = momentum * *m + g;
                *w -= RATE * if nesterov { g + momentum * *m } else { *m };
            }
            Optimizer::Adam { beta1, beta2, epsilon, convention } => {
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                let (c1, c2) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
                *w -= match convention {
                    Convention::PyTorch => RATE * (*m / c1) / ((*v / c2).sqrt() + epsilon),
                    Convention::Keras => RATE * c2.sqrt() / c1 * *m / (v.sqrt() + epsilon),
                };
            }
            Optimizer::RmsProp { decay, epsilon, convention } => {
                *v = decay * *v + (1.0 - decay) * g * g;
                *w -= match convention {
                    Convention::PyTorch => RATE * g / (v.sqrt() + epsilon),
                    Convention::Keras => RATE * g / (*v + epsilon).sqrt(),
                };
            }
        }
    }
}

#[test]
fn four_steps_follow_the_formulas() {
    use Convention::{Keras, PyTorch};
    if library().is_none() {
        return;
    }
    let mut optimizers = Vec::new();
    for convention in [Keras, PyTorch] {
        // Large epsilons, so that a misplaced one shows.
        for epsilon in [1e-7, 1e-2] {
            optimizers.push(Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon, convention });
            optimizers.push(Optimizer::RmsProp { decay: 0.9, epsilon, convention });
        }
    }
    for (momentum, nesterov, weight_decay) in [
        (0.0, false, 0.0),
        (0.9, false, 0.0),
        (0.9, true, 0.0),
        (0.9, true, 0.05),
        (0.0, false, 0.05),
    ] {
        optimizers.push(Optimizer::Sgd { momentum, nesterov, weight_decay });
    }
    for optimizer in optimizers {
        let mut net = build(&linear(1, 1), false, &linear_weights(&[0.5], &[-0.25]));
        net.compile(optimizer);
        let (mut weight, mut bias) = (Scalar::new(0.5), Scalar::new(-0.25));
        for (t, (x, label)) in (1..).zip([(1.5_f32, 1), (-0.5, 1), (2.0, 0), (0.1, 0)]) {
            net.train_step(Input::Values(&[x]), &[label], Step::new(RATE, 0)).unwrap();
            let logit = weight.value * f64::from(x) + bias.value;
            let error = 1.0 / (1.0 + (-logit).exp()) - label as f64;
            weight.update(&optimizer, t, error * f64::from(x));
            bias.update(&optimizer, t, error);
        }
        let after = net.parameters().unwrap().arrays;
        for (name, expected) in [("dense_1.weight", weight), ("dense_1.bias", bias)] {
            let found = f64::from(after[name].values[0]);
            assert!(
                (found - expected.value).abs() < 2e-6,
                "{optimizer:?} {name}: {found} {}",
                expected.value
            );
        }
        let state = net.optimizer_state().unwrap();
        assert_eq!(state.arrays["step"].values, [4.0]);
    }
}
