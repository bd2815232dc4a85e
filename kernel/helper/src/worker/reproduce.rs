//! `benchbook reproduce`: runs the job of a published record again.

use super::command_line::{CommandLine, arguments};
use super::study::{number, terminal};
use crate::backend::BackendId;
use crate::display::Rich;
use crate::error::Error;
use crate::interrupt;
use crate::model::Weights;
use crate::record::Record;
use crate::study::{Reproduction, StudyPlan};
use std::path::Path;

const HELP: &str = "benchbook reproduce RECORD.json [OPTIONS]
benchbook reproduce RECORDS.jsonl --line N [OPTIONS]

Runs the job of a record again, with the same library on this machine, and compares the new figures and conditions with
the published ones. `benchbook bench --record FILE` and `benchbook study` write such records.

  --line N        the record's line in a file of several records, from 1
  --data FOLDER   the images; default: the folder that the job names
  --weights FILE  the starting weights; default: the file that the job names
  --repeats N     measured rounds, at least 3, after one to warm up; default: 3, or up to the published round
  --records FILE  the file for the new records; default: results/reproduced.jsonl";

/// Runs the process as `benchbook reproduce` and returns its exit status.
#[unsafe(no_mangle)]
pub extern "C" fn benchbook_reproduce_main() -> i32 {
    interrupt::install_for_a_program();
    let (published, plan) = match arguments("reproduce", || HELP.into(), false, read) {
        Ok(read) => read,
        Err(status) => return status,
    };
    BackendId::default().load_cuda();
    match run(published, &plan) {
        Ok(true) => 0,
        Ok(false) => {
            eprintln!("benchbook reproduce: every run failed; the lines above say why");
            1
        }
        Err(error) => {
            eprintln!("benchbook reproduce: {error}");
            if let Error::Interrupted(_) = error { interrupt::exit_status() } else { 1 }
        }
    }
}

/// Runs the plan and prints the comparison; false if every run failed.
fn run(published: Record, plan: &StudyPlan) -> Result<bool, Error> {
    println!("reproducing {} with {}", published.id(), plan.backends.join(", "));
    let study = plan.measure(None, &mut terminal())?;
    let own = |record: &&Record| record.place.as_ref().is_some_and(|p| p.study == plan.name);
    let counting = |record: &&Record| benchbook_study::counts(record);
    let runs: Vec<Record> = study.records().iter().filter(own).filter(counting).cloned().collect();
    let some = !runs.is_empty();
    if some {
        println!("\n{}", Reproduction { published, runs }.bundle().plain());
    }
    println!("\nrecords: {}", plan.records_file().display());
    Ok(some)
}

fn read(words: &[String]) -> Result<(Record, StudyPlan), String> {
    let CommandLine { files, values, .. } = CommandLine::read(words, HELP, "")?;
    let [file] = &files[..] else {
        return Err(format!("give one file of records (got {})\n\n{HELP}", files.len()));
    };
    let line = values.get("--line").map(|line| number("--line", line)).transpose()?;
    let published = Record::read_line(file, line).map_err(|error| error.to_string())?;
    let mut plan =
        StudyPlan::of_record(&published).map_err(|error| format!("{}: {error}", file.display()))?;
    for (option, value) in values {
        match option {
            "--data" => plan.job.data = value.into(),
            "--weights" => plan.job.build.weights = Weights::File(value.into()),
            "--repeats" => plan.repeats = number(option, value)?,
            "--records" => plan.records = Some(value.into()),
            _ => {}
        }
    }
    let there = |what, option, path: &Path| match path.exists() {
        true => Ok(()),
        false => Err(format!(
            "the {what} of the record are not at {}; give their place with {option}",
            path.display()
        )),
    };
    there("images", "--data FOLDER", &plan.job.data)?;
    if let Weights::File(path) = &plan.job.build.weights {
        there("starting weights", "--weights FILE", path)?;
    }
    Ok((published, plan))
}

#[cfg(test)]
mod tests {
    use super::super::command_line::tests::words;
    use super::*;
    use crate::job::Job;
    use benchbook_study::append;

    #[test]
    fn a_record_with_a_job_is_a_plan_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        let mut record = Record { schema: crate::record::SCHEMA, ..Record::default() };
        append(&path, &record).unwrap();
        let mut job = Job::new("/somewhere/photos");
        job.build.weights = Weights::File("/somewhere/vgg16.pth".into());
        job.fit.epochs = 7;
        record.job = Some(job.published().unwrap());
        append(&path, &record).unwrap();
        let of = |options: &str| read(&words(&format!("{} {options}", path.display())));
        let here = folder.path().display();
        let (_, plan) =
            of(&format!("--line 2 --data {here} --weights {}", path.display())).unwrap();
        assert_eq!((plan.backends, plan.job.fit.epochs), (vec!["libtorch".to_owned()], 7));
        assert_eq!((plan.check, plan.repeats, plan.job.data), (None, 3, folder.path().into()));
        for (options, named) in [
            ("", "the number of a record's line"),
            ("--line 1", "got none, as in records of cells and of earlier versions"),
            (
                "--line 2",
                "the images of the record are not at photos; give their place with --data FOLDER",
            ),
            (&format!("--line 2 --data {here}"), "vgg16.pth; give their place with --weights FILE"),
            ("--lines 2", "unknown option --lines"),
            ("--line", "--line needs a value"),
            ("another.json", "give one file of records (got 2)"),
        ] {
            let message = of(options).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
    }
}
