//! Ranges, ticks and tick labels of axes.

use crate::numbers::{commas, drawable, short};

/// The range of an axis and its labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// The quantity, with the unit.
    pub name: String,
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
    /// The text at each tick.
    pub labels: Vec<String>,
    /// Whether positions are exponents of ten, so that 0 means 1.
    pub log: bool,
}

/// Rules for the range of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    /// The approximate largest number of ticks.
    pub ticks: usize,
    /// Starts at zero if the values are not far from it.
    pub from_zero: bool,
    /// Ticks only at whole numbers.
    pub whole: bool,
    /// Ends exactly at the outermost values instead of at round numbers.
    pub tight: bool,
    /// Covers at least this range.
    pub at_least: Option<(f64, f64)>,
}

impl Fit {
    pub(crate) const VALUES: Self =
        Self { ticks: 6, from_zero: true, whole: false, tight: false, at_least: None };
}

impl Axis {
    /// An axis for these values; ignores gaps. Without any value it is from 0 to 1.
    pub(crate) fn of(name: &str, values: impl Iterator<Item = f64>, fit: Fit) -> Self {
        let bounds = values.filter(|v| drawable(*v)).fold(None, |range, v| {
            let (low, high) = range.unwrap_or((v, v));
            Some((v.min(low), v.max(high)))
        });
        let (mut low, mut high) = bounds.or(fit.at_least).unwrap_or((0.0, 1.0));
        if let Some((least, most)) = fit.at_least {
            (low, high) = (low.min(least), high.max(most));
        }
        if fit.from_zero && low > 0.0 && low < 0.7 * high {
            low = 0.0;
        }
        if fit.from_zero && high < 0.0 && high > 0.7 * low {
            high = 0.0;
        }
        let size = low.abs().max(high.abs());
        // A range below the resolution of floats of this size counts as empty.
        if high - low <= size * 1e-12 || high - low < 1e-290 {
            let pad = if size < 1e-289 { 0.5 } else { size * 0.1 };
            let pad = if fit.whole { pad.max(0.5) } else { pad };
            (low, high) = (low - pad, high + pad);
        }
        let step = round_step((high - low) / fit.ticks.max(1) as f64, fit.whole);
        // A quotient that differs from a whole number only by rounding is that number, not the next one.
        const HAIR: f64 = 1e-9;
        let (first, last) = if fit.tight {
            ((low / step - HAIR).ceil(), (high / step + HAIR).floor())
        } else {
            ((low / step + HAIR).floor(), (high / step - HAIR).ceil())
        };
        if !fit.tight {
            (low, high) = (low.min(first * step), high.max(last * step));
        }
        let count = (last - first).clamp(0.0, 50.0) as usize;
        let ticks: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step).collect();
        let labels = labels(&ticks, step);
        Self { name: name.to_owned(), low, high, ticks, labels, log: false }
    }

    /// A logarithmic axis: `exponents` are the positions of values as exponents of ten; ignores values without a position
    /// (zero, gaps). The axis exceeds the highest value by `extra`, a fraction of its length.
    pub(crate) fn log(name: &str, exponents: impl Iterator<Item = f64>, extra: f64) -> Self {
        let bounds = exponents.filter(|e| drawable(*e)).fold(None, |range, e| {
            let (low, high) = range.unwrap_or((e, e));
            Some((e.min(low), e.max(high)))
        });
        let (low, high) = bounds.unwrap_or((0.0, 0.0));
        // The smallest bar is visible.
        let low = (low - 0.3).floor();
        let high = high.max(low + 1.0);
        let high = high + (high - low) * extra;
        let every = ((high - low) / 6.0).ceil().max(1.0);
        let count = ((high - low) / every).floor() as usize;
        let ticks: Vec<f64> = (0..=count).map(|i| low + i as f64 * every).collect();
        let label = |exponent: &f64| match *exponent as i32 {
            power @ -4..=6 => short(10f64.powi(power)),
            power => format!("1e{power}").replace('-', "−"),
        };
        let labels = ticks.iter().map(label).collect();
        Self { name: name.to_owned(), low, high, ticks, labels, log: true }
    }

    /// The width of the widest label.
    pub(crate) fn label_width(&self, width: impl Fn(&str) -> f32) -> f32 {
        self.labels.iter().map(|label| width(label)).fold(0.0, f32::max)
    }
}

/// The next round number (1, 2, 2.5 or 5 times a power of ten) from `least` upwards.
fn round_step(least: f64, whole: bool) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| {
            *step >= least * (1.0 - 1e-9) && !(whole && step.fract() != 0.0 && *step > 1.0)
        })
        .unwrap_or(10.0 * power);
    if whole { step.max(1.0) } else { step }
}

/// Labels with the decimals that the step needs, or powers of ten for very large and small values.
fn labels(ticks: &[f64], step: f64) -> Vec<String> {
    let size = ticks.iter().fold(0.0f64, |size, tick| size.max(tick.abs()));
    let digits_below = |of: f64| -> usize {
        (0..8)
            .find(|d| {
                let shifted = of * 10f64.powi(*d);
                (shifted - shifted.round()).abs() < 1e-6 * shifted.abs().max(1e-12)
            })
            .unwrap_or(8) as usize
    };
    if size >= 1e9 || step < 1e-5 {
        let digits = |tick: f64| {
            if tick == 0.0 {
                0
            } else {
                digits_below(tick / 10f64.powf(tick.abs().log10().floor()))
            }
        };
        let most = ticks.iter().map(|tick| digits(*tick)).max().unwrap_or(0).min(6);
        let label = |tick: &f64| match tick {
            0.0 => "0".to_owned(),
            tick => format!("{tick:.most$e}").replace('-', "−"),
        };
        return ticks.iter().map(label).collect();
    }
    let decimals = digits_below(step);
    ticks
        .iter()
        .map(|tick| {
            // Rounding may leave -0.
            let tick = if tick.abs() < step * 1e-6 { 0.0 } else { *tick };
            commas(&format!("{tick:.decimals$}")).replace('-', "−")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(values: &[f64]) -> Axis {
        Axis::of("", values.iter().copied(), Fit::VALUES)
    }

    #[test]
    fn accuracy_gets_round_labels() {
        let fit = Fit { at_least: Some((0.0, 1.0)), ..Fit::VALUES };
        let axis = Axis::of("accuracy", [0.53, 0.95].into_iter(), fit);
        assert_eq!(axis.labels, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!((axis.low, axis.high), (0.0, 1.0));
    }

    #[test]
    fn epochs_are_whole_numbers() {
        let fit = Fit { whole: true, tight: true, from_zero: false, ticks: 8, ..Fit::VALUES };
        assert_eq!(Axis::of("", [1.0, 2.0, 3.0].into_iter(), fit).labels, ["1", "2", "3"]);
        assert_eq!(Axis::of("", [1.0].into_iter(), fit).labels, ["1"]);
        let many = Axis::of("", (1..=30).map(f64::from), fit).labels;
        assert_eq!(many, ["5", "10", "15", "20", "25", "30"]);
    }

    #[test]
    fn powers_of_ten_are_written_out_as_long_as_they_are_short() {
        let axis = |exponents: &[f64]| Axis::log("", exponents.iter().copied(), 0.0);
        assert_eq!(axis(&[-2.0, 2.5]).labels, ["0.001", "0.01", "0.1", "1", "10", "100"]);
        assert_eq!(axis(&[f64::NEG_INFINITY, 0.5]).labels, ["1", "10"]);
        assert_eq!(axis(&[-8.5, 9.0]).labels[0], "1e−9");
    }

    #[test]
    fn ticks_cover_every_range() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![0.0],
            vec![1e-310],
            vec![-3.0, -2.9],
            vec![1e16, 1e16 + 2.0],
            vec![-1e299, 1e299],
            vec![1e-200, 3e-200],
            vec![938.3, 295.0],
            vec![0.1, 0.2, 0.3],
            vec![f64::MAX, f64::MIN, 1.0],
        ] {
            let axis = axis(&values);
            assert!(axis.low < axis.high, "{values:?}: {axis:?}");
            assert!((2..=12).contains(&axis.ticks.len()), "{values:?}: {axis:?}");
            assert_eq!(axis.ticks.len(), axis.labels.len());
            for value in values.into_iter().filter(|v| drawable(*v)) {
                assert!(axis.low <= value && value <= axis.high, "{value}: {axis:?}");
            }
            let mut labels = axis.labels.clone();
            labels.dedup();
            assert_eq!(labels, axis.labels, "labels must differ");
        }
    }
}
