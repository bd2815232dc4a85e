//! The conditions and results of one run: everything that a later comparison must check.
//!
//! All conditions are optional, because other programs and publications write records, too. A condition that is not
//! stated is `None`, and a comparison treats it as unknown, never as equal. Benchbook's own runs state all conditions
//! ([`CONDITIONS`](crate::conditions::CONDITIONS)).

mod environment;
mod show;

pub use crate::proportion::Evaluation;
pub use crate::verdict::Rates;
pub use environment::Environment;

use crate::resources::Resources;
use crate::runner::STEPS;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version of the record's format. Readers reject other versions.
pub const SCHEMA: u32 = 3;

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The run's name.
    pub name: String,
    /// The run's place in a study; `None` for a single run.
    pub place: Option<Place>,
    /// Start time: seconds since 1970, UTC; 0 if unknown. Only shown: no duration is computed from it.
    pub started: u64,
    /// Duration of the whole run by a monotonic clock, in seconds.
    pub wall_seconds: Option<f64>,
    /// How the run ended.
    pub status: Status,
    /// Whether the backend agrees with the others; `None` if this was not checked.
    pub computes: Option<Computes>,
    /// Seconds of training steps on one batch, measured after the phases: the net without loading. With LibTorch, PyTorch and
    /// Keras the pixels stay on the device; TensorFlow from Rust takes them from the processor's memory in each step, as its
    /// C API does; the other libraries compute on the processor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step_seconds: Vec<f64>,
    /// Whether the timed process, after its clock has stopped, agrees with the settled values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Computes>,
    /// Whether the figures were measured or published.
    pub provenance: Provenance,
    /// Assumptions about conditions that are not known.
    pub assumptions: Vec<String>,
    /// The library.
    pub library: Library,
    /// The net.
    pub net: Net,
    /// The dataset.
    pub data: Data,
    /// The requested training; `None` if nothing was trained.
    pub training: Option<Training>,
    /// Numbers of images that went through the net.
    pub images_seen: ImagesSeen,
    /// Number of training steps.
    pub steps: Option<u64>,
    /// Seconds of the phases.
    pub phases: Phases,
    /// Seconds of other phases that the user timed, by name.
    pub other_phases: BTreeMap<String, f64>,
    /// The parts of `load`.
    pub load_parts: LoadParts,
    /// The parts of `build`.
    pub build_parts: BuildParts,
    /// The parts of `train`.
    pub train_parts: TrainParts,
    /// Images per second.
    pub throughput: Throughput,
    /// The rates of net and loader alone, if the job requests them.
    pub rates: Option<Rates>,
    /// The most memory in use since the run began.
    pub peak_memory: PeakMemory,
    /// The resources of each phase, by name, measured from outside the process; `steps` are the [`step_seconds`](Self::step_seconds).
    pub resources: BTreeMap<String, Resources>,
    /// Losses and accuracies.
    pub metrics: Metrics,
    /// Each epoch.
    pub epochs: Vec<Epoch>,
    /// The machine.
    pub environment: Environment,
    /// Version of the measuring program, and its commit if known.
    pub revision: String,
    /// The job as `benchbook bench` reads it, for `benchbook reproduce`. Absolute paths are reduced to their last name.
    /// `None` for runs without a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<serde_json::Value>,
}

/// The place of a run in a study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The study's name.
    pub study: String,
    /// The backend's id, for example `python-keras`.
    pub backend: String,
    /// The round, from 0. Runs of one round follow each other directly.
    pub round: usize,
    /// A digest of the job, equal for equal jobs; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// Whether the round only warms the machine up and does not count.
    pub warm_up: bool,
    /// The call of `benchbook study` or `StudyPlan::run` that made the run; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// The number of earlier, disturbed attempts of the round. The last attempt counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Writes bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a number; `null` is NaN, as in the loss of a diverged model.
pub(crate) fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Status {
    /// The run succeeded.
    #[default]
    Ok,
    /// The run failed.
    Failed {
        /// The exit status and the last line of standard error.
        message: String,
    },
    /// The backend is not installed, or does not support this job.
    Absent {
        /// Why, and what to do.
        message: String,
    },
    /// Memory of host or device ran out.
    OutOfMemory {
        /// The exit status and the last line of standard error.
        message: String,
    },
    /// The user interrupted the run.
    Interrupted,
    /// Not a run: the record holds the result of a later check of the backend.
    Checked,
}

/// The result of comparing losses and gradients from a common start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case", deny_unknown_fields)]
pub enum Computes {
    /// The backend agrees with another backend, within the bounds.
    Alike {
        /// The other backend.
        reference: String,
        /// The differences, and the precision of the comparison, as text.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        nearness: String,
    },
    /// The backend disagrees: its times are not times of this job.
    Unlike {
        /// The differences.
        message: String,
    },
    /// Inconclusive, since the check itself failed.
    Unchecked {
        /// Why.
        reason: String,
    },
}

impl Computes {
    /// Whether two results are the same, ignoring the differences within the bounds.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Alike { reference, .. }, Self::Alike { reference: of_other, .. }) => {
                reference == of_other
            }
            _ => self == other,
        }
    }
}

impl Status {
    /// Why the run has no result; `None` if it has one.
    pub fn reason(&self) -> Option<String> {
        match self {
            Status::Ok => None,
            Status::Failed { message } => Some(format!("failed: {message}")),
            Status::Absent { message } => Some(format!("not available: {message}")),
            Status::OutOfMemory { message } => Some(format!("out of memory: {message}")),
            Status::Interrupted => Some("interrupted".into()),
            Status::Checked => Some("not a run".into()),
        }
    }
}

/// The origin of the figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Provenance {
    /// This program measured them.
    #[default]
    Measured,
    /// The figures were published.
    Reported {
        /// The year of publication.
        year: u32,
        /// The publication.
        source: String,
    },
}

impl std::fmt::Display for Provenance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Provenance::Measured => write!(f, "measured"),
            Provenance::Reported { year, .. } => write!(f, "reported, {year}"),
        }
    }
}

/// The library of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Library {
    /// For example `LibTorch`.
    pub name: String,
    /// The library's version.
    pub version: Option<String>,
    /// The language of the calling program.
    pub language: Option<String>,
    /// For example `cpu` or `cuda:0`.
    pub device: Option<String>,
    /// The device's name, for example `Tesla K80` or a processor's.
    pub device_name: Option<String>,
    /// CPU threads within one operation.
    pub threads: Option<usize>,
    /// Processes that trained together, each with so many threads; `None` for one.
    pub ranks: Option<usize>,
    /// The type of the numbers, for example `float32`.
    pub precision: Option<String>,
    /// Settings that differ from the library's defaults, for example `channels last`.
    pub settings: Vec<String>,
    /// The library's build, and the versions of packages that it uses: `build`, `python`, `torchvision`, `pillow`.
    pub parts: BTreeMap<String, String>,
}

/// The net of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Net {
    /// For example `vgg16`, or `vgg16_bn` with batch normalisation.
    pub name: String,
    /// Number of classes.
    pub classes: Option<usize>,
    /// SHA-256 of the net's graph in JSON: equal for equal layers.
    pub graph_sha256: Option<String>,
    /// In records of the 2019 report, the layers after the convolutions: `Keras` or `PyTorch`.
    pub head: Option<String>,
    /// `trainable` or `frozen`.
    pub base: Option<String>,
    /// Dropout rate, if the graph is unknown.
    pub dropout: Option<f64>,
    /// The source of the starting weights: a file's name, or `random` with its seed.
    pub weights: Option<String>,
    /// SHA-256 of the weights' file.
    pub weights_sha256: Option<String>,
    /// Number of parameters.
    pub parameters: Option<usize>,
    /// Number of trainable parameters.
    pub trainable_parameters: Option<usize>,
    /// `[height, width]` in pixels.
    pub input_size: Option<[usize; 2]>,
    /// The preprocessing of pixels.
    pub preprocessing: Option<String>,
}

/// The requested training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Images per batch.
    pub batch_size: Option<usize>,
    /// Epochs.
    pub epochs: Option<usize>,
    /// Batches per epoch; `None` for one pass over the images.
    pub steps_per_epoch: Option<usize>,
    /// The optimiser with its settings, as in a job.
    pub optimizer: Option<Value>,
    /// The learning rate of the first step.
    pub learning_rate: Option<f64>,
    /// The schedule of the learning rate, as in a job.
    pub schedule: Option<Value>,
    /// Augmentation of the images, as in a job; `none` without.
    pub augmentation: Option<Value>,
    /// Weights of the classes in the loss; `none` without.
    pub class_weights: Option<Value>,
    /// Seed of order, augmentation and dropout; in a study, different in each round.
    pub seed: Option<u64>,
    /// Whether features of the frozen base were computed once for each image.
    pub cache_features: Option<bool>,
    /// The cache of decoded images: `none`, `memory` or `disk`.
    pub cache: Option<String>,
    /// Threads or processes that decode images.
    pub loader_threads: Option<usize>,
}

/// The dataset of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The folder's name, without its path.
    pub name: String,
    /// Class names by their numbers.
    pub classes: Vec<String>,
    /// Number of images for training.
    pub training: usize,
    /// Number of images for validation.
    pub validation: usize,
    /// Number of images for the test.
    pub test: usize,
    /// SHA-256 over the splits, classes, names and contents of the files: equal for copies of a folder.
    pub files_sha256: Option<String>,
    /// Number of files that were skipped as unusable.
    pub skipped: usize,
    /// The first skipped files, with the reason.
    pub skipped_files: Vec<String>,
    /// SHA-256 over the classes and names of all skipped files.
    pub skipped_sha256: Option<String>,
}

/// Numbers of images that went through the net, repetitions included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesSeen {
    /// In training steps.
    pub training: Option<usize>,
    /// In validations during training.
    pub validation: Option<usize>,
    /// In the test.
    pub test: Option<usize>,
}

/// Seconds of the four phases, by a monotonic clock, with the device synchronised before each reading. A phase that the
/// run did not have is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phases {
    /// From opening the folder to the first batch on the device: listing, decoding, resizing, copying.
    pub load: Option<f64>,
    /// From the settings to the net on the device: reading or generating the weights, copying.
    pub build: Option<f64>,
    /// All epochs with their validations and checkpoints, including decoding during training.
    pub train: Option<f64>,
    /// Predicting the test images, from reading the first file to the last result.
    pub test: Option<f64>,
}

impl Phases {
    /// The phases' names, in order.
    pub const NAMES: [&'static str; 4] = ["load", "build", "train", "test"];

    /// All phases by name, in order.
    pub fn all(&self) -> [(&'static str, Option<f64>); 4] {
        [("load", self.load), ("build", self.build), ("train", self.train), ("test", self.test)]
    }

    /// The phases that were measured, by name, in order.
    pub fn measured(&self) -> Vec<(&'static str, f64)> {
        let phases = self.all().into_iter();
        phases.filter_map(|(name, seconds)| seconds.map(|seconds| (name, seconds))).collect()
    }
}

/// Seconds of the parts of `load`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadParts {
    /// Listing the files and numbering the classes.
    pub list: Option<f64>,
    /// From the first file to the first batch: reading, decoding, resizing and preprocessing.
    pub first_batch: Option<f64>,
    /// The part of `first_batch` for reading and decoding, if known.
    pub decode: Option<f64>,
    /// The part of `first_batch` for resizing and preprocessing, if known.
    pub transform: Option<f64>,
    /// Copying the batch to the device.
    pub copy: Option<f64>,
}

/// Seconds of the parts of `build`, and of the first training step, in which libraries compile and tune. The first step
/// is part of `train`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuildParts {
    /// Downloading weights; 0 without a download.
    pub download: Option<f64>,
    /// Reading weights from disk.
    pub read: Option<f64>,
    /// Generating starting values.
    pub initialise: Option<f64>,
    /// Building the layers and copying the values to the device.
    pub to_device: Option<f64>,
    /// From the beginning of the first epoch to the end of its first step, input included.
    pub first_step: Option<f64>,
}

/// Seconds of the parts of `train`. The rest is bookkeeping and drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainParts {
    /// Training steps, including waiting for input.
    pub training: f64,
    /// The first epoch's part of `training`, which includes warming up.
    pub first_epoch: f64,
    /// The part of `training` in which the net waited for images.
    pub input_wait: Option<f64>,
    /// Validations.
    pub validation: f64,
    /// Callbacks, such as writing checkpoints.
    pub callbacks: f64,
    /// Computing the cached features of a frozen base.
    pub features: f64,
}

/// Images per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throughput {
    /// Training images divided by the seconds of the training steps. With `training.cache_features`, these steps run only
    /// the head.
    pub training: Option<f64>,
    /// The same without the first epoch; `None` after a single epoch.
    pub later_epochs: Option<f64>,
    /// Training images divided by the whole phase `train`, as in the 2019 report.
    pub train_phase: Option<f64>,
    /// Test images divided by the phase `test`.
    pub test: Option<f64>,
}

/// Peaks since the run began, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeakMemory {
    /// Resident memory of the process; `None` if the system does not report it.
    pub host_bytes: Option<u64>,
    /// Whether the counter was reset when the run began. Otherwise (some containers forbid it) `host_bytes` is the peak since
    /// the process began.
    pub host_reset: bool,
    /// Resident memory when the run began: the libraries, and the session's values.
    pub host_before_bytes: Option<u64>,
    /// Memory of the device; `None` if the library does not report it.
    pub device_bytes: Option<u64>,
}

/// Losses and accuracies of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Training loss of the last epoch.
    pub loss: Option<f64>,
    /// Training accuracy of the last epoch.
    pub accuracy: Option<f64>,
    /// Validation loss of the last epoch.
    pub val_loss: Option<f64>,
    /// Validation accuracy of the last epoch.
    pub val_accuracy: Option<f64>,
    /// The evaluations during the run.
    pub evaluations: Vec<Evaluation>,
}

/// One epoch. Accuracies are shares, 0 to 1; times are seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean loss over the training images, each with the weights of its step.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Share of correctly classified training images, each with the weights of its step.
    pub accuracy: f64,
    /// Mean loss over the validation images at the end of the epoch.
    pub val_loss: Option<f64>,
    /// Share of correctly classified validation images.
    pub val_accuracy: Option<f64>,
    /// Learning rate of the epoch's first step.
    pub learning_rate: Option<f64>,
    /// Images trained on.
    pub training_images: usize,
    /// Images validated on.
    pub validation_images: usize,
    /// Training, including waiting for input.
    pub training_seconds: f64,
    /// The part of `training_seconds` in which the net waited for images; `None` if the library
    /// does not report it.
    pub input_wait_seconds: Option<f64>,
    /// Validation.
    pub validation_seconds: f64,
    /// Callbacks, such as writing checkpoints.
    pub callback_seconds: f64,
}

impl Record {
    /// Fills in the values that follow from epochs and phases, so that every writer computes them alike: images seen, the
    /// parts of `train`, throughput and the last epoch's metrics.
    pub fn complete(mut self) -> Self {
        if !self.epochs.is_empty() {
            let sum = |of: fn(&Epoch) -> f64| self.epochs.iter().map(of).sum::<f64>();
            let count = |of: fn(&Epoch) -> usize| self.epochs.iter().map(of).sum::<usize>();
            self.images_seen.training = Some(count(|e| e.training_images));
            self.images_seen.validation = Some(count(|e| e.validation_images));
            self.train_parts = TrainParts {
                training: sum(|e| e.training_seconds),
                first_epoch: self.epochs[0].training_seconds,
                input_wait: self.epochs.iter().map(|e| e.input_wait_seconds).sum(),
                validation: sum(|e| e.validation_seconds),
                callbacks: sum(|e| e.callback_seconds),
                features: self.train_parts.features,
            };
        }
        if let Some(last) = self.epochs.last() {
            self.metrics.loss = Some(last.loss);
            self.metrics.accuracy = Some(last.accuracy);
            self.metrics.val_loss = last.val_loss;
            self.metrics.val_accuracy = last.val_accuracy;
        }
        let rate = |images: Option<usize>, seconds: Option<f64>| match (images, seconds) {
            (Some(images), Some(seconds)) if images > 0 && seconds > 0.0 => {
                Some(images as f64 / seconds)
            }
            _ => None,
        };
        let later = self.epochs.get(1..).unwrap_or_default();
        self.throughput = Throughput {
            training: rate(self.images_seen.training, Some(self.train_parts.training)),
            later_epochs: rate(
                Some(later.iter().map(|e| e.training_images).sum()),
                Some(later.iter().map(|e| e.training_seconds).sum()),
            ),
            train_phase: rate(self.images_seen.training, self.phases.train),
            test: rate(self.images_seen.test, self.phases.test),
        };
        self
    }

    /// Why the figures do not count; `None` if they count.
    pub fn reason(&self) -> Option<String> {
        let unlike = |found: &Option<Computes>, what: &str| match found {
            Some(Computes::Unlike { message }) => Some(format!("disagrees: {what}{message}")),
            _ => None,
        };
        self.status
            .reason()
            .or_else(|| unlike(&self.computes, ""))
            .or_else(|| unlike(&self.audit, "timed program: "))
    }

    /// Why the agreement with other backends is unknown; `None` if it was checked.
    pub fn unchecked(&self) -> Option<String> {
        let reason = |found: &Option<Computes>, what: &str| match found {
            Some(Computes::Unchecked { reason }) => {
                Some(format!("{what} was not checked: {reason}"))
            }
            Some(Computes::Alike { .. } | Computes::Unlike { .. }) => None,
            None => Some(format!("{what} was not checked; run it in a study")),
        };
        reason(&self.computes, "agreement with other backends")
            .or_else(|| reason(&self.audit, "agreement of the timed program"))
    }

    /// The seconds since the training began and the accuracy after each epoch with a validation.
    pub fn learned(&self) -> Vec<(f64, f64)> {
        let mut seconds = self.train_parts.features;
        let mut points = Vec::new();
        for epoch in &self.epochs {
            seconds += epoch.training_seconds + epoch.validation_seconds + epoch.callback_seconds;
            points.extend(epoch.val_accuracy.map(|accuracy| (seconds, accuracy)));
        }
        points
    }

    /// The name in tables and charts: the backend's id in the study, or the library's name.
    pub fn backend(&self) -> &str {
        self.place.as_ref().map_or(&self.library.name, |place| &place.backend)
    }

    /// The resources of the phases, without those of the steps that were timed after them.
    pub(crate) fn resources_of_phases(&self) -> impl Iterator<Item = &Resources> {
        self.resources.iter().filter(|(phase, _)| *phase != STEPS).map(|(_, used)| used)
    }

    /// The disturbed phases with their [disturbances](Resources::disturbance).
    pub fn disturbances(&self) -> Vec<String> {
        let phases = self.resources.iter();
        let found = phases.filter_map(|(name, used)| Some((name, used.disturbance()?)));
        found.map(|(name, why)| format!("{name}: {why}")).collect()
    }

    /// Invalid durations: negative or infinite times, parts longer than the whole, phases longer than the run. Empty for a
    /// valid record.
    ///
    /// The report's log has such a duration: "Training complete in 437644m 45s" are the hours since 1970, because one
    /// variable was both the start and the difference.
    pub fn clock_faults(&self) -> Vec<String> {
        // Relative and absolute (seconds) tolerance for rounding and for clocks that are read one after the other.
        const SLACK: f64 = 0.01;
        let mut faults = Vec::new();
        let mut together = 0.0;
        for (name, seconds) in self.phases.measured() {
            if !seconds.is_finite() || seconds < 0.0 {
                faults.push(format!("{name}: invalid duration {seconds} s"));
            } else {
                together += seconds;
            }
        }
        if let Some(wall) = self.wall_seconds
            && together > wall * (1.0 + SLACK) + SLACK
        {
            faults.push(format!(
                "the phases take {together:.3} s, longer than the whole run ({wall:.3} s)"
            ));
        }
        let parts = &self.train_parts;
        let inside = parts.training + parts.validation + parts.callbacks + parts.features;
        if let Some(train) = self.phases.train
            && inside > train * (1.0 + SLACK) + SLACK
        {
            faults.push(format!(
                "the parts of train take {inside:.3} s, longer than train ({train:.3} s)"
            ));
        }
        // A duration of more than a year is a date.
        if let Some((name, seconds)) =
            self.phases.measured().into_iter().find(|(_, seconds)| *seconds > 365.25 * 86_400.0)
        {
            faults.push(format!(
                "{name}: invalid duration {seconds:.0} s ({:.0} years): it is a date",
                seconds / (365.25 * 86_400.0)
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained(seconds: f64) -> Record {
        let phases = Phases { train: Some(seconds), ..Phases::default() };
        Record { phases, wall_seconds: Some(200.0), ..Record::default() }
    }

    /// The report, figure 12: between lines of 59 and 55 seconds the log says "437644m 45s". One variable was start and
    /// difference, so every second reading was the time since 1970.
    #[test]
    fn the_reports_437644_minutes_are_named_as_a_fault_of_the_clock() {
        assert!(trained(59.0).clock_faults().is_empty());
        for seconds in [437_644.0 * 60.0 + 45.0, 437_644.0 * 3600.0 + 45.0] {
            let faults = trained(seconds).clock_faults();
            assert!(faults[0].contains("longer than the whole run (200.000 s)"), "{faults:?}");
        }
        // Also without the duration of the run: the reading is a date, in hours.
        let read = Record { wall_seconds: None, ..trained(437_644.0 * 3600.0 + 45.0) };
        assert!(
            read.clock_faults()[0].contains("(50 years): it is a date"),
            "{:?}",
            read.clock_faults()
        );
    }

    #[test]
    fn a_negative_time_and_parts_longer_than_the_whole_are_faults() {
        assert!(trained(-1.0).clock_faults()[0].contains("train: invalid duration -1 s"));
        let mut record = trained(10.0);
        record.train_parts = TrainParts { training: 9.0, validation: 2.0, ..record.train_parts };
        assert!(record.clock_faults()[0].contains("parts of train take 11.000 s"));
    }

    #[test]
    fn what_follows_from_the_epochs_is_filled_in() {
        let epoch = |epoch, training_seconds| Epoch {
            epoch,
            training_seconds,
            training_images: 100,
            validation_images: 20,
            validation_seconds: 1.0,
            ..Epoch::default()
        };
        let mut record = trained(20.0);
        record.epochs = vec![epoch(1, 10.0), epoch(2, 5.0)];
        let record = record.complete();
        assert_eq!(
            (record.images_seen.training, record.images_seen.validation),
            (Some(200), Some(40))
        );
        assert_eq!((record.train_parts.training, record.train_parts.first_epoch), (15.0, 10.0));
        assert_eq!(record.throughput.later_epochs, Some(20.0));
        assert_eq!(record.throughput.train_phase, Some(10.0));
        assert_eq!(record.train_parts.input_wait, None, "the epochs do not state it");
    }
}
