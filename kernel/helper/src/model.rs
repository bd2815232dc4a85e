//! A VGG to train, with everything that it has learned and remembered.

mod checkpoint;
mod predictions;
mod weights;

pub use benchbook_study::{Evaluation, wilson_interval};
pub use predictions::{Prediction, Predictions};
pub use weights::{Publisher, Weights};

use crate::backend::{BackendInfo, Base, Compute, Library, Network, Plan, Processor};
use crate::error::Error;
use crate::parameters::Parameters;
use crate::record::{BuildParts, files_sha256};
use crate::train::{
    AfterEpoch, Both, Call, EpochMetrics, Event, FeatureStore, Fit, History, Live, Observer,
    Outcome, Session, Snapshot, evaluate_pass, skipped,
};
use crate::vgg::{Architecture, Depth, Head};
use benchbook_data::{Crop, Filter, ImageFolder, Loader, LoaderConfig, Preprocessing, Split};
use checkpoint::Pictures;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The settings of a net. The default is the report's Keras net at 224² with random weights.
///
/// ```no_run
/// # use benchbook::model::{Model, Vgg};
/// # fn main() -> Result<(), benchbook::Error> {
/// let mut model = Vgg { size: 32, batch_norm: true, ..Vgg::default() }.build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vgg {
    /// VGG11, 13, 16 or 19. Default: 16.
    pub depth: Depth,
    /// Which of the report's two heads. Default: Keras.
    pub head: Head,
    /// Height and width of the pictures in pixels, at least 32. Default: 224.
    pub size: usize,
    /// Whether each convolution is followed by batch normalisation. Default: false.
    pub batch_norm: bool,
    /// The head's dropout rate (see [`Architecture::dropout`]). Default: 0.5.
    pub dropout: f64,
    /// Where the starting weights come from. Default: random.
    pub weights: Weights,
    /// Whether the convolutions learn. Default: trainable.
    pub base: Base,
    /// Seed of the random starting weights. Default: 0.
    pub seed: u64,
    /// What happens to pixels; `None` (the default) follows the weights: x / 255 for random ones,
    /// what a file's metadata say (an error if they are not understood), and torchvision's normalisation
    /// for a file that says nothing.
    pub preprocessing: Option<Preprocessing>,
    /// Which part of a picture is resized to `size` × `size` pixels, in training (unless
    /// [`Fit::crop`](crate::train::Fit::crop) says otherwise), validation, evaluation and prediction.
    /// Not a random one. Default: all of it. In JSON `"None"`, `"AspectRatio"` or
    /// `{"Center": {"shorter": 256}}`.
    #[serde(skip_serializing_if = "is_default")]
    pub crop: Crop,
    /// How the pixels of the resized picture are made, everywhere. Default: bilinear with antialias. In
    /// JSON `"Bilinear"`, `"BilinearNoAntialias"`, `"Bicubic"` or `"Nearest"`.
    #[serde(skip_serializing_if = "is_default")]
    pub filter: Filter,
    /// Which library computes. Default: LibTorch.
    pub library: Library,
    /// Where it computes. Default: a GPU if there is one.
    pub processor: Processor,
    /// CPU threads of the library; `None` (the default) leaves its choice. Holds for the process.
    pub threads: Option<usize>,
    /// How the library computes where it leaves a choice. Default: as PyTorch does.
    pub compute: Compute,
}

/// What is as ever is not written, so that files and digests of before stay as they are.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Vgg {
    fn default() -> Self {
        let Architecture { depth, batch_norm, head, size, dropout } = Architecture::default();
        Self {
            depth,
            head,
            size,
            batch_norm,
            dropout,
            weights: Weights::Random,
            base: Base::Trainable,
            seed: 0,
            preprocessing: None,
            crop: Crop::None,
            filter: Filter::Bilinear,
            library: Library::LibTorch,
            processor: Processor::Auto,
            threads: None,
            compute: Compute::default(),
        }
    }
}

impl Vgg {
    /// The layers.
    pub fn architecture(&self) -> Architecture {
        Architecture {
            depth: self.depth,
            batch_norm: self.batch_norm,
            head: self.head,
            size: self.size,
            dropout: self.dropout,
        }
    }

    /// The loader's settings for its pictures, with this preprocessing and the loader's own defaults.
    pub(crate) fn loader_config(
        &self,
        preprocessing: Preprocessing,
        batch_size: usize,
    ) -> LoaderConfig {
        LoaderConfig {
            height: self.size,
            width: self.size,
            preprocessing,
            crop: self.crop,
            filter: self.filter,
            batch_size,
            ..LoaderConfig::default()
        }
    }

    /// Builds the net on its device.
    ///
    /// # Errors
    /// [`Error::Architecture`] (pictures too small), [`Error::Setting`] (a random crop),
    /// [`Error::Weights`] (missing, corrupt or of another shape, naming file and tensor),
    /// [`Error::Backend`] (no such device).
    pub fn build(self) -> Result<Model, Error> {
        let architecture = self.architecture();
        architecture.check()?;
        if self.crop.is_random() {
            return Err(Error::Setting {
                name: "the net's crop",
                expected: "one that is not random, since tests use it too (`Fit::crop` may be)",
                found: format!("{:?}", self.crop),
            });
        }
        let specifications = architecture.parameters();
        let mut times = BuildParts::default();
        let began = Instant::now();
        self.weights.fetch(&architecture)?;
        times.download = Some(began.elapsed().as_secs_f64());
        let began = Instant::now();
        let mut parameters = Parameters::initial(&specifications, self.seed);
        times.initialise = Some(began.elapsed().as_secs_f64());
        let began = Instant::now();
        if let Some(starting) = self.weights.read(&architecture)? {
            parameters.replace_from(starting.parameters, &specifications, &starting.path)?;
            times.read = Some(began.elapsed().as_secs_f64());
        }
        let preprocessing = self.resolved_preprocessing()?;
        let plan = Plan {
            architecture,
            base: self.base,
            processor: self.processor,
            threads: self.threads,
            compute: self.compute,
        };
        let began = Instant::now();
        let network = self.library.backend().build(&plan, &parameters)?;
        network.synchronize();
        times.to_device = Some(began.elapsed().as_secs_f64());
        Ok(Model {
            build_parts: times,
            config: self,
            preprocessing,
            network,
            history: History::default(),
            best: BTreeMap::new(),
            stores: Vec::new(),
            classes: Vec::new(),
            trained_with: None,
            call: None,
            pictures: Pictures::default(),
            skipped: BTreeMap::new(),
        })
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
}

/// A net with its history and its optimiser's state. An interrupted or failed training leaves all
/// three usable: the next `fit` goes on.
pub struct Model {
    config: Vgg,
    preprocessing: Preprocessing,
    network: Box<dyn Network>,
    history: History,
    best: BTreeMap<PathBuf, f64>,
    stores: Vec<FeatureStore>,
    /// Class names of the pictures it was trained on; empty before.
    classes: Vec<String>,
    trained_with: Option<Fit>,
    /// Where the newest call of `fit` stands; `None` where it cannot be resumed.
    call: Option<Call>,
    pictures: Pictures,
    /// Files that were left out, with the reason.
    skipped: BTreeMap<PathBuf, String>,
    build_parts: BuildParts,
}

impl Model {
    /// Trains on `train` and validates on `validation` of an image folder, and shows it live in the
    /// notebook. A second call goes on with weights, optimiser state and epoch count.
    ///
    /// # Errors
    /// [`Error::Data`] (a picture that cannot be used, named), [`Error::NotFinite`] (with epoch and
    /// step), [`Error::Diverged`] and [`Error::WeightsNotFinite`], [`Error::Interrupted`], [`Error::Setting`], [`Error::Classes`], [`Error::Backend`],
    /// [`Error::Weights`] (a checkpoint that cannot be written). In each case the model keeps its
    /// weights and the history of its complete epochs.
    pub fn fit(&mut self, data: &ImageFolder, fit: Fit) -> Result<History, Error> {
        self.fit_observed(data, fit, &mut Live::default())
    }

    /// Trains as [`Model::fit`] and calls `callback` with each complete epoch.
    /// [`ControlFlow::Break`] ends the training.
    ///
    /// # Errors
    /// As [`Model::fit`].
    pub fn fit_with(
        &mut self,
        data: &ImageFolder,
        fit: Fit,
        callback: impl FnMut(&EpochMetrics) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        let (mut live, mut callback) = (Live::default(), AfterEpoch::new(callback));
        self.fit_observed(data, fit, &mut Both(&mut live, &mut callback))
    }

    /// Goes on with the newest training where it stands, with its own settings, until the epochs are
    /// done that it was asked for: what [`Model::load`] does for a file of
    /// [`Callback::Checkpoint`](crate::train::Callback::Checkpoint), and what an interrupted cell does.
    /// From a checkpoint, losses and weights are those of the uninterrupted training, bit by bit, on
    /// the same machine with the same number of threads. If nothing is left to do, nothing happens.
    ///
    /// # Errors
    /// As [`Model::fit`]; [`Error::Setting`] for a model that was never trained, for one from a file
    /// without its optimiser's state, and for other pictures; [`Error::OtherClasses`].
    pub fn resume(&mut self, data: &ImageFolder) -> Result<History, Error> {
        self.resume_observed(data, &mut Live::default())
    }

    /// Goes on as [`Model::resume`] and tells `observer` instead of showing it.
    ///
    /// # Errors
    /// As [`Model::resume`].
    pub fn resume_observed(
        &mut self,
        data: &ImageFolder,
        observer: &mut dyn Observer,
    ) -> Result<History, Error> {
        self.resume_splits(&data.train(), &data.validation(), observer)
    }

    /// Goes on as [`Model::resume`] on any two splits, which must be those of the training.
    ///
    /// # Errors
    /// As [`Model::resume`].
    pub fn resume_splits(
        &mut self,
        train: &Split,
        validation: &Split,
        observer: &mut dyn Observer,
    ) -> Result<History, Error> {
        let (Some(fit), Some(call)) = (self.trained_with.clone(), self.call) else {
            return Err(Error::Setting {
                name: "the model",
                expected: "one whose training can go on (from a file of `Callback::checkpoint` or \
                           `Model::save`)",
                found: match self.trained_with {
                    None => "one that was never trained".into(),
                    Some(_) => "one from a file without the optimiser's state, such as a best \
                                checkpoint (`fit` trains it with a new one)"
                        .into(),
                },
            });
        };
        self.check_same_classes(train)?;
        if let Some(kept) = self.pictures.digest()
            && kept != files_sha256(&[train.clone(), validation.clone()])
        {
            return Err(Error::Setting {
                name: "the pictures",
                expected: "those of the training that is to go on (`fit` trains on others)",
                found: format!(
                    "files with other names or sizes among {} for training and {} for validation",
                    train.len(),
                    validation.len()
                ),
            });
        }
        self.train(train, validation, fit, call, observer)
    }

    /// Trains as [`Model::fit`] and tells `observer` instead of showing it.
    ///
    /// # Errors
    /// As [`Model::fit`].
    pub fn fit_observed(
        &mut self,
        data: &ImageFolder,
        fit: Fit,
        observer: &mut dyn Observer,
    ) -> Result<History, Error> {
        self.fit_splits(&data.train(), &data.validation(), fit, observer)
    }

    /// Trains as [`Model::fit`] on any two splits.
    ///
    /// # Errors
    /// As [`Model::fit`].
    pub fn fit_splits(
        &mut self,
        train: &Split,
        validation: &Split,
        fit: Fit,
        observer: &mut dyn Observer,
    ) -> Result<History, Error> {
        let call = Call { first: self.history.epochs.len(), pass: self.history.passes };
        self.train(train, validation, fit, call, observer)
    }

    fn train(
        &mut self,
        train: &Split,
        validation: &Split,
        fit: Fit,
        call: Call,
        observer: &mut dyn Observer,
    ) -> Result<History, Error> {
        fit.check()?;
        if fit.cache_features && self.config.base == Base::Trainable {
            return Err(Error::Setting {
                name: "cache_features",
                expected: "false with a trainable base, whose features change with each step",
                found: "true".into(),
            });
        }
        check_classes(train)?;
        let pictures = Pictures::new(train, validation);
        let repeat = fit.steps_per_epoch.is_some();
        let training = LoaderConfig { repeat, ..self.training_config(&fit) };
        // A part of the pictures in order would be of one class only.
        let part = fit.validation_steps.is_some();
        let validating = LoaderConfig {
            shuffle: part,
            crop: self.config.crop,
            batch_size: fit.validation_batch_size.unwrap_or(fit.batch_size),
            ..training.for_evaluation()
        };
        let train = Loader::new(train, training)?;
        let validation = if fit.validate {
            check_classes(validation)?;
            Loader::new(validation, validating)?
        } else {
            train.clone()
        };
        self.classes = train.split().classes().to_vec();
        self.trained_with = Some(fit.clone());
        self.call = Some(call);
        self.pictures = pictures;
        let (header, pictures) = (self.header(), &self.pictures);
        let save = |snapshot: &Snapshot<'_>, path: &Path| {
            checkpoint::save(&header.with(pictures), snapshot, path)
        };
        let steps_before = self.history.steps;
        let mut session = Session {
            network: self.network.as_mut(),
            history: &mut self.history,
            best: &mut self.best,
            stores: &mut self.stores,
            train,
            validation,
            fit: &fit,
            call,
            steps_before,
            save: &save,
            skipped: &mut self.skipped,
        };
        let result = session.run(observer);
        observer.event(&Event::End(match &result {
            Ok(()) => Outcome::Finished,
            Err(Error::Interrupted(_)) => Outcome::Interrupted,
            Err(error) => Outcome::Failed(error.to_string()),
        }));
        result.map(|()| self.history.clone())
    }

    /// Takes over the features that another model has computed with
    /// [`Fit::cache_features`](crate::train::Fit::cache_features), so that several heads can be
    /// trained on one frozen base. The times of this model's trainings then do not contain them.
    ///
    /// # Errors
    /// [`Error::Setting`] unless both bases are frozen and equal, with equal pictures; [`Error::Backend`].
    pub fn share_features(&mut self, other: &Model) -> Result<(), Error> {
        let different = |what: &str| Error::Setting {
            name: "the other model",
            expected: "one with the same frozen base and preprocessing",
            found: what.into(),
        };
        if self.config.base != Base::Frozen || other.config.base != Base::Frozen {
            return Err(different("a trainable base"));
        }
        let (mine, theirs) = (self.config.architecture(), other.config.architecture());
        if mine.base() != theirs.base() || mine.size != theirs.size {
            return Err(different("another base or size of the pictures"));
        }
        let resizing = |model: &Model| (model.config.crop, model.config.filter);
        if self.preprocessing != other.preprocessing || resizing(self) != resizing(other) {
            return Err(different("another preprocessing"));
        }
        let (mine, theirs) = (self.parameters()?, other.parameters()?);
        let base = |parameters: &Parameters| -> Vec<(String, crate::parameters::Array)> {
            let arrays = parameters.arrays.iter().filter(|(name, _)| name.starts_with("features."));
            arrays.map(|(name, array)| (name.clone(), array.clone())).collect()
        };
        if base(&mine) != base(&theirs) {
            return Err(different("other weights of the base"));
        }
        self.stores = other.stores.clone();
        Ok(())
    }

    /// The files that trainings, evaluations and predictions have left out under
    /// [`OnBadImage::Skip`](crate::prelude::OnBadImage), each with the reason.
    pub fn skipped(&self) -> &BTreeMap<PathBuf, String> {
        &self.skipped
    }

    /// A loader for all pictures of a split in order. Bad ones are treated as in the last training.
    fn in_order(&self, split: &Split) -> Result<Loader, Error> {
        let mut config = self.loader_config(EVALUATION_BATCH);
        config.on_bad_image =
            self.trained_with.as_ref().map(|fit| fit.on_bad_image).unwrap_or_default();
        Ok(Loader::new(split, config)?)
    }

    /// Says on standard error which files were left out.
    fn say_skipped(&mut self, loader: &Loader) {
        if let Some(text) = skipped(loader, &mut self.skipped) {
            eprintln!("{text}");
        }
    }

    /// Loss and accuracy on a labelled split. What [`Fit::on_bad_image`](crate::train::Fit::on_bad_image) of the last
    /// training says of bad pictures holds here, too.
    ///
    /// # Errors
    /// [`Error::Unlabelled`], [`Error::Classes`], [`Error::OtherClasses`], [`Error::Data`],
    /// [`Error::WeightsNotFinite`] or [`Error::ResultNotFinite`] for a loss that is not finite,
    /// [`Error::Interrupted`], [`Error::Backend`].
    pub fn evaluate(&mut self, split: &Split) -> Result<Evaluation, Error> {
        check_classes(split)?;
        self.check_same_classes(split)?;
        let loader = self.in_order(split)?;
        self.network.synchronize();
        let began = Instant::now();
        let sums = evaluate_pass(self.network.as_mut(), &loader, None, None)?;
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

    /// The class of each picture of a split, labelled or not. Bad pictures are treated as by [`Model::evaluate`].
    ///
    /// # Errors
    /// [`Error::Classes`], [`Error::OtherClasses`], [`Error::Data`], [`Error::Interrupted`],
    /// [`Error::WeightsNotFinite`] or [`Error::ResultNotFinite`] for a probability that is not finite,
    /// [`Error::Backend`].
    pub fn predict(&mut self, split: &Split) -> Result<Predictions, Error> {
        let loader = self.in_order(split)?;
        let classes = match self.classes.as_slice() {
            [] => split.classes().to_vec(),
            trained_on => trained_on.to_vec(),
        };
        if classes.len() != 2 {
            return Err(Error::Classes { classes });
        }
        if !split.classes().is_empty() {
            self.check_same_classes(split)?;
        }
        self.network.synchronize();
        let began = Instant::now();
        let mut predictions = Vec::with_capacity(split.len());
        for batch in loader.epoch(0) {
            crate::interrupt::check()?;
            let batch = batch?;
            let input = crate::backend::Input::Pixels(&batch.pixels);
            let probabilities = self.network.predict(input, batch.len())?;
            for (index, probability) in batch.indices.iter().zip(probabilities) {
                let sample = &split.samples()[*index];
                self.check_result(f64::from(probability), || {
                    format!("probability for {}", sample.path.display())
                })?;
                let class = usize::from(probability >= 0.5);
                predictions.push(Prediction {
                    path: sample.path.clone(),
                    class,
                    probability: f64::from(if class == 1 {
                        probability
                    } else {
                        1.0 - probability
                    }),
                    truth: sample.label,
                });
            }
        }
        self.network.synchronize();
        let seconds = began.elapsed().as_secs_f64();
        self.say_skipped(&loader);
        Ok(Predictions { split: split.name().into(), classes, predictions, seconds })
    }

    /// Says what a result that is not finite comes from.
    fn check_result(&self, found: f64, what: impl Fn() -> String) -> Result<(), Error> {
        if found.is_finite() {
            return Ok(());
        }
        Err(match self.network.not_finite()? {
            Some(parameter) => {
                Error::WeightsNotFinite { wanted: format!("a {}", what()), parameter }
            }
            None => Error::ResultNotFinite { what: what(), found },
        })
    }

    /// Numbers stand for the classes, so they must be those of the training, if there was one.
    fn check_same_classes(&self, split: &Split) -> Result<(), Error> {
        if self.classes.is_empty() || split.classes() == self.classes {
            return Ok(());
        }
        Err(Error::OtherClasses {
            split: split.name().into(),
            expected: self.classes.clone(),
            found: split.classes().to_vec(),
        })
    }

    /// All that was trained so far.
    pub fn history(&self) -> History {
        self.history.clone()
    }

    /// Keras' table of the net, and under it the starting weights and what happens to pixels.
    pub fn summary(&self) -> Summary {
        let table = self.config.architecture().summary(self.config.base == Base::Frozen);
        let weights = self.config.weights.describe(self.config.seed);
        Summary(format!("{table}Weights: {weights}\nPixels: {}\n", self.pixels()))
    }

    /// The settings that it was built with.
    pub fn config(&self) -> &Vgg {
        &self.config
    }

    /// What happens to pixels, in words: the preprocessing, and a crop or filter other than the default.
    pub(crate) fn pixels(&self) -> String {
        crate::record::pixels(&self.preprocessing, self.config.crop, self.config.filter)
    }

    /// What happens to pixels before the net sees them.
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

    /// What building it took.
    pub fn build_parts(&self) -> BuildParts {
        self.build_parts
    }

    /// The weights in the layout of [`crate::parameters`].
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn parameters(&self) -> Result<Parameters, Error> {
        Ok(self.network.parameters()?)
    }

    /// The net behind the boundary, for what this type does not offer.
    pub fn network(&mut self) -> &mut dyn Network {
        self.network.as_mut()
    }

    /// The loader's settings for this net's pictures, in order and unchanged.
    pub fn loader_config(&self, batch_size: usize) -> LoaderConfig {
        let config = self.config.loader_config(self.preprocessing.clone(), batch_size);
        LoaderConfig { shuffle: false, ..config }
    }

    /// The loader's settings for a training, one pass over its pictures.
    pub(crate) fn training_config(&self, fit: &Fit) -> LoaderConfig {
        LoaderConfig {
            shuffle: true,
            seed: fit.seed,
            augmentation: fit.augmentation.clone(),
            crop: fit.crop.unwrap_or(self.config.crop),
            threads: fit.loader_threads,
            on_bad_image: fit.on_bad_image,
            cache: fit.cache.clone(),
            ..self.loader_config(fit.batch_size)
        }
    }

    /// Number of all values, and of those that training changes.
    pub fn parameter_counts(&self) -> (usize, usize) {
        use crate::parameters::Part;
        let frozen = self.config.base == Base::Frozen;
        let all = self.config.architecture().parameters();
        let total = all.iter().map(|p| p.len()).sum();
        let trainable = all
            .iter()
            .filter(|p| p.learned && !(frozen && p.part == Part::Base))
            .map(|p| p.len())
            .sum();
        (total, trainable)
    }
}

/// Pictures in a batch where nothing is learned; memory is small without gradients.
pub(crate) const EVALUATION_BATCH: usize = 32;

fn check_classes(split: &Split) -> Result<(), Error> {
    if split.classes().len() != 2 {
        return Err(Error::Classes { classes: split.classes().to_vec() });
    }
    if !split.is_labelled() && !split.is_empty() {
        return Err(Error::Unlabelled { split: split.name().into() });
    }
    Ok(())
}

/// PyTorch's printed form.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.architecture().fmt(f)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("config", &self.config)
            .field("epochs", &self.history.epochs.len())
            .finish_non_exhaustive()
    }
}

impl benchbook_display::Rich for Model {
    fn bundle(&self) -> benchbook_display::Bundle {
        benchbook_display::Bundle::text(self.to_string())
    }
}

/// Keras' table. It shows itself as it is printed.
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
