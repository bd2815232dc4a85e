//! `benchbook study`: a study in a terminal, without server and cells.

use super::command_line::{CommandLine, arguments};
use crate::backend::{
    ALL, BackendId, COMPARED, Compute, Device, Optimizer, Precision, libraries, set_colours,
};
use crate::error::Error;
use crate::interrupt;
use crate::job::Job;
use crate::model::Weights;
use crate::study::{self, Event, Price, Quantity, Study, StudyPlan, busy};
use benchbook_chart::Chart;
use benchbook_display::Rich;
use benchbook_study::counts;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

const HELP: &str = "benchbook study [STUDY.json] [OPTIONS]
benchbook study --show FILE... [--baseline BACKEND] [--html FILE] [--csv FOLDER] …
benchbook study --report

Runs one job on several backends, alternating, each run in its own process. Compares losses and gradients from the same
start first, then prints the table of times. The same command resumes an interrupted study.

Backends; missing ones are listed with how to install them:
{BACKENDS}

STUDY.json is the plan (see the documentation of `benchbook::study::StudyPlan`); options override it:
  --data FOLDER       images in train/<class>, validation/<class> and test
  --backends A,B      default: {COMPARED}; a program may be named with a version: python-pytorch@1.13
  --repeats N         measured rounds, at least 3; default: 5; fewer are marked
  --round N           after the warm-up only round N, counted from 0 with the warm-up, for job arrays; default: all
  --net NAME          an architecture, such as resnet18 or small_cnn; default: vgg16
  --size PIXELS       height and width of the images; default: 224
  --batch-size N      default: 32
  --ranks N           processes that train together, each on its share of a batch (LibTorch and PyTorch on the CPU);
                      default: 1
  --epochs N          default: 1
  --steps N           batches in an epoch; default: one pass over the images
  --rate NUMBER       learning rate; default: 0.001
  --weights FILE      starting weights: .safetensors, .pth or .h5; default: random ones
  --device DEVICE     cpu or cuda; default: a GPU if there is one
  --precision WORD    float64, float32 (without TF32), tf32, bfloat16 or float16 (autocast); on a GPU cuDNN tries its
                      algorithms, as TensorFlow does by itself; default: float32
  --name NAME         the study's name in its records; default: study
  --records FILE      default: results/NAME.jsonl
  --baseline BACKEND  the backend that the others are compared with; default: the first with figures
  --target-accuracy A validation accuracy, 0 to 1, to which the time is measured; default: none
  --price-per-hour P  the price of the machine per hour, such as '0.60 EUR'; default: no costs
  --no-check          skips the comparison of losses and gradients
  --missing           prints as JSON the measured rounds that no machine has completed, and runs nothing

Runs STUDY.json on other machines and copies the records back; the same command resumes (`--on WHERE --help`):
  --on ssh:HOST           on another machine, over OpenSSH
  --on slurm[:PARTITION]  as a Slurm job array: each round is a job, on one node

Output files, also with --show and --report:
  --chart FILE        a chart of the training times, as .svg, .png, or .json for Vega-Lite
  --html FILE         one page with tables, charts, conditions and every run
  --csv FOLDER        runs.csv (a row per run), summary.csv (a row per backend), and columns.csv, which explains the columns
  --tensorboard FOLDER  the epochs of each run, for `tensorboard --logdir FOLDER`

Without STUDY.json the optimiser is SGD with momentum 0.9, which has the same formula in all libraries.

  --show    prints the table for files of records, of this machine and others, and runs nothing
  --report  prints the 2019 report's figures, compared by the same rules";

fn help() -> String {
    let table = libraries().map_or_else(|error| error.to_string(), |table| table.to_text());
    HELP.replace("{BACKENDS}", table.trim_end()).replace("{COMPARED}", &COMPARED.join(","))
}

/// Runs the process as `benchbook study` and returns its exit status.
#[unsafe(no_mangle)]
pub extern "C" fn benchbook_study_main() -> i32 {
    interrupt::install_for_a_program();
    set_colours();
    let task = match arguments("study", help, false, read) {
        Ok(task) => task,
        Err(status) => return status,
    };
    let result = match task {
        Task::Show(study, outputs) => {
            println!("{}", study.bundle().plain());
            outputs.write(&study)
        }
        Task::Run(plan, outputs) => {
            BackendId::default().load_cuda();
            match run(&plan) {
                Ok(study) if !has_figures(&study, &plan.name) => {
                    eprintln!("benchbook study: every run failed; the rows above say why");
                    return 1;
                }
                Ok(study) => outputs.write(&study),
                Err(error) => Err(error),
            }
        }
        Task::Answer(file) => study::answer(&file),
        Task::Missing(plan) => plan
            .missing_rounds()
            .map(|rounds| println!("{}", serde_json::json!({ "missing": rounds }))),
    };
    match result {
        Ok(()) => 0,
        Err(error @ Error::Interrupted(_)) => {
            eprintln!("benchbook study: {error}; the same command resumes the study");
            interrupt::exit_status()
        }
        Err(error) => {
            eprintln!("benchbook study: {error}");
            1
        }
    }
}

/// Prints the name and place of each library, or why it is missing, as JSON for `benchbook doctor`.
#[unsafe(no_mangle)]
pub extern "C" fn benchbook_libraries_main() -> i32 {
    let found = ALL.iter().map(|runner| (runner.about().name, runner.installed()));
    println!("{}", serde_json::json!(found.collect::<Vec<_>>()));
    0
}

/// Whether a study of this name has a measured run.
fn has_figures(study: &Study, name: &str) -> bool {
    study.records().iter().any(|record| {
        counts(record) && record.place.as_ref().is_some_and(|place| place.study == name)
    })
}

enum Task {
    Run(Box<StudyPlan>, Outputs),
    Show(Box<Study>, Outputs),
    Answer(PathBuf),
    Missing(Box<StudyPlan>),
}

/// The files and folders for a study's results.
#[derive(Default)]
struct Outputs {
    chart: Option<PathBuf>,
    html: Option<PathBuf>,
    csv: Option<PathBuf>,
    tensorboard: Option<PathBuf>,
}

impl Outputs {
    /// Takes the options of outputs from all options.
    fn take(values: &mut BTreeMap<&str, &str>) -> Result<Self, String> {
        let mut path = |option| values.remove(option).map(PathBuf::from);
        let [chart, html] = ["--chart", "--html"].map(&mut path);
        let [csv, tensorboard] = ["--csv", "--tensorboard"].map(path);
        let ending = chart.as_deref().and_then(Path::extension).and_then(|ending| ending.to_str());
        if let (Some(file), false) = (&chart, matches!(ending, Some("svg" | "png" | "json"))) {
            let file = file.display();
            return Err(format!("--chart needs a .svg, .png or .json file (got {file})"));
        }
        Ok(Self { chart, html, csv, tensorboard })
    }

    fn write(&self, study: &Study) -> Result<(), Error> {
        let told = |what, path: &Path| println!("{what}: {}", path.display());
        if let Some(file) = &self.chart {
            draw(study, file)?;
            told("chart", file);
        }
        if let Some(file) = &self.html {
            study.write_html(file)?;
            told("page", file);
        }
        if let Some(folder) = &self.csv {
            study.write_csv(folder)?;
            told("tables", folder);
        }
        if let Some(folder) = &self.tensorboard {
            let count = study.write_events(folder)?.len();
            println!("events of {count} runs: {}", folder.display());
        }
        Ok(())
    }
}

fn run(plan: &StudyPlan) -> Result<Study, Error> {
    // Before the check, which would disturb a running study.
    let lock = plan.lock()?;
    let mut observer = terminal();
    let checked = plan.compute_alike(&mut observer)?;
    if let Some(checked) = &checked {
        println!("{}\n", checked.bundle().plain());
    }
    let study = plan.measure_locked(&lock, checked.as_ref(), &mut observer)?;
    println!("\n{}", study.bundle().plain());
    println!("\nrecords: {}", plan.records_file().display());
    Ok(study)
}

/// Draws the training times into a file; the extension selects the format.
fn draw(study: &Study, file: &Path) -> Result<(), Error> {
    let chart = study.chart(Quantity::Train)?;
    let bytes = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => return Ok(chart.vega_lite().write(file)?),
        Some("png") => chart.png(2.0)?,
        _ => chart.svg().into_bytes(),
    };
    std::fs::write(file, bytes).map_err(Error::file("write", file))
}

/// Prints events; progress lines only in a terminal.
pub(super) fn terminal() -> impl FnMut(&Event) {
    let is_live = io::stdout().is_terminal();
    move |event| {
        let mut output = io::stdout().lock();
        let _ = match event {
            Event::Begin { backend, run, runs, warm_up } => {
                let kind = if *warm_up { ", warm-up" } else { "" };
                writeln!(output, "[{run}/{runs}{kind}] {backend}")
            }
            Event::Line { text, passing: true, .. } if is_live => write!(output, "  {text}\r"),
            Event::Line { text, passing: false, .. } => writeln!(output, "  {text}"),
            Event::End(record) => {
                let reason = record.reason();
                reason.map_or(Ok(()), |reason| writeln!(output, "  {reason}"))
            }
            Event::Kept { backend, run } => {
                writeln!(output, "[{run}] {backend}: kept from an earlier call")
            }
            Event::Busy { cores } => writeln!(output, "{}", busy(*cores)),
            Event::Repeat { why, .. } => writeln!(output, "  disturbed, so it runs again: {why}"),
            Event::Line { .. } | Event::Phase { .. } => Ok(()),
        };
        let _ = output.flush();
    }
}

fn read(words: &[String]) -> Result<Task, String> {
    let CommandLine { files, switches, mut values } = CommandLine::read(words, HELP, study::ANSWER)
        .map_err(|message| message.replace(HELP, &help()))?;
    if let Some(file) = values.get(study::ANSWER) {
        return Ok(Task::Answer(file.into()));
    }
    let outputs = Outputs::take(&mut values)?;
    let report = switches.contains(&"--report");
    if report || switches.contains(&"--show") {
        let study = shown(report, &files, &values)?;
        return Ok(Task::Show(Box::new(study), outputs));
    }
    let mut plan = match (files.as_slice(), values.get("--data")) {
        ([file], _) => StudyPlan::read(file).map_err(|error| error.to_string())?,
        ([], Some(data)) => {
            let mut job = Job::new(data);
            job.fit.optimizer = Optimizer::momentum(0.9);
            job.build.compute = Compute::common(false);
            StudyPlan::new("study", job)
        }
        ([], None) => {
            return Err(format!("nothing to run; give STUDY.json or --data FOLDER\n\n{}", help()));
        }
        (several, _) => return Err(format!("give one study (got {} files)", several.len())),
    };
    for (option, value) in values {
        set(&mut plan, option, value)?;
    }
    if switches.contains(&"--no-check") {
        plan.check = None;
    }
    if switches.contains(&"--missing") {
        return Ok(Task::Missing(Box::new(plan)));
    }
    Ok(Task::Run(Box::new(plan), outputs))
}

fn set(plan: &mut StudyPlan, option: &str, value: &str) -> Result<(), String> {
    let job = &mut plan.job;
    match option {
        "--data" => job.data = value.into(),
        "--backends" => {
            plan.backends = value.split(',').map(|name| name.trim().to_owned()).collect();
        }
        "--repeats" => plan.repeats = number(option, value)?,
        "--round" => plan.round = Some(number(option, value)?),
        "--net" => {
            let net = serde_json::json!({ "architecture": value });
            job.net = serde_json::from_value(net).map_err(|error| format!("--net: {error}"))?;
        }
        "--size" => {
            if !job.net.set_size(number(option, value)?) {
                return Err("--size: the job's net is a graph; set its `input`".into());
            }
        }
        "--batch-size" => job.fit.batch_size = number(option, value)?,
        "--ranks" => job.build.ranks = number(option, value)?,
        "--epochs" => job.fit.epochs = number(option, value)?,
        "--steps" => job.fit.steps_per_epoch = Some(number(option, value)?),
        "--rate" => job.fit.learning_rate = Some(number(option, value)?),
        "--weights" => {
            job.build.weights =
                Weights::from_file(value).map_err(|error| format!("--weights: {error}"))?;
        }
        "--device" => job.build.device = device(value)?,
        "--precision" => job.build.compute = compute(value)?,
        "--name" => plan.name = value.into(),
        "--records" => plan.records = Some(value.into()),
        "--baseline" => plan.baseline = Some(value.into()),
        "--target-accuracy" => plan.target_accuracy = Some(number(option, value)?),
        "--price-per-hour" => plan.price_per_hour = Some(Price::try_from(value.to_owned())?),
        "--on" => return Err("--on needs the command `benchbook` of the Python package".into()),
        _ => return Err(format!("unknown option {option}")),
    }
    Ok(())
}

pub(super) fn number<T: std::str::FromStr>(option: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{option} needs a number (got {value})"))
}

fn device(value: &str) -> Result<Option<tch::Device>, String> {
    Ok(match value.parse().map_err(|wrong| format!("--device: {wrong}"))? {
        Device::Auto => None,
        Device::Cpu => Some(tch::Device::Cpu),
        Device::Cuda(number) => Some(tch::Device::Cuda(number)),
    })
}

fn compute(precision: &str) -> Result<Compute, String> {
    match precision {
        "float32" => Ok(Compute::common(false)),
        "tf32" => Ok(Compute::common(true)),
        "float64" => Ok(Compute::exact()),
        "bfloat16" => Ok(Compute { precision: Precision::BFloat16, ..Compute::common(true) }),
        "float16" => Ok(Compute { precision: Precision::Float16, ..Compute::common(true) }),
        _ => Err(format!(
            "--precision needs float64, float32, tf32, bfloat16 or float16 (got {precision})"
        )),
    }
}

fn shown(report: bool, files: &[PathBuf], values: &BTreeMap<&str, &str>) -> Result<Study, String> {
    let mut study = match (report, files) {
        (true, _) => Study::of_records(crate::study::report_2019()),
        (false, [first, ..]) => Study::read(first).map_err(|error| error.to_string())?,
        (false, []) => return Err("--show needs a file of records".into()),
    };
    for file in if report { files } else { &files[1..] } {
        study = study.and(file).map_err(|error| error.to_string())?;
    }
    if let Some(baseline) = values.get("--baseline") {
        study = study.baseline(*baseline);
    }
    if let Some(target) = values.get("--target-accuracy") {
        study = study.target_accuracy(number("--target-accuracy", target)?);
    }
    if let Some(price) = values.get("--price-per-hour") {
        study = study.price_per_hour(Price::try_from((*price).to_owned())?);
    }
    Ok(study)
}

#[cfg(test)]
mod tests {
    use super::super::command_line::tests::words;
    use super::*;
    use benchbook_nets::Named;

    #[test]
    fn options_replace_what_the_plan_says() {
        let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
        let empty = benchbook_backend::Parameters::default();
        benchbook_weights::safetensors::write(&empty, file.path(), Default::default()).unwrap();
        let mut line = words(
            "--data images --backends libtorch,python-keras --repeats 5 --no-check --size 64 \
             --device cuda --precision tf32 --steps 10 --weights",
        );
        line.push(file.path().display().to_string());
        let Ok(Task::Run(plan, _)) = read(&line) else { panic!("a plan") };
        let Named::Vgg16(net) = &plan.job.net else { panic!("{:?}", plan.job.net) };
        let build = &plan.job.build;
        assert_eq!((net.size, build.device), (64, Some(tch::Device::Cuda(0))));
        assert_eq!(build.weights, Weights::File(file.path().into()));
        assert_eq!([build.compute.tf32_matmul, build.compute.tf32_convolutions], [true, true]);
        assert_eq!(plan.job.fit.steps_per_epoch, Some(10));
        assert_eq!(plan.backends, ["libtorch", "python-keras"]);
        assert_eq!((plan.repeats, plan.check, plan.job.data), (5, None, PathBuf::from("images")));
        let Ok(Task::Run(plan, _)) = read(&words("--data images")) else { panic!("a plan") };
        assert_eq!(plan.job.build.compute, Compute::common(false), "what TensorFlow can do, too");
    }

    #[test]
    fn the_help_names_every_backend() {
        let Ok(Task::Run(plan, _)) = read(&words("--data images")) else { panic!("a plan") };
        assert_eq!(plan.backends, COMPARED);
        let help = help();
        let backends = ALL.iter().map(|library| library.about().id);
        for word in backends {
            assert!(help.contains(word), "{word}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let cases = [
            ("--data a --epoch 3", "unknown option --epoch"),
            ("--epochs 3", "nothing to run"),
            ("", "nothing to run"),
            ("--device cuda1 --data a", "--device: unknown device `cuda1`"),
            ("--repeats x --data a", "got x"),
            ("--weights absent.bin --data a", "--weights: cannot read the weights absent.bin"),
            ("--device gpu --data a", "--device: unknown device `gpu`"),
            ("--precision half --data a", "got half"),
            ("--price-per-hour 3 --data a", "a number and a currency"),
            ("--report --target-accuracy high", "got high"),
            ("--report --chart a.pdf", "got a.pdf"),
            ("--show", "a file"),
        ];
        for (arguments, named) in cases {
            let Err(message) = read(&words(arguments)) else { panic!("{arguments} is an error") };
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn the_report_is_shown_by_the_ordinary_table() {
        let Ok(Task::Show(study, _)) = read(&words("--report")) else { panic!("a table") };
        assert!(study.bundle().plain().contains("~3.18~"), "{}", study.bundle().plain());
    }
}
