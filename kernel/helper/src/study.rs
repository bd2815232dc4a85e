//! Studies: run one job on several backends, each run in its own process.
//!
//! `benchbook_study` has the records, their statistics and the comparisons; this module starts the backends and the
//! Python programs on the same job.

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
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The settings of a study. JSON needs only `job`.
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
    /// Ids of libraries, as in [`libraries`](crate::backend::libraries); a program's id may have a version:
    /// `python-pytorch@1.13`. The row of a missing library says how to install it. Default:
    /// [`COMPARED`](crate::backend::COMPARED).
    #[serde(default = "default_backends")]
    pub backends: Vec<String>,
    /// Measured rounds, at least 3. Default: 5; fewer are marked.
    #[serde(default = "default_repeats")]
    pub repeats: usize,
    /// Rounds to warm up. Default: 1.
    #[serde(default = "default_warm_up")]
    pub warm_up: usize,
    /// The only round to run after the warm-up, for job arrays: from `warm_up` to `warm_up + repeats - 1`. Default: all
    /// rounds.
    #[serde(default)]
    pub round: Option<usize>,
    /// How often a run is repeated that other processes or a virtual machine's host disturbed
    /// ([`Resources::disturbance`](benchbook_study::resources::Resources::disturbance)). A run that is still disturbed
    /// stays, with its ratios struck through. Default: 2.
    #[serde(default = "default_retries")]
    pub retries: usize,
    /// The file of records. Default: `results/<name>.jsonl`.
    #[serde(default)]
    pub records: Option<PathBuf>,
    /// The backend that the others are compared with. Default: `None`, the first with figures.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The check that the backends compute the same, before the first run; `None` skips the check. Default: 20 steps.
    #[serde(default = "default_check")]
    pub check: Option<Check>,
    /// Time limit of one run in seconds. Default: none.
    #[serde(default)]
    pub limit_seconds: Option<u64>,
    /// The folder for a profile of ten more training steps of each run, `BACKEND.json` for `ui.perfetto.dev`, which LibTorch
    /// and PyTorch write after the phases. Default: none.
    #[serde(default)]
    pub profiles: Option<PathBuf>,
    /// The validation accuracy, 0 to 1, for which the study gives the time to reach it. Default: none.
    #[serde(default)]
    pub target_accuracy: Option<f64>,
    /// The price of the machine per hour, for example `0.60 EUR`. Default: no costs.
    #[serde(default)]
    pub price_per_hour: Option<Price>,
    /// The job of every backend. Each round adds its number, from 0, to the job's two seeds, of the starting weights and of
    /// the training; the runs of a round have equal seeds. The study replaces `build.backend`, sets `build.threads` to all
    /// cores by default, and takes the optimiser in each library's own formula. On a GPU TensorFlow needs a
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
            round: None,
            retries: default_retries(),
            records: None,
            baseline: None,
            check: default_check(),
            limit_seconds: None,
            profiles: None,
            target_accuracy: None,
            price_per_hour: None,
            job,
        }
    }

    /// A plan that runs the job of a published record again, with the same library and without a check: three rounds, or
    /// up to the published one. The job has the published paths, so [`Job::data`] and the weights file may have to be set.
    /// `plan.run()` gives the runs for a [`Reproduction`].
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
                // A study adds the round to the seeds, so round 1, the first measured one, has the record's seeds.
                for seed in [&mut job.build.seed, &mut job.fit.seed] {
                    *seed = seed.wrapping_sub(1);
                }
                (record.name.clone(), job.build.backend.about().id.into())
            }
        };
        let round = record.place.as_ref().map_or(0, |place| place.round);
        // A unique name, so that a reproduction keeps no runs of an earlier one.
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

    /// Runs the missing runs, shown live in the notebook. Resumes an interrupted study.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Study`] for settings and the file of records; [`Error::Data`],
    /// [`Error::Weights`] and [`Error::Backend`] for the job. A failed backend is not an error, but a row.
    pub fn run(&self) -> Result<Study, Error> {
        let lock = self.lock()?;
        let mut live = LiveStudy::default();
        let checked = self.compute_alike(&mut |event| live.event(event))?;
        if let Some(checked) = &checked {
            crate::display::display(checked);
        }
        self.measure_locked(&lock, checked.as_ref(), &mut |event| live.event(event))
    }

    /// Locks the file of records against other studies.
    ///
    /// # Errors
    /// [`Error::Study`] if another study holds the lock, or the file cannot be created.
    pub fn lock(&self) -> Result<RecordsLock, Error> {
        Ok(RecordsLock::take(&self.records_file())?)
    }

    /// Compares what the libraries compute from the same start; `None` without [`StudyPlan::check`]. Always in 64-bit floats
    /// on the CPU, where rounding does not hide a wrong formula.
    ///
    /// # Errors
    /// As [`StudyPlan::run`].
    pub fn compute_alike(
        &self,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<Option<Checked>, Error> {
        let Some(check) = &self.check else { return Ok(None) };
        // Refused here, before minutes of computation.
        self.runs()?.validate()?;
        let mut job = self.job.clone();
        job.build.compute = Compute::exact();
        job.build.device = Some(tch::Device::Cpu);
        // Keras and TensorFlow hold the learning rate in 32 bits, so every library gets one that 32 bits hold.
        job.fit.learning_rate = Some(f64::from(job.fit.rate() as f32));
        let mut workers = Workers::new(&job)?;
        // DistributedDataParallel needs an image for each rank.
        let check = Check { batch_size: check.batch_size.max(job.build.ranks), ..*check };
        check::run(check, &self.job.build, &self.backends, &mut workers, observer).map(Some)
    }

    /// Runs the missing runs and sends events to `observer`. The result of `checked` for a backend applies to all runs of
    /// this job, with those of earlier calls.
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

    /// As [`StudyPlan::measure`], with a lock that the caller holds.
    ///
    /// # Errors
    /// As [`StudyPlan::run`].
    pub fn measure_locked(
        &self,
        lock: &RecordsLock,
        checked: Option<&Checked>,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<Study, Error> {
        let plan = runner::Plan {
            computes: checked.map(Checked::found).unwrap_or_default(),
            versions: checked.map(|checked| checked.versions.clone()).unwrap_or_default(),
            ..self.runs()?
        };
        let mut workers = Workers::new(&self.job)?;
        if let Some(checked) = checked {
            workers.hold_to(checked.common());
        }
        if let Some(folder) = &self.profiles {
            std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
            workers.write_profiles(folder);
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

    /// The measured rounds that no machine in the file of records has completed.
    ///
    /// # Errors
    /// [`Error::Study`] for settings and the file of records.
    pub fn missing_rounds(&self) -> Result<Vec<usize>, Error> {
        Ok(runner::missing_rounds(&self.runs()?)?)
    }

    /// The settings of the runner, without the results of a check. Refuses a baseline or target accuracy that does not fit the plan.
    fn runs(&self) -> Result<runner::Plan, Error> {
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
        Ok(runner::Plan {
            study: self.name.clone(),
            job: self.job.digest()?,
            backends: self.backends.clone(),
            repeats: self.repeats,
            warm_up: self.warm_up,
            round: self.round,
            records: self.records_file(),
            retries: self.retries,
            limit: self.limit_seconds.map(Duration::from_secs),
            computes: BTreeMap::new(),
            versions: BTreeMap::new(),
        })
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
