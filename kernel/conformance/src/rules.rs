//! The rules of the interface that need no stored values.

use crate::case::Case;
use crate::values::compare;
use benchbook_backend::{
    Backend, BackendError, Device, Input, Network, Optimizer, Parameters, Plan, Step,
};

type Rule = fn(&dyn Backend, &Case) -> Result<Vec<String>, BackendError>;

const RATE: f64 = 0.01;

/// Every rule that a backend breaks. All are tested on the small VGG, whose head has dropout, or its frozen form.
pub(crate) fn check(backend: &dyn Backend, cases: &[Case]) -> Vec<String> {
    let rules: [(&str, &str, Rule); 8] = [
        ("vgg", "an optimiser's state out and in", resume),
        ("vgg", "labels out of range", labels),
        ("vgg", "wrong lengths", lengths),
        ("vgg", "a missing device", device),
        ("vgg", "a loss that is not finite", not_finite),
        ("vgg", "a trainable base", trainable_base),
        ("vgg_frozen", "features instead of values", features),
        ("dense_no_bias", "a net without a base", no_base),
    ];
    let mut failures = Vec::new();
    for (name, rule, check) in rules {
        let case = cases.iter().find(|case| case.name == name);
        let case = case.unwrap_or_else(|| panic!("there is no case `{name}`"));
        match check(backend, case) {
            Ok(found) => failures.extend(found.into_iter().map(|f| format!("{name}: {rule}: {f}"))),
            Err(error) => failures.push(format!("{name}: {rule}: {error}")),
        }
    }
    failures
}

fn build(backend: &dyn Backend, case: &Case) -> Result<Box<dyn Network>, BackendError> {
    backend.build(&case.plan(), &case.weights())
}

fn step(network: &mut dyn Network, case: &Case, seed: u64) -> Result<f64, BackendError> {
    let input = Input::Values(case.tensor("input"));
    Ok(network.train_step(input, &case.labels(), Step::new(RATE, seed))?.loss)
}

fn differences(what: &str, found: &Parameters, expected: &Parameters) -> Vec<String> {
    let (found_names, names) = (found.arrays.keys(), expected.arrays.keys());
    if !found_names.eq(names) {
        let (found, expected) = (found.some_names(), expected.some_names());
        return vec![format!("{what}: expected {expected}, got {found}")];
    }
    let pairs = expected.arrays.iter();
    pairs
        .flat_map(|(name, array)| {
            compare(&format!("{what} {name}"), &found.arrays[name].values, &array.values)
        })
        .collect()
}

/// A net with another net's weights and optimiser state continues the training like that net.
fn resume(backend: &dyn Backend, case: &Case) -> Result<Vec<String>, BackendError> {
    let mut failures = Vec::new();
    for training in case.settings.trainings.values() {
        let (mut first, mut second) = (build(backend, case)?, build(backend, case)?);
        first.compile(training.optimizer);
        second.compile(training.optimizer);
        step(first.as_mut(), case, 1)?;
        let (weights, state) = (first.parameters()?, first.optimizer_state()?);
        second.set_parameters(&weights)?;
        second.set_optimizer_state(&state)?;
        if second.optimizer_state()? != state {
            failures.push(format!("{}: the state comes out changed", training.optimizer));
        }
        step(first.as_mut(), case, 2)?;
        step(second.as_mut(), case, 2)?;
        let what = format!("{}:", training.optimizer);
        failures.extend(differences(&what, &second.parameters()?, &first.parameters()?));
        // Compiling for the same optimiser keeps the state, and for another one drops it.
        first.compile(training.optimizer);
        if first.optimizer_state()? != second.optimizer_state()? {
            let kept = first.optimizer_state()?;
            failures.extend(differences(&what, &kept, &second.optimizer_state()?));
        }
    }
    Ok(failures)
}

fn labels(backend: &dyn Backend, case: &Case) -> Result<Vec<String>, BackendError> {
    let mut failures = Vec::new();
    let classes = case.net.classes();
    for wrong in [-1, classes as i64] {
        let mut network = build(backend, case)?;
        network.compile(Optimizer::sgd());
        let mut labels = case.labels();
        labels[2] = wrong;
        let input = Input::Values(case.tensor("input"));
        let trained = network.train_step(input, &labels, Step::new(RATE, 0));
        let evaluated = network.evaluate_step(input, &labels);
        for (what, result) in [("train_step", trained), ("evaluate_step", evaluated)] {
            match result {
                Err(BackendError::Label { label, index: 2, classes: of })
                    if label == wrong && of == classes => {}
                other => failures.push(format!("{what} of label {wrong}: got {other:?}")),
            }
        }
        failures.extend(differences("weights", &network.parameters()?, &case.weights()));
    }
    Ok(failures)
}

fn lengths(backend: &dyn Backend, case: &Case) -> Result<Vec<String>, BackendError> {
    let mut network = build(backend, case)?;
    let (values, labels) = (case.tensor("input"), case.labels());
    let short = Input::Values(&values[1..]);
    let mut failures = Vec::new();
    match network.train_step(Input::Values(values), &labels, Step::new(RATE, 0)) {
        Err(BackendError::NoOptimizer) => {}
        other => failures.push(format!("a step before `compile`: got {other:?}")),
    }
    network.compile(Optimizer::sgd());
    let results = [
        ("train_step", network.train_step(short, &labels, Step::new(RATE, 0)).err()),
        ("evaluate_step", network.evaluate_step(short, &labels).err()),
        ("logits", network.logits(short, labels.len()).err()),
        ("features", network.features(&values[1..], labels.len()).err()),
        ("gradients", network.gradients(short, &labels).err()),
    ];
    for (what, error) in results {
        if !matches!(error, Some(BackendError::BatchLength { .. })) {
            failures.push(format!("{what} of a batch that is too short: got {error:?}"));
        }
    }
    let factors = vec![1.0; case.net.classes() + 1];
    let step = Step { class_weights: Some(&factors), ..Step::new(RATE, 0) };
    match network.train_step(Input::Values(values), &labels, step) {
        Err(BackendError::BatchLength { .. }) => {}
        other => failures.push(format!("a class weight too many: got {other:?}")),
    }
    let mut weights = case.weights();
    weights.arrays.pop_first();
    match network.set_parameters(&weights) {
        Err(BackendError::Parameters(_)) => {}
        other => failures.push(format!("`set_parameters` without the first: got {other:?}")),
    }
    match backend.build(&case.plan(), &weights).err() {
        Some(BackendError::Parameters(_)) => {}
        other => failures.push(format!("`build` without the first parameter: got {other:?}")),
    }
    Ok(failures)
}

fn device(backend: &dyn Backend, case: &Case) -> Result<Vec<String>, BackendError> {
    let plan = Plan { device: Device::Cuda(99), ..case.plan() };
    Ok(match backend.build(&plan, &case.weights()).err() {
        Some(BackendError::Device { device: Device::Cuda(99), .. }) => Vec::new(),
        other => vec![format!("`cuda:99`: got {other:?}")],
    })
}

/// Neither weights nor state change, and the next step equals one without the failed step.
fn not_finite(backend: &dyn Backend, case: &Case) -> Result<Vec<String>, BackendError> {
    let mut network = build(backend, case)?;
    network.compile(Optimizer::default());
    step(network.as_mut(), case, 1)?;
    let (weights, state) = (network.parameters()?, network.optimizer_state()?);
    // Class weights cause the NaN, not the input: TensorFlow's fused layers turn the ReLU of NaN into 0.
    let factors = vec![f32::NAN; case.net.classes()];
    let broken = Step { class_weights: Some(&factors), ..Step::new(RATE, 2) };
    let input = Input::Values(case.tensor("input"));
    let result = network.train_step(input, &case.labels(), broken)?;
    let mut failures = Vec::new();
    if result.loss.is_finite() {
        failures.push(format!("the loss with class weights of NaN is {}", result.loss));
    }
    if network.parameters()? != weights {
        failures.push("the weights have changed".into());
    }
    if network.optimizer_state()? != state {
        failures.push("the optimiser's state has changed".into());
    }
    if let Some(name) = network.not_finite()? {
        failures.push(format!("`not_finite` names `{name}`, whose values are finite"));
    }
    let mut infinite = weights.clone();
    if let Some(array) = infinite.arrays.get_mut("dense_1.weight") {
        array.values[3] = f32::INFINITY;
    }
    network.set_parameters(&infinite)?;
    if network.not_finite()?.as_deref() != Some("dense_1.weight") {
        failures.push("`not_finite` does not name `dense_1.weight`".into());
    }
    Ok(failures)
}

fn trainable_base(backend: &dyn Backend, case: &Case) -> Result<Vec<String>, BackendError> {
    let mut network = build(backend, case)?;
    network.compile(Optimizer::sgd());
    let features = network.features(case.tensor("input"), case.settings.batch)?;
    let step = Step::new(RATE, 0);
    Ok(match network.train_step(Input::Features(&features), &case.labels(), step) {
        Err(BackendError::TrainableBase) => Vec::new(),
        other => vec![format!("a step on features: got {other:?}")],
    })
}

/// A step on the features does what a step on the values does, and the base stays as it is, bit for bit.
fn features(backend: &dyn Backend, case: &Case) -> Result<Vec<String>, BackendError> {
    let (mut by_values, mut by_features) = (build(backend, case)?, build(backend, case)?);
    let features = by_features.features(case.tensor("input"), case.settings.batch)?;
    by_values.compile(Optimizer::default());
    by_features.compile(Optimizer::default());
    for seed in 0..2 {
        step(by_values.as_mut(), case, seed)?;
        let input = Input::Features(&features);
        by_features.train_step(input, &case.labels(), Step::new(RATE, seed))?;
    }
    let (found, start) = (by_features.parameters()?, case.weights());
    let mut failures = differences("weights", &found, &by_values.parameters()?);
    for parameter in case.net.parameters() {
        let is_same = found.arrays[&parameter.name] == start.arrays[&parameter.name];
        if is_same == parameter.is_trained(true) {
            let name = &parameter.name;
            let word = if is_same { "has not changed" } else { "is frozen and has changed" };
            failures.push(format!("`{name}` {word}"));
        }
    }
    Ok(failures)
}

fn no_base(backend: &dyn Backend, case: &Case) -> Result<Vec<String>, BackendError> {
    let mut network = build(backend, case)?;
    Ok(match network.features(case.tensor("input"), case.settings.batch) {
        Err(BackendError::NoBase) => Vec::new(),
        other => vec![format!("`features`: got {other:?}")],
    })
}
