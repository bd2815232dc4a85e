//! TensorFlow through its C API, if it is installed. Graphs and sessions are in the crate
//! `benchbook-tensorflow`; here are the net's description and the boundary's words.

use super::{
    Backend, BackendError, BackendInfo, Base, Compute, Input, Network, Outcome, Plan, Precision,
    Processor, Step, cuda,
};
use crate::optimizer::{Convention, Optimizer};
use crate::parameters::{Array, Parameters, Specification};
use crate::vgg::{self, Architecture};
use benchbook_tensorflow as tensorflow;
use std::collections::BTreeMap;

const NAME: &str = "TensorFlow";

/// The library, found and opened when it is first needed.
#[derive(Clone, Copy, Debug)]
pub struct TensorFlow;

impl Backend for TensorFlow {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        match tensorflow::Library::loaded() {
            Some(library) => library.version().into(),
            None => "not loaded".into(),
        }
    }

    fn upload(&self, values: &[f32], processor: Processor) -> Result<(), BackendError> {
        let library = load()?;
        tensorflow::upload(library, values, allowed(library, processor)?).map_err(failed)
    }

    fn build(&self, plan: &Plan, weights: &Parameters) -> Result<Box<dyn Network>, BackendError> {
        plan.architecture.check()?;
        let library = load()?;
        let processor = allowed(library, plan.processor)?;
        let specifications = plan.architecture.parameters();
        check_weights(&specifications, weights)?;
        let description = description(&plan.architecture, plan.base);
        let value = |name: &str| weights.arrays.get(name).map(|array| array.values.as_slice());
        // Before the net, since the first operation on a GPU may read it.
        let set_tf32 = library.allow_tf32(plan.compute.tf32_convolutions);
        let net = tensorflow::Net::new(library, description, processor, plan.threads, value);
        let net = net.map_err(failed)?;
        check_compute(&plan.compute, net.device(), set_tf32)?;
        Ok(Box::new(Net { net, specifications, optimizer: None }))
    }
}

/// Whether the library is where it is looked for. It is not opened.
///
/// # Errors
/// [`BackendError::Unavailable`], with the places and how to get it.
pub(super) fn check_installed() -> Result<(), BackendError> {
    let unavailable =
        |source: tensorflow::LoadError| BackendError::Unavailable { source: source.into() };
    tensorflow::Location::find().map(drop).map_err(unavailable)
}

fn load() -> Result<&'static tensorflow::Library, BackendError> {
    let unavailable =
        |source: tensorflow::LoadError| BackendError::Unavailable { source: source.into() };
    tensorflow::Library::load().map_err(unavailable)
}

/// The processor, unless it means a GPU in a process whose CUDA is another library's.
fn allowed(
    library: &'static tensorflow::Library,
    processor: Processor,
) -> Result<tensorflow::Processor, BackendError> {
    if processor != Processor::Cpu && library.has_cuda() {
        cuda::claim(NAME)?;
    }
    Ok(match processor {
        Processor::Auto => tensorflow::Processor::Auto,
        Processor::Cpu => tensorflow::Processor::Cpu,
        Processor::Cuda(index) => tensorflow::Processor::Cuda(index),
    })
}

/// Refuses what this library does not have. Its maps always lie with the channel changing fastest.
fn check_compute(
    compute: &Compute,
    device: tensorflow::Device,
    has_tf32_switch: bool,
) -> Result<(), BackendError> {
    let refused = |option, expected, found: String| {
        let library = match device {
            tensorflow::Device::Cpu => format!("{NAME} on the CPU"),
            tensorflow::Device::Cuda => format!("{NAME} on a GPU"),
        };
        Err(BackendError::Option { library, option, expected, found })
    };
    if compute.precision != Precision::Float32 {
        return refused("precision", "Float32", format!("{:?}", compute.precision));
    }
    for (option, wanted) in [
        ("pinned_memory", compute.pinned_memory),
        ("asynchronous_copies", compute.asynchronous_copies),
    ] {
        if wanted {
            return refused(option, "false", "true".into());
        }
    }
    if device == tensorflow::Device::Cuda {
        if compute.tf32_matmul != compute.tf32_convolutions || !has_tf32_switch {
            let expected = "what tf32_convolutions is, since there is one switch for both";
            return refused("tf32_matmul", expected, compute.tf32_matmul.to_string());
        }
        if !compute.cudnn_benchmark {
            let expected = "true, since it always tries several algorithms";
            return refused("cudnn_benchmark", expected, "false".into());
        }
    }
    Ok(())
}

/// Makes the boundary's error of the crate's.
fn failed(error: tensorflow::Error) -> BackendError {
    use tensorflow::Error as E;
    match error {
        E::Library { operation, message } => {
            BackendError::Library { library: NAME, operation, message }
        }
        E::Length { what, expected, found } => BackendError::BatchLength { what, expected, found },
        E::NoOptimizer => BackendError::NoOptimizer,
        E::Device { processor, found } => BackendError::Device {
            library: NAME,
            processor: match processor {
                tensorflow::Processor::Auto => Processor::Auto,
                tensorflow::Processor::Cpu => Processor::Cpu,
                tensorflow::Processor::Cuda(index) => Processor::Cuda(index),
            },
            found,
        },
        other => BackendError::Library {
            library: NAME,
            operation: "checking its input",
            message: other.to_string(),
        },
    }
}

fn description(architecture: &Architecture, base: Base) -> tensorflow::Description {
    let layers = |layers: Vec<vgg::Layer>| layers.into_iter().map(layer).collect();
    tensorflow::Description {
        input: [3, architecture.size, architecture.size],
        base: layers(architecture.base()),
        head: layers(architecture.head()),
        loss: match architecture.loss() {
            vgg::Loss::BinaryCrossEntropy => tensorflow::Loss::BinaryCrossEntropy,
            vgg::Loss::CrossEntropy => tensorflow::Loss::CrossEntropy,
        },
        frozen: base == Base::Frozen,
    }
}

fn layer(layer: vgg::Layer) -> tensorflow::Layer {
    use tensorflow::Layer as L;
    match layer {
        vgg::Layer::Conv { name, inputs, outputs } => L::Conv { name, inputs, outputs },
        vgg::Layer::BatchNorm { name, channels } => L::BatchNorm { name, channels },
        vgg::Layer::Relu => L::Relu,
        vgg::Layer::MaxPool => L::MaxPool,
        vgg::Layer::AveragePool { side } => L::AveragePool { side },
        vgg::Layer::Flatten(order) => L::Flatten(match order {
            vgg::FlattenOrder::HeightWidthChannel => tensorflow::FlattenOrder::HeightWidthChannel,
            vgg::FlattenOrder::ChannelHeightWidth => tensorflow::FlattenOrder::ChannelHeightWidth,
        }),
        vgg::Layer::Dropout { rate } => L::Dropout { rate },
        vgg::Layer::Dense { name, inputs, outputs } => L::Dense { name, inputs, outputs },
    }
}

fn converted(optimizer: Optimizer) -> tensorflow::Optimizer {
    let whose = |convention| match convention {
        Convention::PyTorch => tensorflow::Convention::PyTorch,
        Convention::Keras => tensorflow::Convention::Keras,
    };
    match optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay } => {
            tensorflow::Optimizer::Sgd { momentum, nesterov, weight_decay }
        }
        Optimizer::Adam { beta1, beta2, epsilon, convention } => {
            tensorflow::Optimizer::Adam { beta1, beta2, epsilon, convention: whose(convention) }
        }
        Optimizer::RmsProp { decay, epsilon, convention } => {
            tensorflow::Optimizer::RmsProp { decay, epsilon, convention: whose(convention) }
        }
    }
}

fn check_weights(
    specifications: &[Specification],
    weights: &Parameters,
) -> Result<(), BackendError> {
    for specification in specifications {
        weights.get(&specification.name, &specification.shape, "the given weights")?;
    }
    Ok(())
}

fn input(input: Input<'_>) -> tensorflow::Input<'_> {
    match input {
        Input::Pixels(values) => tensorflow::Input::Pixels(values),
        Input::Features(values) => tensorflow::Input::Features(values),
    }
}

fn outcome(outcome: tensorflow::Outcome) -> Outcome {
    Outcome { loss: outcome.loss, correct: outcome.correct }
}

struct Net {
    net: tensorflow::Net,
    specifications: Vec<Specification>,
    /// What the boundary asked for last. The graph gets it with the first step that needs it.
    optimizer: Option<Optimizer>,
}

/// What an optimiser's state calls the number of its steps, in both backends.
const STEP: &str = "step";

impl Net {
    fn compiled(&mut self) -> Result<(), BackendError> {
        let optimizer = self.optimizer.ok_or(BackendError::NoOptimizer)?;
        self.net.compile(converted(optimizer)).map_err(failed)
    }

    /// Gives values their shapes. An optimiser's state is named after the parameter with a suffix.
    fn shaped(&self, values: tensorflow::Values) -> Parameters {
        let mut values = values;
        let mut arrays = BTreeMap::new();
        if let Some(steps) = values.remove(STEP) {
            arrays.insert(STEP.to_owned(), Array { shape: vec![1], values: steps });
        }
        for (name, values) in values {
            let parameter = name.strip_suffix(".mean").or_else(|| name.strip_suffix(".square"));
            let parameter = parameter.unwrap_or(&name);
            let shape = self.specifications.iter().find(|s| s.name == parameter);
            let shape = shape.map_or_else(|| vec![values.len()], |s| s.shape.clone());
            arrays.insert(name, Array { shape, values });
        }
        Parameters { arrays }
    }
}

impl Network for Net {
    fn info(&self) -> BackendInfo {
        let library = self.net.library();
        BackendInfo {
            name: NAME.into(),
            version: library.version().into(),
            device: match self.net.device() {
                tensorflow::Device::Cpu => "cpu".into(),
                tensorflow::Device::Cuda => "cuda:0".into(),
            },
            threads: self.net.threads(),
            precision: Precision::Float32.to_string(),
        }
    }

    fn compile(&mut self, optimizer: Optimizer) {
        self.optimizer = Some(optimizer);
    }

    fn train_step(
        &mut self,
        pictures: Input<'_>,
        labels: &[i64],
        step: Step,
    ) -> Result<Outcome, BackendError> {
        self.compiled()?;
        let Step { rate, seed, class_weights } = step;
        let step = tensorflow::Step { rate, class_weights };
        let mask = |layer, rate, count| super::dropout_mask(count, rate, seed, layer);
        let result = self.net.train_step(input(pictures), labels, step, &mask);
        result.map(outcome).map_err(failed)
    }

    fn evaluate_step(
        &mut self,
        pictures: Input<'_>,
        labels: &[i64],
    ) -> Result<Outcome, BackendError> {
        self.net.evaluate_step(input(pictures), labels).map(outcome).map_err(failed)
    }

    fn logits(&mut self, pictures: Input<'_>, batch: usize) -> Result<Vec<f32>, BackendError> {
        self.net.logits(input(pictures), batch).map_err(failed)
    }

    fn features(&mut self, pixels: &[f32], batch: usize) -> Result<Vec<f32>, BackendError> {
        self.net.features(pixels, batch).map_err(failed)
    }

    fn gradients(
        &mut self,
        pictures: Input<'_>,
        labels: &[i64],
    ) -> Result<Parameters, BackendError> {
        let gradients = self.net.gradients(input(pictures), labels).map_err(failed)?;
        Ok(self.shaped(gradients))
    }

    fn parameters(&self) -> Result<Parameters, BackendError> {
        Ok(self.shaped(self.net.parameters().map_err(failed)?))
    }

    fn set_parameters(&mut self, weights: &Parameters) -> Result<(), BackendError> {
        check_weights(&self.specifications, weights)?;
        let value = |name: &str| weights.arrays.get(name).map(|array| array.values.as_slice());
        self.net.set(value).map_err(failed)
    }

    fn optimizer_state(&self) -> Result<Parameters, BackendError> {
        let Some(optimizer) = self.optimizer else { return Ok(Parameters::default()) };
        if self.net.optimizer() != Some(converted(optimizer)) {
            // Chosen and not used yet.
            return Ok(self.shaped(BTreeMap::from([(STEP.to_owned(), vec![0.0])])));
        }
        Ok(self.shaped(self.net.optimizer_state().map_err(failed)?))
    }

    fn set_optimizer_state(&mut self, state: &Parameters) -> Result<(), BackendError> {
        self.compiled()?;
        for specification in &self.specifications {
            for suffix in [".mean", ".square"] {
                let name = format!("{}{suffix}", specification.name);
                if state.arrays.contains_key(&name) {
                    state.get(&name, &specification.shape, "the optimiser's state")?;
                }
            }
        }
        let values = state.arrays.iter();
        let values = values.map(|(name, array)| (name.clone(), array.values.clone())).collect();
        self.net.set_optimizer_state(&values).map_err(failed)
    }

    fn synchronize(&self) {
        // A run of a session ends when the device has done everything.
    }

    fn peak_device_memory(&self) -> Option<u64> {
        // The C API for graphs does not tell.
        None
    }
}

#[cfg(test)]
mod tests;
