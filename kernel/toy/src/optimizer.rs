//! The optimisers.

use benchbook_backend::{Array, Convention, Optimizer, Parameters};

const STEP: &str = "step";
/// Suffixes of the state's names: momentum or mean of gradients, and mean of squared gradients.
pub(crate) const SUFFIXES: [&str; 2] = [".mean", ".square"];

/// Updates weights by their gradients, in place.
pub(crate) fn update(
    optimizer: Optimizer,
    rate: f64,
    weights: &mut Parameters,
    gradients: &Parameters,
    state: &mut Parameters,
) {
    let steps =
        state.arrays.entry(STEP.into()).or_insert(Array { shape: vec![1], values: vec![0.0] });
    steps.values[0] += 1.0;
    let step = f64::from(steps.values[0]);
    for (name, gradient) in &gradients.arrays {
        let Some(weight) = weights.arrays.get_mut(name) else { continue };
        let [mut mean, mut square] = SUFFIXES.map(|suffix| {
            let zeros =
                || Array { shape: weight.shape.clone(), values: vec![0.0; weight.values.len()] };
            state.arrays.remove(&format!("{name}{suffix}")).unwrap_or_else(zeros)
        });
        let moments = mean.values.iter_mut().zip(&mut square.values);
        for ((w, g), (m, v)) in weight.values.iter_mut().zip(&gradient.values).zip(moments) {
            let (g, mut mean, mut square) = (f64::from(*g), f64::from(*m), f64::from(*v));
            let change = formula(optimizer, step, g, f64::from(*w), (&mut mean, &mut square));
            (*w, *m, *v) = ((f64::from(*w) - rate * change) as f32, mean as f32, square as f32);
        }
        for (suffix, array) in SUFFIXES.into_iter().zip([mean, square]) {
            state.arrays.insert(format!("{name}{suffix}"), array);
        }
    }
}

/// The update of a weight for a learning rate of 1, to be subtracted.
fn formula(optimizer: Optimizer, step: f64, g: f64, w: f64, (m, v): (&mut f64, &mut f64)) -> f64 {
    match optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay } => {
            let g = g + weight_decay * w;
            *m = momentum * *m + g;
            if nesterov { g + momentum * *m } else { *m }
        }
        Optimizer::Adam { beta1, beta2, epsilon, convention } => {
            *m += (1.0 - beta1) * (g - *m);
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            let (one, two) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
            match convention {
                Convention::PyTorch => *m / one / ((*v / two).sqrt() + epsilon),
                Convention::Keras => two.sqrt() / one * *m / (v.sqrt() + epsilon),
            }
        }
        Optimizer::RmsProp { decay, epsilon, convention } => {
            *v = decay * *v + (1.0 - decay) * g * g;
            match convention {
                Convention::PyTorch => g / (v.sqrt() + epsilon),
                Convention::Keras => g / (*v + epsilon).sqrt(),
            }
        }
    }
}
