//! Starts a backend's run: this library's own in a worker, the originals in Python.

use crate::backend::{Base, Compute, Library, Processor};
use crate::error::Error;
use crate::job::{Job, STUDIED};
use crate::model::{EVALUATION_BATCH, Vgg, Weights};
use crate::optimizer::Convention;
use crate::parameters::Parameters;
use crate::record::{Environment, Net, Record, SCHEMA, compute_settings, facts, sha256, training};
use crate::train::Schedule;
use crate::vgg::Depth;
use benchbook_data::{Crop, Filter, Preprocessing};
use benchbook_study::files::Scratch;
use benchbook_study::references::{self, Reference};
use benchbook_study::runner::{Launch, Launcher, Refusal};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a study's runs share: the job with everything fixed that it left open, and a folder for files.
pub(super) struct Workers {
    pub(super) job: Job,
    folder: Scratch,
    /// The starting weights as a file, once they were needed.
    start: Option<PathBuf>,
    /// What the job asks for, as far as it is the same for every backend.
    asked: Record,
}

/// Who runs a job.
pub(super) enum Runner {
    /// A library behind [`crate::backend`].
    Own(Library),
    /// A Python program.
    Python(Reference),
}

impl Runner {
    /// By the name that studies use.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if let Some(reference) = Reference::ALL.into_iter().find(|r| r.name() == name) {
            return Ok(Self::Python(reference));
        }
        if let Some(library) = Library::ALL.into_iter().find(|library| library.id() == name) {
            return Ok(Self::Own(library));
        }
        Err(format!("expected a backend of {}, found {name}", names().join(", ")))
    }

    /// The job's optimiser is taken in this convention.
    fn convention(&self) -> Option<Convention> {
        match self {
            Self::Own(_) => None,
            Self::Python(Reference::PyTorch) => Some(Convention::PyTorch),
            Self::Python(Reference::Keras) => Some(Convention::Keras),
        }
    }
}

/// Every backend, as studies call it.
pub(super) fn names() -> Vec<&'static str> {
    let own = Library::ALL.into_iter().map(Library::id);
    own.chain(Reference::ALL.into_iter().map(Reference::name)).collect()
}

impl Workers {
    pub(super) fn new(job: &Job) -> Result<Self, Error> {
        let mut job = job.clone();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        job.net.threads = Some(job.net.threads.unwrap_or(cores));
        if job.fit.loader_threads == 0 {
            job.fit.loader_threads = cores;
        }
        job.data = std::path::absolute(&job.data).unwrap_or(job.data);
        if let Weights::Safetensors(path) | Weights::PyTorch(path) | Weights::Keras(path) =
            &mut job.net.weights
        {
            *path = std::path::absolute(&path).unwrap_or(path.clone());
        }
        let preprocessing = job.net.resolved_preprocessing()?;
        job.net.preprocessing = Some(preprocessing);
        // A worker of a study leaves its record to the study.
        (job.record, job.predictions) = (None, None);
        let asked = asked(&job)?;
        let temporary =
            |source| Error::File { action: "make a folder in", path: std::env::temp_dir(), source };
        let folder = Scratch::new().map_err(temporary)?;
        Ok(Self { job, folder, start: None, asked })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn threads(&self) -> usize {
        self.job.net.threads.unwrap_or(1)
    }

    /// The starting weights as a file that every backend can read.
    pub(super) fn start(&mut self) -> Result<PathBuf, Error> {
        if let Some(path) = &self.start {
            return Ok(path.clone());
        }
        let path = self.folder.path().join("start.safetensors");
        // What is set for a GPU may not suit the processor, and weights do not depend on it.
        let net = Vgg {
            library: Library::LibTorch,
            processor: Processor::Cpu,
            compute: Compute::default(),
            ..self.job.net.clone()
        };
        net.build()?.parameters()?.write(&path, HashMap::new())?;
        self.start = Some(path.clone());
        Ok(path)
    }

    /// The starting weights with each one moved by a part of itself, for as long as `what` runs.
    pub(super) fn with_moved_start<T>(
        &mut self,
        part: f32,
        what: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, Error> {
        let start = self.start()?;
        let (mut weights, _) = Parameters::read(&start)?;
        for array in weights.arrays.values_mut() {
            for (index, value) in (0u32..).zip(&mut array.values) {
                // A bit of a hash: up or down, without a pattern that a layer might sum up.
                let up = index.wrapping_mul(0x9e37_79b1) >> 31 == 1;
                *value *= if up { 1.0 + part } else { 1.0 - part };
            }
        }
        let moved = self.folder.path().join("moved.safetensors");
        weights.write(&moved, HashMap::new())?;
        self.start = Some(moved);
        let result = what(self);
        self.start = Some(start);
        Ok(result)
    }

    /// A learning rate of 0, for as long as `what` runs.
    pub(super) fn without_learning<T>(&mut self, what: impl FnOnce(&mut Self) -> T) -> T {
        let rate = self.job.fit.learning_rate.replace(0.0);
        let result = what(self);
        self.job.fit.learning_rate = rate;
        result
    }

    /// A command of this library's own worker, for a library that is installed.
    pub(super) fn worker(&self, role: &str, library: Library) -> Result<Command, Refusal> {
        library.check_installed().map_err(Refusal::absent)?;
        let program = std::env::current_exe().map_err(Refusal::failed)?;
        let mut command = Command::new(program);
        command.arg(role).env(STUDIED, "1").envs(variables(self.threads()));
        command.env_remove(benchbook_frames::SOCKET_VARIABLE);
        Ok(command)
    }

    /// A command of Python with a program and its job.
    pub(super) fn python(
        &mut self,
        program: &str,
        reference: Reference,
        mut asked: Record,
        output: &Path,
        check: Option<references::Check>,
    ) -> Result<Command, Refusal> {
        self.suits_python(reference, check.is_some()).map_err(Refusal::absent)?;
        let python = references::python(&checkouts()).map_err(Refusal::absent)?;
        references::write(self.folder.path()).map_err(Refusal::failed)?;
        let start = self.start().map_err(Refusal::failed)?;
        let fit = &self.job.fit;
        let optimizer = match reference {
            Reference::PyTorch => fit.optimizer.in_convention(Convention::PyTorch),
            Reference::Keras => fit.optimizer.in_convention(Convention::Keras),
        };
        // Published weights are on the disk only now.
        let file = self.job.net.weights.file(&self.job.net.architecture());
        let sum = file.map(|path| sha256(&path)).transpose();
        asked.net.weights_sha256 = sum.map_err(Refusal::failed)?;
        let preprocessing = match self.job.net.preprocessing {
            Some(Preprocessing::Torchvision) => "torchvision",
            Some(Preprocessing::Caffe) => "caffe",
            _ => "rescaled",
        };
        let job = references::Job {
            record: asked,
            output: output.into(),
            data: self.job.data.clone(),
            start,
            size: self.job.net.size,
            head: self.job.net.head.to_string(),
            dropout: self.job.net.dropout,
            freeze: self.job.net.base == Base::Frozen,
            preprocessing,
            batch_size: fit.batch_size,
            test_batch_size: EVALUATION_BATCH,
            epochs: fit.epochs,
            steps_per_epoch: fit.steps_per_epoch,
            validate: fit.validate,
            compute: serde_json::to_value(self.job.net.compute).map_err(Refusal::failed)?,
            optimizer: serde_json::to_value(optimizer).map_err(Refusal::failed)?,
            learning_rate: fit.rate(),
            seed: fit.seed,
            threads: self.threads(),
            loader_threads: fit.loader_threads,
            device: device(self.job.net.processor),
            check,
        };
        let path = self.folder.path().join(format!("{program}.json"));
        job.write(&path).map_err(Refusal::failed)?;
        let mut command = Command::new(python);
        command.arg(self.folder.path().join(program)).arg(&path);
        command.env_remove("PYTHONPATH").env_remove("LD_LIBRARY_PATH");
        command.envs(variables(self.threads())).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("TF_CPP_MIN_LOG_LEVEL", "2");
        Ok(command)
    }

    /// Why the Python originals cannot do this job, if they cannot: a setting that they lack would make the
    /// comparison one of different work. For a check they are given the pictures, as changed as they may be.
    fn suits_python(&self, reference: Reference, is_check: bool) -> Result<(), String> {
        let (net, fit) = (&self.job.net, &self.job.fit);
        // TensorFlow leaves no choice of the others, and on a GPU it has one switch for both kinds of TF32.
        let Compute { tf32_matmul, tf32_convolutions, cudnn_benchmark, .. } = net.compute;
        let free = match device(net.processor).as_str() {
            "cpu" => {
                Compute { tf32_matmul, tf32_convolutions, cudnn_benchmark, ..Compute::default() }
            }
            _ => Compute {
                tf32_matmul: tf32_convolutions,
                tf32_convolutions,
                cudnn_benchmark: true,
                ..Compute::default()
            },
        };
        let unfit = reference == Reference::Keras && net.compute != free;
        let of_net = [
            ("net.depth other than vgg16", net.depth != Depth::Vgg16),
            ("net.batch_norm", net.batch_norm),
            (
                "a net.compute other than TensorFlow's own (on a GPU cudnn_benchmark, and one switch for TF32)",
                unfit,
            ),
        ];
        let of_run = [
            (
                "own steps of preprocessing",
                matches!(net.preprocessing, Some(Preprocessing::Custom(_))),
            ),
            ("net.crop", net.crop != Crop::None),
            ("net.filter", net.filter != Filter::Bilinear),
            ("fit.crop", fit.crop.is_some()),
            ("fit.augmentation", !fit.augmentation.is_empty()),
            ("fit.class_weights", fit.class_weights.is_some()),
            ("fit.schedule", fit.schedule != Schedule::Constant),
            ("fit.callbacks", !fit.callbacks.is_empty()),
            ("fit.cache_features", fit.cache_features),
            ("fit.cache", fit.cache != benchbook_data::Cache::Off),
            ("fit.validation_steps", fit.validation_steps.is_some()),
            ("fit.validation_batch_size", fit.validation_batch_size.is_some()),
        ];
        let of_run = of_run.iter().filter(|_| !is_check);
        if let Some((name, _)) = of_net.iter().chain(of_run).find(|(_, asked)| *asked) {
            let original = reference.name();
            return Err(format!("{original} does not have {name}, which the job sets"));
        }
        if is_check {
            return Ok(());
        }
        for split in ["train", "validation"] {
            let folder = self.job.data.join(split);
            if !folder.is_dir() {
                return Err(format!(
                    "the Python originals read train/<class> and validation/<class>; there is no {}",
                    folder.display()
                ));
            }
        }
        Ok(())
    }
}

impl Launcher for Workers {
    fn asked(&mut self, backend: &str, study: &str) -> Record {
        let mut asked = self.asked.clone();
        asked.name = format!("{study}: {backend}");
        asked.library.name = match Runner::named(backend) {
            Ok(Runner::Own(library)) => library.backend().name().into(),
            _ => backend.into(),
        };
        let convention = Runner::named(backend).ok().and_then(|runner| runner.convention());
        if let (Some(convention), Some(training)) = (convention, &mut asked.training) {
            let optimizer = self.job.fit.optimizer.in_convention(convention);
            training.optimizer = Some(optimizer.to_string());
        }
        asked
    }

    fn launch(&mut self, backend: &str, study: &str) -> Result<Launch, Refusal> {
        let record = self.folder.path().join("record.json");
        let asked = self.asked(backend, study);
        let command = match Runner::named(backend).map_err(Refusal::absent)? {
            Runner::Python(reference) => {
                self.python(reference.program(), reference, asked, &record, None)?
            }
            Runner::Own(library) => {
                let mut job = self.job.clone();
                job.name = asked.name;
                job.net.library = library;
                let mut command = self.worker("job", library)?;
                let path = self.folder.path().join("job.json");
                let text = serde_json::to_vec(&job).map_err(Refusal::failed)?;
                std::fs::write(&path, text).map_err(Refusal::failed)?;
                command.arg(path).arg("--record").arg(&record);
                command
            }
        };
        Ok(Launch { command, record })
    }
}

/// What every process of a study gets, so that no library chooses for itself. They also share the settings of
/// the C library's allocator with the worker that starts them (`worker/src/allocator.rs`); records state them.
fn variables(threads: usize) -> [(&'static str, String); 5] {
    [
        // So that all count GPUs as the driver does, which watches them.
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".into()),
        ("OMP_NUM_THREADS", threads.to_string()),
        ("MKL_NUM_THREADS", threads.to_string()),
        // TensorFlow's own choice depends on the processor.
        ("TF_ENABLE_ONEDNN_OPTS", "1".into()),
        // As PyTorch and the originals by themselves: on a GPU what is repeatable may be slower.
        ("TF_DETERMINISTIC_OPS", "0".into()),
    ]
}

/// Where an environment for Python may lie: the checkout that this was installed from.
fn checkouts() -> Vec<PathBuf> {
    std::env::var_os("BENCHBOOK_CHECKOUT").map(PathBuf::from).into_iter().collect()
}

fn device(processor: Processor) -> String {
    match processor {
        Processor::Cpu => "cpu".into(),
        Processor::Cuda(number) => format!("cuda:{number}"),
        Processor::Auto if tch::Cuda::is_available() => "cuda:0".into(),
        Processor::Auto => "cpu".into(),
    }
}

/// The record of a run before it has begun: its conditions and the machine.
fn asked(job: &Job) -> Result<Record, Error> {
    let net = &job.net;
    let mut environment = Environment::here();
    for (name, value) in variables(net.threads.unwrap_or(1)) {
        environment.variables.retain(|(known, _)| known != name);
        environment.variables.push((name.into(), value));
    }
    let device = device(net.processor);
    let device_name = environment.device_name(&device);
    let settings = compute_settings(&net.compute, &device);
    let weights = net.weights.file(&net.architecture()).filter(|path| path.exists());
    let weights_sha256 = weights.map(|path| sha256(&path)).transpose()?;
    let folder = benchbook_data::ImageFolder::open_with(&job.data, job.folder)?;
    Ok(Record {
        schema: SCHEMA,
        library: benchbook_study::record::Library {
            device: Some(device),
            device_name,
            threads: net.threads,
            precision: Some(net.compute.precision.to_string()),
            settings,
            ..Default::default()
        },
        net: Net {
            name: net.architecture().name(),
            head: Some(net.head.to_string()),
            base: Some(crate::run::base_name(net.base).into()),
            dropout: Some(net.dropout),
            weights: Some(net.weights.describe(net.seed)),
            weights_sha256,
            input_size: Some([net.size; 2]),
            preprocessing: net
                .preprocessing
                .as_ref()
                .map(|steps| crate::record::pixels(steps, net.crop, net.filter)),
            ..Net::default()
        },
        data: facts(&folder),
        training: Some(training(&job.fit)),
        environment,
        revision: crate::record::revision(),
        ..Record::default()
    })
}
