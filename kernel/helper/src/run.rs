//! Measures the four phases of a run: load, build, train and test.
//!
//! A [`Run`] only wraps calls that a notebook can make without it: it reads a monotonic clock before and after, with the
//! device synchronised on both sides, and keeps the measurements for a [`Record`]. Jobs of the terminal use it too, so
//! their figures are measured like those of notebooks.

use crate::backend::{Input, Step};
use crate::error::Error;
use crate::model::{Build, Buildable, Evaluation, Model, Predictions};
use crate::record::{
    BuildParts, Data, Environment, Epoch, ImagesSeen, Library, LoadParts, Metrics, PeakMemory,
    Phases, Rates, Record, SCHEMA, TrainParts, compute_settings, facts, library_build,
    names_sha256, net_facts, peak_memory, sha256, training,
};
use crate::train::{Callback, EpochMetrics, Event, Fit, History, Live, Training};
use benchbook_data::{Batch, Dataset, FolderOptions, ImageFolder, Loader, LoaderConfig, Split};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Measures one run.
#[derive(Clone, Debug)]
pub struct Run {
    name: String,
    started: u64,
    began: Instant,
    phases: Phases,
    other_phases: BTreeMap<String, f64>,
    load_parts: LoadParts,
    first_step: Option<f64>,
    features: f64,
    tested: usize,
    steps: u64,
    evaluations: Vec<Evaluation>,
    epochs: Vec<Epoch>,
    rates: Option<Rates>,
    memory: PeakMemory,
    data: Data,
    weights_sha256: Option<String>,
}

impl Run {
    /// Begins a run and resets the process's peak memory.
    pub fn new(name: impl Into<String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            name: name.into(),
            started: now.map_or(0, |since| since.as_secs()),
            began: Instant::now(),
            phases: Phases::default(),
            other_phases: BTreeMap::new(),
            load_parts: LoadParts::default(),
            first_step: None,
            features: 0.0,
            tested: 0,
            steps: 0,
            evaluations: Vec::new(),
            epochs: Vec::new(),
            rates: None,
            memory: crate::record::reset_peak_memory(),
            data: Data::default(),
            weights_sha256: None,
        }
    }

    /// The phase `load`: opens the folder, makes the first training batch for `net` and copies it to
    /// the device. Returns the folder and that batch.
    ///
    /// # Errors
    /// [`Error::Data`] (a missing folder, an empty class or an unusable file, by name), [`Error::Net`], [`Error::Weights`]
    /// (the metadata on preprocessing), [`Error::Backend`].
    pub fn load(
        &mut self,
        folder: impl AsRef<Path>,
        net: &impl Buildable,
        build: &Build,
        fit: &Fit,
    ) -> Result<(ImageFolder, Batch), Error> {
        self.load_with(folder, FolderOptions::default(), net, build, fit)
    }

    /// [`Run::load`] with options for the folder.
    ///
    /// # Errors
    /// As [`Run::load`].
    pub fn load_with(
        &mut self,
        folder: impl AsRef<Path>,
        options: FolderOptions,
        net: &impl Buildable,
        build: &Build,
        fit: &Fit,
    ) -> Result<(ImageFolder, Batch), Error> {
        let (backend, device) = (build.backend, build.requested_device());
        let input = net.input()?;
        wake(build)?;
        let began = Instant::now();
        let data = ImageFolder::open_with(folder, options)?;
        let listed = began.elapsed().as_secs_f64();
        let config = LoaderConfig {
            prefetch: 0,
            on_bad_image: fit.on_bad_image,
            ..build.loader_config(input, build.resolved_preprocessing()?, fit.batch_size)
        };
        let loader = Loader::new(&data.train(), config)?;
        let empty = || benchbook_data::DataError::EmptySplit { split: "train".into() };
        let mut epoch = loader.epoch(0);
        let batch = epoch.next().ok_or_else(empty)??;
        let made = began.elapsed().as_secs_f64();
        backend.upload(&batch.values, device)?;
        let seconds = began.elapsed().as_secs_f64();
        self.phases.load = Some(seconds);
        // Threads work in parallel: take the shares of their times in the elapsed time.
        let times = epoch.times();
        let (decoding, transforming) = (times.read + times.decode, times.resize + times.change);
        let share =
            decoding.as_secs_f64() / (decoding + transforming).as_secs_f64().max(f64::MIN_POSITIVE);
        let first_batch = made - listed;
        self.load_parts = LoadParts {
            list: Some(listed),
            first_batch: Some(first_batch),
            decode: Some(first_batch * share),
            transform: Some(first_batch * (1.0 - share)),
            copy: Some(seconds - made),
        };
        self.data = facts(&data);
        Ok((data, batch))
    }

    /// The phase `build`: builds the net with its weights on its device.
    ///
    /// # Errors
    /// As [`Model::build`], and [`Error::File`] if the weights file disappears meanwhile.
    pub fn build(
        &mut self,
        net: impl Buildable,
        data: &dyn Dataset,
        build: Build,
    ) -> Result<Model, Error> {
        let began = Instant::now();
        let mut model = Model::build(net, data, build)?;
        model.network().synchronize()?;
        self.phases.build = Some(began.elapsed().as_secs_f64());
        let file = model.settings().weights.file(model.net().name());
        self.weights_sha256 = file.map(|path| sha256(&path)).transpose()?;
        Ok(model)
    }

    /// The phase `train`, shown live in the notebook. The times of several trainings add up.
    ///
    /// # Errors
    /// As [`Model::fit`]; the time until the error counts.
    pub fn train(
        &mut self,
        model: &mut Model,
        data: &dyn Dataset,
        fit: Fit,
    ) -> Result<History, Error> {
        self.train_with(model, data, fit, &mut Live::named(&self.name))
    }

    /// [`Run::train`] with a callback.
    ///
    /// # Errors
    /// As [`Model::fit_with`]; the time until the error counts.
    pub fn train_with(
        &mut self,
        model: &mut Model,
        data: &dyn Dataset,
        fit: Fit,
        callback: &mut dyn Callback,
    ) -> Result<History, Error> {
        let before = model.history();
        model.network().synchronize()?;
        let began = Instant::now();
        let mut callback = FirstStep { callback, seconds: &mut self.first_step };
        let result = model.fit_with(data, fit, &mut callback);
        let waited = model.network().synchronize();
        let seconds = began.elapsed().as_secs_f64();
        *self.phases.train.get_or_insert(0.0) += seconds;
        let after = model.history();
        self.steps += after.steps - before.steps;
        self.features += after.feature_seconds - before.feature_seconds;
        self.epochs.extend(after.epochs[before.epochs.len()..].iter().map(Epoch::from));
        if self.data.classes.is_empty() {
            self.data = facts(data);
        }
        result.and_then(|history| Ok(waited.map(|()| history)?))
    }

    /// Times any other work: `run.phase("augmentation", || …)`. The record keeps the seconds by name; calls with the
    /// same name add up.
    pub fn phase<T>(&mut self, name: impl Into<String>, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        *self.other_phases.entry(name.into()).or_insert(0.0) += began.elapsed().as_secs_f64();
        result
    }

    /// Loss and accuracy on a labelled split. The record keeps the result with its seconds, outside the phases.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate(&mut self, model: &mut Model, split: &Split) -> Result<Evaluation, Error> {
        let evaluation = model.evaluate(split)?;
        self.evaluations.push(evaluation.clone());
        Ok(evaluation)
    }

    /// The phase `test`: predicts every image of a split.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn test(&mut self, model: &mut Model, split: &Split) -> Result<Predictions, Error> {
        let predictions = model.predict(split)?;
        *self.phases.test.get_or_insert(0.0) += predictions.seconds;
        self.tested += predictions.predictions.len();
        Ok(predictions)
    }

    /// The record of the measurements so far.
    ///
    /// # Errors
    /// [`Error::Phase`] before the phase `build`.
    pub fn record(&self, model: &mut Model) -> Result<Record, Error> {
        if self.phases.build.is_none() {
            return Err(Error::Phase { wanted: "record", missing: "build" });
        }
        let fit = if self.phases.train.is_some() { model.trained_with().cloned() } else { None };
        let build = model.settings().clone();
        let info = model.backend();
        let environment = Environment::here();
        let settings = compute_settings(&build.compute, &info.device);
        let device_name = environment.device_name(&info.device);
        let file = library_build(&info.name.to_lowercase());
        let (parameters, trainable_parameters) = model.parameter_counts();
        let metrics = Metrics { evaluations: self.evaluations.clone(), ..Metrics::default() };
        let record = Record {
            schema: SCHEMA,
            name: self.name.clone(),
            started: self.started,
            wall_seconds: Some(self.began.elapsed().as_secs_f64()),
            library: Library {
                name: info.name,
                version: Some(info.version),
                language: Some("Rust".into()),
                device: Some(info.device),
                device_name,
                threads: Some(info.threads),
                ranks: Some(build.ranks).filter(|ranks| *ranks > 1),
                precision: Some(info.precision),
                settings,
                parts: [("build", file), ("graph", Some(info.graph.into()))]
                    .into_iter()
                    .filter_map(|(name, found)| Some((name.to_owned(), found?)))
                    .collect(),
            },
            net: benchbook_study::record::Net {
                weights_sha256: self.weights_sha256.clone(),
                parameters: Some(parameters),
                trainable_parameters: Some(trainable_parameters),
                preprocessing: Some(model.pixels()),
                ..net_facts(model.net(), &build)
            },
            data: with_skipped(self.data.clone(), model.skipped()),
            training: fit.as_ref().map(training),
            images_seen: ImagesSeen {
                training: fit.as_ref().map(|_| 0),
                validation: fit.as_ref().map(|_| 0),
                test: self.phases.test.map(|_| self.tested),
            },
            steps: Some(self.steps),
            phases: self.phases,
            other_phases: self.other_phases.clone(),
            load_parts: self.load_parts,
            build_parts: BuildParts { first_step: self.first_step, ..model.build_parts() },
            train_parts: TrainParts { features: self.features, ..TrainParts::default() },
            rates: self.rates,
            peak_memory: PeakMemory {
                device_bytes: model.network().peak_device_memory()?,
                ..peak_memory(&self.memory)
            },
            metrics,
            epochs: self.epochs.clone(),
            environment,
            revision: crate::record::revision(),
            ..Record::default()
        };
        Ok(record.complete())
    }

    /// Measures net and loader separately, to compare with the training: the slower one limits the run. The net's steps
    /// have learning rate 0, but change the running statistics of batch normalisation and the optimiser's state, so call
    /// this last. It belongs to no phase.
    ///
    /// # Errors
    /// [`Error::Phase`] before the phase `train`; as [`Model::fit`].
    pub fn rates(&mut self, model: &mut Model, data: &dyn Dataset) -> Result<Rates, Error> {
        let missing = || Error::Phase { wanted: "rates", missing: "train" };
        let fit = model.trained_with().cloned().ok_or_else(missing)?;
        let images: usize = self.epochs.iter().map(|epoch| epoch.training_images).sum();
        let seconds: f64 = self.epochs.iter().map(|epoch| epoch.training_seconds).sum();
        if images == 0 {
            return Err(missing());
        }
        let loader = Loader::new(&data.train(), model.training_config(&fit))?;
        let began = Instant::now();
        let mut loaded = 0;
        let mut kept = None;
        for batch in loader.epoch(0) {
            crate::interrupt::check()?;
            let batch = batch?;
            loaded += batch.len();
            kept = kept.or(Some(batch));
        }
        let loader_rate = loaded as f64 / began.elapsed().as_secs_f64();
        let batch =
            kept.ok_or_else(|| benchbook_data::DataError::EmptySplit { split: "train".into() })?;
        let step = Step { rate: 0.0, seed: fit.seed, class_weights: fit.class_weights.as_deref() };
        let network = model.network();
        let held = network.hold(&batch.values, batch.len())?;
        let input = held.as_deref().map_or(Input::Values(&batch.values), Input::Held);
        let mut stepped = 0;
        // One step to warm up, then at least three.
        network.train_step(input, &batch.labels, step)?;
        network.synchronize()?;
        let began = Instant::now();
        while stepped < 3 * batch.len() || began.elapsed() < SYNTHETIC {
            crate::interrupt::check()?;
            network.train_step(input, &batch.labels, step)?;
            stepped += batch.len();
        }
        network.synchronize()?;
        let synthetic = stepped as f64 / began.elapsed().as_secs_f64();
        let rates = Rates { synthetic, loader: loader_rate, real: images as f64 / seconds };
        self.rates = Some(rates);
        Ok(rates)
    }
}

/// Initialises a build's GPU, which takes a second or more, outside the phases.
///
/// # Errors
/// [`Error::Backend`].
pub(crate) fn wake(build: &Build) -> Result<(), Error> {
    Ok(build.backend.upload(&[0.0], build.requested_device())?)
}

/// The data with its skipped files.
fn with_skipped(mut data: Data, skipped: &BTreeMap<String, String>) -> Data {
    /// Names that a record keeps.
    const NAMED: usize = 20;
    data.skipped = skipped.len();
    // The folder of the class and the file name only.
    let name = |path: &String| {
        let name = Path::new(path).iter().rev().take(2).collect::<Vec<_>>();
        name.into_iter().rev().collect::<PathBuf>().display().to_string()
    };
    let names: Vec<String> = skipped.keys().map(name).collect();
    data.skipped_sha256 = Some(names_sha256(&names));
    let words = names.iter().zip(skipped.values()).map(|(name, why)| format!("{name}: {why}"));
    data.skipped_files = words.take(NAMED).collect();
    data
}

/// How long [`Run::rates`] runs the net alone.
const SYNTHETIC: std::time::Duration = std::time::Duration::from_secs(2);

/// Forwards all events and keeps the time of the first step.
struct FirstStep<'a> {
    callback: &'a mut dyn Callback,
    seconds: &'a mut Option<f64>,
}

impl Callback for FirstStep<'_> {
    fn event(&mut self, event: &Event) {
        if let Event::Step { elapsed, .. } = event {
            self.seconds.get_or_insert(elapsed.as_secs_f64());
        }
        self.callback.event(event);
    }

    fn epoch_end(
        &mut self,
        epoch: &EpochMetrics,
        training: &mut Training<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        self.callback.epoch_end(epoch, training)
    }
}
