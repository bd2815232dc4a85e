//! Executes the runs of a study, each in its own process, with alternating backends.
//!
//! A process trains and writes a [`Record`] to a file. Its standard output is shown while it runs. A line `@phase NAME`
//! begins a phase, and `@phase end` ends it, so that memory, processor time and energy are assigned to phases.

mod child;

use crate::error::Error;
use crate::record::{Computes, Place, Record, SCHEMA, Status};
use crate::records::{Records, RecordsLock, append};
use crate::resources::{OTHERS_LIMIT, busy_cores};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The prefix of a line that begins or ends a phase.
pub const PHASE: &str = "@phase ";
/// The phase after the timed ones, for a profile and the answer to the check's question.
pub const CHECK: &str = "check";
/// The phase of [`Record::step_seconds`], in the middle of [`CHECK`].
pub const STEPS: &str = "steps";

/// The plan of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The study's name in the records.
    pub study: String,
    /// A digest of the job, equal for equal jobs. Another job under the same name is an error.
    pub job: String,
    /// The backends, by the launcher's ids.
    pub backends: Vec<String>,
    /// Number of rounds that count, at least 3.
    pub repeats: usize,
    /// Number of warm-up rounds before them, which do not count.
    pub warm_up: usize,
    /// The only round to run, from 0, after the warm-up rounds; `None` for all. A job array runs each round as a
    /// separate process.
    pub round: Option<usize>,
    /// The file to which records are appended. Runs that it already contains are not repeated.
    pub records: PathBuf,
    /// How often a disturbed run is repeated. If the last attempt is disturbed, the run's ratios do not count.
    pub retries: usize,
    /// The longest duration of a run; `None` for no limit.
    pub limit: Option<Duration>,
    /// The agreement of the backends. It applies to the runs of earlier calls, too; a changed agreement is appended as a
    /// record with [`Status::Checked`].
    pub computes: BTreeMap<String, Computes>,
    /// The known versions of the backends' libraries. Runs of other versions are repeated.
    pub versions: BTreeMap<String, String>,
}

/// One run, ready to start.
pub struct Launch {
    /// The process. It gets its own process group and no standard input.
    pub command: Command,
    /// The file to which the process writes its record.
    pub record: PathBuf,
}

/// The error of preparing a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The backend is not installed, or does not support the job. The message says what to do.
    Absent(String),
    /// Preparing the run failed, for example on a full disk. The next round may succeed.
    Failed(String),
}

impl Refusal {
    /// [`Refusal::Absent`] with the message of an error.
    pub fn absent(error: impl std::fmt::Display) -> Self {
        Self::Absent(error.to_string())
    }

    /// [`Refusal::Failed`] with the message of an error.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Absent(message) | Self::Failed(message)) = self;
        f.write_str(message)
    }
}

/// Starts backends.
pub trait Launcher {
    /// Begins a round. All runs of a round have the same seed; each round has a different one.
    fn begin_round(&mut self, round: usize);

    /// The requested conditions of a run, and the machine. A run that writes no record is recorded with these.
    fn asked(&mut self, backend: &str, study: &str) -> Record;

    /// Prepares a run of `backend` for a study.
    ///
    /// # Errors
    /// [`Refusal`].
    fn launch(&mut self, backend: &str, study: &str) -> Result<Launch, Refusal>;

    /// Checks what a finished run computed, from the files that it wrote beside its record, and completes the record.
    /// Default: no check.
    fn audit(&mut self, _backend: &str, _record: &mut Record) -> Option<Computes> {
        None
    }
}

/// An event of a study.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A run begins.
    Begin {
        /// The backend.
        backend: String,
        /// The run's number, from 1.
        run: usize,
        /// Number of all runs, including those of earlier calls.
        runs: usize,
        /// Whether the run is a warm-up.
        warm_up: bool,
    },
    /// The process has printed a line.
    Line {
        /// The backend.
        backend: String,
        /// The line.
        text: String,
        /// Whether the next line replaces this one.
        passing: bool,
    },
    /// A phase begins.
    Phase {
        /// The backend.
        backend: String,
        /// For example `train`.
        phase: String,
    },
    /// Other processes use the machine before the first run.
    Busy {
        /// Number of busy cores.
        cores: f64,
    },
    /// A run has ended, and its record has been appended.
    End(Box<Record>),
    /// A disturbed run is repeated.
    Repeat {
        /// The backend.
        backend: String,
        /// The disturbance.
        why: String,
    },
    /// The file already has this run from an earlier call.
    Kept {
        /// The backend.
        backend: String,
        /// The run's number, from 1.
        run: usize,
    },
}

/// Executes the missing runs of a study and returns all records of its file. In each round every backend runs once. Odd
/// rounds go backwards, so that drift affects all backends alike. A backend that fails is tried again in the next round;
/// one that is not available has a single record.
///
/// `stop` is called ten times per second. When it returns true, the running process is killed and recorded as interrupted,
/// and the same call later resumes the study. A running process also ends with the calling thread, for example when this
/// process is killed.
///
/// # Errors
/// [`Error::Interrupted`], [`Error::Setting`], [`Error::InUse`] while another study writes to the file of records, and
/// [`Error::File`] for that file.
pub fn run(
    plan: &Plan,
    launcher: &mut dyn Launcher,
    observer: &mut dyn FnMut(&Event),
    stop: &dyn Fn() -> bool,
) -> Result<Records, Error> {
    plan.validate()?;
    let lock = RecordsLock::take(&plan.records)?;
    run_locked(plan, &lock, launcher, observer, stop)
}

/// As [`run`], for a caller that has locked the file of records.
///
/// # Errors
/// As [`run`].
pub fn run_locked(
    plan: &Plan,
    _lock: &RecordsLock,
    launcher: &mut dyn Launcher,
    observer: &mut dyn FnMut(&Event),
    stop: &dyn Fn() -> bool,
) -> Result<Records, Error> {
    plan.validate()?;
    let earlier =
        if plan.records.exists() { Records::read(&plan.records)? } else { Records::default() };
    refuse_other_jobs(plan, &earlier)?;
    let host = launcher.asked(&plan.backends[0], &plan.study).environment.host;
    let mut done: BTreeSet<(String, usize)> = earlier
        .records
        .iter()
        .filter(|record| tells(record, plan, host.as_deref()))
        .filter_map(|record| record.place.as_ref())
        .map(|place| (place.backend.clone(), place.round))
        .collect();
    for backend in &plan.backends {
        let Some(computes) = plan.computes.get(backend) else { continue };
        let of_backend = |place: &&Place| place.study == plan.study && place.backend == *backend;
        let mut rows = earlier.records.iter().rev();
        let last = rows.find(|record| record.place.as_ref().filter(of_backend).is_some());
        // Records of this call contain the agreement.
        if let Some(last) =
            last.filter(|last| !last.computes.as_ref().is_some_and(|known| known.is(computes)))
        {
            let mut news = Record {
                place: last.place.clone(),
                status: Status::Checked,
                computes: Some(computes.clone()),
                ..begun(launcher.asked(backend, &plan.study))
            };
            news.library.version = plan.versions.get(backend).cloned();
            append(&plan.records, &news)?;
        }
    }
    let rounds = plan.warm_up + plan.repeats;
    let runs = rounds * plan.backends.len();
    let call = format!("{}-{}", begun(Record::default()).started, std::process::id());
    let mut absent = BTreeSet::new();
    let mut asked_whether_busy = false;
    let of_this_call =
        |round: &usize| *round < plan.warm_up || plan.round.is_none_or(|only| only == *round);
    for round in (0..rounds).filter(of_this_call) {
        launcher.begin_round(round);
        let mut backends = plan.backends.clone();
        if round % 2 == 1 {
            backends.reverse();
        }
        for (place, backend) in backends.into_iter().enumerate() {
            let number = round * plan.backends.len() + place + 1;
            if absent.contains(&backend) {
                continue;
            }
            if !done.insert((backend.clone(), round)) {
                observer(&Event::Kept { backend, run: number });
                continue;
            }
            if !std::mem::replace(&mut asked_whether_busy, true)
                && let Some(cores) = busy_cores().filter(|cores| *cores > OTHERS_LIMIT)
            {
                observer(&Event::Busy { cores });
            }
            let warm_up = round < plan.warm_up;
            observer(&Event::Begin { backend: backend.clone(), run: number, runs, warm_up });
            for attempt in 0..=plan.retries {
                let place = Place {
                    study: plan.study.clone(),
                    backend: backend.clone(),
                    round,
                    job: plan.job.clone(),
                    warm_up,
                    call: call.clone(),
                    attempt,
                };
                let asked = launcher.asked(&backend, &plan.study);
                let record = match launcher.launch(&backend, &plan.study) {
                    Ok(launch) => one(launch, asked, place, plan, observer, stop),
                    Err(Refusal::Failed(message)) => {
                        let status = Status::Failed { message };
                        Record { place: Some(place), status, ..begun(asked) }
                    }
                    Err(Refusal::Absent(message)) => {
                        absent.insert(backend.clone());
                        let status = Status::Absent { message };
                        if has_row(&earlier, &place, &status) {
                            observer(&Event::Kept { backend, run: number });
                            break;
                        }
                        Record { place: Some(place), status, ..begun(asked) }
                    }
                };
                let mut record = record;
                if record.status == Status::Ok {
                    record.audit = launcher.audit(&backend, &mut record);
                }
                record.computes = plan.computes.get(&backend).cloned();
                append(&plan.records, &record)?;
                let (status, why) = (record.status.clone(), record.disturbances().join("; "));
                observer(&Event::End(Box::new(record)));
                if status == Status::Interrupted {
                    return Err(Error::Interrupted);
                }
                if warm_up || status != Status::Ok || why.is_empty() || attempt == plan.retries {
                    break;
                }
                observer(&Event::Repeat { backend: backend.clone(), why });
            }
        }
    }
    Records::read(&plan.records)
}

/// The counting rounds that are incomplete on every machine of the file of records. A round is complete if every backend
/// has ended or is absent.
///
/// # Errors
/// [`Error::Setting`], and [`Error::File`] for the file of records.
pub fn missing_rounds(plan: &Plan) -> Result<Vec<usize>, Error> {
    plan.validate()?;
    let earlier = Records::read(&plan.records)?;
    refuse_other_jobs(plan, &earlier)?;
    let (mut ended, mut absent) = (BTreeSet::new(), BTreeSet::new());
    let mut hosts = BTreeSet::new();
    for record in &earlier.records {
        let Some(place) = &record.place else { continue };
        let host = &record.environment.host;
        if tells(record, plan, None) {
            ended.insert((host, place.round, &place.backend));
            hosts.insert(host);
        } else if matches!(record.status, Status::Absent { .. }) && place.study == plan.study {
            // One row stands for all rounds.
            absent.insert((host, &place.backend));
        }
    }
    let is_whole = |round: &usize| {
        hosts.iter().any(|host| {
            plan.backends.iter().all(|backend| {
                ended.contains(&(*host, *round, backend)) || absent.contains(&(*host, backend))
            })
        })
    };
    Ok((plan.warm_up..plan.warm_up + plan.repeats).filter(|round| !is_whole(round)).collect())
}

fn refuse_other_jobs(plan: &Plan, earlier: &Records) -> Result<(), Error> {
    let places = earlier.records.iter().filter_map(|record| record.place.as_ref());
    let mut others = places.filter(|place| place.study == plan.study && place.job != plan.job);
    match others.find(|place| !place.job.is_empty()) {
        None => Ok(()),
        Some(other) => Err(Error::Setting {
            name: "name",
            expected: format!(
                "a name without runs of another job in {}; choose another name or file of records",
                plan.records.display()
            ),
            found: format!(
                "{:?}, which has runs of {} with another job",
                other.study, other.backend
            ),
        }),
    }
}

/// Whether an earlier call has recorded the same status of the backend.
fn has_row(earlier: &Records, place: &Place, status: &Status) -> bool {
    let same = |known: &Place| known.study == place.study && known.backend == place.backend;
    let mut rows = earlier.records.iter().filter(|record| record.status == *status);
    rows.any(|record| record.place.as_ref().is_some_and(same))
}

/// Whether an earlier run counts as a run of this call. Interrupted runs and runs of missing backends are repeated, failed
/// runs are not. Runs on another machine, with another version of the library, or of a round that was a warm-up and no
/// longer is do not count.
fn tells(record: &Record, plan: &Plan, host: Option<&str>) -> bool {
    let ended =
        !matches!(record.status, Status::Interrupted | Status::Absent { .. } | Status::Checked);
    let Some(place) = record.place.as_ref().filter(|place| place.study == plan.study) else {
        return false;
    };
    // A record that does not state a value matches.
    let same = |stated: Option<&str>, here: Option<&str>| {
        stated.zip(here).is_none_or(|(stated, here)| stated == here)
    };
    let version = plan.versions.get(&place.backend).map(String::as_str);
    ended
        && same(record.environment.host.as_deref(), host)
        && same(record.library.version.as_deref(), version)
        && place.warm_up == (place.round < plan.warm_up)
}

/// Runs one process to its end, reporting its lines but no phases. When `stop` returns true, kills the process and its children.
pub fn one_process(
    command: Command,
    backend: &str,
    observer: &mut dyn FnMut(&Event),
    stop: &dyn Fn() -> bool,
) -> Status {
    let mut observer = |event: &Event| {
        if !matches!(event, Event::Phase { .. }) {
            observer(event);
        }
    };
    child::watch(command, backend, None, None, &mut observer, stop).status
}

impl Plan {
    /// Refuses settings that no study can have.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |name, expected: &str, found: String| {
            Err(Error::Setting { name, expected: expected.into(), found })
        };
        if self.repeats < 3 {
            return wrong("repeats", "at least 3", self.repeats.to_string());
        }
        if self.backends.is_empty() {
            return wrong("backends", "at least one name", "none".into());
        }
        let distinct: BTreeSet<&String> = self.backends.iter().collect();
        if distinct.len() != self.backends.len() {
            return wrong("backends", "each name once", self.backends.join(", "));
        }
        let counted = self.warm_up..self.warm_up + self.repeats;
        if let Some(round) = self.round.filter(|round| !counted.contains(round)) {
            let expected = format!("a round that counts, {} to {}", counted.start, counted.end - 1);
            return wrong("round", &expected, round.to_string());
        }
        Ok(())
    }
}

/// Sets schema and start time of a requested run.
fn begun(asked: Record) -> Record {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Record { schema: SCHEMA, started: now.map_or(0, |since| since.as_secs()), ..asked }
}

fn one(
    launch: Launch,
    asked: Record,
    place: Place,
    plan: &Plan,
    observer: &mut dyn FnMut(&Event),
    stop: &dyn Fn() -> bool,
) -> Record {
    let Launch { command, record: path } = launch;
    let asked = begun(asked);
    let (started, environment) = (asked.started, asked.environment.clone());
    let job = asked.job.clone();
    let gpu = asked.library.device.as_deref().and_then(|device| asked.environment.gpu(device));
    let ended = child::watch(command, &place.backend, gpu, plan.limit, observer, stop);
    let written = std::fs::read(&path)
        .ok()
        .map(|bytes| serde_json::from_slice::<Record>(&bytes).map_err(|wrong| wrong.to_string()));
    let _ = std::fs::remove_file(&path);
    let (mut record, status) = match (ended.status, written) {
        (Status::Ok, Some(Ok(record))) => (record.complete(), Status::Ok),
        (Status::Ok, Some(Err(wrong))) => (
            asked,
            Status::Failed {
                message: format!("cannot read the record that the process wrote: {wrong}"),
            },
        ),
        (Status::Ok, None) => (
            asked,
            Status::Failed { message: "the process exited without writing a record".into() },
        ),
        (status, _) => (asked, status),
    };
    record.schema = SCHEMA;
    record.started = started;
    // The environment at the start, since libraries change it.
    record.environment = environment;
    record.job = job;
    record.resources = ended.resources;
    // The check of the timed program is not part of the run, nor are the steps on one batch that it times.
    let check = record.resources.remove(CHECK).map_or(0.0, |used| used.seconds);
    let steps = record.resources.get(STEPS).map_or(0.0, |used| used.seconds);
    record.wall_seconds = Some(ended.seconds - check - steps);
    record.place = Some(place);
    record.status = status;
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Phases;

    /// Backends that are shell scripts.
    struct Shell<'a> {
        folder: &'a std::path::Path,
        scripts: BTreeMap<&'static str, String>,
        round: usize,
    }

    impl Launcher for Shell<'_> {
        fn begin_round(&mut self, round: usize) {
            self.round = round;
        }

        fn asked(&mut self, _: &str, _: &str) -> Record {
            let mut asked = Record { name: "asked".into(), ..Record::default() };
            asked.library.device_name = Some("Tesla K80".into());
            asked
        }

        fn launch(&mut self, backend: &str, _: &str) -> Result<Launch, Refusal> {
            if backend == "undone" {
                return Err(Refusal::failed("No space left on device"));
            }
            let script = self.scripts.get(backend);
            let script =
                script.ok_or_else(|| Refusal::absent("not installed; run the installer"))?;
            let record = self.folder.join("record.json");
            let mut command = Command::new("bash");
            command.args(["-c", script]).env("RECORD", &record);
            command.env("ROUND", self.round.to_string());
            Ok(Launch { command, record })
        }
    }

    fn good(seconds: f64) -> String {
        let phases = Phases { train: Some(seconds), ..Phases::default() };
        let record = Record { name: "good".into(), phases, ..begun(Record::default()) };
        let text = serde_json::to_string(&record).unwrap();
        format!(
            "printf '@phase train\\n1/2\\r2/2\\n@phase end\\n'; cat >$RECORD <<'END'\n{text}\nEND"
        )
    }

    fn plan(folder: &std::path::Path, backends: &[&str]) -> Plan {
        Plan {
            study: "test".into(),
            job: "one".into(),
            backends: backends.iter().map(ToString::to_string).collect(),
            repeats: 3,
            warm_up: 1,
            round: None,
            records: folder.join("records.jsonl"),
            retries: 0,
            limit: None,
            computes: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    fn rows(records: &Records) -> Vec<(String, usize, bool)> {
        let place = |record: &Record| record.place.clone().unwrap();
        let ended = |record: &Record| record.status == Status::Ok;
        records.records.iter().map(|r| (place(r).backend, place(r).round, ended(r))).collect()
    }

    #[test]
    fn backends_take_turns_and_their_lines_and_phases_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let scripts = BTreeMap::from([("a", good(0.001)), ("b", good(0.002))]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 0 };
        let mut events = Vec::new();
        let records = run(
            &plan(folder.path(), &["a", "b"]),
            &mut shell,
            &mut |event| events.push(event.clone()),
            &|| false,
        )
        .unwrap();
        let order: Vec<String> = rows(&records).into_iter().map(|(backend, ..)| backend).collect();
        assert_eq!(order, ["a", "b", "b", "a", "a", "b", "b", "a"]);
        assert!(records.records[0].place.as_ref().unwrap().warm_up);
        assert!(!records.records[2].place.as_ref().unwrap().warm_up);
        let told: Vec<String> = events
            .iter()
            .filter_map(|event| match event {
                Event::Phase { phase, .. } => Some(format!("phase {phase}")),
                Event::Line { text, passing, .. } => Some(format!("{text} {passing}")),
                _ => None,
            })
            .collect();
        assert_eq!(told[..3], ["phase train", "1/2 true", "2/2 false"]);
        assert!(records.records[0].resources.contains_key("train"));
        assert!(records.records[0].wall_seconds.unwrap() > 0.0);
    }

    #[test]
    fn a_run_is_over_before_its_check_and_the_steps_that_the_check_times() {
        let folder = tempfile::tempdir().unwrap();
        let check = "printf '@phase check\\n'; sleep 0.3; printf '@phase steps\\n'; sleep 0.3; printf '@phase check\\n'; \
                     sleep 0.3; printf '@phase end\\n'";
        let scripts = BTreeMap::from([("a", format!("{}\n{check}", good(0.001)))]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 0 };
        let records =
            run(&plan(folder.path(), &["a"]), &mut shell, &mut |_| {}, &|| false).unwrap();
        let record = &records.records[0];
        assert!(record.resources.keys().eq(["steps", "train"]), "{:?}", record.resources.keys());
        assert!((0.25..0.6).contains(&record.resources["steps"].seconds));
        assert!(record.wall_seconds.unwrap() < 0.6, "{:?}", record.wall_seconds);
    }

    #[test]
    fn every_run_of_a_round_is_told_the_round() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("echo round $ROUND; {}", good(0.001));
        let scripts = BTreeMap::from([("a", script.clone()), ("b", script)]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 9 };
        let mut said = Vec::new();
        let mut observer = |event: &Event| {
            if let Event::Line { text, passing: false, .. } = event {
                said.extend(text.strip_prefix("round ").map(str::to_owned));
            }
        };
        run(&plan(folder.path(), &["a", "b"]), &mut shell, &mut observer, &|| false).unwrap();
        assert_eq!(said, ["0", "0", "1", "1", "2", "2", "3", "3"]);
    }

    #[test]
    fn a_round_of_its_own_warms_up_runs_once_and_is_that_of_the_whole_study() {
        let folder = tempfile::tempdir().unwrap();
        let scripts = BTreeMap::from([("a", good(0.001)), ("b", good(0.002))]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 0 };
        let plan = Plan { round: Some(3), ..plan(folder.path(), &["a", "b"]) };
        let mut begun = Vec::new();
        let mut observer = |event: &Event| {
            if let Event::Begin { run, runs, .. } = event {
                begun.push((*run, *runs));
            }
        };
        let warm_up_and_round_3 = [
            ("a".into(), 0, true),
            ("b".into(), 0, true),
            ("b".into(), 3, true),
            ("a".into(), 3, true),
        ];
        for _ in 0..2 {
            let records = run(&plan, &mut shell, &mut observer, &|| false).unwrap();
            assert_eq!(rows(&records), warm_up_and_round_3);
        }
        assert_eq!(begun, [(1, 8), (2, 8), (7, 8), (8, 8)], "the second call finds all there");
        let all = run(&Plan { round: None, ..plan }, &mut shell, &mut |_| (), &|| false).unwrap();
        assert_eq!(all.records.len(), 8, "the whole study resumes it");
    }

    #[test]
    fn a_round_that_does_not_count_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Shell { folder: folder.path(), scripts: BTreeMap::new(), round: 0 };
        for round in [0, 4] {
            let plan = Plan { round: Some(round), ..plan(folder.path(), &["a"]) };
            let error = run(&plan, &mut shell, &mut |_| (), &|| false).unwrap_err().to_string();
            let expected = "`round` must be a round that counts, 1 to 3";
            assert_eq!(error, format!("{expected} (got {round})"));
        }
    }

    #[test]
    fn a_round_is_missing_until_one_machine_has_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), &["a", "b"]);
        let note = |host: &str, backend: &str, round, status| {
            let place = Place {
                study: "test".into(),
                backend: backend.into(),
                round,
                job: "one".into(),
                warm_up: round == 0,
                call: String::new(),
                attempt: 0,
            };
            let mut record = Record { place: Some(place), status, ..begun(Record::default()) };
            record.environment.host = Some(host.into());
            append(&plan.records, &record).unwrap();
        };
        note("first", "a", 0, Status::Ok);
        assert_eq!(missing_rounds(&plan).unwrap(), [1, 2, 3]);
        note("first", "a", 1, Status::Ok);
        note("first", "b", 1, Status::Failed { message: "told".into() });
        note("first", "a", 2, Status::Ok);
        note("second", "b", 2, Status::Ok);
        note("first", "a", 3, Status::Ok);
        note("first", "b", 3, Status::Interrupted);
        assert_eq!(missing_rounds(&plan).unwrap(), [2, 3]);
        note("second", "a", 0, Status::Absent { message: "not installed".into() });
        assert_eq!(missing_rounds(&plan).unwrap(), [3]);
        let other = Plan { job: "two".into(), ..plan.clone() };
        assert!(missing_rounds(&other).unwrap_err().to_string().contains("`name`"));
    }

    /// As by a job scheduler, which ends all processes of a job at once: the run's first.
    #[test]
    fn a_run_that_ends_by_the_signal_that_interrupts_the_study_is_interrupted_and_not_failed() {
        let folder = tempfile::tempdir().unwrap();
        let scripts = BTreeMap::from([("a", "kill -TERM $$".to_owned())]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 0 };
        let plan = plan(folder.path(), &["a"]);
        let ended = run(&plan, &mut shell, &mut |_| (), &|| true);
        assert!(matches!(ended, Err(Error::Interrupted)));
        let status = Records::read(&plan.records).unwrap().records[0].status.clone();
        assert_eq!(status, Status::Interrupted);
    }

    /// A new machine of the same kind with the old one's file, a new version, and a round that is no warm-up now.
    #[test]
    fn runs_of_another_machine_version_or_purpose_are_made_anew() {
        struct Anew<'a>(Shell<'a>, &'static str);
        impl Launcher for Anew<'_> {
            fn begin_round(&mut self, round: usize) {
                self.0.begin_round(round);
            }
            fn asked(&mut self, backend: &str, study: &str) -> Record {
                let mut asked = self.0.asked(backend, study);
                asked.environment.host = Some(self.1.into());
                asked
            }
            fn launch(&mut self, backend: &str, study: &str) -> Result<Launch, Refusal> {
                self.0.launch(backend, study)
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let on = |host: &'static str| {
            // A run tells its host and version itself.
            let script = good(0.001)
                .replace(r#""host":null"#, &format!(r#""host":"{host}""#))
                .replace(r#""version":null"#, r#""version":"1""#);
            let scripts = BTreeMap::from([("a", script)]);
            Anew(Shell { folder: folder.path(), scripts, round: 0 }, host)
        };
        let plan = plan(folder.path(), &["a"]);
        let count = |plan: &Plan, host| {
            run(plan, &mut on(host), &mut |_| (), &|| false).unwrap().records.len()
        };
        assert_eq!((count(&plan, "old"), count(&plan, "old")), (4, 4));
        assert_eq!((count(&plan, "new"), count(&plan, "old")), (8, 8));
        let versions = |version: &str| BTreeMap::from([("a".into(), version.into())]);
        assert_eq!(count(&Plan { versions: versions("1"), ..plan.clone() }, "new"), 8);
        let cold = Plan { warm_up: 0, ..plan.clone() };
        assert_eq!(count(&cold, "new"), 9, "round 0 was a warm-up");
        assert_eq!(count(&Plan { versions: versions("2"), ..cold }, "new"), 12);
    }

    /// A process of its own session that outlives the run and holds its streams.
    #[test]
    fn what_outlives_a_run_does_not_hold_the_study() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("sleeper");
        let script =
            format!("[ -e {0} ] || {{ setsid sleep 3600 & echo $! >{0}; }}; ", pid.display());
        let scripts = BTreeMap::from([("a", script + &good(0.001))]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 0 };
        let plan = Plan { warm_up: 0, ..plan(folder.path(), &["a"]) };
        let records = run(&plan, &mut shell, &mut |_| (), &|| false).unwrap();
        assert_eq!(rows(&records), [0, 1, 2].map(|round| ("a".to_owned(), round, true)));
        let sleeper: i32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        // SAFETY: sends a signal to the process that the script started.
        assert_eq!(unsafe { libc::kill(sleeper, libc::SIGKILL) }, 0, "it was still there");
    }

    /// The test runs itself as a study, and kills that with a signal that no process can catch.
    #[test]
    fn what_runs_ends_with_a_study_that_is_killed() {
        const FOLDER: &str = "BENCHBOOK_TEST_KILLED";
        if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
            let script = format!("echo $$ >{}; exec sleep 3600", folder.join("pid").display());
            let scripts = BTreeMap::from([("a", script)]);
            let mut shell = Shell { folder: &folder, scripts, round: 0 };
            run(&plan(&folder, &["a"]), &mut shell, &mut |_| (), &|| false).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let mut study = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "runner::tests::what_runs_ends_with_a_study_that_is_killed"])
            .env(FOLDER, folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = loop {
            let text = std::fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
            if let Ok(pid) = text.trim().parse::<u32>() {
                break pid;
            }
            assert!(study.try_wait().unwrap().is_none(), "the study has ended by itself");
        };
        // A second study finds the file locked, and the first one's end frees it.
        let lock = || RecordsLock::take(&folder.path().join("records.jsonl"));
        assert!(matches!(lock(), Err(Error::InUse { .. })));
        study.kill().unwrap();
        study.wait().unwrap();
        lock().unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let began = std::time::Instant::now();
        while !state().is_empty() && !state().contains(") Z ") {
            assert!(began.elapsed() < Duration::from_secs(10), "it still runs: {}", state());
        }
    }

    #[test]
    fn failures_stay_rows_with_their_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let scripts = BTreeMap::from([
            ("bad", "echo tried; echo 'ValueError: no such layer' >&2; exit 3".to_owned()),
            ("silent", "true".to_owned()),
            ("greedy", "echo 'RuntimeError: CUDA out of memory' >&2; exit 1".to_owned()),
            ("killed", "kill -9 $$".to_owned()),
        ]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 0 };
        let backends = ["bad", "silent", "greedy", "killed", "absent", "undone"];
        let records =
            run(&plan(folder.path(), &backends), &mut shell, &mut |_| (), &|| false).unwrap();
        let status = |name: &str| {
            let of = |r: &&Record| r.place.as_ref().unwrap().backend == name;
            let all: Vec<&Record> = records.records.iter().filter(of).collect();
            (all.len(), all[0].reason().unwrap())
        };
        assert_eq!(status("bad"), (4, "failed: exit status 3: ValueError: no such layer".into()));
        assert_eq!(
            status("silent"),
            (4, "failed: the process exited without writing a record".into())
        );
        assert!(status("greedy").1.starts_with("out of memory: "), "{:?}", status("greedy"));
        assert!(status("killed").1.contains("signal 9"), "{:?}", status("killed"));
        assert_eq!(status("absent"), (1, "not available: not installed; run the installer".into()));
        assert_eq!(status("undone"), (4, "failed: No space left on device".into()));
        for record in &records.records {
            assert_eq!(record.name, "asked", "the conditions of a failed run stay known");
            assert_eq!(record.library.device_name.as_deref(), Some("Tesla K80"));
        }
        let again =
            run(&plan(folder.path(), &backends), &mut shell, &mut |_| (), &|| false).unwrap();
        assert_eq!(again.records.len(), records.records.len(), "a second call adds no row");
        shell.scripts.insert("absent", good(0.001));
        let installed =
            run(&plan(folder.path(), &backends), &mut shell, &mut |_| (), &|| false).unwrap();
        let new = installed.records.len() - records.records.len();
        assert_eq!(new, 4, "what is there by now runs all of its rounds");
    }

    #[test]
    fn the_runs_of_another_job_of_that_name_are_not_taken_for_this_ones() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), &["a"]);
        let scripts = BTreeMap::from([("a", good(0.001))]);
        let mut launcher = Shell { folder: folder.path(), scripts, round: 0 };
        let mut silent = |_: &Event| {};
        run(&plan, &mut launcher, &mut silent, &|| false).unwrap();
        let before = std::fs::read(&plan.records).unwrap();
        let other = Plan { job: "two".into(), ..plan.clone() };
        let wrong = run(&other, &mut launcher, &mut silent, &|| false).unwrap_err().to_string();
        assert!(wrong.contains("another job") && wrong.contains("records.jsonl"), "{wrong}");
        assert_eq!(std::fs::read(&plan.records).unwrap(), before);
        let named = Plan { study: "second".into(), ..other };
        assert_eq!(run(&named, &mut launcher, &mut silent, &|| false).unwrap().records.len(), 8);
    }

    #[test]
    fn an_interrupted_study_resumes_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        // The second backend waits for ever once it has said so.
        let waits = "echo waiting; sleep 1000".to_owned();
        let scripts = BTreeMap::from([("a", good(0.001)), ("b", waits)]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 0 };
        let plan = plan(folder.path(), &["a", "b"]);
        let waiting = std::cell::Cell::new(false);
        let mut observer = |event: &Event| {
            if matches!(event, Event::Line { text, .. } if text == "waiting") {
                waiting.set(true);
            }
        };
        let ended = run(&plan, &mut shell, &mut observer, &|| waiting.get());
        assert!(matches!(ended, Err(Error::Interrupted)));
        let rows_before = rows(&Records::read(&plan.records).unwrap());
        assert_eq!(rows_before, [("a".into(), 0, true), ("b".into(), 0, false)]);
        shell.scripts.insert("b", good(0.002));
        let mut kept = 0;
        let mut observer = |event: &Event| kept += usize::from(matches!(event, Event::Kept { .. }));
        let records = run(&plan, &mut shell, &mut observer, &|| false).unwrap();
        assert_eq!(kept, 1, "the finished run of the first call");
        assert_eq!(records.records.len(), 9, "8 runs and the row of the interrupted one");
        assert_eq!(records.records.iter().filter(|r| r.status == Status::Ok).count(), 8);
    }

    #[test]
    fn what_a_check_found_stands_with_the_runs_and_a_later_one_holds_for_earlier_runs_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Shell {
            folder: folder.path(),
            scripts: BTreeMap::from([("a", good(0.001))]),
            round: 0,
        };
        let mut plan = plan(folder.path(), &["a"]);
        let mut again = |plan: &Plan| {
            let records = run(plan, &mut shell, &mut |_| (), &|| false).unwrap();
            let reasons =
                |records: &[Record]| -> Vec<_> { records.iter().map(Record::reason).collect() };
            (records.records.len(), reasons(crate::Study::of(records).records()))
        };
        let wrong = || vec![Some("disagrees: a quarter of a gradient".to_owned()); 4];
        let unlike = Computes::Unlike { message: "a quarter of a gradient".into() };
        let alike = Computes::Alike { reference: "b".into(), nearness: String::new() };
        plan.computes.insert("a".into(), unlike.clone());
        assert_eq!(again(&plan), (4, wrong()));
        assert_eq!(again(&plan), (4, wrong()), "no news, no line");
        plan.computes.insert("a".into(), alike);
        assert_eq!(again(&plan), (5, vec![None; 4]), "what is no run is none of the study's runs");
        let nearer = Computes::Alike { reference: "b".into(), nearness: "1e-7".into() };
        plan.computes.insert("a".into(), nearer);
        assert_eq!(again(&plan).0, 5, "nor is that news");
        plan.computes.insert("a".into(), Computes::Unchecked { reason: "no memory".into() });
        assert_eq!(again(&plan).1, vec![None; 4], "a check that failed takes nothing back");
        plan.computes.insert("a".into(), unlike);
        assert_eq!(again(&plan).1, wrong());
    }

    /// A busy loop outside of the run's own processes, for as long as the file `noisy` is there.
    #[test]
    fn a_disturbed_run_is_repeated_and_the_undisturbed_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let noisy = folder.path().join("noisy");
        let script = format!(
            r#"
            echo "@phase train"
            if [ -e '{0}' ]; then
                rm '{0}'
                # Its parent ends at once, so that the run is not its ancestor.
                (setsid bash -c 'end=$((SECONDS + 4)); while [ $SECONDS -lt $end ]; do :; done' >/dev/null 2>&1 &)
                sleep 3
            fi
            echo "@phase end"; {1}"#,
            noisy.display(),
            good(0.001)
        );
        let scripts = BTreeMap::from([("a", script)]);
        let mut shell = Shell { folder: folder.path(), scripts, round: 0 };
        let plan = Plan { retries: 1, warm_up: 0, ..plan(folder.path(), &["a"]) };
        std::fs::write(&noisy, "").unwrap();
        let mut repeated = Vec::new();
        let mut observer = |event: &Event| {
            if let Event::Repeat { why, .. } = event {
                repeated.push(why.clone());
            }
        };
        let records = run(&plan, &mut shell, &mut observer, &|| false).unwrap();
        assert!(repeated[0].contains("train: other processes took"), "{repeated:?}");
        let attempt = |record: &Record| record.place.as_ref().map(|place| place.attempt);
        assert_eq!(attempt(&records.records[1]), Some(1));
        let lines = records.records.len();
        let study = crate::Study::of(records);
        assert!(study.records().len() < lines);
        assert!(study.records().iter().all(|record| record.place.as_ref().unwrap().round < 3));
        assert_ne!(attempt(&study.records()[0]), Some(0));
    }

    #[test]
    fn fewer_than_three_repeats_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Shell { folder: folder.path(), scripts: BTreeMap::new(), round: 0 };
        let plan = Plan { repeats: 2, ..plan(folder.path(), &["a"]) };
        let error = run(&plan, &mut shell, &mut |_| (), &|| false).unwrap_err();
        assert_eq!(error.to_string(), "`repeats` must be at least 3 (got 2)");
    }
}
