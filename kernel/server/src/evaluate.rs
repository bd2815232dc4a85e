//! Runs cells with evcxr. Only this file and the files below it use evcxr.
//!
//! evcxr is unmodified. It finds the stand-in for cargo (`cargo.rs`) where it searches for cargo, and
//! Benchbook's worker in place of its own child process. A cell is rewritten once before evcxr gets it
//! (`evaluate/prepare.rs`).

mod commands;
mod compiler;
mod completion;
mod configuration;
mod death;
mod documentation;
mod errors;
mod items;
mod mend;
mod prepare;
mod reduce;
mod thread;

use crate::cache;
use crate::cargo::reduced::Reduced;
use crate::cargo::variables::{self, OUTDATED, Outdated};
use crate::cargo::{self, CELL, INTERRUPTED, LOG, TYPES, files};
use crate::evcxr_contract;
use crate::names::Names;
use crate::parsed::Parsed;
use crate::session::{OPT_LEVEL, Session};
use crate::template::{Installation, Template};
use crate::worker::{self, BeforeRun, Begun, Ended, Host};
use anyhow::Context;
use benchbook_display::Bundle;
use benchbook_jupyter::{
    Cell, Completions, Detail, Evaluator, Executed, Expression, Failure, Outcome, Output,
};
use commands::Form;
use death::{Cause, Checkpoint};
use errors::Place;
use evcxr::{CommandContext, Error, EvalContext, EvalOutputs};
use items::Items;
use prepare::Prepared;
use serde_json::{Map, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use configuration::copy as copy_configuration;
pub(crate) use errors::unclosed_bracket;
pub(crate) use items::{imported, paths};
pub(crate) use prepare::SHOW;
pub use thread::EvaluationThread;

/// The first code of every session. The macros are named one by one, because a glob import would leave it
/// ambiguous whether `println!` is ours or the standard library's. The `?` makes evcxr wrap this cell and all
/// later ones in a function that allows `?`; otherwise the first cell with a `?` would be compiled twice.
const PRELUDE: &str = "use benchbook::prelude::*;
use benchbook::{eprint, eprintln, print, println};
Ok::<(), String>(())?;";

/// Questions sent to rust-analyzer while no cell waits, so that it has loaded the names of all
/// crates and the implementations of all traits when the first `let` needs them.
const WARM_UP: &[Question] = &[
    Question::Completions("benchbook::"),
    Question::Completions(
        "let warm_up = vec![1.0].into_iter().map(|x: f64| x * 2.0).collect::<Vec<f64>>();\nwarm_up.",
    ),
    Question::Types("let warm_up = (benchbook::tch::Tensor::new(), vec![1.0_f32], String::new());"),
];

enum Question {
    /// Completions at the end of a text.
    Completions(&'static str),
    /// The types of the variables of a cell, without running the cell.
    Types(&'static str),
}

/// Rust, evaluated by evcxr in a worker.
pub struct Rust {
    /// Never dropped: rust-analyzer takes seconds to free memory that the end of the process frees anyway.
    context: ManuallyDrop<CommandContext>,
    host: Host,
    /// Output of workers on standard error: the last lines of a worker that died.
    last_words: crossbeam_channel::Receiver<String>,
    session: Arc<Session>,
    crate_folder: PathBuf,
    notice: Option<String>,
    /// Whether rust-analyzer has loaded the session's crates.
    types: bool,
    /// Number of [`WARM_UP`] questions answered.
    warmed: usize,
    /// `:clear` removed the prelude, and an interrupt prevented its return.
    prelude_due: bool,
    /// Format of displayed values.
    form: Form,
    /// Items defined by cells.
    items: Items,
    /// Variables that no longer exist, each with a sentence on the cause and the remedy.
    gone: HashMap<String, String>,
    /// Answers completions and inspections while a cell runs.
    names: Arc<Names>,
}

/// Notes on items that are set aside, by item name; shown when the cell runs.
type Notes = Arc<Mutex<BTreeMap<String, String>>>;

/// How many rounds of setting aside conflicting items of earlier cells one cell may need.
const MENDING: usize = 5;

/// A variable's name and its type.
type Variable = (String, String);

/// A cell to be run. It passes through the phases below; each phase consumes the previous one.
struct Request<'a> {
    cell: &'a Cell,
    parsed: Parsed,
    output: &'a Output,
}

/// A cell that can be run.
struct Ready<'a> {
    request: Request<'a>,
    begun: Begun,
    prepared: Prepared,
    notes: Notes,
    /// The session's variables before the cell.
    before: Vec<Variable>,
    /// Number of processes that the system had killed for lack of memory before the cell.
    killed: u64,
    since: Instant,
}

/// A cell that has run or failed to compile.
struct Ran<'a> {
    request: Request<'a>,
    prepared: Prepared,
    before: Vec<Variable>,
    result: Result<EvalOutputs, Error>,
    outdated: Vec<Outdated>,
    ended: Ended,
    /// Whether the system killed a process for lack of memory during the cell.
    out_of_memory: bool,
    took: Duration,
}

/// A cell after its variables were compared; the second field holds the lost variables.
struct Settled<'a>(Ran<'a>, Vec<Variable>);

impl Rust {
    /// Starts a worker and evcxr. Takes seconds, during which the kernel answers requests.
    ///
    /// # Errors
    /// Any reason why cells cannot run, with the remedy.
    pub fn start(
        here: &Installation,
        session: &Arc<Session>,
        host: Host,
        names: Arc<Names>,
    ) -> anyhow::Result<Self> {
        let mut command = worker::session_command(here, host.socket())?;
        session.restore()?;
        host.listen().with_context(|| host.socket().display().to_string())?;
        command.current_dir(std::env::current_dir()?);
        let begun = host.begin(None);
        let started = configuration::without(session.folder(), || {
            EvalContext::with_subprocess_command(command)
        })?;
        let (context, outputs) =
            started.map_err(|error| anyhow::anyhow!("the worker could not start: {error}"))?;
        let lines = outputs.stdout;
        let listener = host.clone();
        // evcxr blocks until these lines are read.
        std::thread::Builder::new().name("evcxr output".into()).spawn(move || {
            lines.iter().for_each(|line| listener.log(&line));
        })?;
        let mut context = CommandContext::with_eval_context(context);
        let prelude = context.execute(PRELUDE);
        let ended = begun.end(false);
        if let Some(failure) = ended.failure {
            anyhow::bail!(
                "cannot start the helper library: {}; run `environment/run`, or install the wheel again, and restart the kernel",
                failure.evalue
            );
        }
        prelude.map_err(|error| anyhow::anyhow!("cannot load the helper library: {error}; run `environment/run`, or install the wheel again, and restart the kernel"))?;
        Ok(Self {
            context: ManuallyDrop::new(context),
            host,
            last_words: outputs.stderr,
            session: Arc::clone(session),
            crate_folder: session.crate_folder(),
            notice: notice(&here.template),
            types: false,
            warmed: 0,
            prelude_due: false,
            form: Form::default(),
            items: Items::default(),
            gone: HashMap::new(),
            names,
        })
    }

    /// Restores missing parts of the session's folder.
    fn restore(&self) -> Result<(), Failure> {
        let restored = self.session.restore().and_then(|()| {
            if self.types {
                fs::write(self.crate_folder.join(TYPES), "")?;
            }
            Ok(self.host.listen()?)
        });
        restored.map_err(|error| {
            let text = format!("{error:#}; the cell has not run and all variables are kept");
            Failure::new("KernelNotReady", text)
        })
    }

    /// Makes rust-analyzer load the session's crates, which takes seconds. Before that it has no
    /// crates, since cells without a `let` need no types.
    fn load_types(&mut self) {
        if self.types {
            return;
        }
        self.types = true;
        // rust-analyzer reloads when the manifest changes; a blank changes it without effect. evcxr writes the
        // manifest before a cell; this code writes it for questions before the next cell.
        let manifest = self.crate_folder.join("Cargo.toml");
        let level = format!("{OPT_LEVEL} ");
        let written = fs::write(self.crate_folder.join(TYPES), "").and_then(|()| {
            let line = evcxr_contract::opt_level;
            let text = fs::read_to_string(&manifest)?;
            fs::write(&manifest, text.replace(&line(OPT_LEVEL), &line(&level)))
        });
        if let Err(error) = written {
            tracing::error!(
                "cannot infer types of variables: {error}; annotate them (`let x: Type = …`)"
            );
        }
        if let Err(error) = self.context.set_opt_level(&level) {
            tracing::error!(
                "cannot infer types of variables: {error}; annotate them (`let x: Type = …`)"
            );
        }
    }

    /// Lets evcxr infer the types of a cell's variables and stops it before it compiles, as after
    /// an interrupt. The session does not change.
    fn ask_types(&mut self, code: &str) {
        let interrupted = self.crate_folder.join(INTERRUPTED);
        if let Err(error) = fs::write(&interrupted, "") {
            tracing::debug!("not warmed up: {error}");
            return;
        }
        if self.context.execute(code).is_ok() {
            tracing::error!("a cell was run that should not be: {code}");
        }
        let _ = fs::remove_file(interrupted);
    }

    /// Forwards the log of the cargo stand-in.
    fn log(&self) {
        let path = self.crate_folder.join(LOG);
        let Ok(text) = fs::read_to_string(&path) else { return };
        let _ = fs::remove_file(path);
        for line in text.lines() {
            tracing::info!("stand-in for cargo: {line}");
        }
    }

    fn variables(&self) -> Vec<Variable> {
        let variables = self.context.variables_and_types();
        let mut variables: Vec<Variable> =
            variables.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        variables.sort();
        variables
    }

    /// Lets evcxr run code; the stand-in restores the parts that `left_out` names.
    fn evaluate(&mut self, code: &str, left_out: &Reduced) -> Result<EvalOutputs, Error> {
        left_out.write(&self.crate_folder).map_err(|error| Error::from(error.to_string()))?;
        self.context.execute(code)
    }

    /// Runs prepared code. After `:clear`, restores the session's initial state.
    fn run(
        &mut self,
        code: &str,
        left_out: &Reduced,
        output: &Output,
    ) -> Result<EvalOutputs, Error> {
        if self.prelude_due {
            self.context.execute(PRELUDE)?;
            self.prelude_due = false;
        }
        let Some((head, tail)) = commands::split_at_clear(code) else {
            return self.evaluate(code, left_out);
        };
        self.prelude_due = true;
        // evcxr would kill the guard, and processes started by cells would continue.
        self.host.end_worker();
        show(&self.context.execute(&head)?, output);
        self.context.execute(PRELUDE)?;
        self.prelude_due = false;
        self.evaluate(&tail, left_out)
    }

    /// Runs a cell through its phases, or fails before the first phase if the cell cannot be run.
    fn run_cell(&mut self, cell: &Cell, output: &Output) -> Result<Executed, Failure> {
        let parsed = Parsed::of(&cell.code)?;
        self.restore()?;
        self.names.begin(&cell.code);
        let begun = self.host.begin(Some(output));
        if output.interrupted() {
            // The interrupt arrived before the last cell's state was cleared.
            self.host.interrupt();
        }
        let request = Request { cell, parsed, output };
        let executed = if let Some(failure) = self.refusal(&request) {
            begun.end(false);
            Outcome::Error(failure).into()
        } else {
            let ready = self.prepare(request, begun);
            let ran = self.run_ready(ready);
            let settled = self.settle(ran);
            self.conclude(settled)
        };
        let defined = matches!(executed.outcome, Outcome::Ok { .. }).then_some(cell.code.as_str());
        self.names.end(self.variables(), defined);
        Ok(executed)
    }

    /// The reason why a cell is refused, if any.
    fn refusal(&self, request: &Request<'_>) -> Option<Failure> {
        let parsed = &request.parsed;
        let at = self.place(parsed, request.cell.execution_count);
        let refused = commands::refused(parsed).map(|text| Failure::new("CommandError", text));
        let pattern = || {
            let place = prepare::missing_pattern(parsed)?;
            Some(errors::syntax("expected pattern", place, at))
        };
        let lost_items = || {
            let (place, text) = prepare::lost_items(parsed, &self.items)?;
            Some(errors::syntax(&text, place, at))
        };
        refused.or_else(|| errors::unclosed(at)).or_else(pattern).or_else(lost_items)
    }

    fn place<'a>(&'a self, cell: &'a Parsed, count: u64) -> Place<'a> {
        Place { cell, count, gone: &self.gone, names: &self.names }
    }

    /// Phase 1: rewrites the cell and records the state to compare afterwards.
    fn prepare<'a>(&mut self, request: Request<'a>, begun: Begun) -> Ready<'a> {
        let parsed = &request.parsed;
        self.form.obey(parsed);
        if commands::asks_for(parsed, ":clear") {
            self.items = Items::default();
        }
        let prepared = prepare::prepare(parsed, &self.form, &self.items);
        let notes = Notes::default();
        begun.before_run(self.first_words(&request, &prepared, &notes));
        let before = self.variables();
        let killed = death::processes_ended_for_memory();
        let since = Instant::now();
        if prepare::needs_types(parsed) {
            self.load_types();
        }
        Ready { request, begun, prepared, notes, before, killed, since }
    }

    /// Phase 2: lets evcxr compile and run the cell, if necessary without conflicting items.
    fn run_ready<'a>(&mut self, mut ready: Ready<'a>) -> Ran<'a> {
        let (mut result, mut outdated) = self.run_with_items(&ready);
        let mut inserted = BTreeSet::new();
        for _ in 0..MENDING {
            let Err(Error::CompilationErrors(found)) = &result else { break };
            let compiled = fs::read_to_string(self.crate_folder.join(CELL)).unwrap_or_default();
            let Some(mended) = mend::mend(found, &compiled, &ready.prepared.items) else { break };
            if mended.code.is_subset(&inserted) {
                break;
            }
            inserted.extend(mended.code.iter().cloned());
            ready.prepared.insert_first(mended.code.into_iter().collect());
            ready.notes.lock().unwrap_or_else(PoisonError::into_inner).extend(mended.aside);
            (result, outdated) = self.run_with_items(&ready);
        }
        let Ready { request, begun, prepared, notes, before, killed, since } = ready;
        if result.is_ok() {
            self.note_aside(&prepared.items, &notes, request.cell.execution_count);
        }
        self.log();
        for line in self.last_words.try_iter() {
            match line.as_str() {
                benchbook_guard::LOST => self.host.hear(&line),
                line => self.host.log(line),
            }
        }
        let died = matches!(result, Err(Error::SubprocessTerminated(_)));
        let ended = begun.end(died);
        let out_of_memory = death::processes_ended_for_memory() > killed;
        let took = since.elapsed();
        Ran { request, prepared, before, result, outdated, ended, out_of_memory, took }
    }

    /// Phase 3: restores the variables that the worker still has and records the lost ones.
    fn settle<'a>(&mut self, mut ran: Ran<'a>) -> Settled<'a> {
        let cell = &ran.request.parsed.text;
        let panics = ran.ended.panics.iter_mut().map(|panic| &mut panic.traceback);
        let failure = ran.ended.failure.iter_mut().map(|failure| &mut failure.traceback);
        for traceback in panics.chain(failure) {
            *traceback =
                with_places(&self.crate_folder, std::mem::take(traceback), cell, &ran.prepared);
        }
        self.take_up_again(&ran.ended.kept, &ran.before, ran.request.output);
        let lost = self.note_gone(&ran);
        Settled(ran, lost)
    }

    /// Phase 4: builds the reply to the front end.
    fn conclude(&mut self, settled: Settled<'_>) -> Executed {
        let Settled(ran, lost) = settled;
        let Ran { request, prepared, result, ended, out_of_memory, took, .. } = ran;
        let Request { cell, parsed, output } = &request;
        let run = ended.ran.as_secs_f64();
        let compile = (took.as_secs_f64() - run).max(0.0);
        let mut metadata = Map::new();
        metadata.insert("benchbook".into(), json!({ "compile_s": compile, "run_s": run }));
        let failure = match result {
            Ok(mut outputs) => {
                let asks = commands::asks_for(parsed, ":help");
                if asks {
                    output.display(&commands::introduction(), None);
                }
                if commands::asks_for(parsed, ":doc") {
                    documentation::improve(&mut outputs.content_by_mime_type, &self.names);
                }
                show(&outputs, output);
                if asks {
                    output.display(&commands::help(), None);
                }
                ended.failure.map(|failure| and_lost(failure, &lost))
            }
            Err(Error::SubprocessTerminated(how)) => {
                let cause = Cause::of(&how, &ended.said, out_of_memory);
                Some(self.died_of(&cause, &ended, &lost, cell))
            }
            Err(_) if ended.interrupted => Some(interrupted()),
            Err(error) if no_space(&error) => {
                let temporary = self.session.folder().parent().unwrap_or(&self.crate_folder);
                // The crates of `:dep` are compiled in the cache.
                let cache = cache::folder().ok();
                let cache =
                    cache.filter(|cache| error.to_string().contains(&*cache.to_string_lossy()));
                let (what, folder, variable) = match &cache {
                    Some(cache) => ("the cache folder", cache.as_path(), "BENCHBOOK_CACHE"),
                    None => ("the folder for temporary files", temporary, "TMPDIR"),
                };
                Some(Failure::new(
                    "NoSpace",
                    format!(
                        "{what}, {}, is full; free space there and run the cell again, or set {variable} to another folder and restart the kernel; the cell has not run and all variables are kept",
                        folder.display()
                    ),
                ))
            }
            Err(error) => {
                let ended = compiler::ended(&error, cell.execution_count, out_of_memory);
                let at = self.place(parsed, cell.execution_count);
                Some(ended.unwrap_or_else(|| not_compiled(error, &prepared, at)))
            }
        };
        let outcome = match failure {
            Some(failure) => Outcome::Error(with_traceback(failure, cell)),
            None => Outcome::Ok {
                user_expressions: self.expressions(cell, output),
                payload: Vec::new(),
            },
        };
        Executed { outcome, metadata }
    }

    /// Runs a prepared cell. Returns the variables that are lost because the cell redefines their types.
    fn run_with_items(&mut self, ready: &Ready<'_>) -> (Result<EvalOutputs, Error>, Vec<Outdated>) {
        let prepared = &ready.prepared;
        let items = self.items.with(prepared.items.clone());
        let variables = ready.before.iter().map(|(name, kind)| (name.as_str(), kind.as_str()));
        let outdated = self.items.outdated(&items, variables).into_iter();
        let outdated: Vec<Outdated> = outdated
            .map(|name| Outdated { name: name.into(), rebound: prepared.bound.contains(name) })
            .collect();
        let (mut code, left_out) = prepared.for_evcxr();
        if !prepared.runs && outdated.iter().any(|variable| !variable.rebound) {
            // evcxr checks variables only when code runs.
            code.push_str("\n();");
        }
        if let Err(error) = variables::write(&self.crate_folder, &outdated) {
            return (Err(Error::from(error.to_string())), outdated);
        }
        let result = self.run(&code, &left_out, ready.request.output);
        if let Err(error) = variables::write(&self.crate_folder, &Vec::new()) {
            tracing::error!("{OUTDATED}: {error}");
        }
        if result.is_ok() {
            self.items = items;
        }
        (result, outdated)
    }

    /// Records the items that are set aside, for completion and inspection.
    fn note_aside(&mut self, own: &Items, notes: &Notes, count: u64) {
        own.names().for_each(|name| drop(self.gone.remove(name)));
        let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, said) in notes.iter() {
            let text =
                format!("{said} and was disabled in cell {count}; adapt its cell and run it again");
            self.gone.insert(name.clone(), text);
        }
    }

    /// Prints, as soon as the cell is compiled, notices about the installation and about results
    /// that the cell ignores.
    fn first_words(
        &mut self,
        request: &Request<'_>,
        prepared: &Prepared,
        notes: &Notes,
    ) -> BeforeRun {
        let Request { cell, output, .. } = request;
        let (prepared, output, code) = (prepared.clone(), (*output).clone(), cell.code.clone());
        let notes = Arc::clone(notes);
        let (folder, count) = (self.crate_folder.clone(), cell.execution_count);
        let notice = self.notice.take();
        Box::new(move |runs| {
            let say = |text: &str| output.stream(benchbook_jupyter::Stream::Stderr, text);
            if let Some(notice) = notice {
                say(&notice);
            }
            let told = cargo::told(&folder);
            if !told.is_empty() {
                say(&told);
            }
            if runs {
                for said in notes.lock().unwrap_or_else(PoisonError::into_inner).values() {
                    say(&format!("{said} and is disabled until its cell is run again\n"));
                }
                errors::show_unused(&folder, &code, count, &prepared, &output);
            }
            Box::new(move |traceback| {
                let place = format!("in cell {count}");
                [vec![place], with_places(&folder, traceback, &code, &prepared)].concat()
            })
        })
    }

    /// Restores to evcxr the variables that a failed cell has left in the store.
    fn take_up_again(&mut self, kept: &[(String, bool)], before: &[Variable], output: &Output) {
        let now = self.variables();
        let lines = kept.iter().filter_map(|(name, mutable)| {
            let (_, kind) = before.iter().find(|(known, _)| known == name)?;
            if now.iter().any(|(known, _)| known == name) {
                return None;
            }
            Some(evcxr_contract::take_again(name, kind, *mutable))
        });
        let lines: Vec<String> = lines.collect();
        if lines.is_empty() || self.take_up(&lines.concat(), output) {
            return;
        }
        // Restores the variables one by one: an unknown type of one variable must not lose the others.
        for line in lines.iter().filter(|_| lines.len() > 1) {
            self.take_up(line, output);
        }
    }

    /// Returns whether evcxr accepted the code.
    fn take_up(&mut self, code: &str, output: &Output) -> bool {
        let begun = self.host.begin_restoring(output);
        let result = self.context.execute(code);
        let ended = begun.end(matches!(result, Err(Error::SubprocessTerminated(_))));
        let failure = ended.failure.map(|failure| failure.evalue);
        let failure = result.err().map(|error| error.to_string()).or(failure);
        if let Some(failure) = &failure {
            tracing::warn!("variables of a failed cell are not taken up again: {failure}");
        }
        failure.is_none()
    }

    /// Records why variables are lost, and returns the lost variables.
    fn note_gone(&mut self, ran: &Ran<'_>) -> Vec<Variable> {
        let Ran { request: Request { cell, parsed, .. }, prepared, .. } = ran;
        let died = matches!(ran.result, Err(Error::SubprocessTerminated(_)));
        let succeeded = ran.result.is_ok() && ran.ended.failure.is_none();
        let now: HashMap<String, String> = self.variables().into_iter().collect();
        self.gone.retain(|name, _| !now.contains_key(name));
        // `:clear` removes all variables on purpose.
        if commands::asks_for(parsed, ":clear") {
            return Vec::new();
        }
        let gone = ran.before.iter().filter(|(name, _)| !now.contains_key(name));
        let gone: Vec<Variable> = gone.cloned().collect();
        let count = cell.execution_count;
        for (name, kind) in &gone {
            let how = if died {
                let load = match self.host.checkpoint() {
                    Some(path) if is_model(kind) => {
                        format!("; {}", Checkpoint { path, variable: name.clone() })
                    }
                    _ => String::new(),
                };
                format!("`{name}` was lost when cell {count} ended its process{load}")
            } else if ran.outdated.iter().any(|variable| variable.name == *name) {
                format!(
                    "`{name}` was lost in cell {count}, which redefined its type; define it again"
                )
            } else if succeeded {
                errors::moved(name, kind, count, &self.names)
            } else {
                errors::lost(name, count)
            };
            self.gone.insert(name.clone(), how);
        }
        // Variables bound by the cell itself; the latest cell that binds a name counts.
        for name in &prepared.bound {
            if now.contains_key(name) || gone.iter().any(|(known, _)| known == name) {
                continue;
            }
            if succeeded {
                self.gone.insert(name.clone(), errors::moved(name, "", count, &self.names));
            } else if !died && self.gone.get(name).is_none_or(|how| how.starts_with("cell ")) {
                self.gone.insert(name.clone(), errors::not_kept_by(name, count));
            }
        }
        gone
    }

    /// Evaluates the `user_expressions` of an execute request.
    fn expressions(&mut self, cell: &Cell, output: &Output) -> BTreeMap<String, Expression> {
        let evaluated = cell.user_expressions.iter().map(|(name, code)| {
            let value = self.expression(code, cell.execution_count, output);
            (name.clone(), value.map_or_else(Expression::Error, Expression::Ok))
        });
        evaluated.collect()
    }

    fn expression(&mut self, code: &str, count: u64, output: &Output) -> Result<Bundle, Failure> {
        let parsed = Parsed::of(code)?;
        let begun = self.host.begin_expression(output);
        if prepare::needs_types(&parsed) {
            self.load_types();
        }
        let prepared = prepare::prepare(&parsed, &self.form, &self.items);
        let result = self.context.execute(&prepared.code);
        let mut ended = begun.end(matches!(result, Err(Error::SubprocessTerminated(_))));
        match (result, ended.failure, ended.values.pop()) {
            (Err(Error::CompilationErrors(found)), ..) => {
                Err(errors::failure(&found, &prepared, self.place(&parsed, count)))
            }
            (Err(error), ..) => Err(Failure::new("Error", error.to_string())),
            (_, Some(failure), _) => Err(failure),
            (_, _, Some(value)) => Ok(value),
            (..) => {
                let text = format!("expected an expression with a value, received {code:?}");
                Err(Failure::new("ValueError", text))
            }
        }
    }

    /// The failure of a cell whose worker died.
    fn died_of(&self, cause: &Cause, ended: &Ended, lost: &[Variable], cell: &Cell) -> Failure {
        let count = cell.execution_count;
        let lost_names = match lost {
            [] => "no variables were lost".to_owned(),
            lost => format!("lost variables: {}", names(lost)),
        };
        let (ename, evalue) = if ended.interrupted {
            let text = format!(
                "cell {count} did not react to the interrupt, so its process was ended; {lost_names}"
            );
            ("KeyboardInterrupt", text)
        } else {
            let text = format!(
                "cell {count} ended the process that runs the cells: {cause}; {lost_names}"
            );
            ("WorkerDied", text)
        };
        let mut failure = Failure::new(ename, evalue);
        let model = lost.iter().find(|(_, kind)| is_model(kind));
        let variable = model.map_or("model", |(name, _)| name).to_owned();
        let checkpoint = self.host.checkpoint().map(|path| Checkpoint { path, variable });
        failure.traceback.extend(death::details(ended, checkpoint.as_ref()));
        if checkpoint.is_none() && model.is_some() {
            failure.traceback.push(
                "no model was saved; `Builtin::best_checkpoint(\"best.safetensors\")` in a training, or `model.save(…)`, keeps one".into(),
            );
        }
        failure
    }
}

impl Evaluator for Rust {
    fn execute(&mut self, cell: &Cell, output: &Output) -> Executed {
        self.run_cell(cell, output).unwrap_or_else(|failure| Outcome::Error(failure).into())
    }

    fn shutdown(&mut self, _restart: bool) {
        self.host.kill();
    }

    fn idle(&mut self) -> bool {
        let Some(question) = WARM_UP.get(self.warmed) else { return false };
        self.warmed += 1;
        self.load_types();
        match question {
            Question::Completions(code) => {
                if let Err(error) = self.context.completions(code, code.len()) {
                    tracing::debug!("not warmed up: {error:#}");
                }
            }
            Question::Types(code) => self.ask_types(code),
        }
        self.log();
        self.warmed < WARM_UP.len()
    }

    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        if crate::nesting::check(code).is_err() {
            return Completions::none(cursor);
        }
        self.load_types();
        let asked = completion::Question::new(&commands::without_refused(code), cursor);
        let context = AssertUnwindSafe(&mut *self.context);
        let found = catch_unwind(move || {
            let AssertUnwindSafe(context) = { context };
            context.completions(&asked.code, asked.cursor).map(|found| asked.answer(found))
        });
        match found {
            Ok(Ok(mut found)) => {
                found.matches.retain(|found| !items::is_own(&found.text));
                self.names.checked(code, cursor, found)
            }
            // An empty cell, or code at which rust-analyzer panics.
            _ => self.names.complete(code, cursor),
        }
    }

    fn inspect(&mut self, code: &str, cursor: usize, _detail: Detail) -> Option<Bundle> {
        crate::nesting::check(code).ok()?;
        crate::names::is_code(code, cursor).then_some(())?;
        self.load_types();
        let end = code[cursor..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let end = end.map_or(code.len(), |end| cursor + end);
        match self.context.hover_at(&commands::without_refused(&code[..end]), end) {
            Ok((plain, _)) if plain.is_empty() || plain == evcxr_contract::UNDOCUMENTED => None,
            Ok((_, html)) => Some(documentation::shown(&html, &self.names)),
            Err(error) => {
                tracing::debug!("nothing to inspect: {error:#}");
                None
            }
        }
    }
}

/// A notice before the first cell if the checkout is newer than the installation.
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

/// Shows evcxr's own output: results of commands and the times of `:timing`.
fn show(outputs: &EvalOutputs, output: &Output) {
    if !outputs.is_empty() {
        let plain = outputs.get("text/plain").unwrap_or_default();
        // `:clear` gives the worker a new environment; evcxr's own `:restart` is not available.
        let (said, instead) = evcxr_contract::RESTART;
        let plain = plain.replace(said, instead);
        let mut bundle = Bundle::text(plain);
        for (mime, content) in &outputs.content_by_mime_type {
            if mime != "text/plain" {
                bundle = bundle.with(mime, content);
            }
        }
        output.result(&bundle);
    }
    if let Some(took) = outputs.timing {
        let text = format!("Took {} ms", took.as_millis());
        let html = format!("<span style=\"opacity:0.6\">{text}</span>");
        output.display(&Bundle::text(text).html(html), None);
    }
}

fn interrupted() -> Failure {
    Failure::new(
        "KeyboardInterrupt",
        "the cell was interrupted while it was compiled; variables are kept",
    )
}

/// Whether compilation failed because a file could not be written.
fn no_space(error: &Error) -> bool {
    let says = |text: &str| {
        ["No space left on device", "Disk quota exceeded"].iter().any(|words| text.contains(words))
    };
    match error {
        Error::CompilationErrors(found) => found.iter().any(|error| {
            !error.is_from_user_code() && (says(&error.message()) || says(&error.rendered()))
        }),
        error => says(&error.to_string()),
    }
}

/// The failure of a cell that evcxr could not compile.
fn not_compiled(error: Error, prepared: &Prepared, at: Place<'_>) -> Failure {
    match error {
        Error::CompilationErrors(found) => errors::failure(&found, prepared, at),
        error => {
            let text = error.to_string();
            let known = errors::not_kept(&text, at);
            let said = compiler::said(&text).unwrap_or(&text);
            known.unwrap_or_else(|| Failure::new("Error", said))
        }
    }
}

/// Adds the variables lost with a failed cell to its message.
fn and_lost(mut failure: Failure, lost: &[Variable]) -> Failure {
    if lost.is_empty() {
        return failure;
    }
    let text =
        format!("lost variables: {} (the cell had moved them away when it failed)", names(lost));
    if failure.ename == "KeyboardInterrupt" {
        failure.evalue = format!("the cell was interrupted; {text}");
    } else {
        failure.traceback.push(text);
    }
    failure
}

fn names(variables: &[Variable]) -> String {
    variables.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether a type is the helper library's model.
fn is_model(kind: &str) -> bool {
    kind.rsplit("::").next() == Some("Model")
}

/// Replaces places in the compiled file by places in the user's cell in a traceback.
fn with_places(
    folder: &Path,
    traceback: Vec<String>,
    cell: &str,
    prepared: &Prepared,
) -> Vec<String> {
    let Ok(compiled) = fs::read_to_string(folder.join(CELL)) else {
        return traceback;
    };
    let mut lines = Vec::new();
    for entry in traceback {
        let Some(place) = entry.strip_prefix("at ").and_then(files::in_cell) else {
            lines.push(entry);
            continue;
        };
        let mut numbers =
            place.trim_start_matches(':').split(':').map(|number| number.parse().unwrap_or(0));
        let (line, column) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        match prepared.place(&compiled, line, column) {
            Some((line, column)) => {
                lines.push(format!("at line {line}, column {column}"));
                lines.extend(errors::source_line(cell, line, column));
            }
            None => {
                let text = compiled.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
                lines.push(format!("in code of an earlier cell: {text}"));
            }
        }
    }
    lines
}

/// Puts the error first in the traceback, as Jupyter does.
fn with_traceback(mut failure: Failure, cell: &Cell) -> Failure {
    if failure.ename != "CompileError" {
        let head = format!("{}: {}", failure.ename, failure.evalue);
        if failure.traceback.first() == Some(&head) {
            failure.traceback.remove(0);
        }
        let place = format!("in cell {}", cell.execution_count);
        failure.traceback.splice(0..0, [head, place]);
    }
    failure
}
