//! A net: one graph with one session on one device.

mod forward;
mod variables;

use crate::api::{FLOAT, INT32, Output, TF_Operation};
use crate::error::Error;
use crate::graph::Graph;
use crate::layer::{Description, Loss, Parameter};
use crate::layout::{channels_first, channels_last};
use crate::library::Library;
use crate::optimizer::{Numbers, Optimizer, Place};
use crate::session::{Config, Device, Processor, Session};
use crate::tensor::Tensor;
use forward::{Mask, Mode, Moving, Pass, Shape};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use variables::{Variable, Variables};

/// Values by the names of the parameters, in the layouts outside.
pub type Values = BTreeMap<String, Vec<f32>>;

/// The name under which an optimiser's state tells how many updates it has done.
const STEP: &str = "step";

/// Pictures of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Preprocessed pixels, `[batch, channels, height, width]`.
    Pixels(&'a [f32]),
    /// Outputs of the base from [`Net::features`], `[batch, channels, height, width]`.
    Features(&'a [f32]),
}

/// One training step's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub rate: f64,
    /// Factors on the loss of pictures of class 0 and 1.
    pub class_weights: Option<[f32; 2]>,
}

/// What a step measured on its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Mean loss over the batch.
    pub loss: f64,
    /// Pictures whose most probable class is theirs.
    pub correct: usize,
}

/// The outputs of one pass.
#[derive(Clone, Copy)]
struct Ends {
    features: Output,
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
    /// Updates done so far.
    steps: u32,
}

/// A net on a device.
pub struct Net {
    // Fields are dropped in this order: the session before its graph.
    session: Session,
    graph: Graph,
    library: &'static Library,
    config: Config,
    description: Description,
    /// Shape of one picture's features: `[channels, height, width]`.
    features: [usize; 3],
    variables: Variables,
    pixels: Output,
    labels: Output,
    /// What each picture's loss counts for in the batch's.
    shares: Output,
    masks: Vec<Mask>,
    training: Ends,
    inference: Ends,
    /// Of [`Variables::learned`], in that order.
    gradients: Vec<Output>,
    /// What an update of each of them waits for: see [`waits`].
    waits: Vec<Vec<*mut TF_Operation>>,
    /// Move the running statistics of batch normalisation.
    moves: Vec<*mut TF_Operation>,
    optimizers: usize,
    compiled: Option<Compiled>,
}

// SAFETY: graphs, sessions and their operations belong to no thread (c_api.h asks only that a graph is
// not changed by two threads at once, which `&mut self` sees to).
unsafe impl Send for Net {}

impl Net {
    /// Builds the net on a device. `threads` are the CPU's for one operation and for operations at
    /// once; `None` means all cores. `weights` gives the values of each parameter by its name.
    ///
    /// # Errors
    /// [`Error::Layer`], [`Error::MissingParameter`], [`Error::Length`], [`Error::Device`],
    /// [`Error::Library`].
    pub fn new<'a>(
        library: &'static Library,
        description: Description,
        processor: Processor,
        threads: Option<usize>,
        weights: impl Fn(&str) -> Option<&'a [f32]>,
    ) -> Result<Self, Error> {
        let device = device(library, processor)?;
        let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let config = Config { device, threads: threads.unwrap_or_else(all).max(1) };
        let mut graph = Graph::new(&library.api);
        let variables = Variables::new(&mut graph, description.parameters())?;
        let [channels, height, width] = description.input;
        let pixels = graph.placeholder(&[-1, height as i64, width as i64, channels as i64])?;
        let labels = graph.placeholder(&[-1, description.loss.outputs() as i64])?;
        let shares = graph.placeholder(&[-1])?;
        let truth = [labels, shares];

        let input = Shape::Map { height, width, channels };
        let pass = |graph: &mut Graph, base: Mode, head: Mode| {
            let mut pass = Pass {
                graph,
                variables: &variables,
                mode: base,
                masks: Vec::new(),
                moving: Vec::new(),
            };
            let (features, shape) = pass.layers(&description.base, pixels, input)?;
            pass.mode = head;
            let (logits, last) = pass.layers(&description.head, features, shape)?;
            let Pass { masks, moving, .. } = pass;
            if last != Shape::Vector(description.loss.outputs()) {
                return Err(Error::Layer {
                    layer: format!("{:?}", description.loss),
                    expected: format!("{} logits", description.loss.outputs()),
                    found: format!("{last:?}"),
                });
            }
            let loss = loss(graph, description.loss, logits, truth)?;
            Ok((Ends { features, logits, loss }, shape, masks, moving))
        };
        let base = if description.frozen { Mode::Inference } else { Mode::Training };
        let (training, features, masks, moving) = pass(&mut graph, base, Mode::Training)?;
        let (inference, ..) = pass(&mut graph, Mode::Inference, Mode::Inference)?;
        let Shape::Map { height, width, channels } = features else {
            return Err(Error::Layer {
                layer: "the head".into(),
                expected: "a feature map".into(),
                found: format!("{features:?}"),
            });
        };
        let values: Vec<Output> = variables.learned().map(|variable| variable.value).collect();
        let gradients = graph.gradients(training.loss, &values)?;
        let gate = gate(&mut graph, training.loss)?;
        let waits = waits(&graph, &values, &gradients, gate);
        let moves = moving
            .iter()
            .map(|moving| move_statistic(&mut graph, moving, gate))
            .collect::<Result<Vec<_>, _>>()?;
        let session = Session::new(&graph, config)?;
        let mut net = Self {
            session,
            graph,
            library,
            config,
            features: [channels, height, width],
            variables,
            pixels,
            labels,
            shares,
            masks,
            training,
            inference,
            gradients,
            waits,
            moves,
            optimizers: 0,
            compiled: None,
            description,
        };
        net.set(weights)?;
        Ok(net)
    }

    /// The library that computes.
    pub fn library(&self) -> &'static Library {
        self.library
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.config.device
    }

    /// CPU threads for one operation, and for operations at once.
    pub fn threads(&self) -> usize {
        self.config.threads
    }

    /// The optimiser; `None` before [`Net::compile`].
    pub fn optimizer(&self) -> Option<Optimizer> {
        self.compiled.as_ref().map(|compiled| compiled.optimizer)
    }

    /// Sets the optimiser. The state of the former one is kept if it is the same optimiser, and
    /// dropped otherwise.
    ///
    /// # Errors
    /// [`Error::Library`].
    pub fn compile(&mut self, optimizer: Optimizer) -> Result<(), Error> {
        if self.compiled.as_ref().is_some_and(|present| present.optimizer == optimizer) {
            return Ok(());
        }
        if let Some(former) = self.compiled.take() {
            let graph = &mut self.graph;
            let destroy = former.slots.iter().map(|slot| slot.destroy(graph));
            let destroy = destroy.collect::<Result<Vec<_>, _>>()?;
            self.session.run("freeing an optimiser", &[], &[], &destroy)?;
        }
        self.optimizers += 1;
        let graph = &mut self.graph;
        let (rate, epsilon) = (graph.placeholder(&[])?, graph.placeholder(&[])?);
        let numbers = Numbers { rate, epsilon };
        let (mut all, mut updates) = (Vec::new(), Vec::new());
        let learned = self.variables.learned().zip(&self.gradients).zip(&self.waits);
        for ((variable, gradient), after) in learned {
            let mut slots = Vec::new();
            for suffix in optimizer.slots() {
                let parameter = Parameter {
                    // A net that gets an optimiser again must not find the former one's variable.
                    name: format!("{}/{}{suffix}", self.optimizers, variable.parameter.name),
                    ..variable.parameter.clone()
                };
                slots.push(Variable::new(graph, parameter)?);
            }
            let handles: Vec<Output> = slots.iter().map(|slot| slot.handle).collect();
            let place = Place {
                variable: variable.handle,
                value: variable.value,
                gradient: *gradient,
                slots: &handles,
                after,
            };
            updates.push(optimizer.update(graph, &place, &numbers)?);
            all.extend(slots);
        }
        self.compiled = Some(Compiled { optimizer, slots: all, rate, epsilon, updates, steps: 0 });
        self.set_optimizer_state(&Values::new())
    }

    /// One forward and backward pass and one change of the weights. If the loss is not finite,
    /// weights, running statistics and the optimiser's state stay as they were and the loss is
    /// returned.
    ///
    /// `mask` gives the factors of a dropout layer: for its place in the list of the head's layers, its
    /// rate and a number of values, `[batch, length]`. With `class_weights` the batch's loss is the sum
    /// of factor times loss over the pictures, divided as the loss's library does: Keras' binary
    /// cross-entropy by the number of pictures, PyTorch's cross-entropy by the sum of their factors.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Label`], [`Error::NoOptimizer`],
    /// [`Error::FeaturesOfLearningBase`], [`Error::Library`].
    pub fn train_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
        step: Step,
        mask: &dyn Fn(usize, f64, usize) -> Vec<f32>,
    ) -> Result<Outcome, Error> {
        let Some(compiled) = &self.compiled else { return Err(Error::NoOptimizer) };
        let api = &self.library.api;
        let mut feeds = self.learning_feeds(input, labels, step.class_weights, mask)?;
        let numbers = compiled.optimizer.numbers(step.rate, compiled.steps + 1);
        let numbers = numbers.map(|number| Tensor::scalar(api, number));
        for (input, number) in [compiled.rate, compiled.epsilon].into_iter().zip(numbers) {
            feeds.push((input, number));
        }
        let targets = [compiled.updates.as_slice(), &self.moves].concat();
        let Ends { logits, loss, .. } = self.training;
        let found = self.run("a training step", &feeds, &[loss, logits], &targets)?;
        let outcome = outcome(&found, labels, self.description.loss)?;
        if let Some(compiled) = self.compiled.as_mut().filter(|_| outcome.loss.is_finite()) {
            compiled.steps += 1;
        }
        Ok(outcome)
    }

    /// Loss and correct pictures without dropout and without learning.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Label`], [`Error::Library`].
    pub fn evaluate_step(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Outcome, Error> {
        let batch = labels.len();
        let mut feeds = self.truth(labels, None)?;
        feeds.push(self.input(input, batch, self.inference.features)?);
        let Ends { logits, loss, .. } = self.inference;
        let found = self.run("an evaluation", &feeds, &[loss, logits], &[])?;
        outcome(&found, labels, self.description.loss)
    }

    /// The head's outputs before sigmoid or softmax, in inference mode: `[batch, 1]` or `[batch, 2]`.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Library`].
    pub fn logits(&mut self, input: Input<'_>, batch: usize) -> Result<Vec<f32>, Error> {
        let feeds = [self.input(input, batch, self.inference.features)?];
        let found = self.run("the logits", &feeds, &[self.inference.logits], &[])?;
        Ok(values(&found, 0)?.to_vec())
    }

    /// Outputs of the base in inference mode for `batch` pictures, `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Library`].
    pub fn features(&mut self, pixels: &[f32], batch: usize) -> Result<Vec<f32>, Error> {
        let feeds = [self.input(Input::Pixels(pixels), batch, self.inference.features)?];
        let found = self.run("the convolutions", &feeds, &[self.inference.features], &[])?;
        let found = values(&found, 0)?;
        let [channels, height, width] = self.features;
        let mut features = vec![0.0; found.len()];
        channels_first(found, &mut features, channels, height * width);
        Ok(features)
    }

    /// Gradients of the mean loss at the present weights without dropout, for what learns. Running
    /// statistics stay.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Label`], [`Error::FeaturesOfLearningBase`], [`Error::Library`].
    pub fn gradients(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Values, Error> {
        let feeds = self.learning_feeds(input, labels, None, &|_, _, count| vec![1.0; count])?;
        let found = self.run("the gradients", &feeds, &self.gradients, &[])?;
        let gradients = self.variables.learned().zip(&found);
        gradients
            .map(|(variable, tensor)| {
                Ok((variable.parameter.name.clone(), variable.outside(tensor)?))
            })
            .collect()
    }

    /// The weights.
    ///
    /// # Errors
    /// [`Error::Library`].
    pub fn parameters(&self) -> Result<Values, Error> {
        variables::read(&self.session, self.variables.all.iter())
    }

    /// Replaces the weights: `weights` gives the values of each parameter by its name.
    ///
    /// # Errors
    /// [`Error::MissingParameter`] and [`Error::Length`], which leave the weights as they were;
    /// [`Error::Library`].
    pub fn set<'a>(&mut self, weights: impl Fn(&str) -> Option<&'a [f32]>) -> Result<(), Error> {
        let mut pairs = Vec::new();
        for variable in &self.variables.all {
            let Parameter { name, shape, .. } = &variable.parameter;
            let values = weights(name).ok_or_else(|| Error::MissingParameter {
                name: name.clone(),
                shape: shape.clone(),
            })?;
            pairs.push((variable, values));
        }
        variables::set(&self.graph, &self.session, pairs.into_iter())
    }

    /// What the optimiser remembers: by the names of the parameters with `.mean` and `.square`, and
    /// `step`, the number of its updates. Empty before [`Net::compile`].
    ///
    /// # Errors
    /// [`Error::Library`].
    pub fn optimizer_state(&self) -> Result<Values, Error> {
        let Some(compiled) = &self.compiled else { return Ok(Values::new()) };
        let read = variables::read(&self.session, compiled.slots.iter())?;
        let mut state: Values =
            read.into_iter().map(|(name, values)| (state_name(&name).to_owned(), values)).collect();
        // Exact up to 16.7 million steps.
        state.insert(STEP.into(), vec![compiled.steps as f32]);
        Ok(state)
    }

    /// Replaces what the optimiser remembers; what is missing starts from zero.
    ///
    /// # Errors
    /// [`Error::NoOptimizer`], [`Error::Length`], [`Error::Library`].
    pub fn set_optimizer_state(&mut self, state: &Values) -> Result<(), Error> {
        let Some(compiled) = &mut self.compiled else { return Err(Error::NoOptimizer) };
        let longest = compiled
            .slots
            .iter()
            .filter(|slot| !state.contains_key(state_name(&slot.parameter.name)));
        let longest = longest.map(|slot| slot.parameter.shape.iter().product()).max().unwrap_or(0);
        let zeros = vec![0.0; longest];
        let pairs = compiled.slots.iter().map(|slot| {
            let Parameter { name, shape, .. } = &slot.parameter;
            let length = shape.iter().product();
            let values =
                state.get(state_name(name)).map_or_else(|| &zeros[..length], Vec::as_slice);
            (slot, values)
        });
        variables::set(&self.graph, &self.session, pairs.collect::<Vec<_>>().into_iter())?;
        compiled.steps =
            state.get(STEP).and_then(|steps| steps.first()).map_or(0, |steps| *steps as u32);
        Ok(())
    }

    /// A batch as the graph takes it; `features` is the place of the base's outputs in the pass.
    fn input(
        &self,
        input: Input<'_>,
        batch: usize,
        features: Output,
    ) -> Result<(Output, Tensor), Error> {
        let (place, given, what, [channels, height, width]) = match input {
            Input::Pixels(given) => (self.pixels, given, "pixels", self.description.input),
            Input::Features(given) => (features, given, "features", self.features),
        };
        let expected = batch * channels * height * width;
        if given.len() != expected {
            let what = format!("{what} [{batch}, {channels}, {height}, {width}]");
            return Err(Error::Length { what, expected, found: given.len() });
        }
        let shape = [batch, height, width, channels];
        let tensor = Tensor::filled(&self.library.api, &shape, |to| {
            channels_last(given, to, channels, height * width);
        });
        Ok((place, tensor))
    }

    /// Labels and shares in the form that [`loss`] takes.
    fn truth(
        &self,
        labels: &[i64],
        class_weights: Option<[f32; 2]>,
    ) -> Result<Vec<(Output, Tensor)>, Error> {
        if let Some(found) = labels.iter().copied().find(|label| !(0..=1).contains(label)) {
            return Err(Error::Label { last: 1, found });
        }
        let (api, batch) = (&self.library.api, labels.len());
        let [zero, one] = class_weights.unwrap_or([1.0, 1.0]);
        let factors = labels.iter().map(|label| if *label == 1 { one } else { zero });
        let (values, whole): (Vec<f32>, f32) = match self.description.loss {
            Loss::BinaryCrossEntropy => {
                let signs = labels.iter().map(|label| if *label == 1 { -1.0 } else { 1.0 });
                (signs.collect(), batch as f32)
            }
            Loss::CrossEntropy => {
                let shares = |label| if label == 1 { [0.0, 1.0] } else { [1.0, 0.0] };
                let values = labels.iter().flat_map(|label| shares(*label));
                (values.collect(), factors.clone().sum())
            }
        };
        let shares: Vec<f32> = factors.map(|factor| factor / whole).collect();
        let outputs = self.description.loss.outputs();
        Ok(vec![
            (self.labels, Tensor::floats(api, &[batch, outputs], &values)),
            (self.shares, Tensor::floats(api, &[batch], &shares)),
        ])
    }

    /// What a training step and gradients need.
    fn learning_feeds(
        &self,
        input: Input<'_>,
        labels: &[i64],
        class_weights: Option<[f32; 2]>,
        mask: &dyn Fn(usize, f64, usize) -> Vec<f32>,
    ) -> Result<Vec<(Output, Tensor)>, Error> {
        if matches!(input, Input::Features(_)) && !self.description.frozen {
            return Err(Error::FeaturesOfLearningBase);
        }
        let batch = labels.len();
        let mut feeds = self.truth(labels, class_weights)?;
        feeds.push(self.input(input, batch, self.training.features)?);
        for Mask { input, layer, rate, length } in &self.masks {
            let expected = batch * length;
            let factors = mask(*layer, *rate, expected);
            if factors.len() != expected {
                let what = format!("dropout factors [{batch}, {length}]");
                return Err(Error::Length { what, expected, found: factors.len() });
            }
            feeds.push((*input, Tensor::floats(&self.library.api, &[batch, *length], &factors)));
        }
        Ok(feeds)
    }

    fn run(
        &self,
        operation: &'static str,
        feeds: &[(Output, Tensor)],
        fetches: &[Output],
        targets: &[*mut TF_Operation],
    ) -> Result<Vec<Tensor>, Error> {
        let feeds: Vec<_> = feeds.iter().map(|(input, tensor)| (*input, tensor)).collect();
        self.session.run(operation, &feeds, fetches, targets)
    }
}

/// Copies values to a device and waits until they are there.
///
/// # Errors
/// [`Error::Device`], [`Error::Library`].
pub fn upload(
    library: &'static Library,
    values: &[f32],
    processor: Processor,
) -> Result<(), Error> {
    let config = Config { device: device(library, processor)?, threads: 1 };
    let mut graph = Graph::new(&library.api);
    let input = graph.placeholder(&[-1])?;
    let copy = graph.apply(c"Identity", &[input])?;
    let session = Session::new(&graph, config)?;
    let tensor = Tensor::floats(&library.api, &[values.len()], values);
    session.run("copying a batch", &[(input, &tensor)], &[], &[copy.operation]).map(drop)
}

/// A slot's name without the number of its optimiser.
fn state_name(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, name)| name)
}

fn device(library: &'static Library, processor: Processor) -> Result<Device, Error> {
    let missing = |found: &str| Err(Error::Device { processor, found: found.into() });
    match processor {
        Processor::Cpu => Ok(Device::Cpu),
        Processor::Auto if library.gpus()? == 0 => Ok(Device::Cpu),
        Processor::Auto => Ok(Device::Cuda),
        Processor::Cuda(_) if library.gpus()? == 0 => {
            missing("TensorFlow sees no CUDA GPU, or it is a build without CUDA")
        }
        Processor::Cuda(0) => Ok(Device::Cuda),
        // A session's choice of GPUs holds for the process, gradients cannot be placed one by one.
        Processor::Cuda(_) => missing(
            "with TensorFlow number 0 is the only one; CUDA_VISIBLE_DEVICES says which GPU that is",
        ),
    }
}

/// The loss of the batch: the sum of each picture's, times its share. For one logit x and the target
/// s, which is -1 for class 1 and 1 for class 0, the cross-entropy is ln(1 + exp(s·x)), exact for
/// large logits of either sign and at zero.
fn loss(
    graph: &mut Graph,
    loss: Loss,
    logits: Output,
    [targets, shares]: [Output; 2],
) -> Result<Output, Error> {
    let each = match loss {
        Loss::BinaryCrossEntropy => {
            let signed = graph.apply(c"Mul", &[logits, targets])?;
            let each = graph.apply(c"Softplus", &[signed])?;
            graph.reshape(each, &[-1])?
        }
        Loss::CrossEntropy => graph.apply(c"SoftmaxCrossEntropyWithLogits", &[logits, targets])?,
    };
    let shared = graph.apply(c"Mul", &[each, shares])?;
    let axes = graph.integers(&[0])?;
    graph.add(c"Sum").inputs(&[shared, axes]).floats().kind(c"Tidx", INT32).output()
}

/// An operation that runs only if the loss is finite. `Switch` sends its first input to one of two
/// outputs; what hangs on the other does not run.
fn gate(graph: &mut Graph, loss: Output) -> Result<*mut TF_Operation, Error> {
    let finite = graph.apply(c"IsFinite", &[loss])?;
    let switch = graph.apply(c"Switch", &[loss, finite])?;
    let taken = Output { index: 1, ..switch };
    graph.apply(c"Identity", &[taken]).map(|identity| identity.operation)
}

/// What the update of each value waits for. First the gate. Then every operation of a training step that
/// reads the value: as long as one of them has it, an update would have to copy the weights first.
fn waits(
    graph: &Graph,
    values: &[Output],
    gradients: &[Output],
    gate: *mut TF_Operation,
) -> Vec<Vec<*mut TF_Operation>> {
    // Not those of the inference pass, nor gradients of what does not learn.
    let step = graph.needed(gradients);
    let waits = values.iter().map(|value| {
        let readers = graph.readers(*value).into_iter().filter(|reader| step.contains(reader));
        std::iter::once(gate).chain(readers).collect()
    });
    waits.collect()
}

/// `running ← running − 0.1 · (running − batch)`: PyTorch's momentum of 0.1, Keras' of 0.9.
fn move_statistic(
    graph: &mut Graph,
    moving: &Moving,
    gate: *mut TF_Operation,
) -> Result<*mut TF_Operation, Error> {
    let factor = graph.scalar(0.1)?;
    let change = graph.apply(c"Sub", &[moving.value, moving.batch])?;
    let change = graph.apply(c"Mul", &[change, factor])?;
    let update = graph.add(c"AssignSubVariableOp").inputs(&[moving.variable, change]);
    update.kind(c"dtype", FLOAT).after(&[gate]).operation()
}

/// The fetched values at a place.
fn values(fetched: &[Tensor], at: usize) -> Result<&[f32], Error> {
    fetched.get(at).map_or(Ok(&[]), Tensor::values)
}

/// From a fetched loss and logits.
fn outcome(fetched: &[Tensor], labels: &[i64], loss: Loss) -> Result<Outcome, Error> {
    let mean = values(fetched, 0)?.first().copied().unwrap_or(f32::NAN);
    let logits = values(fetched, 1)?;
    let predicted = logits.chunks_exact(loss.outputs()).map(|logits| match logits {
        [one] => i64::from(*one > 0.0),
        [zero, one, ..] => i64::from(one > zero),
        [] => 0,
    });
    let correct = predicted.zip(labels).filter(|(predicted, label)| predicted == *label).count();
    Ok(Outcome { loss: f64::from(mean), correct })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{FlattenOrder, Layer};
    use crate::library::LoadError;

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
        let mut head = vec![Layer::Flatten(FlattenOrder::ChannelHeightWidth)];
        for (layer, outputs) in [512, 512, 512, 1].into_iter().enumerate() {
            head.push(Layer::Dense { name: format!("dense_{layer}"), inputs: 512, outputs });
        }
        let description = Description {
            input: [512, 1, 1],
            base: Vec::new(),
            head,
            loss: Loss::BinaryCrossEntropy,
            frozen: false,
        };
        let weights = vec![0.01; 512 * 512];
        let lengths: BTreeMap<String, usize> = description
            .parameters()
            .into_iter()
            .map(|parameter| (parameter.name, parameter.shape.iter().product()))
            .collect();
        let value = |name: &str| lengths.get(name).map(|length| &weights[..*length]);
        let mut net = Net::new(library, description, Processor::Cpu, Some(2), value).unwrap();
        net.compile(Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 }).unwrap();
        let places = |net: &Net| -> Vec<*const f32> {
            let place = |variable: &Variable| {
                let read = net.session.run("reading", &[], &[variable.value], &[]).unwrap();
                read[0].values().unwrap().as_ptr()
            };
            net.variables.learned().map(place).collect()
        };
        let (pixels, labels) = (vec![0.1; 64 * 512], vec![1; 64]);
        let step = Step { rate: 1e-6, class_weights: None };
        let before = places(&net);
        for _ in 0..20 {
            net.train_step(Input::Pixels(&pixels), &labels, step, &|_, _, _| Vec::new()).unwrap();
            assert_eq!(places(&net), before);
        }
    }
}
