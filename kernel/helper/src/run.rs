//! The four phases of the report, measured while they happen.
//!
//! A [`Run`] does nothing of its own: it calls what a notebook could call without it, looks at a
//! monotonic clock before and after with the device synchronised on both sides, and keeps what a
//! [`Record`] needs. The terminal's jobs go through it too, so that a figure from there and one
//! from a notebook mean the same.

use crate::error::Error;
use crate::model::{Evaluation, Model, Predictions, Vgg};
use crate::record::{
    DataFacts, Environment, ImagesSeen, Metrics, PeakMemory, Phases, Record, SCHEMA, Throughput,
    TrainParts, file_name, sha256,
};
use crate::train::{Fit, History, Live, Observer};
use benchbook_data::{Batch, FolderOptions, ImageFolder, Loader, LoaderConfig, Split};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Measures one run.
#[derive(Clone, Debug)]
pub struct Run {
    name: String,
    started: u64,
    phases: Phases,
    parts: TrainParts,
    images: ImagesSeen,
    steps: u64,
    evaluations: Vec<Evaluation>,
    history: History,
    memory: PeakMemory,
    data: DataFacts,
    weights_sha256: Option<String>,
}

impl Run {
    /// Begins a run and sets the process's peak memory back.
    pub fn new(name: impl Into<String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            name: name.into(),
            started: now.map_or(0, |since| since.as_secs()),
            phases: Phases::default(),
            parts: TrainParts::default(),
            images: ImagesSeen::default(),
            steps: 0,
            evaluations: Vec::new(),
            history: History::default(),
            memory: crate::record::reset_peak_memory(),
            data: DataFacts::default(),
            weights_sha256: None,
        }
    }

    /// The phase `load`: opens the folder, makes the first training batch for `net` and copies it to
    /// the net's device. Returns the folder and that batch.
    ///
    /// # Errors
    /// [`Error::Data`] (folder missing, class empty, a file that cannot be used, each named),
    /// [`Error::Weights`] (whose metadata say how to preprocess), [`Error::Backend`].
    pub fn load(
        &mut self,
        folder: impl AsRef<Path>,
        net: &Vgg,
        batch_size: usize,
    ) -> Result<(ImageFolder, Batch), Error> {
        self.load_with(folder, FolderOptions::default(), net, batch_size)
    }

    /// [`Run::load`] with options for the folder.
    ///
    /// # Errors
    /// As [`Run::load`].
    pub fn load_with(
        &mut self,
        folder: impl AsRef<Path>,
        options: FolderOptions,
        net: &Vgg,
        batch_size: usize,
    ) -> Result<(ImageFolder, Batch), Error> {
        let backend = net.library.backend();
        // Waking up a GPU takes a second or more that has nothing to do with the pictures.
        backend.upload(&[0.0], net.processor)?;
        let began = Instant::now();
        let data = ImageFolder::open_with(folder, options)?;
        let config = LoaderConfig {
            height: net.size,
            width: net.size,
            batch_size,
            preprocessing: net.resolved_preprocessing()?,
            prefetch: 0,
            ..LoaderConfig::default()
        };
        let loader = Loader::new(&data.train(), config)?;
        let empty = || benchbook_data::DataError::EmptySplit { split: "train".into() };
        let batch = loader.epoch(0).next().ok_or_else(empty)??;
        backend.upload(&batch.pixels, net.processor)?;
        self.phases.load = Some(began.elapsed().as_secs_f64());
        self.data = facts(&data);
        Ok((data, batch))
    }

    /// The phase `build`: the net with its weights on its device.
    ///
    /// # Errors
    /// As [`Vgg::build`], and [`Error::File`] if the weights' file vanishes meanwhile.
    pub fn build(&mut self, net: Vgg) -> Result<Model, Error> {
        let began = Instant::now();
        let mut model = net.build()?;
        model.network().synchronize();
        self.phases.build = Some(began.elapsed().as_secs_f64());
        let config = model.config();
        let file = config.weights.file(&config.architecture());
        self.weights_sha256 = file.map(|path| sha256(&path)).transpose()?;
        Ok(model)
    }

    /// The phase `train`, shown live in the notebook. A second training adds to it.
    ///
    /// # Errors
    /// As [`Model::fit`]; the time until the error counts.
    pub fn train(
        &mut self,
        model: &mut Model,
        data: &ImageFolder,
        fit: Fit,
    ) -> Result<History, Error> {
        self.train_observed(model, data, fit, &mut Live::default())
    }

    /// [`Run::train`] for an observer of one's own.
    ///
    /// # Errors
    /// As [`Model::fit`]; the time until the error counts.
    pub fn train_observed(
        &mut self,
        model: &mut Model,
        data: &ImageFolder,
        fit: Fit,
        observer: &mut dyn Observer,
    ) -> Result<History, Error> {
        let before = model.history();
        model.network().synchronize();
        let began = Instant::now();
        let result = model.fit_observed(data, fit, observer);
        model.network().synchronize();
        let seconds = began.elapsed().as_secs_f64();
        *self.phases.train.get_or_insert(0.0) += seconds;
        let after = model.history();
        self.steps += after.steps - before.steps;
        self.parts.features += after.feature_seconds - before.feature_seconds;
        for epoch in &after.epochs[before.epochs.len()..] {
            self.images.training += epoch.training_images;
            self.images.validation += epoch.validation_images;
            self.parts.training += epoch.training_seconds;
            self.parts.input_wait += epoch.input_wait_seconds;
            self.parts.validation += epoch.validation_seconds;
            self.parts.callbacks += epoch.callback_seconds;
            self.history.epochs.push(epoch.clone());
        }
        self.history.steps = self.steps;
        self.history.passes += after.passes - before.passes;
        self.history.feature_seconds = self.parts.features;
        if self.data.classes.is_empty() {
            self.data = facts(data);
        }
        result
    }

    /// Loss and accuracy on a labelled split. The record keeps the result; it is in no phase, its
    /// seconds stand with it.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate(&mut self, model: &mut Model, split: &Split) -> Result<Evaluation, Error> {
        let evaluation = model.evaluate(split)?;
        self.evaluations.push(evaluation.clone());
        Ok(evaluation)
    }

    /// The phase `test`: predicts every picture of a split.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn test(&mut self, model: &mut Model, split: &Split) -> Result<Predictions, Error> {
        let predictions = model.predict(split)?;
        *self.phases.test.get_or_insert(0.0) += predictions.seconds;
        self.images.test += predictions.predictions.len();
        Ok(predictions)
    }

    /// The record of what was measured so far.
    ///
    /// # Errors
    /// [`Error::Phase`] if nothing was built.
    pub fn record(&self, model: &mut Model) -> Result<Record, Error> {
        if self.phases.build.is_none() {
            return Err(Error::Phase { wanted: "a record", missing: "build" });
        }
        let mut fit =
            if self.phases.train.is_some() { model.trained_with().cloned() } else { None };
        for callback in fit.iter_mut().flat_map(|fit| &mut fit.callbacks) {
            if let Some(path) = callback.path_mut() {
                *path = file_name(path);
            }
        }
        let mut net = model.config().clone();
        net.weights = net.weights.without_folders();
        let (parameters, trainable_parameters) = model.parameter_counts();
        let last = self.history.last();
        let per_second = |images: usize, seconds: Option<f64>| {
            seconds
                .filter(|seconds| *seconds > 0.0 && images > 0)
                .map(|seconds| images as f64 / seconds)
        };
        let device_bytes = model.network().peak_device_memory();
        Ok(Record {
            schema: SCHEMA,
            name: self.name.clone(),
            started: self.started,
            backend: model.backend(),
            net,
            weights_sha256: self.weights_sha256.clone(),
            base: model.config().base,
            parameters,
            trainable_parameters,
            input_size: [model.config().size; 2],
            preprocessing: model.preprocessing().clone(),
            data: self.data.clone(),
            learning_rate: fit.as_ref().map(Fit::rate),
            cache_features: fit.as_ref().is_some_and(|fit| fit.cache_features),
            fit,
            images_seen: self.images,
            steps: self.steps,
            phases: self.phases,
            train_parts: self.parts,
            throughput: Throughput {
                training: per_second(self.images.training, Some(self.parts.training)),
                train_phase: per_second(self.images.training, self.phases.train),
                test: per_second(self.images.test, self.phases.test),
            },
            peak_memory: self.memory.now(device_bytes),
            metrics: Metrics {
                loss: last.map(|epoch| epoch.loss),
                accuracy: last.map(|epoch| epoch.accuracy),
                val_loss: last.and_then(|epoch| epoch.val_loss),
                val_accuracy: last.and_then(|epoch| epoch.val_accuracy),
                evaluations: self.evaluations.clone(),
            },
            history: self.history.clone(),
            environment: Environment::here(),
            revision: crate::record::revision(),
        })
    }
}

fn facts(data: &ImageFolder) -> DataFacts {
    let root = data.root().canonicalize().unwrap_or_else(|_| data.root().into());
    DataFacts {
        name: root.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        classes: data.classes().to_vec(),
        training: data.train().len(),
        validation: data.validation().len(),
        test: data.test().len(),
    }
}
