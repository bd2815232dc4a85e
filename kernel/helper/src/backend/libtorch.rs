//! LibTorch through `tch`. The only module of training that names its tensors.

mod layout;
mod optimizer;
mod running;
mod scaler;
mod settings;

use super::{
    Backend, BackendError, BackendInfo, Base, Compute, Input, Network, Outcome, Plan, Precision,
    Processor, Step, cuda,
};
use crate::optimizer::Optimizer;
use crate::parameters::{Array, Parameters, Part, Specification};
use crate::vgg::{Architecture, FlattenOrder, Layer, Loss};
use optimizer::State;
use running::Running;
use scaler::Scaler;
use std::collections::BTreeMap;
use tch::{Cuda, Device, Kind, Reduction, TchError, Tensor};

/// The version that `tch` is made for; its build script refuses any other, and the server checks
/// the library again before it starts a worker.
const VERSION: &str = "2.11.0";
pub(crate) const NAME: &str = "LibTorch";

/// The library.
#[derive(Clone, Copy, Debug)]
pub struct LibTorch;

/// Whether LibTorch can use a GPU here.
pub fn has_gpu() -> bool {
    Cuda::is_available()
}

impl Backend for LibTorch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.into()
    }

    fn upload(&self, values: &[f32], processor: Processor) -> Result<(), BackendError> {
        let device = device(processor)?;
        let copied = Tensor::f_from_slice(values).and_then(|t| t.f_to_device(device));
        let _resident = copied.map_err(failed("copying a batch"))?;
        synchronize(device);
        Ok(())
    }

    fn build(&self, plan: &Plan, weights: &Parameters) -> Result<Box<dyn Network>, BackendError> {
        plan.architecture.check()?;
        let device = device(plan.processor)?;
        if let Some(threads) = plan.threads {
            tch::set_num_threads(threads.try_into().unwrap_or(i32::MAX));
        }
        settings::apply(&plan.compute, device)?;
        let specifications = plan.architecture.parameters();
        let mut net = Net {
            base: plan.architecture.base(),
            head: plan.architecture.head(),
            architecture: plan.architecture.clone(),
            frozen: plan.base == Base::Frozen,
            specifications,
            tensors: BTreeMap::new(),
            running: None,
            device,
            compute: plan.compute,
            optimizer: None,
            scaler: (plan.compute.precision == Precision::Float16).then(Scaler::default),
        };
        net.set_parameters(weights)?;
        net.synchronize();
        Ok(Box::new(net))
    }
}

fn device(processor: Processor) -> Result<Device, BackendError> {
    if processor != Processor::Cpu {
        cuda::is_free_for(NAME)?;
    }
    let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
    match processor {
        Processor::Cpu => Ok(Device::Cpu),
        Processor::Auto if count == 0 => Ok(Device::Cpu),
        Processor::Auto => Ok(Device::Cuda(0)),
        Processor::Cuda(index) if index < count => Ok(Device::Cuda(index)),
        Processor::Cuda(_) => Err(BackendError::Device {
            library: NAME,
            processor,
            found: match count {
                0 if tch::utils::has_cuda() => "the library sees no CUDA GPU".into(),
                0 => "this LibTorch is a build without CUDA, or its CUDA part is not loaded".into(),
                count => format!("{count} CUDA GPUs, numbered from 0"),
            },
        }),
    }
}

fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// Makes our error of LibTorch's, whose text ends in a C++ stack trace that helps nobody here.
fn failed(operation: &'static str) -> impl Fn(TchError) -> BackendError {
    move |error| {
        let text = match error {
            TchError::Torch(text) => text,
            other => other.to_string(),
        };
        let message = text.lines().take_while(|line| !line.starts_with("Exception raised from"));
        let message = message.collect::<Vec<_>>().join(" ");
        BackendError::Library { library: NAME, operation, message }
    }
}

struct Net {
    architecture: Architecture,
    base: Vec<Layer>,
    head: Vec<Layer>,
    frozen: bool,
    specifications: Vec<Specification>,
    tensors: BTreeMap<String, Tensor>,
    /// Of batch normalisation, where training changes them.
    running: Option<Running>,
    device: Device,
    compute: Compute,
    optimizer: Option<(Optimizer, State)>,
    /// Of the loss, where numbers are so short that gradients could vanish.
    scaler: Option<Scaler>,
}

/// How a pass through the layers treats dropout and batch normalisation.
#[derive(Clone, Copy)]
enum Mode {
    Training {
        seed: u64,
    },
    /// As in training but nothing is dropped: for gradients that can be compared.
    WithoutDropout,
    Inference,
}

impl Net {
    fn learns(&self, specification: &Specification) -> bool {
        specification.learned && !(self.frozen && specification.part == Part::Base)
    }

    fn tensor(&self, name: &str, suffix: &str) -> &Tensor {
        // Every layer's parameters were set when the net was built.
        &self.tensors[&format!("{name}.{suffix}")]
    }

    /// A batch on the device with its shape. On the CPU it is the given values themselves, without a
    /// copy, so neither it nor what a later backward pass keeps of it may outlive them.
    fn input(&self, input: Input<'_>, batch: usize) -> Result<Tensor, BackendError> {
        let (values, what, [channels, height, width]) = match input {
            Input::Pixels(values) => {
                (values, "pixels", [3, self.architecture.size, self.architecture.size])
            }
            Input::Features(values) => (values, "features", self.architecture.features()),
        };
        let expected = batch * channels * height * width;
        if values.len() != expected {
            let what = format!("{what} [{batch}, {channels}, {height}, {width}]");
            return Err(BackendError::BatchLength { what, expected, found: values.len() });
        }
        let shape = [batch as i64, channels as i64, height as i64, width as i64];
        let strides =
            [(channels * height * width) as i64, (height * width) as i64, width as i64, 1];
        let copied = || {
            // SAFETY: the memory holds as many contiguous floats as the shape says. No layer writes to its
            // input but ReLU, which never comes first. Every method that calls this lets go of the
            // tensor, and of the graph that holds it, before it gives the borrowed values back.
            let mut batch = unsafe {
                let start = values.as_ptr().cast();
                Tensor::f_from_blob(start, &shape, &strides, Kind::Float, Device::Cpu)?
            };
            if self.compute.channels_last {
                batch = layout::channels_last(&batch)?;
            }
            if self.compute.pinned_memory {
                batch = batch.f_pin_memory(self.device)?;
            }
            let asynchronous = self.compute.asynchronous_copies;
            batch.f_to_device_(self.device, Kind::Float, asynchronous, false)
        };
        copied().map_err(failed("copying a batch"))
    }

    /// The type of the numbers in convolutions and dense layers.
    fn kind(&self) -> Kind {
        match self.compute.precision {
            Precision::Float32 => Kind::Float,
            Precision::BFloat16 => Kind::BFloat16,
            Precision::Float16 => Kind::Half,
        }
    }

    /// What PyTorch's autocast does before a convolution or a dense layer; nothing for 32-bit floats.
    fn cast(&self, tensor: &Tensor) -> Result<Tensor, TchError> {
        let kind = self.kind();
        if kind == Kind::Float { Ok(tensor.shallow_clone()) } else { tensor.f_to_kind(kind) }
    }

    fn forward(&self, layers: &[Layer], input: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let mut x = input.shallow_clone();
        for (index, layer) in layers.iter().enumerate() {
            x = match layer {
                Layer::Conv { name, .. } => {
                    let weight = self.cast(self.tensor(name, "weight"))?;
                    let bias = self.cast(self.tensor(name, "bias"))?;
                    self.cast(&x)?.f_conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1)?
                }
                Layer::BatchNorm { name, .. } => {
                    // Gradients that are only looked at leave the running statistics alone.
                    let running = |which| match mode {
                        Mode::WithoutDropout => None,
                        Mode::Training { .. } | Mode::Inference => Some(self.tensor(name, which)),
                    };
                    x.f_batch_norm(
                        Some(self.tensor(name, "weight")),
                        Some(self.tensor(name, "bias")),
                        running("running_mean"),
                        running("running_var"),
                        !matches!(mode, Mode::Inference),
                        0.1,
                        1e-5,
                        true,
                    )?
                }
                Layer::Relu => x.f_relu_()?,
                Layer::MaxPool => x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?,
                Layer::AveragePool { side } => x.f_adaptive_avg_pool2d([*side as i64; 2])?,
                Layer::Flatten(order) => {
                    let ordered = match order {
                        FlattenOrder::HeightWidthChannel => x.f_permute([0, 2, 3, 1])?,
                        FlattenOrder::ChannelHeightWidth => x,
                    };
                    ordered.f_flatten(1, -1)?
                }
                Layer::Dropout { rate } => match mode {
                    Mode::Training { seed } if *rate > 0.0 => {
                        let mask = super::dropout_mask(x.numel(), *rate, seed, index);
                        let mask = Tensor::f_from_slice(&mask)?.f_to_device(self.device)?;
                        x.f_mul(&mask.f_view_(x.size())?.f_to_kind(x.kind())?)?
                    }
                    Mode::Training { .. } | Mode::WithoutDropout | Mode::Inference => x,
                },
                Layer::Dense { name, .. } => {
                    let weight = self.cast(self.tensor(name, "weight"))?;
                    let bias = self.cast(self.tensor(name, "bias"))?;
                    self.cast(&x)?.f_linear(&weight, Some(&bias))?
                }
            };
        }
        Ok(x)
    }

    /// Logits, `[batch, 1]` or `[batch, 2]`, as 32-bit floats. A frozen base always runs in inference
    /// mode.
    fn outputs(&self, input: Input<'_>, batch: usize, mode: Mode) -> Result<Tensor, BackendError> {
        let x = self.input(input, batch)?;
        let features = match input {
            Input::Features(_) => x,
            Input::Pixels(_) if self.frozen => {
                let _guard = tch::no_grad_guard();
                self.forward(&self.base, &x, Mode::Inference).map_err(failed("the convolutions"))?
            }
            Input::Pixels(_) => {
                self.forward(&self.base, &x, mode).map_err(failed("the convolutions"))?
            }
        };
        self.forward(&self.head, &features, mode)
            // As autocast does before a loss.
            .and_then(|logits| logits.f_to_kind(Kind::Float))
            .map_err(failed("the head"))
    }

    /// Mean loss, and the loss and the number of correct pictures as a tensor of two values.
    fn loss(
        &self,
        logits: &Tensor,
        labels: &[i64],
        class_weights: Option<[f32; 2]>,
    ) -> Result<(Tensor, Tensor), TchError> {
        let labels = Tensor::f_from_slice(labels)?.f_to_device(self.device)?;
        let class_weights = class_weights
            .map(|factors| Tensor::f_from_slice(&factors)?.f_to_device(self.device))
            .transpose()?;
        let (loss, predicted) = match self.architecture.loss() {
            Loss::BinaryCrossEntropy => {
                let logits = logits.f_squeeze_dim(1)?;
                let target = labels.f_to_kind(Kind::Float)?;
                // A factor for each picture, of which the mean is taken over the pictures: Keras' way.
                let factors =
                    class_weights.map(|factors| factors.f_index_select(0, &labels)).transpose()?;
                let loss = logits.f_binary_cross_entropy_with_logits(
                    &target,
                    factors.as_ref(),
                    None::<&Tensor>,
                    Reduction::Mean,
                )?;
                (loss, logits.f_gt(0.0)?.f_to_kind(Kind::Int64)?)
            }
            Loss::CrossEntropy => {
                let loss = logits.f_cross_entropy_loss(
                    &labels,
                    class_weights.as_ref(),
                    Reduction::Mean,
                    -100,
                    0.0,
                )?;
                (loss, logits.f_argmax(1, false)?)
            }
        };
        let correct = predicted.f_eq_tensor(&labels)?.f_sum(Kind::Float)?;
        let both = Tensor::f_stack(&[&loss.f_detach()?, &correct], 0)?;
        Ok((loss, both))
    }

    fn learned(&self) -> Vec<&str> {
        self.specifications.iter().filter(|s| self.learns(s)).map(|s| s.name.as_str()).collect()
    }

    /// Gradients of `loss` with respect to [`Net::learned`], in that order.
    fn backward(&self, loss: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let learned: Vec<&Tensor> =
            self.learned().into_iter().map(|name| &self.tensors[name]).collect();
        Tensor::f_run_backward(&[loss], &learned, false, false)
    }
}

/// Reads the two values of [`Net::loss`]; the one place of a step where the device is waited for.
fn outcome(both: &Tensor) -> Result<Outcome, BackendError> {
    let mut values = [0.0_f32; 2];
    both.f_to_device(Device::Cpu)
        .and_then(|both| both.f_copy_data(&mut values, 2))
        .map_err(failed("reading the loss"))?;
    Ok(Outcome { loss: f64::from(values[0]), correct: values[1] as usize })
}

fn read(tensor: &Tensor) -> Result<Array, TchError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut values = vec![0.0_f32; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(Array { shape: tensor.size().iter().map(|length| *length as usize).collect(), values })
}

/// A tensor of its own on the device.
fn write(array: &Array, device: Device) -> Result<Tensor, TchError> {
    let shape: Vec<i64> = array.shape.iter().map(|length| *length as i64).collect();
    Tensor::f_from_slice(&array.values)?.f_view_(shape)?.f_to_device(device)
}

impl Network for Net {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: NAME.into(),
            version: VERSION.into(),
            device: match self.device {
                Device::Cuda(index) => format!("cuda:{index}"),
                _ => "cpu".into(),
            },
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
            precision: self.compute.precision.to_string(),
        }
    }

    fn compile(&mut self, optimizer: Optimizer) {
        if self.optimizer.as_ref().is_none_or(|(present, _)| *present != optimizer) {
            self.optimizer = Some((optimizer, State::default()));
        }
    }

    fn train_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
        step: Step,
    ) -> Result<Outcome, BackendError> {
        if self.optimizer.is_none() {
            return Err(BackendError::NoOptimizer);
        }
        if let Some(running) = &mut self.running {
            running.keep().map_err(failed("keeping the running statistics"))?;
        }
        let logits = self.outputs(input, labels.len(), Mode::Training { seed: step.seed })?;
        let (loss, both) =
            self.loss(&logits, labels, step.class_weights).map_err(failed("the loss"))?;
        drop(logits);
        let scaled = match &self.scaler {
            None => Ok(loss),
            Some(scaler) => scaler.scale(&loss),
        };
        let gradients =
            scaled.and_then(|loss| self.backward(&loss)).map_err(failed("the backward pass"))?;
        let outcome = outcome(&both)?;
        if !outcome.loss.is_finite() {
            if let Some(running) = &mut self.running {
                running.restore().map_err(failed("restoring the running statistics"))?;
            }
            return Ok(outcome);
        }
        if let Some(scaler) = &mut self.scaler
            && !scaler.unscale(&gradients).map_err(failed("unscaling the gradients"))?
        {
            // As PyTorch's GradScaler: the step is left out and the next one is scaled less.
            return Ok(outcome);
        }
        let names: Vec<String> = self.learned().into_iter().map(Into::into).collect();
        if let Some((optimizer, state)) = self.optimizer.as_mut() {
            let tensors = &self.tensors;
            let pairs = names
                .iter()
                .zip(&gradients)
                .map(|(name, gradient)| (name.as_str(), tensors[name].shallow_clone(), gradient));
            state.update(optimizer, step.rate, pairs).map_err(failed("changing the weights"))?;
        }
        Ok(outcome)
    }

    fn evaluate_step(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Outcome, BackendError> {
        let _guard = tch::no_grad_guard();
        let logits = self.outputs(input, labels.len(), Mode::Inference)?;
        let (_, both) = self.loss(&logits, labels, None).map_err(failed("the loss"))?;
        outcome(&both)
    }

    fn logits(&mut self, input: Input<'_>, batch: usize) -> Result<Vec<f32>, BackendError> {
        let _guard = tch::no_grad_guard();
        let logits = self.outputs(input, batch, Mode::Inference)?;
        read(&logits).map(|array| array.values).map_err(failed("reading the logits"))
    }

    fn features(&mut self, pixels: &[f32], batch: usize) -> Result<Vec<f32>, BackendError> {
        let _guard = tch::no_grad_guard();
        let x = self.input(Input::Pixels(pixels), batch)?;
        let features = self.forward(&self.base, &x, Mode::Inference);
        features
            .and_then(|f| read(&f.f_to_kind(Kind::Float)?))
            .map(|array| array.values)
            .map_err(failed("the convolutions"))
    }

    fn gradients(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Parameters, BackendError> {
        let logits = self.outputs(input, labels.len(), Mode::WithoutDropout)?;
        let (loss, _) = self.loss(&logits, labels, None).map_err(failed("the loss"))?;
        let gradients = self.backward(&loss).map_err(failed("the backward pass"))?;
        let mut arrays = BTreeMap::new();
        for (name, gradient) in self.learned().into_iter().zip(&gradients) {
            arrays
                .insert(name.to_owned(), read(gradient).map_err(failed("reading the gradients"))?);
        }
        Ok(Parameters { arrays })
    }

    fn parameters(&self) -> Result<Parameters, BackendError> {
        let mut arrays = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            arrays.insert(name.clone(), read(tensor).map_err(failed("reading the weights"))?);
        }
        Ok(Parameters { arrays })
    }

    fn not_finite(&self) -> Result<Option<String>, BackendError> {
        let _guard = tch::no_grad_guard();
        let is_finite = |tensor: &Tensor| -> Result<bool, tch::TchError> {
            // A sum with NaN or an infinity in it is none itself, and takes no memory.
            let sum = f64::try_from(tensor.f_sum(Kind::Float)?)?;
            Ok(sum.is_finite() || bool::try_from(tensor.f_isfinite()?.f_all()?)?)
        };
        for (name, tensor) in &self.tensors {
            if !is_finite(tensor).map_err(failed("looking at the weights"))? {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn set_parameters(&mut self, weights: &Parameters) -> Result<(), BackendError> {
        let mut tensors = BTreeMap::new();
        for specification in &self.specifications {
            let array =
                weights.get(&specification.name, &specification.shape, "the given weights")?;
            let learns = self.learns(specification);
            let copied = || {
                let mut tensor = write(array, self.device)?;
                if self.compute.channels_last && array.shape.len() == 4 {
                    tensor = layout::channels_last(&tensor)?;
                }
                tensor.f_set_requires_grad(learns)
            };
            let tensor = copied().map_err(failed("copying the weights"))?;
            tensors.insert(specification.name.clone(), tensor);
        }
        if !self.frozen {
            let fixed = self.specifications.iter().filter(|s| !s.learned);
            let fixed: Vec<&str> = fixed.map(|s| s.name.as_str()).collect();
            let running = Running::gather(&mut tensors, &fixed);
            self.running = running.map_err(failed("copying the running statistics"))?;
        }
        self.tensors = tensors;
        Ok(())
    }

    fn optimizer_state(&self) -> Result<Parameters, BackendError> {
        let mut parameters = match &self.optimizer {
            None => return Ok(Parameters::default()),
            Some((_, state)) => state.read().map_err(failed("reading the optimiser's state"))?,
        };
        if let Some(scaler) = &self.scaler {
            parameters.arrays.insert(scaler::NAME.into(), scaler.read());
        }
        Ok(parameters)
    }

    fn set_optimizer_state(&mut self, state: &Parameters) -> Result<(), BackendError> {
        let device = self.device;
        match self.optimizer.as_mut() {
            None => Err(BackendError::NoOptimizer),
            Some((_, present)) => {
                for specification in &self.specifications {
                    for suffix in optimizer::SUFFIXES {
                        let name = format!("{}{suffix}", specification.name);
                        if state.arrays.contains_key(&name) {
                            state.get(&name, &specification.shape, "the optimiser's state")?;
                        }
                    }
                }
                *present = State::from_parameters(state, device)
                    .map_err(failed("copying the optimiser's state"))?;
                if let (Some(scaler), Some(array)) =
                    (&mut self.scaler, state.arrays.get(scaler::NAME))
                {
                    *scaler = Scaler::from_array(array);
                }
                Ok(())
            }
        }
    }

    fn synchronize(&self) {
        synchronize(self.device);
    }

    fn peak_device_memory(&self) -> Option<u64> {
        // `tch` does not pass on the statistics of LibTorch's caching allocator.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::Library;
    use super::*;
    use crate::vgg::{Depth, Head};

    fn architecture(head: Head, batch_norm: bool) -> Architecture {
        Architecture { depth: Depth::Vgg11, head, batch_norm, size: 32, dropout: 0.5 }
    }

    fn build(architecture: &Architecture, base: Base, seed: u64) -> Box<dyn Network> {
        build_for(architecture, base, seed, Compute::default())
    }

    fn build_for(
        architecture: &Architecture,
        base: Base,
        seed: u64,
        compute: Compute,
    ) -> Box<dyn Network> {
        let plan = Plan {
            architecture: architecture.clone(),
            base,
            processor: Processor::Cpu,
            threads: Some(2),
            compute,
        };
        let weights = Parameters::initial(&architecture.parameters(), seed);
        Library::LibTorch.backend().build(&plan, &weights).unwrap()
    }

    fn pictures(count: usize) -> (Vec<f32>, Vec<i64>) {
        // Dark pictures with a bright left half are class 1: something that can be learned.
        let labels: Vec<i64> = (0..count as i64).map(|index| index % 2).collect();
        let pixels = labels.iter().enumerate().flat_map(|(index, label)| {
            (0..3 * 32 * 32).map(move |at| {
                let noise = ((index * 7919 + at * 104_729) % 97) as f32 / 970.0;
                if at % 32 < 16 && *label == 1 { 0.9 - noise } else { noise }
            })
        });
        (pixels.collect(), labels)
    }

    #[test]
    fn loss_stays_finite_and_falls_with_every_optimiser() {
        use crate::optimizer::Convention::{Keras, PyTorch};
        let (pixels, labels) = pictures(8);
        for (optimizer, rate) in [
            (Optimizer::momentum(0.9), 0.005),
            (Optimizer::adam(PyTorch), 1e-4),
            (Optimizer::adam(Keras), 1e-4),
            (Optimizer::rmsprop(PyTorch), 1e-5),
            (Optimizer::rmsprop(Keras), 1e-5),
        ] {
            let mut net = build(&architecture(Head::Keras, false), Base::Trainable, 1);
            net.compile(optimizer);
            let first = net.evaluate_step(Input::Pixels(&pixels), &labels).unwrap().loss;
            for seed in 0..6 {
                let step = Step::new(rate, seed);
                assert!(
                    net.train_step(Input::Pixels(&pixels), &labels, step).unwrap().loss.is_finite()
                );
            }
            let last = net.evaluate_step(Input::Pixels(&pixels), &labels).unwrap().loss;
            assert!(last < first, "{optimizer}: {first} to {last}");
        }
    }

    #[test]
    fn a_frozen_base_keeps_its_weights_and_its_features_stand_for_the_pixels() {
        let (pixels, labels) = pictures(4);
        for head in [Head::Keras, Head::PyTorch] {
            let mut net = build(&architecture(head, true), Base::Frozen, 2);
            net.compile(Optimizer::default());
            let before = net.parameters().unwrap();
            let features = net.features(&pixels, 4).unwrap();
            let direct = net.evaluate_step(Input::Pixels(&pixels), &labels).unwrap();
            let cached = net.evaluate_step(Input::Features(&features), &labels).unwrap();
            assert_eq!(direct, cached);
            net.train_step(Input::Pixels(&pixels), &labels, Step::new(1e-3, 0)).unwrap();
            let after = net.parameters().unwrap();
            for (name, array) in &before.arrays {
                let unchanged = *array == after.arrays[name];
                assert_eq!(unchanged, name.starts_with("features"), "{name}");
            }
        }
    }

    #[test]
    fn the_keras_head_flattens_rows_columns_channels() {
        // With a dense_1 that picks input (row · width + column) · 512 + channel, the logit is that
        // feature: computed by hand from the features in [channel, row, column] order.
        let net_64 = Architecture { size: 64, ..architecture(Head::Keras, false) };
        let (row, column, channel) = (1, 0, 37);
        let mut weights = Parameters::initial(&net_64.parameters(), 5);
        for name in ["dense_1.weight", "dense_2.weight", "dense_3.weight"] {
            let array = weights.arrays.get_mut(name).unwrap();
            array.values.fill(0.0);
            array.values
                [if name == "dense_1.weight" { (row * 2 + column) * 512 + channel } else { 0 }] =
                1.0;
        }
        let plan = Plan {
            architecture: net_64,
            base: Base::Frozen,
            processor: Processor::Cpu,
            threads: None,
            compute: Compute::default(),
        };
        let mut net = LibTorch.build(&plan, &weights).unwrap();
        let mut features = vec![0.0; 512 * 2 * 2];
        features[(channel * 2 + row) * 2 + column] = 1.5;
        let probability = net.predict(Input::Features(&features), 1).unwrap()[0];
        // 1 / (1 + exp(-1.5)) = 0.817574
        assert!((probability - 0.817_574).abs() < 1e-5, "{probability}");
    }

    #[test]
    fn a_loss_that_is_no_number_leaves_the_weights_alone() {
        let (pixels, labels) = pictures(2);
        let step = Step::new(1e-3, 0);
        for batch_norm in [false, true] {
            let mut net = build(&architecture(Head::PyTorch, batch_norm), Base::Trainable, 1);
            net.compile(Optimizer::default());
            net.train_step(Input::Pixels(&pixels), &labels, step).unwrap();
            let before = net.parameters().unwrap();
            let broken = vec![f32::NAN; pixels.len()];
            assert!(net.train_step(Input::Pixels(&broken), &labels, step).unwrap().loss.is_nan());
            assert_eq!(net.parameters().unwrap(), before);
        }
    }

    #[test]
    fn training_goes_on_identically_from_weights_and_optimiser_state() {
        let (pixels, labels) = pictures(4);
        let architecture = architecture(Head::Keras, true);
        let step = |net: &mut Box<dyn Network>, seed| {
            net.train_step(Input::Pixels(&pixels), &labels, Step::new(1e-4, seed)).unwrap().loss
        };
        let mut through = build(&architecture, Base::Trainable, 1);
        through.compile(Optimizer::default());
        step(&mut through, 0);
        let (weights, state) = (through.parameters().unwrap(), through.optimizer_state().unwrap());
        let uninterrupted = [step(&mut through, 1), step(&mut through, 2)];

        let mut resumed = build(&architecture, Base::Trainable, 99);
        resumed.compile(Optimizer::default());
        resumed.set_parameters(&weights).unwrap();
        resumed.set_optimizer_state(&state).unwrap();
        assert_eq!([step(&mut resumed, 1), step(&mut resumed, 2)], uninterrupted);
    }

    #[test]
    fn channels_last_computes_the_same_and_its_state_goes_into_files_in_the_usual_order() {
        let (pixels, labels) = pictures(4);
        let input = Input::Pixels(&pixels);
        let architecture = architecture(Head::PyTorch, false);
        let mut usual = build(&architecture, Base::Trainable, 3);
        let other = Compute { channels_last: true, ..Compute::default() };
        let mut last = build_for(&architecture, Base::Trainable, 3, other);
        assert_eq!(usual.parameters().unwrap(), last.parameters().unwrap());
        for net in [&mut usual, &mut last] {
            net.compile(Optimizer::default());
            net.train_step(input, &labels, Step::new(1e-4, 0)).unwrap();
        }
        let close = |a: &Parameters, b: &Parameters, tolerance: f32| {
            assert_eq!(a.arrays.len(), b.arrays.len());
            for (name, array) in &a.arrays {
                let other = &b.arrays[name];
                assert_eq!(array.shape, other.shape, "{name}");
                let largest = array.values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                let apart = array.values.iter().zip(&other.values).map(|(x, y)| (x - y).abs());
                let apart = apart.fold(0.0_f32, f32::max);
                assert!(apart <= tolerance * largest, "{name}: {apart} of {largest}");
            }
        };
        // Summed in another order, the gradients differ by rounding alone.
        let gradients = |net: &mut Box<dyn Network>| net.gradients(input, &labels).unwrap();
        let (weights, state) = (usual.parameters().unwrap(), usual.optimizer_state().unwrap());
        close(&state, &last.optimizer_state().unwrap(), 1e-2);
        last.set_parameters(&weights).unwrap();
        last.set_optimizer_state(&state).unwrap();
        close(&gradients(&mut usual), &gradients(&mut last), 1e-3);
        assert_eq!(last.optimizer_state().unwrap(), state);
        let next = |net: &mut Box<dyn Network>| {
            net.train_step(input, &labels, Step::new(1e-4, 1)).unwrap();
            net.evaluate_step(input, &labels).unwrap().loss
        };
        let (a, b) = (next(&mut usual), next(&mut last));
        assert!((a - b).abs() < 1e-3 * a, "{a} {b}");
    }

    #[test]
    fn autocast_keeps_32_bit_weights_and_stays_near_32_bit_results() {
        let (pixels, labels) = pictures(4);
        let input = Input::Pixels(&pixels);
        for (precision, name) in
            [(Precision::BFloat16, "bfloat16 autocast"), (Precision::Float16, "float16 autocast")]
        {
            let architecture = architecture(Head::Keras, false);
            let compute = Compute { precision, ..Compute::default() };
            let mut short = build_for(&architecture, Base::Trainable, 1, compute);
            assert_eq!(short.info().precision, name);
            let mut long = build(&architecture, Base::Trainable, 1);
            let exact = long.evaluate_step(input, &labels).unwrap().loss;
            let near = short.evaluate_step(input, &labels).unwrap().loss;
            // bfloat16 keeps 8 bits, so a value is off by up to 1/256; over eight layers, a few %.
            assert!(near != exact && (near - exact).abs() < 0.05 * exact, "{near} {exact}");
            short.compile(Optimizer::default());
            for seed in 0..2 {
                short.train_step(input, &labels, Step::new(1e-4, seed)).unwrap();
            }
            assert!(short.evaluate_step(input, &labels).unwrap().loss < near);
            let scaled = short.optimizer_state().unwrap().arrays.contains_key(scaler::NAME);
            assert_eq!(scaled, precision == Precision::Float16);
        }
    }

    #[test]
    fn class_weights_are_averaged_as_the_heads_library_does() {
        let (pixels, labels) = pictures(4);
        let input = Input::Pixels(&pixels);
        for (head, expected) in [
            // Labels 0, 1, 0, 1 with factors 1 and 3. Each picture's loss l is measured alone.
            (
                Head::Keras,
                (|l: &[f64]| (l[0] + 3.0 * l[1] + l[2] + 3.0 * l[3]) / 4.0) as fn(&[f64]) -> f64,
            ),
            (Head::PyTorch, |l: &[f64]| (l[0] + 3.0 * l[1] + l[2] + 3.0 * l[3]) / 8.0),
        ] {
            let architecture = Architecture { dropout: 0.0, ..architecture(head, false) };
            let mut net = build(&architecture, Base::Trainable, 1);
            net.compile(Optimizer::sgd());
            let one = 3 * 32 * 32;
            let alone: Vec<f64> = (0..4)
                .map(|at| {
                    let picture = Input::Pixels(&pixels[at * one..(at + 1) * one]);
                    net.evaluate_step(picture, &labels[at..=at]).unwrap().loss
                })
                .collect();
            let step = Step { class_weights: Some([1.0, 3.0]), ..Step::new(0.0, 0) };
            let weighted = net.train_step(input, &labels, step).unwrap().loss;
            assert!((weighted - expected(&alone)).abs() < 1e-5, "{head}: {weighted} {alone:?}");
        }
    }

    #[test]
    fn what_a_cpu_does_not_have_is_refused_by_name() {
        for compute in [
            Compute { pinned_memory: true, ..Compute::default() },
            Compute { asynchronous_copies: true, ..Compute::default() },
        ] {
            let architecture = architecture(Head::Keras, false);
            let plan = Plan {
                architecture: architecture.clone(),
                base: Base::Trainable,
                processor: Processor::Cpu,
                threads: None,
                compute,
            };
            let weights = Parameters::initial(&architecture.parameters(), 1);
            let refused = LibTorch.build(&plan, &weights).map(|_| ()).unwrap_err().to_string();
            assert!(refused.contains("to be false") && refused.contains("CPU"), "{refused}");
        }
    }

    #[test]
    fn a_batch_of_another_size_is_named_with_its_shape() {
        let mut net = build(&architecture(Head::Keras, false), Base::Trainable, 1);
        let wrong = net.evaluate_step(Input::Pixels(&[0.0; 10]), &[0, 1]).unwrap_err();
        assert!(wrong.to_string().contains("pixels [2, 3, 32, 32]"), "{wrong}");
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_that_says_so() {
        if Cuda::device_count() > 0 {
            println!("SKIPPED: this machine has a CUDA GPU");
            return;
        }
        let wrong = LibTorch.upload(&[0.0], Processor::Cuda(0)).unwrap_err();
        assert!(wrong.to_string().contains("without CUDA"), "{wrong}");
    }
}
