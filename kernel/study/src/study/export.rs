//! Exports runs and summaries as plain numbers for pandas, polars and spreadsheets, and epochs for TensorBoard.

use super::{Group, Study, accuracy, peak_bytes};
use crate::compare::{Comparison, Quantity, compare, counts};
use crate::conditions::words;
use crate::error::Error;
use crate::record::{Computes, Record, Status};
use benchbook_chart::Table;
use std::path::{Path, PathBuf};

/// A column's name, unit and meaning, and its value in one row; empty if not stated.
struct Field(&'static str, &'static str, &'static str, String);

impl Study {
    /// A table of plain numbers with a row per run, including failed runs and warm-ups. `study.runs()?.write_csv("runs.csv")`
    /// writes a file for pandas and polars. [`Study::columns`] lists the columns. Values that are not stated are empty;
    /// booleans are `true` and `false`; times are in seconds, memory in bytes.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn runs(&self) -> Result<Table, Error> {
        let rows = self.records().iter().map(run).collect();
        table(run(&Record::default()), rows)
    }

    /// The figures of [`Study::table`] as plain numbers, with a row per backend. A ratio that does not count has
    /// `ratio_counts` false and a reason.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn summary(&self) -> Result<Table, Error> {
        let groups = self.groups();
        let rows = groups.iter().map(|group| self.summarised(group, &groups)).collect();
        table(Self::default().summarised(&empty_group(&Record::default()), &[]), rows)
    }

    /// The columns of [`Study::runs`] and [`Study::summary`] with units and meanings.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn columns() -> Result<Table, Error> {
        let record = Record::default();
        let summary = Self::default().summarised(&empty_group(&record), &[]);
        let mut table = Table::new(["table", "column", "unit", "meaning"]);
        for (name, fields) in [("runs", run(&record)), ("summary", summary)] {
            for Field(column, unit, meaning, _) in fields {
                table = table.row([name, column, unit, meaning])?;
            }
        }
        Ok(table)
    }

    /// Writes `runs.csv`, `summary.csv` and `columns.csv` into a folder, which is created if necessary.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Chart`].
    pub fn write_csv(&self, folder: impl AsRef<Path>) -> Result<(), Error> {
        let folder = folder.as_ref();
        let failed = |source| Error::File { action: "create", path: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        self.runs()?.write_csv(folder.join("runs.csv"))?;
        self.summary()?.write_csv(folder.join("summary.csv"))?;
        Ok(Self::columns()?.write_csv(folder.join("columns.csv"))?)
    }

    /// Writes the epochs of each run to an event file in `folder/<backend>-round-<round>`, for `tensorboard --logdir folder`.
    /// Skips runs without epochs. Returns the files.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write_events(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>, Error> {
        let mut folders: Vec<String> = Vec::new();
        let mut files = Vec::new();
        for group in self.groups() {
            for record in group.records.iter().filter(|record| !record.epochs.is_empty()) {
                let kept = |c: char| c.is_alphanumeric() || "-._".contains(c);
                let words = group.name.split(|c| !kept(c)).filter(|word| !word.is_empty());
                let mut name = words.collect::<Vec<_>>().join("-");
                if let Some(place) = &record.place {
                    name += &format!("-round-{}", place.round);
                }
                // A repeated round, or a run without a study.
                let again = folders.iter().filter(|known| **known == name).count();
                folders.push(name.clone());
                if again > 0 {
                    name += &format!("-{}", again + 1);
                }
                files.push(record.write_events(folder.as_ref().join(name))?);
            }
        }
        Ok(files)
    }

    // One line a column.
    #[rustfmt::skip]
    fn summarised(&self, group: &Group<'_>, groups: &[Group<'_>]) -> Vec<Field> {
        let valid = group.valid();
        let base = self.base_of(group, groups);
        let is_base = base.is_some_and(|base| std::ptr::eq(base, group)) && !valid.is_empty();
        let found = base
            .filter(|_| !is_base)
            .and_then(|base| compare(&base.valid(), &valid, Quantity::Train));
        let counts = |count: fn(&Comparison) -> bool| is_base || found.as_ref().is_some_and(count);
        let ratio = found.as_ref().map(|found| found.ratio);
        let per_image = found.as_ref().and_then(|found| found.per_image.as_ref());
        let accuracy = group.accuracy();
        let accuracy = accuracy.as_ref();
        let rate = |r: &Record| r.throughput.training.or(r.throughput.train_phase);
        let median = |of: &dyn Fn(&Record) -> Option<f64>| group.summary(of).map(|s| s.median);
        let mut fields = vec![
            Field("backend", "", "name of the backend, with machine and study where there are several", group.name.clone()),
            Field("provenance", "", "measured, or reported with the year", group.records[0].provenance.to_string()),
            Field("runs", "", "runs, warm-ups included", group.records.len().to_string()),
            Field("runs_counting", "", "runs that count in the figures", valid.len().to_string()),
            Field("agreement", "", AGREEMENT, agreement(group.computes())),
        ];
        for (quantity, [name, lower, upper]) in Quantity::PHASES.into_iter().zip(PHASES) {
            let summary = group.summary(|record| quantity.seconds(record));
            fields.extend([
                Field(name, "s", "median time of the phase", float(summary.map(|s| s.median))),
                Field(lower, "s", "its first quartile", float(summary.map(|s| s.lower))),
                Field(upper, "s", "its third quartile", float(summary.map(|s| s.upper))),
            ]);
        }
        let memory = median(&|r| peak_bytes(r).map(|bytes| bytes as f64));
        fields.extend([
            Field("images_per_s", "1/s", "median of the training images per second", float(median(&rate))),
            Field("accuracy", "", "mean validation accuracy, 0 to 1", float(accuracy.map(|a| a.mean))),
            Field("accuracy_low", "", "lower end of its 95% interval", float(accuracy.map(|a| a.interval.0))),
            Field("accuracy_high", "", "upper end of it", float(accuracy.map(|a| a.interval.1))),
            Field("peak_memory_bytes", "bytes", "median of the peaks of resident memory", float(memory)),
            Field("baseline", "", "the backend that ratios refer to", base.map_or(String::new(), |base| base.name.clone())),
            Field("train_ratio", "", "time of train over the baseline's", float(ratio.map(|r| r.value).or(is_base.then_some(1.0)))),
            Field("train_ratio_low", "", "lower end of its 95% interval", float(ratio.and_then(|r| Some(r.interval?.0)))),
            Field("train_ratio_high", "", "upper end of it", float(ratio.and_then(|r| Some(r.interval?.1)))),
            Field("ratio_counts", "", "whether all conditions are equal and the figures plausible", counts(Comparison::is_comparable).to_string()),
            Field("ratio_reason", "", "why the ratio does not count", show(found.as_ref().and_then(Comparison::why_not))),
            Field("per_image_low", "", "ratio of the times per image, smallest", float(per_image.map(|p| p.low.value))),
            Field("per_image_high", "", "largest under per_image_basis", float(per_image.map(|p| p.high.value))),
            Field("per_image_basis", "", "how it was computed", show(per_image.map(|p| p.basis))),
            Field("per_image_counts", "", "whether it counts", counts(counts_per_image).to_string()),
        ]);
        fields
    }
}

fn counts_per_image(found: &Comparison) -> bool {
    found.why_not_per_image().is_none()
}

/// Names of the columns of each phase's median and quartiles.
const PHASES: [[&str; 3]; 4] = [
    ["load_s", "load_lower_s", "load_upper_s"],
    ["build_s", "build_lower_s", "build_upper_s"],
    ["train_s", "train_lower_s", "train_upper_s"],
    ["test_s", "test_lower_s", "test_upper_s"],
];
const AGREEMENT: &str =
    "whether losses and gradients agree with other libraries: alike, unlike, unchecked, or empty";

fn agreement(found: Option<&Computes>) -> String {
    let word = found.map(|found| match found {
        Computes::Alike { .. } => "alike",
        Computes::Unlike { .. } => "unlike",
        Computes::Unchecked { .. } => "unchecked",
    });
    show(word)
}

fn empty_group(record: &Record) -> Group<'_> {
    Group { name: String::new(), records: vec![record] }
}

/// A float in the shortest form that is read back as the same, with a decimal point or an exponent.
fn float(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:?}"))
}

fn show(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

// One line a column.
#[rustfmt::skip]
fn run(record: &Record) -> Vec<Field> {
    let Record { place, library, net, data, phases, environment, train_parts, .. } = record;
    let place = place.as_ref();
    let training = record.training.as_ref();
    let status = match record.status {
        Status::Ok => "ok",
        Status::Failed { .. } => "failed",
        Status::Absent { .. } => "absent",
        Status::OutOfMemory { .. } => "out of memory",
        Status::Interrupted => "interrupted",
        Status::Checked => "checked",
    };
    let part = |seconds: f64| float((train_parts.training > 0.0).then_some(seconds));
    let [height, width] = net.input_size.map_or([None; 2], |size| size.map(Some));
    let seen = &record.images_seen;
    let metrics = &record.metrics;
    let gpu = record.resources_of_phases().filter_map(|used| used.gpu_peak_bytes).max();
    vec![
        Field("study", "", "name of the study", show(place.map(|p| &p.study))),
        Field("backend", "", "name of the backend in the study, or of the library", record.backend().into()),
        Field("round", "", "round of the study, from 0", show(place.map(|p| p.round))),
        Field("attempt", "", "how often the round was repeated because of disturbances", show(place.map(|p| p.attempt))),
        Field("warm_up", "", "whether the round only warmed up", show(place.map(|p| p.warm_up))),
        Field("call", "", "the call of the study that made the run", show(place.map(|p| &p.call))),
        Field("job", "", "digest of the job, equal for equal jobs", show(place.map(|p| &p.job))),
        Field("name", "", "name of the run", record.name.clone()),
        Field("started", "s", "seconds since 1970, UTC, when it began", record.started.to_string()),
        Field("status", "", "ok, failed, absent, out of memory or interrupted", status.into()),
        Field("counts", "", "whether the run counts in the study's figures", counts(record).to_string()),
        Field("reason", "", "why it has no figures", show(record.reason())),
        Field("disturbed", "", "what disturbed it, by phase", record.disturbances().join("; ")),
        Field("agreement", "", AGREEMENT, agreement(record.computes.as_ref())),
        Field("provenance", "", "measured, or reported with the year", record.provenance.to_string()),
        Field("load_s", "s", "time of the phase load", float(phases.load)),
        Field("build_s", "s", "time of the phase build", float(phases.build)),
        Field("train_s", "s", "time of the phase train", float(phases.train)),
        Field("test_s", "s", "time of the phase test", float(phases.test)),
        Field("wall_s", "s", "time of the whole run", float(record.wall_seconds)),
        Field("steps_s", "s", "part of train: steps, including waiting for input", part(train_parts.training)),
        Field("input_wait_s", "s", "part of steps_s in which the net waited for images", float(train_parts.input_wait)),
        Field("validation_s", "s", "part of train: validations", part(train_parts.validation)),
        Field("callbacks_s", "s", "part of train: callbacks", part(train_parts.callbacks)),
        Field("features_s", "s", "part of train: features of a frozen base", part(train_parts.features)),
        Field("images_per_s", "1/s", "training images over steps_s", float(record.throughput.training)),
        Field("images_trained", "", "images in training steps", show(seen.training)),
        Field("images_validated", "", "images in validations", show(seen.validation)),
        Field("images_tested", "", "images in the test", show(seen.test)),
        Field("loss", "", "training loss of the last epoch", float(metrics.loss)),
        Field("accuracy", "", "training accuracy of the last epoch, 0 to 1", float(metrics.accuracy)),
        Field("val_loss", "", "validation loss of the last epoch", float(metrics.val_loss)),
        Field("val_accuracy", "", "validation accuracy at the end, 0 to 1", float(accuracy(record))),
        Field("peak_memory_bytes", "bytes", "peak of the resident memory", show(peak_bytes(record))),
        Field("peak_gpu_bytes", "bytes", "peak of the memory in use on the run's GPU", show(gpu)),
        Field("library", "", "name of the library", library.name.clone()),
        Field("version", "", "its version", show(library.version.as_ref())),
        Field("language", "", "the language that called it", show(library.language.as_ref())),
        Field("device", "", "cpu or cuda:0", show(library.device.as_ref())),
        Field("device_name", "", "name of the processor or GPU", show(library.device_name.as_ref())),
        Field("threads", "", "CPU threads per operation", show(library.threads)),
        Field("precision", "", "numeric type of the computation", show(library.precision.as_ref())),
        Field("net", "", "name of the net", net.name.clone()),
        Field("base", "", "trainable or frozen", show(net.base.as_ref())),
        Field("parameters", "", "number of parameters", show(net.parameters)),
        Field("trainable_parameters", "", "number of trainable parameters", show(net.trainable_parameters)),
        Field("height_px", "pixels", "height of an image", show(height)),
        Field("width_px", "pixels", "width of an image", show(width)),
        Field("batch_size", "", "images in a batch", show(training.and_then(|t| t.batch_size))),
        Field("epochs", "", "epochs", show(training.and_then(|t| t.epochs))),
        Field("learning_rate", "", "learning rate of the first step", float(training.and_then(|t| t.learning_rate))),
        Field("optimizer", "", "the optimiser with its settings", show(training.and_then(|t| t.optimizer.as_ref()).map(words))),
        Field("seed", "", "seed of order, augmentation and dropout", show(training.and_then(|t| t.seed))),
        Field("data", "", "name of the image folder", data.name.clone()),
        Field("files_sha256", "", "checksum of the images", show(data.files_sha256.as_ref())),
        Field("host", "", "checksum that identifies the machine", show(environment.host.as_ref())),
        Field("cpu", "", "name of the processor", show(environment.cpu.as_ref())),
        Field("cores", "", "logical cores that the run may use", environment.cores.to_string()),
        Field("memory_bytes", "bytes", "memory of the machine", show(environment.memory_bytes)),
        Field("os", "", "operating system", show(environment.os.as_ref())),
        Field("kernel", "", "its kernel", environment.kernel.clone()),
        Field("gpus", "", "NVIDIA GPUs of the machine", environment.gpus.join("; ")),
        Field("gpu_driver", "", "NVIDIA's driver", show(environment.gpu_driver.as_ref())),
        Field("revision", "", "version of Benchbook", record.revision.clone()),
    ]
}

fn table(heads: Vec<Field>, rows: Vec<Vec<Field>>) -> Result<Table, Error> {
    let mut table = Table::new(heads.into_iter().map(|Field(name, ..)| name));
    for row in rows {
        table = table.row(row.into_iter().map(|Field(.., value)| value))?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated;
    use crate::record::Epoch;
    use crate::report::report_2019;

    fn cell(table: &Table, row: usize, column: &str) -> String {
        let at = table.headers().iter().position(|head| head == column).unwrap();
        table.rows()[row][at].text.clone()
    }

    #[test]
    fn a_run_is_a_row_of_plain_numbers_and_what_it_does_not_state_is_empty() {
        let mut failed = stated("libtorch", 1, 9.0);
        failed.status = Status::Failed { message: "disk, \"full\"\nreally".into() };
        failed.phases.train = None;
        let study = Study::of_records([stated("libtorch", 0, 10.0), failed]);
        let runs = study.runs().unwrap();
        let rows = |column: &str| [cell(&runs, 0, column), cell(&runs, 1, column)];
        assert_eq!(rows("train_s"), ["10.0", ""]);
        assert_eq!(rows("counts"), ["true", "false"]);
        assert_eq!(rows("round"), ["0", "1"]);
        assert_eq!(rows("images_trained"), ["800", "800"]);
        assert_eq!(rows("reason")[1], "failed: disk, \"full\"\nreally");
        // In the file that field is quoted, and no number has a unit or a mark.
        assert!(runs.to_csv().contains(",\"failed: disk, \"\"full\"\"\nreally\","));
    }

    #[test]
    fn the_summary_has_ratios_that_do_not_count_as_numbers_with_their_reason() {
        let summary = Study::of_records(report_2019()).summary().unwrap();
        assert_eq!(cell(&summary, 1, "backend"), "PyTorch, Tesla K80");
        assert_eq!(cell(&summary, 1, "train_s"), "938.3293848");
        let ratio: f64 = cell(&summary, 1, "train_ratio").parse().unwrap();
        assert_eq!(format!("{ratio:.2}"), "3.18");
        assert_eq!(cell(&summary, 1, "ratio_counts"), "false");
        assert!(cell(&summary, 1, "ratio_reason").contains("batch 64 against 32"));
        assert_eq!(cell(&summary, 1, "baseline"), "TensorFlow-Keras, Tesla K80");
        let own =
            ["train_ratio", "ratio_counts", "ratio_reason"].map(|column| cell(&summary, 0, column));
        assert_eq!(own, ["1.0", "true", ""]);
        assert!(!summary.to_csv().contains('~'));
    }

    #[test]
    fn every_column_is_documented_once() {
        let columns = Study::columns().unwrap();
        let study = Study::of_records(report_2019());
        for (name, table) in
            [("runs", study.runs().unwrap()), ("summary", study.summary().unwrap())]
        {
            let own = columns.rows().iter().filter(|row| row[0].text == name);
            let documented: Vec<&String> = own.map(|row| &row[1].text).collect();
            assert_eq!(documented, table.headers().iter().collect::<Vec<_>>());
            let distinct: std::collections::BTreeSet<_> = documented.iter().collect();
            assert_eq!(distinct.len(), documented.len());
        }
        assert!(columns.rows().iter().all(|row| !row[3].text.is_empty()));
    }

    #[test]
    fn each_run_with_epochs_has_a_folder_of_events() {
        let folder = tempfile::tempdir().unwrap();
        let run = |backend: &str, round| Record {
            epochs: vec![Epoch { epoch: 1, ..Epoch::default() }],
            ..stated(backend, round, 10.0)
        };
        let mut alone = run("x", 0);
        alone.place = None;
        alone.library.name = "a/b c".into();
        let runs = [run("libtorch", 0), run("libtorch", 0), run("libtorch", 1), alone];
        let study = Study::of_records(runs.into_iter().chain([stated("silent", 0, 1.0)]));
        let files = study.write_events(folder.path()).unwrap();
        let name = |file: &PathBuf| {
            let parent = file.parent().unwrap().strip_prefix(folder.path()).unwrap();
            parent.to_str().unwrap().to_owned()
        };
        assert_eq!(
            files.iter().map(name).collect::<Vec<_>>(),
            ["libtorch-s-round-0", "libtorch-s-round-0-2", "libtorch-s-round-1", "a-b-c"]
        );
        assert!(files.iter().all(|file| file.is_file()));
    }
}
