//! Builds a model on a device from a net's description.

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

/// The settings of a model: backend, device, starting weights and preprocessing.
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
    /// The preprocessing of pixels. Default: `None`, that of the weights: x / 255 for random ones, a file's metadata
    /// (an error if unknown), and torchvision's normalisation for a file without.
    pub preprocessing: Option<Preprocessing>,
    /// The part of an image that is resized to the net's input, in training (unless
    /// [`Fit::crop`](crate::train::Fit::crop) is set), validation, evaluation and prediction. Random crops are an
    /// error. Default: the whole image. In JSON `"None"`, `"AspectRatio"` or `{"Center": {"shorter": 256}}`.
    #[serde(skip_serializing_if = "is_default")]
    pub crop: Crop,
    /// The filter of every resizing. Default: bilinear with antialias. In JSON `"Bilinear"`, `"BilinearNoAntialias"`,
    /// `"Bicubic"` or `"Nearest"`.
    #[serde(skip_serializing_if = "is_default")]
    pub filter: Filter,
    /// The library. Default: LibTorch.
    pub backend: BackendId,
    /// The device. Default: `None`, a GPU if the backend finds one, else the CPU. In JSON `"cpu"`, `"cuda:0"`.
    #[serde(with = "device")]
    pub device: Option<tch::Device>,
    /// CPU threads of the library, for the whole process. Default: `None`, the library's choice.
    pub threads: Option<usize>,
    /// Processes that train the net together, each on its share of every batch and with its share of the threads; only
    /// `benchbook bench` and studies start several. Weights, losses and metrics are those of one process that trains
    /// on the whole batches. LibTorch on the CPU only. Default: 1.
    #[serde(skip_serializing_if = "is_alone")]
    pub ranks: usize,
    /// Precision and other choices of computation. Default: those of PyTorch.
    pub compute: Compute,
}

/// Skips defaults to keep files short.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

// The form that serde asks for.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_alone(ranks: &usize) -> bool {
    *ranks == 1
}

/// Devices of `tch` by PyTorch's names.
mod device {
    use crate::backend::Device;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    // Serde requires a reference.
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

/// The device for backends. Kinds that no backend supports become the CPU; [`Build::check`] refuses them.
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
            ranks: 1,
            compute: Compute::default(),
        }
    }
}

impl Build {
    /// The device for backends.
    pub fn requested_device(&self) -> Device {
        self.device.map_or(Device::Auto, known)
    }

    /// The preprocessing of pixels: the setting, or that of the weights.
    ///
    /// # Errors
    /// [`Error::Weights`].
    pub fn resolved_preprocessing(&self) -> Result<Preprocessing, Error> {
        match &self.preprocessing {
            Some(chosen) => Ok(chosen.clone()),
            None => self.weights.preprocessing(),
        }
    }

    /// The loader's settings for a net's images with this preprocessing, else defaults.
    pub(crate) fn loader_config(
        &self,
        input: Shape,
        preprocessing: Preprocessing,
        batch_size: usize,
    ) -> LoaderConfig {
        // For other samples the loader ignores the size.
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
            threads: self.threads_of_rank(0),
            rank: self.rank(),
            ..LoaderConfig::default()
        }
    }

    /// A backend's plan of a net with these settings.
    pub(crate) fn plan(&self, net: Net) -> Plan {
        Plan {
            net,
            frozen: self.frozen,
            device: self.requested_device(),
            threads: match self.threads {
                None if self.ranks < 2 => None,
                threads => Some(self.threads_of_rank(threads.unwrap_or(0))),
            },
            ranks: self.ranks,
            compute: self.compute,
        }
    }

    pub(super) fn check(&self, net: &Net) -> Result<(), Error> {
        if self.crop.is_random() {
            return Err(Error::Setting {
                name: "Build::crop",
                expected: "deterministic, because evaluation uses it; set `Fit::crop` for random crops",
                found: format!("{:?}", self.crop),
            });
        }
        if self.ranks == 0 {
            let (name, expected) = ("Build::ranks", "at least 1");
            return Err(Error::Setting { name, expected, found: "0".into() });
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
                        "false for a net without a base; mark the base's end with `end_base`, or set the graph's `base`"
                    }
                    Some(_) => {
                        "false for a net that is code; freeze single variables in the code with \
                         `variable.set_requires_grad(false)`"
                    }
                },
                found: format!("true with `{}`", net.name()),
            });
        }
        Ok(())
    }
}

impl Model {
    /// Builds a net on its device and checks it against the classes and samples of a dataset.
    ///
    /// # Errors
    /// [`Error::Net`] with the faulty layer, [`Error::ClassCount`] and [`Error::SampleShape`] for data that does not fit
    /// the net, [`Error::Setting`], [`Error::Weights`] and [`Error::Parameters`] with file and tensor, and
    /// [`Error::Backend`] for a missing device or an unsupported operation.
    pub fn build(net: impl Buildable, data: &dyn Dataset, build: Build) -> Result<Self, Error> {
        let prepared = net.prepare(&build)?;
        build.check(&prepared.net)?;
        check_data(&prepared.net, &build, &data.train())?;
        let mut model = Self::assemble(prepared, build)?;
        model.classes = data.class_names();
        Ok(model)
    }

    /// Builds a net without data. The first training names the classes.
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
