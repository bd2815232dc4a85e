//! `benchbook bench`: a job in a terminal, without server and cells.

use super::command_line::{CommandLine, arguments};
use super::study::number;
use crate::backend::BackendId;
use crate::chart::Progress;
use crate::display::Rich;
use crate::error::Error;
use crate::files::read_json;
use crate::job::{self, Job};
use crate::ranks;
use crate::study::trace;
use crate::train::{Callback, Event, KerasLog, Silent};
use benchbook_study::references::Question;
use benchbook_study::runner::CHECK;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const HELP: &str = "benchbook bench [JOB.json] [OPTIONS]

Runs load, build, train and test, and prints the record. JOB.json describes the run (see the documentation of
`benchbook::job::Job`); options override it. Without JOB.json, trains VGG16 with defaults on --data.

  --data FOLDER       images in train/<class>, validation/<class> and test
  --record FILE       the file for the record; default: none
  --predictions FILE  the CSV file for the predictions; default: none
  --profile FILE      what LibTorch does in ten more training steps, as JSON for ui.perfetto.dev; default: none
  --ranks N           processes that train together, each on its share of every batch and with its share of the threads
                      (LibTorch on the CPU); OpenMPI's `mpirun` starts them, or starts `benchbook bench` itself; default: 1";

/// Runs the process as `benchbook bench` and returns its exit status.
#[unsafe(no_mangle)]
pub extern "C" fn benchbook_job_main() -> i32 {
    let (mut job, question, profile) = match arguments("bench", || HELP.into(), true, read) {
        Ok(read) => read,
        Err(status) => return status,
    };
    if let Err(error) = ranks::join(&mut job.build) {
        eprintln!("benchbook bench: {error}");
        return 1;
    }
    let is_first = job.build.rank().is_first();
    // A process can use one CUDA library: here the job's.
    job.build.backend.load_cuda();
    let run = || {
        if profile.is_some() && job.build.ranks > 1 {
            let (name, expected) = ("--profile", "a job of one rank");
            return Err(Error::Setting { name, expected, found: job.build.ranks.to_string() });
        }
        let mut terminal = Terminal::default();
        let callback: &mut dyn Callback = if is_first { &mut terminal } else { &mut Silent };
        let mut finished = job::run_whole(&job, callback)?;
        if let Some(file) = &profile {
            job::announce(job.build.rank(), CHECK);
            job::profile(&job, &mut finished.model, file)?;
            job::announce(job.build.rank(), "end");
        }
        if let Some(question) = &question {
            trace(finished.model.network(), &job.fit, question)?;
        }
        ranks::leave(&job.build)?;
        Ok::<_, Error>(finished.record)
    };
    match run() {
        Ok(record) => {
            // A study shows all runs together.
            if is_first && !job::is_studied() {
                println!("{}", record.bundle().plain());
            }
            0
        }
        Err(error) => {
            eprintln!("benchbook bench: {error}");
            1
        }
    }
}

fn read(words: &[String]) -> Result<(Job, Option<Question>, Option<PathBuf>), String> {
    // Studies add a question.
    let CommandLine { files, values, .. } = CommandLine::read(words, HELP, "--trace")?;
    let path = |option| values.get(option).map(PathBuf::from);
    let mut job = match (&files[..], path("--data")) {
        ([file], _) => Job::read(file).map_err(|error: Error| error.to_string())?,
        ([], Some(data)) => Job::new(data),
        ([], None) => {
            return Err(format!("nothing to run; give JOB.json or --data FOLDER\n\n{HELP}"));
        }
        (several, _) => return Err(format!("give one job (got {} files)", several.len())),
    };
    job.data = path("--data").unwrap_or(job.data);
    job.record = path("--record").or(job.record);
    job.predictions = path("--predictions").or(job.predictions);
    if let Some(ranks) = values.get("--ranks") {
        job.build.ranks = number("--ranks", ranks)?;
    }
    let profile = path("--profile");
    if profile.is_some() && job.build.backend != BackendId::default() {
        return Err(format!("--profile is for LibTorch (got {})", job.build.backend.name()));
    }
    let question = path("--trace").map(|file| read_json(&file, "a question")).transpose();
    Ok((job, question.map_err(|error| error.to_string())?, profile))
}

/// Prints Keras' log, and in a terminal or a study also the progress line within an epoch.
#[derive(Default)]
struct Terminal {
    drawn: Option<Instant>,
}

const PAUSE: Duration = Duration::from_millis(100);

impl Callback for Terminal {
    fn event(&mut self, event: &Event) {
        let mut output = io::stdout().lock();
        let Some(progress) = progress(event) else {
            return KerasLog::new(&mut output).event(event);
        };
        let is_live = output.is_terminal() || crate::job::is_studied();
        if is_live && self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE) {
            self.drawn = Some(Instant::now());
            let _ = write!(output, "{progress}\r");
            let _ = output.flush();
        }
    }
}

/// The progress line of an event, which the next one replaces; `None` for other events.
fn progress(event: &Event) -> Option<String> {
    match event {
        Event::Step { step, steps, loss, accuracy, elapsed, .. } => {
            let progress = Progress::new(*step as u64, *steps as u64).elapsed(*elapsed);
            Some(progress.metric("loss", *loss).metric("acc", *accuracy).to_text())
        }
        Event::Features { done, total, elapsed } => {
            let progress = Progress::new(*done as u64, *total as u64).elapsed(*elapsed);
            Some(format!("features of the base: {}", progress.to_text()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::command_line::tests::words;
    use super::*;

    #[test]
    fn options_replace_what_the_job_says() {
        let line = words("--data images --record a.json --profile b.json --ranks 2");
        let Ok((job, None, Some(profile))) = read(&line) else { panic!("a job with a profile") };
        assert_eq!(profile, PathBuf::from("b.json"));
        assert_eq!(job.data, PathBuf::from("images"));
        assert_eq!(job.record, Some(PathBuf::from("a.json")));
        assert_eq!(job.build.ranks, 2);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (arguments, named) in
            [("--epochs 3", "--epochs"), ("", "nothing"), ("--data", "--data")]
        {
            let Err(message) = read(&words(arguments)) else { panic!("{arguments} is an error") };
            assert!(message.contains(named), "{message}");
        }
    }
}
