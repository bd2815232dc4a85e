//! Nets in the user's code: layers and a forward pass of the crate `tch`.

use crate::net::{Model, read};
use crate::{NAME, failed, found, settings};
use benchbook_backend::{BackendError, Device as Requested, Network, Parameters, Plan, Precision};
use benchbook_nets::{Custom, Shape, Variable};
use std::collections::BTreeMap;
use tch::nn::{Path, VarStore};
use tch::{Kind, TchError, Tensor};

/// Logits of a batch; the flag is true in a training step. An error describes the failure in the code.
pub type Forward = Box<dyn Fn(&Tensor, bool) -> Result<Tensor, String> + Send>;

/// A forward pass with its variables, on a device.
pub struct Code {
    forward: Forward,
    variables: VarStore,
}

impl Code {
    /// Runs `make` with an empty store of variables on this device. Seeds LibTorch's generator first,
    /// from which layers draw their starting values.
    ///
    /// # Errors
    /// [`BackendError::Device`], [`BackendError::Library`] for what fails in `make`.
    pub fn new(
        device: Requested,
        seed: u64,
        make: impl FnOnce(&Path<'_>) -> Result<Forward, String>,
    ) -> Result<Self, BackendError> {
        let variables = VarStore::new(found(device)?);
        set_seed(seed);
        let made = make(&variables.root()).map_err(TchError::Torch);
        let forward = made.map_err(failed("making the net's layers"))?;
        Ok(Self { forward, variables })
    }

    /// The graph's operation for this code. Runs two examples in inference and in training to
    /// determine the length of the output, which must be `[2, units]`, and its fingerprint. For a
    /// fingerprint that is the same everywhere, the code must be on the CPU, fresh from a fixed
    /// seed, and not used afterwards: the pass in training changes running statistics.
    ///
    /// # Errors
    /// As text: an output of another shape, variables that are not 32-bit floats, or a failing forward pass.
    pub fn operation(&self, input: Shape) -> Result<Custom, String> {
        let mut parameters = Vec::new();
        for (name, tensor) in self.sorted() {
            let (shape, kind) = (tensor.size(), tensor.kind());
            if kind != Kind::Float || !tensor.is_contiguous() {
                let strides = tensor.stride();
                return Err(format!(
                    "variables of contiguous 32-bit floats; `{name}` is {kind:?} with strides {strides:?}"
                ));
            }
            let shape = shape.iter().map(|length| *length as usize).collect();
            parameters.push(Variable { name, shape, learned: tensor.requires_grad() });
        }
        let axes = crate::forward::batched(2, input);
        let _guard = tch::no_grad_guard();
        let on = (Kind::Float, self.variables.device());
        let example = Tensor::arange(axes.iter().product::<i64>(), on).sin().view(&axes[..]);
        let (mut units, mut digits) = (0, String::new());
        for train in [false, true] {
            set_seed(0);
            let output = (self.forward)(&example.copy(), train)
                .map_err(|wrong| format!("a forward pass without errors ({wrong})"))?;
            units = match output.size()[..] {
                [2, units] if units > 0 => units as usize,
                ref other => {
                    return Err(format!(
                        "an output [batch, classes] for an input {axes:?}, here [2, classes]; the forward pass gives {other:?}"
                    ));
                }
            };
            // Two digits are equal on every machine.
            let values = Vec::<f64>::try_from(output.to_kind(Kind::Double).flatten(0, -1));
            let values = values.map_err(|error| format!("a numeric output ({error})"))?;
            digits.extend(values.iter().map(|value| format!("{value:.1e} ")));
        }
        Ok(Custom { units, parameters, fingerprint: digits })
    }

    /// The values of the variables.
    ///
    /// # Errors
    /// [`BackendError::Library`].
    pub fn parameters(&self) -> Result<Parameters, BackendError> {
        let array = |(name, tensor): (String, Tensor)| Ok((name, read(&tensor)?));
        let arrays: Result<_, TchError> = self.sorted().into_iter().map(array).collect();
        Ok(Parameters { arrays: arrays.map_err(failed("reading the weights"))? })
    }

    /// The model, with these weights in the code's variables. The plan's net must have the code's
    /// [operation](Self::operation) as its only layer.
    ///
    /// # Errors
    /// [`BackendError::Option`] for 16-bit floats and `channels_last`, which the code would have to implement;
    /// [`BackendError::Parameters`].
    pub fn build(
        self,
        plan: &Plan,
        weights: &Parameters,
    ) -> Result<Box<dyn Network>, BackendError> {
        let refused = |option, expected, found| {
            let library = format!("{NAME} and a net of your own code");
            Err(BackendError::Option { library, option, expected, found })
        };
        if plan.compute.precision != Precision::Float32 {
            return refused("precision", "Float32", format!("{:?}", plan.compute.precision));
        }
        if plan.compute.channels_last {
            return refused("channels_last", "false", "true".into());
        }
        let device = self.variables.device();
        settings::prepare(plan, device)?;
        Ok(Box::new(Model::with_code(plan, device, weights, self)?))
    }

    /// Logits `[batch, units]`; in a training step with its seed. `tracked`: whether gradients will be taken.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        units: usize,
        train: Option<u64>,
        tracked: bool,
    ) -> Result<Tensor, TchError> {
        if let Some(seed) = train {
            set_seed(seed);
        }
        // The code may change its input in place, and the loader owns the input.
        let mut own = x.f_empty_like()?;
        own.f_copy_(x)?;
        // Restores the tracking of gradients, which a panic within `tch::no_grad` leaves off.
        let _guard = tch::no_grad_guard();
        let run = || (self.forward)(&own, train.is_some());
        let logits = if tracked { tch::with_grad(run) } else { run() }.map_err(TchError::Torch)?;
        let (found, expected) = (logits.size(), [x.size()[0], units as i64]);
        if found != expected {
            let wrong = format!(
                "the net's code must return [batch, classes], here {expected:?}, got {found:?}"
            );
            return Err(TchError::Torch(wrong));
        }
        Ok(logits)
    }

    /// The variables themselves, without a copy.
    pub(crate) fn variables(&self) -> BTreeMap<String, Tensor> {
        self.sorted().into_iter().collect()
    }

    /// Names of the variables that the code itself changes in training, such as running statistics.
    /// Frozen variables are not included: they are among the store's trainable ones.
    pub(crate) fn buffers(&self) -> Vec<String> {
        let trainable: Vec<_> =
            self.variables.trainable_variables().iter().map(Tensor::data_ptr).collect();
        let mut variables = self.sorted();
        variables.retain(|(_, tensor)| !trainable.contains(&tensor.data_ptr()));
        variables.into_iter().map(|(name, _)| name).collect()
    }

    fn sorted(&self) -> Vec<(String, Tensor)> {
        let mut variables: Vec<_> = self.variables.variables().into_iter().collect();
        variables.sort_by(|(one, _), (other, _)| one.cmp(other));
        variables
    }
}

/// LibTorch's generator belongs to the process; dropout and starting values have no generator of their own.
fn set_seed(seed: u64) {
    tch::manual_seed(seed.cast_signed());
}
