//! Checks that libraries, and then each timed run, compute the same from the same start.
//!
//! Each library gets the same weights, batches and dropout masks, and writes a [`Trace`]. In 64-bit floats on the CPU the
//! majority settles the right values ([`run`]). After its clock has stopped, a timed run writes such a trace with its own
//! model, optimiser and precision, which is compared with the settled values ([`Common::audit`]).

use super::launch::{Workers, device};
use super::trace::{self, Request, seed};
use crate::backend::{
    ALL, Array, Compute, Convention, Optimizer, Parameters, Precision, Runner, dropout_mask, normal,
};
use crate::error::Error;
use crate::job::Job;
use crate::model::Build;
use benchbook_chart::{Cell, Chart, LineChart, Table};
use benchbook_data::{Batch, ImageFolder, Loader};
use benchbook_display::{Bundle, Rich};
use benchbook_nets::{Architecture, Net, Operation};
use benchbook_study::agreement::{
    Agreement, Bounds, CHANGES_AFTER, Settled, Trace, agreement, first_of, length, rate_share,
    rounded, sample, settle, undetermined,
};
use benchbook_study::files::Scratch;
use benchbook_study::record::{Computes, Record};
use benchbook_study::references::{Answer, Question};
use benchbook_study::runner::{Event, one_process};
use benchbook_weights::safetensors;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The settings of the check.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    /// Training steps in 64-bit floats. Default: 20.
    pub steps: usize,
    /// Images in a batch; a study with more ranks takes one for each. Default: 8.
    pub batch_size: usize,
    /// Training steps of each run after its clock has stopped, at most [`Check::steps`]. Default: 3.
    pub run_steps: usize,
    /// How many of the study's libraries, from the first, settle the values in 64-bit floats; the others only have their runs
    /// compared with these, since compiling for the check may take them minutes, and have no ratio. One whose optimiser has
    /// another formula than those of the first (Keras' Adam beside PyTorch's) is not compared. Default: `None`, all.
    pub settled_by: Option<usize>,
}

impl Default for Check {
    fn default() -> Self {
        Self { steps: 20, batch_size: 8, run_steps: CHANGES_AFTER, settled_by: None }
    }
}

/// The result of a library in 64-bit floats, or why there is none.
pub type Computed = Result<Found, String>;

/// The result of a library in 64-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The loss of each step.
    pub losses: Vec<f64>,
    /// The library of the majority that it was compared with.
    pub against: String,
    /// The distance from that library.
    pub agreement: Agreement,
    /// Why no majority settles the right values, if none does.
    pub open: Option<String>,
}

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The settings.
    pub check: Check,
    /// The libraries in the study's order.
    pub backends: Vec<(String, Computed)>,
    /// The libraries' versions.
    pub versions: BTreeMap<String, String>,
    common: Arc<Common>,
}

/// The steps of a trace.
#[derive(Clone, Copy, Debug)]
struct Steps {
    count: usize,
    /// [`Question::rate_share`].
    rate_share: f64,
}

/// The common start of all traces, and the settled values.
#[derive(Debug)]
pub(super) struct Common {
    folder: Scratch,
    /// The steps of a run's trace.
    steps: Steps,
    /// The length of the sample of each starting parameter.
    lengths: BTreeMap<String, f64>,
    /// The settled values for each library of the study, by its optimiser's formula.
    truths: BTreeMap<String, Arc<Trace>>,
    /// How far rounding to the timed precision moves the settled values.
    rounding: Option<Agreement>,
    /// Expected images of the whole training, of a validation and of the test.
    images: [Option<usize>; 3],
}

impl Checked {
    /// The result for each library, for its records.
    pub fn found(&self) -> BTreeMap<String, Computes> {
        let found = |computed: &Computed| match computed {
            Err(reason) => Computes::Unchecked { reason: reason.clone() },
            Ok(Found { open: Some(reason), .. }) => Computes::Unchecked { reason: reason.clone() },
            Ok(Found { against, agreement, .. }) if !agreement.faults.is_empty() => {
                let message = format!("against {against}: {}", first_of(&agreement.faults));
                Computes::Unlike { message }
            }
            Ok(Found { against, agreement, .. }) => {
                let nearness = format!("in 64-bit floats: {}", nearness(agreement));
                Computes::Alike { reference: against.clone(), nearness }
            }
        };
        self.backends.iter().map(|(name, computed)| (name.clone(), found(computed))).collect()
    }

    pub(super) fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// A table with a row per library.
    ///
    /// # Errors
    /// [`benchbook_chart::Error`].
    pub fn table(&self) -> Result<Table, benchbook_chart::Error> {
        let titles =
            ["library", "first loss", "logits", "losses", "gradients", "changes", "verdict"];
        let mut table = Table::new(titles).numeric().caption(format!(
            "The same {} steps from the same weights in 64-bit floats: relative distance from the majority",
            self.check.steps
        ));
        for (name, computed) in &self.backends {
            let cells: Vec<Cell> = match computed {
                Err(reason) => {
                    let nothing = (0..5).map(|_| Cell::from("–"));
                    let verdict = Cell::from("not checked").note(reason.clone());
                    [name.into()].into_iter().chain(nothing).chain([verdict]).collect()
                }
                Ok(Found { losses, agreement, open, .. }) => {
                    let verdict = match (open, agreement.faults.as_slice()) {
                        (Some(reason), _) => Cell::from("open").note(reason.clone()),
                        (None, []) => Cell::from("agrees"),
                        (None, faults) => Cell::from("disagrees").note(first_of(faults)),
                    };
                    let Agreement { logits, loss, gradient, change, .. } = agreement;
                    let first = losses.first().map_or("–".into(), |loss| format!("{loss:.6}"));
                    let distances = [*logits, loss.0, gradient.0, change.0];
                    let distances = distances.map(|distance| format!("{distance:.1e}").into());
                    [name.into(), first.into()]
                        .into_iter()
                        .chain(distances)
                        .chain([verdict])
                        .collect()
                }
            };
            table = table.row(cells)?;
        }
        Ok(table)
    }

    /// A chart of the losses by step, with a line per library.
    pub fn chart(&self) -> LineChart {
        let mut chart =
            LineChart::new("The same start, the same images").x("step").y("loss of the batch");
        for (name, computed) in &self.backends {
            if let Ok(found) = computed
                && let Ok(longer) = chart.clone().series(name, &found.losses)
            {
                chart = longer;
            }
        }
        chart
    }
}

impl Rich for Checked {
    fn bundle(&self) -> Bundle {
        match self.table() {
            Ok(table) => {
                let html = format!("<div>{}{}</div>", table.to_html(), self.chart().svg());
                Bundle::text(table.to_text()).html(html)
            }
            Err(error) => Bundle::text(error.to_string()),
        }
    }
}

/// The largest distances as text.
fn nearness(agreement: &Agreement) -> String {
    let Agreement { logits, loss, gradient, change, .. } = agreement;
    format!(
        "largest relative difference: logits {logits:.1e}, losses {:.1e}, gradients {:.1e}, changes of the weights {:.1e}",
        loss.0, gradient.0, change.0
    )
}

/// The trace of a library with an optimiser's formula, which may be that of another library.
struct Traced {
    runner: Runner,
    rule: Optimizer,
    /// The library's place in the study; `None` for a trace that only helps to settle another library's formula.
    asked: Option<usize>,
    result: Result<Trace, String>,
}

pub(super) fn run(
    check: Check,
    timed: &Build,
    backends: &[String],
    workers: &mut Workers,
    observer: &mut dyn FnMut(&Event),
) -> Result<Checked, Error> {
    let (folder, lengths) = common_files(check, workers)?;
    let runners: Vec<_> = backends.iter().map(|name| Runner::find(name)).collect();
    let rule = |runner: Runner| match runner {
        Runner::Rust(_) => workers.job.fit.optimizer,
        Runner::Program(reference) => workers.job.fit.optimizer.in_convention(reference.convention),
    };
    let mut plan: Vec<(Runner, Optimizer, Option<usize>)> = Vec::new();
    // Libraries that settle nothing, by their places.
    let mut others: Vec<(usize, Optimizer)> = Vec::new();
    for (place, runner) in runners.iter().enumerate() {
        let Ok(runner) = *runner else { continue };
        if check.settled_by.is_none_or(|first| place < first) {
            plan.push((runner, rule(runner), Some(place)));
        } else {
            others.push((place, rule(runner)));
        }
    }
    // The Rust backends have all formulas, and help to settle one that few libraries of the study have.
    let mut rules: Vec<Optimizer> = Vec::new();
    for (_, rule, _) in &plan {
        if !rules.contains(rule) {
            rules.push(*rule);
        }
    }
    for rule in rules {
        for runner in ALL.iter().filter(|runner| matches!(runner, Runner::Rust(_))) {
            let has =
                plan.iter().any(|(of, own, _)| own == &rule && of.about().id == runner.about().id);
            let alone = plan.iter().filter(|(_, own, _)| *own == rule).count() < 3;
            if !has && alone && plan.len() > 1 && runner.installed().is_ok() {
                plan.push((*runner, rule, None));
            }
        }
    }
    let (mut traces, mut versions) = (Vec::new(), BTreeMap::new());
    let runs = plan.len();
    let one = Steps { count: 1, rate_share: 1.0 };
    let one = by_any(&plan, one, folder.path(), workers, observer)?;
    let sizes = workers.net.parameters().iter();
    let sizes = sizes.map(|parameter| (parameter.name.clone(), parameter.len())).collect();
    let rate_share = one.map_or(1.0, |step| rate_share(&step, &sizes));
    let steps = Steps { count: check.steps, rate_share };
    for (index, (runner, rule, asked)) in plan.iter().copied().enumerate() {
        let id = runner.about().id;
        let backend = format!("{id}: agreement check");
        observer(&Event::Begin { backend, run: index + 1, runs, warm_up: false });
        let result = trace_alone(runner, rule, steps, folder.path(), workers, observer);
        let result = result.and_then(|(answer, trace)| {
            if asked.is_some() {
                versions.insert(id.to_owned(), answer.version);
            }
            let values = trace.gradients.values().flatten().chain(&trace.logits);
            let finite = trace.losses.iter().all(|loss| loss.is_finite())
                && values.into_iter().all(|value| value.is_finite());
            match (finite, answer.deviations.as_slice()) {
                (false, _) => Err("its losses or gradients are not finite".into()),
                (true, []) => Ok(trace),
                (true, deviations) => Err(first_of(deviations)),
            }
        });
        traces.push(Traced { runner, rule, asked, result });
        crate::interrupt::check()?;
    }
    let settles_nothing = || "the study's first libraries settle the values".to_owned();
    let mut computed: Vec<Computed> = runners
        .iter()
        .map(|runner| Err(runner.as_ref().err().cloned().unwrap_or_else(settles_nothing)))
        .collect();
    let mut truths = judge(&traces, &lengths, &mut computed);
    for (place, rule) in others {
        let mut same = traces.iter().filter(|traced| traced.rule == rule);
        let truth = same.find_map(|traced| truths.get(&traced.asked?).cloned());
        truths.extend(truth.map(|truth| (place, truth)));
    }
    let backends: Vec<_> = backends.iter().cloned().zip(computed).collect();
    let truths = truths.into_iter().map(|(place, truth)| (backends[place].0.clone(), truth));
    let truths: BTreeMap<String, Arc<Trace>> = truths.collect();
    let steps = Steps { count: check.run_steps.min(check.steps), rate_share };
    let on_gpu = device(timed.requested_device()) != "cpu";
    let mut rounding = None;
    if let (Some(tolerance), Some(truth)) =
        (tolerance(&timed.compute, on_gpu), truths.values().next())
    {
        let common = round_files(folder.path(), tolerance.digits)?;
        let moved = by_any(&plan, steps, &common, workers, observer)?;
        rounding = moved.map(|moved| agreement(truth, &moved, tolerance.least, &lengths));
    }
    let common = Common { folder, steps, lengths, truths, rounding, images: workers.images() };
    Ok(Checked { check, backends, versions, common: Arc::new(common) })
}

/// Traces steps with a Rust backend, or else with the first library that can; `None` if no library can.
fn by_any(
    plan: &[(Runner, Optimizer, Option<usize>)],
    steps: Steps,
    common: &Path,
    workers: &mut Workers,
    observer: &mut dyn FnMut(&Event),
) -> Result<Option<Trace>, Error> {
    let own = ALL.iter().filter(|runner| matches!(runner, Runner::Rust(_)));
    let others = plan.iter().map(|(runner, _, _)| runner);
    let rule = workers.job.fit.optimizer;
    for runner in own.chain(others).filter(|runner| runner.installed().is_ok()) {
        let traced = trace_alone(*runner, rule, steps, common, workers, observer);
        crate::interrupt::check()?;
        if let Ok((_, trace)) = traced {
            return Ok(Some(trace));
        }
    }
    Ok(None)
}

/// The bounds of a timed precision.
struct Tolerance {
    /// The binary digits to which weights and images are rounded to see what rounding alone changes.
    digits: u32,
    least: Bounds,
    most: Bounds,
}

/// `None` for 64-bit floats, which have fixed bounds.
fn tolerance(compute: &Compute, on_gpu: bool) -> Option<Tolerance> {
    let short = |digits| Some(Tolerance { digits, least: Bounds::SHORT, most: Bounds::LOOSEST });
    match compute.precision {
        Precision::BFloat16 => short(8),
        Precision::Float16 => short(11),
        Precision::Float32 if on_gpu && (compute.tf32_matmul || compute.tf32_convolutions) => {
            short(11)
        }
        // Three of the 24 digits stand for the rounding of sums.
        Precision::Float32 => {
            Some(Tolerance { digits: 21, least: Bounds::SINGLE, most: Bounds::SINGLE })
        }
        Precision::Float64 => None,
    }
}

/// Writes the common batches and weights anew, rounded; returns their folder.
fn round_files(common: &Path, digits: u32) -> Result<PathBuf, Error> {
    let folder = common.join("rounded");
    std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    for file in [BATCHES, START] {
        let (mut all, _) = safetensors::read(&common.join(file))?;
        let exact = |name: &String| name == "labels" || name.starts_with("factors.");
        for (_, array) in all.arrays.iter_mut().filter(|(name, _)| !exact(name)) {
            array.values.iter_mut().for_each(|value| *value = rounded(*value, digits));
        }
        safetensors::write(&all, &folder.join(file), HashMap::new())?;
    }
    Ok(folder)
}

/// Settles each optimiser's formula, sets the results of the study's libraries, and returns the settled values by place.
fn judge(
    traces: &[Traced],
    lengths: &BTreeMap<String, f64>,
    computed: &mut [Computed],
) -> BTreeMap<usize, Arc<Trace>> {
    let mut truths = BTreeMap::new();
    for traced in traces {
        if let (Some(place), Err(reason)) = (traced.asked, &traced.result) {
            computed[place] = Err(reason.clone());
        }
    }
    let mut disputed: Vec<(&str, String)> = Vec::new();
    let mut done: Vec<Optimizer> = Vec::new();
    for Traced { rule, .. } in traces {
        if done.contains(rule) {
            continue;
        }
        done.push(*rule);
        let group: Vec<(&Traced, &Trace)> = traces
            .iter()
            .filter(|traced| traced.rule == *rule)
            .filter_map(|traced| Some((traced, traced.result.as_ref().ok()?)))
            .collect();
        let all: Vec<&Trace> = group.iter().map(|(_, trace)| *trace).collect();
        let bounds = bounds_of(*rule);
        let Some(settled) = settle(&all, bounds, lengths) else { continue };
        let (truth, open) = match settled {
            Settled::By(place) => (place, None),
            Settled::Open { between: [one, other], how } => {
                let name = |place: usize| group[place].0.runner.about().name;
                let why = format!(
                    "{} and {} disagree ({how}), and no majority of the libraries decides which is correct; add a library to the study",
                    name(one),
                    name(other)
                );
                disputed.extend(
                    group.iter().map(|(traced, _)| (traced.runner.about().id, why.clone())),
                );
                (one, Some(why))
            }
        };
        let settled = Arc::new(all[truth].clone());
        for (traced, trace) in &group {
            let Some(place) = traced.asked else { continue };
            let agreement = agreement(&settled, trace, bounds, lengths);
            computed[place] = Ok(Found {
                losses: trace.losses.clone(),
                against: group[truth].0.runner.about().id.into(),
                agreement,
                open: open.clone(),
            });
            truths.insert(place, Arc::clone(&settled));
        }
    }
    // A library that could not settle another's formula is in doubt too.
    for traced in traces {
        let Some(place) = traced.asked else { continue };
        if let (Ok(found), Some((_, why))) =
            (&mut computed[place], disputed.iter().find(|(id, _)| *id == traced.runner.about().id))
        {
            found.open.get_or_insert_with(|| why.clone());
        }
    }
    truths
}

/// The bounds for 64-bit floats. Keras' Adam computes the powers of its betas in 32 bits for any type of weights
/// (`ops.cast(0.999, "float64")` uses TensorFlow's 32-bit constants), which moves the first steps by 1e-5.
fn bounds_of(rule: Optimizer) -> Bounds {
    match rule {
        Optimizer::Adam { convention: Convention::Keras, .. } => {
            Bounds { loss: 1e-3, change: 1e-3, ..Bounds::EXACT }
        }
        Optimizer::Adam { .. } | Optimizer::Sgd { .. } | Optimizer::RmsProp { .. } => Bounds::EXACT,
    }
}

/// Writes the common batches and weights; returns their folder and the lengths of the sampled weights.
fn common_files(
    check: Check,
    workers: &mut Workers,
) -> Result<(Scratch, BTreeMap<String, f64>), Error> {
    let folder = crate::files::scratch()?;
    let batches = batches(check, &workers.job)?;
    write_batches(&batches, &workers.net, &folder.path().join(BATCHES))?;
    let start = workers.start()?;
    let (weights, _) = safetensors::read(&start)?;
    safetensors::write(&weights, &folder.path().join(START), HashMap::new())?;
    let lengths = weights.arrays.into_iter();
    let lengths = lengths.map(|(name, array)| (name, length(&sample(&array.values))));
    Ok((folder, lengths.collect()))
}

/// Standard deviation of the noise on the common images, relative to the root mean square of their values.
const NOISE: f64 = 0.01;
const BATCHES: &str = "batches.safetensors";
const START: &str = "start.safetensors";

fn question(common: &Path, own: &Path, steps: Steps, before: Option<PathBuf>) -> Question {
    Question {
        batches: common.join(BATCHES),
        start: common.join(START),
        before,
        steps: steps.count,
        rate_share: steps.rate_share,
        changes_after: CHANGES_AFTER.min(steps.count),
        arrays: own.join("arrays.safetensors"),
        output: own.join("answer.json"),
    }
}

/// Traces a library in 64-bit floats in its own process, so that a crash affects no other library.
fn trace_alone(
    runner: Runner,
    rule: Optimizer,
    steps: Steps,
    common: &Path,
    workers: &mut Workers,
    observer: &mut dyn FnMut(&Event),
) -> Result<(Answer, Trace), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let id = runner.about().id;
    let folder = workers.folder().join(format!("{id}-{rule}").replace(['/', ' '], "-"));
    std::fs::create_dir_all(&folder).map_err(|error| words(&error))?;
    let question = question(common, &folder, steps, None);
    let command = match runner {
        Runner::Rust(own) => {
            let mut command = workers.worker("study", own).map_err(|error| words(&error))?;
            let mut job = workers.job.clone();
            (job.build.backend, job.fit.optimizer) = (own, rule);
            let file = folder.join("question.json");
            let request = Request { job, question: question.clone() };
            trace::write_json(&request, &file).map_err(|error| words(&error))?;
            command.arg(ANSWER).arg(file);
            command
        }
        Runner::Program(reference) => {
            let record = folder.join("record.json");
            let traced = Some(question.clone());
            workers
                .program(reference, Record::default(), &record, traced)
                .map_err(|error| words(&error))?
        }
    };
    let status = one_process(command, id, observer, &crate::interrupt::requested);
    if let Some(reason) = status.reason() {
        return Err(reason);
    }
    trace::read(&question).map_err(|error| words(&error))
}

/// A worker's option for the file of a question.
pub(crate) const ANSWER: &str = "--answer";

impl Common {
    /// The question to a run of this library after its clock has stopped; `None` without settled values for the library.
    pub(super) fn question(&self, backend: &str, own: &Path, before: PathBuf) -> Option<Question> {
        self.truths.get(backend)?;
        Some(question(self.folder.path(), own, self.steps, Some(before)))
    }

    /// Checks a timed run by its record and trace: the counts and settings of the job, trained weights, and the settled
    /// values.
    pub(super) fn audit(
        &self,
        backend: &str,
        job: &Job,
        question: &Question,
        record: &mut Record,
    ) -> Computes {
        let Some(truth) = self.truths.get(backend) else {
            return Computes::Unchecked { reason: "no reference values for this library".into() };
        };
        let (answer, trace) = match trace::read(question) {
            Ok(read) => read,
            Err(error) => return Computes::Unchecked { reason: error.to_string() },
        };
        record.step_seconds = answer.step_seconds;
        let mut faults = answer.deviations;
        faults.extend(self.miscounted(job, record));
        if job.fit.rate() > 0.0 {
            let whole =
                truth.gradients.values().map(|values| length(values).powi(2)).sum::<f64>().sqrt();
            let learns = |name: &String| {
                let own = truth.gradients.get(name).map(|values| length(values));
                own.is_some_and(|own| own > benchbook_study::agreement::FLOOR * whole)
            };
            let still = answer.unchanged.iter().filter(|name| learns(name));
            faults.extend(still.map(|name| format!("training did not change {name}")));
        }
        let compute = &job.build.compute;
        let on_gpu = record.library.device.as_deref().is_some_and(|device| device != "cpu");
        let bounds = match (tolerance(compute, on_gpu), &self.rounding) {
            (Some(Tolerance { least, most, .. }), Some(rounding)) => {
                Bounds::of_rounding(rounding, least, most)
            }
            (Some(Tolerance { least, .. }), None) => least,
            (None, _) => Bounds::EXACT,
        };
        let agreement = agreement(truth, &trace, bounds, &self.lengths);
        let as_agreed = faults.is_empty();
        faults.extend(agreement.faults.iter().cloned());
        if faults.is_empty() {
            let reference = "the reference values".into();
            return Computes::Alike { reference, nearness: nearness(&agreement) };
        }
        let moved = self.rounding.as_ref().and_then(|rounding| undetermined(rounding, bounds));
        if as_agreed && let Some(moved) = moved {
            let reason = format!(
                "rounding to the run's precision ({}) alone changes {moved}; larger images, a larger batch of the check or a higher precision can be checked",
                compute.precision
            );
            return Computes::Unchecked { reason };
        }
        Computes::Unlike { message: first_of(&faults) }
    }

    /// The numbers of images that differ from the job's.
    fn miscounted(&self, job: &Job, record: &Record) -> Vec<String> {
        let [training, validation, test] = self.images;
        let validation = if job.fit.validate { validation } else { Some(0) };
        let mut found = Vec::new();
        let mut judge = |what: String, expected: Option<usize>, counted: usize| {
            if let Some(expected) = expected.filter(|expected| *expected != counted) {
                found.push(format!("{what} had {counted} images, the job has {expected}"));
            }
        };
        judge("training".into(), training, record.epochs.iter().map(|e| e.training_images).sum());
        for epoch in &record.epochs {
            let what = format!("the validation of epoch {}", epoch.epoch);
            judge(what, validation, epoch.validation_images);
        }
        judge("the test".into(), test, record.images_seen.test.unwrap_or(0));
        if record.epochs.len() != job.fit.epochs && job.fit.callbacks.is_empty() {
            found.push(format!("{} epochs, the job has {}", record.epochs.len(), job.fit.epochs));
        }
        found
    }
}

/// The first batches of the job's training, for every backend.
fn batches(check: Check, job: &Job) -> Result<Vec<Batch>, Error> {
    let data = ImageFolder::open_with(&job.data, job.folder)?;
    let preprocessing = job.build.resolved_preprocessing()?;
    let input = Net::new(job.net.graph())?.input();
    let config = benchbook_data::LoaderConfig {
        seed: job.fit.seed,
        crop: job.fit.crop.unwrap_or(job.build.crop),
        augmentation: job.fit.augmentation.clone(),
        repeat: true,
        drop_last: true,
        ..job.build.loader_config(input, preprocessing, check.batch_size)
    };
    let loader = Loader::new(&data.train(), config)?;
    let batches: Result<Vec<Batch>, _> = loader.epoch(0).take(check.steps).collect();
    let batches = batches?;
    if batches.len() < check.steps || check.steps == 0 {
        return Err(Error::Setting {
            name: "check",
            expected: "at least 1 step, with batches that the training images fill",
            found: format!("{check:?}, which has {} batches", batches.len()),
        });
    }
    Ok(batches)
}

/// Writes values, labels and the factors of each dropout layer, as [`Question::batches`] describes. Adds a little noise to
/// the values: in areas of one colour neighbours are equal, and rounding would choose the maximum.
fn write_batches(batches: &[Batch], net: &Net, path: &Path) -> Result<(), Error> {
    let (steps, size) = (batches.len(), batches[0].len());
    let shaped = |shape: &[usize]| [&[steps, size], shape].concat();
    let mut arrays = BTreeMap::new();
    let mut values: Vec<f32> =
        batches.iter().flat_map(|batch| batch.values.iter().copied()).collect();
    let spread = length(&values) / (values.len() as f64).sqrt() * NOISE;
    let noise = normal(values.len(), spread, seed(0), 0);
    values.iter_mut().zip(noise).for_each(|(value, noise)| *value += noise);
    arrays.insert("pixels".to_owned(), Array { shape: shaped(&batches[0].sample_shape), values });
    // Three quarters of a batch are of one class: random weights respond alike to all images, so with balanced classes the
    // gradients would cancel down to rounding errors.
    let labels = batches.iter().enumerate().flat_map(|(step, batch)| {
        let one = step % net.classes();
        let given = batch.labels.iter().enumerate();
        given.map(move |(at, label)| if 4 * at < 3 * size { one as f32 } else { *label as f32 })
    });
    arrays.insert("labels".to_owned(), Array { shape: shaped(&[]), values: labels.collect() });
    for (ordinal, index) in net.dropouts().enumerate() {
        let layer = &net.layers()[index];
        let Operation::Dropout(dropout) = &layer.operation else { continue };
        let count = size * layer.output.len();
        let factors =
            (0..steps).flat_map(|step| dropout_mask(count, dropout.rate, seed(step), ordinal));
        let array = Array { shape: shaped(layer.output.axes()), values: factors.collect() };
        arrays.insert(format!("factors.{ordinal}"), array);
    }
    safetensors::write(&Parameters { arrays }, path, HashMap::new())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(id: &str, rule: Optimizer, loss: f64, asked: Option<usize>) -> Traced {
        let gradients = BTreeMap::from([("dense.weight".to_owned(), vec![1.0, 2.0])]);
        let trace = Trace {
            logits: vec![1.0],
            losses: vec![loss],
            changes: gradients.clone(),
            gradients,
            omitted: Vec::new(),
        };
        Traced { runner: Runner::find(id).unwrap(), rule, asked, result: Ok(trace) }
    }

    fn judged(traces: &[Traced], count: usize) -> (Vec<Computed>, BTreeMap<usize, Arc<Trace>>) {
        let mut computed: Vec<Computed> = vec![Err(String::new()); count];
        let truths = judge(traces, &BTreeMap::new(), &mut computed);
        (computed, truths)
    }

    #[test]
    fn an_original_against_two_others_is_wrong() {
        let sgd = Optimizer::sgd();
        let traces = [
            traced("python-pytorch", sgd, 0.8, Some(0)),
            traced("libtorch", sgd, 0.7, Some(1)),
            traced("tensorflow", sgd, 0.7, Some(2)),
        ];
        let (computed, truths) = judged(&traces, 3);
        let faults = |place: usize| computed[place].as_ref().unwrap().agreement.faults.len();
        assert_eq!([faults(0), faults(1), faults(2)], [1, 0, 0]);
        assert!(computed.iter().flatten().all(|found| found.open.is_none()));
        assert_eq!(truths[&0].losses, [0.7], "the original's runs are held to the majority");
    }

    #[test]
    fn each_formula_is_settled_by_itself_and_who_cannot_settle_it_is_in_doubt() {
        let [torch, keras] = [Convention::PyTorch, Convention::Keras].map(Optimizer::adam);
        let all = |helping: f64| {
            [
                traced("libtorch", torch, 0.7, Some(0)),
                traced("python-keras", keras, 0.9, Some(1)),
                traced("libtorch", keras, helping, None),
            ]
        };
        let (computed, truths) = judged(&all(0.9), 2);
        assert!(
            computed.iter().flatten().all(|f| f.open.is_none() && f.agreement.faults.is_empty())
        );
        assert_eq!((truths[&0].losses[0], truths[&1].losses[0]), (0.7, 0.9));
        let (computed, _) = judged(&all(0.8), 2);
        let open = computed.iter().flatten().filter(|found| found.open.is_some()).count();
        assert_eq!(open, 2, "{computed:?}");
    }
}
