//! Runs cells with evcxr. No other file of the project names it.
//!
//! evcxr is unmodified. It finds the stand-in for cargo (`cargo.rs`) where it looks for cargo, and
//! our worker in the seat of its child process; a cell is rewritten once before it gets there
//! (`evaluate/prepare.rs`).

mod errors;
mod prepare;

use crate::cargo::{CELL, LOG, TYPES};
use crate::libtorch::Libtorch;
use crate::session::{OPT_LEVEL, Session};
use crate::template::Template;
use crate::worker::{self, Host};
use benchbook_display::Bundle;
use benchbook_jupyter::{
    Cell, Completions, Detail, Evaluator, Executed, Failure, Match, Outcome, Output,
};
use evcxr::{CommandContext, Error, EvalContext, EvalOutputs};
use serde_json::{Map, Value, json};
use std::fs;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// What every session begins with. The macros are named one by one, since a glob would leave it
/// open whether `println!` is ours or the standard library's. The `?` makes evcxr wrap this cell,
/// and from then on every cell, in a function that allows it; otherwise the first cell with a `?`
/// would be compiled twice.
const PRELUDE: &str = "use benchbook::prelude::*;
use benchbook::{eprint, eprintln, print, println};
Ok::<(), String>(())?;";

/// What completions are asked for while nobody waits, so that rust-analyzer has the names of all crates and the
/// implementations of all traits when the first `let` needs them.
const WARM_UP: &[&str] = &[
    "benchbook::",
    "let warm_up = vec![1.0].into_iter().map(|x: f64| x * 2.0).collect::<Vec<f64>>();\nwarm_up.",
];

/// Rust, evaluated by evcxr in a worker.
pub struct Rust {
    /// Never dropped: rust-analyzer takes seconds to free what the end of the process frees.
    context: ManuallyDrop<CommandContext>,
    host: Host,
    crate_folder: PathBuf,
    notice: Option<String>,
    /// rust-analyzer knows the crates of the session.
    types: bool,
    /// How many of [`WARM_UP`] were done.
    warmed: usize,
    /// `:clear` has taken the prelude away, and an interrupt kept it from coming back.
    prelude_due: bool,
}

impl Rust {
    /// Starts a worker and evcxr. Takes seconds; the kernel answers meanwhile.
    ///
    /// # Errors
    /// Anything that keeps cells from running, with what to do about it.
    pub fn start(template: &Template, session: &Arc<Session>, host: Host) -> anyhow::Result<Self> {
        template.check()?;
        let libtorch = Libtorch::find(Some(&template.manifest.libtorch.folder))?;
        tracing::info!("libtorch {} at {}", libtorch.version, libtorch.folder.display());
        let socket = session.folder().join("frames");
        let command = worker::session_command(template, &libtorch, &socket)?;
        host.begin(None);
        let (context, outputs) = EvalContext::with_subprocess_command(command)
            .map_err(|error| anyhow::anyhow!("the worker could not start: {error}"))?;
        for lines in [outputs.stdout, outputs.stderr] {
            let host = host.clone();
            thread::Builder::new().name("evcxr output".into()).spawn(move || {
                lines.iter().for_each(|line| host.log(&line));
            })?;
        }
        let mut context = CommandContext::with_eval_context(context);
        // Unless an `evcxr.toml` in the working folder says otherwise, it is set already.
        context.set_opt_level(OPT_LEVEL).map_err(|error| anyhow::anyhow!("{error}"))?;
        let prelude = context.execute(PRELUDE);
        let ended = host.end(false);
        if let Some(failure) = ended.failure {
            anyhow::bail!("the helper library does not work: {}", failure.evalue);
        }
        prelude.map_err(|error| anyhow::anyhow!("the helper library cannot be used: {error}"))?;
        let context = ManuallyDrop::new(context);
        Ok(Self {
            context,
            host,
            crate_folder: session.crate_folder(),
            notice: notice(template),
            types: false,
            warmed: 0,
            prelude_due: false,
        })
    }

    /// Has rust-analyzer learn the crates of the session, which takes it seconds. Until then it knows
    /// none, since cells without a `let` need no types.
    fn load_types(&mut self) {
        if self.types {
            return;
        }
        self.types = true;
        // It loads anew when the manifest has changed: here by a blank, which means nothing. The
        // manifest is written by evcxr before a cell, and here for the questions before the next.
        let manifest = self.crate_folder.join("Cargo.toml");
        let level = format!("{OPT_LEVEL} ");
        let written = fs::write(self.crate_folder.join(TYPES), "").and_then(|()| {
            let line = |level: &str| format!("opt-level = {level}\n");
            let text = fs::read_to_string(&manifest)?;
            fs::write(&manifest, text.replace(&line(OPT_LEVEL), &line(&level)))
        });
        if let Err(error) = written {
            tracing::error!("types will have to be written down: {error}");
        }
        if let Err(error) = self.context.set_opt_level(&level) {
            tracing::error!("types will have to be written down: {error}");
        }
    }

    /// Passes on what the stand-in for cargo has noted.
    fn log(&self) {
        let path = self.crate_folder.join(LOG);
        let Ok(text) = fs::read_to_string(&path) else { return };
        let _ = fs::remove_file(path);
        for line in text.lines() {
            tracing::info!("stand-in for cargo: {line}");
        }
    }

    /// The places in a traceback, in the user's cell and not in the file that was compiled.
    fn with_places(&self, mut failure: Failure, prepared: &prepare::Prepared) -> Failure {
        let Ok(compiled) = fs::read_to_string(self.crate_folder.join(CELL)) else { return failure };
        for entry in &mut failure.traceback {
            let Some(place) = entry.strip_prefix("at ").and_then(|place| place.strip_prefix(CELL))
            else {
                continue;
            };
            let mut numbers =
                place.trim_start_matches(':').split(':').map(|number| number.parse().unwrap_or(0));
            let (line, column) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            *entry = match prepared.place(&compiled, line, column) {
                Some((line, column)) => format!("at line {line}, column {column}"),
                None => {
                    let text =
                        compiled.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
                    format!("in code of an earlier cell: {text}")
                }
            };
        }
        failure
    }

    /// Runs prepared code. After `:clear` everything that a session begins with is there again.
    fn run(&mut self, code: &str, output: &Output) -> Result<EvalOutputs, Error> {
        if self.prelude_due {
            self.context.execute(PRELUDE)?;
            self.prelude_due = false;
        }
        let Some((head, tail)) = prepare::split_at_clear(code) else {
            return self.context.execute(code);
        };
        self.prelude_due = true;
        show(&self.context.execute(&head)?, output);
        self.context.execute(PRELUDE)?;
        self.prelude_due = false;
        self.context.execute(&tail)
    }

    fn outcome(&mut self, cell: &Cell, output: &Output) -> (Outcome, Map<String, Value>) {
        if let Some((command, instead)) = prepare::refused(&cell.code) {
            self.host.end(false);
            let text = format!("{command} is not available in Benchbook: {instead}");
            return (Outcome::Error(Failure::new("CommandError", text)), Map::new());
        }
        if let Some((line, column)) = prepare::missing_pattern(&cell.code) {
            self.host.end(false);
            let failure = errors::syntax("expected pattern", line, column, cell);
            return (Outcome::Error(failure), Map::new());
        }
        let prepared = prepare::prepare(&cell.code);
        let before: Vec<String> =
            self.context.variables_and_types().map(|(name, _)| name.to_owned()).collect();
        let begun = Instant::now();
        if prepare::needs_types(&cell.code) {
            self.load_types();
        }
        let result = self.run(&prepared.code, output);
        self.log();
        let died = matches!(result, Err(Error::SubprocessTerminated(_)));
        let ended = self.host.end(died);
        let run = ended.ran.as_secs_f64();
        let compile = (begun.elapsed().as_secs_f64() - run).max(0.0);
        let mut metadata = Map::new();
        metadata.insert("benchbook".into(), json!({ "compile_s": compile, "run_s": run }));
        let failure = match result {
            Ok(outputs) => {
                show(&outputs, output);
                ended.failure.map(|failure| self.with_places(failure, &prepared))
            }
            Err(Error::SubprocessTerminated(how)) => {
                Some(died_of(&how, ended.interrupted, before, cell))
            }
            Err(_) if ended.interrupted => Some(interrupted()),
            Err(Error::CompilationErrors(errors)) => {
                Some(errors::failure(&errors, &cell.code, &prepared, cell.execution_count))
            }
            Err(error) => Some(Failure::new("Error", error.to_string())),
        };
        let outcome = match failure {
            Some(failure) => Outcome::Error(with_traceback(failure, cell)),
            None => Outcome::ok(),
        };
        (outcome, metadata)
    }
}

impl Evaluator for Rust {
    fn execute(&mut self, cell: &Cell, output: &Output) -> Executed {
        self.host.begin(Some(output));
        if output.interrupted() {
            // It came before the state of the last cell was cleared.
            self.host.interrupt();
        }
        if let Some(notice) = self.notice.take() {
            output.stream(benchbook_jupyter::Stream::Stderr, &notice);
        }
        let (outcome, metadata) = self.outcome(cell, output);
        Executed { outcome, metadata }
    }

    fn shutdown(&mut self, _restart: bool) {
        self.host.kill();
    }

    fn idle(&mut self) -> bool {
        let Some(code) = WARM_UP.get(self.warmed) else { return false };
        self.warmed += 1;
        self.load_types();
        if let Err(error) = self.context.completions(code, code.len()) {
            tracing::debug!("not warmed up: {error:#}");
        }
        self.log();
        self.warmed < WARM_UP.len()
    }

    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        self.load_types();
        match self.context.completions(&prepare::without_refused(code), cursor) {
            Ok(found) => Completions {
                matches: found
                    .completions
                    .into_iter()
                    .map(|completion| Match { text: completion.code, kind: completion.kind.into() })
                    .collect(),
                start: found.start_offset,
                end: found.end_offset,
            },
            Err(error) => {
                tracing::debug!("no completions: {error:#}");
                Completions::none(cursor)
            }
        }
    }

    fn inspect(&mut self, code: &str, cursor: usize, _detail: Detail) -> Option<Bundle> {
        self.load_types();
        let end = code[cursor..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let end = end.map_or(code.len(), |end| cursor + end);
        match self.context.hover_at(&prepare::without_refused(&code[..end]), end) {
            Ok((plain, _)) if plain.is_empty() || plain == "No documentation found" => None,
            Ok((plain, html)) => Some(Bundle::text(plain).html(html)),
            Err(error) => {
                tracing::debug!("nothing to inspect: {error:#}");
                None
            }
        }
    }
}

/// Stands in for [`Rust`] when it could not start: every cell says why.
pub struct Unavailable {
    /// Why.
    pub reason: String,
}

impl Evaluator for Unavailable {
    fn execute(&mut self, _cell: &Cell, _output: &Output) -> Executed {
        Outcome::Error(Failure::new("KernelNotReady", &self.reason)).into()
    }
}

/// A word to the user before the first cell, if the checkout is ahead of what is installed.
fn notice(template: &Template) -> Option<String> {
    let changed = template.changed_sources();
    let first = changed.first()?;
    let more = match changed.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "Note: {first}{more} changed since the helper library was built. Cells use the library as it \
         was; run `environment/run` and restart the kernel to use the new source.\n"
    ))
}

/// Outputs of evcxr itself: what its commands say.
fn show(outputs: &EvalOutputs, output: &Output) {
    if outputs.is_empty() {
        return;
    }
    let mut bundle = Bundle::text(outputs.get("text/plain").unwrap_or_default());
    for (mime, content) in &outputs.content_by_mime_type {
        bundle = bundle.with(mime, content);
    }
    output.result(&bundle);
}

fn interrupted() -> Failure {
    Failure::new(
        "KeyboardInterrupt",
        "the cell was interrupted while it was compiled; variables are kept",
    )
}

fn died_of(how: &str, interrupted: bool, variables: Vec<String>, cell: &Cell) -> Failure {
    let how =
        how.lines().last().unwrap_or(how).trim_start_matches("Subprocess terminated with status: ");
    let lost = match variables.as_slice() {
        [] => "no variables were lost".to_owned(),
        names => format!("lost variables: {}", names.join(", ")),
    };
    let count = cell.execution_count;
    if interrupted {
        let text = format!(
            "cell {count} did not react to the interrupt, so its process was ended; {lost}"
        );
        return Failure::new("KeyboardInterrupt", text);
    }
    Failure::new(
        "WorkerDied",
        format!("the process that runs the cells ended in cell {count} ({how}); {lost}"),
    )
}

/// The traceback begins with what failed, as everywhere in Jupyter.
fn with_traceback(mut failure: Failure, cell: &Cell) -> Failure {
    let head = format!("{}: {}", failure.ename, failure.evalue);
    if failure.ename != "CompileError" && failure.traceback.first() != Some(&head) {
        let place = format!("in cell {}", cell.execution_count);
        failure.traceback.insert(0, head);
        failure.traceback.insert(1, place);
    }
    failure
}
