//! Logistic regression with a ridge penalty, fitted by Newton's method.
//!
//! Newton's method finds the optimum of this convex problem to rounding, so a low accuracy is the
//! model's, not that of a fit given up too early.

use rayon::prelude::*;

/// Share of `rows` of the validation set that the best penalty classifies rightly.
///
/// The penalty is chosen on the validation set itself, so the figure is an upper bound.
pub(crate) fn best_accuracy(train: &Samples, validation: &Samples) -> f64 {
    let scale = Scale::of(train);
    let (train, validation) = (scale.apply(train), scale.apply(validation));
    let penalties = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];
    penalties
        .par_iter()
        .map(|penalty| accuracy(&fit(&train, *penalty), &validation))
        .reduce(|| 0.0, f64::max)
}

/// Rows of features with their labels; true is a dog.
#[derive(Clone, Default)]
pub(crate) struct Samples {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) dogs: Vec<bool>,
}

/// Mean and standard deviation of every feature.
struct Scale {
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Scale {
    fn of(samples: &Samples) -> Self {
        let count = samples.rows.len() as f64;
        let width = samples.rows[0].len();
        let mean =
            |value: &dyn Fn(&Vec<f64>) -> f64| samples.rows.iter().map(value).sum::<f64>() / count;
        let means: Vec<f64> = (0..width).map(|j| mean(&|row| row[j])).collect();
        let deviations =
            (0..width).map(|j| mean(&|row| (row[j] - means[j]).powi(2)).sqrt().max(1e-9)).collect();
        Self { means, deviations }
    }

    /// Standardised features behind a constant 1 for the intercept.
    fn apply(&self, samples: &Samples) -> Samples {
        let scaled = |row: &Vec<f64>| {
            let features = row.iter().zip(&self.means).zip(&self.deviations);
            std::iter::once(1.0).chain(features.map(|((x, mean), sd)| (x - mean) / sd)).collect()
        };
        Samples { rows: samples.rows.iter().map(scaled).collect(), dogs: samples.dogs.clone() }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The weights that minimise the mean log loss plus half the penalty times their squares; the
/// intercept, which comes first, is not penalised.
fn fit(samples: &Samples, penalty: f64) -> Vec<f64> {
    let (count, width) = (samples.rows.len() as f64, samples.rows[0].len());
    let mut weights = vec![0.0; width];
    for _ in 0..25 {
        let mut gradient = vec![0.0; width];
        let mut hessian = vec![vec![0.0; width]; width];
        for (row, dog) in samples.rows.iter().zip(&samples.dogs) {
            let probability = 1.0 / (1.0 + (-dot(row, &weights)).exp());
            let error = (probability - f64::from(u8::from(*dog))) / count;
            let curvature = probability * (1.0 - probability) / count;
            for (i, x) in row.iter().enumerate() {
                gradient[i] += error * x;
                let share = curvature * x;
                for (cell, y) in hessian[i][..=i].iter_mut().zip(row) {
                    *cell += share * y;
                }
            }
        }
        for i in 0..width {
            let ridge = if i == 0 { 1e-9 } else { penalty };
            gradient[i] += ridge * weights[i];
            hessian[i][i] += ridge;
        }
        let step = solve(hessian, gradient);
        for (weight, change) in weights.iter_mut().zip(&step) {
            *weight -= change;
        }
        if step.iter().all(|change| change.abs() < 1e-6) {
            break;
        }
    }
    weights
}

/// Solves `matrix` × x = `right` for a positive definite matrix, of which the lower half is read, by
/// Cholesky's decomposition.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let width = right.len();
    for i in 0..width {
        let (above, rest) = matrix.split_at_mut(i);
        let row = &mut rest[0];
        for j in 0..i {
            row[j] = (row[j] - dot(&row[..j], &above[j][..j])) / above[j][j];
        }
        row[i] = (row[i] - dot(&row[..i], &row[..i])).max(1e-12).sqrt();
        right[i] = (right[i] - dot(&row[..i], &right[..i])) / row[i];
    }
    for i in (0..width).rev() {
        right[i] /= matrix[i][i];
        let known = right[i];
        for j in 0..i {
            right[j] -= matrix[i][j] * known;
        }
    }
    right
}

fn accuracy(weights: &[f64], samples: &Samples) -> f64 {
    let right = samples.rows.iter().zip(&samples.dogs);
    let right = right.filter(|(row, dog)| (dot(row, weights) > 0.0) == **dog).count();
    right as f64 / samples.rows.len() as f64
}

#[test]
fn a_feature_that_tells_the_classes_apart_is_found() {
    // Two noisy features, of which the first alone decides.
    let samples = |from: u32| {
        let mut samples = Samples::default();
        for i in from..from + 400 {
            let noise = |k: u32| f64::from(i.wrapping_mul(k) % 97) / 97.0 - 0.5;
            let dog = i % 2 == 1;
            let shift = if dog { 0.5 } else { -0.5 };
            samples.rows.push(vec![3.0 + shift + noise(31), noise(57)]);
            samples.dogs.push(dog);
        }
        samples
    };
    assert!(best_accuracy(&samples(0), &samples(400)) > 0.97);
}

#[test]
fn the_fit_is_at_the_optimum() {
    // Three of four dogs where the feature is 1 and one of four where it is -1: without a penalty the
    // weights are 0 and ln 3, since the logistic function of ln 3 is 3/4.
    let rows = [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0].map(|x| vec![1.0, x]).to_vec();
    let dogs = vec![true, true, true, false, true, false, false, false];
    let weights = fit(&Samples { rows, dogs }, 0.0);
    assert!(weights[0].abs() < 1e-6, "{weights:?}");
    assert!((weights[1] - 3f64.ln()).abs() < 1e-6, "{weights:?}");
}
