//! Whether backends compute the same from the same start.

use super::launch::{Runner, Workers};
use crate::backend::{Input, Plan, Step, dropout_mask};
use crate::error::Error;
use crate::parameters::{Array, Parameters};
use crate::vgg::Layer;
use benchbook_chart::{Cell, Chart, LineChart, Table};
use benchbook_data::{Batch, ImageFolder, Loader};
use benchbook_display::{Bundle, Rich};
use benchbook_study::gradients::{Agreement, Tolerance, Trace, agreement};
use benchbook_study::references;
use benchbook_study::runner::Event;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

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
}

impl Default for Check {
    fn default() -> Self {
        Self { steps: 20, batch_size: 8, tolerance: Tolerance::default() }
    }
}

/// What a backend computed and how far it is from the reference, or why it computed nothing.
pub type Computed = Result<(Trace, Agreement), String>;

/// What each backend computed, and how far it is from the reference.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The backend that the others are compared with: Python's PyTorch if it is there, else the first.
    pub reference: String,
    /// The backends in the study's order: what they computed and how far it is from the reference, or why
    /// they computed nothing.
    pub backends: Vec<(String, Computed)>,
}

impl Checked {
    /// The backends that compute something else, with what.
    pub fn wrong(&self) -> BTreeMap<String, String> {
        let faults = |checked: &Computed| {
            let faults = &checked.as_ref().ok()?.1.faults;
            let first: Vec<String> = faults.iter().take(3).cloned().collect();
            let more = faults.len().saturating_sub(first.len());
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            (!faults.is_empty())
                .then(|| format!("against {}: {}{rest}", self.reference, first.join("; ")))
        };
        self.backends
            .iter()
            .filter_map(|(name, checked)| Some((name.clone(), faults(checked)?)))
            .collect()
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
        .caption(format!("The same start, compared with {}", self.reference));
        for (name, checked) in &self.backends {
            let cells: Vec<Cell> = match checked {
                Ok((trace, agreement)) => {
                    let verdict = match agreement.faults.as_slice() {
                        [] => Cell::from("computes the same"),
                        faults => Cell::from("wrong").note(faults.join("; ")),
                    };
                    vec![
                        name.into(),
                        trace
                            .losses
                            .first()
                            .map_or("–".into(), |loss| format!("{loss:.6}").into()),
                        format!("{:.1e}", agreement.loss).into(),
                        format!("{:.1e}", agreement.gradient.0).into(),
                        Cell::from(&agreement.gradient.1),
                        format!("{:.1e}", agreement.curve.0).into(),
                        verdict,
                    ]
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
        Ok(table)
    }

    /// The losses of the steps, one line a backend.
    pub fn chart(&self) -> LineChart {
        let mut chart =
            LineChart::new("The same start, the same pictures").x("step").y("loss of the batch");
        for (name, checked) in &self.backends {
            if let Ok((trace, _)) = checked {
                // The first loss is without dropout and belongs to no step.
                chart = chart.series(name, trace.losses.get(1..).unwrap_or_default());
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

/// The batches of a check, and the seeds of their steps.
struct Batches {
    batches: Vec<Batch>,
}

/// The seed of a step's dropout.
fn seed(step: usize) -> u64 {
    0x5eed + step as u64
}

pub(super) fn run(
    check: &Check,
    backends: &[String],
    workers: &mut Workers,
    observer: &mut dyn FnMut(&Event),
) -> Result<Checked, Error> {
    let batches = batches(check, workers)?;
    let mut traces: Vec<(String, Result<Trace, String>)> = Vec::new();
    for (index, backend) in backends.iter().enumerate() {
        crate::interrupt::check()?;
        observer(&Event::Begin {
            backend: format!("{backend}: check of the common start"),
            run: index + 1,
            runs: backends.len(),
            warm_up: false,
        });
        let trace = match Runner::named(backend) {
            Err(reason) => Err(reason),
            Ok(Runner::Own(library)) => {
                own(library, &batches, workers).map_err(|error| error.to_string())
            }
            Ok(Runner::Python(reference)) => {
                let program = reference.check();
                python(program, reference, &batches, workers)
            }
        };
        traces.push((backend.clone(), trace));
    }
    let original = references::Reference::PyTorch.name();
    let computed = |name: &str| traces.iter().find(|(known, trace)| known == name && trace.is_ok());
    let reference = computed(original)
        .or_else(|| traces.iter().find(|(_, trace)| trace.is_ok()))
        .map(|(name, trace)| (name.clone(), trace.clone().unwrap_or_default()));
    let (reference, truth) = reference.unwrap_or_default();
    let backends = traces
        .into_iter()
        .map(|(name, trace)| {
            let checked = trace.map(|trace| {
                let agreement = agreement(&truth, &trace, check.tolerance);
                (trace, agreement)
            });
            (name, checked)
        })
        .collect();
    Ok(Checked { reference, backends })
}

/// The first batches of the job's own training, as every backend will get them.
fn batches(check: &Check, workers: &Workers) -> Result<Batches, Error> {
    let job = &workers.job;
    let data = ImageFolder::open_with(&job.data, job.folder)?;
    let config = benchbook_data::LoaderConfig {
        height: job.net.size,
        width: job.net.size,
        batch_size: check.batch_size,
        seed: job.fit.seed,
        augmentation: job.fit.augmentation.clone(),
        preprocessing: job.net.resolved_preprocessing()?,
        repeat: true,
        drop_last: true,
        ..Default::default()
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
    Ok(Batches { batches })
}

/// One of this library's own backends, in this process.
fn own(
    library: crate::backend::Library,
    batches: &Batches,
    workers: &mut Workers,
) -> Result<Trace, Error> {
    let start = workers.start()?;
    let net = &workers.job.net;
    let (weights, _) = Parameters::read(&start)?;
    let plan = Plan {
        architecture: net.architecture(),
        base: net.base,
        processor: net.processor,
        threads: net.threads,
        compute: net.compute,
    };
    let mut network = library.backend().build(&plan, &weights)?;
    let first = &batches.batches[0];
    let input = Input::Pixels(&first.pixels);
    let mut losses = vec![network.evaluate_step(input, &first.labels)?.loss];
    let gradients = network.gradients(input, &first.labels)?;
    network.compile(workers.job.fit.optimizer);
    for (index, batch) in batches.batches.iter().enumerate() {
        crate::interrupt::check()?;
        let step = Step { rate: workers.job.fit.rate(), seed: seed(index), class_weights: None };
        let outcome = network.train_step(Input::Pixels(&batch.pixels), &batch.labels, step)?;
        losses.push(outcome.loss);
    }
    Ok(Trace { losses, gradients: values(gradients) })
}

fn values(parameters: Parameters) -> BTreeMap<String, Vec<f32>> {
    parameters.arrays.into_iter().map(|(name, array)| (name, array.values)).collect()
}

/// A Python original.
fn python(
    program: &str,
    reference: references::Reference,
    batches: &Batches,
    workers: &mut Workers,
) -> Result<Trace, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let folder = workers.folder().to_path_buf();
    let file = folder.join("batches.safetensors");
    if !file.exists() {
        write_batches(batches, workers, &file).map_err(|error| words(&error))?;
    }
    let gradients = folder.join("gradients.safetensors");
    let output = folder.join("losses.json");
    let check = references::Check { batches: file, gradients: gradients.clone() };
    let mut command = workers.python(program, reference, &output, Some(check))?;
    let ended =
        command.stdin(std::process::Stdio::null()).output().map_err(|error| words(&error))?;
    if !ended.status.success() {
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(format!("{program} ended with {}: {last}", ended.status));
    }
    let text = std::fs::read(&output).map_err(|error| words(&error))?;
    let losses = serde_json::from_slice(&text).map_err(|error| words(&error))?;
    let (gradients, _) = Parameters::read(&gradients).map_err(|error| words(&error))?;
    Ok(Trace { losses, gradients: values(gradients) })
}

/// Pixels, labels and the factors of the dropout, as `benchbook_study::references::Check` says.
fn write_batches(batches: &Batches, workers: &Workers, path: &Path) -> Result<(), Error> {
    let net = &workers.job.net;
    let (steps, size) = (batches.batches.len(), batches.batches[0].len());
    let head = net.architecture().head();
    let place = head.iter().position(|layer| matches!(layer, Layer::Dropout { .. })).unwrap_or(0);
    let width = head[..place]
        .iter()
        .rev()
        .find_map(|layer| match layer {
            Layer::Dense { outputs, .. } => Some(*outputs),
            _ => None,
        })
        .unwrap_or(1);
    let mut arrays = BTreeMap::new();
    let pixels = batches.batches.iter().flat_map(|batch| batch.pixels.iter().copied()).collect();
    arrays.insert(
        "pixels".to_owned(),
        Array { shape: vec![steps, size, 3, net.size, net.size], values: pixels },
    );
    let labels =
        batches.batches.iter().flat_map(|batch| batch.labels.iter().map(|label| *label as f32));
    arrays
        .insert("labels".to_owned(), Array { shape: vec![steps, size], values: labels.collect() });
    let factors =
        (0..steps).flat_map(|step| dropout_mask(size * width, net.dropout, seed(step), place));
    arrays.insert(
        "factors".to_owned(),
        Array { shape: vec![steps, size, width], values: factors.collect() },
    );
    Parameters { arrays }.write(path, HashMap::new())?;
    Ok(())
}
