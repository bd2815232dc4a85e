//! A model on a device.

use crate::code::Code;
use crate::forward::batched;
use crate::optimizer::State;
use crate::running::Running;
use crate::scaler::Scaler;
use crate::{NAME, VERSION, failed, layout, optimizer, ranks, scaler, shim, synchronize};
use benchbook_backend::{
    Array, BackendError, BackendInfo, Input, Network, Optimizer, Parameters, Plan, Precision, Rank,
    Step, StepResult, class_numbers, dropout_mask,
};
use benchbook_nets::{Layer, Loss, Net, Operation, Source};
use benchbook_ranks::Ranks;
use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Range;
use tch::{Device, Kind, Reduction, TchError, Tensor};

pub(crate) struct Model {
    pub(crate) plan: Plan,
    pub(crate) device: Device,
    /// For each layer, the last layer that uses its output and the number of such layers.
    pub(crate) last_use: Vec<usize>,
    pub(crate) uses: Vec<usize>,
    /// Each dropout layer's position among the dropout layers, by its index among all layers.
    pub(crate) dropouts: BTreeMap<usize, usize>,
    /// The forward pass of a net in the user's code.
    pub(crate) code: Option<Code>,
    tensors: BTreeMap<String, Tensor>,
    /// Running statistics of batch normalisation that training changes.
    running: Option<Running>,
    optimizer: Option<(Optimizer, State)>,
    /// Scales the loss with 16-bit floats, whose small gradients could vanish.
    scaler: Option<Scaler>,
    /// The processes that train the net together.
    pub(crate) ranks: Option<&'static Ranks>,
    /// Whether a step's loss is read after the update's launch, so that a GPU does not wait in between.
    pub(crate) defers: bool,
}

/// Factors of dropout layers, by their index among all layers.
pub(crate) type Masks = BTreeMap<usize, Tensor>;

/// How a pass through the layers treats dropout and batch normalisation.
#[derive(Clone, Copy)]
pub(crate) enum Mode<'a> {
    Training {
        seed: u64,
        masks: &'a Masks,
    },
    /// Training without dropout, for gradients that can be compared.
    WithoutDropout,
    Inference,
}

/// The inputs of a loss other than logits, on the device.
struct Targets {
    labels: Tensor,
    class_weights: Option<Tensor>,
    /// The divisor of the sum of the examples' losses, if other ranks have the rest of the batch.
    divisor: Option<f64>,
}

/// Results of a training step before the update.
pub(crate) struct Computed {
    pub(crate) loss: Tensor,
    pub(crate) logits: Tensor,
    /// In the order of [`Model::learned`]; empty without learning.
    pub(crate) gradients: Vec<Tensor>,
}

impl Drop for Model {
    fn drop(&mut self) {
        if self.device.is_cuda() {
            self.tensors.clear();
            self.optimizer = None;
            self.running = None;
            self.code = None;
            // After a failure the memory stays with the process, as it would have without the call.
            let _ = shim::empty_cache();
        }
    }
}

impl Model {
    pub(crate) fn new(
        plan: &Plan,
        device: Device,
        weights: &Parameters,
    ) -> Result<Self, BackendError> {
        Self::assemble(plan, device, weights, None)
    }

    pub(crate) fn with_code(
        plan: &Plan,
        device: Device,
        weights: &Parameters,
        code: Code,
    ) -> Result<Self, BackendError> {
        Self::assemble(plan, device, weights, Some(code))
    }

    fn assemble(
        plan: &Plan,
        device: Device,
        weights: &Parameters,
        code: Option<Code>,
    ) -> Result<Self, BackendError> {
        let layers = plan.net.layers();
        let (mut last_use, mut uses) = (vec![0; layers.len()], vec![0; layers.len()]);
        for (index, layer) in layers.iter().enumerate() {
            for source in &layer.inputs {
                if let Source::Layer(at) = *source {
                    last_use[at] = index;
                    uses[at] += 1;
                }
            }
        }
        let ordinals = plan.net.dropouts().enumerate();
        let mut model = Self {
            dropouts: ordinals.map(|(ordinal, index)| (index, ordinal)).collect(),
            last_use,
            uses,
            code,
            tensors: BTreeMap::new(),
            running: None,
            device,
            optimizer: None,
            ranks: ranks::of(plan, device)?,
            scaler: (plan.compute.precision == Precision::Float16).then(Scaler::default),
            defers: device.is_cuda(),
            plan: plan.clone(),
        };
        if let Device::Cuda(gpu) = device {
            shim::reset_peak(gpu).map_err(failed("reading the GPU's memory use"))?;
        }
        model.set_parameters(weights)?;
        model.synchronize()?;
        Ok(model)
    }

    fn net(&self) -> &Net {
        &self.plan.net
    }

    pub(crate) fn tensor(&self, layer: &Layer, suffix: &str) -> &Tensor {
        // Every layer's parameters were set when the model was built.
        &self.tensors[&format!("{}.{suffix}", layer.name)]
    }

    /// This process's share of a batch on the device. On the CPU it borrows the given values without a
    /// copy, so neither the tensor nor a backward pass that keeps it may outlive them.
    fn input(&self, input: Input<'_>, batch: usize) -> Result<Tensor, BackendError> {
        let own = self.share(batch).len();
        if let Input::Held(held) = input {
            let held = held.downcast_ref::<Tensor>();
            let held = held
                .filter(|x| x.device() == self.device && x.size().first() == Some(&(own as i64)));
            return held.map(Tensor::shallow_clone).ok_or(BackendError::NotHeld);
        }
        let (values, shape) = input.checked(self.net(), own)?;
        let axes = batched(own, shape);
        let lengths = axes.iter().skip(1).rev().scan(1, |stride, length| {
            let this = *stride;
            *stride *= length;
            Some(this)
        });
        let mut strides: Vec<i64> = lengths.collect();
        strides.push(shape.len() as i64);
        strides.reverse();
        let compute = &self.plan.compute;
        let copied = || {
            // SAFETY: the memory holds as many contiguous floats as the shape says. No layer writes to the net's
            // input (`is_in_place`). Every method that calls this drops the tensor, and the graph that holds
            // it, before the borrow of the values ends.
            let mut batch = unsafe {
                let start = values.as_ptr().cast();
                Tensor::f_from_blob(start, &axes, &strides, Kind::Float, Device::Cpu)?
            };
            if compute.pinned_memory {
                batch = batch.f_pin_memory(self.device)?;
            }
            batch =
                batch.f_to_device_(self.device, self.kind(), compute.asynchronous_copies, false)?;
            // On the device, which reorders faster than the CPU.
            if compute.channels_last && axes.len() == 4 {
                batch = layout::channels_last(&batch)?;
            }
            Ok(batch)
        };
        copied().map_err(failed("copying a batch"))
    }

    /// The type of weights, losses and everything that autocast does not convert.
    pub(crate) fn kind(&self) -> Kind {
        match self.plan.compute.precision {
            Precision::Float64 => Kind::Double,
            Precision::Float32 | Precision::BFloat16 | Precision::Float16 => Kind::Float,
        }
    }

    /// Converts the input of a convolution or dense layer as PyTorch's autocast does.
    pub(crate) fn cast(&self, tensor: &Tensor) -> Result<Tensor, TchError> {
        let kind = match self.plan.compute.precision {
            Precision::Float32 | Precision::Float64 => return Ok(tensor.shallow_clone()),
            Precision::BFloat16 => Kind::BFloat16,
            Precision::Float16 => Kind::Half,
        };
        tensor.f_to_kind(kind)
    }

    /// Logits of this process's share of a batch, `[share, outputs]`. A frozen base always runs in inference mode.
    fn outputs(
        &self,
        input: Input<'_>,
        batch: usize,
        mode: Mode<'_>,
    ) -> Result<Tensor, BackendError> {
        let x = self.input(input, batch)?;
        let (base, end) = (self.net().base(), self.net().layers().len());
        let logits = match input {
            Input::Features(_) if !self.plan.frozen && !matches!(mode, Mode::Inference) => {
                return Err(BackendError::TrainableBase);
            }
            Input::Features(_) => self.forward(base..end, &x, mode),
            Input::Values(_) | Input::Held(_) if self.plan.frozen && base > 0 => {
                let features = {
                    let _guard = tch::no_grad_guard();
                    self.forward(0..base, &x, Mode::Inference)
                };
                features.and_then(|features| self.forward(base..end, &features, mode))
            }
            Input::Values(_) | Input::Held(_) => self.forward(0..end, &x, mode),
        };
        // Autocast computes losses in 32 bits.
        logits.and_then(|logits| logits.f_to_kind(self.kind())).map_err(failed("the forward pass"))
    }

    /// Copies the share's labels and class weights to the device. Called before the forward pass,
    /// since a later copy would wait for it.
    fn targets(
        &self,
        labels: &[i64],
        class_weights: Option<&[f32]>,
    ) -> Result<Targets, BackendError> {
        // The mean over the whole batch, as `Step::class_weights` says.
        let divisor = self.ranks.map(|_| match (self.net().loss(), class_weights) {
            (Loss::CrossEntropy, Some(factors)) => {
                // `class_numbers` has checked the labels.
                labels.iter().map(|label| f64::from(factors[*label as usize])).sum()
            }
            _ => labels.len() as f64,
        });
        let labels = &labels[self.share(labels.len())];
        let copied = || {
            let factors = |factors| {
                Tensor::f_from_slice(factors)?.f_to_device(self.device)?.f_to_kind(self.kind())
            };
            Ok(Targets {
                labels: Tensor::f_from_slice(labels)?.f_to_device(self.device)?,
                class_weights: class_weights.map(factors).transpose()?,
                divisor,
            })
        };
        copied().map_err(failed("copying the labels"))
    }

    /// The factors of a step's dropout layers for this process's share of the batch, copied early
    /// for the same reason. A frozen base has no dropout.
    fn masks(&self, batch: usize, seed: u64) -> Result<Masks, BackendError> {
        let first = if self.plan.frozen { self.net().base() } else { 0 };
        let mut masks = Masks::new();
        for (&index, &ordinal) in self.dropouts.range(first..) {
            let layer = &self.net().layers()[index];
            if let Operation::Dropout(dropout) = &layer.operation
                && dropout.rate > 0.0
            {
                let each = layer.output.len();
                let Range { start, end } = self.share(batch);
                // Draws the factors of the preceding examples too, so that a batch's factors do not
                // depend on its division.
                let values = dropout_mask(end * each, dropout.rate, seed, ordinal);
                let mask = Tensor::f_from_slice(&values[start * each..]);
                let mask = mask.and_then(|mask| mask.f_to_device(self.device));
                masks.insert(index, mask.map_err(failed("copying the dropout masks"))?);
            }
        }
        Ok(masks)
    }

    /// Mean loss of logits; for a share of the batch, its part of the whole batch's mean.
    fn loss(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor, TchError> {
        let Targets { labels, class_weights, divisor } = targets;
        let reduction = if divisor.is_some() { Reduction::Sum } else { Reduction::Mean };
        let loss = match self.net().loss() {
            Loss::BinaryCrossEntropy => {
                let target = labels.f_to_kind(self.kind())?;
                // A factor for each example; the mean is over the examples, as in Keras.
                let factors = class_weights.as_ref();
                let factors = factors.map(|f| f.f_index_select(0, labels)).transpose()?;
                logits.f_squeeze_dim(1)?.f_binary_cross_entropy_with_logits(
                    &target,
                    factors.as_ref(),
                    None::<&Tensor>,
                    reduction,
                )
            }
            Loss::CrossEntropy => {
                let weights = class_weights.as_ref();
                logits.f_cross_entropy_loss(labels, weights, reduction, -100, 0.0)
            }
        }?;
        match divisor {
            None => Ok(loss),
            Some(divisor) => loss.f_div_scalar(*divisor),
        }
    }

    fn learned(&self) -> impl Iterator<Item = &str> {
        let frozen = self.plan.frozen;
        let trained = self.net().parameters().iter().filter(move |p| p.is_trained(frozen));
        trained.map(|parameter| parameter.name.as_str())
    }

    fn forward_and_backward(
        &self,
        input: Input<'_>,
        labels: &[i64],
        step: Step<'_>,
    ) -> Result<Computed, BackendError> {
        let targets = self.targets(labels, step.class_weights)?;
        let masks = self.masks(labels.len(), step.seed)?;
        let mode = Mode::Training { seed: step.seed, masks: &masks };
        let logits = self.outputs(input, labels.len(), mode)?;
        let loss = self.loss(&logits, &targets).map_err(failed("the loss"))?;
        let scaled = match &self.scaler {
            None => Ok(loss.shallow_clone()),
            Some(scaler) => scaler.scale(&loss),
        };
        let gradients =
            scaled.and_then(|loss| self.backward(&loss)).map_err(failed("the backward pass"))?;
        self.of_all_ranks(Computed { loss, logits, gradients }, labels.len())
    }

    /// A training step without restoring the running statistics, which the forward pass changes even if the loss is not finite.
    fn learn(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
        step: Step<'_>,
    ) -> Result<StepResult, BackendError> {
        let Computed { loss, logits, gradients } =
            self.forward_and_backward(input, labels, step)?;
        let defers = self.defers && self.scaler.is_none();
        let is_fused = |(optimizer, _): &(Optimizer, State)| State::is_fused(optimizer);
        let names: Vec<String> = self.learned().map(Into::into).collect();
        if defers && self.optimizer.as_ref().is_some_and(is_fused) {
            let refused = not_finite(&loss).map_err(failed("the loss"))?;
            if let Some((optimizer, state)) = &mut self.optimizer {
                let pairs = pairs(&self.tensors, &names, &gradients);
                let launched = state.update(optimizer, step.rate, pairs, Some(&refused));
                launched.map_err(failed("changing the weights"))?;
                let result = result(&loss, &logits)?;
                if !result.loss.is_finite() {
                    state.take_back();
                }
                return Ok(result);
            }
        }
        let result = result(&loss, &logits)?;
        if !result.loss.is_finite() {
            return Ok(result);
        }
        if let Some(scaler) = &mut self.scaler
            && !scaler.unscale(&gradients).map_err(failed("unscaling the gradients"))?
        {
            // As in PyTorch's GradScaler, skips the step and reduces the scale.
            return Ok(result);
        }
        if let Some((optimizer, state)) = &mut self.optimizer {
            let pairs = pairs(&self.tensors, &names, &gradients);
            state
                .update(optimizer, step.rate, pairs, None)
                .map_err(failed("changing the weights"))?;
        }
        Ok(result)
    }

    /// Gradients of `loss` with respect to [`Model::learned`], in that order.
    fn backward(&self, loss: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let learned: Vec<&Tensor> = self.learned().map(|name| &self.tensors[name]).collect();
        if !loss.requires_grad() {
            let text = "the loss depends on no variable that learns: the net's code freezes each of them, or detaches \
                        its outputs from them";
            return Err(TchError::Torch(text.into()));
        }
        Tensor::f_run_backward(&[loss], &learned, false, false)
    }
}

/// Weights by name with their gradients. The user's code may have variables that its forward pass does not use.
fn pairs<'a>(
    tensors: &'a BTreeMap<String, Tensor>,
    names: &'a [String],
    gradients: &'a [Tensor],
) -> impl Iterator<Item = (&'a str, Tensor, &'a Tensor)> {
    let pairs = names.iter().zip(gradients).filter(|(_, gradient)| gradient.defined());
    pairs.map(|(name, gradient)| (name.as_str(), tensors[name].shallow_clone(), gradient))
}

/// One number: 1 if the loss is not finite, otherwise 0.
fn not_finite(loss: &Tensor) -> Result<Tensor, TchError> {
    loss.f_detach()?.f_isfinite()?.f_logical_not()?.f_to_kind(Kind::Float)?.f_view_([1])
}

/// Reads loss and logits together. A step waits for the device only here.
fn result(loss: &Tensor, logits: &Tensor) -> Result<StepResult, BackendError> {
    let read = || {
        let both = Tensor::f_cat(
            &[loss.f_detach()?.f_view_([1])?, logits.f_detach()?.f_flatten(0, -1)?],
            0,
        )?;
        read(&both)
    };
    let mut values = read().map_err(failed("reading the loss"))?.values;
    let loss = f64::from(values.remove(0));
    Ok(StepResult { loss, logits: values })
}

pub(crate) fn read(tensor: &Tensor) -> Result<Array, TchError> {
    let tensor =
        tensor.f_detach()?.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut values = vec![0.0_f32; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(Array { shape: tensor.size().iter().map(|length| *length as usize).collect(), values })
}

/// A copy on the device.
pub(crate) fn write(array: &Array, device: Device) -> Result<Tensor, TchError> {
    let shape: Vec<i64> = array.shape.iter().map(|length| *length as i64).collect();
    Tensor::f_from_slice(&array.values)?.f_view_(shape)?.f_to_device(device)
}

impl Network for Model {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: NAME.into(),
            version: VERSION.into(),
            device: match self.device {
                Device::Cuda(index) => format!("cuda:{index}"),
                _ => "cpu".into(),
            },
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
            precision: self.plan.compute.precision.to_string(),
            graph: "none",
        }
    }

    fn rank(&self) -> Rank {
        self.ranks.map_or(Rank::ALONE, |ranks| ranks.rank)
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
        step: Step<'_>,
    ) -> Result<StepResult, BackendError> {
        if self.optimizer.is_none() {
            return Err(BackendError::NoOptimizer);
        }
        class_numbers(labels, self.net().classes(), step.class_weights)?;
        if let Some(running) = &mut self.running {
            running.keep().map_err(failed("keeping the running statistics"))?;
        }
        let learnt = self.learn(input, labels, step);
        if learnt.as_ref().map_or(true, |result| !result.loss.is_finite())
            && let Some(running) = &mut self.running
        {
            running.restore().map_err(failed("restoring the running statistics"))?;
        }
        learnt
    }

    fn hold(&self, values: &[f32], batch: usize) -> Result<Option<Box<dyn Any>>, BackendError> {
        let mut held = self.input(Input::Values(values), batch)?;
        if !self.device.is_cuda() {
            // There it may borrow the values.
            let copied = held.f_to_device_(self.device, self.kind(), false, true);
            held = copied.map_err(failed("copying a batch"))?;
        }
        Ok(Some(Box::new(held)))
    }

    fn evaluate_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
    ) -> Result<StepResult, BackendError> {
        class_numbers(labels, self.net().classes(), None)?;
        let _guard = tch::no_grad_guard();
        let targets = self.targets(labels, None)?;
        let logits = self.outputs(input, labels.len(), Mode::Inference)?;
        let loss = self.loss(&logits, &targets).map_err(failed("the loss"))?;
        let own = Computed { loss, logits, gradients: Vec::new() };
        let Computed { loss, logits, .. } = self.of_all_ranks(own, labels.len())?;
        result(&loss, &logits)
    }

    fn logits(&mut self, input: Input<'_>, batch: usize) -> Result<Vec<f32>, BackendError> {
        let _guard = tch::no_grad_guard();
        let logits = self.outputs(input, batch, Mode::Inference)?;
        let loss = Tensor::f_zeros([1], (logits.kind(), self.device));
        let loss = loss.map_err(failed("the logits"))?;
        let own = Computed { loss, logits, gradients: Vec::new() };
        let logits = self.of_all_ranks(own, batch)?.logits;
        read(&logits).map(|array| array.values).map_err(failed("reading the logits"))
    }

    fn features(&mut self, values: &[f32], batch: usize) -> Result<Vec<f32>, BackendError> {
        let base = self.net().base();
        if base == 0 {
            return Err(BackendError::NoBase);
        }
        let _guard = tch::no_grad_guard();
        let x = self.input(Input::Values(values), batch)?;
        let features = self.forward(0..base, &x, Mode::Inference);
        features.and_then(|f| read(&f)).map(|array| array.values).map_err(failed("the base"))
    }

    fn gradients(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Parameters, BackendError> {
        class_numbers(labels, self.net().classes(), None)?;
        let targets = self.targets(labels, None)?;
        let logits = self.outputs(input, labels.len(), Mode::WithoutDropout)?;
        let loss = self.loss(&logits, &targets).map_err(failed("the loss"))?;
        let gradients = self.backward(&loss).map_err(failed("the backward pass"))?;
        let own = Computed { loss, logits, gradients };
        let gradients = self.of_all_ranks(own, labels.len())?.gradients;
        let mut arrays = BTreeMap::new();
        let used = self.learned().zip(&gradients).filter(|(_, gradient)| gradient.defined());
        for (name, gradient) in used {
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

    fn change_since(&self, base: &Parameters) -> Result<Parameters, BackendError> {
        let _guard = tch::no_grad_guard();
        let mut arrays = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            let shape: Vec<usize> = tensor.size().iter().map(|length| *length as usize).collect();
            let before = base.get(name, &shape, "the weights before")?;
            let change = write(before, self.device)
                .and_then(|before| tensor.f_sub(&before))
                .and_then(|change| read(&change));
            arrays.insert(name.clone(), change.map_err(failed("reading the weights"))?);
        }
        Ok(Parameters { arrays })
    }

    fn not_finite(&self) -> Result<Option<String>, BackendError> {
        let _guard = tch::no_grad_guard();
        let is_finite = |tensor: &Tensor| -> Result<bool, tch::TchError> {
            // A sum with NaN or an infinity is not finite, and needs no memory.
            let sum = f64::try_from(tensor.f_sum(tensor.kind())?)?;
            Ok(sum.is_finite() || bool::try_from(tensor.f_isfinite()?.f_all()?)?)
        };
        for (name, tensor) in &self.tensors {
            if !is_finite(tensor).map_err(failed("checking the weights"))? {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn set_parameters(&mut self, weights: &Parameters) -> Result<(), BackendError> {
        if let Some(code) = &self.code {
            let mut tensors = code.variables();
            let _guard = tch::no_grad_guard();
            for parameter in self.plan.net.parameters() {
                let array = weights.get(&parameter.name, &parameter.shape, "the given weights")?;
                // The parameters are the variables of the user's code, which keeps them.
                let Some(variable) = tensors.get_mut(&parameter.name) else { continue };
                let copied = write(array, self.device).and_then(|value| variable.f_copy_(&value));
                copied.map_err(failed("copying the weights"))?;
            }
            let buffers = code.buffers();
            let buffers: Vec<&Tensor> = buffers.iter().map(|name| &tensors[name]).collect();
            let running = Running::of(&buffers);
            self.running = running.map_err(failed("copying the running statistics"))?;
            self.tensors = tensors;
            return Ok(());
        }
        let mut tensors = BTreeMap::new();
        for parameter in self.net().parameters() {
            let array = weights.get(&parameter.name, &parameter.shape, "the given weights")?;
            let learns = parameter.is_trained(self.plan.frozen);
            let copied = || {
                let mut tensor = write(array, self.device)?.f_to_kind(self.kind())?;
                if self.plan.compute.channels_last && array.shape.len() == 4 {
                    tensor = layout::channels_last(&tensor)?;
                }
                tensor.f_set_requires_grad(learns)
            };
            let tensor = copied().map_err(failed("copying the weights"))?;
            tensors.insert(parameter.name.clone(), tensor);
        }
        // A frozen base's running statistics do not change.
        let frozen = self.plan.frozen;
        let fixed = self.net().parameters().iter().filter(|p| !(p.learned || frozen && p.in_base));
        let fixed: Vec<&str> = fixed.map(|p| p.name.as_str()).collect();
        let running = Running::gather(&mut tensors, &fixed);
        self.running = running.map_err(failed("copying the running statistics"))?;
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
        let (device, kind) = (self.device, self.kind());
        match self.optimizer.as_mut() {
            None => Err(BackendError::NoOptimizer),
            Some((_, present)) => {
                for parameter in self.plan.net.parameters() {
                    for suffix in optimizer::SUFFIXES {
                        let name = format!("{}{suffix}", parameter.name);
                        if state.arrays.contains_key(&name) {
                            state.get(&name, &parameter.shape, "the optimiser's state")?;
                        }
                    }
                }
                *present = State::from_parameters(state, device, kind)
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

    fn synchronize(&self) -> Result<(), BackendError> {
        synchronize(self.device)
    }

    fn peak_device_memory(&self) -> Result<Option<u64>, BackendError> {
        match self.device {
            Device::Cuda(gpu) => {
                shim::peak_bytes(gpu).map(Some).map_err(failed("reading the GPU's memory use"))
            }
            _ => Ok(None),
        }
    }
}
