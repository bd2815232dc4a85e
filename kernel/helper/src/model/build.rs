//! From a net's description to a model on a device.

use super::checkpoint::Samples;
use super::code::Prepared;
use super::{Buildable, Model, Weights, check_data};
use crate::backend::{BackendId, Compute, Device, Plan};
use crate::error::Error;
use crate::record::BuildParts;
use crate::train::History;
use benchbook_data::{Crop, Dataset, Filter, LoaderConfig, Preprocessing};
use benchbook_nets::{Net, Shape};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;

/// How a net is built: backend, device, starting weights and what happens to images before the net sees them.
///
/// ```no_run
/// # use benchbook::prelude::*;
/// # fn main() -> Result<(), benchbook::Error> {
/// let data = ImageFolder::open("images")?;
/// let net = Vgg16 { size: 64, ..Vgg16::new(data.classes()) };
/// let mut model = Model::build(net, &data, Build { seed: 1, ..Build::default() })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Build {
    /// Where the starting weights come from. Default: random.
    pub weights: Weights,
    /// Whether the base (the convolutions) keeps its weights. Default: false.
    pub frozen: bool,
    /// Seed of the random starting weights. Default: 0.
    pub seed: u64,
    /// What happens to pixels; `None` (the default) follows the weights: x / 255 for random ones,
    /// what a file's metadata say (an error if they are not understood), and torchvision's normalisation
    /// for a file that says nothing.
    pub preprocessing: Option<Preprocessing>,
    /// Which part of an image is resized to the net's input, in training (unless
    /// [`Fit::crop`](crate::train::Fit::crop) says otherwise), validation, evaluation and prediction.
    /// Not a random one. Default: all of it. In JSON `"None"`, `"AspectRatio"` or
    /// `{"Center": {"shorter": 256}}`.
    #[serde(skip_serializing_if = "is_default")]
    pub crop: Crop,
    /// How the pixels of the resized image are made, everywhere. Default: bilinear with antialias. In
    /// JSON `"Bilinear"`, `"BilinearNoAntialias"`, `"Bicubic"` or `"Nearest"`.
    #[serde(skip_serializing_if = "is_default")]
    pub filter: Filter,
    /// Which library computes. Default: LibTorch.
    pub backend: BackendId,
    /// Where it computes; `None` (the default) for a GPU if the backend sees one. In JSON `"cpu"`, `"cuda:0"`.
    #[serde(with = "device")]
    pub device: Option<tch::Device>,
    /// CPU threads of the library; `None` (the default) leaves its choice. Holds for the process.
    pub threads: Option<usize>,
    /// How the library computes where it leaves a choice. Default: as PyTorch does.
    pub compute: Compute,
}

/// Skips defaults so that files stay short.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// tch's devices as PyTorch's names.
mod device {
    use crate::backend::Device;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    // The form that serde asks for.
    #[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option)]
    pub(super) fn serialize<S: Serializer>(
        device: &Option<tch::Device>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        device.map(super::known).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<tch::Device>, D::Error> {
        Ok(match Option::<Device>::deserialize(from)? {
            None | Some(Device::Auto) => None,
            Some(Device::Cpu) => Some(tch::Device::Cpu),
            Some(Device::Cuda(number)) => Some(tch::Device::Cuda(number)),
        })
    }
}

/// The device as backends know it. Other kinds of tch's have no backend here and are the CPU's in its own words.
fn known(device: tch::Device) -> Device {
    match device {
        tch::Device::Cuda(number) => Device::Cuda(number),
        _ => Device::Cpu,
    }
}

impl Default for Build {
    fn default() -> Self {
        Self {
            weights: Weights::Random,
            frozen: false,
            seed: 0,
            preprocessing: None,
            crop: Crop::None,
            filter: Filter::Bilinear,
            backend: BackendId::default(),
            device: None,
            threads: None,
            compute: Compute::default(),
        }
    }
}

impl Build {
    /// The device as backends take it.
    pub fn requested_device(&self) -> Device {
        self.device.map_or(Device::Auto, known)
    }

    /// What happens to pixels before the net sees them, read from the weights file if the settings
    /// do not say.
    ///
    /// # Errors
    /// [`Error::Weights`].
    pub fn resolved_preprocessing(&self) -> Result<Preprocessing, Error> {
        match &self.preprocessing {
            Some(chosen) => Ok(chosen.clone()),
            None => self.weights.preprocessing(),
        }
    }

    /// The loader's settings for a net's images, with this preprocessing and the loader's own defaults.
    pub(crate) fn loader_config(
        &self,
        input: Shape,
        preprocessing: Preprocessing,
        batch_size: usize,
    ) -> LoaderConfig {
        // Other samples come in their own shape, and the loader ignores the size.
        let [height, width] = match input {
            Shape::Map([_, height, width]) => [height, width],
            Shape::Vector(_) => [1, 1],
        };
        LoaderConfig {
            height,
            width,
            preprocessing,
            crop: self.crop,
            filter: self.filter,
            batch_size,
            ..LoaderConfig::default()
        }
    }

    /// What a backend needs to know to build a net with these settings.
    pub(crate) fn plan(&self, net: Net) -> Plan {
        Plan {
            net,
            frozen: self.frozen,
            device: self.requested_device(),
            threads: self.threads,
            compute: self.compute,
        }
    }

    pub(super) fn check(&self, net: &Net) -> Result<(), Error> {
        if self.crop.is_random() {
            return Err(Error::Setting {
                name: "Build::crop",
                expected: "deterministic, since evaluation uses it too (set `Fit::crop` for random crops)",
                found: format!("{:?}", self.crop),
            });
        }
        if let Some(device) = self.device
            && !matches!(device, tch::Device::Cpu | tch::Device::Cuda(_))
        {
            return Err(Error::Setting {
                name: "Build::device",
                expected: "the CPU or a CUDA GPU",
                found: format!("{device:?}"),
            });
        }
        if self.frozen && net.base() == 0 {
            return Err(Error::Setting {
                name: "Build::frozen",
                expected: match net.code() {
                    None => {
                        "false for a net without a base (mark its end with `end_base`, or set the graph's `base`)"
                    }
                    Some(_) => {
                        "false for a net that is code (freeze variables where it makes them: \
                                `variable.set_requires_grad(false)`)"
                    }
                },
                found: format!("true with `{}`", net.name()),
            });
        }
        Ok(())
    }
}

impl Model {
    /// Builds a net for the classes and samples of a dataset on its device.
    ///
    /// # Errors
    /// [`Error::Net`] (a net that cannot exist, naming the layer), [`Error::ClassCount`] (the net has another number
    /// of classes than the data), [`Error::SampleShape`], [`Error::Setting`] (a random crop), [`Error::Weights`]
    /// (missing, corrupt or of another shape, naming file and tensor), [`Error::Backend`] (no such device, an
    /// operation that the backend lacks).
    pub fn build(net: impl Buildable, data: &dyn Dataset, build: Build) -> Result<Self, Error> {
        let prepared = net.prepare(&build)?;
        build.check(&prepared.net)?;
        check_data(&prepared.net, &build, &data.train())?;
        let mut model = Self::assemble(prepared, build)?;
        model.classes = data.class_names();
        Ok(model)
    }

    /// Builds a net without data. Its classes get their names from the first training.
    ///
    /// # Errors
    /// As [`Model::build`].
    pub fn new(net: impl Buildable, build: Build) -> Result<Self, Error> {
        let prepared = net.prepare(&build)?;
        build.check(&prepared.net)?;
        Self::assemble(prepared, build)
    }

    fn assemble(prepared: Prepared, build: Build) -> Result<Self, Error> {
        let plan = build.plan(prepared.net.clone());
        if prepared.code.is_none() {
            build.backend.supports(&plan)?;
        }
        let mut times = BuildParts::default();
        let began = Instant::now();
        build.weights.fetch(&plan.net)?;
        times.download = Some(began.elapsed().as_secs_f64());
        let began = Instant::now();
        let mut parameters = prepared.initial(build.seed)?;
        times.initialise = Some(began.elapsed().as_secs_f64());
        let began = Instant::now();
        if build.weights.read(&plan.net, &mut parameters)? {
            times.read = Some(began.elapsed().as_secs_f64());
        }
        let preprocessing = build.resolved_preprocessing()?;
        let began = Instant::now();
        let network = match prepared.code {
            Some(code) => code.build(&plan, &parameters)?,
            None => build.backend.build(&plan, &parameters)?,
        };
        network.synchronize()?;
        times.to_device = Some(began.elapsed().as_secs_f64());
        Ok(Model {
            build_parts: times,
            net: plan.net,
            build,
            preprocessing,
            network,
            history: History::default(),
            best: BTreeMap::new(),
            best_weights: None,
            stores: Vec::new(),
            classes: Vec::new(),
            trained_with: None,
            call: None,
            samples: Samples::default(),
            skipped: BTreeMap::new(),
        })
    }
}
