//! Starts a backend's run: Rust backends in a worker, other libraries as separate programs.

use super::check::Common;
use super::trace;
use crate::backend::{ALL, BackendId, Compute, Device, Runner, without_code};
use crate::error::Error;
use crate::job::{Job, STUDIED};
use crate::model::{Build, EVALUATION_BATCH, Model, Weights};
use crate::record::{
    Environment, Record, SCHEMA, compute_settings, facts, net_facts, setting, sha256, training,
    weights,
};
use crate::train::Schedule;
use benchbook_data::{
    Crop, Filter, ImageFolder, Loader, LoaderConfig, OnBadImage, Preprocessing, Split,
};
use benchbook_nets::{Architecture, Net, Operation};
use benchbook_study::files::Scratch;
use benchbook_study::record::Computes;
use benchbook_study::references::{self, Question, Reference};
use benchbook_study::runner::{Launch, Launcher, Refusal};
use benchbook_weights::safetensors;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The common state of a study's runs: the job with every open setting fixed, and a folder for files.
pub(super) struct Workers {
    pub(super) job: Job,
    pub(super) net: Net,
    /// Class names of the job's data.
    class_names: Vec<String>,
    folder: Scratch,
    /// The file of the starting weights, written at the first use.
    start: Option<PathBuf>,
    /// The training split.
    train: Split,
    /// Expected images of the whole training, of a validation and of the test.
    images: [Option<usize>; 3],
    /// The settled values that each run is compared with.
    common: Option<Arc<Common>>,
    /// The question to the newest run.
    question: Option<Question>,
    /// The folder for profiles.
    profiles: Option<PathBuf>,
    /// The requested conditions that all backends share.
    asked: Record,
    /// The job's own seeds of the starting weights and of the training.
    seeds: [u64; 2],
}

impl Workers {
    pub(super) fn new(job: &Job) -> Result<Self, Error> {
        let published = job.published()?;
        let mut job = job.clone();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        job.build.threads = Some(job.build.threads.unwrap_or(cores));
        // One device for all backends, for comparable runs; the row of a library without the device says so.
        let gpu =
            || if tch::Cuda::is_available() { tch::Device::Cuda(0) } else { tch::Device::Cpu };
        job.build.device.get_or_insert_with(gpu);
        if job.fit.loader_threads == 0 {
            job.fit.loader_threads = cores;
        }
        job.data = std::path::absolute(&job.data).unwrap_or(job.data);
        if let Weights::File(path) = &mut job.build.weights {
            *path = std::path::absolute(&path).unwrap_or(path.clone());
        }
        let preprocessing = job.build.resolved_preprocessing()?;
        job.build.preprocessing = Some(preprocessing);
        let net = Net::new(job.net.graph())?;
        // The study writes the records.
        (job.record, job.predictions) = (None, None);
        let data = ImageFolder::open_with(&job.data, job.folder)?;
        let asked = Record { job: Some(published), ..asked(&job, &net, &data)? };
        let class_names = data.class_names().to_vec();
        let train = data.train();
        let order = order(&job, &train)?;
        let test = if data.test().is_empty() { data.validation() } else { data.test() };
        let trained: usize = order.iter().flatten().map(Vec::len).sum();
        // Skipped images and early stopping change the counts legitimately.
        let whole = job.fit.on_bad_image == OnBadImage::Fail;
        let count = |images: usize| Some(images).filter(|_| whole);
        let images = [
            count(trained).filter(|_| job.fit.callbacks.is_empty()),
            count(data.validation().len()).filter(|_| job.fit.validation_steps.is_none()),
            count(test.len()),
        ];
        let folder = crate::files::scratch()?;
        let seeds = [job.build.seed, job.fit.seed];
        let (start, common, question, profiles) = (None, None, None, None);
        Ok(Self {
            job,
            net,
            class_names,
            folder,
            start,
            train,
            images,
            common,
            question,
            profiles,
            asked,
            seeds,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn images(&self) -> [Option<usize>; 3] {
        self.images
    }

    /// Compares later runs with the settled values.
    pub(super) fn hold_to(&mut self, common: &Arc<Common>) {
        self.common = Some(Arc::clone(common));
    }

    /// Has later runs write profiles into a folder.
    pub(super) fn write_profiles(&mut self, folder: &Path) {
        self.profiles = Some(std::path::absolute(folder).unwrap_or(folder.into()));
    }

    fn profile(&self, backend: &str) -> Option<PathBuf> {
        Some(self.profiles.as_ref()?.join(format!("{backend}.json")))
    }

    /// The threads of one process.
    pub(super) fn threads(&self) -> usize {
        self.job.build.threads_of_rank(self.job.build.threads.unwrap_or(1))
    }

    /// The file of the starting weights, which every backend can read.
    pub(super) fn start(&mut self) -> Result<PathBuf, Error> {
        if let Some(path) = &self.start {
            return Ok(path.clone());
        }
        let path = self.folder.path().join("start.safetensors");
        // The weights do not depend on settings for a GPU, which the CPU may not support.
        let build = Build {
            ranks: 1,
            backend: BackendId::default(),
            device: Some(tch::Device::Cpu),
            compute: Compute::default(),
            ..self.job.build.clone()
        };
        let weights = Model::new(&self.job.net, build)?.parameters()?;
        safetensors::write(&weights, &path, HashMap::new())?;
        self.start = Some(path.clone());
        Ok(path)
    }

    /// The command of a worker, for an installed backend.
    pub(super) fn worker(&self, role: &str, backend: BackendId) -> Result<Command, Refusal> {
        backend.installed().map_err(Refusal::absent)?;
        backend.supports(&self.job.build.plan(self.net.clone())).map_err(Refusal::absent)?;
        let program = std::env::current_exe().map_err(Refusal::failed)?;
        let mut command = Command::new(program);
        command.arg(role).env(STUDIED, "1").envs(variables(self.threads()));
        command.env_remove(benchbook_frames::SOCKET_VARIABLE);
        Ok(command)
    }

    /// The command of a separate program with its job.
    pub(super) fn program(
        &mut self,
        reference: &Reference,
        mut asked: Record,
        output: &Path,
        trace: Option<Question>,
    ) -> Result<Command, Refusal> {
        let alone = trace.as_ref().is_some_and(|question| question.before.is_none());
        self.suits(reference, alone).map_err(Refusal::absent)?;
        let mut command = Command::new(reference.installed().map_err(Refusal::absent)?);
        let ranks = self.job.build.ranks;
        if ranks > 1 {
            command.args(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]);
            command.arg(ranks.to_string());
        }
        command.args(reference.write(self.folder.path()).map_err(Refusal::failed)?);
        let start = self.start().map_err(Refusal::failed)?;
        let fit = &self.job.fit;
        let optimizer = fit.optimizer.in_convention(reference.convention);
        // `start` has downloaded published weights.
        let file = self.job.build.weights.file(self.net.name());
        let sum = file.map(|path| sha256(&path)).transpose();
        asked.net.weights_sha256 = sum.map_err(Refusal::failed)?;
        let preprocessing = match self.job.build.preprocessing {
            Some(Preprocessing::Torchvision) => "torchvision",
            Some(Preprocessing::Caffe) => "caffe",
            _ => "rescaled",
        };
        let job = references::Job {
            record: asked,
            output: output.into(),
            data: self.job.data.clone(),
            start,
            variant: reference.variant.iter().copied().collect(),
            net: serde_json::to_value(&self.net).map_err(Refusal::failed)?,
            class_names: self.class_names.clone(),
            freeze: self.job.build.frozen,
            preprocessing,
            batch_size: fit.batch_size,
            test_batch_size: EVALUATION_BATCH,
            epochs: fit.epochs,
            steps_per_epoch: fit.steps_per_epoch,
            validate: fit.validate,
            compute: serde_json::to_value(self.job.build.compute).map_err(Refusal::failed)?,
            optimizer: serde_json::to_value(optimizer).map_err(Refusal::failed)?,
            learning_rate: fit.rate(),
            seed: fit.seed,
            threads: self.threads(),
            ranks,
            loader_threads: fit.loader_threads,
            device: device(self.job.build.requested_device()),
            order: if alone {
                Vec::new()
            } else {
                order(&self.job, &self.train).map_err(Refusal::failed)?
            },
            trace,
            profile: self.profile(reference.about.id),
            states: benchbook_study::conditions::by_process(),
        };
        let path = self.folder.path().join(format!("{}.json", reference.about.id));
        job.write(&path).map_err(Refusal::failed)?;
        command.arg(&path);
        command.env_remove("PYTHONPATH").env_remove("LD_LIBRARY_PATH");
        command.envs(variables(self.threads())).env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }

    /// Refuses a job with settings that separate programs lack, which would compare different work. For a trace alone the
    /// program gets preprocessed images, so only the build's settings matter.
    fn suits(&self, reference: &Reference, is_trace: bool) -> Result<(), String> {
        without_code(&self.net, reference.about.name).map_err(|error| error.to_string())?;
        let (build, fit) = (&self.job.build, &self.job.fit);
        let on_gpu = device(build.requested_device()) != "cpu";
        if build.ranks > 1 {
            self.suits_ranks(reference, on_gpu, is_trace)?;
        }
        let of_build = (reference.supports)(&build.compute, on_gpu).err();
        let of_run = [
            (
                "own steps of preprocessing",
                matches!(build.preprocessing, Some(Preprocessing::Custom(_))),
            ),
            ("build.crop", build.crop != Crop::None),
            ("build.filter", build.filter != Filter::Bilinear),
            ("fit.crop", fit.crop.is_some()),
            ("fit.augmentation", !fit.augmentation.is_empty()),
            ("fit.class_weights", fit.class_weights.is_some()),
            ("fit.schedule", fit.schedule != Schedule::Constant),
            ("fit.callbacks", !fit.callbacks.is_empty()),
            ("fit.cache_features", fit.cache_features),
            ("fit.cache", fit.cache != benchbook_data::Cache::Off),
            ("fit.validation_steps", fit.validation_steps.is_some()),
            ("fit.validation_batch_size", fit.validation_batch_size.is_some()),
            (
                "`profiles` of the study",
                self.profiles.is_some() && (build.ranks > 1 || !reference.has_profile),
            ),
        ];
        let mut of_run = of_run.iter().filter(|(_, is_set)| *is_set && !is_trace);
        if let Some(name) = of_build.or_else(|| of_run.next().map(|(name, _)| *name)) {
            return Err(format!(
                "{} lacks {name}, which the job sets; unset it, or leave this backend out",
                reference.about.id
            ));
        }
        if is_trace {
            return Ok(());
        }
        for split in ["train", "validation"] {
            let folder = self.job.data.join(split);
            if !folder.is_dir() {
                return Err(format!(
                    "separate programs read train/<class> and validation/<class>; the folder {} is missing",
                    folder.display()
                ));
            }
        }
        Ok(())
    }
}

impl Workers {
    /// Why several ranks of a program cannot do this job, if they cannot.
    fn suits_ranks(
        &self,
        reference: &Reference,
        on_gpu: bool,
        is_trace: bool,
    ) -> Result<(), String> {
        let ranks = self.job.build.ranks;
        if !reference.has_ranks || on_gpu {
            let device = if on_gpu { " on a GPU" } else { "" };
            return Err(format!("{} does not have build.ranks{device}", reference.about.id));
        }
        let mut layers = self.net.layers().iter();
        if let Some(layer) = layers.find(|l| matches!(l.operation, Operation::BatchNorm(_))) {
            return Err(format!(
                "PyTorch's SyncBatchNorm, which layer `{}` would need in {ranks} ranks, computes on GPUs only",
                layer.name
            ));
        }
        let batch = self.job.fit.batch_size;
        let small = |images: usize| (1..ranks).contains(&(images % batch));
        let [_, validation, test] = self.images;
        let [validation, test] = [validation, test].map(|images| images.unwrap_or(0));
        if !is_trace
            && (batch < ranks
                || small(self.train.len())
                || small(validation)
                || (1..ranks).contains(&(test % EVALUATION_BATCH)))
        {
            return Err(format!(
                "DistributedDataParallel needs an image for each of the {ranks} ranks in every batch, also in the last one"
            ));
        }
        Ok(())
    }
}

impl Launcher for Workers {
    /// Adds the round to the job's seeds, so that the rounds are different trainings.
    fn begin_round(&mut self, round: usize) {
        let [weights_seed, seed] = self.seeds.map(|seed| seed.wrapping_add(round as u64));
        (self.job.build.seed, self.job.fit.seed) = (weights_seed, seed);
        self.start = None;
        self.asked.training = Some(training(&self.job.fit));
        self.asked.net.weights = Some(weights(&self.net, &self.job.build));
    }

    fn asked(&mut self, backend: &str, study: &str) -> Record {
        let mut asked = self.asked.clone();
        asked.name = format!("{study}: {backend}");
        let runner = Runner::find(backend);
        asked.library.name = runner.as_ref().map_or(backend, |runner| runner.about().name).into();
        if let (Ok(Runner::Program(reference)), Some(training)) = (runner, &mut asked.training) {
            let optimizer = self.job.fit.optimizer.in_convention(reference.convention);
            training.optimizer = Some(setting(&optimizer));
        }
        asked
    }

    fn launch(&mut self, backend: &str, study: &str) -> Result<Launch, Refusal> {
        let record = self.folder.path().join("record.json");
        let asked = self.asked(backend, study);
        self.question = match self.common.clone() {
            None => None,
            Some(common) => {
                let start = self.start().map_err(Refusal::failed)?;
                common.question(backend, self.folder.path(), start)
            }
        };
        if let Some(question) = &self.question {
            let _ = std::fs::remove_file(&question.output);
        }
        let question = self.question.clone();
        let command = match Runner::find(backend).map_err(Refusal::absent)? {
            Runner::Program(reference) => self.program(reference, asked, &record, question)?,
            Runner::Rust(own) => {
                let mut job = self.job.clone();
                job.name = asked.name;
                job.build.backend = own;
                let mut command = self.worker("job", own)?;
                let path = self.folder.path().join("job.json");
                let text = serde_json::to_vec(&job).map_err(Refusal::failed)?;
                std::fs::write(&path, text).map_err(Refusal::failed)?;
                command.arg(path).arg("--record").arg(&record);
                if let Some(question) = question {
                    let path = self.folder.path().join("question.json");
                    trace::write_json(&question, &path).map_err(Refusal::failed)?;
                    command.arg("--trace").arg(path);
                }
                if let Some(file) = self.profile(backend) {
                    command.arg("--profile").arg(file);
                }
                command
            }
        };
        Ok(Launch { command, record })
    }

    fn audit(&mut self, backend: &str, record: &mut Record) -> Option<Computes> {
        let question = self.question.take()?;
        let common = self.common.as_ref()?;
        Some(common.audit(backend, &self.job, &question, record))
    }
}

/// The environment variables of every process of a study, which fix settings that libraries would choose. Processes also
/// inherit the C library's allocator settings from the worker (`worker/src/allocator.rs`); records state both.
fn variables(threads: usize) -> Vec<(&'static str, String)> {
    let threads = threads.to_string();
    let common = [
        // Number GPUs as the driver does, which measures them.
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".into()),
        ("OMP_NUM_THREADS", threads.clone()),
        ("MKL_NUM_THREADS", threads),
    ];
    let of_libraries = ALL.iter().flat_map(|runner| runner.about().variables);
    common.into_iter().chain(of_libraries.map(|(name, value)| (*name, (*value).into()))).collect()
}

/// The images of every batch of every epoch, in the order of this library's training.
fn order(job: &Job, train: &Split) -> Result<Vec<Vec<Vec<PathBuf>>>, Error> {
    let fit = &job.fit;
    let input = Net::new(job.net.graph())?.input();
    let preprocessing = job.build.resolved_preprocessing()?;
    let config = LoaderConfig {
        seed: fit.seed,
        ..job.build.loader_config(input, preprocessing, fit.batch_size)
    };
    let loader = Loader::new(train, config)?;
    let paths: Vec<&Path> = train.paths().collect();
    let mut passes = (0..).flat_map(|pass| {
        let order = loader.order(pass);
        let batches = order.chunks(fit.batch_size).map(|batch| {
            batch.iter().map(|index| paths[*index].to_path_buf()).collect::<Vec<PathBuf>>()
        });
        batches.collect::<Vec<_>>()
    });
    // With `steps_per_epoch`, an epoch starts where the previous one ended.
    let steps = fit.steps_per_epoch.unwrap_or_else(|| loader.batches());
    Ok((0..fit.epochs).map(|_| passes.by_ref().take(steps).collect()).collect())
}

/// The name of the device that a job runs on.
pub(super) fn device(requested: Device) -> String {
    match requested {
        Device::Auto if tch::Cuda::is_available() => "cuda:0".into(),
        Device::Auto => "cpu".into(),
        known => known.to_string(),
    }
}

/// The record of a run before its start: its conditions and the machine.
fn asked(job: &Job, net: &Net, data: &ImageFolder) -> Result<Record, Error> {
    let build = &job.build;
    let mut environment = Environment::here();
    let threads = build.threads.map(|threads| build.threads_of_rank(threads));
    for (name, value) in variables(threads.unwrap_or(1)) {
        environment.set(name, &value);
    }
    let device = device(build.requested_device());
    let device_name = environment.device_name(&device);
    let settings = compute_settings(&build.compute, &device);
    let weights = build.weights.file(net.name()).filter(|path| path.exists());
    let weights_sha256 = weights.map(|path| sha256(&path)).transpose()?;
    Ok(Record {
        schema: SCHEMA,
        library: benchbook_study::record::Library {
            device: Some(device),
            device_name,
            threads,
            ranks: Some(build.ranks).filter(|ranks| *ranks > 1),
            precision: Some(build.compute.precision.to_string()),
            settings,
            ..Default::default()
        },
        net: benchbook_study::record::Net {
            weights_sha256,
            preprocessing: build
                .preprocessing
                .as_ref()
                .map(|steps| crate::record::pixels(steps, build.crop, build.filter)),
            ..net_facts(net, build)
        },
        data: facts(data),
        training: Some(training(&job.fit)),
        environment,
        revision: crate::record::revision(),
        ..Record::default()
    })
}
