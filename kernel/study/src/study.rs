//! Groups runs and shows them in tables and charts.

mod export;
mod figures;
mod nets;
mod page;
mod parts;
mod scaling;
mod steps;

use crate::ceiling::Ceiling;
use crate::compare::{Quantity, SEED, compare, counts};
use crate::error::Error;
use crate::price::Price;
use crate::proportion::wilson_of_share;
use crate::record::{Computes, Environment, Place, Provenance, Record, Status};
use crate::records::{Records, Unreadable};
use crate::statistics::{Summary, accuracy_interval, median_interval, outliers};
use benchbook_chart::{Align, Cell, Chart, Table};
use benchbook_display::{Bundle, Rich};
use std::collections::BTreeSet;

/// The default number of rounds of a study; fewer are marked.
pub const ADVISED_ROUNDS: usize = 5;

/// Records, grouped by backend and machine, and compared with the first group.
#[derive(Clone, Debug, Default)]
pub struct Study {
    /// All records of the files.
    records: Records,
    /// The runs among the records, each with the result of the last check of its backend.
    runs: Vec<Record>,
    baseline: Option<String>,
    target: Option<f64>,
    price: Option<Price>,
}

/// The runs of one backend on one machine.
struct Group<'a> {
    name: String,
    records: Vec<&'a Record>,
}

/// The properties that the runs of a group share.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    backend: String,
    study: Option<String>,
    job: Option<String>,
    machine: Option<String>,
    host: Option<String>,
    version: Option<String>,
}

impl Key {
    fn of(record: &Record) -> Self {
        let place = record.place.as_ref();
        Self {
            backend: record.backend().to_owned(),
            study: place.map(|place| place.study.clone()),
            job: place.map(|place| place.job.clone()),
            machine: machine(record),
            host: record.environment.host.clone(),
            version: record.library.version.clone(),
        }
    }

    /// The name of a group, unique among `all`: the backend, unless one backend ran several studies; machine and study if
    /// there are several; version, host and job if the name would not be unique otherwise.
    fn name(&self, all: &[Self]) -> String {
        let several = |of: fn(&Self) -> &Option<String>| all.iter().any(|key| of(key) != of(self));
        let one_backend = all.iter().all(|key| key.backend == self.backend && key.study.is_some());
        let alone = one_backend && several(|key| &key.study);
        let mut parts: Vec<String> = (!alone).then(|| self.backend.clone()).into_iter().collect();
        parts.extend(self.machine.clone().filter(|_| several(|key| &key.machine)));
        parts.extend(self.study.clone().filter(|_| several(|key| &key.study)));
        let namesakes = all.iter().filter(|key| {
            key.backend == self.backend && key.machine == self.machine && key.study == self.study
        });
        let namesakes: Vec<&Self> = namesakes.collect();
        let mut apart = |of: fn(&Self) -> &Option<String>, word: &str| {
            if let Some(value) = of(self)
                && namesakes.iter().any(|key| of(key) != of(self))
            {
                parts.push(format!("{word} {}", value.chars().take(8).collect::<String>()));
            }
        };
        apart(|key| &key.version, "version");
        apart(|key| &key.host, "host");
        apart(|key| &key.job, "job");
        parts.join(", ")
    }
}

/// The accuracy of a group's runs, 0 to 1, with its 95% interval.
struct Accuracy {
    mean: f64,
    interval: (f64, f64),
    /// Whether the interval covers trainings with other seeds, and not only other images.
    over_seeds: bool,
}

impl Group<'_> {
    fn valid(&self) -> Vec<&Record> {
        self.records.iter().copied().filter(|record| counts(record)).collect()
    }

    fn values(&self, of: impl Fn(&Record) -> Option<f64>) -> Vec<f64> {
        self.valid().into_iter().filter_map(of).collect()
    }

    fn summary(&self, of: impl Fn(&Record) -> Option<f64>) -> Option<Summary> {
        Summary::of(&self.values(of))
    }

    /// The result of the last check.
    fn computes(&self) -> Option<&Computes> {
        self.records.iter().rev().find_map(|record| record.computes.as_ref())
    }

    /// The mean accuracy of the runs' last evaluations or epochs, and its interval: over seeds and images where each run
    /// has a seed of its own ([`accuracy_interval`]), else Wilson's over images.
    fn accuracy(&self) -> Option<Accuracy> {
        let valid = self.valid();
        let accuracies: Vec<f64> = valid.iter().filter_map(|record| accuracy(record)).collect();
        let images = valid.iter().find_map(|record| images(record))?;
        if accuracies.is_empty() {
            return None;
        }
        let seed = |record: &&Record| record.training.as_ref().and_then(|training| training.seed);
        let seeds: BTreeSet<u64> = valid.iter().filter_map(seed).collect();
        let over_seeds = accuracy_interval(&accuracies, images)
            .filter(|_| seeds.len() == valid.len() && accuracies.len() == valid.len());
        let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
        let (mean, interval) = over_seeds.unwrap_or_else(|| (mean, wilson_of_share(mean, images)));
        Some(Accuracy { mean, interval, over_seeds: over_seeds.is_some() })
    }

    /// The seconds until each run reached an accuracy; otherwise a cell with the number of runs that reached it.
    fn times_to(&self, target: f64) -> Result<Vec<f64>, Cell> {
        let valid = self.valid();
        let to_target = Quantity::ToAccuracy(target);
        let times: Vec<f64> = valid.iter().filter_map(|record| to_target.seconds(record)).collect();
        // A median without the runs that never reach it would favour the backend.
        if times.len() == valid.len() && !times.is_empty() {
            return Ok(times);
        }
        if valid.is_empty() {
            return Err("–".into());
        }
        let cell = Cell::from(format!("reached in {} of {} rounds", times.len(), valid.len()));
        let seconds: Vec<String> = times.iter().map(|time| format!("{time:.1} s")).collect();
        Err(if times.is_empty() {
            cell
        } else {
            cell.note(format!("after {}", seconds.join(", ")))
        })
    }
}

/// The median of values with its 95% interval.
fn with_interval(values: &[f64]) -> Cell {
    let Some(median) = median_interval(values, SEED) else { return "–".into() };
    let digits = digits(median.value);
    match median.interval {
        Some((low, high)) => {
            format!("{:.digits$} ({low:.digits$} to {high:.digits$})", median.value).into()
        }
        None => format!("{:.digits$}", median.value).into(),
    }
}

/// The mean accuracy of the runs with its interval.
fn accuracy_cell(group: &Group<'_>) -> Cell {
    let Some(Accuracy { mean, interval: (low, high), over_seeds }) = group.accuracy() else {
        return "–".into();
    };
    let cell = Cell::from(format!("{mean:.3} ({low:.3} to {high:.3})"));
    let note = "the interval covers other images, but not other seeds";
    if over_seeds { cell } else { cell.note(note) }
}

/// The median of the runs' peaks of resident memory.
fn memory_cell(group: &Group<'_>) -> Cell {
    let memory = group.summary(|record| peak_bytes(record).map(|bytes| bytes as f64));
    let Some(Summary { median, .. }) = memory else { return "–".into() };
    let cell = Cell::from(format!("{:.0} MB", median / 1e6));
    let valid = group.valid();
    let mut resources = valid.iter().flat_map(|record| record.resources_of_phases());
    if resources.any(|used| used.shared_in_each) {
        cell.note("shared memory counts in each process")
    } else {
        cell
    }
}

/// The peak of resident memory, in bytes: measured from outside, or else stated by the run.
pub(crate) fn peak_bytes(record: &Record) -> Option<u64> {
    let watched = record.resources_of_phases().filter_map(|used| used.host_peak_bytes).max();
    watched.or(record.peak_memory.host_bytes)
}

fn accuracy(record: &Record) -> Option<f64> {
    let evaluation = record.metrics.evaluations.last().map(|evaluation| evaluation.accuracy);
    evaluation.or(record.metrics.val_accuracy)
}

fn images(record: &Record) -> Option<usize> {
    let evaluated = record.metrics.evaluations.last().map(|evaluation| evaluation.images);
    evaluated
        .or_else(|| record.epochs.last().map(|epoch| epoch.validation_images))
        .filter(|n| *n > 0)
}

impl Study {
    /// Makes a study of the records of any number of files.
    pub fn of(records: Records) -> Self {
        let runs = judged(&records.records);
        Self { records, runs, ..Self::default() }
    }

    /// Makes a study of single records.
    pub fn of_records(records: impl IntoIterator<Item = Record>) -> Self {
        let records = records.into_iter().collect();
        Self::of(Records { records, unreadable: Vec::new() })
    }

    /// Reads one file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn read(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        Ok(Self::of(Records::read(path)?))
    }

    /// Adds another file, for example from another machine.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn and(self, path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        let records = self.records.and(path)?;
        Ok(Self { runs: judged(&records.records), records, ..self })
    }

    /// Sets the backend that the others are compared with. Default: the first backend with figures on the same machine.
    pub fn baseline(mut self, backend: impl Into<String>) -> Self {
        self.baseline = Some(backend.into());
        self
    }

    /// Adds the time until a validation accuracy, 0 to 1, to the table.
    pub fn target_accuracy(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// Adds the cost of a run, and of reaching the target accuracy, to the table.
    pub fn price_per_hour(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }

    /// All runs, including failed ones, each with the result of the last check of its backend.
    pub fn records(&self) -> &[Record] {
        &self.runs
    }

    /// The lines of the files that could not be read.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.records.unreadable
    }

    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<(Key, Group<'_>)> = Vec::new();
        let all: Vec<Key> = self.records().iter().map(Key::of).collect();
        for (record, key) in self.records().iter().zip(&all) {
            let mut key = key.clone();
            // A failed run may not state its version; it joins the runs that do.
            if key.version.is_none() {
                let told = |other: &&Key| Key { version: None, ..(*other).clone() } == key;
                key.version = all.iter().filter(told).find_map(|other| other.version.clone());
            }
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.records.push(record),
                None => {
                    groups.push((key, Group { name: String::new(), records: vec![record] }));
                }
            }
        }
        for (_, group) in &mut groups {
            // Drop records of a missing backend that was installed later.
            if group.records.iter().any(|record| !is_absent(record)) {
                group.records.retain(|record| !is_absent(record));
            }
        }
        let keys: Vec<Key> = groups.iter().map(|(key, _)| key.clone()).collect();
        for (key, group) in &mut groups {
            group.name = key.name(&keys);
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// A table with a row per backend: medians with quartiles of the phases, rate, accuracy, memory, and the time of `train`
    /// as a multiple of the baseline's, struck through if conditions differ. [`target_accuracy`](Self::target_accuracy) and
    /// [`price_per_hour`](Self::price_per_hour) add medians of the time to the target and of the costs with their 95%
    /// intervals. Backends without a successful run are listed with the reason.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn table(&self) -> Result<Table, Error> {
        let groups = self.groups();
        let mut heads: Vec<String> = [
            "backend",
            "figures",
            "runs",
            "agreement",
            "load [s]",
            "build [s]",
            "train [s]",
            "test [s]",
            "images/s",
            "accuracy",
            "peak memory",
            "train ×",
            "× per image",
        ]
        .map(String::from)
        .to_vec();
        let mut caption = String::from(
            "Accuracy: mean of the rounds; the 95% interval covers other seeds and other images. \
             Times: median [quartiles].",
        );
        if let Some(target) = self.target {
            heads.extend([format!("to accuracy {target} [s]"), "to accuracy ×".into()]);
            caption += " To accuracy: training and validation until the end of the first epoch that reaches it, median \
                        (95% interval).";
        }
        if let Some(price) = &self.price {
            heads.push(format!("cost per run [{}]", price.currency));
            heads.extend(self.target.map(|_| format!("cost to accuracy [{}]", price.currency)));
            caption += &format!(
                " Cost: {price} per hour, for the whole process and for the time to the accuracy."
            );
        }
        let columns = heads.len();
        let mut table =
            Table::new(heads).caption(caption).align((0..columns).map(|column| {
                if [0, 1, 3].contains(&column) { Align::Left } else { Align::Right }
            }));
        for group in &groups {
            table = table.row(self.row(group, &groups))?;
        }
        Ok(table)
    }

    fn row(&self, group: &Group<'_>, groups: &[Group<'_>]) -> Vec<Cell> {
        let valid = group.valid();
        let bad: Vec<String> = reasons(&group.records);
        let warm_ups = group.records.iter().filter(|record| warms_up(record)).count();
        let all = group.records.len() - warm_ups;
        let mut runs = Cell::from(if group.records.iter().all(|record| is_absent(record)) {
            "not available".into()
        } else if valid.len() == all {
            all.to_string()
        } else {
            format!("{} of {all}", valid.len())
        });
        let few = valid.len() > 1 && valid.len() < ADVISED_ROUNDS;
        let few = few.then(|| format!("fewer than {ADVISED_ROUNDS} rounds"));
        let disturbed = valid.iter().flat_map(|record| record.disturbances());
        let disturbed = disturbed.map(|why| format!("disturbed: {why}"));
        let trained: Vec<(usize, f64)> = valid
            .iter()
            .filter_map(|record| Some((record.place.as_ref()?.round, record.phases.train?)))
            .collect();
        let times: Vec<f64> = trained.iter().map(|(_, seconds)| *seconds).collect();
        let far = outliers(&times).into_iter().map(|place| trained[place]);
        let far =
            far.map(|(round, seconds)| format!("outlier: round {round} trained {seconds:.2} s"));
        let notes: Vec<String> = bad.into_iter().chain(few).chain(disturbed).chain(far).collect();
        if !notes.is_empty() {
            runs = runs.note(notes.join("; "));
        }
        let dash = || Cell::from("–");
        let seconds = |quantity: Quantity| {
            group
                .summary(|record| quantity.seconds(record))
                .map_or_else(dash, |s| spread(&s).into())
        };
        let rate =
            group.summary(|record| record.throughput.training.or(record.throughput.train_phase));
        let mut rate = rate.map_or_else(dash, |rate| format!("{:.1}", rate.median).into());
        let rates = valid.iter().find_map(|record| record.rates).map(|rates| rates.to_string());
        let mut notes: Vec<String> = rates.into_iter().collect();
        for record in &valid {
            for fault in record.clock_faults().into_iter().chain(Ceiling::fault(record)) {
                let fault = format!("implausible: {fault}");
                if !notes.contains(&fault) {
                    notes.push(fault);
                }
            }
        }
        if !notes.is_empty() {
            rate = rate.note(notes.join("; "));
        }
        let mut row = vec![
            Cell::from(&group.name),
            Cell::from(group.records[0].provenance.to_string()),
            runs,
            computed(group),
        ];
        row.extend(Quantity::PHASES.map(seconds));
        row.push(rate);
        row.extend([accuracy_cell(group), memory_cell(group)]);
        row.extend(self.ratios(group, groups, Quantity::Train));
        let times = self.target.map(|target| group.times_to(target));
        if let (Some(target), Some(times)) = (self.target, &times) {
            row.push(times.as_ref().map_or_else(Clone::clone, |times| with_interval(times)));
            let [ratio, _] = self.ratios(group, groups, Quantity::ToAccuracy(target));
            row.push(ratio);
        }
        if let Some(price) = &self.price {
            let cost = |seconds: &[f64]| {
                with_interval(&seconds.iter().map(|time| price.of(*time)).collect::<Vec<_>>())
            };
            row.push(cost(&valid.iter().filter_map(|run| run.wall_seconds).collect::<Vec<_>>()));
            row.extend(times.map(|times| times.map_or_else(|_| dash(), |times| cost(&times))));
        }
        row
    }

    fn ratios(&self, group: &Group<'_>, groups: &[Group<'_>], quantity: Quantity) -> [Cell; 2] {
        let dash = || Cell::from("–");
        let Some(base) = self.base_of(group, groups) else { return [dash(), dash()] };
        let valid = base.valid();
        if std::ptr::eq(base, group) && valid.iter().any(|run| quantity.seconds(run).is_some()) {
            return [Cell::from("1"), Cell::from("1")];
        }
        let Some(found) = compare(&valid, &group.valid(), quantity) else {
            return [dash(), dash()];
        };
        let told: Vec<String> = found.told.iter().map(ToString::to_string).collect();
        let told = (!told.is_empty()).then(|| format!("also different: {}", told.join("; ")));
        let against = format!("× {}: ", base.name);
        let ratio = match found.why_not() {
            Some(why) => Cell::struck(found.words(), format!("{against}{why}")),
            None => {
                let cell = Cell::from(found.words());
                match told {
                    Some(told) => cell.note(told),
                    None => cell,
                }
            }
        };
        let doubt = found.why_not_per_image();
        let per_image = found.per_image.map_or_else(dash, |per_image| match doubt {
            Some(why) => Cell::struck(per_image.to_string(), format!("{}; {why}", per_image.basis)),
            None => Cell::from(per_image.to_string()).note(per_image.basis),
        });
        [ratio, per_image]
    }

    /// The group that a group is compared with: the baseline of its study and machine, or else of its machine; without a
    /// baseline, the first group with figures. Only an explicit baseline may be from another machine.
    fn base_of<'a, 'b>(&self, group: &Group<'_>, groups: &'b [Group<'a>]) -> Option<&'b Group<'a>> {
        let own = Key::of(group.records[0]);
        let key = |other: &Group<'_>| Key::of(other.records[0]);
        let here = |other: &&Group<'_>| {
            (key(other).machine, key(other).host) == (own.machine.clone(), own.host.clone())
        };
        let same_study = |other: &&Group<'_>| {
            (key(other).study, key(other).job) == (own.study.clone(), own.job.clone())
        };
        let suits = |other: &&Group<'_>| match self.baseline.as_deref() {
            Some(name) => other.records[0].backend() == name,
            None => !other.valid().is_empty(),
        };
        let candidates = || groups.iter().filter(suits);
        let found = candidates().filter(here).find(same_study);
        found.or_else(|| candidates().find(here)).or_else(|| {
            self.baseline.as_ref()?;
            candidates().next()
        })
    }
}

/// The reasons why runs have no figures, each once, with the number of runs.
fn reasons(records: &[&Record]) -> Vec<String> {
    let mut all: Vec<(String, usize)> = Vec::new();
    for reason in records.iter().filter_map(|record| record.reason()) {
        match all.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => all.push((reason, 1)),
        }
    }
    let several =
        |(reason, count)| if count > 1 { format!("{reason} ({count} runs)") } else { reason };
    all.into_iter().map(several).collect()
}

/// The cell with the agreement of a backend.
fn computed(group: &Group<'_>) -> Cell {
    match group.computes() {
        None => "not checked".into(),
        Some(Computes::Unchecked { reason }) => Cell::from("not checked").note(reason.clone()),
        Some(Computes::Unlike { message }) => Cell::from("disagrees").note(message.clone()),
        Some(Computes::Alike { reference, .. }) if *reference == group.records[0].backend() => {
            "reference".into()
        }
        Some(Computes::Alike { reference, nearness }) => {
            let cell = Cell::from(format!("agrees with {reference}"));
            if nearness.is_empty() { cell } else { cell.note(nearness.clone()) }
        }
    }
}

/// The runs among the records, each with the result of the last check of its backend, version, job and machine. A failed
/// check does not replace an earlier result.
fn judged(records: &[Record]) -> Vec<Record> {
    let subject = |record: &Record| {
        let Environment { cpu, gpus, .. } = &record.environment;
        // A check does not know the device of the runs.
        let key = Key { machine: None, ..Key::of(record) };
        record.place.as_ref().map(|_| (key, cpu.clone(), gpus.clone()))
    };
    // Files are read in any order, so the time decides which check is the last.
    let mut in_time: Vec<&Record> = records.iter().collect();
    in_time.sort_by_key(|record| record.started);
    let mut last: Vec<(_, &Computes)> = Vec::new();
    for record in in_time {
        let (Some(subject), Some(computes)) = (subject(record), &record.computes) else { continue };
        let failed = matches!(computes, Computes::Unchecked { .. });
        match last.iter_mut().find(|(known, _)| *known == subject) {
            None => last.push((subject, computes)),
            Some((_, found)) if !failed => *found = computes,
            Some(_) => {}
        }
    }
    let with_verdict = |record: &Record| {
        let subject = subject(record);
        let found = last.iter().find(|(known, _)| Some(known) == subject.as_ref());
        let found = found.map(|(_, computes)| *computes);
        Record { computes: found.or(record.computes.as_ref()).cloned(), ..record.clone() }
    };
    let runs = records.iter().filter(|record| record.status != Status::Checked);
    runs.filter(|record| !repeated(record, records)).map(with_verdict).collect()
}

/// Whether a disturbed run was replaced by another attempt.
fn repeated(record: &Record, all: &[Record]) -> bool {
    let Some(place) = &record.place else { return false };
    let after = Place { attempt: place.attempt + 1, ..place.clone() };
    record.status == Status::Ok
        && !record.disturbances().is_empty()
        && all.iter().any(|other| {
            other.place.as_ref() == Some(&after)
                && other.status == Status::Ok
                && other.environment.host == record.environment.host
        })
}

fn is_absent(record: &Record) -> bool {
    matches!(record.status, Status::Absent { .. })
}

fn warms_up(record: &Record) -> bool {
    record.reason().is_none() && record.place.as_ref().is_some_and(|place| place.warm_up)
}

/// The device's name, or the machine's processor.
fn machine(record: &Record) -> Option<String> {
    match record.provenance {
        Provenance::Measured => {
            record.library.device_name.clone().or(record.environment.cpu.clone())
        }
        Provenance::Reported { .. } => record.library.device_name.clone(),
    }
}

/// The decimal places for three significant digits.
fn digits(value: f64) -> usize {
    if value > 0.0 { (2.0 - value.log10().floor()).clamp(0.0, 9.0) as usize } else { 0 }
}

/// A median with its quartiles in three significant digits; a single value without quartiles.
pub(crate) fn spread(summary: &Summary) -> String {
    let digits = digits(summary.median);
    if summary.count == 1 {
        return format!("{:.digits$}", summary.median);
    }
    format!(
        "{:.digits$} [{:.digits$} to {:.digits$}]",
        summary.median, summary.lower, summary.upper
    )
}

impl Rich for Study {
    fn bundle(&self) -> Bundle {
        let drawn = || Ok((self.table()?, self.parts()?, self.chart(Quantity::Train)?));
        let (table, parts, chart) = match drawn() {
            Ok(drawn) => drawn,
            Err(error) => return Bundle::text(Error::to_string(&error)),
        };
        let mut text = table.to_text();
        let mut html = format!("<div>{}{}</div>", table.to_html(), chart.svg());
        // Published figures and runs in a notebook have no process of their own.
        if self.records().iter().any(|record| record.wall_seconds.is_some()) {
            text += &format!("\n{}", parts.to_text());
            html += &parts.to_html();
        }
        for line in self.unreadable() {
            text += &format!("\ncannot read {line}");
            html +=
                &format!("<div>cannot read {}</div>", benchbook_display::escape(&line.to_string()));
        }
        Bundle::text(text).html(html)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Phases;
    use crate::report::report_2019;

    fn run(backend: &str, round: usize, seconds: f64) -> Record {
        let place = Place {
            study: "s".into(),
            backend: backend.into(),
            round,
            job: String::new(),
            warm_up: round == 0,
            call: "1-2".into(),
            attempt: 0,
        };
        let phases = Phases { train: Some(seconds), ..Phases::default() };
        Record { place: Some(place), phases, ..Record::default() }
    }

    #[test]
    fn failed_runs_keep_their_row_and_warm_ups_do_not_count() {
        let mut records: Vec<Record> = (0..4).map(|round| run("libtorch", round, 2.0)).collect();
        records[0].phases.train = Some(99.0);
        for round in 0..4 {
            let message = "CUDA out of memory".to_owned();
            records.push(Record {
                status: Status::OutOfMemory { message },
                phases: Phases::default(),
                ..run("python-keras", round, 0.0)
            });
        }
        let table = Study::of_records(records).table().unwrap();
        assert_eq!(
            (table.rows()[0][2].text.as_str(), table.rows()[0][6].text.as_str()),
            ("3", "2.00 [2.00 to 2.00]")
        );
        assert_eq!(table.rows()[0][3].text, "not checked");
        assert_eq!(table.rows()[1][2].text, "0 of 4");
        assert_eq!(
            table.rows()[1][2].note.as_deref(),
            Some("out of memory: CUDA out of memory (4 runs)")
        );
        assert_eq!(table.rows()[1][6].text, "–");
    }

    #[test]
    fn the_chart_has_medians_and_quartiles_and_no_bar_for_what_failed() {
        let mut records: Vec<Record> = [1.0, 2.0, 3.0, 4.0, 5.0]
            .iter()
            .zip(1..)
            .map(|(s, round)| run("a", round, *s))
            .collect();
        records.push(Record { status: Status::Interrupted, ..run("b", 1, 9.0) });
        let chart = Study::of_records(records).chart(Quantity::Train).unwrap();
        let series = &chart.data().series;
        assert_eq!(series.len(), 1);
        assert_eq!((series[0].values[0], series[0].error[0]), (3.0, 1.0));
    }

    #[test]
    fn machines_of_one_kind_versions_and_jobs_have_rows_of_their_own() {
        let on = |host: &str, version: &str, job: &str, seconds: f64| -> Vec<Record> {
            (1..4)
                .map(|round| {
                    let mut record = run("a", round, seconds);
                    record.environment.host = Some(host.into());
                    record.library.version = Some(version.into());
                    record.place.as_mut().unwrap().job = job.into();
                    record
                })
                .collect()
        };
        let mut records = on("h1", "1", "j", 10.0);
        // It ended before it stated its version.
        let mut failed = Record { status: Status::Interrupted, ..records[0].clone() };
        failed.library.version = None;
        records.push(failed);
        let names = |records: Vec<Record>| -> Vec<(String, usize)> {
            let study = Study::of_records(records);
            study.groups().into_iter().map(|group| (group.name, group.records.len())).collect()
        };
        assert_eq!(names(records.clone()), [("a".into(), 4)]);
        let more =
            [on("h2", "1", "j", 20.0), on("h1", "2", "j", 30.0), on("h1", "1", "k", 40.0)].concat();
        assert_eq!(
            names([records, more].concat()),
            [
                ("a, version 1, host h1, job j".into(), 4),
                ("a, version 1, host h2, job j".into(), 3),
                ("a, version 2, host h1, job j".into(), 3),
                ("a, version 1, host h1, job k".into(), 3),
            ]
        );
    }

    /// A corrected version is checked anew; the runs of the wrong version stay invalid in any order of files.
    #[test]
    fn a_verdict_holds_for_its_version_and_the_last_in_time_counts() {
        let of = |started: u64, version: &str, computes: Computes| {
            let mut record = Record { started, computes: Some(computes), ..run("a", 1, 10.0) };
            record.library.version = Some(version.into());
            record
        };
        let unlike = || Computes::Unlike { message: "half a gradient".into() };
        let alike = || Computes::Alike { reference: "b".into(), nearness: String::new() };
        let reasons = |records: Vec<Record>| -> Vec<bool> {
            let study = Study::of_records(records);
            study.records().iter().map(|record| record.reason().is_some()).collect()
        };
        assert_eq!(reasons(vec![of(1, "1", unlike()), of(2, "2", alike())]), [true, false]);
        assert_eq!(reasons(vec![of(9, "1", unlike()), of(2, "1", alike())]), [true, true]);
        assert_eq!(reasons(vec![of(2, "1", unlike()), of(9, "1", alike())]), [false, false]);
    }

    /// A diverged model has losses that JSON cannot represent.
    #[test]
    fn a_record_with_losses_that_are_no_numbers_can_be_read_back() {
        let epoch = crate::record::Epoch { loss: f64::NAN, ..Default::default() };
        let evaluation = crate::record::Evaluation {
            split: "validation".into(),
            loss: f64::INFINITY,
            accuracy: 0.5,
            interval: [0.4, 0.6],
            images: 100,
            seconds: 1.0,
        };
        let mut record = Record { epochs: vec![epoch], ..run("a", 1, 10.0) };
        record.metrics.evaluations.push(evaluation);
        let text = serde_json::to_string(&record).unwrap();
        let read: Record = serde_json::from_str(&text).unwrap();
        assert!(read.epochs[0].loss.is_nan() && read.metrics.evaluations[0].loss.is_nan());
    }

    #[test]
    fn a_study_shows_itself_as_text_and_html_with_what_could_not_be_read() {
        let unreadable =
            vec![Unreadable { path: "a.jsonl".into(), line: 3, reason: "half <line>".into() }];
        let study = Study::of(Records { records: report_2019(), unreadable });
        let bundle = study.bundle();
        assert!(bundle.plain().contains("cannot read a.jsonl, line 3: half <line>"));
        let html = bundle.data["text/html"].as_str().unwrap();
        assert!(
            html.contains("<s style")
                && html.contains("<svg")
                && html.contains("half &lt;line&gt;")
        );
    }
}
