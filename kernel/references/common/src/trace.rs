//! Traces what a library computes on common batches from common weights, like `trace` in `common.py`.

use crate::job::Job;
use crate::run::{Library, announce, write_json};
use anyhow::Context;
use benchbook_backend::{Array, Parameters};
use benchbook_nets::Operation;
use benchbook_study::agreement;
use benchbook_study::references::Answer;
use benchbook_study::runner::{CHECK, STEPS};
use benchbook_weights::safetensors;
use std::collections::HashMap;
use std::time::Instant;

/// The common batches.
struct Batches(Parameters);

impl Batches {
    /// The slice of an array for one step.
    fn of(&self, name: &str, step: usize) -> anyhow::Result<Array> {
        let array =
            self.0.arrays.get(name).with_context(|| format!("the batches have no {name}"))?;
        let size = array.values.len() / array.shape[0];
        let values = array.values[step * size..][..size].to_vec();
        Ok(Array { shape: array.shape[1..].to_vec(), values })
    }

    fn labels(&self, step: usize) -> anyhow::Result<Vec<i64>> {
        Ok(self.of("labels", step)?.values.into_iter().map(|label| label as i64).collect())
    }
}

/// Traces the library's model and optimiser, and writes the answer to the job's question.
pub(crate) fn trace<L: Library>(library: &mut L, job: &Job) -> anyhow::Result<()> {
    announce(CHECK);
    let question = job.trace.as_ref().context("the job does not request a trace")?;
    let (start, _) = safetensors::read(&question.start)?;
    let batches = Batches(safetensors::read(&question.batches)?.0);
    let mut deviations = library.deviations(job);
    let dropouts: Vec<usize> = job.net.dropouts().collect();
    for (index, passes) in dropouts.iter().zip(library.dropped()?) {
        let layer = &job.net.layers()[*index];
        if let Operation::Dropout(dropout) = &layer.operation {
            deviations.extend(dropout_deviations(&layer.name, dropout.rate, &passes));
        }
    }
    let (mut unchanged, mut step_seconds) = (Vec::new(), Vec::new());
    if let Some(before) = &question.before {
        let (before, _) = safetensors::read(before)?;
        for (name, after) in library.weights()? {
            if value_of(&before, &name)?.iter().zip(&after).all(|(b, a)| f64::from(*b) == *a) {
                unchanged.push(name);
            }
        }
        announce(STEPS);
        step_seconds = alone(library, job, &batches)?;
        announce(CHECK);
    }
    library.start_from(&start)?;
    let (first, labels) = (batches.of("pixels", 0)?.values, batches.labels(0)?);
    let mut traced = Parameters::default();
    let logits = library.logits(first.clone())?;
    traced.arrays.insert("logits".into(), sample(&logits));
    let factors = |step: usize| -> anyhow::Result<Vec<Array>> {
        (0..dropouts.len()).map(|place| batches.of(&format!("factors.{place}"), step)).collect()
    };
    let mut ones = factors(0)?;
    ones.iter_mut().for_each(|mask| mask.values.fill(1.0));
    library.set_masks(&ones)?;
    for (name, gradient) in library.gradients(first, &labels)?.arrays {
        traced.arrays.insert(format!("gradient.{name}"), sample(&gradient.values));
    }
    library.scale_rate(question.rate_share);
    // Computing the gradients has changed the running statistics of batch normalisation.
    library.start_from(&start)?;
    let mut losses = Vec::new();
    for step in 0..question.steps {
        library.set_masks(&factors(step)?)?;
        let (loss, _) = library.step(batches.of("pixels", step)?.values, &batches.labels(step)?)?;
        losses.push(Some(loss).filter(|loss| loss.is_finite()));
        if step + 1 == question.changes_after {
            for (name, now) in library.weights()? {
                let before = value_of(&start, &name)?.iter();
                let change =
                    now.iter().zip(before).map(|(now, before)| (now - f64::from(*before)) as f32);
                traced.arrays.insert(format!("change.{name}"), sample(&change.collect::<Vec<_>>()));
            }
        }
    }
    safetensors::write(&traced, &question.arrays, HashMap::new())?;
    let answer = Answer {
        version: L::VERSION.into(),
        omitted: L::OMITTED.iter().map(|end| (*end).into()).collect(),
        deviations,
        losses,
        step_seconds,
        unchanged,
    };
    write_json(&answer, &question.output)?;
    announce("end");
    Ok(())
}

fn value_of<'a>(all: &'a Parameters, name: &str) -> anyhow::Result<&'a [f32]> {
    let array = all.arrays.get(name).with_context(|| format!("the weights have no {name}"))?;
    Ok(&array.values)
}

/// Seconds of training steps on one batch in memory, of the job's size: two steps to warm up, which are not returned, then
/// up to ten steps in ten seconds.
fn alone<L: Library>(library: &mut L, job: &Job, batches: &Batches) -> anyhow::Result<Vec<f64>> {
    let (pixels, labels) = (batches.of("pixels", 0)?.values, batches.labels(0)?);
    let sample = pixels.len() / labels.len();
    let pixels: Vec<f32> = pixels.into_iter().cycle().take(job.batch_size * sample).collect();
    let labels: Vec<i64> = labels.into_iter().cycle().take(job.batch_size).collect();
    let (began, mut seconds) = (Instant::now(), Vec::new());
    while seconds.len() < 12 && (seconds.len() < 3 || began.elapsed().as_secs() < 10) {
        let pixels = pixels.clone();
        let start = Instant::now();
        library.step(pixels, &labels)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds.split_off(2))
}

/// The values of an array that a trace contains.
fn sample(values: &[f32]) -> Array {
    let values = agreement::sample(values);
    Array { shape: vec![values.len()], values }
}

/// Faults of a dropout layer, from two outputs for an input of ones in training mode.
fn dropout_deviations(name: &str, rate: f64, [first, second]: &[Vec<f32>; 2]) -> Vec<String> {
    let (count, kept) = (first.len() as f64, first.iter().filter(|value| **value != 0.0));
    let zeros = 1.0 - kept.clone().count() as f64 / count;
    let mut found = Vec::new();
    // Six standard deviations of the share of zeros.
    if (zeros - rate).abs() > 6.0 * (rate * (1.0 - rate) / count).sqrt() {
        found.push(format!("dropout layer {name} drops {zeros:.3} of its values, the job {rate}"));
    }
    let factor = 1.0 / (1.0 - rate);
    if kept.clone().any(|value| (f64::from(*value) - factor).abs() > 1e-2 * factor) {
        let words = "does not multiply what it keeps by";
        found.push(format!("dropout layer {name} {words} {factor:.3}"));
    }
    if rate > 0.0 && first == second {
        found.push(format!("dropout layer {name} drops the same values in each step"));
    }
    found
}

/// The difference as text, or `None` if the values are equal.
pub fn different<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: T,
    expected: T,
) -> Option<String> {
    (found != expected).then(|| format!("{what} must be {expected:?} (got {found:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropout_that_keeps_drops_or_repeats_too_much_is_named() {
        // Every other one of 100,000 ones doubled, the rest dropped; `odd` selects which are kept.
        let half = |odd: usize| -> Vec<f32> {
            (0..100_000).map(|at| if at % 2 == odd { 2.0 } else { 0.0 }).collect()
        };
        let found = |rate, first, second| dropout_deviations("d", rate, &[first, second]);
        assert!(found(0.5, half(0), half(1)).is_empty());
        assert!(found(0.5, half(0), half(0))[0].contains("same values"));
        let wrong = found(0.4, half(0), half(1)).join("; ");
        assert!(wrong.contains("drops 0.500") && wrong.contains("1.667"), "{wrong}");
        assert!(found(0.0, vec![1.0; 9], vec![1.0; 9]).is_empty());
    }
}
