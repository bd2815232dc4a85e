//! Compares two backends: a ratio of runs with equal conditions, or the differences between them.

use crate::ceiling::Ceiling;
use crate::conditions::{Difference, Rule, between, json};
use crate::record::{Environment, Record};
use crate::runner::STEPS;
use crate::statistics::{Ratio, quantile};
use serde_json::Value;
use std::fmt;

/// The time that is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// Seconds of the phase `load`.
    Load,
    /// Seconds of the phase `build`.
    Build,
    /// Seconds of the phase `train`.
    Train,
    /// Seconds of the phase `test`.
    Test,
    /// Seconds of training and validation until the end of the first epoch that reaches this validation accuracy, 0 to
    /// 1. A ratio needs runs that all reach the accuracy.
    ToAccuracy(f64),
    /// Seconds of a training step on a batch in memory: the median of the steps after the phases
    /// ([`Record::step_seconds`]), without reading images, compiling and the first step.
    Step,
}

impl Quantity {
    /// The phases, in order.
    pub const PHASES: [Self; 4] = [Self::Load, Self::Build, Self::Train, Self::Test];

    /// The phase that the time is part of; a step is part of `train`.
    pub fn phase(self) -> Self {
        if let Self::ToAccuracy(_) | Self::Step = self { Self::Train } else { self }
    }

    /// The phase's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Build => "build",
            Self::Train | Self::ToAccuracy(_) | Self::Step => "train",
            Self::Test => "test",
        }
    }

    /// A record's seconds.
    pub fn seconds(self, record: &Record) -> Option<f64> {
        match self {
            Self::Load => record.phases.load,
            Self::Build => record.phases.build,
            Self::Train => record.phases.train,
            Self::Test => record.phases.test,
            Self::ToAccuracy(target) => {
                let reached = |(_, accuracy): &(f64, f64)| *accuracy >= target;
                record.learned().into_iter().find(reached).map(|(seconds, _)| seconds)
            }
            Self::Step => quantile(&record.step_seconds, 0.5),
        }
    }
}

/// The ratio of the times per image, second to first.
#[derive(Clone, Debug, PartialEq)]
pub struct PerImage {
    /// The smallest ratio under the assumption in `basis`.
    pub low: Ratio,
    /// The largest ratio under the assumption; equal to `low` without one.
    pub high: Ratio,
    /// The formula, in words.
    pub basis: &'static str,
}

/// Shows the ratio with its 95% interval, or without intervals the smallest and the largest where they differ.
impl fmt::Display for PerImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if format!("{:.2}", self.low.value) == format!("{:.2}", self.high.value) {
            f.write_str(&self.low.with_interval())
        } else {
            write!(f, "{:.2} to {:.2}", self.low.value, self.high.value)
        }
    }
}

/// The cost of a validation image in training images, where a record has only the sum of both times: between 0 and a
/// third, since the backward pass costs twice the forward pass.
const VALIDATION_COST: [f64; 2] = [0.0, 1.0 / 3.0];

impl PerImage {
    const STEPS: &str = "seconds of the training steps, and of features computed before them, over the images trained on";
    const PHASES: &str = "seconds of the phase over the images trained on, a validation image counted as 0 to 1/3 of one";
    const TEST: &str = "seconds of the phase over the images tested on";

    fn of(first: &[&Record], second: &[&Record], quantity: Quantity) -> Option<Self> {
        let ratio = |of: &dyn Fn(&Record) -> Option<f64>| {
            // Every run of a side must state the time.
            let all = |side: &[&Record]| side.iter().all(|record| of(record).is_some());
            if all(first) && all(second) { ratio(first, second, of) } else { None }
        };
        match quantity {
            Quantity::Load | Quantity::Build | Quantity::ToAccuracy(_) | Quantity::Step => None,
            Quantity::Test => {
                let value = ratio(&|r| Some(r.phases.test? / nonzero(r.images_seen.test?)?))?;
                Some(Self { low: value, high: value, basis: Self::TEST })
            }
            Quantity::Train => {
                let steps = |r: &Record| {
                    let steps = Some(r.train_parts.training).filter(|seconds| *seconds > 0.0);
                    Some((steps? + r.train_parts.features) / nonzero(r.images_seen.training?)?)
                };
                if let Some(value) = ratio(&steps) {
                    return Some(Self { low: value, high: value, basis: Self::STEPS });
                }
                let at = |cost: f64| {
                    ratio(&|r| {
                        let validated = r.images_seen.validation.unwrap_or(0) as f64;
                        let images = nonzero(r.images_seen.training?)? + cost * validated;
                        Some(r.phases.train? / images)
                    })
                };
                let [a, b] = [at(VALIDATION_COST[0])?, at(VALIDATION_COST[1])?];
                let (low, high) = if a.value <= b.value { (a, b) } else { (b, a) };
                Some(Self { low, high, basis: Self::PHASES })
            }
        }
    }
}

/// Whether two runs are a pair: in the same round of one call of one study of one job, on the same cores of one machine,
/// with the same environment variables and revision.
fn side_by_side(first: &Record, second: &Record) -> bool {
    fn of(record: &Record) -> Option<impl PartialEq> {
        let place = record.place.as_ref()?;
        let Environment { host, affinity, variables, .. } = &record.environment;
        let place = (&place.study, &place.job, &place.call, place.round);
        Some((place, host, affinity, variables, &record.revision))
    }
    of(first).is_some() && of(first) == of(second)
}

/// The runs that state the time, with the time.
fn timed<'a>(side: &[&'a Record], of: &dyn Fn(&Record) -> Option<f64>) -> Vec<(&'a Record, f64)> {
    side.iter().filter_map(|record| Some((*record, of(record)?))).collect()
}

/// The two times of each [pair](side_by_side) of runs.
fn pairs(
    first: &[&Record],
    second: &[&Record],
    of: &dyn Fn(&Record) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let mut rest = timed(second, of);
    let pair = |(run, a): (&Record, f64)| {
        let partner = rest.iter().position(|(other, _)| side_by_side(run, other))?;
        Some((a, rest.swap_remove(partner).1))
    };
    timed(first, of).into_iter().filter_map(pair).collect()
}

/// The second side's time divided by the first's: the median of the pairs' ratios, or without pairs the ratio of the two
/// medians. Skips runs without the time; `None` if a side has no run with it.
fn ratio(
    first: &[&Record],
    second: &[&Record],
    of: &dyn Fn(&Record) -> Option<f64>,
) -> Option<Ratio> {
    let pairs = pairs(first, second, of);
    if !pairs.is_empty() {
        return Ratio::of_pairs(&pairs, SEED);
    }
    let times =
        |side: &[&Record]| timed(side, of).into_iter().map(|(_, time)| time).collect::<Vec<f64>>();
    Ratio::of_groups(&times(first), &times(second), SEED)
}

fn nonzero(count: usize) -> Option<f64> {
    (count > 0).then_some(count as f64)
}

/// The comparison of the times of two backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What was compared.
    pub quantity: Quantity,
    /// The second backend's time divided by the first's.
    pub ratio: Ratio,
    /// The ratio of each pair of runs; empty without pairs.
    pub pairs: Vec<f64>,
    /// The differences that invalidate the ratio; empty if it counts.
    pub differences: Vec<Difference>,
    /// Differences that are reported beside a ratio that counts.
    pub told: Vec<Difference>,
    /// Why the times of a side do not count: invalid durations, implausible rates, disturbed or unchecked runs.
    pub faults: Vec<String>,
    /// The ratio per image.
    pub per_image: Option<PerImage>,
    /// Assumptions of the records.
    pub assumptions: Vec<String>,
}

impl Comparison {
    /// Whether the conditions are equal and the figures plausible.
    pub fn is_comparable(&self) -> bool {
        self.differences.is_empty() && self.faults.is_empty()
    }

    /// The ratio with its interval, and whether the times are equivalent or the difference is not significant.
    pub fn words(&self) -> String {
        let words = self.ratio.with_interval();
        match (self.ratio.is_equivalent(), self.ratio.shows_difference()) {
            (Some(true), _) => words + ", equivalent within 5 %",
            (_, Some(false)) => words + ", not significant",
            _ => words,
        }
    }

    /// Why the ratio per image does not count; `None` if it counts, that is if the number of images is the only
    /// difference.
    pub fn why_not_per_image(&self) -> Option<String> {
        let of_images = |difference: &Difference| difference.condition.rule == Rule::PerImage;
        let counts = self.faults.is_empty() && self.differences.iter().all(of_images);
        if counts { None } else { self.why_not() }
    }

    /// Why the ratio does not count, as one sentence; `None` if it counts.
    pub fn why_not(&self) -> Option<String> {
        if self.is_comparable() {
            return None;
        }
        let mut parts: Vec<String> = Vec::new();
        if !self.differences.is_empty() {
            let (unstated, different): (Vec<_>, Vec<_>) =
                self.differences.iter().partition(|difference| difference.is_unstated());
            let mut all: Vec<String> = different.iter().map(ToString::to_string).collect();
            let names: Vec<&str> = unstated.iter().map(|absent| absent.condition.name).collect();
            if !names.is_empty() {
                all.push(format!("not stated by either: {}", names.join(", ")));
            }
            parts.push(format!("not comparable: {}", all.join("; ")));
        }
        parts.extend(self.faults.iter().cloned());
        if !self.assumptions.is_empty() {
            parts.push(format!("assumed: {}", self.assumptions.join("; ")));
        }
        Some(parts.join(". "))
    }
}

/// Compares the runs of two backends: the second's time divided by the first's. Runs of the same round of one study are
/// pairs. Failed runs and warm-up rounds do not count; `None` if a side then has no figure.
pub fn compare<'a>(
    first: &[&'a Record],
    second: &[&'a Record],
    quantity: Quantity,
) -> Option<Comparison> {
    let counting = |side: &[&'a Record]| -> Vec<&'a Record> {
        side.iter().copied().filter(|record| counts(record)).collect()
    };
    let (mut first, mut second) = (counting(first), counting(second));
    if let Quantity::ToAccuracy(_) = quantity {
        // Leaving out runs that never reach the target would favour the backend.
        let reaches = |side: &[&Record]| side.iter().all(|run| quantity.seconds(run).is_some());
        if !reaches(&first) || !reaches(&second) {
            return None;
        }
    }
    for side in [&mut first, &mut second] {
        side.retain(|record| quantity.seconds(record).is_some());
    }
    let seconds = |record: &Record| quantity.seconds(record);
    let ratio = ratio(&first, &second, &seconds)?;
    let pairs = pairs(&first, &second, &seconds).into_iter().map(|(a, b)| b / a).collect();
    let (differences, told) = unlike(&first, &second, quantity);
    let (mut faults, mut disturbed) = (Vec::new(), Vec::new());
    let mut assumptions = Vec::new();
    for record in first.iter().chain(&second) {
        let found = record.clock_faults().into_iter().chain(Ceiling::fault(record));
        let found = found.map(|fault| format!("implausible: {}: {fault}", record.backend()));
        add_new(&mut faults, found);
        if let Some(why) = disturbance(record, quantity) {
            let round = record.place.as_ref().map_or(0, |place| place.round);
            disturbed.push(format!("{} in round {round} ({why})", record.backend()));
        }
        let unchecked = record.unchecked().map(|why| format!("{}: {why}", record.backend()));
        add_new(&mut faults, unchecked.into_iter());
        add_new(&mut assumptions, record.assumptions.iter().cloned());
    }
    if !disturbed.is_empty() {
        faults.push(format!("disturbed: {}", disturbed.join(", ")));
    }
    Some(Comparison {
        quantity,
        ratio,
        pairs,
        differences,
        told,
        faults,
        per_image: PerImage::of(&first, &second, quantity),
        assumptions,
    })
}

fn add_new(known: &mut Vec<String>, found: impl Iterator<Item = String>) {
    for text in found {
        if !known.contains(&text) {
            known.push(text);
        }
    }
}

/// The disturbance of the phase of a run in which the compared time was measured.
fn disturbance(record: &Record, quantity: Quantity) -> Option<String> {
    let phase = if quantity == Quantity::Step { STEPS } else { quantity.name() };
    record.resources.get(phase)?.disturbance()
}

/// The seed of the resamples; its value does not matter, but must not change.
pub(crate) const SEED: u64 = 2019;

/// Whether a run counts in a comparison: it succeeded, no check found that it disagrees with the other backends, and its
/// round was not a warm-up.
pub fn counts(record: &Record) -> bool {
    record.reason().is_none() && !record.place.as_ref().is_some_and(|place| place.warm_up)
}

/// The differences that invalidate a ratio, and those that are only reported, each condition once: differences between runs
/// of one round, and between the first run of a side and its other runs.
fn unlike(
    first: &[&Record],
    second: &[&Record],
    quantity: Quantity,
) -> (Vec<Difference>, Vec<Difference>) {
    let stated = |side: &[&Record]| -> Vec<(Option<usize>, Value)> {
        side.iter().map(|run| (run.place.as_ref().map(|place| place.round), json(run))).collect()
    };
    let (first, second) = (stated(first), stated(second));
    let of_round = |(round, run): &(Option<usize>, Value)| {
        let (_, other) = second.iter().find(|(other, _)| round.is_some() && other == round)?;
        Some(between(run, other))
    };
    let rounds: Vec<Vec<Difference>> = first.iter().filter_map(of_round).collect();
    let mut found = rounds.concat();
    if rounds.is_empty() {
        found = between(&first[0].1, &second[0].1);
    }
    for side in [&first, &second] {
        let own = side[1..].iter().flat_map(|(_, run)| between(&side[0].1, run));
        found.extend(own.filter(|difference| {
            difference.condition.rule != Rule::WithinRound && !difference.is_unstated()
        }));
    }
    let (mut strikes, mut told): (Vec<Difference>, Vec<Difference>) = (Vec::new(), Vec::new());
    for difference in found {
        let Some(is_struck) = difference.strikes(quantity) else { continue };
        let list = if is_struck { &mut strikes } else { &mut told };
        if !list.iter().any(|known| known.condition == difference.condition) {
            list.push(difference);
        }
    }
    (strikes, told)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{
        Computes, Data, Epoch, ImagesSeen, Library, Net, Phases, Place, Status, Training,
    };
    use crate::report::report_2019;

    /// A record that states all conditions, in round `round` of a study.
    pub(crate) fn stated(backend: &str, round: usize, train: f64) -> Record {
        let word = |text: &str| Some(text.to_owned());
        Record {
            place: Some(Place {
                study: "s".into(),
                backend: backend.into(),
                round,
                job: String::new(),
                warm_up: false,
                call: "1-2".into(),
                attempt: 0,
            }),
            environment: Environment {
                affinity: Some(vec![0, 1]),
                libc: word("glibc 2.36"),
                ..Environment::default()
            },
            library: Library {
                name: backend.into(),
                version: word("1"),
                language: word("Rust"),
                device: word("cpu"),
                threads: Some(2),
                precision: word("float32"),
                ..Library::default()
            },
            net: Net {
                name: "vgg16".into(),
                head: word("Keras"),
                base: word("trainable"),
                dropout: Some(0.5),
                weights: word("random"),
                parameters: Some(10),
                trainable_parameters: Some(10),
                input_size: Some([64, 64]),
                preprocessing: word("x / 255"),
                ..Net::default()
            },
            training: Some(Training {
                batch_size: Some(32),
                epochs: Some(2),
                optimizer: Some("Adam".into()),
                learning_rate: Some(0.001),
                schedule: Some("constant".into()),
                augmentation: Some("none".into()),
                cache_features: Some(false),
                cache: word("none"),
                loader_threads: Some(2),
                class_weights: Some("none".into()),
                seed: Some(1 + round as u64),
                ..Training::default()
            }),
            data: Data {
                name: "photos".into(),
                files_sha256: word("ab12"),
                skipped_sha256: word("e3b0"),
                ..Data::default()
            },
            steps: Some(50),
            images_seen: ImagesSeen { training: Some(800), validation: Some(200), test: Some(100) },
            phases: Phases { train: Some(train), ..Phases::default() },
            computes: alike(),
            audit: alike(),
            ..Record::default()
        }
    }

    fn alike() -> Option<Computes> {
        Some(Computes::Alike { reference: "a".into(), nearness: String::new() })
    }

    #[test]
    fn a_run_that_nobody_checked_has_no_ratio() {
        let checked = three("a", [1.0, 1.1, 1.2]);
        for unchecked in [
            |record| Record { computes: None, ..record },
            |record| Record { audit: None, ..record },
            |record| Record {
                audit: Some(Computes::Unchecked { reason: "no memory".into() }),
                ..record
            },
        ] as [fn(Record) -> Record; 3]
        {
            let other: Vec<Record> =
                three("b", [1.0, 1.1, 1.2]).into_iter().map(unchecked).collect();
            let found = compared(&checked, &other);
            assert!(!found.is_comparable() && found.why_not_per_image().is_some());
            assert!(found.why_not().unwrap().contains("was not checked"), "{found:?}");
        }
    }

    fn training(record: &mut Record) -> &mut Training {
        record.training.get_or_insert_default()
    }

    fn three(backend: &str, times: [f64; 3]) -> Vec<Record> {
        times.iter().enumerate().map(|(round, time)| stated(backend, round, *time)).collect()
    }

    fn compared(first: &[Record], second: &[Record]) -> Comparison {
        let (first, second): (Vec<&Record>, Vec<&Record>) =
            (first.iter().collect(), second.iter().collect());
        compare(&first, &second, Quantity::Train).unwrap()
    }

    #[test]
    fn like_runs_have_a_ratio_with_its_interval_by_pairs() {
        let comparison = compared(&three("a", [10.0, 20.0, 30.0]), &three("b", [11.0, 24.0, 39.0]));
        assert!(comparison.is_comparable(), "{:?}", comparison.why_not());
        assert_eq!(comparison.words(), "1.20 (0.97 to 1.47), not significant");
        let same = compared(&three("a", [10.0, 10.0, 10.0]), &three("b", [9.0, 10.0, 11.0]));
        assert_eq!(same.words(), "1.00 (0.78 to 1.28), not significant");
    }

    /// Two virtual machines of one kind, whose files are read together.
    #[test]
    fn runs_of_different_machines_or_jobs_are_no_pairs() {
        let on = |host: &str, job: &str, mut records: Vec<Record>| {
            for record in &mut records {
                record.environment.host = Some(host.into());
                record.place.as_mut().unwrap().job = job.into();
            }
            records
        };
        let first = || on("1", "j", three("a", [10.0, 10.0, 10.0]));
        let second = || three("b", [12.0, 12.0, 12.0]);
        let slow = || three("b", [90.0, 90.0, 90.0]);
        for (host, job) in [("2", "j"), ("1", "k")] {
            let both = [on(host, job, slow()), on("1", "j", second())].concat();
            assert_eq!(compared(&first(), &both).words(), "1.20 (1.20 to 1.20)");
        }
        // Nor does one run stand beside two.
        let twice = [first(), first()].concat();
        let both = [on("1", "j", second()), on("1", "j", slow())].concat();
        assert_eq!(compared(&twice, &both).ratio.value, 5.1);
    }

    #[test]
    fn the_figure_per_picture_is_one_of_pairs_with_its_interval_as_a_disturbed_first_run_shows() {
        let comparison = compared(&three("a", [10.0, 10.0, 10.0]), &three("b", [99.0, 12.0, 13.0]));
        // ln 9.9, ln 1.2 and ln 1.3: mean 0.9124, standard error 0.6904, times 4.303.
        assert_eq!(comparison.per_image.unwrap().to_string(), "1.30 (0.13 to 48.59)");
    }

    #[test]
    fn runs_of_another_call_or_revision_or_on_other_cores_are_no_pairs() {
        let changes: [&dyn Fn(&mut Record); 3] = [
            &|r| r.place.as_mut().unwrap().call = "3-4".into(),
            &|r| r.revision = "another".into(),
            &|r| r.environment.affinity = Some(vec![0]),
        ];
        for change in changes {
            let mut second = three("b", [12.0, 24.0, 36.0]);
            second.iter_mut().for_each(change);
            let found = compared(&three("a", [10.0, 20.0, 30.0]), &second);
            // As pairs, all of which have the same ratio, it would be certain.
            assert_eq!(found.ratio.value, 1.2);
            assert_ne!(found.ratio.interval, Some((1.2, 1.2)));
        }
    }

    #[test]
    fn a_disturbed_run_strikes_the_ratio_and_is_named() {
        use crate::resources::Resources;
        let mut second = three("b", [11.0, 12.0, 13.0]);
        let used = |others| Resources {
            seconds: 11.0,
            others_cpu_seconds: Some(others),
            ..Resources::default()
        };
        second[1].resources.insert("train".into(), used(1.0));
        second[1].resources.insert("test".into(), used(9.0));
        let first = three("a", [10.0, 10.0, 10.0]);
        assert!(compared(&first, &second).is_comparable(), "another phase is another matter");
        second[1].resources.insert("train".into(), used(5.0));
        assert_eq!(
            compared(&first, &second).why_not().unwrap(),
            "disturbed: b in round 1 (other processes took 5.0 s of processor time in 11.0 s)"
        );
    }

    #[test]
    fn steps_are_judged_by_their_own_disturbance() {
        use crate::resources::Resources;
        let disturbed = |phase: &str| {
            let mut records = three("b", [1.0, 2.0, 3.0]);
            records.iter_mut().for_each(|record| record.step_seconds = vec![0.1]);
            let used =
                Resources { seconds: 1.0, others_cpu_seconds: Some(0.9), ..Resources::default() };
            records[1].resources.insert(phase.into(), used);
            records
        };
        let mut first = three("a", [1.0, 2.0, 3.0]);
        first.iter_mut().for_each(|record| record.step_seconds = vec![0.2]);
        for (phase, is_judged) in [("train", false), ("steps", true)] {
            let second = disturbed(phase);
            let (first, second): (Vec<&Record>, Vec<&Record>) =
                (first.iter().collect(), second.iter().collect());
            let found = compare(&first, &second, Quantity::Step).unwrap();
            let why = found.why_not().unwrap_or_default();
            assert_eq!(why.contains("disturbed: b in round 1"), is_judged, "{phase}: {why}");
        }
    }

    /// Each condition of a fair comparison, changed alone, must strike the ratio and be named.
    #[test]
    fn each_condition_strikes_the_ratio_and_is_named_with_both_values() {
        let word = |text: &str| Some(text.to_owned());
        type Change<'a> = (&'a str, &'a dyn Fn(&mut Record));
        let changes: [Change<'_>; 27] = [
            ("cores 0, 1 against 0", &|r| r.environment.affinity = Some(vec![0])),
            ("environment none against ONEDNN_MAX_CPU_ISA=AVX2", &|r| {
                r.environment.variables = vec![("ONEDNN_MAX_CPU_ISA".into(), "AVX2".into())];
            }),
            ("C library glibc 2.36 against glibc 2.41", &|r| {
                r.environment.libc = word("glibc 2.41");
            }),
            ("GPU driver not stated against 570.86", &|r| {
                r.environment.gpu_driver = word("570.86");
            }),
            ("images trained on 800 against 400 (0.50 ×)", &|r| {
                r.images_seen.training = Some(400);
            }),
            ("images validated on 200 against 0", &|r| r.images_seen.validation = Some(0)),
            ("batch 32 against 64 (2.00 ×)", &|r| training(r).batch_size = Some(64)),
            ("epochs 2 against 1 (0.50 ×)", &|r| training(r).epochs = Some(1)),
            ("steps per epoch not stated against 10", &|r| training(r).steps_per_epoch = Some(10)),
            ("steps 50 against 25 (0.50 ×)", &|r| r.steps = Some(25)),
            ("seed 1 against 11", &|r| {
                let seed = &mut training(r).seed;
                *seed = seed.map(|seed| seed + 10);
            }),
            ("learning rate 0.001 against 0.01 (10.00 ×)", &|r| {
                training(r).learning_rate = Some(0.01);
            }),
            ("schedule constant against cosine", &|r| {
                training(r).schedule = Some("cosine".into());
            }),
            ("optimiser Adam against sgd(momentum 0.9)", &|r| {
                training(r).optimizer = Some(serde_json::json!({"name": "sgd", "momentum": 0.9}));
            }),
            ("class order none against dog, cat", &|r| {
                r.data.classes = vec!["dog".into(), "cat".into()];
            }),
            ("skipped files 0 against 1; names of skipped files e3b0 against 77aa", &|r| {
                r.data.skipped = 1;
                r.data.skipped_sha256 = word("77aa");
            }),
            ("layers Keras against PyTorch", &|r| r.net.head = word("PyTorch")),
            ("trainable parameters 10 against 5 (0.50 ×)", &|r| {
                r.net.trainable_parameters = Some(5);
            }),
            ("precision float32 against float16", &|r| r.library.precision = word("float16")),
            ("preprocessing x / 255 against not stated", &|r| r.net.preprocessing = None),
            ("weights random against ImageNet", &|r| r.net.weights = word("ImageNet")),
            ("device cpu against cuda:0", &|r| r.library.device = word("cuda:0")),
            ("threads 2 against 4 (2.00 ×)", &|r| r.library.threads = Some(4)),
            ("images ab12 against cd34", &|r| r.data.files_sha256 = word("cd34")),
            ("cache of decoded images none against memory", &|r| {
                training(r).cache = word("memory");
            }),
            ("loader threads 2 against 1 (0.50 ×)", &|r| training(r).loader_threads = Some(1)),
            ("input height and width 64, 64 against 224, 224 pixels", &|r| {
                r.net.input_size = Some([224, 224]);
            }),
        ];
        for (expected, change) in changes {
            let mut second = three("b", [11.0, 12.0, 13.0]);
            second.iter_mut().for_each(change);
            let comparison = compared(&three("a", [10.0, 10.0, 10.0]), &second);
            assert!(!comparison.is_comparable());
            assert_eq!(comparison.why_not().unwrap(), format!("not comparable: {expected}"));
        }
    }

    /// Rounds have seeds of their own, and random starting weights with them; the two runs of a round have the same.
    #[test]
    fn seeds_are_compared_within_a_round() {
        let weights = |mut records: Vec<Record>| {
            for record in &mut records {
                let seed = training(record).seed.unwrap_or_default();
                record.net.weights = Some(format!("random (He, seed {seed})"));
            }
            records
        };
        let first = weights(three("a", [10.0, 10.0, 10.0]));
        let mut second = weights(three("b", [11.0, 12.0, 13.0]));
        assert_eq!(compared(&first, &second).why_not(), None);
        second[1].net.weights = Some("random (He, seed 7)".into());
        let why = compared(&first, &second).why_not().unwrap();
        let expected = "random (He, seed 2) against random (He, seed 7)";
        assert_eq!(why, format!("not comparable: weights {expected}"));
    }

    #[test]
    fn a_difference_strikes_what_it_matters_to_and_a_kernel_is_only_told() {
        let both = |backend| {
            let mut records = three(backend, [10.0, 10.0, 10.0]);
            records.iter_mut().for_each(|record| record.phases.load = Some(1.0));
            records
        };
        let (first, mut second) = (both("a"), both("b"));
        for record in &mut second {
            training(record).optimizer = Some("SGD".into());
            record.environment.kernel = "Linux 6.12".into();
        }
        let of = |quantity| {
            let sides: (Vec<&Record>, Vec<&Record>) =
                (first.iter().collect(), second.iter().collect());
            compare(&sides.0, &sides.1, quantity).unwrap()
        };
        assert!(of(Quantity::Load).is_comparable());
        assert_eq!(of(Quantity::Load).told[0].to_string(), "kernel not stated against Linux 6.12");
        assert!(!of(Quantity::Train).is_comparable());
    }

    #[test]
    fn times_to_an_accuracy_are_compared_only_if_every_run_reaches_it() {
        let learn = |backend, seconds, accuracies: [f64; 3]| -> Vec<Record> {
            let run = |(round, accuracy)| {
                let epoch = |epoch, val_accuracy| Epoch {
                    epoch,
                    val_accuracy: Some(val_accuracy),
                    training_seconds: seconds,
                    validation_seconds: 1.0,
                    ..Epoch::default()
                };
                let epochs = vec![epoch(1, 0.5), epoch(2, accuracy)];
                Record { epochs, ..stated(backend, round, 99.0) }
            };
            accuracies.into_iter().enumerate().map(run).collect()
        };
        let of = |first: &[Record], second: &[Record]| {
            let sides: (Vec<&Record>, Vec<&Record>) =
                (first.iter().collect(), second.iter().collect());
            compare(&sides.0, &sides.1, Quantity::ToAccuracy(0.85))
        };
        let first = learn("a", 9.0, [0.9, 0.85, 0.9]);
        let found = of(&first, &learn("b", 19.0, [0.9, 0.9, 0.9])).unwrap();
        // 2 × (19 + 1) s to 2 × (9 + 1) s.
        assert_eq!((found.ratio.value, found.is_comparable()), (2.0, true));
        assert_eq!(of(&first, &learn("b", 19.0, [0.9, 0.84, 0.9])), None);
    }

    #[test]
    fn a_run_whose_conditions_changed_within_its_own_backend_strikes_the_ratio() {
        let mut second = three("b", [11.0, 12.0, 13.0]);
        second[2].library.threads = Some(1);
        let why = compared(&three("a", [10.0, 10.0, 10.0]), &second).why_not().unwrap();
        assert_eq!(why, "not comparable: threads 2 against 1 (0.50 ×)");
    }

    #[test]
    fn times_are_equivalent_if_the_whole_interval_is_near_1() {
        let first = three("a", [10.0, 10.0, 10.0]);
        let near = compared(&first, &three("b", [10.1, 10.1, 10.11]));
        assert_eq!(near.words(), "1.01 (1.01 to 1.01), equivalent within 5 %");
        let far = compared(&first, &three("b", [10.6, 10.61, 10.6]));
        assert_eq!(far.words(), "1.06 (1.06 to 1.06)");
    }

    #[test]
    fn a_figure_per_image_counts_where_only_the_numbers_of_images_differ() {
        let mut second = three("b", [11.0, 12.0, 13.0]);
        second.iter_mut().for_each(|record| record.images_seen.training = Some(400));
        let first = three("a", [10.0, 10.0, 10.0]);
        let comparison = compared(&first, &second);
        assert!(!comparison.is_comparable() && comparison.why_not_per_image().is_none());
        second.iter_mut().for_each(|record| record.library.threads = Some(1));
        let why = compared(&first, &second).why_not_per_image().unwrap();
        assert!(why.contains("threads 2 against 1"), "{why}");
    }

    #[test]
    fn failed_runs_and_warm_ups_do_not_count() {
        let mut second = three("b", [99.0, 99.0, 13.0]);
        second[0].status = Status::Failed { message: "gone".into() };
        second[1].place.as_mut().unwrap().warm_up = true;
        let comparison = compared(&three("a", [10.0, 10.0, 10.0]), &second);
        assert_eq!((comparison.ratio.value, comparison.ratio.interval), (1.3, None));
        second[2].status = Status::Interrupted;
        let first = three("a", [10.0, 10.0, 10.0]);
        let sides: (Vec<&Record>, Vec<&Record>) = (first.iter().collect(), second.iter().collect());
        assert_eq!(compare(&sides.0, &sides.1, Quantity::Train), None);
    }

    /// The report: K80, reported 3.18, per image 1.04 to 1.21; P100, reported 1.33, per image 0.43 to 0.51.
    /// By hand for the K80: (938.33 / 58,956) / (294.98 / 19,200) = 1.036, and with 9,600 validation images at a
    /// third (938.33 / 58,956) / (294.98 / 22,400) = 1.209.
    #[test]
    fn the_reports_ratios_are_reproduced_and_struck_by_the_ordinary_comparison() {
        let report = report_2019();
        for (tensorflow, pytorch, printed, per_image) in
            [(0, 1, "3.18", "1.04 to 1.21"), (2, 3, "1.33", "0.43 to 0.51")]
        {
            let (first, second) = (&report[tensorflow], &report[pytorch]);
            let comparison = compare(&[first], &[second], Quantity::Train).unwrap();
            assert_eq!(comparison.words(), printed);
            assert_eq!(comparison.per_image.as_ref().unwrap().to_string(), per_image);
            let why = comparison.why_not().unwrap();
            for named in [
                "batch 64 against 32",
                "layers Keras against PyTorch",
                "images trained on 19200 against 58956 (3.07 ×)",
                "parameters 27691841 against 117487426 (4.24 ×)",
                "preprocessing x / 255, RGB against not stated",
                "assumed: ",
                "3 × 19,652",
            ] {
                assert!(why.contains(named), "{named} is not in: {why}");
            }
        }
    }

    /// A measured record and a reported one take the same path: a copy of the report's figures with the provenance
    /// "measured" gives the same comparison.
    #[test]
    fn the_report_has_no_path_of_its_own() {
        let mut copy = report_2019();
        for record in &mut copy {
            record.provenance = crate::record::Provenance::Measured;
            record.name = "copy".into();
        }
        let report = report_2019();
        let of = |records: &[Record]| compare(&[&records[0]], &[&records[1]], Quantity::Train);
        assert_eq!(of(&copy), of(&report));
    }

    /// The report's K80 rates are 1.7 to 1.9 times the published ones; its P100 rates are below.
    #[test]
    fn the_reports_k80_rates_are_above_the_published_ceiling() {
        let faults: Vec<Option<String>> = report_2019().iter().map(Ceiling::fault).collect();
        assert!(
            faults[0].as_ref().unwrap().contains("65.1 images/s is 1.8 times the 35.4"),
            "{faults:?}"
        );
        assert!(faults[1].as_ref().unwrap().contains("62.8 images/s is 1.8 times"), "{faults:?}");
        assert_eq!((&faults[2], &faults[3]), (&None, &None));
    }
}
