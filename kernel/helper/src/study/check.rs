//! Whether backends compute the same from the same start.

use super::launch::Workers;
use crate::backend::{ALL, Array, Input, Parameters, Runner, Step, dropout_mask};
use crate::error::Error;
use crate::job::Job;
use benchbook_chart::{Cell, Chart, LineChart, Table};
use benchbook_data::{Batch, ImageFolder, Loader};
use benchbook_display::{Bundle, Rich};
use benchbook_nets::{Architecture, Net, Operation};
use benchbook_study::gradients::{Agreement, EARLY, MOVED, Reference, Tolerance, Trace, agreement};
use benchbook_study::record::Computes;
use benchbook_study::references;
use benchbook_study::runner::{Event, Launcher, one_process};
use benchbook_weights::safetensors;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How backends are compared in what they compute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    /// Steps of training. Default: 20.
    pub steps: usize,
    /// Pictures in a batch. Default: 8.
    pub batch_size: usize,
    /// How far apart they may be.
    pub tolerance: Tolerance,
    /// Whether to compute in the job's own precision instead of 32-bit floats without TF32. In 16-bit floats only
    /// libraries that share their kernels are so near each other. Default: false.
    pub own_precision: bool,
}

impl Default for Check {
    fn default() -> Self {
        Self { steps: 20, batch_size: 8, tolerance: Tolerance::default(), own_precision: false }
    }
}

/// What a backend computed and how far it is from the reference, or why it computed nothing.
pub type Computed = Result<(Trace, Agreement), String>;

/// What each backend computed, and how far it is from the reference.
#[derive(Clone, Debug)]
pub struct Checked {
    /// How they were compared.
    pub check: Check,
    /// The backend that the others are compared with: Python's PyTorch if it is there, else the first.
    pub reference: String,
    /// How far the reference is from itself when each starting weight moves by a millionth: what rounding alone can do
    /// in this job. `None` if it could not be computed.
    pub rounding: Option<Agreement>,
    /// How far the reference is from itself without learning, in the first steps.
    pub learning: Option<Agreement>,
    /// The backends in the study's order: what they computed and how far it is from the reference, or why
    /// they computed nothing.
    pub backends: Vec<(String, Computed)>,
    /// The versions of their libraries.
    pub versions: BTreeMap<String, String>,
}

impl Checked {
    /// What was found of each backend, for its records.
    pub fn found(&self) -> BTreeMap<String, Computes> {
        let against = |what: &[String]| format!("against {}: {}", self.reference, first_of(what));
        let found = |computed: &Computed| match computed {
            Err(reason) => Computes::Unchecked { reason: reason.clone() },
            Ok((_, agreement)) if !agreement.faults.is_empty() => {
                Computes::Unlike { message: against(&agreement.faults) }
            }
            Ok((_, agreement)) if !agreement.doubts.is_empty() => {
                let doubts = against(&agreement.doubts);
                Computes::Unchecked { reason: format!("nothing can be told: {doubts}") }
            }
            Ok((_, agreement)) => Computes::Alike {
                reference: self.reference.clone(),
                nearness: self.nearness(agreement),
            },
        };
        self.backends.iter().map(|(name, computed)| (name.clone(), found(computed))).collect()
    }

    /// How near a backend is to the reference, and how it was looked at.
    fn nearness(&self, agreement: &Agreement) -> String {
        let figures = |agreement: &Agreement| {
            let Agreement { loss, gradient, curve: (curve, step), same_rule, .. } = agreement;
            let steps = if *same_rule {
                format!("losses of the steps by {curve:.1e} of the first (step {step})")
            } else {
                OTHER_RULE.into()
            };
            format!(
                "first loss off by {loss:.1e}, gradients by {:.1e} at most, {steps}",
                gradient.0
            )
        };
        let rounding = self.rounding.as_ref().map(figures);
        let rounding = rounding.map(|text| format!("; rounding alone: {text}")).unwrap_or_default();
        format!("in {}: {}{rounding}", self.precision(), figures(agreement))
    }

    fn precision(&self) -> &'static str {
        if self.check.own_precision { "the job's precision" } else { "32-bit floats" }
    }

    /// One row a backend.
    ///
    /// # Errors
    /// [`benchbook_chart::Error`].
    pub fn table(&self) -> Result<Table, benchbook_chart::Error> {
        let mut table = Table::new([
            "backend",
            "first loss",
            "off by",
            "worst gradient",
            "of",
            "worst step",
            "verdict",
        ])
        .numeric()
        .caption(format!(
            "The same start in {}, compared with {}",
            self.precision(),
            self.reference
        ));
        for (name, checked) in &self.backends {
            let cells: Vec<Cell> = match checked {
                Ok((trace, agreement)) => {
                    let verdict = match (agreement.faults.as_slice(), agreement.doubts.as_slice()) {
                        ([], []) if !agreement.same_rule => {
                            Cell::from("computes the same").note(OTHER_RULE)
                        }
                        ([], []) => Cell::from("computes the same"),
                        ([], doubts) => Cell::from("nothing can be told").note(first_of(doubts)),
                        (faults, _) => Cell::from("wrong").note(first_of(faults)),
                    };
                    let first = trace.losses.first().map(|loss| format!("{loss:.6}"));
                    row(name, first.as_deref().unwrap_or("–"), agreement, verdict)
                }
                Err(reason) => {
                    let mut cells = vec![Cell::from(name)];
                    cells.extend((0..5).map(|_| Cell::from("–")));
                    cells.push(Cell::from("not checked").note(reason.clone()));
                    cells
                }
            };
            table = table.row(cells)?;
        }
        if let Some(rounding) = &self.rounding {
            let name = "rounding alone";
            let note = format!("{} from weights moved by a millionth", self.reference);
            table = table.row(row(name, "–", rounding, Cell::from("–").note(note)))?;
        }
        if let Some(learning) = &self.learning {
            let steps = self.check.steps.min(EARLY);
            let note = format!("{} with a learning rate of 0, {steps} steps", self.reference);
            let still = "without learning";
            table = table.row(row(still, "–", learning, Cell::from("–").note(note)))?;
        }
        Ok(table)
    }

    /// The losses of the steps, one line a backend.
    pub fn chart(&self) -> LineChart {
        let mut chart =
            LineChart::new("The same start, the same pictures").x("step").y("loss of the batch");
        for (name, checked) in &self.backends {
            // The first loss is without dropout and belongs to no step.
            if let Ok((trace, _)) = checked
                && let Some(losses) = trace.losses.get(1..)
                && let Ok(longer) = chart.clone().series(name, losses)
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

/// Why a backend's steps are not compared.
const OTHER_RULE: &str =
    "its steps are not compared, since its library has another formula for this optimiser";

/// The first few, and how many more there are.
fn first_of(what: &[String]) -> String {
    let first = what.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    match what.len().saturating_sub(3) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A row of figures.
fn row(name: &str, first: &str, agreement: &Agreement, verdict: Cell) -> Vec<Cell> {
    vec![
        name.into(),
        first.into(),
        format!("{:.1e}", agreement.loss).into(),
        format!("{:.1e}", agreement.gradient.0).into(),
        Cell::from(&agreement.gradient.1),
        format!("{:.1e}", agreement.curve.0).into(),
        verdict,
    ]
}

/// The seed of a step's dropout.
fn seed(step: usize) -> u64 {
    0x5eed + step as u64
}

pub(super) fn run(
    check: Check,
    backends: &[String],
    workers: &mut Workers,
    observer: &mut dyn FnMut(&Event),
) -> Result<Checked, Error> {
    let batches = batches(check, &workers.job)?;
    let (mut traces, mut versions) = (Vec::new(), BTreeMap::new());
    let runs = backends.len() + 2;
    let begin = |what: String, run: usize, observer: &mut dyn FnMut(&Event)| {
        observer(&Event::Begin { backend: what, run, runs, warm_up: false });
    };
    for (index, backend) in backends.iter().enumerate() {
        begin(format!("{backend}: check of the common start"), index + 1, observer);
        let found = trace(backend, check, &batches, workers, observer);
        let found: Result<Trace, String> = found.map(|(trace, version)| {
            versions.insert(backend.clone(), version);
            trace
        });
        traces.push((backend.clone(), found));
        crate::interrupt::check()?;
    }
    let Some((reference, truth)) = reference(&traces) else {
        // Nobody computed anything, or nobody anything finite, so there is nothing to compare.
        let nothing = |trace: Result<Trace, String>| {
            Err(trace.err().unwrap_or_else(|| {
                "its losses or gradients are not finite, nor is any other backend's; a lower learning rate may help"
                    .into()
            }))
        };
        let backends = traces.into_iter().map(|(name, trace)| (name, nothing(trace))).collect();
        return Ok(Checked {
            check,
            reference: String::new(),
            rounding: None,
            learning: None,
            backends,
            versions,
        });
    };
    begin(format!("{reference}: what rounding alone changes"), runs - 1, observer);
    let moved = workers
        .with_moved_start(MOVED, |workers| trace(&reference, check, &batches, workers, observer))?;
    crate::interrupt::check()?;
    begin(format!("{reference}: what learning changes"), runs, observer);
    let few = Check { steps: check.steps.min(EARLY), ..check };
    let still = workers.without_learning(|workers| {
        trace(&reference, few, &batches[..few.steps], workers, observer)
    });
    crate::interrupt::check()?;
    let looked_at = moved.and_then(|(moved, _)| Ok((moved, still?.0)));
    // Keras and PyTorch have formulas of their own for some optimisers.
    let mut rule = |name: &str| workers.asked(name, "check").training?.optimizer;
    let of_reference = rule(&reference);
    let others: BTreeSet<&String> =
        backends.iter().filter(|name| rule(name) != of_reference).collect();
    let agreed = |trace: &Trace, same_rule: bool| {
        let (moved, still) = looked_at.as_ref().map_err(|reason| {
            format!(
                "what rounding and learning change could not be computed with {reference}: {reason}"
            )
        })?;
        let reference = Reference { truth: &truth, moved, still };
        Ok(agreement(reference, trace, check.tolerance, same_rule))
    };
    let looked =
        |which: fn(&(Trace, Trace)) -> &Trace| agreed(which(looked_at.as_ref().ok()?), true).ok();
    let (rounding, learning) = (looked(|both| &both.0), looked(|both| &both.1));
    let backends = traces.into_iter().map(|(name, trace)| {
        let same_rule = !others.contains(&name);
        let agreed = |trace| agreed(&trace, same_rule).map(|agreement| (trace, agreement));
        (name, trace.and_then(agreed))
    });
    let mut backends: Vec<(String, Computed)> = backends.collect();
    doubt_reference(&reference, &mut backends);
    Ok(Checked { check, reference, rounding, learning, backends, versions })
}

/// With whom the others are compared: Python's PyTorch, or else another original, or else the first; of those
/// whose figures are all finite.
fn reference(traces: &[(String, Result<Trace, String>)]) -> Option<(String, Trace)> {
    let finite = |trace: &Trace| {
        trace.losses.iter().all(|loss| loss.is_finite())
            && trace.gradients.values().flatten().all(|value| value.is_finite())
    };
    let computed: Vec<(&String, &Trace)> = traces
        .iter()
        .filter_map(|(name, trace)| Some((name, trace.as_ref().ok()?)))
        .filter(|(_, trace)| finite(trace))
        .collect();
    let originals = ALL.iter().filter(|runner| matches!(runner, Runner::Python(_)));
    let originals = originals.map(|runner| runner.about().id);
    let mut original =
        originals.filter_map(|name| computed.iter().find(|(known, _)| *known == name));
    let (name, trace) = original.next().or(computed.first())?;
    Some(((*name).clone(), (*trace).clone()))
}

/// A reference that is no original is right only as far as somebody computes the same.
fn doubt_reference(reference: &str, backends: &mut [(String, Computed)]) {
    let is_original = matches!(Runner::find(reference), Ok(Runner::Python(_)));
    let others: Vec<&Agreement> = backends
        .iter()
        .filter(|(name, _)| name != reference)
        .filter_map(|(_, computed)| Some(&computed.as_ref().ok()?.1))
        .collect();
    if is_original || others.is_empty() || others.iter().any(|other| other.faults.is_empty()) {
        return;
    }
    let own = backends.iter_mut().find(|(name, _)| name == reference);
    if let Some((_, Ok((_, agreement)))) = own {
        let fault = "nobody else computes the same, and no Python original tells who is right";
        agreement.faults.push(fault.into());
    }
}

/// The first batches of the job's own training, as every backend will get them.
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
            expected: "at least one step, and a batch no larger than the training pictures",
            found: format!("{check:?}, of which there are {} batches", batches.len()),
        });
    }
    Ok(batches)
}

/// What a worker is to compute from the common start, as JSON in a file.
#[derive(Serialize, Deserialize)]
struct Question {
    job: Job,
    check: Check,
    start: PathBuf,
    /// Where the losses go, as [`Answered`] in JSON.
    losses: PathBuf,
    /// Where the gradients go.
    gradients: PathBuf,
}

/// The losses that a backend computed, `null` for those that are no numbers, and its library's version as its
/// records have it.
#[derive(Serialize, Deserialize)]
struct Answered {
    version: String,
    losses: Vec<Option<f64>>,
}

/// What a backend computes, in a process of its own, and the version of its library: a library with CUDA wants one, and one that crashes takes
/// nobody along.
fn trace(
    backend: &str,
    check: Check,
    batches: &[Batch],
    workers: &mut Workers,
    observer: &mut dyn FnMut(&Event),
) -> Result<(Trace, String), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let folder = workers.folder().join(backend);
    std::fs::create_dir_all(&folder).map_err(|error| words(&error))?;
    let (losses, gradients) = (folder.join("losses.json"), folder.join("gradients.safetensors"));
    let command = match Runner::find(backend)? {
        Runner::Rust(own) => {
            let mut command = workers.worker("study", own).map_err(|error| words(&error))?;
            let mut job = workers.job.clone();
            job.build.backend = own;
            let (losses, gradients) = (losses.clone(), gradients.clone());
            let start = workers.start().map_err(|error| words(&error))?;
            let question = Question { job, check, start, losses, gradients };
            let text = serde_json::to_vec(&question).map_err(|error| words(&error))?;
            let file = folder.join("question.json");
            std::fs::write(&file, text).map_err(|error| words(&error))?;
            command.arg(ANSWER).arg(file);
            command
        }
        Runner::Python(reference) => {
            let file = workers.folder().join("batches.safetensors");
            if !file.exists() {
                write_batches(batches, workers, &file).map_err(|error| words(&error))?;
            }
            let steps = check.steps;
            let files = references::Check { batches: file, steps, gradients: gradients.clone() };
            let asked = workers.asked(backend, "check");
            workers.python(reference, asked, &losses, Some(files)).map_err(|error| words(&error))?
        }
    };
    let status = one_process(command, backend, observer, &crate::interrupt::requested);
    if let Some(reason) = status.reason() {
        return Err(reason);
    }
    let text = std::fs::read(&losses).map_err(|error| words(&error))?;
    let Answered { version, losses } =
        serde_json::from_slice(&text).map_err(|error| words(&error))?;
    let losses = losses.into_iter().map(|loss| loss.unwrap_or(f64::NAN)).collect();
    let (gradients, _) = safetensors::read(&gradients).map_err(|error| words(&error))?;
    let gradients = gradients.arrays.into_iter().map(|(name, array)| (name, array.values));
    Ok((Trace { losses, gradients: gradients.collect() }, version))
}

/// The word before a question's file among a worker's arguments.
pub(crate) const ANSWER: &str = "--answer";

/// Computes what a question asks, with one of this library's own backends in this process.
///
/// # Errors
/// [`Error::File`] and [`Error::Json`] for the question, [`Error::Data`], [`Error::Weights`], [`Error::Backend`].
pub(crate) fn answer(file: &Path) -> Result<(), Error> {
    let Question { job, check, start, losses: output, gradients } =
        crate::files::read_json(file, "a question")?;
    let build = &job.build;
    // One CUDA library a process: it is the job's.
    build.backend.load_cuda();
    let batches = batches(check, &job)?;
    let (weights, _) = safetensors::read(&start)?;
    let plan = build.plan(Net::new(job.net.graph())?);
    let mut network = build.backend.build(&plan, &weights)?;
    let first = &batches[0];
    let input = Input::Values(&first.values);
    let mut losses = vec![network.evaluate_step(input, &first.labels)?.loss];
    let found = network.gradients(input, &first.labels)?;
    safetensors::write(&found, &gradients, HashMap::new())?;
    network.compile(job.fit.optimizer);
    for (index, batch) in batches.iter().enumerate() {
        crate::interrupt::check()?;
        let step = Step { rate: job.fit.rate(), seed: seed(index), class_weights: None };
        let result = network.train_step(Input::Values(&batch.values), &batch.labels, step)?;
        print!("step {}/{}: loss {:.4}\r", index + 1, batches.len(), result.loss);
        let _ = std::io::stdout().flush();
        losses.push(result.loss);
    }
    let losses =
        losses.into_iter().map(|loss| Some(loss).filter(|loss| loss.is_finite())).collect();
    let answered = Answered { version: network.info().version, losses };
    let write = serde_json::to_vec(&answered)
        .map_err(Into::into)
        .and_then(|text| std::fs::write(&output, text));
    write.map_err(|source| Error::File { action: "write", path: output, source })
}

/// Values, labels and the factors of each dropout layer, as `benchbook_study::references::Check` says.
fn write_batches(batches: &[Batch], workers: &Workers, path: &Path) -> Result<(), Error> {
    let (steps, size) = (batches.len(), batches[0].len());
    let shaped = |shape: &[usize]| [&[steps, size], shape].concat();
    let mut arrays = BTreeMap::new();
    let values = batches.iter().flat_map(|batch| batch.values.iter().copied()).collect();
    let shape = shaped(&batches[0].sample_shape);
    arrays.insert("pixels".to_owned(), Array { shape, values });
    let labels = batches.iter().flat_map(|batch| batch.labels.iter().map(|label| *label as f32));
    arrays.insert("labels".to_owned(), Array { shape: shaped(&[]), values: labels.collect() });
    for (ordinal, index) in workers.net.dropouts().enumerate() {
        let layer = &workers.net.layers()[index];
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

    fn traced(name: &str, loss: f64) -> (String, Result<Trace, String>) {
        (name.into(), Ok(Trace { losses: vec![loss], ..Trace::default() }))
    }

    #[test]
    fn the_reference_is_an_original_if_there_is_one_and_finite() {
        let name = |traces: &[_]| reference(traces).map(|(name, _)| name);
        let own = [traced("libtorch", 1.0), traced("tensorflow", 1.0)];
        let keras = [own.clone().to_vec(), vec![traced("python-keras", 1.0)]].concat();
        let pytorch = [keras.clone(), vec![traced("python-pytorch", 1.0)]].concat();
        assert_eq!(name(&own).as_deref(), Some("libtorch"));
        assert_eq!(name(&keras).as_deref(), Some("python-keras"));
        assert_eq!(name(&pytorch).as_deref(), Some("python-pytorch"));
        let diverged = [traced("python-pytorch", f64::NAN), traced("libtorch", 1.0)];
        assert_eq!(name(&diverged).as_deref(), Some("libtorch"));
        assert_eq!(name(&diverged[..1]), None);
    }

    #[test]
    fn a_reference_with_whom_nobody_agrees_is_wrong_unless_it_is_an_original() {
        let agreement = |faults: &[&str]| Agreement {
            loss: 0.0,
            gradient: (0.0, String::new()),
            curve: (0.0, 0),
            same_rule: true,
            faults: faults.iter().map(ToString::to_string).collect(),
            doubts: Vec::new(),
        };
        let of = |reference: &str, others: &[&[&str]]| {
            let mut backends = vec![(reference.to_owned(), Ok((Trace::default(), agreement(&[]))))];
            for faults in others {
                backends.push(("other".into(), Ok((Trace::default(), agreement(faults)))));
            }
            doubt_reference(reference, &mut backends);
            backends[0].1.as_ref().unwrap().1.faults.len()
        };
        assert_eq!(of("libtorch", &[&["loss"], &["loss"]]), 1);
        assert_eq!(of("libtorch", &[&["loss"], &[]]), 0);
        assert_eq!(of("libtorch", &[]), 0);
        assert_eq!(of("python-keras", &[&["loss"]]), 0);
    }
}
