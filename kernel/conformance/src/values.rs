//! Comparison of a backend's values with a case's stored values.

use crate::case::{Case, Training};
use crate::{STEPS, TOLERANCE};
use benchbook_backend::{Array, Backend, BackendError, Input, Network, Parameters, Step};

/// Every difference of a case, with its name.
pub(crate) fn check(backend: &dyn Backend, case: &Case) -> Vec<String> {
    let mut failures = Vec::new();
    let mut checks: Vec<(&str, Check<'_>)> = vec![
        ("weights", Box::new(|network| weights(network, case))),
        ("inference", Box::new(|network| inference(network, case))),
        ("gradients", Box::new(|network| gradients(network, case))),
    ];
    for (name, training) in &case.settings.trainings {
        checks.push((name, Box::new(|network| train(network, case, name, training))));
    }
    for (name, check) in checks {
        let network = backend.build(&case.plan(), &case.weights());
        let found = network.and_then(|mut network| check(network.as_mut()));
        match found {
            Ok(found) => {
                failures.extend(found.into_iter().map(|f| format!("{}: {name}: {f}", case.name)))
            }
            Err(error) => failures.push(format!("{}: {name}: {error}", case.name)),
        }
    }
    failures
}

type Found = Result<Vec<String>, BackendError>;
type Check<'a> = Box<dyn Fn(&mut dyn Network) -> Found + 'a>;

/// Reading the weights returns the written weights, bit for bit.
fn weights(network: &mut dyn Network, case: &Case) -> Found {
    let mut failures = Vec::new();
    let mut other = case.weights();
    if network.parameters()? != other {
        failures.push("`parameters` differ from the weights that the net was built with".into());
    }
    other.arrays.values_mut().flat_map(|array| &mut array.values).for_each(|v| *v = *v * 0.5 + 0.1);
    network.set_parameters(&other)?;
    if network.parameters()? != other {
        failures.push("`parameters` differ from those of `set_parameters`".into());
    }
    Ok(failures)
}

fn inference(network: &mut dyn Network, case: &Case) -> Found {
    let (input, labels) = (case.tensor("input"), case.labels());
    let mut failures = Vec::new();
    let logits = network.logits(Input::Values(input), labels.len())?;
    failures.extend(compare("logits", &logits, case.tensor("logits")));
    let step = network.evaluate_step(Input::Values(input), &labels)?;
    failures.extend(compare("evaluated logits", &step.logits, case.tensor("logits")));
    failures.extend(compare("loss", &[step.loss as f32], case.tensor("loss")));
    if case.net.base() > 0 {
        let features = network.features(input, labels.len())?;
        failures.extend(compare("features", &features, case.tensor("features")));
        if case.settings.frozen {
            let logits = network.logits(Input::Features(&features), labels.len())?;
            failures.extend(compare("logits of the features", &logits, case.tensor("logits")));
        }
    }
    Ok(failures)
}

fn gradients(network: &mut dyn Network, case: &Case) -> Found {
    let gradients = network.gradients(Input::Values(case.tensor("input")), &case.labels())?;
    let mut failures = compare_all(&gradients, case, "gradients/");
    if network.parameters()? != case.weights() {
        failures.push("`gradients` changes the weights or running statistics".into());
    }
    Ok(failures)
}

fn train(network: &mut dyn Network, case: &Case, name: &str, training: &Training) -> Found {
    let (mut losses, mut logits) = (Vec::new(), Vec::new());
    network.compile(training.optimizer);
    for index in 0..STEPS {
        let step = Step {
            class_weights: training.class_weights.as_deref(),
            ..Step::new(training.rate, case.settings.seed + index as u64)
        };
        let input = Input::Values(case.tensor("input"));
        let result = network.train_step(input, &case.labels(), step)?;
        losses.push(result.loss as f32);
        logits.extend(result.logits);
    }
    let mut failures = compare("losses", &losses, case.tensor(&format!("{name}/loss")));
    failures.extend(compare("logits", &logits, case.tensor(&format!("{name}/logits"))));
    failures.extend(compare_all(&network.parameters()?, case, &format!("{name}/weights/")));
    Ok(failures)
}

/// Compares arrays with the stored tensors that have this prefix. A stored tensor of fewer values holds those at evenly
/// spread places.
fn compare_all(found: &Parameters, case: &Case, prefix: &str) -> Vec<String> {
    let stored = case.tensors.iter();
    let stored: Vec<(&str, &Array)> =
        stored.filter_map(|(name, array)| Some((name.strip_prefix(prefix)?, array))).collect();
    let names: Vec<&str> = stored.iter().map(|(name, _)| *name).collect();
    let found_names: Vec<&str> = found.arrays.keys().map(String::as_str).collect();
    if names != found_names {
        return vec![format!("{prefix}: expected {names:?}, got {found_names:?}")];
    }
    let differences = stored.into_iter().flat_map(|(name, expected)| {
        let (values, kept) = (&found.arrays[name].values, expected.values.len());
        let places = (0..kept).map(|index| values[index * values.len() / kept]);
        compare(&format!("{prefix}{name}"), &places.collect::<Vec<_>>(), &expected.values)
    });
    differences.collect()
}

/// A sentence if the values differ by more than [`TOLERANCE`] of the largest.
pub(crate) fn compare(what: &str, found: &[f32], expected: &[f32]) -> Vec<String> {
    if found.len() != expected.len() {
        return vec![format!("{what}: expected {} values, got {}", expected.len(), found.len())];
    }
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let worst =
        found.iter().zip(expected).enumerate().map(|(index, (f, e))| (index, (f - e).abs()));
    // A NaN is the largest of all.
    let worst = worst.max_by(|(_, a), (_, b)| a.total_cmp(b));
    match worst {
        Some((at, apart)) if apart.is_nan() || apart > TOLERANCE * largest => {
            let (found, expected) = (found[at], expected[at]);
            vec![format!(
                "{what}: value {at} must be {expected}, got {found} ({:.1e} of the largest)",
                apart / largest
            )]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_above_the_tolerance_a_nan_or_another_length_is_named() {
        assert_eq!(compare("x", &[1.0, 100.005], &[1.0, 100.0]), Vec::<String>::new());
        assert!(compare("x", &[1.02, 100.0], &[1.0, 100.0])[0].contains("value 0 must be 1"));
        assert!(compare("x", &[1.0, f32::NAN], &[1.0, 100.0])[0].contains("got NaN"));
        assert!(compare("x", &[1.0], &[1.0, 100.0])[0].contains("expected 2 values, got 1"));
        assert!(compare("x", &[1e-6], &[0.0])[0].contains("value 0 must be 0"));
    }
}
