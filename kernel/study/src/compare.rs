//! Two backends side by side: a ratio of like with like, or what makes them unlike.

use crate::ceiling::Ceiling;
use crate::record::{Environment, Record};
use crate::statistics::Ratio;
use std::fmt;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Seconds of the phase `load`.
    Load,
    /// Seconds of the phase `build`.
    Build,
    /// Seconds of the phase `train`.
    Train,
    /// Seconds of the phase `test`.
    Test,
}

impl Quantity {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Load, Self::Build, Self::Train, Self::Test];

    /// The phase's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Build => "build",
            Self::Train => "train",
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
        }
    }
}

/// A condition in which two runs differ, or that somebody did not state.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The condition.
    pub what: &'static str,
    /// The first run's.
    pub first: Option<String>,
    /// The second run's.
    pub second: Option<String>,
    /// The second over the first, for numbers.
    pub factor: Option<f64>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.first, &self.second) {
            (None, None) => return write!(f, "{} not stated by either", self.what),
            (first, second) => {
                let word = |side: &Option<String>| side.clone().unwrap_or("not stated".into());
                write!(f, "{} {} against {}", self.what, word(first), word(second))?;
            }
        }
        match self.factor {
            Some(factor) if factor.is_finite() && factor > 0.0 => write!(f, " ({factor:.2} ×)"),
            _ => Ok(()),
        }
    }
}

/// The conditions that a figure per image allows for.
const IMAGES: [&str; 3] = ["pictures trained on", "pictures validated on", "pictures tested on"];

/// Everything in which two runs differ that changes how long they take. Empty means that their times
/// may be compared. What one or both do not state counts as a difference.
pub fn differences(first: &Record, second: &Record) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut words = |what, of: &dyn Fn(&Record) -> Option<String>| {
        let (first, second) = (of(first), of(second));
        if first.is_none() || first != second {
            found.push(Difference { what, first, second, factor: None });
        }
    };
    words("net", &|r| Some(r.net.name.clone()).filter(|name| !name.is_empty()));
    let graph = |r: &Record| r.net.graph_sha256.as_ref().map(|sum| sum.chars().take(12).collect());
    words("layers", &|r| graph(r).or(r.net.head.as_ref().map(|head| format!("{head} head"))));
    words("learning part", &|r| r.net.base.clone());
    words("dropout", &|r| {
        let of_graph = || graph(r).map(|_: String| "as in its layers".to_owned());
        r.net.dropout.map(|rate| rate.to_string()).or_else(of_graph)
    });
    words("input", &|r| r.net.input_size.map(|[height, width]| format!("{height} × {width}")));
    words("preprocessing", &|r| r.net.preprocessing.clone());
    // The same file is the same weights, whatever it is called.
    words("weights", &|r| r.net.weights_sha256.clone().or(r.net.weights.clone()));
    // Likewise the pictures.
    words("pictures", &|r| {
        let name = Some(r.data.name.clone()).filter(|name| !name.is_empty());
        r.data.files_sha256.as_ref().map(|sum| sum.chars().take(12).collect()).or(name)
    });
    words("augmentation", &|r| r.training.as_ref()?.augmentation.clone());
    words("optimiser", &|r| r.training.as_ref()?.optimizer.clone());
    words("class weights", &|r| r.training.as_ref()?.class_weights.clone());
    words("cached features", &|r| {
        Some(if r.training.as_ref()?.cache_features? { "yes" } else { "no" }.into())
    });
    words("cache of decoded pictures", &|r| r.training.as_ref()?.cache.clone());
    words("precision", &|r| r.library.precision.clone());
    words("settings", &|r| {
        let stated = !r.library.settings.is_empty();
        Some(if stated { r.library.settings.join(", ") } else { "the library's own".into() })
    });
    let of_malloc = |name: &str| {
        name.starts_with("MALLOC_") || name == "GLIBC_TUNABLES" || name == "LD_PRELOAD"
    };
    let variables = |r: &Record, malloc: bool| {
        let set = r.environment.variables.iter();
        let set = set.filter(|(name, _)| of_malloc(name) == malloc);
        set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<String>>()
    };
    words("allocator", &|r| {
        let set = variables(r, true);
        Some(if set.is_empty() { "the system's own".into() } else { set.join(", ") })
    });
    let others = [first, second].map(|r| variables(r, false));
    words("environment", &|r| {
        let here = variables(r, false);
        let only = here.iter().filter(|set| !others.iter().all(|side| side.contains(set)));
        let only: Vec<&str> = only.map(String::as_str).collect();
        Some(if only.is_empty() { "the rest unset".into() } else { only.join(", ") })
    });
    words("cores", &|r| {
        let cores = r.environment.affinity.as_ref()?;
        Some(cores.iter().map(usize::to_string).collect::<Vec<_>>().join(" "))
    });
    words("device", &|r| {
        let parts: Vec<String> =
            [&r.library.device, &r.library.device_name].into_iter().flatten().cloned().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    });
    let mut counts = |what, of: &dyn Fn(&Record) -> Option<usize>| {
        let (a, b) = (of(first), of(second));
        if a.is_none() || a != b {
            let factor = a.zip(b).map(|(a, b)| b as f64 / a as f64);
            let text = |count: Option<usize>| count.map(|count| count.to_string());
            found.push(Difference { what, first: text(a), second: text(b), factor });
        }
    };
    counts(IMAGES[0], &|r| r.images_seen.training);
    counts(IMAGES[1], &|r| r.images_seen.validation);
    counts(IMAGES[2], &|r| r.images_seen.test);
    counts("batch", &|r| r.training.as_ref()?.batch_size);
    counts("learning parameters", &|r| r.net.trainable_parameters);
    counts("parameters", &|r| r.net.parameters);
    counts("threads", &|r| r.library.threads);
    counts("threads of the loader", &|r| r.training.as_ref()?.loader_threads);
    found
}

/// Times per picture, as a ratio of the second to the first.
#[derive(Clone, Debug, PartialEq)]
pub struct PerImage {
    /// The ratio, smallest under the assumption in `basis`.
    pub low: Ratio,
    /// Largest under it; the same where nothing is assumed.
    pub high: Ratio,
    /// How it was computed.
    pub basis: &'static str,
}

/// A ratio with its 95% interval, or from the smallest to the largest where an assumption stands between; their
/// intervals then are `basis`' matter and not shown.
impl fmt::Display for PerImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if format!("{:.2}", self.low.value) == format!("{:.2}", self.high.value) {
            f.write_str(&self.low.with_interval())
        } else {
            write!(f, "{:.2} to {:.2}", self.low.value, self.high.value)
        }
    }
}

/// What a validation picture costs, in training pictures, where a record has only the time of both
/// together: between nothing and a third, which is the forward pass without the backward pass of twice
/// its cost.
const VALIDATION_COST: [f64; 2] = [0.0, 1.0 / 3.0];

impl PerImage {
    const STEPS: &str = "seconds of the training steps, and of features computed before them, over the pictures trained on";
    const PHASES: &str = "seconds of the phase over the pictures trained on, a validation picture counted as 0 to 1/3 of one";
    const TEST: &str = "seconds of the phase over the pictures tested on";

    fn of(first: &[&Record], second: &[&Record], quantity: Quantity) -> Option<Self> {
        let ratio = |of: &dyn Fn(&Record) -> Option<f64>| {
            // A side that cannot tell for one of its runs cannot tell.
            let all = |side: &[&Record]| side.iter().all(|record| of(record).is_some());
            if all(first) && all(second) { ratio(first, second, of) } else { None }
        };
        match quantity {
            Quantity::Load | Quantity::Build => None,
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
                        let pictures = nonzero(r.images_seen.training?)? + cost * validated;
                        Some(r.phases.train? / pictures)
                    })
                };
                let [a, b] = [at(VALIDATION_COST[0])?, at(VALIDATION_COST[1])?];
                let (low, high) = if a.value <= b.value { (a, b) } else { (b, a) };
                Some(Self { low, high, basis: Self::PHASES })
            }
        }
    }
}

/// Whether two runs stood side by side in time: in the same round of one call of one study of one job, on the same
/// cores of one machine, with the same environment variables and revision.
fn side_by_side(first: &Record, second: &Record) -> bool {
    fn of(record: &Record) -> Option<impl PartialEq> {
        let place = record.place.as_ref()?;
        let Environment { host, affinity, variables, .. } = &record.environment;
        let place = (&place.study, &place.job, &place.call, place.round);
        Some((place, host, affinity, variables, &record.revision))
    }
    of(first).is_some() && of(first) == of(second)
}

/// The second side's times over the first's: of the pairs that stood [`side_by_side`], or of the two sides' medians
/// where there are no pairs. Runs without the time are left out; `None` if a side has no other.
fn ratio<'a>(
    first: &[&'a Record],
    second: &[&'a Record],
    of: &dyn Fn(&Record) -> Option<f64>,
) -> Option<Ratio> {
    let timed = |side: &[&'a Record]| -> Vec<(&'a Record, f64)> {
        side.iter().filter_map(|record| Some((*record, of(record)?))).collect()
    };
    let (left, right) = (timed(first), timed(second));
    let mut rest = right.clone();
    let pairs: Vec<(f64, f64)> = left
        .iter()
        .filter_map(|(run, a)| {
            let partner = rest.iter().position(|(other, _)| side_by_side(run, other))?;
            Some((*a, rest.swap_remove(partner).1))
        })
        .collect();
    if !pairs.is_empty() {
        return Ratio::of_pairs(&pairs, SEED);
    }
    let times = |side: Vec<(&Record, f64)>| -> Vec<f64> {
        side.into_iter().map(|(_, time)| time).collect()
    };
    Ratio::of_groups(&times(left), &times(right), SEED)
}

fn nonzero(count: usize) -> Option<f64> {
    (count > 0).then_some(count as f64)
}

/// What can be said of two backends' times.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What was compared.
    pub quantity: Quantity,
    /// The second's time over the first's.
    pub ratio: Ratio,
    /// Why the ratio does not count; empty where it does.
    pub differences: Vec<Difference>,
    /// Why a side's times do not count: impossible clocks, rates above what was ever published, disturbed runs.
    pub faults: Vec<String>,
    /// The same per picture.
    pub per_image: Option<PerImage>,
    /// What one of the sides takes for granted.
    pub assumptions: Vec<String>,
}

impl Comparison {
    /// Whether the ratio is one of like with like, of figures that can be believed.
    pub fn is_comparable(&self) -> bool {
        self.differences.is_empty() && self.faults.is_empty()
    }

    /// The ratio in words, with its interval and what that shows: that the times are equivalent, or that the difference
    /// is not significant.
    pub fn words(&self) -> String {
        let words = self.ratio.with_interval();
        match (self.ratio.is_equivalent(), self.ratio.shows_difference()) {
            (Some(true), _) => words + ", equivalent within 5 %",
            (_, Some(false)) => words + ", not significant",
            _ => words,
        }
    }

    /// Why the figure per image does not count; `None` where it does, that is where the number of images is the only
    /// difference.
    pub fn why_not_per_image(&self) -> Option<String> {
        let of_images = |difference: &Difference| IMAGES.contains(&difference.what);
        let counts = self.faults.is_empty() && self.differences.iter().all(of_images);
        if counts { None } else { self.why_not() }
    }

    /// Why the ratio does not count, as one sentence; `None` where it does.
    pub fn why_not(&self) -> Option<String> {
        if self.is_comparable() {
            return None;
        }
        let mut parts: Vec<String> = Vec::new();
        if !self.differences.is_empty() {
            let all: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
            parts.push(format!("not comparable: {}", all.join("; ")));
        }
        parts.extend(self.faults.iter().cloned());
        if !self.assumptions.is_empty() {
            parts.push(format!("assumed: {}", self.assumptions.join("; ")));
        }
        Some(parts.join(". "))
    }
}

/// Compares the runs of two backends: the second's time over the first's. Runs of the same round of one
/// study are pairs. Runs that did not end well and rounds of warming up do not count; `None` if either
/// side then has no figure.
pub fn compare<'a>(
    first: &[&'a Record],
    second: &[&'a Record],
    quantity: Quantity,
) -> Option<Comparison> {
    // The conditions of a backend are the same in all of its runs but for the places; any two will do, and
    // those that differ among themselves show up against the other side.
    let counting = |side: &[&'a Record]| -> Vec<&'a Record> {
        side.iter().copied().filter(|record| counts_in(record, quantity)).collect()
    };
    let (first, second) = (counting(first), counting(second));
    let (one, other) = (*first.first()?, *second.first()?);
    let ratio = ratio(&first, &second, &|record| quantity.seconds(record))?;
    let mut all = differences(one, other);
    for record in first.iter().chain(&second) {
        let own = if first.iter().any(|r| std::ptr::eq(*r, *record)) { one } else { other };
        for difference in differences(own, record) {
            let known = all.iter().any(|known| known.what == difference.what);
            if !known && difference.first != difference.second {
                all.push(difference);
            }
        }
    }
    let (mut faults, mut disturbed) = (Vec::new(), Vec::new());
    let mut assumptions = Vec::new();
    for record in first.iter().chain(&second) {
        let found = record.clock_faults().into_iter().chain(Ceiling::fault(record));
        let found = found.map(|fault| format!("not believed: {}: {fault}", record.backend()));
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
        differences: all,
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

/// What disturbed the compared phase of a run.
fn disturbance(record: &Record, quantity: Quantity) -> Option<String> {
    record.resources.get(quantity.name())?.disturbance()
}

/// The seed of the resamples: any will do, as long as it stays.
const SEED: u64 = 2019;

/// Whether a run counts in a comparison: it ended well, its backend computes what the others do as far as anybody
/// checked, and its round was no warm-up.
pub fn counts(record: &Record) -> bool {
    record.reason().is_none() && !record.place.as_ref().is_some_and(|place| place.warm_up)
}

fn counts_in(record: &Record, quantity: Quantity) -> bool {
    counts(record) && quantity.seconds(record).is_some()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{
        Computes, Data, ImagesSeen, Library, Net, Phases, Place, Status, Training,
    };
    use crate::report::report_2019;

    /// A record that states everything, in round `round` of a study.
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
            environment: Environment { affinity: Some(vec![0, 1]), ..Environment::default() },
            library: Library {
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
                optimizer: word("Adam"),
                augmentation: word("none"),
                cache_features: Some(false),
                cache: word("none"),
                loader_threads: Some(2),
                class_weights: word("none"),
                ..Training::default()
            }),
            data: Data { name: "photos".into(), files_sha256: word("ab12"), ..Data::default() },
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

    /// Each condition of a fair comparison, changed alone, must strike the ratio and be named.
    #[test]
    fn each_condition_strikes_the_ratio_and_is_named_with_both_values() {
        let word = |text: &str| Some(text.to_owned());
        type Change<'a> = (&'a str, &'a dyn Fn(&mut Record));
        let changes: [Change<'_>; 16] = [
            ("cores 0 1 against 0", &|r| r.environment.affinity = Some(vec![0])),
            ("environment the rest unset against ONEDNN_MAX_CPU_ISA=AVX2", &|r| {
                r.environment.variables = vec![("ONEDNN_MAX_CPU_ISA".into(), "AVX2".into())];
            }),
            ("pictures trained on 800 against 400 (0.50 ×)", &|r| {
                r.images_seen.training = Some(400);
            }),
            ("pictures validated on 200 against 0", &|r| r.images_seen.validation = Some(0)),
            ("batch 32 against 64 (2.00 ×)", &|r| {
                r.training.as_mut().unwrap().batch_size = Some(64);
            }),
            ("layers Keras head against PyTorch head", &|r| r.net.head = word("PyTorch")),
            ("learning parameters 10 against 5 (0.50 ×)", &|r| {
                r.net.trainable_parameters = Some(5);
            }),
            ("precision float32 against float16", &|r| r.library.precision = word("float16")),
            ("preprocessing x / 255 against not stated", &|r| r.net.preprocessing = None),
            ("weights random against ImageNet", &|r| r.net.weights = word("ImageNet")),
            ("device cpu against cuda:0", &|r| r.library.device = word("cuda:0")),
            ("threads 2 against 4 (2.00 ×)", &|r| r.library.threads = Some(4)),
            ("pictures ab12 against cd34", &|r| r.data.files_sha256 = word("cd34")),
            ("cache of decoded pictures none against memory", &|r| {
                r.training.as_mut().unwrap().cache = word("memory");
            }),
            ("threads of the loader 2 against 1 (0.50 ×)", &|r| {
                r.training.as_mut().unwrap().loader_threads = Some(1);
            }),
            ("input 64 × 64 against 224 × 224", &|r| r.net.input_size = Some([224, 224])),
        ];
        for (expected, change) in changes {
            let mut second = three("b", [11.0, 12.0, 13.0]);
            second.iter_mut().for_each(change);
            let comparison = compared(&three("a", [10.0, 10.0, 10.0]), &second);
            assert!(!comparison.is_comparable());
            assert_eq!(comparison.why_not().unwrap(), format!("not comparable: {expected}"));
        }
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

    /// The report: K80, reported 3.18, per picture 1.04 to 1.21; P100, reported 1.33, per picture 0.43 to 0.51.
    /// By hand for the K80: (938.33 / 58,956) / (294.98 / 19,200) = 1.036, and with 9,600 validation pictures at a
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
                "layers Keras head against PyTorch head",
                "pictures trained on 19200 against 58956 (3.07 ×)",
                "parameters 27691841 against 117487426 (4.24 ×)",
                "preprocessing x / 255, RGB against not stated",
                "assumed: ",
                "3 × 19,652",
            ] {
                assert!(why.contains(named), "{named} is not in: {why}");
            }
        }
    }

    /// A record that somebody measured and one from the report go the same way: a copy of the report's
    /// figures that says "measured" is treated alike.
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

    /// The report: both K80 rates are 1.7 to 1.9 times over what was published; the P100's are below.
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
