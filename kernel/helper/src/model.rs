//! A net with its weights, history and optimiser state.

mod build;
mod checkpoint;
mod code;
mod predictions;
mod weights;

pub use benchbook_study::{Evaluation, wilson_interval};
pub use build::Build;
pub use code::{Buildable, Prepared, TchNet};
pub use predictions::{Prediction, Predictions};
pub use weights::{Publisher, Weights};

use crate::backend::{BackendInfo, Input, Network, Parameters};
use crate::error::Error;
use crate::record::BuildParts;
use crate::train::{
    Call, Callback, Event, FeatureStore, Fit, History, Live, Metric, Outcome, RateSearch, Snapshot,
    Training, evaluate_pass, skipped,
};
use benchbook_data::{Dataset, Loader, LoaderConfig, OnBadImage, Preprocessing, Split};
use benchbook_nets::{Net, Operation};
use checkpoint::Samples;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A net with its weights, history and optimiser state. An interrupted or failed training leaves all three usable for
/// the next `fit`.
pub struct Model {
    net: Net,
    build: Build,
    preprocessing: Preprocessing,
    network: Box<dyn Network>,
    history: History,
    best: BTreeMap<PathBuf, f64>,
    /// The best epoch and its weights, for early stopping.
    best_weights: Option<(usize, Parameters)>,
    stores: Vec<FeatureStore>,
    /// Class names of the training data; empty before the first training.
    classes: Vec<String>,
    trained_with: Option<Fit>,
    /// The newest call of `fit`; `None` if it cannot be resumed.
    call: Option<Call>,
    samples: Samples,
    /// Skipped samples, with the reasons.
    skipped: BTreeMap<String, String>,
    build_parts: BuildParts,
}

impl Model {
    /// Trains on the training split of a dataset, validates on its validation split, and shows the progress live in the
    /// notebook. A second call continues with weights, optimiser state and epoch count.
    ///
    /// # Errors
    /// [`Error::Data`] (a sample that cannot be used, named), [`Error::NotFinite`] (with epoch and
    /// step), [`Error::Diverged`] and [`Error::WeightsNotFinite`], [`Error::Interrupted`], [`Error::Setting`],
    /// [`Error::ClassCount`], [`Error::SampleShape`], [`Error::Backend`], [`Error::Weights`] (a checkpoint that cannot
    /// be written). In each case the model keeps its weights and the history of its complete epochs.
    pub fn fit(&mut self, data: &dyn Dataset, fit: Fit) -> Result<History, Error> {
        self.fit_with(data, fit, &mut Live::default())
    }

    /// Trains as [`Model::fit`], and sends the events to `callback` instead of showing them. A closure is called with
    /// each complete epoch; `(Live::default(), callback)` does both.
    ///
    /// # Errors
    /// As [`Model::fit`], and the callback's own.
    pub fn fit_with(
        &mut self,
        data: &dyn Dataset,
        fit: Fit,
        callback: &mut dyn Callback,
    ) -> Result<History, Error> {
        let call = Call { first: self.history.epochs.len(), pass: self.history.passes };
        self.train(data, fit, call, callback)
    }

    /// Resumes the newest training with its own settings until its epochs are done: after an interrupt, or after
    /// [`Model::load`] of a [`Checkpoint`](crate::train::Checkpoint). From a checkpoint, losses and weights equal those of
    /// the uninterrupted training bit by bit, on the same machine with the same number of threads. A complete training
    /// is left as it is.
    ///
    /// # Errors
    /// As [`Model::fit`]; [`Error::Setting`] for a model that was never trained, for one from a file
    /// without its optimiser's state, and for other samples; [`Error::OtherClasses`].
    pub fn resume(&mut self, data: &dyn Dataset) -> Result<History, Error> {
        self.resume_with(data, &mut Live::default())
    }

    /// Resumes as [`Model::resume`], and sends the events to `callback` instead of showing them.
    ///
    /// # Errors
    /// As [`Model::resume`], and the callback's own.
    pub fn resume_with(
        &mut self,
        data: &dyn Dataset,
        callback: &mut dyn Callback,
    ) -> Result<History, Error> {
        let (Some(fit), Some(call)) = (self.trained_with.clone(), self.call) else {
            return Err(Error::Setting {
                name: "Model::resume",
                expected: "called on a model with the state of its training, such as one from a file of \
                           `Builtin::checkpoint` or `Model::save`",
                found: match self.trained_with {
                    None => "a model that was never trained".into(),
                    Some(_) => "a model from a file without the optimiser's state, such as a best checkpoint; train \
                                it with `fit`"
                        .into(),
                },
            });
        };
        let (train, validation) = (data.train(), data.validation());
        self.check_same_classes(&train)?;
        if let Some(kept) = self.samples.digest()
            && kept != benchbook_data::digest(&[train.clone(), validation.clone()])
        {
            return Err(Error::Setting {
                name: "Model::resume",
                expected: "given the data of the interrupted training; train on other data with `fit`",
                found: format!(
                    "samples with other names or sizes among {} for training and {} for validation",
                    train.len(),
                    validation.len()
                ),
            });
        }
        self.train(data, fit, call, callback)
    }

    fn train(
        &mut self,
        data: &dyn Dataset,
        fit: Fit,
        call: Call,
        callback: &mut dyn Callback,
    ) -> Result<History, Error> {
        let (train, validation) = (data.train(), data.validation());
        fit.check(self.net.classes())?;
        if fit.cache_features && !self.build.frozen {
            return Err(Error::Setting {
                name: "cache_features",
                expected: "false with a trainable base, because its features change with each step",
                found: "true".into(),
            });
        }
        if fit.cache_features && self.build.ranks > 1 {
            return Err(Error::Setting {
                name: "cache_features",
                expected: "false with several ranks, each of which has only its share of a batch",
                found: "true".into(),
            });
        }
        check_data(&self.net, &self.build, &train)?;
        let samples = Samples::new(&train, &validation);
        let repeat = fit.steps_per_epoch.is_some();
        let training = LoaderConfig { repeat, ..self.training_config(&fit) };
        // The first samples in order may all be of one class.
        let part = fit.validation_steps.is_some();
        let validating = LoaderConfig {
            shuffle: part,
            crop: self.build.crop,
            batch_size: fit.validation_batch_size.unwrap_or(fit.batch_size),
            ..training.for_evaluation()
        };
        let train = Loader::new(&train, training)?;
        let validation = if fit.validate {
            check_data(&self.net, &self.build, &validation)?;
            Loader::new(&validation, validating)?
        } else {
            train.clone()
        };
        self.classes = train.split().class_names().to_vec();
        self.trained_with = Some(fit.clone());
        self.call = Some(call);
        self.samples = samples;
        let (header, samples) = (self.header(), &self.samples);
        let save = |snapshot: &Snapshot<'_>, path: &Path| {
            checkpoint::save(&header.with(samples), snapshot, path)
        };
        let steps_before = self.history.steps;
        let mut training = Training {
            network: self.network.as_mut(),
            history: &mut self.history,
            best: &mut self.best,
            best_weights: &mut self.best_weights,
            stores: &mut self.stores,
            train,
            validation,
            fit: &fit,
            call,
            normalises_vectors: normalises_vectors(&self.net, self.build.frozen),
            steps_before,
            save: &save,
            skipped: &mut self.skipped,
        };
        let result = training.run(callback);
        let outcome = match &result {
            Ok(()) => Outcome::Finished,
            Err(Error::Interrupted(_)) => Outcome::Interrupted,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        callback.event(&Event::End(outcome));
        result.map(|()| self.history.clone())
    }

    /// Trains for up to 100 steps with learning rates from 1e-7 to 10, and shows the loss by rate with the rate at which
    /// it falls fastest. Restores weights and optimiser state afterwards. `fit` should have the settings of the planned
    /// training.
    ///
    /// # Errors
    /// As [`Model::fit`].
    pub fn find_learning_rate(
        &mut self,
        data: &dyn Dataset,
        fit: Fit,
    ) -> Result<RateSearch, Error> {
        let train = data.train();
        fit.check(self.net.classes())?;
        check_data(&self.net, &self.build, &train)?;
        let config = LoaderConfig { repeat: true, ..self.training_config(&fit) };
        let loader = Loader::new(&train, config)?;
        let (weights, state) = (self.network.parameters()?, self.network.optimizer_state()?);
        self.network.compile(fit.optimizer);
        self.network.set_optimizer_state(&Parameters::default())?;
        let found = crate::train::search(self.network.as_mut(), &loader, &fit);
        self.network.set_parameters(&weights)?;
        if let Some(before) = &self.trained_with {
            self.network.compile(before.optimizer);
        }
        self.network.set_optimizer_state(&state)?;
        self.say_skipped(&loader);
        found
    }

    /// Shares the features that another model has computed with
    /// [`Fit::cache_features`](crate::train::Fit::cache_features), to train several heads on one frozen base. The times
    /// of this model's trainings do not include computing the features.
    ///
    /// # Errors
    /// [`Error::Setting`] unless both bases are frozen and equal, with equal inputs; [`Error::Backend`].
    pub fn share_features(&mut self, other: &Model) -> Result<(), Error> {
        let different = |what: &str| Error::Setting {
            name: "Model::share_features",
            expected: "given a model with the same frozen base and preprocessing",
            found: what.into(),
        };
        if !self.build.frozen || !other.build.frozen {
            return Err(different("a trainable base"));
        }
        let base = |net: &Net| (net.input(), net.graph().nodes[..net.base()].to_vec());
        if base(&self.net) != base(&other.net) {
            return Err(different("another base or input size"));
        }
        let resizing = |model: &Model| (model.build.crop, model.build.filter);
        if self.preprocessing != other.preprocessing || resizing(self) != resizing(other) {
            return Err(different("another preprocessing"));
        }
        let (mine, theirs) = (self.parameters()?, other.parameters()?);
        let mut names = self.net.parameters().iter().filter(|parameter| parameter.in_base);
        if !names.all(|parameter| mine.arrays[&parameter.name] == theirs.arrays[&parameter.name]) {
            return Err(different("other weights of the base"));
        }
        self.stores = other.stores.clone();
        Ok(())
    }

    /// The samples that trainings, evaluations and predictions have skipped under
    /// [`OnBadImage::Skip`](crate::prelude::OnBadImage), with the reasons.
    pub fn skipped(&self) -> &BTreeMap<String, String> {
        &self.skipped
    }

    /// A loader for all samples of a split in order.
    fn in_order(&self, split: &Split, on_bad_image: OnBadImage) -> Result<Loader, Error> {
        let config = LoaderConfig { on_bad_image, ..self.loader_config(EVALUATION_BATCH) };
        Ok(Loader::new(split, config)?)
    }

    /// How the last training treated bad images.
    fn on_bad_image(&self) -> OnBadImage {
        self.trained_with.as_ref().map(|fit| fit.on_bad_image).unwrap_or_default()
    }

    /// Reports newly skipped samples on standard error.
    fn say_skipped(&mut self, loader: &Loader) {
        if let Some(text) = skipped(loader, &mut self.skipped) {
            eprintln!("{text}");
        }
    }

    /// Loss and accuracy on a labelled split. Bad images are treated by
    /// [`Fit::on_bad_image`](crate::train::Fit::on_bad_image) of the last training.
    ///
    /// # Errors
    /// [`Error::Unlabelled`], [`Error::ClassCount`], [`Error::SampleShape`], [`Error::OtherClasses`], [`Error::Data`],
    /// [`Error::WeightsNotFinite`] or [`Error::ResultNotFinite`] for a loss that is not finite,
    /// [`Error::Interrupted`], [`Error::Backend`].
    pub fn evaluate(&mut self, split: &Split) -> Result<Evaluation, Error> {
        self.evaluate_with(split, &mut [])
    }

    /// Evaluates as [`Model::evaluate`], and updates `metrics` with each batch.
    ///
    /// ```no_run
    /// # use benchbook::prelude::*;
    /// # fn evaluate(model: &mut Model, test: &Split) -> Result<(), benchbook::Error> {
    /// let (mut f1, mut auc) = (metrics::F1::default(), metrics::Auc::default());
    /// model.evaluate_with(test, &mut [&mut f1, &mut auc])?;
    /// println!("F1 {:.3}, AUC {:.3}", f1.value(), auc.value());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate_with(
        &mut self,
        split: &Split,
        metrics: &mut [&mut dyn Metric],
    ) -> Result<Evaluation, Error> {
        check_data(&self.net, &self.build, split)?;
        self.check_same_classes(split)?;
        let loader = self.in_order(split, self.on_bad_image())?;
        self.network.synchronize()?;
        let began = Instant::now();
        let sums = evaluate_pass(self.network.as_mut(), &loader, None, None, metrics)?;
        self.say_skipped(&loader);
        self.check_result(sums.loss(), || format!("loss on the split \"{}\"", split.name()))?;
        let (low, high) = wilson_interval(sums.correct(), sums.images);
        Ok(Evaluation {
            split: split.name().into(),
            loss: sums.loss(),
            accuracy: sums.accuracy(),
            interval: [low, high],
            images: sums.images,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    /// The predicted class of each sample of a split, labelled or not. Bad images are treated as in [`Model::evaluate`].
    ///
    /// # Errors
    /// [`Error::ClassCount`], [`Error::SampleShape`], [`Error::OtherClasses`], [`Error::Data`],
    /// [`Error::Interrupted`], [`Error::WeightsNotFinite`] or [`Error::ResultNotFinite`] for a probability that is not
    /// finite, [`Error::Backend`].
    pub fn predict(&mut self, split: &Split) -> Result<Predictions, Error> {
        self.predictions(split, self.on_bad_image())
    }

    fn predictions(
        &mut self,
        split: &Split,
        on_bad_image: OnBadImage,
    ) -> Result<Predictions, Error> {
        let classes = match self.classes.as_slice() {
            [] => split.class_names().to_vec(),
            trained_on => trained_on.to_vec(),
        };
        check_class_count(&self.net, &classes)?;
        if split.classes() > 0 {
            self.check_same_classes(split)?;
        }
        check_shape(&self.net, &self.build, split)?;
        let loader = self.in_order(split, on_bad_image)?;
        self.network.synchronize()?;
        let began = Instant::now();
        let mut predictions = Vec::with_capacity(split.len());
        for batch in loader.epoch(0) {
            crate::interrupt::check()?;
            let batch = batch?;
            let logits = self.network.logits(Input::Values(&batch.values), batch.len())?;
            let logits = logits.chunks_exact(self.net.outputs());
            for (index, logits) in batch.indices.iter().zip(logits) {
                let probabilities = probabilities(logits);
                for probability in &probabilities {
                    self.check_result(f64::from(*probability), || {
                        format!("probability for {}", split.sample_name(*index))
                    })?;
                }
                predictions.push(Prediction {
                    name: split.sample_name(*index),
                    index: *index,
                    class: crate::train::most_probable(logits),
                    probabilities,
                    truth: split.label(*index),
                });
            }
        }
        self.network.synchronize()?;
        let seconds = began.elapsed().as_secs_f64();
        self.say_skipped(&loader);
        Ok(Predictions { split: split.clone(), classes, predictions, seconds })
    }

    /// The predicted class of one image file.
    ///
    /// # Errors
    /// As [`Model::predict`]; [`Error::Data`] names a file that cannot be read.
    pub fn predict_file(&mut self, path: impl AsRef<Path>) -> Result<Predictions, Error> {
        let path = path.as_ref();
        let sample = benchbook_data::Sample { path: path.into(), label: None };
        let split = Split::new("file", self.classes.clone(), vec![sample])?;
        // With a single file, skipping would leave nothing.
        self.predictions(&split, OnBadImage::Fail)
    }

    /// Fails, with the cause, if a result is not finite.
    fn check_result(&self, found: f64, what: impl Fn() -> String) -> Result<(), Error> {
        if found.is_finite() {
            return Ok(());
        }
        Err(match self.network.not_finite()? {
            Some(parameter) => Error::WeightsNotFinite { wanted: what(), parameter },
            None => Error::ResultNotFinite { what: what(), found },
        })
    }

    /// Fails if a split's classes differ from those of the training, since labels are class numbers.
    fn check_same_classes(&self, split: &Split) -> Result<(), Error> {
        if self.classes.is_empty() || split.class_names() == self.classes {
            return Ok(());
        }
        Err(Error::OtherClasses {
            split: split.name().into(),
            expected: self.classes.clone(),
            found: split.class_names().to_vec(),
        })
    }

    /// The history of all trainings.
    pub fn history(&self) -> History {
        self.history.clone()
    }

    /// Keras' table of the net, with the starting weights and the preprocessing of pixels.
    pub fn summary(&self) -> Summary {
        let table = self.net.summary(self.build.frozen);
        let weights = crate::record::weights(&self.net, &self.build);
        Summary(format!("{table}Weights: {weights}\nPixels: {}\n", self.pixels()))
    }

    /// The net.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// The settings of the build.
    pub fn settings(&self) -> &Build {
        &self.build
    }

    /// Whether the base keeps its weights.
    pub fn is_frozen(&self) -> bool {
        self.build.frozen
    }

    /// Freezes or unfreezes the base. Keeps weights, history and class names; drops the optimiser's state, which is that
    /// of other weights, and cached features.
    ///
    /// # Errors
    /// [`Error::Setting`] for a net without a base; [`Error::Backend`].
    pub fn set_frozen(&mut self, frozen: bool) -> Result<(), Error> {
        let build = Build { frozen, ..self.build.clone() };
        if build == self.build {
            return Ok(());
        }
        build.check(&self.net)?;
        let plan = build.plan(self.net.clone());
        build.backend.supports(&plan)?;
        // Rebuild the network with the same weights.
        self.network = build.backend.build(&plan, &self.network.parameters()?)?;
        self.build = build;
        self.stores.clear();
        Ok(())
    }

    /// The preprocessing of pixels as text, with a crop or filter other than the default.
    pub(crate) fn pixels(&self) -> String {
        crate::record::pixels(&self.preprocessing, self.build.crop, self.build.filter)
    }

    /// The preprocessing of pixels.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The library, its device and its settings.
    pub fn backend(&self) -> BackendInfo {
        self.network.info()
    }

    /// The settings of the newest training; `None` before the first.
    pub fn trained_with(&self) -> Option<&Fit> {
        self.trained_with.as_ref()
    }

    /// The parts of the build's time.
    pub fn build_parts(&self) -> BuildParts {
        self.build_parts
    }

    /// The weights in the layout of [`Parameters`].
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn parameters(&self) -> Result<Parameters, Error> {
        Ok(self.network.parameters()?)
    }

    /// The backend's network, for operations that this type lacks.
    pub fn network(&mut self) -> &mut dyn Network {
        self.network.as_mut()
    }

    /// The loader's settings for this net's images, in order and without augmentation.
    pub fn loader_config(&self, batch_size: usize) -> LoaderConfig {
        let preprocessing = self.preprocessing.clone();
        let config = self.build.loader_config(self.net.input(), preprocessing, batch_size);
        LoaderConfig { shuffle: false, ..config }
    }

    /// The loader's settings for a training, one pass over its samples.
    pub(crate) fn training_config(&self, fit: &Fit) -> LoaderConfig {
        LoaderConfig {
            shuffle: true,
            seed: fit.seed,
            augmentation: fit.augmentation.clone(),
            crop: fit.crop.unwrap_or(self.build.crop),
            threads: self.build.threads_of_rank(fit.loader_threads),
            on_bad_image: fit.on_bad_image,
            cache: fit.cache.clone(),
            ..self.loader_config(fit.batch_size)
        }
    }

    /// The number of all values, and of trainable ones.
    pub fn parameter_counts(&self) -> (usize, usize) {
        self.net.parameter_counts(self.build.frozen)
    }
}

/// Samples in a batch of an evaluation.
pub(crate) const EVALUATION_BATCH: usize = 32;

/// Checks that a net can be trained and evaluated on a split, without reading files.
fn check_data(net: &Net, build: &Build, split: &Split) -> Result<(), Error> {
    check_class_count(net, split.class_names())?;
    if !split.is_labelled() && !split.is_empty() {
        return Err(Error::Unlabelled { split: split.name().into() });
    }
    check_shape(net, build, split)
}

/// The first trainable batch normalisation whose input has one value per channel.
fn normalises_vectors(net: &Net, frozen: bool) -> Option<String> {
    let base = if frozen { net.base() } else { 0 };
    let mut trained = net.layers().iter().skip(base);
    let layer = trained.find(|layer| {
        matches!(layer.operation, Operation::BatchNorm(_))
            && layer.input_shapes.iter().all(|shape| shape.len() == shape.channels())
    })?;
    Some(layer.name.clone())
}

fn check_class_count(net: &Net, classes: &[String]) -> Result<(), Error> {
    if classes.len() == net.classes() {
        return Ok(());
    }
    let (name, expected) = (net.name().to_owned(), net.classes());
    Err(Error::ClassCount { net: name, expected, classes: classes.to_vec() })
}

fn check_shape(net: &Net, build: &Build, split: &Split) -> Result<(), Error> {
    // The shape does not depend on the preprocessing that a weights file may give.
    let preprocessing = build.preprocessing.clone().unwrap_or(Preprocessing::Rescaled);
    let found = build.loader_config(net.input(), preprocessing, 1).sample_shape(split)?;
    if *net.input().axes() == *found {
        return Ok(());
    }
    Err(Error::SampleShape {
        net: net.name().into(),
        expected: net.input(),
        split: split.name().into(),
        found: found.to_vec(),
    })
}

/// The probability of each class: for one logit the sigmoid and its complement, for several the softmax.
fn probabilities(logits: &[f32]) -> Vec<f32> {
    if let [logit] = logits {
        let one = 1.0 / (1.0 + (-logit).exp());
        return vec![1.0 - one, one];
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// PyTorch's printed form.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.net.fmt(f)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("net", &self.net.name())
            .field("build", &self.build)
            .field("epochs", &self.history.epochs.len())
            .finish_non_exhaustive()
    }
}

impl benchbook_display::Rich for Model {
    fn bundle(&self) -> benchbook_display::Bundle {
        benchbook_display::Bundle::text(self.to_string())
    }
}

/// Keras' table of a net, as printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Summary(pub String);

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl benchbook_display::Rich for Summary {
    fn bundle(&self) -> benchbook_display::Bundle {
        benchbook_display::Bundle::text(self.0.clone())
    }
}
