//! Traces a network: what it computes on common batches from common weights, in the network's process.

use crate::backend::{Input, Network, Parameters, Rank, Step};
use crate::error::Error;
use crate::files::read_json;
use crate::job::{self, Job};
use crate::ranks;
use crate::train::Fit;
use benchbook_nets::{Architecture, Net};
use benchbook_study::agreement::{Trace, sample};
use benchbook_study::references::{Answer, Question};
use benchbook_study::runner::{CHECK, STEPS};
use benchbook_weights::safetensors;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;

/// A question for a worker, which builds the job's network to answer it.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) job: Job,
    pub(super) question: Question,
}

/// Builds the network of a request and traces it.
///
/// # Errors
/// [`Error::File`] and [`Error::Json`] for the request, [`Error::Weights`], [`Error::Backend`].
pub(crate) fn answer(file: &Path) -> Result<(), Error> {
    let Request { mut job, question } = read_json(file, "a question")?;
    ranks::join(&mut job.build)?;
    let build = &job.build;
    // A process can use one CUDA library: here the job's.
    build.backend.load_cuda();
    let (weights, _) = safetensors::read(&question.start)?;
    let mut network = build.backend.build(&build.plan(Net::new(job.net.graph())?), &weights)?;
    trace(network.as_mut(), &job.fit, &question)?;
    ranks::leave(build)
}

/// The seed of a step's dropout.
pub(super) fn seed(step: usize) -> u64 {
    0x5eed + step as u64
}

/// Writes the answer and the arrays. Changes the network's weights and its optimiser's state.
///
/// # Errors
/// [`Error::File`], [`Error::Weights`], [`Error::Backend`], [`Error::Interrupted`].
pub(crate) fn trace(
    network: &mut dyn Network,
    fit: &Fit,
    question: &Question,
) -> Result<(), Error> {
    let (start, _) = safetensors::read(&question.start)?;
    let (batches, _) = safetensors::read(&question.batches)?;
    let of_step = |name: &str, step: usize| -> &[f32] {
        let Some(array) = batches.arrays.get(name) else { return &[] };
        let size = array.values.len() / array.shape[0].max(1);
        &array.values[step * size..][..size]
    };
    let rank = network.rank();
    let announce = |phase| job::announce(rank, phase);
    announce(CHECK);
    // What this rank computes of a batch of the common ones.
    let pixels = |step: usize| share(rank, of_step("pixels", step), of_step("labels", step).len());
    let labels =
        |step| -> Vec<i64> { of_step("labels", step).iter().map(|label| *label as i64).collect() };
    let mut answer = Answer { version: network.info().version, ..Answer::default() };
    network.compile(fit.optimizer);
    if let Some(before) = &question.before {
        let (before, _) = safetensors::read(before)?;
        let now = network.parameters()?.arrays;
        let same = now.iter().filter(|(name, array)| before.arrays.get(*name) == Some(*array));
        answer.unchanged = same.map(|(name, _)| name.clone()).collect();
        announce(STEPS);
        answer.step_seconds = alone(network, fit, of_step("pixels", 0), &labels(0))?;
        announce(CHECK);
    }
    let begin = |network: &mut dyn Network| -> Result<(), Error> {
        network.set_parameters(&start)?;
        Ok(network.set_optimizer_state(&Parameters::default())?)
    };
    begin(network)?;
    let first = Input::Values(pixels(0));
    let mut traced = Trace { logits: network.logits(first, labels(0).len())?, ..Trace::default() };
    let sampled = |parameters: Parameters| -> BTreeMap<String, Vec<f32>> {
        let arrays = parameters.arrays.into_iter();
        arrays.map(|(name, array)| (name, sample(&array.values))).collect()
    };
    traced.gradients = sampled(network.gradients(first, &labels(0))?);
    // The running statistics of batch normalisation may have moved.
    begin(network)?;
    let rate = fit.rate() * question.rate_share;
    for step in 0..question.steps {
        crate::interrupt::check()?;
        let input = Input::Values(pixels(step));
        let settings = Step::new(rate, seed(step));
        traced.losses.push(network.train_step(input, &labels(step), settings)?.loss);
        if step + 1 == question.changes_after {
            traced.changes = sampled(network.change_since(&start)?);
        }
    }
    let finite = |loss: &f64| Some(*loss).filter(|loss| loss.is_finite());
    answer.losses = traced.losses.iter().map(finite).collect();
    if rank.is_first() {
        safetensors::write(&arrays(traced), &question.arrays, HashMap::new())?;
        write_json(&answer, &question.output)?;
    }
    announce("end");
    Ok(())
}

/// The values of a rank's share of a batch.
fn share(rank: Rank, values: &[f32], batch: usize) -> &[f32] {
    let each = values.len() / batch;
    let share = rank.share(batch);
    &values[share.start * each..share.end * each]
}

/// Seconds of training steps on one batch of the job's size, which stays on the device if the library can hold it there: up
/// to ten steps in ten seconds, after two to warm up.
fn alone(
    network: &mut dyn Network,
    fit: &Fit,
    values: &[f32],
    labels: &[i64],
) -> Result<Vec<f64>, Error> {
    let size = fit.batch_size;
    let sample = values.len() / labels.len();
    let values: Vec<f32> = values.iter().copied().cycle().take(size * sample).collect();
    let labels: Vec<i64> = labels.iter().copied().cycle().take(size).collect();
    let rank = network.rank();
    let own = share(rank, &values, size);
    let held = network.hold(own, size)?;
    let input = held.as_deref().map_or(Input::Values(own), Input::Held);
    let (began, mut seconds) = (Instant::now(), Vec::new());
    // Ranks have to agree on the number of steps, which their clocks would not.
    let goes_on = |done: usize| match rank.size {
        1 => done < 12 && (done < 3 || began.elapsed().as_secs() < 10),
        _ => done < 7,
    };
    while goes_on(seconds.len()) {
        crate::interrupt::check()?;
        let step = Step::new(fit.rate(), seed(seconds.len()));
        let start = Instant::now();
        network.train_step(input, &labels, step)?;
        network.synchronize()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds.split_off(2))
}

fn arrays(trace: Trace) -> Parameters {
    let row = |values: Vec<f32>| crate::backend::Array { shape: vec![values.len()], values };
    let named = |kind: &'static str, of: BTreeMap<String, Vec<f32>>| {
        of.into_iter().map(move |(name, values)| (format!("{kind}.{name}"), row(values)))
    };
    let all = named("gradient", trace.gradients).chain(named("change", trace.changes));
    let logits = ("logits".to_owned(), row(trace.logits));
    Parameters { arrays: all.chain([logits]).collect() }
}

/// Reads the answer and the trace of a process.
pub(super) fn read(question: &Question) -> Result<(Answer, Trace), Error> {
    let answer: Answer = read_json(&question.output, "an answer")?;
    let (arrays, _) = safetensors::read(&question.arrays)?;
    let losses = answer.losses.iter().map(|loss| loss.unwrap_or(f64::NAN));
    let mut trace =
        Trace { losses: losses.collect(), omitted: answer.omitted.clone(), ..Trace::default() };
    for (name, array) in arrays.arrays {
        match name.split_once('.') {
            Some(("gradient", name)) => trace.gradients.insert(name.into(), array.values),
            Some(("change", name)) => trace.changes.insert(name.into(), array.values),
            _ => {
                trace.logits = array.values;
                None
            }
        };
    }
    Ok((answer, trace))
}

pub(super) fn write_json(value: &impl Serialize, path: &Path) -> Result<(), Error> {
    let written = serde_json::to_vec(value)
        .map_err(std::io::Error::from)
        .and_then(|text| std::fs::write(path, text));
    written.map_err(Error::file("write", path))
}
