//! `benchbook doctor`: lists what is installed, what is missing, and how to install it.

use crate::gpu_support::Support;
use crate::machine::{Machine, Part};
use crate::template::{Installation, Template};
use crate::{cache, kernelspec, worker};
use anyhow::ensure;
use std::fmt;
use std::path::Path;

/// The findings.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    what: String,
    state: State,
    found: String,
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// The kernel runs without it.
    Absent,
    /// The kernel cannot run.
    Bad,
}

impl Report {
    /// Whether the kernel can run.
    pub fn works(&self) -> bool {
        self.lines.iter().all(|line| line.state != State::Bad)
    }

    fn add(&mut self, what: &str, state: State, found: impl Into<String>, fix: Option<&str>) {
        self.lines.push(Line {
            what: what.into(),
            state,
            found: found.into(),
            fix: fix.map(str::to_owned),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let mark = match line.state {
                State::Good => "ok     ",
                State::Absent => "absent ",
                State::Bad => "MISSING",
            };
            writeln!(out, "{mark}  {:<12} {}", line.what, line.found)?;
            if let Some(fix) = &line.fix {
                writeln!(out, "                      fix: {fix}")?;
            }
        }
        let end = if self.works() { "the kernel can run" } else { "the kernel cannot run" };
        writeln!(out, "{end}")
    }
}

/// Checks everything that the kernel needs, in the order of use.
///
/// # Errors
/// There is no cache folder.
pub fn examine(prefix: Option<&Path>) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let spec = kernelspec::find(prefix);
    let opened = spec.as_ref().map(|(_, template)| Template::open(template));
    let template = opened.as_ref().and_then(|opened| opened.as_ref().ok());
    let machine = Machine::examine(template.map(|template| &template.manifest))?;
    part(&mut report, "rustc", &machine.toolchain.part, &machine.toolchain.version);
    part(&mut report, "linker", &machine.linker, "");
    libtorch(&mut report, &machine);
    gpus(&mut report, &machine);
    match &spec {
        Some((folder, _)) => {
            report.add("kernelspec", State::Good, folder.display().to_string(), None);
        }
        None => {
            let fix = "install the wheel (`pip install benchbook-*.whl`), or run `environment/run` in a checkout";
            report.add("kernelspec", State::Bad, "Jupyter does not know the kernel", Some(fix));
        }
    }
    match &opened {
        Some(Ok(template)) => {
            let folder = template.folder.display();
            let (text, fix) = match template.changed_sources().as_slice() {
                [] => (folder.to_string(), None),
                files => (
                    format!("{folder}; the source has changed since: {}", files.join(", ")),
                    Some("run `environment/run` to use the new source"),
                ),
            };
            report.add("template", State::Good, text, fix);
        }
        Some(Err(error)) => report.add("template", State::Bad, error.to_string(), None),
        None => {}
    }
    // One line for each part that a worker needs.
    if let Some(template) = template.filter(|_| report.works()) {
        libraries(&mut report, template);
    }
    cache_folder(&mut report, &machine.cache);
    temporary_folder(&mut report);
    Ok(report)
}

/// Without a cache folder, cells run, but crates and downloads of `benchbook setup` have no place.
fn cache_folder(report: &mut Report, folder: &Path) {
    const FIX: &str =
        "set BENCHBOOK_CACHE to a folder that can; `:dep` and `benchbook setup` need it";
    match cache::check(folder) {
        Ok(()) => report.add("cache", State::Good, folder.display().to_string(), None),
        Err(error) => {
            let text = format!("{} cannot be written ({error})", folder.display());
            report.add("cache", State::Absent, text, Some(FIX));
        }
    }
}

/// The folder that holds session folders.
fn temporary_folder(report: &mut Report) {
    const WHAT: &str = "TMPDIR";
    match crate::session::check() {
        Ok(folder) => report.add(WHAT, State::Good, folder.display().to_string(), None),
        Err(error) => report.add(WHAT, State::Bad, format!("{error:#}"), None),
    }
}

fn part(report: &mut Report, what: &str, part: &Part, version: &str) {
    match (&part.found, &part.problem) {
        (Some(found), _) => {
            let text = format!("{version} at {}", found.display());
            report.add(what, State::Good, text.trim_start_matches(" at "), None);
        }
        (None, problem) => report.add(what, State::Bad, problem.clone().unwrap_or_default(), None),
    }
}

fn libtorch(report: &mut Report, machine: &Machine) {
    for other in &machine.libtorch.others {
        report.add("PyTorch", State::Absent, format!("not used: {other}"), None);
    }
    match &machine.libtorch.libtorch {
        Some(found) => {
            let device = if found.has_cuda() { "CPU and CUDA" } else { "CPU" };
            let text = format!("{} for {device} at {}", found.version, found.folder.display());
            report.add("libtorch", State::Good, text, None);
        }
        None => part(report, "libtorch", &machine.libtorch.part, ""),
    }
}

fn gpus(report: &mut Report, machine: &Machine) {
    if machine.gpus.is_empty() {
        report.add("GPU", State::Absent, "no NVIDIA GPU; everything runs on the CPU", None);
    }
    for gpu in &machine.gpus {
        let text =
            format!("{}, compute capability {}, driver {}", gpu.name, gpu.capability, gpu.driver);
        match gpu.support(machine.libtorch.libtorch.as_ref()) {
            Support::Used => report.add("GPU", State::Good, text, None),
            Support::Unused(fix) => report.add("GPU", State::Absent, text, Some(&fix)),
        }
    }
}

/// The libraries that studies compare, as the worker lists them.
fn libraries(report: &mut Report, template: &Template) {
    let listed = || {
        let here = Installation::open(&template.folder)?;
        let output = worker::command(&here)?.arg("libraries").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} ended: {}", template.worker().display(), said.trim());
        Ok(serde_json::from_slice::<Vec<(String, Result<String, String>)>>(&output.stdout)?)
    };
    match listed() {
        Ok(libraries) => {
            for (name, found) in libraries {
                let state = if found.is_ok() { State::Good } else { State::Absent };
                report.add(&name, state, found.unwrap_or_else(|missing| missing), None);
            }
        }
        Err(error) => report.add("worker", State::Bad, format!("{error:#}"), None),
    }
}
