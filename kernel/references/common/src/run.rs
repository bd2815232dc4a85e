//! The phases of a job, and its record.

use crate::images::Images;
use crate::job::Job;
use crate::trace;
use anyhow::{Context, bail, ensure};
use benchbook_backend::{Array, Parameters};
use benchbook_study::runner::PHASE;
use benchbook_weights::safetensors;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A library with the job's net and optimiser. Pixels are `[batch, channels, rows, columns]` in row-major order.
pub trait Library: Sized {
    /// The name in messages.
    const NAME: &'static str;
    /// The library's version.
    const VERSION: &'static str;
    /// Features and flags of the build.
    const BUILD: &'static str;
    /// Suffixes of the names of parameters that the library defines differently.
    const OMITTED: &'static [&'static str] = &[];

    /// Copies a batch to a tensor, as each training step does.
    fn copy(job: &Job, pixels: Vec<f32>) -> anyhow::Result<()>;

    /// Builds the net with these weights, and the optimiser.
    fn build(job: &Job, weights: &Parameters) -> anyhow::Result<Self>;

    /// A training step. Returns the loss before the update, and the outputs.
    fn step(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<(f64, Vec<f32>)>;

    /// The loss and the outputs in inference mode.
    fn evaluate(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<(f64, Vec<f32>)>;

    /// The outputs in inference mode.
    fn logits(&mut self, pixels: Vec<f32>) -> anyhow::Result<Vec<f32>>;

    /// The gradients of a batch's loss in training mode, by the parameters' names.
    fn gradients(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<Parameters>;

    /// All parameters and running statistics, by name, in full precision.
    fn weights(&self) -> anyhow::Result<BTreeMap<String, Vec<f64>>>;

    /// Multiplies the optimiser's learning rate. [`Library::start_from`] follows.
    fn scale_rate(&mut self, factor: f64);

    /// Sets all parameters and running statistics, and resets the optimiser's state.
    fn start_from(&mut self, weights: &Parameters) -> anyhow::Result<()>;

    /// Replaces the dropout layers, in their order, by multiplications with these masks in training mode.
    fn set_masks(&mut self, masks: &[Array]) -> anyhow::Result<()>;

    /// Two outputs of each dropout layer for an input of 100,000 ones.
    fn dropped(&self) -> anyhow::Result<Vec<[Vec<f32>; 2]>>;

    /// The number of parameters, and of trained parameters.
    fn count(&self) -> (usize, usize);

    /// Differences between the library's objects and the job, as text.
    fn deviations(&self, job: &Job) -> Vec<String>;
}

/// Runs the job whose file is the program's only argument: the four phases and then the requested trace, or the trace
/// alone. After a failure, the last line on standard error is the reason, which a study records.
pub fn run<L: Library>() -> ExitCode {
    // With this variable, candle's errors contain a backtrace.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::remove_var("RUST_BACKTRACE") };
    // Rust's default message contains a path of the machine that compiled the program, and ends with a hint or a backtrace.
    std::panic::set_hook(Box::new(|panic| {
        let words = panic.payload_as_str().unwrap_or("it panicked");
        eprintln!("{}: {}", L::NAME, words.replace('\n', " "));
    }));
    match run_job::<L>() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn run_job<L: Library>() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let path =
        arguments.next().map(PathBuf::from).context("the argument must be the file of a job")?;
    let mut job = Job::read(&path)?;
    ensure!(job.device == "cpu", "{} is built for the processor, got {}", L::NAME, job.device);
    // rayon, which the libraries use, reads this variable when its first task begins.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", job.threads.to_string()) };
    if job.trace.as_ref().is_some_and(|question| question.before.is_none()) {
        let mut library = L::build(&job, &safetensors::read(&job.start)?.0)?;
        return trace::trace(&mut library, &job);
    }
    let mut record = std::mem::take(&mut job.record);
    let images = phase("load", &mut record, |record| load::<L>(&job, record))?;
    let mut library = phase("build", &mut record, |record| build::<L>(&job, record))?;
    let steps = phase("train", &mut record, |record| train(&mut library, &job, &images, record))?;
    let tested = phase("test", &mut record, |_| {
        let mut tested = 0;
        for batch in images.test()?.epoch(0) {
            let batch = batch?;
            tested += batch.len();
            library.logits(batch.values)?;
        }
        Ok(tested)
    })?;
    let (parameters, trainable) = library.count();
    let facts = BTreeMap::from([
        ("/library/version", json!(L::VERSION)),
        ("/library/language", json!("Rust")),
        ("/library/device", json!(job.device)),
        ("/library/threads", json!(job.threads)),
        ("/library/parts/build", json!(L::BUILD)),
        ("/library/parts/graph", json!("none")),
        ("/net/parameters", json!(parameters)),
        ("/net/trainable_parameters", json!(trainable)),
        ("/steps", json!(steps)),
        ("/images_seen/test", json!(tested)),
    ]);
    state(&job, &mut record, facts)?;
    write_json(&record, &job.output)?;
    if job.trace.is_some() { trace::trace(&mut library, &job) } else { Ok(()) }
}

fn load<L: Library>(job: &Job, record: &mut Value) -> anyhow::Result<Images> {
    let images = part(record, "load_parts", "list", || Images::list(job))?;
    let first = part(record, "load_parts", "first_batch", || images.first())?;
    part(record, "load_parts", "copy", || L::copy(job, first.values))?;
    Ok(images)
}

fn build<L: Library>(job: &Job, record: &mut Value) -> anyhow::Result<L> {
    let (weights, _) = part(record, "build_parts", "read", || Ok(safetensors::read(&job.start)?))?;
    part(record, "build_parts", "to_device", || L::build(job, &weights))
}

/// Sums over the batches of a pass.
#[derive(Default)]
struct Pass {
    loss: f64,
    right: usize,
    seen: usize,
}

impl Pass {
    fn add(&mut self, loss: f64, outputs: &[f32], labels: &[i64]) {
        let width = outputs.len() / labels.len();
        self.loss += loss * labels.len() as f64;
        self.seen += labels.len();
        let found = outputs.chunks(width).map(|outputs| match outputs {
            [one] => i64::from(*one >= 0.0),
            several => {
                let best = several.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
                best.map_or(0, |(index, _)| index as i64)
            }
        });
        self.right += found.zip(labels).filter(|(found, label)| found == *label).count();
    }

    fn loss(&self) -> f64 {
        self.loss / self.seen as f64
    }

    fn accuracy(&self) -> f64 {
        self.right as f64 / self.seen as f64
    }
}

fn train<L: Library>(
    library: &mut L,
    job: &Job,
    images: &Images,
    record: &mut Value,
) -> anyhow::Result<u64> {
    let batches = images.training()?;
    let validation = images.validation()?;
    let (mut trained, mut epochs, mut printed) = (0, Vec::new(), Instant::now());
    for number in 1..=job.epochs {
        let (began, mut waited, mut pass) = (Instant::now(), Duration::ZERO, Pass::default());
        let steps = images.steps(number - 1);
        for step in 1..=steps {
            let waiting = Instant::now();
            let batch =
                batches.recv().context("there are fewer batches than steps in the job")??;
            waited += waiting.elapsed();
            let (loss, outputs) = library.step(batch.values, &batch.labels)?;
            pass.add(loss, &outputs, &batch.labels);
            trained += 1;
            if trained == 1 {
                record["build_parts"]["first_step"] = json!(began.elapsed().as_secs_f64());
            }
            if printed.elapsed() >= Duration::from_millis(100) {
                printed = Instant::now();
                let (loss, accuracy) = (pass.loss(), pass.accuracy());
                print!(
                    "Epoch {number}/{}: {step}/{steps} - loss: {loss:.4} - acc: {accuracy:.4}\r",
                    job.epochs
                );
                std::io::stdout().flush()?;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let mut epoch = json!({
            "epoch": number,
            "loss": pass.loss(),
            "accuracy": pass.accuracy(),
            "training_images": pass.seen,
            "training_seconds": seconds,
            "input_wait_seconds": waited.as_secs_f64(),
        });
        let mut line = format!(
            "Epoch {number}/{} - {seconds:.1}s - loss: {:.4} - acc: {:.4}",
            job.epochs,
            pass.loss(),
            pass.accuracy()
        );
        if job.validate {
            let (began, mut validated) = (Instant::now(), Pass::default());
            for batch in validation.epoch(0) {
                let batch = batch?;
                let (loss, outputs) = library.evaluate(batch.values, &batch.labels)?;
                validated.add(loss, &outputs, &batch.labels);
            }
            epoch["val_loss"] = json!(validated.loss());
            epoch["val_accuracy"] = json!(validated.accuracy());
            epoch["validation_images"] = json!(validated.seen);
            epoch["validation_seconds"] = json!(began.elapsed().as_secs_f64());
            let (loss, accuracy) = (validated.loss(), validated.accuracy());
            line += &format!(" - val_loss: {loss:.4} - val_acc: {accuracy:.4}");
        }
        epochs.push(epoch);
        println!("{line}");
        if !pass.loss().is_finite() {
            let rate = job.learning_rate;
            bail!(
                "the training loss of epoch {number} is {}; a rate below {rate} may help",
                pass.loss()
            );
        }
    }
    record["epochs"] = Value::Array(epochs);
    Ok(trained)
}

/// Writes the conditions that only this process can state into the record.
fn state(job: &Job, record: &mut Value, facts: BTreeMap<&str, Value>) -> anyhow::Result<()> {
    let needed = job.states.iter().filter(|(_, optional)| !**optional).map(|(place, _)| place);
    let missing: Vec<_> = needed.filter(|place| !facts.contains_key(place.as_str())).collect();
    let unknown: Vec<_> = facts.keys().filter(|place| !job.states.contains_key(**place)).collect();
    ensure!(
        missing.is_empty() && unknown.is_empty(),
        "the record must state {:?}; missing: {missing:?}, unknown: {unknown:?}",
        job.states.keys()
    );
    for (place, value) in facts {
        let (way, name) = place.rsplit_once('/').context("a place is a path")?;
        let group = record.pointer_mut(way).with_context(|| format!("the record has no {way}"))?;
        group[name] = value;
    }
    Ok(())
}

/// Announces a phase, which ends the one before, to the study that watches this process.
pub(crate) fn announce(phase: &str) {
    println!("{PHASE}{phase}");
}

/// Announces a phase and its end, and measures its duration.
fn phase<T>(
    name: &str,
    record: &mut Value,
    work: impl FnOnce(&mut Value) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    announce(name);
    let began = Instant::now();
    let done = work(record)?;
    record["phases"][name] = json!(began.elapsed().as_secs_f64());
    announce("end");
    Ok(done)
}

/// Measures the duration of a part of a phase.
fn part<T>(
    record: &mut Value,
    parts: &str,
    name: &str,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    let done = work()?;
    record[parts][name] = json!(began.elapsed().as_secs_f64());
    Ok(done)
}

/// Writes JSON, with `null` for numbers that are not finite.
pub(crate) fn write_json(value: &impl Serialize, path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, serde_json::to_vec(value)?)
        .with_context(|| format!("cannot write {}", path.display()))
}
