//! `benchbook doctor`: what is here, what is missing, and how to get it.

use crate::kernelspec;
use crate::libtorch::{self, Libtorch};
use crate::template::Template;
use crate::toolchain::{Toolchain, on_path};
use benchbook_tensorflow::Location;
use serde_json::Value;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    what: &'static str,
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

    fn add(
        &mut self,
        what: &'static str,
        state: State,
        found: impl Into<String>,
        fix: Option<&str>,
    ) {
        self.lines.push(Line { what, state, found: found.into(), fix: fix.map(str::to_owned) });
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

/// Looks at everything that the kernel needs, in the order in which it needs it.
pub fn examine(prefix: Option<&Path>) -> Report {
    let mut report = Report::default();
    let spec = installed(prefix);
    let template = spec.as_ref().and_then(|(_, template)| Template::open(template).ok());
    toolchain(&mut report);
    linker(&mut report);
    libtorch(&mut report, template.as_ref());
    gpu(&mut report, template.as_ref());
    tensorflow(&mut report);
    match spec {
        Some((folder, path)) => {
            report.add("kernelspec", State::Good, folder.display().to_string(), None);
            match Template::open(&path).and_then(|template| template.check().map(|()| template)) {
                Ok(template) => {
                    let changed = template.changed_sources();
                    let (text, fix) = match changed.as_slice() {
                        [] => (String::new(), None),
                        files => (
                            format!("; the source has changed since: {}", files.join(", ")),
                            Some("run `environment/run` to use the new source"),
                        ),
                    };
                    report.add("template", State::Good, format!("{}{text}", path.display()), fix);
                }
                Err(error) => report.add("template", State::Bad, error.to_string(), None),
            }
        }
        None => {
            let fix = "run `environment/run`, or `benchbook install`";
            report.add("kernelspec", State::Bad, "Jupyter does not know the kernel", Some(fix));
        }
    }
    temporary_folder(&mut report);
    report
}

/// Where sessions have their folders.
fn temporary_folder(report: &mut Report) {
    const WHAT: &str = "TMPDIR";
    match crate::session::check() {
        Ok(folder) => report.add(WHAT, State::Good, folder.display().to_string(), None),
        Err(error) => report.add(WHAT, State::Bad, format!("{error:#}"), None),
    }
}

/// The kernelspec's folder and the template that it names.
fn installed(prefix: Option<&Path>) -> Option<(PathBuf, PathBuf)> {
    let environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let local = PathBuf::from(".venv");
    let candidates = match prefix {
        Some(prefix) => vec![Some(prefix.to_path_buf())],
        None => vec![environment, local.exists().then_some(local), None],
    };
    candidates.into_iter().find_map(|prefix| {
        let folder = kernelspec::folder(prefix.as_deref()).ok()?;
        let text = fs::read_to_string(folder.join("kernel.json")).ok()?;
        let spec: Value = serde_json::from_str(&text).ok()?;
        let words = spec["argv"].as_array()?;
        let at = words.iter().position(|word| word == "--template")?;
        Some((folder, PathBuf::from(words.get(at + 1)?.as_str()?)))
    })
}

fn toolchain(report: &mut Report) {
    match Toolchain::find() {
        Ok(toolchain) => {
            report.add(
                "rustc",
                State::Good,
                format!("{} at {}", toolchain.name(), toolchain.rustc.display()),
                None,
            );
            let source = toolchain.source();
            if source.is_dir() {
                report.add("rust-src", State::Good, source.display().to_string(), None);
            } else {
                let text = format!("not at {}", source.display());
                report.add(
                    "rust-src",
                    State::Bad,
                    text,
                    Some("run `rustup component add rust-src`"),
                );
            }
        }
        Err(error) => report.add("rustc", State::Bad, error.to_string(), None),
    }
}

fn linker(report: &mut Report) {
    match on_path("cc") {
        Some(path) => report.add("linker", State::Good, path.display().to_string(), None),
        None => {
            let fix = "sudo apt-get install build-essential";
            report.add("linker", State::Bad, "no `cc` on PATH", Some(fix));
        }
    }
}

fn libtorch(report: &mut Report, template: Option<&Template>) {
    let installed = template.map(|template| template.manifest.libtorch.folder.clone());
    for torch in libtorch::active_pytorch() {
        if let Err(error) = Libtorch::at(&torch, "the PyTorch of the active environment") {
            report.add("PyTorch", State::Absent, format!("not used: {error}"), None);
        }
    }
    match Libtorch::find(installed.as_deref()) {
        Ok(found) => {
            let device = if found.has_cuda() { "CPU and CUDA" } else { "CPU" };
            let text = format!("{} for {device} at {}", found.version, found.folder.display());
            report.add("libtorch", State::Good, text, None);
        }
        Err(error) => report.add("libtorch", State::Bad, error.to_string(), None),
    }
}

/// What the CUDA 13 build of libtorch 2.11 asks for.
/// Source: CUDA 13.0 release notes (driver) and PyTorch 2.11's list of architectures.
const DRIVER: f64 = 580.0;
const CAPABILITY: f64 = 7.5;

fn gpu(report: &mut Report, template: Option<&Template>) {
    let query = ["--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"];
    let output = Command::new("nvidia-smi")
        .args(query)
        .output()
        .ok()
        .filter(|output| output.status.success());
    let Some(output) = output else {
        return report.add("GPU", State::Absent, "no NVIDIA GPU; everything runs on the CPU", None);
    };
    let cuda = template.is_some_and(|template| template.manifest.libtorch.has_cuda());
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<&str> = line.split(", ").collect();
        let [name, driver, capability] = fields.as_slice() else { continue };
        let number = |text: &str| {
            text.split('.').take(2).collect::<Vec<_>>().join(".").parse().unwrap_or(0.0)
        };
        let text = format!("{name}, compute capability {capability}, driver {driver}");
        if number(driver) < DRIVER {
            let fix =
                format!("CUDA 13 needs driver {DRIVER:.0} or newer; until then the CPU is used");
            report.add("GPU", State::Absent, text, Some(&fix));
        } else if number(capability) < CAPABILITY {
            let fix = format!(
                "libtorch 2.11 for CUDA 13 needs compute capability {CAPABILITY} or newer; the CPU is used"
            );
            report.add("GPU", State::Absent, text, Some(&fix));
        } else if cuda {
            report.add("GPU", State::Good, text, None);
        } else {
            report.add(
                "GPU",
                State::Absent,
                text,
                Some("run `environment/run`, which takes the CUDA build of libtorch"),
            );
        }
    }
}

fn tensorflow(report: &mut Report) {
    match Location::find() {
        Ok(found) => report.add("TensorFlow", State::Good, found.path.display().to_string(), None),
        Err(_) => {
            let text = "not found; only the TensorFlow backend needs it";
            report.add("TensorFlow", State::Absent, text, Some(benchbook_tensorflow::FIX));
        }
    }
}
