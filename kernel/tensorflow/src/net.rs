//! A net: one graph with one session on one device.

mod forward;
mod recurrent;
mod variables;

use crate::api::{DOUBLE, FLOAT, Output, TF_Operation};
use crate::backend::NAME;
use crate::graph::Graph;
use crate::layout::{batch_to_inside, batch_to_outside, channels_last};
use crate::library::Library;
use crate::optimizer::{self, Numbers, Place};
use crate::session::{Config, Session};
use crate::tensor::Tensor;
use benchbook_backend::{
    Array, BackendError, BackendInfo, Input, Network, Optimizer, Parameters, Plan, Precision, Step,
    StepResult, class_numbers, dropout_mask,
};
use benchbook_nets::{Loss, Net, Shape};
use forward::{Mask, Moving, Pass};
use std::borrow::Cow;
use std::num::NonZeroUsize;
use variables::Variable;

/// The name under which an optimiser's state has the number of its updates.
const STEP: &str = "step";

type Feeds = Vec<(Output, Tensor)>;

/// The outputs of one pass.
#[derive(Clone, Copy)]
struct Ends {
    /// The base's output; `None` without a base.
    features: Option<Output>,
    logits: Output,
    loss: Output,
}

/// An optimiser with its part of the graph.
struct Compiled {
    optimizer: Optimizer,
    slots: Vec<Variable>,
    rate: Output,
    epsilon: Output,
    updates: Vec<*mut TF_Operation>,
    /// Number of updates so far.
    steps: u32,
}

/// A net on a device.
pub(crate) struct TensorFlowNet {
    // Fields are dropped in this order: the session before its graph.
    session: Session,
    graph: Graph,
    library: &'static Library,
    config: Config,
    net: Net,
    frozen: bool,
    /// In the order of the net's parameters.
    variables: Vec<Variable>,
    values: Output,
    labels: Output,
    /// The factor of each example's loss in the batch's.
    shares: Output,
    masks: Vec<Mask>,
    training: Ends,
    inference: Ends,
    /// In the order of the trained variables.
    gradients: Vec<Output>,
    /// The operations that each update waits for: see [`waits`].
    waits: Vec<Vec<*mut TF_Operation>>,
    /// Move the running statistics of batch normalisation.
    moves: Vec<*mut TF_Operation>,
    /// The requested optimiser. The first step that needs it adds it to the graph.
    optimizer: Option<Optimizer>,
    compiled: Option<Compiled>,
    /// Number of optimisers added to the graph so far.
    optimizers: usize,
}

// SAFETY: graphs, sessions and their operations belong to no thread (c_api.h only requires that no
// two threads change a graph at once, which `&mut self` ensures).
unsafe impl Send for TensorFlowNet {}

impl TensorFlowNet {
    /// Builds the net on the CPU or the first GPU. The plan has two numbers of threads: within one
    /// operation, and for parallel operations; `None` means all cores.
    pub(crate) fn new(
        library: &'static Library,
        plan: &Plan,
        gpu: bool,
        weights: &Parameters,
    ) -> Result<Self, BackendError> {
        let Plan { net, frozen, threads, compute, .. } = plan;
        let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let config = Config { gpu, threads: threads.unwrap_or_else(all).max(1) };
        let numbers = if compute.precision == Precision::Float64 { DOUBLE } else { FLOAT };
        let mut graph = Graph::with_numbers(&library.api, numbers);
        let variables = net.parameters().iter().map(|parameter| {
            let (name, shape) = (parameter.name.clone(), parameter.shape.clone());
            Variable::new(&mut graph, &parameter.name, name, shape, parameter.is_trained(*frozen))
        });
        let variables = variables.collect::<Result<Vec<_>, _>>()?;
        let values = graph.batches(net.input())?;
        let labels = graph.batches(Shape::Vector([net.outputs()]))?;
        let shares = graph.placeholder(&[-1])?;
        let mut pass = |first_trained: usize| {
            let (masks, moving, relus) = (Vec::new(), Vec::new(), Vec::new());
            let graph = &mut graph;
            let mut pass = Pass { graph, gpu, net, variables: &variables, masks, moving, relus };
            let outputs = pass.layers(values, first_trained)?;
            let logits = outputs[outputs.len() - 1];
            let features = net.base().checked_sub(1).map(|last| outputs[last]);
            let loss = loss(pass.graph, net.loss(), logits, [labels, shares])?;
            let Pass { masks, moving, relus, .. } = pass;
            Ok::<_, BackendError>((Ends { features, logits, loss }, masks, moving, relus))
        };
        let (training, masks, moving, relus) = pass(if *frozen { net.base() } else { 0 })?;
        let (inference, ..) = pass(net.layers().len())?;
        let trained: Vec<Output> =
            variables.iter().filter(|v| v.trained).map(|v| v.value).collect();
        let gradients = graph.gradients(training.loss, &trained)?;
        for (y, x) in relus {
            graph.let_gradients_read(y, x)?;
        }
        let gate = gate(&mut graph, training.loss)?;
        let waits = waits(&graph, &trained, &gradients, gate);
        let moves = moving.iter().map(|moving| move_statistic(&mut graph, moving, gate));
        let moves = moves.collect::<Result<Vec<_>, _>>()?;
        let session = Session::new(&graph, config)?;
        let mut built = Self {
            session,
            graph,
            library,
            config,
            net: net.clone(),
            frozen: *frozen,
            variables,
            values,
            labels,
            shares,
            masks,
            training,
            inference,
            gradients,
            waits,
            moves,
            optimizer: None,
            compiled: None,
            optimizers: 0,
        };
        built.set_parameters(weights)?;
        Ok(built)
    }

    fn trained(&self) -> impl Iterator<Item = &Variable> {
        self.variables.iter().filter(|variable| variable.trained)
    }

    /// Adds the requested optimiser to the graph, unless the graph has it.
    fn compiled(&mut self) -> Result<&mut Compiled, BackendError> {
        let optimizer = self.optimizer.ok_or(BackendError::NoOptimizer)?;
        let present = self.compiled.take();
        let compiled = match present {
            Some(present) if present.optimizer == optimizer => present,
            former => {
                let slots = former.iter().flat_map(|former| &former.slots);
                let destroy = slots.map(|slot| slot.destroy(&mut self.graph));
                let destroy = destroy.collect::<Result<Vec<_>, _>>()?;
                self.session.run("freeing an optimiser", &[], &[], &destroy)?;
                let compiled = self.add_optimizer(optimizer)?;
                self.fill(&compiled.slots, &Parameters::default())?;
                compiled
            }
        };
        Ok(self.compiled.insert(compiled))
    }

    fn add_optimizer(&mut self, optimizer: Optimizer) -> Result<Compiled, BackendError> {
        self.optimizers += 1;
        let graph = &mut self.graph;
        let (rate, epsilon) = (graph.placeholder(&[])?, graph.placeholder(&[])?);
        let numbers = Numbers { rate, epsilon };
        let (mut slots, mut updates) = (Vec::new(), Vec::new());
        let trained = self.variables.iter().filter(|variable| variable.trained);
        for ((variable, gradient), after) in trained.zip(&self.gradients).zip(&self.waits) {
            let first = slots.len();
            for suffix in optimizer::slots(&optimizer) {
                let name = format!("{}{suffix}", variable.name);
                // A net with a new optimiser must not use the previous optimiser's variable.
                let shared = format!("{}/{name}", self.optimizers);
                slots.push(Variable::new(graph, &shared, name, variable.shape.clone(), false)?);
            }
            let handles: Vec<Output> = slots[first..].iter().map(|slot| slot.handle).collect();
            let place = Place {
                variable: variable.handle,
                value: variable.value,
                gradient: *gradient,
                slots: &handles,
                after,
            };
            updates.push(optimizer::update(&optimizer, graph, &place, &numbers)?);
        }
        Ok(Compiled { optimizer, slots, rate, epsilon, updates, steps: 0 })
    }

    /// Sets an optimiser's state; entries missing in `state` become zero.
    fn fill(&self, slots: &[Variable], state: &Parameters) -> Result<(), BackendError> {
        let longest = slots.iter().map(Variable::len).max().unwrap_or(0);
        let zeros = vec![0.0; longest];
        let mut pairs = Vec::new();
        for slot in slots {
            let values = if state.arrays.contains_key(&slot.name) {
                &state.get(&slot.name, &slot.shape, "the optimiser's state")?.values
            } else {
                &zeros[..slot.len()]
            };
            pairs.push((slot, values));
        }
        variables::set(&self.graph, &self.session, pairs.into_iter())
    }

    /// A batch in TensorFlow's layout.
    fn batch(&self, shape: Shape, batch: usize, values: &[f32]) -> Tensor {
        let axes = [&[batch], channels_last(shape).as_slice()].concat();
        let fill = |to: &mut [f32]| batch_to_inside(shape, values, to);
        Tensor::filled(&self.library.api, &axes, fill)
    }

    /// The net's or the head's input for the graph.
    fn input(
        &self,
        input: Input<'_>,
        batch: usize,
        ends: &Ends,
    ) -> Result<(Output, Tensor), BackendError> {
        let (values, shape) = input.checked(&self.net, batch)?;
        let place = match input {
            Input::Values(_) => self.values,
            Input::Held(_) => return Err(BackendError::NotHeld),
            Input::Features(_) => ends.features.ok_or(BackendError::NoBase)?,
        };
        Ok((place, self.batch(shape, batch, values)))
    }

    /// Labels and shares in the form that [`loss`] takes.
    fn truth(&self, labels: &[i64], class_weights: Option<&[f32]>) -> Result<Feeds, BackendError> {
        let (api, classes) = (&self.library.api, self.net.classes());
        let chosen = class_numbers(labels, classes, class_weights)?;
        let factors: Vec<f32> = chosen
            .iter()
            .map(|class| class_weights.map_or(1.0, |weights| weights[*class]))
            .collect();
        let (batch, outputs) = (labels.len(), self.net.outputs());
        let whole = match self.net.loss() {
            Loss::BinaryCrossEntropy => batch as f32,
            Loss::CrossEntropy => factors.iter().sum(),
        };
        let targets = Tensor::filled(api, &[batch, outputs], |to| match self.net.loss() {
            Loss::BinaryCrossEntropy => {
                to.iter_mut().zip(&chosen).for_each(|(to, class)| *to = [1.0, -1.0][*class]);
            }
            Loss::CrossEntropy => {
                let rows = to.chunks_exact_mut(outputs);
                rows.zip(&chosen).for_each(|(row, class)| row[*class] = 1.0);
            }
        });
        let shares: Vec<f32> = factors.iter().map(|factor| factor / whole).collect();
        Ok(vec![(self.labels, targets), (self.shares, Tensor::floats(api, &[batch], &shares))])
    }

    /// The inputs of a training step or gradients; without a seed there is no dropout.
    fn learning_feeds(
        &self,
        input: Input<'_>,
        labels: &[i64],
        class_weights: Option<&[f32]>,
        seed: Option<u64>,
    ) -> Result<Feeds, BackendError> {
        let batch = labels.len();
        let mut feeds = self.truth(labels, class_weights)?;
        feeds.push(self.input(input, batch, &self.training)?);
        if matches!(input, Input::Features(_)) && !self.frozen {
            return Err(BackendError::TrainableBase);
        }
        for &Mask { input, dropout, rate, shape } in &self.masks {
            let count = batch * shape.len();
            let mask = seed
                .map_or_else(|| vec![1.0; count], |seed| dropout_mask(count, rate, seed, dropout));
            feeds.push((input, self.batch(shape, batch, &mask)));
        }
        Ok(feeds)
    }
}

impl Network for TensorFlowNet {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: NAME.into(),
            version: self.library.version().into(),
            device: if self.config.gpu { "cuda:0" } else { "cpu" }.into(),
            threads: self.config.threads,
            precision: match self.graph.numbers {
                DOUBLE => Precision::Float64,
                _ => Precision::Float32,
            }
            .to_string(),
            graph: "build",
        }
    }

    fn compile(&mut self, optimizer: Optimizer) {
        self.optimizer = Some(optimizer);
    }

    fn train_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
        step: Step<'_>,
    ) -> Result<StepResult, BackendError> {
        let Step { rate, seed, class_weights } = step;
        self.compiled()?;
        let mut feeds = self.learning_feeds(input, labels, class_weights, Some(seed))?;
        let Some(compiled) = &mut self.compiled else { return Err(BackendError::NoOptimizer) };
        let numbers = optimizer::numbers(&compiled.optimizer, rate, compiled.steps + 1);
        let numbers = numbers.map(|number| Tensor::scalar(&self.library.api, number));
        feeds.extend([compiled.rate, compiled.epsilon].into_iter().zip(numbers));
        let targets = [compiled.updates.as_slice(), &self.moves].concat();
        let Ends { logits, loss, .. } = self.training;
        let found = self.session.run("a training step", &feeds, &[loss, logits], &targets)?;
        let result = step_result(&found)?;
        compiled.steps += u32::from(result.loss.is_finite());
        Ok(result)
    }

    fn evaluate_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
    ) -> Result<StepResult, BackendError> {
        let mut feeds = self.truth(labels, None)?;
        feeds.push(self.input(input, labels.len(), &self.inference)?);
        let Ends { logits, loss, .. } = self.inference;
        step_result(&self.session.run("an evaluation", &feeds, &[loss, logits], &[])?)
    }

    fn logits(&mut self, input: Input<'_>, batch: usize) -> Result<Vec<f32>, BackendError> {
        let feeds = [self.input(input, batch, &self.inference)?];
        let found = self.session.run("the logits", &feeds, &[self.inference.logits], &[])?;
        Ok(values(&found, 0)?.to_vec())
    }

    fn features(&mut self, values: &[f32], batch: usize) -> Result<Vec<f32>, BackendError> {
        let (Some(place), Some(shape)) = (self.inference.features, self.net.features()) else {
            return Err(BackendError::NoBase);
        };
        let feeds = [self.input(Input::Values(values), batch, &self.inference)?];
        let found = self.session.run("the base", &feeds, &[place], &[])?;
        let found = self::values(&found, 0)?;
        let mut features = vec![0.0; found.len()];
        batch_to_outside(shape, &found, &mut features);
        Ok(features)
    }

    fn gradients(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Parameters, BackendError> {
        let feeds = self.learning_feeds(input, labels, None, None)?;
        let found = self.session.run("the gradients", &feeds, &self.gradients, &[])?;
        let arrays = self.trained().zip(&found);
        let arrays = arrays.map(|(v, tensor)| Ok((v.name.clone(), v.array(tensor)?)));
        Ok(Parameters { arrays: arrays.collect::<Result<_, BackendError>>()? })
    }

    fn parameters(&self) -> Result<Parameters, BackendError> {
        variables::read(&self.session, self.variables.iter())
    }

    fn change_since(&self, base: &Parameters) -> Result<Parameters, BackendError> {
        let mut all = Parameters::default();
        for variable in &self.variables {
            let before = base.get(&variable.name, &variable.shape, "the weights before")?;
            for tensor in &self.session.run("reading the weights", &[], &[variable.value], &[])? {
                let change = variable.difference(tensor, &before.values)?;
                all.arrays.insert(variable.name.clone(), change);
            }
        }
        Ok(all)
    }

    fn set_parameters(&mut self, weights: &Parameters) -> Result<(), BackendError> {
        weights.check(self.net.parameters(), "the given weights")?;
        let value = |variable: &Variable| weights.arrays.get(&variable.name).map(|a| &a.values[..]);
        let pairs = self.variables.iter().filter_map(|v| value(v).map(|values| (v, values)));
        variables::set(&self.graph, &self.session, pairs)
    }

    fn optimizer_state(&self) -> Result<Parameters, BackendError> {
        let Some(optimizer) = self.optimizer else { return Ok(Parameters::default()) };
        // Chosen but not used yet: no state.
        let compiled = self.compiled.as_ref().filter(|present| present.optimizer == optimizer);
        let slots = compiled.iter().flat_map(|compiled| &compiled.slots);
        let mut state = variables::read(&self.session, slots)?;
        // Exact up to 16.7 million steps.
        let steps = compiled.map_or(0.0, |compiled| compiled.steps as f32);
        state.arrays.insert(STEP.into(), Array { shape: vec![1], values: vec![steps] });
        Ok(state)
    }

    fn set_optimizer_state(&mut self, state: &Parameters) -> Result<(), BackendError> {
        self.compiled()?;
        let Some(compiled) = &self.compiled else { return Err(BackendError::NoOptimizer) };
        self.fill(&compiled.slots, state)?;
        let steps = state.arrays.get(STEP).and_then(|steps| steps.values.first());
        let steps = steps.map_or(0, |steps| *steps as u32);
        if let Some(compiled) = &mut self.compiled {
            compiled.steps = steps;
        }
        Ok(())
    }
}

/// The loss of the batch: the sum of each example's, times its share. For one logit x and the target
/// s, which is -1 for class 1 and 1 for class 0, the cross-entropy is ln(1 + exp(s·x)), exact for
/// large logits of either sign and at zero.
fn loss(
    graph: &mut Graph,
    loss: Loss,
    logits: Output,
    [targets, shares]: [Output; 2],
) -> Result<Output, BackendError> {
    let each = match loss {
        Loss::BinaryCrossEntropy => {
            let signed = graph.apply(c"Mul", &[logits, targets])?;
            let each = graph.apply(c"Softplus", &[signed])?;
            graph.reshape(each, &[-1])?
        }
        // The gradient of TensorFlow's operation has a constant of 32 bits (tensorflow/cc/gradients/nn_grad.cc).
        Loss::CrossEntropy if graph.numbers == DOUBLE => {
            let logarithms = graph.apply(c"LogSoftmax", &[logits])?;
            let chosen = graph.apply(c"Mul", &[logarithms, targets])?;
            let sum = graph.reduce(c"Sum", chosen, &[1], false)?;
            graph.apply(c"Neg", &[sum])?
        }
        Loss::CrossEntropy => graph.apply(c"SoftmaxCrossEntropyWithLogits", &[logits, targets])?,
    };
    let shared = graph.apply(c"Mul", &[each, shares])?;
    graph.reduce(c"Sum", shared, &[0], false)
}

/// An operation that runs only if the loss is finite. `Switch` sends its first input to one of two
/// outputs; operations that depend on the other do not run.
fn gate(graph: &mut Graph, loss: Output) -> Result<*mut TF_Operation, BackendError> {
    let finite = graph.apply(c"IsFinite", &[loss])?;
    let switch = graph.apply(c"Switch", &[loss, finite])?;
    let taken = Output { index: 1, ..switch };
    graph.apply(c"Identity", &[taken]).map(|identity| identity.operation)
}

/// The operations that each value's update waits for: first the gate, then every operation of a training step
/// that reads the value, since otherwise an update would have to copy the weights first. Operations that the
/// value's own gradient needs have run before it anyway, and an edge from them would prevent TensorFlow from
/// computing a convolution, its bias and its ReLU as one operation.
fn waits(
    graph: &Graph,
    values: &[Output],
    gradients: &[Output],
    gate: *mut TF_Operation,
) -> Vec<Vec<*mut TF_Operation>> {
    // Without the inference pass and without gradients of frozen variables.
    let step = graph.needed(gradients);
    let waits = values.iter().zip(gradients).map(|(value, gradient)| {
        let before = graph.needed(&[*gradient]);
        let readers = graph.readers(*value).into_iter();
        let readers = readers.filter(|reader| step.contains(reader) && !before.contains(reader));
        std::iter::once(gate).chain(readers).collect()
    });
    waits.collect()
}

/// `running ← running − momentum · (running − batch)`.
fn move_statistic(
    graph: &mut Graph,
    moving: &Moving,
    gate: *mut TF_Operation,
) -> Result<*mut TF_Operation, BackendError> {
    let factor = graph.scalar(moving.momentum)?;
    let change = graph.apply(c"Sub", &[moving.value, moving.batch])?;
    let change = graph.apply(c"Mul", &[change, factor])?;
    let update = graph.add(c"AssignSubVariableOp").inputs(&[moving.variable, change]);
    update.numbers().after(&[gate]).operation()
}

/// The fetched values at a place.
fn values(fetched: &[Tensor], at: usize) -> Result<Cow<'_, [f32]>, BackendError> {
    fetched.get(at).map_or(Ok(Cow::Borrowed(&[])), Tensor::values)
}

/// From a fetched loss and logits.
fn step_result(fetched: &[Tensor]) -> Result<StepResult, BackendError> {
    let loss = fetched.first().map(Tensor::wide).transpose()?.unwrap_or_default();
    let loss = loss.first().copied().unwrap_or(f64::NAN);
    Ok(StepResult { loss, logits: values(fetched, 1)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::LoadError;
    use benchbook_backend::{Compute, Device};
    use benchbook_nets::{Architecture, Sequential};

    /// The library in the usual places, else that of the Python references.
    fn library() -> Option<&'static Library> {
        let references =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv-references");
        match Library::load().or_else(|_| Library::load_from(&references)) {
            Ok(library) => Some(library),
            Err(error @ LoadError::NotFound { .. }) => {
                println!("SKIPPED: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Layers whose weights are read by two products of a step, forward and backward, which take longer than an
    /// update.
    #[test]
    fn a_step_changes_the_weights_where_they_lie() {
        let Some(library) = library() else { return };
        let dense = Sequential::vector(512).dense(512).dense(512).dense(512).dense(1);
        let net = Net::new(dense.graph()).unwrap();
        let weights = Parameters::initial(net.parameters(), 1);
        let (device, threads, compute) = (Device::Cpu, Some(2), Compute::default());
        let plan = Plan { net, frozen: false, device, threads, ranks: 1, compute };
        let mut net = TensorFlowNet::new(library, &plan, false, &weights).unwrap();
        net.compile(Optimizer::momentum(0.9));
        let places = |net: &TensorFlowNet| -> Vec<*const f32> {
            let place = |variable: &Variable| {
                let read = net.session.run("reading", &[], &[variable.value], &[]).unwrap();
                read[0].values().unwrap().as_ptr()
            };
            net.trained().map(place).collect()
        };
        let (inputs, labels) = (vec![0.1; 64 * 512], vec![1; 64]);
        let before = places(&net);
        for seed in 0..20 {
            let step = Step::new(1e-6, seed);
            net.train_step(Input::Values(&inputs), &labels, step).unwrap();
            assert_eq!(places(&net), before);
        }
    }
}
