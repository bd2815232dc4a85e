//! `benchbook bench` ends up here: a job in a terminal, without a server and without cells.

use crate::chart::Progress;
use crate::display::Rich;
use crate::error::Error;
use crate::files::read_json;
use crate::job::{self, Job};
use crate::study::trace;
use crate::train::{Callback, Event, KerasLog};
use benchbook_study::references::Question;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const HELP: &str = "benchbook bench [JOB.json] [--data FOLDER] [--record FILE] [--predictions FILE]

Runs load, build, train and test, and prints the record. JOB.json describes the run (see the
documentation of `benchbook::job::Job`); the options replace what it says. Without it, VGG16 with
the defaults is trained on --data.";

/// The whole life of a worker that runs one job; returns the exit status of the process. The
/// job's arguments are those of the process after the word `job`.
#[unsafe(no_mangle)]
pub extern "C" fn benchbook_job_main() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return 0;
    }
    let (job, question) = match read(&arguments) {
        Ok(read) => read,
        Err(message) => {
            eprintln!("benchbook bench: {message}");
            return 2;
        }
    };
    // One CUDA library a process: a job has the process for itself, so its library gets CUDA.
    job.build.backend.load_cuda();
    let run = || {
        let mut finished = job::run_whole(&job, &mut Terminal::default())?;
        if let Some(question) = &question {
            job::announce("check");
            trace(finished.model.network(), &job.fit, question)?;
            job::announce("end");
        }
        Ok::<_, Error>(finished.record)
    };
    match run() {
        Ok(record) => {
            // Where a study has asked, it shows all runs together.
            if !job::is_studied() {
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

fn read(arguments: &[String]) -> Result<(Job, Option<Question>), String> {
    let mut file = None;
    let mut data = None;
    let mut record = None;
    let mut predictions = None;
    let mut trace = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let option = match word.as_str() {
            "--data" => &mut data,
            "--record" => &mut record,
            "--predictions" => &mut predictions,
            // A study asks for it.
            "--trace" => &mut trace,
            word if word.starts_with('-') => {
                return Err(format!("unknown option {word}\n\n{HELP}"));
            }
            word if file.is_none() => {
                file = Some(PathBuf::from(word));
                continue;
            }
            word => return Err(format!("one job at a time; received {word} as well")),
        };
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        *option = Some(PathBuf::from(value));
    }
    let mut job = match (file, &data) {
        (Some(file), _) => Job::read(file).map_err(|error: Error| error.to_string())?,
        (None, Some(data)) => Job::new(data),
        (None, None) => return Err(format!("there is nothing to run\n\n{HELP}")),
    };
    if let Some(data) = data {
        job.data = data;
    }
    job.record = record.or(job.record);
    job.predictions = predictions.or(job.predictions);
    let question = trace.map(|file| read_json(&file, "a question")).transpose();
    Ok((job, question.map_err(|error| error.to_string())?))
}

/// Keras' log on standard output, and within an epoch its progress line where somebody looks.
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
        let looks = output.is_terminal() || crate::job::is_studied();
        if looks && self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE) {
            self.drawn = Some(Instant::now());
            let _ = write!(output, "{progress}\r");
            let _ = output.flush();
        }
    }
}

/// The line of an event that the next one of its kind replaces; `None` for other events.
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
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_replace_what_the_job_says() {
        let Ok((job, None)) = read(&words("--data pictures --record a.json")) else {
            panic!("a job without a question")
        };
        assert_eq!(job.data, PathBuf::from("pictures"));
        assert_eq!(job.record, Some(PathBuf::from("a.json")));
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
