//! The traits that a library implements.

use crate::about::About;
use crate::compute::Compute;
use crate::device::Device;
use crate::error::BackendError;
use crate::optimizer::Optimizer;
use crate::parameters::Parameters;
use benchbook_nets::{Net, Shape};
use benchbook_ranks::Rank;
use serde::Serialize;
use std::any::Any;

/// Everything that a backend needs to build a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The layers.
    pub net: Net,
    /// Whether the base keeps its weights. Its batch normalisation then uses its running statistics.
    pub frozen: bool,
    /// The device.
    pub device: Device,
    /// CPU threads within one operation; `None` leaves the library's choice. With LibTorch the setting
    /// holds for the whole process, since it has no narrower one.
    pub threads: Option<usize>,
    /// Processes (ranks) that train the net together, each on its share of every batch; 1 for a single process. `mpirun` or
    /// `srun` starts several.
    pub ranks: usize,
    /// Settings that change how the library computes.
    pub compute: Compute,
}

/// The library's description in a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackendInfo {
    /// For example `LibTorch`.
    pub name: String,
    /// The library's version.
    pub version: String,
    /// For example `cpu` or `cuda:0`.
    pub device: String,
    /// CPU threads within one operation.
    pub threads: usize,
    /// The type of the numbers, for example `float32`.
    pub precision: String,
    /// The phase in which the library prepares its graph, or `none` if it has none.
    pub graph: &'static str,
}

/// The inputs of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The net's inputs, `[batch, …input]`.
    Values(&'a [f32]),
    /// Outputs of the frozen base from [`Network::features`], `[batch, …features]`.
    Features(&'a [f32]),
    /// The net's inputs from [`Network::hold`] of the same net.
    Held(&'a dyn Any),
}

/// One training step's settings.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Learning rate.
    pub rate: f64,
    /// Seed of the dropout masks of this step (see [`dropout_mask`]).
    pub seed: u64,
    /// A factor on the loss for each class. The mean is taken as the loss's library does: of one logit (Keras' binary
    /// cross-entropy) divided by the number of examples, of several (PyTorch's cross-entropy) by the sum of the
    /// examples' factors. Validation ignores them.
    pub class_weights: Option<&'a [f32]>,
}

impl Step<'_> {
    /// A step without class weights.
    pub fn new(rate: f64, seed: u64) -> Self {
        Self { rate, seed, class_weights: None }
    }
}

/// The results of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepResult {
    /// Mean loss over the batch.
    pub loss: f64,
    /// The net's outputs, `[batch, outputs]`: in training with dropout, at the weights before the step.
    pub logits: Vec<f32>,
}

/// Refuses a net whose forward pass is code of a cell ([`Net::code`]).
///
/// # Errors
/// [`code_elsewhere`].
pub fn without_code(net: &Net, library: &'static str) -> Result<(), BackendError> {
    net.code().map_or(Ok(()), |layer| Err(code_elsewhere(&layer.name, library)))
}

/// Refuses to train in several processes ([`Plan::ranks`]).
///
/// # Errors
/// [`BackendError::Option`].
pub fn without_ranks(plan: &Plan, library: &'static str) -> Result<(), BackendError> {
    if plan.ranks < 2 {
        return Ok(());
    }
    let (library, found) = (library.into(), plan.ranks.to_string());
    Err(BackendError::Option { library, option: "ranks", expected: "1", found })
}

/// The error of a library or process that does not have the code of a layer.
pub fn code_elsewhere(layer: &str, library: &'static str) -> BackendError {
    let reason = "it is code of a cell, which only the model that was built with it can run (describe the net as \
                  `Sequential`, or as an architecture, to run it elsewhere)";
    BackendError::Operation { library, layer: layer.into(), reason: reason.into() }
}

/// A library that can build models.
pub trait Backend: Sync {
    /// The library's names, colour, command to install and environment variables.
    fn about(&self) -> &'static About;

    /// The library's path or version, found without opening the library.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`], with the searched folders and how to install the library.
    fn installed(&self) -> Result<String, BackendError>;

    /// Loads the library's CUDA part, for a library that needs it before its first use.
    fn load_cuda(&self) {}

    /// Whether the library can build this plan, as far as that is known before it is opened.
    ///
    /// # Errors
    /// [`BackendError::Operation`] or [`BackendError::Option`], with the reason.
    fn supports(&self, plan: &Plan) -> Result<(), BackendError>;

    /// Copies values to the device and waits until they are there, so that the phase `load` can end
    /// where the first step could begin.
    ///
    /// # Errors
    /// [`BackendError::Device`], [`BackendError::Library`].
    fn upload(&self, values: &[f32], device: Device) -> Result<(), BackendError>;

    /// Builds a net with the given weights.
    ///
    /// # Errors
    /// [`BackendError`]: weights that do not fit, a missing device, an operation that the library lacks.
    fn build(&self, plan: &Plan, weights: &Parameters) -> Result<Box<dyn Network>, BackendError>;
}

/// A net on a device.
///
/// If several ranks train the net together, each rank calls the same methods with the values of its share of a batch
/// ([`Rank::share`]) and the labels of the whole batch. Losses, logits and gradients are those of the whole batch, and equal
/// on all ranks.
pub trait Network: Send {
    /// The library, its device and its settings.
    fn info(&self) -> BackendInfo;

    /// This process's place among the ranks that train the net. Default: [`Rank::ALONE`].
    fn rank(&self) -> Rank {
        Rank::ALONE
    }

    /// Sets the optimiser. The state of the former one is kept if it is the same optimiser, and
    /// dropped otherwise.
    fn compile(&mut self, optimizer: Optimizer);

    /// One forward and backward pass and one change of the weights. If the loss is not finite, the
    /// weights and the optimiser's state stay as they were and the loss is returned.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Label`], [`BackendError::NoOptimizer`],
    /// [`BackendError::TrainableBase`], [`BackendError::Library`].
    fn train_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
        step: Step<'_>,
    ) -> Result<StepResult, BackendError>;

    /// Copies the net's inputs of `batch` examples to the device, for any number of steps ([`Input::Held`]). Default: `None`,
    /// for a library that takes the inputs of each step from the processor's memory.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn hold(&self, _values: &[f32], _batch: usize) -> Result<Option<Box<dyn Any>>, BackendError> {
        Ok(None)
    }

    /// Loss and logits without dropout; the weights do not change.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn evaluate_step(
        &mut self,
        input: Input<'_>,
        labels: &[i64],
    ) -> Result<StepResult, BackendError>;

    /// The net's outputs for `batch` examples before sigmoid or softmax, without dropout: `[batch, outputs]`.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn logits(&mut self, input: Input<'_>, batch: usize) -> Result<Vec<f32>, BackendError>;

    /// Outputs of the base in inference mode for `batch` examples, `[batch, …features]`.
    ///
    /// # Errors
    /// [`BackendError::NoBase`], [`BackendError::BatchLength`], [`BackendError::Library`].
    fn features(&mut self, values: &[f32], batch: usize) -> Result<Vec<f32>, BackendError>;

    /// Gradients of the mean loss at the present weights without dropout, for the trainable parameters.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`], [`BackendError::Library`].
    fn gradients(&mut self, input: Input<'_>, labels: &[i64]) -> Result<Parameters, BackendError>;

    /// The weights in the layout of [`Parameters`].
    ///
    /// # Errors
    /// [`BackendError::Library`].
    fn parameters(&self) -> Result<Parameters, BackendError>;

    /// The weights less those of `base`, which must have all of them. Default: computed from 32-bit floats.
    ///
    /// # Errors
    /// [`BackendError::Library`], [`BackendError::Parameters`].
    fn change_since(&self, base: &Parameters) -> Result<Parameters, BackendError> {
        let mut now = self.parameters()?;
        for (name, array) in &mut now.arrays {
            let before = base.get(name, &array.shape, "the weights before")?;
            for (value, before) in array.values.iter_mut().zip(&before.values) {
                *value -= before;
            }
        }
        Ok(now)
    }

    /// The name of a parameter that holds NaN or an infinity; `None` if all are finite.
    ///
    /// # Errors
    /// [`BackendError::Library`].
    fn not_finite(&self) -> Result<Option<String>, BackendError> {
        let arrays = self.parameters()?.arrays;
        let mut names = arrays
            .into_iter()
            .filter(|(_, array)| array.values.iter().any(|value| !value.is_finite()));
        Ok(names.next().map(|(name, _)| name))
    }

    /// Replaces the weights.
    ///
    /// # Errors
    /// [`BackendError::Parameters`], [`BackendError::Library`].
    fn set_parameters(&mut self, weights: &Parameters) -> Result<(), BackendError>;

    /// The optimiser's state, under the parameters' names with a suffix.
    ///
    /// # Errors
    /// [`BackendError::Library`].
    fn optimizer_state(&self) -> Result<Parameters, BackendError>;

    /// Replaces the optimiser's state; missing entries start anew.
    ///
    /// # Errors
    /// [`BackendError::Library`], [`BackendError::Parameters`].
    fn set_optimizer_state(&mut self, state: &Parameters) -> Result<(), BackendError>;

    /// Waits until the device has finished its work. Default: does nothing, because each call waits.
    ///
    /// # Errors
    /// [`BackendError::Library`] for an earlier operation that failed on the device.
    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }

    /// The most bytes that the library's arrays had on the GPU since the net was built; `None` (the default) on the CPU, and
    /// where the library does not report it.
    ///
    /// # Errors
    /// [`BackendError::Library`].
    fn peak_device_memory(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }
}

impl<'a> Input<'a> {
    /// The values of `batch` examples, and the shape of one.
    ///
    /// # Errors
    /// [`BackendError::BatchLength`]; [`BackendError::NoBase`] for features of a net without a base;
    /// [`BackendError::NotHeld`] for [`Input::Held`].
    pub fn checked(self, net: &Net, batch: usize) -> Result<(&'a [f32], Shape), BackendError> {
        let (values, what, shape) = match self {
            Input::Values(values) => (values, "input", net.input()),
            Input::Features(values) => {
                (values, "features", net.features().ok_or(BackendError::NoBase)?)
            }
            Input::Held(_) => return Err(BackendError::NotHeld),
        };
        let (expected, found) = (batch * shape.len(), values.len());
        if found != expected {
            let what = format!("the {what} {:?}", [&[batch], shape.axes()].concat());
            return Err(BackendError::BatchLength { what, expected, found });
        }
        Ok((values, shape))
    }
}

/// Labels as class numbers.
///
/// # Errors
/// [`BackendError::Label`] for the first that is not a class; [`BackendError::BatchLength`] for class weights of another
/// number than the classes'.
pub fn class_numbers(
    labels: &[i64],
    classes: usize,
    class_weights: Option<&[f32]>,
) -> Result<Vec<usize>, BackendError> {
    let found = class_weights.map_or(classes, <[f32]>::len);
    if found != classes {
        let what = format!("class weights [{classes}]");
        return Err(BackendError::BatchLength { what, expected: classes, found });
    }
    let number = |(index, label): (usize, &i64)| {
        let class = usize::try_from(*label).ok().filter(|class| *class < classes);
        class.ok_or(BackendError::Label { label: *label, index, classes })
    };
    labels.iter().enumerate().map(number).collect()
}

/// Factors of the net's `dropout`-th dropout layer, from 0: 0 with probability `rate`, otherwise 1/(1−`rate`). They come from
/// the seed alone, so that every backend drops the same values and a resumed training the same as
/// an uninterrupted one; and a library's own generator, which a notebook may use, is left alone.
pub fn dropout_mask(count: usize, rate: f64, seed: u64, dropout: usize) -> Vec<f32> {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(dropout as u64);
    let kept = (1.0 / (1.0 - rate)) as f32;
    let limit = (rate * 4_294_967_296.0) as u32;
    (0..count).map(|_| if generator.next_u32() < limit { 0.0 } else { kept }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropout_mask_keeps_the_mean_and_depends_on_seed_and_layer() {
        let mask = dropout_mask(100_000, 0.25, 7, 0);
        let dropped = mask.iter().filter(|factor| **factor == 0.0).count();
        // 25,000 expected with a standard deviation of √(100000·0.25·0.75) = 137.
        assert!((24_400..=25_600).contains(&dropped), "{dropped}");
        assert!(mask.iter().all(|factor| *factor == 0.0 || (*factor - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(mask, dropout_mask(100_000, 0.25, 7, 0));
        assert_ne!(mask, dropout_mask(100_000, 0.25, 8, 0));
        assert_ne!(mask, dropout_mask(100_000, 0.25, 7, 1));
        assert!(dropout_mask(10, 0.0, 7, 0).iter().all(|factor| *factor == 1.0));
    }
}
