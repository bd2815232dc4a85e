//! Studies: one job, several backends, each run in a process of its own.
//!
//! The records, their statistics and the comparisons are `benchbook_study`'s; here is what knows how to start
//! this library's own backends and the Python originals on the same job.

mod check;
mod launch;
mod live;
mod trace;

pub use benchbook_study::runner::Event;
pub use benchbook_study::{
    Comparison, Price, Published, Quantity, Records, RecordsLock, Reproduction, Study, append,
    compare, differences, published, report_2019,
};
pub(crate) use check::ANSWER;
pub use check::{Check, Checked, Computed, Found};
pub use live::LiveStudy;
pub(crate) use live::busy;
pub(crate) use trace::{answer, trace};

use crate::backend::Compute;
use crate::error::Error;
use crate::files::read_json;
use crate::interrupt::Interrupted;
use crate::job::Job;
use crate::record::Record;
use benchbook_study::runner;
use launch::Workers;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What to compare. In JSON only `job` is needed.
///
/// ```json
/// {
///   "name": "four ways",
///   "backends": ["libtorch", "tensorflow", "python-pytorch", "python-keras"],
///   "records": "results/four-ways.jsonl",
///   "job": { "data": "datasets/drawings", "net": { "architecture": "vgg16", "size": 64 }, "fit": { "epochs": 2 } }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyPlan {
    /// The study's name in its records. Default: `study`.
    #[serde(default = "default_name")]
    pub name: String,
    /// Ids of libraries ([`libraries`](crate::backend::libraries) lists them). Default: [`COMPARED`](crate::backend::COMPARED). One that
    /// is not there has a row that says how to get it. A program may be named with a version: `python-pytorch@1.13`.
    #[serde(default = "default_backends")]
    pub backends: Vec<String>,
    /// Rounds that count, at least 3. Default: 5; fewer are marked.
    #[serde(default = "default_repeats")]
    pub repeats: usize,
    /// Rounds of warming up. Default: 1.
    #[serde(default = "default_warm_up")]
    pub warm_up: usize,
    /// How often a run is repeated that other processes or a virtual machine's host disturbed
    /// ([`Resources::disturbance`](benchbook_study::resources::Resources::disturbance)). What is disturbed even then stays, and its ratios are
    /// struck through. Default: 2.
    #[serde(default = "default_retries")]
    pub retries: usize,
    /// The file of records. Default: `results/<name>.jsonl`.
    #[serde(default)]
    pub records: Option<PathBuf>,
    /// The backend that the others are compared with; `None` (the default) for the first with figures.
    #[serde(default)]
    pub baseline: Option<String>,
    /// How the backends are first compared in what they compute; `None` to leave it out. Default: 20
    /// steps.
    #[serde(default = "default_check")]
    pub check: Option<Check>,
    /// Seconds that one run may take. Default: as long as it takes.
    #[serde(default)]
    pub limit_seconds: Option<u64>,
    /// The validation accuracy, 0 to 1, to which the study measures the time. Default: none.
    #[serde(default)]
    pub target_accuracy: Option<f64>,
    /// What an hour of the machine costs, for example `0.60 EUR`. Default: no costs.
    #[serde(default)]
    pub price_per_hour: Option<Price>,
    /// What every backend runs. Each round adds its number, from 0, to the job's two seeds, of the starting weights and of
    /// the training, so that the rounds are different trainings; the runs of a round have the same. `build.backend` is replaced, `build.threads` is set to all cores if it is not
    /// given, and the optimiser is taken in each library's own formula. On a GPU TensorFlow can only do a
    /// `build.compute` of [`Compute::common`](crate::backend::Compute::common).
    pub job: Job,
}

fn default_name() -> String {
    "study".into()
}

fn default_backends() -> Vec<String> {
    crate::backend::COMPARED.map(String::from).into()
}

fn default_repeats() -> usize {
    benchbook_study::ADVISED_ROUNDS
}

fn default_warm_up() -> usize {
    1
}

fn default_retries() -> usize {
    2
}

fn default_check() -> Option<Check> {
    Some(Check::default())
}

impl StudyPlan {
    /// A study of a job with the defaults of everything else.
    pub fn new(name: impl Into<String>, job: Job) -> Self {
        Self {
            name: name.into(),
            backends: default_backends(),
            repeats: default_repeats(),
            warm_up: default_warm_up(),
            retries: default_retries(),
            records: None,
            baseline: None,
            check: default_check(),
            limit_seconds: None,
            target_accuracy: None,
            price_per_hour: None,
            job,
        }
    }

    /// A plan that runs the job of a published record again, with the same library and without a check: three rounds, or
    /// up to the published one. The job has paths as they were published, so [`Job::data`] and the weights' file may have
    /// to be set. `plan.run()` gives the runs for a [`Reproduction`].
    ///
    /// # Errors
    /// [`Error::Study`] for a record without a job, or with the job of another version of Benchbook.
    pub fn of_record(record: &Record) -> Result<Self, Error> {
        let wrong = |found: String| benchbook_study::Error::Setting {
            name: "job",
            expected:
                "a record with its whole job, as `benchbook bench` and `benchbook study` write it"
                    .into(),
            found,
        };
        let none = "none, as in records of cells and of earlier versions";
        let job = record.job.clone().ok_or_else(|| wrong(none.into()))?;
        let mut job: Job = serde_json::from_value(job).map_err(|error| wrong(error.to_string()))?;
        let (name, backend) = match &record.place {
            Some(place) => (place.study.clone(), place.backend.clone()),
            None => {
                // A study adds the round to the seeds: round 1, the first that counts, gets the record's.
                for seed in [&mut job.build.seed, &mut job.fit.seed] {
                    *seed = seed.wrapping_sub(1);
                }
                (record.name.clone(), job.build.backend.about().id.into())
            }
        };
        let round = record.place.as_ref().map_or(0, |place| place.round);
        // Each reproduction is a study of its own: none keeps the runs of another.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        Ok(Self {
            backends: vec![backend],
            repeats: round.max(3),
            check: None,
            records: Some("results/reproduced.jsonl".into()),
            ..Self::new(format!("{name}, reproduced {now}"), job)
        })
    }

    /// Reads a plan from a JSON file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Json`] with line and column, also for a misspelt field.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        read_json(path.as_ref(), "a study")
    }

    /// The file of records.
    pub fn records_file(&self) -> PathBuf {
        self.records.clone().unwrap_or_else(|| format!("results/{}.jsonl", self.name).into())
    }

    /// Runs what is missing, shown live in the notebook. An interrupted study goes on where it was.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Study`] for settings and the file of records, and what the check of
    /// the common start needs: [`Error::Data`], [`Error::Weights`], [`Error::Backend`]. A backend that fails is no
    /// error: it has a row.
    pub fn run(&self) -> Result<Study, Error> {
        let lock = self.lock()?;
        let mut live = LiveStudy::default();
        let checked = self.compute_alike(&mut |event| live.event(event))?;
        if let Some(checked) = &checked {
            crate::display::display(checked);
        }
        self.measure_locked(&lock, checked.as_ref(), &mut |event| live.event(event))
    }

    /// Keeps other studies away from the file of records.
    ///
    /// # Errors
    /// [`Error::Study`] if another study has it, or it cannot be made.
    pub fn lock(&self) -> Result<RecordsLock, Error> {
        Ok(RecordsLock::take(&self.records_file())?)
    }

    /// Compares what the libraries compute from the same start; `None` if the plan leaves it out. Whatever the job asks
    /// for, this is done in 64-bit floats on the processor, where rounding hides no wrong formula.
    ///
    /// # Errors
    /// As [`StudyPlan::run`].
    pub fn compute_alike(
        &self,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<Option<Checked>, Error> {
        let Some(check) = &self.check else { return Ok(None) };
        let mut job = self.job.clone();
        job.build.compute = Compute::exact();
        job.build.device = Some(tch::Device::Cpu);
        let mut workers = Workers::new(&job)?;
        check::run(*check, &self.backends, &mut workers, observer).map(Some)
    }

    /// Runs what is missing for an observer of one's own. What `checked` found of a backend holds for all of its
    /// runs of this job, those of earlier calls too.
    ///
    /// # Errors
    /// As [`StudyPlan::run`].
    pub fn measure(
        &self,
        checked: Option<&Checked>,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<Study, Error> {
        self.measure_locked(&self.lock()?, checked, observer)
    }

    /// Does what [`StudyPlan::measure`] does for a caller that has taken the lock before.
    ///
    /// # Errors
    /// As [`StudyPlan::run`].
    pub fn measure_locked(
        &self,
        lock: &RecordsLock,
        checked: Option<&Checked>,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<Study, Error> {
        if let Some(baseline) = self.baseline.as_ref().filter(|name| !self.backends.contains(name))
        {
            return Err(benchbook_study::Error::Setting {
                name: "baseline",
                expected: format!("one of {}", self.backends.join(", ")),
                found: baseline.clone(),
            }
            .into());
        }
        if let Some(target) = self.target_accuracy
            && !(target > 0.0 && target <= 1.0 && self.job.fit.validate)
        {
            return Err(benchbook_study::Error::Setting {
                name: "target_accuracy",
                expected: "above 0 and at most 1, in a job with `fit.validate`".into(),
                found: format!("{target} with `fit.validate` {}", self.job.fit.validate),
            }
            .into());
        }
        let plan = runner::Plan {
            study: self.name.clone(),
            job: self.job.digest()?,
            backends: self.backends.clone(),
            repeats: self.repeats,
            warm_up: self.warm_up,
            records: self.records_file(),
            retries: self.retries,
            limit: self.limit_seconds.map(Duration::from_secs),
            computes: checked.map(Checked::found).unwrap_or_default(),
            versions: checked.map(|checked| checked.versions.clone()).unwrap_or_default(),
        };
        let mut workers = Workers::new(&self.job)?;
        if let Some(checked) = checked {
            workers.hold_to(checked.common());
        }
        let stop = crate::interrupt::requested;
        let records = match runner::run_locked(&plan, lock, &mut workers, observer, &stop) {
            Err(benchbook_study::Error::Interrupted) => {
                crate::interrupt::check()?;
                return Err(Error::Interrupted(Interrupted));
            }
            other => other?,
        };
        Ok(self.shown(Study::of(records)))
    }

    /// A study with the plan's baseline, target and price.
    fn shown(&self, mut study: Study) -> Study {
        if let Some(baseline) = &self.baseline {
            study = study.baseline(baseline);
        }
        if let Some(target) = self.target_accuracy {
            study = study.target_accuracy(target);
        }
        match &self.price_per_hour {
            Some(price) => study.price_per_hour(price.clone()),
            None => study,
        }
    }
}
