//! Nets that are code of the crate `tch`: the user's own layers and forward pass.

use crate::net::{Model, read};
use crate::{NAME, failed, found, settings};
use benchbook_backend::{BackendError, Device as Requested, Network, Parameters, Plan, Precision};
use benchbook_nets::{Custom, Shape, Variable};
use std::collections::BTreeMap;
use tch::nn::{ModuleT, Path, VarStore};
use tch::{Kind, TchError, Tensor};

/// A forward pass with its variables, on a device.
#[derive(Debug)]
pub struct Code {
    module: Box<dyn ModuleT>,
    variables: VarStore,
}

impl Code {
    /// Runs `make` with an empty store of variables on this device. LibTorch's generator, from which layers draw their
    /// starting values, is set to the seed before.
    ///
    /// # Errors
    /// [`BackendError::Device`].
    pub fn new(
        device: Requested,
        seed: u64,
        make: impl FnOnce(&Path<'_>) -> Box<dyn ModuleT>,
    ) -> Result<Self, BackendError> {
        let variables = VarStore::new(found(device)?);
        set_seed(seed);
        let module = make(&variables.root());
        Ok(Self { module, variables })
    }

    /// The operation of a graph that stands for this code. Two examples of zeros go through it to find the length of its
    /// output, which must be `[2, units]`.
    ///
    /// # Errors
    /// In words: an output of another shape, or variables that are not 32-bit floats.
    pub fn operation(&self, input: Shape) -> Result<Custom, String> {
        let mut parameters = Vec::new();
        for (name, tensor) in self.sorted() {
            let (shape, kind) = (tensor.size(), tensor.kind());
            if kind != Kind::Float {
                return Err(format!("variables of 32-bit floats; `{name}` is {kind:?}"));
            }
            let shape = shape.iter().map(|length| *length as usize).collect();
            parameters.push(Variable { name, shape, learned: tensor.requires_grad() });
        }
        let axes = crate::forward::batched(2, input);
        let _guard = tch::no_grad_guard();
        let output = self
            .module
            .forward_t(&Tensor::zeros(&axes, (Kind::Float, self.variables.device())), false);
        match output.size()[..] {
            [2, units] if units > 0 => Ok(Custom { units: units as usize, parameters }),
            ref other => Err(format!(
                "an output [batch, classes] for an input {axes:?}, here [2, classes]; the forward pass gives {other:?}"
            )),
        }
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
    /// [`BackendError::Option`] for 16-bit floats and `channels_last`, which the code would have to do itself;
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

    /// Logits `[batch, units]`; in a training step with its seed.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        units: usize,
        train: Option<u64>,
    ) -> Result<Tensor, TchError> {
        if let Some(seed) = train {
            set_seed(seed);
        }
        // The code may change its input in place, which belongs to the loader.
        let mut own = x.f_empty_like()?;
        own.f_copy_(x)?;
        let logits = self.module.forward_t(&own, train.is_some());
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

    fn sorted(&self) -> Vec<(String, Tensor)> {
        let mut variables: Vec<_> = self.variables.variables().into_iter().collect();
        variables.sort_by(|(one, _), (other, _)| one.cmp(other));
        variables
    }
}

/// LibTorch's generator belongs to the process; there is no narrower one for dropout and starting values.
fn set_seed(seed: u64) {
    tch::manual_seed(seed.cast_signed());
}
