//! `benchbook study` ends up here: a study in a terminal, without a server and without cells.

use super::run::load_cuda;
use crate::error::Error;
use crate::interrupt;
use crate::job::Job;
use crate::study::{Event, Study, StudyPlan};
use benchbook_display::Rich;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

const HELP: &str = "benchbook study [STUDY.json] [--data FOLDER] [--name NAME] [--backends A,B] [--repeats N]
                [--records FILE] [--no-check]
benchbook study --show FILE... [--baseline BACKEND]
benchbook study --report

Runs one job with several backends, each run in a process of its own and all taking turns, and prints what
they compute from the same start, then the table of times. STUDY.json describes it (see the documentation of
`benchbook::study::StudyPlan`); the options replace what it says. Backends: libtorch, tensorflow, python-pytorch,
python-keras; the last two need `environment/references`. The same command goes on where an interrupted one was.

  --show    prints the table of files of records, of this machine and others, and runs nothing
  --report  prints the 2019 report's own figures, compared by the same rules";

/// The whole life of a worker that runs a study; returns the exit status of the process. The study's
/// arguments are those of the process after the word `study`.
#[unsafe(no_mangle)]
pub extern "C" fn benchbook_study_main() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    if arguments.is_empty() || arguments.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return 0;
    }
    interrupt::install();
    let task = match read(&arguments) {
        Ok(task) => task,
        Err(message) => {
            eprintln!("benchbook study: {message}");
            return 2;
        }
    };
    let result = match task {
        Task::Show(study) => {
            println!("{}", study.bundle().plain());
            return 0;
        }
        Task::Run(plan) => {
            load_cuda();
            run(&plan)
        }
    };
    match result {
        Ok(()) => 0,
        Err(error @ Error::Interrupted(_)) => {
            eprintln!("benchbook study: {error}; the same command goes on from there");
            130
        }
        Err(error) => {
            eprintln!("benchbook study: {error}");
            1
        }
    }
}

enum Task {
    Run(Box<StudyPlan>),
    Show(Box<Study>),
}

fn run(plan: &StudyPlan) -> Result<(), Error> {
    let mut observer = terminal();
    let checked = plan.compute_alike(&mut observer)?;
    if let Some(checked) = &checked {
        println!("{}\n", checked.bundle().plain());
    }
    let study = plan.measure(checked.as_ref(), &mut observer)?;
    println!("\n{}", study.bundle().plain());
    println!("\nrecords: {}", plan.records_file().display());
    Ok(())
}

/// Prints what happens; lines that pass only where somebody looks.
fn terminal() -> impl FnMut(&Event) {
    let looks = io::stdout().is_terminal();
    move |event| {
        let mut output = io::stdout().lock();
        let _ = match event {
            Event::Begin { backend, run, runs, warm_up } => {
                let kind = if *warm_up { ", warm-up" } else { "" };
                writeln!(output, "[{run}/{runs}{kind}] {backend}")
            }
            Event::Line { text, passing: true, .. } if looks => write!(output, "  {text}\r"),
            Event::Line { text, passing: false, .. } => writeln!(output, "  {text}"),
            Event::End(record) => {
                let reason = record.status.reason();
                reason.map_or(Ok(()), |reason| writeln!(output, "  {reason}"))
            }
            Event::Kept { backend, run } => {
                writeln!(output, "[{run}] {backend}: kept from an earlier call")
            }
            Event::Line { .. } | Event::Phase { .. } => Ok(()),
        };
        let _ = output.flush();
    }
}

fn read(arguments: &[String]) -> Result<Task, String> {
    let mut files = Vec::new();
    let (mut data, mut name, mut backends, mut repeats) = (None, None, None, None);
    let (mut records, mut baseline) = (None, None);
    let (mut show, mut report, mut no_check) = (false, false, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let option = match word.as_str() {
            "--show" => {
                show = true;
                continue;
            }
            "--report" => {
                report = true;
                continue;
            }
            "--no-check" => {
                no_check = true;
                continue;
            }
            "--data" => &mut data,
            "--name" => &mut name,
            "--backends" => &mut backends,
            "--repeats" => &mut repeats,
            "--records" => &mut records,
            "--baseline" => &mut baseline,
            word if word.starts_with('-') => {
                return Err(format!("unknown option {word}\n\n{HELP}"));
            }
            word => {
                files.push(PathBuf::from(word));
                continue;
            }
        };
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        *option = Some(value.clone());
    }
    if report || show {
        return shown(report, &files, baseline);
    }
    let mut plan = match (files.as_slice(), &data) {
        ([file], _) => StudyPlan::read(file).map_err(|error| error.to_string())?,
        ([], Some(data)) => StudyPlan::new("study", Job::new(data)),
        ([], None) => return Err(format!("there is nothing to run\n\n{HELP}")),
        (several, _) => return Err(format!("one study at a time; received {}", several.len())),
    };
    if let Some(data) = data {
        plan.job.data = data.into();
    }
    if let Some(repeats) = repeats {
        plan.repeats =
            repeats.parse().map_err(|_| format!("--repeats needs a number; received {repeats}"))?;
    }
    if let Some(backends) = backends {
        plan.backends = backends.split(',').map(|name| name.trim().to_owned()).collect();
    }
    plan.name = name.unwrap_or(plan.name);
    plan.records = records.map(PathBuf::from).or(plan.records);
    plan.baseline = baseline.or(plan.baseline);
    if no_check {
        plan.check = None;
    }
    Ok(Task::Run(Box::new(plan)))
}

fn shown(report: bool, files: &[PathBuf], baseline: Option<String>) -> Result<Task, String> {
    let mut study = match (report, files) {
        (true, _) => Study::of_records(crate::study::report_2019()),
        (false, [first, ..]) => Study::read(first).map_err(|error| error.to_string())?,
        (false, []) => return Err("--show needs a file of records".into()),
    };
    for file in if report { files } else { &files[1..] } {
        study = study.and(file).map_err(|error| error.to_string())?;
    }
    if let Some(baseline) = baseline {
        study = study.baseline(baseline);
    }
    Ok(Task::Show(Box::new(study)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_replace_what_the_plan_says() {
        let line = "--data pictures --backends libtorch,python-keras --repeats 5 --no-check";
        let Ok(Task::Run(plan)) = read(&words(line)) else { panic!("a plan") };
        assert_eq!(plan.backends, ["libtorch", "python-keras"]);
        assert_eq!((plan.repeats, plan.check, plan.job.data), (5, None, PathBuf::from("pictures")));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let cases = [
            ("--epochs 3", "--epochs"),
            ("", "nothing"),
            ("--repeats x --data a", "received x"),
            ("--show", "a file"),
        ];
        for (arguments, named) in cases {
            let Err(message) = read(&words(arguments)) else { panic!("{arguments} is an error") };
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn the_report_is_shown_by_the_ordinary_table() {
        let Ok(Task::Show(study)) = read(&words("--report")) else { panic!("a table") };
        assert!(study.bundle().plain().contains("~3.18~"), "{}", study.bundle().plain());
    }
}
