//! Medians, quartiles and bootstrap intervals. Fixed seeds make the figures of the same records reproducible.

use crate::proportion::wilson_of_share;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The share of resamples inside an interval.
pub const CONFIDENCE: f64 = 0.95;
/// Two times are equivalent if the interval of their ratio lies within 5 % of 1.
pub const EQUIVALENCE: f64 = 0.05;
/// Resamples of a bootstrap.
pub const RESAMPLES: usize = 10_000;
/// The 97.5% quantile of the normal distribution.
pub(crate) const NORMAL_QUANTILE: f64 = 1.959_963_984_540_054;
/// The number of values from which an interval is a bootstrap's. Resamples never leave the range of the values, which
/// contains the median of n pairs only with probability 1 − 2^(1 − n): 75% for three. Fewer values have Student's interval of
/// the logarithms of the ratios, which assumes a normal distribution.
const ENOUGH: usize = 6;

/// Median and quartiles of one quantity over the repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The number of values.
    pub count: usize,
    /// The median.
    pub median: f64,
    /// The first quartile.
    pub lower: f64,
    /// The third quartile.
    pub upper: f64,
}

impl Summary {
    /// Summarises values in any order; `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            count: values.len(),
            median: quantile(values, 0.5)?,
            lower: quantile(values, 0.25)?,
            upper: quantile(values, 0.75)?,
        })
    }
}

/// The indices of values outside Tukey's fences (1.5 interquartile ranges beyond the quartiles) that also differ from the
/// median by more than 10 %. Fewer than five values have no outliers.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let Some(Summary { median, lower, upper, count }) = Summary::of(values) else {
        return Vec::new();
    };
    let reach = 1.5 * (upper - lower);
    let is_far = |value: &f64| {
        (*value < lower - reach || *value > upper + reach) && (value / median - 1.0).abs() > 0.1
    };
    let far = values.iter().enumerate().filter(|(_, value)| is_far(value));
    if count < 5 { Vec::new() } else { far.map(|(place, _)| place).collect() }
}

/// A quantile with linear interpolation: type 7 of Hyndman and Fan (1996), the default of numpy and R. `None` without
/// values.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64))
}

/// A ratio of medians with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The ratio.
    pub value: f64,
    /// The 95% interval: a bootstrap's from six values on, Student's below; `None` if a side has a single value.
    pub interval: Option<(f64, f64)>,
}

impl Ratio {
    /// Whether the interval excludes 1; `None` without an interval.
    pub fn shows_difference(&self) -> Option<bool> {
        self.interval.map(|(low, high)| low > 1.0 || high < 1.0)
    }

    /// Whether the whole interval lies within [`EQUIVALENCE`] of 1; `None` without an interval.
    pub fn is_equivalent(&self) -> Option<bool> {
        self.interval.map(|(low, high)| low > 1.0 - EQUIVALENCE && high < 1.0 + EQUIVALENCE)
    }

    /// The ratio with its interval, if any: `1.20 (0.97 to 1.47)`.
    pub fn with_interval(&self) -> String {
        match self.interval {
            Some((low, high)) => format!("{:.2} ({low:.2} to {high:.2})", self.value),
            None => format!("{:.2}", self.value),
        }
    }

    /// The median of the ratios `second / first` of pairs of runs, and the percentile interval (Efron, 1979) of the median over
    /// pairs drawn with replacement. What slows both runs of a pair, such as a warm machine, cancels. `None` without pairs.
    pub fn of_pairs(pairs: &[(f64, f64)], seed: u64) -> Option<Self> {
        let ratios: Vec<f64> = pairs.iter().map(|(first, second)| second / first).collect();
        let value = quantile(&ratios, 0.5)?;
        if ratios.len() < ENOUGH {
            return Some(Self { value, interval: student(&[&ratios]) });
        }
        let interval = bootstrap(seed, |draw| resampled_median(&ratios, draw));
        Some(Self { value, interval: Some(interval) })
    }

    /// The ratio of the medians of two sets of runs without pairs, each set resampled on its own. `None` if a set is empty.
    pub fn of_groups(first: &[f64], second: &[f64], seed: u64) -> Option<Self> {
        let value = quantile(second, 0.5)? / quantile(first, 0.5)?;
        if first.len().min(second.len()) < ENOUGH {
            return Some(Self { value, interval: student(&[second, first]) });
        }
        let interval =
            bootstrap(seed, |draw| resampled_median(second, draw) / resampled_median(first, draw));
        Some(Self { value, interval: Some(interval) })
    }
}

/// The median of a resample: the same number of values, drawn with replacement.
fn resampled_median(values: &[f64], draw: &mut dyn FnMut(usize) -> usize) -> f64 {
    let again: Vec<f64> = values.iter().map(|_| values[draw(values.len())]).collect();
    quantile(&again, 0.5).unwrap_or(f64::NAN)
}

/// Student's 95% interval of the geometric mean of one sample, or of the first sample's mean divided by the second's
/// (Welch's error, with the degrees of freedom of the smaller sample, which is never too narrow). `None` if a sample has a
/// single value.
fn student(samples: &[&[f64]]) -> Option<(f64, f64)> {
    let (mut middle, mut variance, mut sign) = (0.0, 0.0, 1.0);
    let mut freedom = usize::MAX;
    for sample in samples {
        let count = sample.len() as f64;
        let logarithms: Vec<f64> = sample.iter().map(|value| value.ln()).collect();
        let (mean, deviation) = mean_and_deviation(&logarithms);
        middle += sign * mean;
        variance += deviation.powi(2) / count;
        freedom = freedom.min(sample.len() - 1);
        sign = -1.0;
    }
    let reach = students_quantile(freedom)? * variance.sqrt();
    Some(((middle - reach).exp(), (middle + reach).exp()))
}

/// The mean and the sample's standard deviation, which is NaN for a single value.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// The 0.975 quantile of Student's distribution; `None` without a degree of freedom.
fn students_quantile(freedom: usize) -> Option<f64> {
    const FIRST: [f64; 4] = [12.706, 4.303, 3.182, 2.776];
    if let Some(exact) = FIRST.get(freedom.checked_sub(1)?) {
        return Some(*exact);
    }
    // Cornish and Fisher's expansion (Abramowitz and Stegun, 26.7.5), too low by 0.003 at 5 degrees of freedom.
    let (z, n) = (NORMAL_QUANTILE, freedom as f64);
    Some(
        z + (z.powi(3) + z) / (4.0 * n)
            + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n.powi(2))
            + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z)
                / (384.0 * n.powi(3)),
    )
}

/// The mean of an accuracy over trainings with different seeds, 0 to 1, and its 95% interval, which covers other
/// trainings and other images: the distance of each end from the mean is √(t² s² / n + w²), with Student's t of the
/// deviation s between the n trainings, and the distance w of the end of Wilson's interval for the mean on `images`
/// images (the method of Zou and Donner, 2008, for the sum of two estimates). All trainings are evaluated on the same
/// images, so that their number does not shrink w. `None` for fewer than two trainings.
pub fn accuracy_interval(accuracies: &[f64], images: usize) -> Option<(f64, (f64, f64))> {
    let (mean, deviation) = mean_and_deviation(accuracies);
    let count = accuracies.len();
    let reach = students_quantile(count.checked_sub(1)?)? * deviation / (count as f64).sqrt();
    let (low, high) = wilson_of_share(mean, images);
    let low = (mean - (mean - low).hypot(reach)).max(0.0);
    Some((mean, (low, (mean + (high - mean).hypot(reach)).min(1.0))))
}

/// The median of one quantity and its 95% interval, by the method of [`Ratio::of_pairs`]. `None` without values.
pub fn median_interval(values: &[f64], seed: u64) -> Option<Ratio> {
    let pairs: Vec<(f64, f64)> = values.iter().map(|value| (1.0, *value)).collect();
    Ratio::of_pairs(&pairs, seed)
}

/// The percentile interval of a statistic over [`RESAMPLES`] resamples. `resample` receives a function that draws an index
/// below its argument.
fn bootstrap(seed: u64, resample: impl Fn(&mut dyn FnMut(usize) -> usize) -> f64) -> (f64, f64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Lemire's reduction without the rejection: its bias is below the count over 2^32.
    let mut draw = |below: usize| ((u64::from(random.next_u32()) * below as u64) >> 32) as usize;
    let values: Vec<f64> = (0..RESAMPLES).map(|_| resample(&mut draw)).collect();
    let outside = (1.0 - CONFIDENCE) / 2.0;
    (
        quantile(&values, outside).unwrap_or(f64::NAN),
        quantile(&values, 1.0 - outside).unwrap_or(f64::NAN),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.percentile([15, 20, 35, 40, 50], [25, 40, 50, 75])` is 20, 29, 35, 40 (the example of
    /// Wikipedia's "Percentile", second variant, which is type 7).
    #[test]
    fn quantiles_are_numpys() {
        let values = [50.0, 15.0, 40.0, 20.0, 35.0];
        let found = [0.25, 0.4, 0.5, 0.75].map(|share| quantile(&values, share).unwrap());
        assert_eq!(found, [20.0, 29.0, 35.0, 40.0]);
        assert_eq!(quantile(&[], 0.5), None);
        // By hand: between the 2 and the 4 of 1, 2, 4, 8.
        assert_eq!(Summary::of(&[8.0, 1.0, 4.0, 2.0]).unwrap().median, 3.0);
        assert_eq!(outliers(&[10.0, 10.1, 18.0, 9.9, 10.2]), [2]);
        assert!(outliers(&[10.0, 10.0, 10.5, 10.0, 10.0]).is_empty(), "within a tenth");
        assert!(outliers(&[10.0, 10.1, 18.0, 9.9]).is_empty(), "too few");
    }

    /// Logarithms 1, 2, 3: mean 2, deviation 1, so 4.303 / √3 = 2.4843 to each side (`scipy.stats.t.ppf(0.975, 2)`
    /// is 4.3027).
    #[test]
    fn with_three_pairs_the_interval_is_students() {
        let pairs = [1.0, 2.0, 3.0].map(|power: f64| (1.0, power.exp()));
        let ratio = Ratio::of_pairs(&pairs, 1).unwrap();
        let (low, high) = ratio.interval.unwrap();
        let expected = (2.0 - 2.4843, 2.0 + 2.4843);
        assert!((low.ln() - expected.0).abs() < 1e-3 && (high.ln() - expected.1).abs() < 1e-3);
        assert_eq!((ratio.value, ratio.shows_difference()), (2_f64.exp(), Some(false)));
        // Two groups of the same spread: the error grows by √2, and what is between the means is 1.
        let group = |from: f64| [from, from + 0.1, from + 0.2].map(f64::exp);
        let (low, high) = Ratio::of_groups(&group(0.0), &group(1.0), 1).unwrap().interval.unwrap();
        let reach = 4.3027 * 0.1 * (2.0_f64 / 3.0).sqrt();
        assert!(
            (low.ln() - (1.0 - reach)).abs() < 1e-3 && (high.ln() - (1.0 + reach)).abs() < 1e-3
        );
    }

    /// All of two to five pairs on one side of 1 happen by chance in 2 of 4 to 2 of 32 cases, but are a
    /// difference only if they lie close together.
    #[test]
    fn three_pairs_on_one_side_of_1_are_a_difference_only_if_they_agree() {
        let of = |ratios: [f64; 3]| {
            Ratio::of_pairs(&ratios.map(|ratio| (1.0, ratio)), 1).unwrap().shows_difference()
        };
        assert_eq!((of([1.01, 1.2, 1.4]), of([1.18, 1.2, 1.22])), (Some(false), Some(true)));
    }

    /// The median of n draws from the uniform distribution on 1 to 2 deviates by √(1/4n) of its width:
    /// for n = 101 by 0.0498, and 1.96 of that reach 0.0975 to each side of 1.5 (order statistics: the
    /// median is Beta(51, 51) with deviation √(1/(4·103)) = 0.0493).
    #[test]
    fn the_interval_of_many_pairs_is_that_of_the_medians_distribution() {
        let pairs: Vec<(f64, f64)> = (0..101).map(|i| (1.0, 1.0 + f64::from(i) / 100.0)).collect();
        let (low, high) = Ratio::of_pairs(&pairs, 7).unwrap().interval.unwrap();
        assert!((low - 1.4025).abs() < 0.02 && (high - 1.5975).abs() < 0.02, "{low} {high}");
    }

    /// Pairs whose logarithms are normally distributed with a deviation of 5 %, around a ratio of 1.2.
    #[test]
    fn the_intervals_hold_the_true_ratio_as_often_as_they_say() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut uniform = || (f64::from(random.next_u32()) + 0.5) / 2_f64.powi(32);
        // Box and Muller (1958).
        let mut normal =
            || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        for (pairs, least) in [(3, 0.92), (5, 0.92), (8, 0.90), (20, 0.90)] {
            let studies = 400;
            let held = (0..studies).filter(|seed| {
                let pairs: Vec<(f64, f64)> =
                    (0..pairs).map(|_| (1.0, 1.2 * (0.05 * normal()).exp())).collect();
                let (low, high) = Ratio::of_pairs(&pairs, *seed).unwrap().interval.unwrap();
                low <= 1.2 && 1.2 <= high
            });
            let share = held.count() as f64 / studies as f64;
            assert!(share >= least && share <= 0.99, "{pairs} pairs: {share}");
        }
    }

    /// `scipy.stats.t.ppf(0.975, [1, 4, 5, 9, 29])`.
    #[test]
    fn students_quantiles_are_scipys() {
        let expected = [(1, 12.706), (4, 2.776), (5, 2.571), (9, 2.262), (29, 2.045)];
        for (freedom, expected) in expected {
            let found = students_quantile(freedom).unwrap();
            assert!((found - expected).abs() < 4e-3, "{freedom}: {found}");
        }
        assert_eq!(students_quantile(0), None);
    }

    /// Deviation 0.02, so 2.776 × 0.02 / √5 = 0.02483 between the trainings; Wilson's interval of 180 in 200 is 0.8506
    /// to 0.9344. √(0.02483² + 0.0494²) = 0.0553 and √(0.02483² + 0.0344²) = 0.0424.
    #[test]
    fn an_accuracy_has_the_spread_of_the_trainings_and_that_of_the_images() {
        let spread = 0.02 / 2.5_f64.sqrt();
        let trainings = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|step| 0.9 + step * spread);
        let (mean, (low, high)) = accuracy_interval(&trainings, 200).unwrap();
        assert!((mean - 0.9).abs() < 1e-12);
        assert!((low - (0.9 - 0.0553)).abs() < 2e-4, "{low}");
        assert!((high - (0.9 + 0.0424)).abs() < 2e-4, "{high}");
        assert_eq!(accuracy_interval(&[0.9], 200), None);
    }

    /// Trainings whose accuracy on all images that there are deviates by 2 % around 0.9, five of them evaluated on 200
    /// images: either an image is hard for all trainings or for each by itself.
    #[test]
    fn the_intervals_of_accuracies_hold_the_true_one_as_often_as_they_say() {
        let mut random = ChaCha8Rng::seed_from_u64(6);
        let mut uniform = || (f64::from(random.next_u32()) + 0.5) / 2_f64.powi(32);
        for (alike, least) in [(true, 0.93), (false, 0.95)] {
            let studies = 1_000;
            let held = (0..studies).filter(|_| {
                let hard: Vec<f64> = (0..200).map(|_| uniform()).collect();
                let trainings: Vec<f64> = (0..5)
                    .map(|_| {
                        let angle = std::f64::consts::TAU * uniform();
                        let accuracy = 0.9 + 0.02 * (-2.0 * uniform().ln()).sqrt() * angle.cos();
                        let mut right = |hard: &f64| {
                            let hard = if alike { *hard } else { uniform() };
                            f64::from(hard < accuracy)
                        };
                        hard.iter().map(&mut right).sum::<f64>() / 200.0
                    })
                    .collect();
                let (_, (low, high)) = accuracy_interval(&trainings, 200).unwrap();
                low <= 0.9 && 0.9 <= high
            });
            let share = held.count() as f64 / f64::from(studies);
            assert!(share >= least, "{alike}: {share}");
        }
    }

    #[test]
    fn an_interval_that_holds_1_shows_no_difference_and_a_single_pair_has_none() {
        let pairs = [(1.0, 0.9), (1.0, 1.1), (1.0, 1.05)];
        assert_eq!(Ratio::of_pairs(&pairs, 1).unwrap().shows_difference(), Some(false));
        let single = Ratio::of_pairs(&[(294.98, 938.33)], 1).unwrap();
        assert_eq!((single.interval, single.shows_difference()), (None, None));
        assert_eq!(Ratio::of_pairs(&[], 1), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_pairing_narrows_it() {
        // Each round is slower than the one before, for both: pairs see a constant ratio.
        let first: Vec<f64> = (1..=8).map(f64::from).collect();
        let second: Vec<f64> = first.iter().map(|value| value * 1.1).collect();
        let pairs: Vec<(f64, f64)> = first.iter().copied().zip(second.iter().copied()).collect();
        let paired = Ratio::of_pairs(&pairs, 3).unwrap();
        let apart = Ratio::of_groups(&first, &second, 3).unwrap();
        assert_eq!(apart, Ratio::of_groups(&first, &second, 3).unwrap());
        assert_eq!(
            (paired.shows_difference(), apart.shows_difference()),
            (Some(true), Some(false))
        );
    }
}
