//! The search for a learning rate: the range test of Smith (2017, section 3.3) in the form of fastai and Lightning.

use super::Fit;
use super::feed::Feed;
use super::run::step_seed;
use crate::backend::{Network, Step};
use crate::error::Error;
use crate::interrupt;
use benchbook_chart::LineChart;
use benchbook_data::Loader;
use benchbook_display::{Bundle, Rich};

/// Training steps, each with a larger rate than the one before.
const STEPS: usize = 100;
const LOWEST: f64 = 1e-7;
const HIGHEST: f64 = 10.0;
/// The weight of earlier losses in the exponential mean.
const PAST: f64 = 0.98;
/// The search ends when the mean is this many times its minimum.
const DIVERGED: f64 = 4.0;
/// Points that are not suggested: at the start, where the mean has few losses, and at the end, where it diverges.
const LEFT_OUT: (usize, usize) = (10, 1);

/// Losses of training steps with a growing learning rate, shown as a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSearch {
    /// The learning rate of each step, from 1e-7 to 10 on a geometric scale.
    pub rates: Vec<f64>,
    /// The loss of each batch before its step.
    pub losses: Vec<f64>,
    /// The exponential mean of the losses up to each step.
    pub smoothed: Vec<f64>,
    /// The rate at which the mean falls fastest; `None` if the loss diverges too early.
    pub suggestion: Option<f64>,
}

impl RateSearch {
    /// The losses against the rates on a logarithmic axis.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn chart(&self) -> Result<LineChart, Error> {
        let subtitle = match self.suggestion {
            Some(rate) => format!("suggested: {rate:.1e}, where the mean loss falls fastest"),
            None => "no suggestion: the loss diverged too early".into(),
        };
        let chart =
            LineChart::new("Search for a learning rate").x("learning rate").y("loss").log_x();
        let chart = chart.subtitle(subtitle).markers(false);
        let chart = chart.points("each batch", &self.rates, &self.losses)?;
        let mut chart = chart.points("mean", &self.rates, &self.smoothed)?;
        if let Some(at) =
            self.suggestion.and_then(|rate| self.rates.iter().position(|r| *r == rate))
        {
            chart =
                chart.markers(true).points("suggested", [self.rates[at]], [self.smoothed[at]])?;
        }
        Ok(chart)
    }
}

impl Rich for RateSearch {
    fn bundle(&self) -> Bundle {
        match self.chart() {
            Ok(chart) => chart.bundle(),
            Err(error) => Bundle::text(error.to_string()),
        }
    }
}

/// Trains a compiled network with growing rates on a loader that repeats.
pub(crate) fn search(
    network: &mut dyn Network,
    loader: &Loader,
    fit: &Fit,
) -> Result<RateSearch, Error> {
    let mut feed = Feed::new(loader, None, 0, 0);
    let (mut rates, mut losses) = (Vec::new(), Vec::new());
    while losses.len() < STEPS {
        interrupt::check()?;
        let Some(fed) = feed.next()? else { break };
        // Batch normalisation may fail on a last batch of one sample.
        if fed.labels.len() == 1 && fit.batch_size > 1 && loader.split().len() > 1 {
            continue;
        }
        let step = losses.len();
        let rate = LOWEST * (HIGHEST / LOWEST).powf(step as f64 / (STEPS - 1) as f64);
        let seed = step_seed(fit.seed, step as u64);
        let settings = Step { rate, seed, class_weights: fit.class_weights.as_deref() };
        let loss = network.train_step(fed.input(), &fed.labels, settings)?.loss;
        if !loss.is_finite() {
            break;
        }
        rates.push(rate);
        losses.push(loss);
        let smoothed = smoothed(&losses);
        let settled = smoothed.get(LEFT_OUT.0..).unwrap_or_default();
        let smallest = settled.iter().copied().fold(f64::INFINITY, f64::min);
        if settled.last().is_some_and(|last| *last > DIVERGED * smallest) {
            break;
        }
    }
    let smoothed = smoothed(&losses);
    let suggestion = steepest(&smoothed).map(|at| rates[at]);
    Ok(RateSearch { rates, losses, smoothed, suggestion })
}

/// The exponential mean up to each loss, with Adam's bias correction.
fn smoothed(losses: &[f64]) -> Vec<f64> {
    let mut mean = 0.0;
    let means = losses.iter().zip(1..).map(|(loss, count)| {
        mean = PAST * mean + (1.0 - PAST) * loss;
        mean / (1.0 - PAST.powi(count))
    });
    means.collect()
}

/// The index at which the losses fall fastest, by central differences (`numpy.gradient`).
fn steepest(losses: &[f64]) -> Option<usize> {
    let (first, end) = (LEFT_OUT.0, losses.len().checked_sub(LEFT_OUT.1)?);
    let used = losses.get(first..end).filter(|used| used.len() > 1)?;
    let slope = |at: usize| {
        let (before, after) = (at.saturating_sub(1), (at + 1).min(used.len() - 1));
        (used[after] - used[before]) / (after - before) as f64
    };
    let steepest = (0..used.len()).min_by(|a, b| slope(*a).total_cmp(&slope(*b)))?;
    (slope(steepest) < 0.0).then_some(first + steepest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggestion_is_where_the_mean_falls_fastest() {
        // Level, then a fall of 0.1 and 0.4, a level and a rise; the fall in the first ten does not count.
        let mut losses = vec![9.0; 5];
        losses.extend([2.0; 15]);
        losses.extend([1.9, 1.5, 1.5, 3.0]);
        // numpy.gradient of 2, 1.9, 1.5, 1.5: at 1.9 (1.5 − 2) / 2 = −0.25, at 1.5 (1.5 − 1.9) / 2 = −0.2.
        assert_eq!(steepest(&losses), Some(20));
        assert_eq!(steepest(&[1.0; 12]), None);
        assert_eq!(steepest(&[2.0; 30]), None);
        let rising: Vec<f64> = (0..30).map(f64::from).collect();
        assert_eq!(steepest(&rising), None);
    }

    #[test]
    fn the_mean_is_corrected_for_its_beginning() {
        // (0.98 · 0.02 · 1 + 0.02 · 3) / (1 − 0.98²) = 0.0796 / 0.0396
        let found = smoothed(&[1.0, 3.0]);
        assert!((found[0] - 1.0).abs() < 1e-12 && (found[1] - 0.0796 / 0.0396).abs() < 1e-12);
    }
}
