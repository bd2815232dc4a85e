//! What one run was, and what it took: everything that a later comparison must check.
//!
//! All conditions are optional, because records come from many hands: what nobody stated is `None`,
//! and a comparison treats it as unknown, never as equal. Benchbook's own runs state all of them. The table of the
//! conditions is [`CONDITIONS`](crate::conditions::CONDITIONS).

mod environment;
mod show;

pub use crate::proportion::Evaluation;
pub use crate::verdict::Rates;
pub use environment::Environment;

use crate::resources::Resources;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version of the record's form. A reader refuses what is newer than itself.
pub const SCHEMA: u32 = 3;

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The run's name.
    pub name: String,
    /// The study that it belongs to; `None` for a run on its own.
    pub place: Option<Place>,
    /// When it began: seconds since 1970, UTC; 0 where nobody knows. For the eye only: no duration is computed from it.
    pub started: u64,
    /// The whole run by a monotonic clock, in seconds.
    pub wall_seconds: Option<f64>,
    /// How it ended.
    pub status: Status,
    /// Whether its backend was found to compute the same as the others; `None` where nobody asked.
    pub computes: Option<Computes>,
    /// Seconds of training steps on one batch that was in memory already, measured after the phases: the net alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step_seconds: Vec<f64>,
    /// What the process that was timed computed after its clock had stopped, held to what was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Computes>,
    /// Whether it was measured or is somebody's report.
    pub provenance: Provenance,
    /// What is not known but assumed, in words.
    pub assumptions: Vec<String>,
    /// The library.
    pub library: Library,
    /// The net.
    pub net: Net,
    /// The pictures.
    pub data: Data,
    /// The training as it was asked for; `None` if nothing was trained.
    pub training: Option<Training>,
    /// Pictures that went through the net.
    pub images_seen: ImagesSeen,
    /// Changes of the weights.
    pub steps: Option<u64>,
    /// Seconds of the phases.
    pub phases: Phases,
    /// Seconds of other phases that the user timed, by their names.
    pub other_phases: BTreeMap<String, f64>,
    /// What `load` was spent on.
    pub load_parts: LoadParts,
    /// What `build` was spent on.
    pub build_parts: BuildParts,
    /// What `train` was spent on.
    pub train_parts: TrainParts,
    /// Pictures a second.
    pub throughput: Throughput,
    /// Net and loader measured apart, if the run was asked for it.
    pub rates: Option<Rates>,
    /// The most memory in use since the run began.
    pub peak_memory: PeakMemory,
    /// What each phase used, by the phase's name, seen from outside by whoever started the process.
    pub resources: BTreeMap<String, Resources>,
    /// How good the model was.
    pub metrics: Metrics,
    /// Each epoch.
    pub epochs: Vec<Epoch>,
    /// The machine.
    pub environment: Environment,
    /// The program that measured: version, and commit where it is known.
    pub revision: String,
    /// The whole job as `benchbook bench` reads it, for `benchbook reproduce`; of absolute paths it has the last name only.
    /// `None` for runs that no job describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<serde_json::Value>,
}

/// Where a record stands in a study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The study's name.
    pub study: String,
    /// The backend as the study calls it, for example `python-keras`.
    pub backend: String,
    /// The round, from 0. Runs of one round stand side by side in time.
    pub round: usize,
    /// The job, in a form that is equal for equal jobs; empty where it was not noted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// Whether the round only warmed the machine up; it is kept and counts for nothing.
    pub warm_up: bool,
    /// The call of `benchbook study` or `StudyPlan::run` that made the run; empty where it was not noted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// How often the round was run before for this backend and was disturbed. Of these runs, the last one counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Two digits a byte, as checksums are written.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number that JSON has as `null` where it is none, as the loss of a model that diverged.
pub(crate) fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Status {
    /// To its end.
    #[default]
    Ok,
    /// It failed.
    Failed {
        /// Its last words.
        message: String,
    },
    /// The backend is not there, or cannot do this job.
    Absent {
        /// Why, and what to do.
        message: String,
    },
    /// Memory of host or device ran out.
    OutOfMemory {
        /// Its last words.
        message: String,
    },
    /// Somebody stopped it.
    Interrupted,
    /// It was no run: the line only tells what a later check found of the backend whose runs stand before it.
    Checked,
}

/// What comparing losses and gradients from a common start found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case", deny_unknown_fields)]
pub enum Computes {
    /// The same as another backend, within the tolerance.
    Alike {
        /// The other one.
        reference: String,
        /// How near, and how it was looked at, in words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        nearness: String,
    },
    /// Something else: its times are no times of this job.
    Unlike {
        /// What differs, and by how much.
        message: String,
    },
    /// Nothing, since the check itself failed.
    Unchecked {
        /// Why.
        reason: String,
    },
}

impl Computes {
    /// Whether the same was found, however near.
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
    /// Why there is no result; `None` if there is one.
    pub fn reason(&self) -> Option<String> {
        match self {
            Status::Ok => None,
            Status::Failed { message } => Some(format!("failed: {message}")),
            Status::Absent { message } => Some(format!("not available: {message}")),
            Status::OutOfMemory { message } => Some(format!("out of memory: {message}")),
            Status::Interrupted => Some("interrupted".into()),
            Status::Checked => Some("no run".into()),
        }
    }
}

/// Where the figures are from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Provenance {
    /// This program measured them.
    #[default]
    Measured,
    /// Somebody published them.
    Reported {
        /// When.
        year: u32,
        /// Where.
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

/// The library that computed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Library {
    /// For example `LibTorch`.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The language that called it.
    pub language: Option<String>,
    /// For example `cpu` or `cuda:0`.
    pub device: Option<String>,
    /// The device's name, for example `Tesla K80` or a processor's.
    pub device_name: Option<String>,
    /// CPU threads within one operation.
    pub threads: Option<usize>,
    /// The type of the numbers, for example `float32`.
    pub precision: Option<String>,
    /// What was set otherwise than the library does by itself, in words: `channels last`.
    pub settings: Vec<String>,
    /// The library's build and the versions of what it runs on and loads images with: `build`, `python`, `torchvision`,
    /// `pillow`.
    pub parts: BTreeMap<String, String>,
}

/// The net.
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
    /// Dropout rate, where the graph is not known.
    pub dropout: Option<f64>,
    /// Where the starting weights come from: a file's name, or `random` with its seed.
    pub weights: Option<String>,
    /// SHA-256 of the weights' file, since its name says little.
    pub weights_sha256: Option<String>,
    /// All values.
    pub parameters: Option<usize>,
    /// Values that training changes.
    pub trainable_parameters: Option<usize>,
    /// `[height, width]` in pixels.
    pub input_size: Option<[usize; 2]>,
    /// What happens to pixels, in words.
    pub preprocessing: Option<String>,
}

/// The training as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Pictures in a batch.
    pub batch_size: Option<usize>,
    /// Epochs.
    pub epochs: Option<usize>,
    /// Batches in an epoch; `None` for one pass over the pictures.
    pub steps_per_epoch: Option<usize>,
    /// The optimiser with its settings, as a job states them.
    pub optimizer: Option<Value>,
    /// The learning rate of the first step.
    pub learning_rate: Option<f64>,
    /// How the rate changes, as a job states it.
    pub schedule: Option<Value>,
    /// Random changes of the images, as a job states them; `none` for none.
    pub augmentation: Option<Value>,
    /// Factors on the loss of the classes; `none` for none.
    pub class_weights: Option<Value>,
    /// Seed of order, augmentation and dropout. In a study, each round has another one.
    pub seed: Option<u64>,
    /// Whether features of the frozen base were computed once for each picture.
    pub cache_features: Option<bool>,
    /// Where decoded pictures are kept for the next epoch: `none`, `memory` or `disk`.
    pub cache: Option<String>,
    /// Threads or processes that decode.
    pub loader_threads: Option<usize>,
}

/// The pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The folder's own name, without the path that leads there.
    pub name: String,
    /// Class names in the order of their numbers.
    pub classes: Vec<String>,
    /// Pictures for training.
    pub training: usize,
    /// Pictures for validation.
    pub validation: usize,
    /// Pictures for the test.
    pub test: usize,
    /// SHA-256 over the splits, classes, names and contents of the files: equal for copies of one folder.
    pub files_sha256: Option<String>,
    /// Files that were no usable pictures and were left out.
    pub skipped: usize,
    /// The first of them, with the reason.
    pub skipped_files: Vec<String>,
    /// SHA-256 over the classes and names of all of them.
    pub skipped_sha256: Option<String>,
}

/// Pictures that went through the net, each as often as it did.
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

/// Seconds of the four phases of the report, by a monotonic clock with the device synchronised on
/// both sides. A phase that a run did not do is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phases {
    /// From the folder to the first batch on the device: listing, decoding, resizing, copying.
    pub load: Option<f64>,
    /// From the settings to the net on the device: reading or drawing the weights, copying them.
    pub build: Option<f64>,
    /// All epochs with their validations and checkpoints; decoding during training counts here.
    pub train: Option<f64>,
    /// Predicting the test pictures, from the first file to the last result.
    pub test: Option<f64>,
}

impl Phases {
    /// The names, in order.
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
    /// The share of `first_batch` that went into reading and decoding, where it is known.
    pub decode: Option<f64>,
    /// The share that went into resizing and preprocessing, where it is known.
    pub transform: Option<f64>,
    /// Copying the batch to the device.
    pub copy: Option<f64>,
}

/// Seconds of the parts of `build`, and the first step, which stands with them because it compiles
/// and tunes; it is measured within `train`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuildParts {
    /// Fetching weights from elsewhere: 0 where nothing is fetched.
    pub download: Option<f64>,
    /// Reading weights from the disk.
    pub read: Option<f64>,
    /// Drawing starting values.
    pub initialise: Option<f64>,
    /// Building the layers and moving the values to the device.
    pub to_device: Option<f64>,
    /// From the beginning of the first epoch to the end of its first step, input included.
    pub first_step: Option<f64>,
}

/// What the seconds of `train` were spent on. The rest is bookkeeping and drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainParts {
    /// Steps, with the waiting for input.
    pub training: f64,
    /// Part of `training` in the first epoch, which also warms up.
    pub first_epoch: f64,
    /// Part of `training` in which the net waited for pictures.
    pub input_wait: Option<f64>,
    /// Validations.
    pub validation: f64,
    /// Callbacks: writing checkpoints.
    pub callbacks: f64,
    /// Computing the features of a frozen base once.
    pub features: f64,
}

/// Pictures a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throughput {
    /// Training pictures over the seconds of the training steps. With cached features these steps
    /// run the head alone; `training.cache_features` says so.
    pub training: Option<f64>,
    /// The same without the first epoch; `None` if there was no other.
    pub later_epochs: Option<f64>,
    /// Training pictures over the whole phase `train`, which is what the report's times amount to.
    pub train_phase: Option<f64>,
    /// Test pictures over the phase `test`.
    pub test: Option<f64>,
}

/// Peaks since the run began, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeakMemory {
    /// Resident memory of the process; `None` where the system does not tell.
    pub host_bytes: Option<u64>,
    /// Whether the counter was set back when the run began. If not (Linux permits it for the own
    /// process, some containers do not), `host_bytes` is the peak since the process began.
    pub host_reset: bool,
    /// Resident memory when the run began: the libraries, and what the session held before.
    pub host_before_bytes: Option<u64>,
    /// Memory of the device; `None` where the library does not tell.
    pub device_bytes: Option<u64>,
}

/// How good the model was.
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
    /// The evaluations that the run asked for.
    pub evaluations: Vec<Evaluation>,
}

/// One epoch. Accuracies are shares, 0 to 1; times are seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean loss over the training pictures, each at the weights of its step.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Share of training pictures that were recognised, likewise.
    pub accuracy: f64,
    /// Mean loss over the validation pictures at the end of the epoch.
    pub val_loss: Option<f64>,
    /// Share of validation pictures that were recognised.
    pub val_accuracy: Option<f64>,
    /// Learning rate of the epoch's first step.
    pub learning_rate: Option<f64>,
    /// Pictures trained on.
    pub training_images: usize,
    /// Pictures validated on.
    pub validation_images: usize,
    /// Training, with the waiting for input.
    pub training_seconds: f64,
    /// Part of `training_seconds` in which the net waited for pictures; `None` where the library
    /// does not tell.
    pub input_wait_seconds: Option<f64>,
    /// Validation.
    pub validation_seconds: f64,
    /// Callbacks: writing checkpoints.
    pub callback_seconds: f64,
}

impl Record {
    /// Fills in what follows from the epochs and phases: images seen, the parts of `train`,
    /// throughput and the last epoch's metrics. So every writer computes them alike.
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

    /// Why its figures do not count; `None` if they do.
    pub fn reason(&self) -> Option<String> {
        let unlike = |found: &Option<Computes>, what: &str| match found {
            Some(Computes::Unlike { message }) => Some(format!("wrong: {what}{message}")),
            _ => None,
        };
        self.status
            .reason()
            .or_else(|| unlike(&self.computes, ""))
            .or_else(|| unlike(&self.audit, "the program that was timed: "))
    }

    /// Why nobody knows whether it computes what others do; `None` if that was checked.
    pub fn unchecked(&self) -> Option<String> {
        let reason = |found: &Option<Computes>, what: &str| match found {
            Some(Computes::Unchecked { reason }) => {
                Some(format!("{what} was not checked: {reason}"))
            }
            Some(Computes::Alike { .. } | Computes::Unlike { .. }) => None,
            None => Some(format!("{what} was not checked, as a study does")),
        };
        reason(&self.computes, "what it computes")
            .or_else(|| reason(&self.audit, "the program that was timed"))
    }

    /// After each epoch with a validation: the seconds since the training began, and the accuracy.
    pub fn learned(&self) -> Vec<(f64, f64)> {
        let mut seconds = self.train_parts.features;
        let mut points = Vec::new();
        for epoch in &self.epochs {
            seconds += epoch.training_seconds + epoch.validation_seconds + epoch.callback_seconds;
            points.extend(epoch.val_accuracy.map(|accuracy| (seconds, accuracy)));
        }
        points
    }

    /// The name that tables and charts give it: the study's name for the backend, or the library's.
    pub fn backend(&self) -> &str {
        self.place.as_ref().map_or(&self.library.name, |place| &place.backend)
    }

    /// The phases that something else disturbed, with what and how much ([`Resources::disturbance`]).
    pub fn disturbances(&self) -> Vec<String> {
        let phases = self.resources.iter();
        let found = phases.filter_map(|(name, used)| Some((name, used.disturbance()?)));
        found.map(|(name, why)| format!("{name}: {why}")).collect()
    }

    /// Figures that no clock can have measured: a negative or infinite time, parts longer than the
    /// whole, phases that together are longer than the run. Empty for a sound record.
    ///
    /// The report's log has such a figure: "Training complete in 437644m 45s", hours since 1970
    /// taken for minutes, because one variable was both the start and the difference.
    pub fn clock_faults(&self) -> Vec<String> {
        // Seconds of rounding and of clocks read one after the other.
        const SLACK: f64 = 0.01;
        let mut faults = Vec::new();
        let mut together = 0.0;
        for (name, seconds) in self.phases.measured() {
            if !seconds.is_finite() || seconds < 0.0 {
                faults.push(format!("{name} took {seconds} s, which is no time"));
            } else {
                together += seconds;
            }
        }
        if let Some(wall) = self.wall_seconds
            && together > wall * (1.0 + SLACK) + SLACK
        {
            faults.push(format!(
                "the phases take {together:.3} s together and the whole run {wall:.3} s"
            ));
        }
        let parts = &self.train_parts;
        let inside = parts.training + parts.validation + parts.callbacks + parts.features;
        if let Some(train) = self.phases.train
            && inside > train * (1.0 + SLACK) + SLACK
        {
            faults.push(format!("the parts of train take {inside:.3} s and train {train:.3} s"));
        }
        // No training of this program's kind lasts a year; what does is a date.
        if let Some((name, seconds)) =
            self.phases.measured().into_iter().find(|(_, seconds)| *seconds > 365.25 * 86_400.0)
        {
            faults.push(format!(
                "{name} took {seconds:.0} s, {:.0} years: a date and not a duration",
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

    /// The report, figure 12: between lines of 59 and 55 seconds the log says "437644m 45s". The same
    /// variable was start and difference, so every second reading was a difference to 1970.
    #[test]
    fn the_reports_437644_minutes_are_named_as_a_fault_of_the_clock() {
        assert!(trained(59.0).clock_faults().is_empty());
        for seconds in [437_644.0 * 60.0 + 45.0, 437_644.0 * 3600.0 + 45.0] {
            let faults = trained(seconds).clock_faults();
            assert!(faults[0].contains("and the whole run 200.000 s"), "{faults:?}");
        }
        // Also where nobody knows how long the run was: the clock's reading is a date, in hours.
        let read = Record { wall_seconds: None, ..trained(437_644.0 * 3600.0 + 45.0) };
        assert!(read.clock_faults()[0].contains("50 years: a date"), "{:?}", read.clock_faults());
    }

    #[test]
    fn a_negative_time_and_parts_longer_than_the_whole_are_faults() {
        assert!(trained(-1.0).clock_faults()[0].contains("-1 s, which is no time"));
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
        assert_eq!(record.train_parts.input_wait, None, "the epochs do not tell");
    }
}
