//! A net with its weights.

use crate::layer::{self, Weights};
use crate::loss::loss;
use crate::{NAME, VERSION, optimizer};
use benchbook_backend::{
    Array, BackendError, BackendInfo, Input, Network, Optimizer, Parameters, Plan, Step,
    StepResult, class_numbers,
};
use benchbook_nets::Layer;
use std::collections::BTreeMap;
use std::ops::Range;

pub(crate) struct Net {
    plan: Plan,
    weights: Parameters,
    optimizer: Option<(Optimizer, Parameters)>,
}

impl Net {
    pub(crate) fn new(plan: &Plan, weights: &Parameters) -> Result<Self, BackendError> {
        let mut net = Self { plan: plan.clone(), weights: Parameters::default(), optimizer: None };
        net.set_parameters(weights)?;
        Ok(net)
    }

    fn of(&self, layer: &Layer) -> Weights<'_> {
        let array = |suffix: &str| {
            let array = self.weights.arrays.get(&format!("{}.{suffix}", layer.name));
            array.map_or(&[][..], |array| &array.values)
        };
        Weights { weight: array("weight"), bias: array("bias") }
    }

    /// The batch as 64-bit floats, and the layers that it goes through.
    fn input(
        &self,
        input: Input<'_>,
        batch: usize,
    ) -> Result<(Vec<f64>, Range<usize>), BackendError> {
        let net = &self.plan.net;
        let (values, _) = input.checked(net, batch)?;
        let first = if matches!(input, Input::Features(_)) { net.base() } else { 0 };
        Ok((values.iter().copied().map(f64::from).collect(), first..net.layers().len()))
    }

    /// The values before the first and after each of these layers. The supported operations cannot join two branches,
    /// so every net is a chain.
    fn values(&self, layers: Range<usize>, x: Vec<f64>, masks: &Masks) -> Vec<Vec<f64>> {
        let mut values = vec![x];
        for index in layers {
            let layer = &self.plan.net.layers()[index];
            let mask = masks.get(&index).map(Vec::as_slice);
            values.push(layer::forward(layer, self.of(layer), &values[values.len() - 1], mask));
        }
        values
    }

    /// The factors of each dropout layer behind a frozen base, by the layer's index.
    fn masks(&self, batch: usize, seed: u64) -> Masks {
        let (net, first) = (&self.plan.net, self.first());
        let masks = net.dropouts().enumerate().filter_map(|(ordinal, index)| {
            let layer = &net.layers()[index];
            Some((index, layer::mask(layer, batch * layer.output.len(), seed, ordinal)?))
        });
        masks.filter(|(index, _)| *index >= first).collect()
    }

    /// The first trainable layer.
    fn first(&self) -> usize {
        if self.plan.frozen { self.plan.net.base() } else { 0 }
    }

    /// Loss, logits and gradients of the trainable parameters.
    fn backward(
        &self,
        input: Input<'_>,
        labels: &[i64],
        class_weights: Option<&[f32]>,
        masks: &Masks,
    ) -> Result<(StepResult, Parameters), BackendError> {
        let net = &self.plan.net;
        let classes = class_numbers(labels, net.classes(), class_weights)?;
        if matches!(input, Input::Features(_)) && !self.plan.frozen {
            return Err(BackendError::TrainableBase);
        }
        let (x, layers) = self.input(input, labels.len())?;
        let first = layers.start;
        let values = self.values(layers.clone(), x, masks);
        let logits = &values[values.len() - 1];
        let (loss, mut gradient) = loss(net.loss(), logits, &classes, class_weights);
        let mut arrays = BTreeMap::new();
        for index in layers.rev().take_while(|index| *index >= self.first()) {
            let (layer, at) = (&net.layers()[index], index - first);
            let mask = masks.get(&index).map(Vec::as_slice);
            let passed = (&values[at][..], &values[at + 1][..], &gradient[..]);
            let found = layer::backward(layer, self.of(layer), passed, mask);
            for (parameter, values) in
                net.parameters_of(layer).iter().zip([found.weight, found.bias])
            {
                let values = values.into_iter().map(|value| value as f32).collect();
                let array = Array { shape: parameter.shape.clone(), values };
                arrays.insert(parameter.name.clone(), array);
            }
            gradient = found.input;
        }
        Ok((StepResult { loss, logits: floats(logits) }, Parameters { arrays }))
    }
}

/// Dropout's factors, by the layer's index.
type Masks = BTreeMap<usize, Vec<f32>>;

fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

impl Network for Net {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: NAME.into(),
            version: VERSION.into(),
            device: "cpu".into(),
            threads: 1,
            precision: self.plan.compute.precision.to_string(),
            graph: "none",
        }
    }

    fn compile(&mut self, optimizer: Optimizer) {
        if self.optimizer.as_ref().is_none_or(|(present, _)| *present != optimizer) {
            self.optimizer = Some((optimizer, Parameters::default()));
        }
    }

    fn train_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
        step: Step<'_>,
    ) -> Result<StepResult, BackendError> {
        if self.optimizer.is_none() {
            return Err(BackendError::NoOptimizer);
        }
        let masks = self.masks(labels.len(), step.seed);
        let (result, gradients) = self.backward(input, labels, step.class_weights, &masks)?;
        if let Some((optimizer, state)) = &mut self.optimizer
            && result.loss.is_finite()
        {
            optimizer::update(*optimizer, step.rate, &mut self.weights, &gradients, state);
        }
        Ok(result)
    }

    fn evaluate_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
    ) -> Result<StepResult, BackendError> {
        let classes = class_numbers(labels, self.plan.net.classes(), None)?;
        let logits = self.logits(input, labels.len())?;
        let exact: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        let (loss, _) = loss(self.plan.net.loss(), &exact, &classes, None);
        Ok(StepResult { loss, logits })
    }

    fn logits(&mut self, input: Input<'_>, batch: usize) -> Result<Vec<f32>, BackendError> {
        let (x, layers) = self.input(input, batch)?;
        let values = self.values(layers, x, &Masks::new());
        Ok(floats(&values[values.len() - 1]))
    }

    fn features(&mut self, values: &[f32], batch: usize) -> Result<Vec<f32>, BackendError> {
        let base = self.plan.net.base();
        if base == 0 {
            return Err(BackendError::NoBase);
        }
        let (x, _) = self.input(Input::Values(values), batch)?;
        let values = self.values(0..base, x, &Masks::new());
        Ok(floats(&values[base]))
    }

    fn gradients(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Parameters, BackendError> {
        self.backward(input, labels, None, &Masks::new()).map(|(_, gradients)| gradients)
    }

    fn parameters(&self) -> Result<Parameters, BackendError> {
        Ok(self.weights.clone())
    }

    fn set_parameters(&mut self, weights: &Parameters) -> Result<(), BackendError> {
        let mut arrays = BTreeMap::new();
        for parameter in self.plan.net.parameters() {
            let array = weights.get(&parameter.name, &parameter.shape, "the given weights")?;
            arrays.insert(parameter.name.clone(), array.clone());
        }
        self.weights = Parameters { arrays };
        Ok(())
    }

    fn optimizer_state(&self) -> Result<Parameters, BackendError> {
        Ok(self.optimizer.as_ref().map(|(_, state)| state.clone()).unwrap_or_default())
    }

    fn set_optimizer_state(&mut self, state: &Parameters) -> Result<(), BackendError> {
        let Some((_, present)) = &mut self.optimizer else { return Err(BackendError::NoOptimizer) };
        for parameter in self.plan.net.parameters() {
            for name in optimizer::SUFFIXES.map(|suffix| format!("{}{suffix}", parameter.name)) {
                if state.arrays.contains_key(&name) {
                    state.get(&name, &parameter.shape, "the optimiser's state")?;
                }
            }
        }
        present.clone_from(state);
        Ok(())
    }
}
