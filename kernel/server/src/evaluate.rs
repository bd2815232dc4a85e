//! Runs cells with evcxr. No other file of the project names it.
//!
//! evcxr is unmodified. It finds the stand-in for cargo (`cargo.rs`) where it looks for cargo, and
//! our worker in the seat of its child process; a cell is rewritten once before it gets there
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

use crate::cargo::outdated::{self, OUTDATED, Outdated};
use crate::cargo::{self, CELL, INTERRUPTED, LOG, TYPES, files};
use crate::names::Names;
use crate::nesting;
use crate::session::{OPT_LEVEL, Session};
use crate::template::{Installation, Template};
use crate::worker::{self, Ended, Host};
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
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

pub(crate) use configuration::copy as copy_configuration;
pub(crate) use errors::is_closed;
pub use thread::EvaluationThread;

/// What every session begins with. The macros are named one by one, since a glob would leave it
/// open whether `println!` is ours or the standard library's. The `?` makes evcxr wrap this cell,
/// and from then on every cell, in a function that allows it; otherwise the first cell with a `?`
/// would be compiled twice.
const PRELUDE: &str = "use benchbook::prelude::*;
use benchbook::{eprint, eprintln, print, println};
Ok::<(), String>(())?;";

/// What rust-analyzer is asked while nobody waits, so that it has the names of all crates and the
/// implementations of all traits when the first `let` needs them.
const WARM_UP: &[Question] = &[
    Question::Completions("benchbook::"),
    Question::Completions(
        "let warm_up = vec![1.0].into_iter().map(|x: f64| x * 2.0).collect::<Vec<f64>>();\nwarm_up.",
    ),
    Question::Types("let warm_up = (benchbook::tch::Tensor::new(), vec![1.0_f32], String::new());"),
];

enum Question {
    /// What could stand at the end of a text.
    Completions(&'static str),
    /// The types of the variables of a cell, which is not run.
    Types(&'static str),
}

/// Rust, evaluated by evcxr in a worker.
pub struct Rust {
    /// Never dropped: rust-analyzer takes seconds to free what the end of the process frees.
    context: ManuallyDrop<CommandContext>,
    host: Host,
    /// What workers wrote to their own standard error: the last words of one that died.
    last_words: crossbeam_channel::Receiver<String>,
    session: Arc<Session>,
    crate_folder: PathBuf,
    notice: Option<String>,
    /// rust-analyzer knows the crates of the session.
    types: bool,
    /// How many of [`WARM_UP`] were done.
    warmed: usize,
    /// `:clear` has taken the prelude away, and an interrupt kept it from coming back.
    prelude_due: bool,
    /// How values are shown.
    form: Form,
    /// What the cells have defined.
    items: Items,
    /// The variables that are gone, with a sentence of how and what to do.
    gone: HashMap<String, String>,
    /// What is answered while a cell runs.
    names: Arc<Names>,
}

/// What is said of items that are set aside, by their names, when the cell runs.
type Notes = Arc<Mutex<BTreeMap<String, String>>>;

/// How often more items of earlier cells may turn out not to fit a cell.
const MENDING: usize = 5;

/// A variable's name and its type.
type Variable = (String, String);

impl Rust {
    /// Starts a worker and evcxr. Takes seconds; the kernel answers meanwhile.
    ///
    /// # Errors
    /// Anything that keeps cells from running, with what to do about it.
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
        host.begin(None);
        let started = configuration::without(session.folder(), || {
            EvalContext::with_subprocess_command(command)
        })?;
        let (context, outputs) =
            started.map_err(|error| anyhow::anyhow!("the worker could not start: {error}"))?;
        let lines = outputs.stdout;
        let listener = host.clone();
        // evcxr waits until these lines are read.
        std::thread::Builder::new().name("evcxr output".into()).spawn(move || {
            lines.iter().for_each(|line| listener.log(&line));
        })?;
        let mut context = CommandContext::with_eval_context(context);
        let prelude = context.execute(PRELUDE);
        let ended = host.end(false);
        if let Some(failure) = ended.failure {
            anyhow::bail!("the helper library does not work: {}", failure.evalue);
        }
        prelude.map_err(|error| anyhow::anyhow!("the helper library cannot be used: {error}"))?;
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

    /// Makes what is missing of the session's folder.
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

    /// Has evcxr find the types of a cell's variables and give up where it would compile it, as after
    /// an interrupt: nothing of the session changes.
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

    /// Passes on what the stand-in for cargo has noted.
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

    /// The places in a traceback, in the user's cell and not in the file that was compiled.
    fn with_places(&self, traceback: Vec<String>, cell: &str, prepared: &Prepared) -> Vec<String> {
        let Ok(compiled) = fs::read_to_string(self.crate_folder.join(CELL)) else {
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
                    let text =
                        compiled.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
                    lines.push(format!("in code of an earlier cell: {text}"));
                }
            }
        }
        lines
    }

    /// Has evcxr run code, of which it sees what the types of its variables depend on.
    fn evaluate(&mut self, code: &str) -> Result<EvalOutputs, Error> {
        let shown = files::shown(code, prepare::rust_begins(code));
        let (reduced, left_out) = reduce::reduce(shown.as_deref().unwrap_or(code));
        left_out.write(&self.crate_folder).map_err(|error| Error::from(error.to_string()))?;
        self.context.execute(&reduced)
    }

    /// Runs prepared code. After `:clear` everything that a session begins with is there again.
    fn run(&mut self, code: &str, output: &Output) -> Result<EvalOutputs, Error> {
        if self.prelude_due {
            self.context.execute(PRELUDE)?;
            self.prelude_due = false;
        }
        let Some((head, tail)) = commands::split_at_clear(code) else {
            return self.evaluate(code);
        };
        self.prelude_due = true;
        // evcxr would kill the guard, and what the cells have started would go on.
        self.host.end_worker();
        show(&self.context.execute(&head)?, output);
        self.context.execute(PRELUDE)?;
        self.prelude_due = false;
        self.evaluate(&tail)
    }

    fn outcome(&mut self, cell: &Cell, output: &Output) -> (Outcome, Map<String, Value>) {
        let at = Place {
            cell: &cell.code,
            count: cell.execution_count,
            gone: &self.gone,
            names: &self.names,
        };
        let refused = commands::refused(&cell.code).map(|text| Failure::new("CommandError", text));
        let syntax = || errors::unclosed(at);
        let pattern = || {
            let place = prepare::missing_pattern(&cell.code)?;
            Some(errors::syntax("expected pattern", place, at))
        };
        let lost_items = || {
            let (place, text) = prepare::lost_items(&cell.code, &self.items)?;
            Some(errors::syntax(&text, place, at))
        };
        if let Some(failure) = refused.or_else(syntax).or_else(pattern).or_else(lost_items) {
            self.host.end(false);
            return (Outcome::Error(failure), Map::new());
        }
        self.form.obey(&cell.code);
        if commands::split_at_clear(&cell.code).is_some() {
            self.items = Items::default();
        }
        let pasted = files::pasted(&cell.code, prepare::rust_begins(&cell.code));
        let code = pasted.as_ref().unwrap_or(&cell.code);
        let mut prepared = prepare::prepare(code, &self.form, &self.items);
        let notes = Notes::default();
        self.tell_before_run(cell, &prepared, &notes, output);
        let before = self.variables();
        let out_of_memory = death::processes_ended_for_memory();
        let begun = Instant::now();
        if prepare::needs_types(&prepared.code) {
            self.load_types();
        }
        let (mut result, mut outdated) = self.run_with_items(&prepared, &before, output);
        let own = Items::of(&prepared.code);
        for _ in 0..MENDING {
            let Err(Error::CompilationErrors(found)) = &result else { break };
            let compiled = fs::read_to_string(self.crate_folder.join(CELL)).unwrap_or_default();
            let Some(mended) = mend::mend(found, &compiled, &own) else { break };
            prepared.insert_first(&mended.code);
            notes.lock().unwrap_or_else(PoisonError::into_inner).extend(mended.aside);
            (result, outdated) = self.run_with_items(&prepared, &before, output);
        }
        if result.is_ok() {
            self.note_aside(&own, &notes, cell.execution_count);
        }
        self.log();
        for line in self.last_words.try_iter() {
            match line.as_str() {
                benchbook_guard::LOST => self.host.hear(&line),
                line => self.host.log(line),
            }
        }
        let died = matches!(result, Err(Error::SubprocessTerminated(_)));
        let mut ended = self.host.end(died);
        let run = ended.ran.as_secs_f64();
        let compile = (begun.elapsed().as_secs_f64() - run).max(0.0);
        let mut metadata = Map::new();
        metadata.insert("benchbook".into(), json!({ "compile_s": compile, "run_s": run }));
        for panic in &mut ended.panics {
            let traceback = std::mem::take(&mut panic.traceback);
            panic.traceback = self.with_places(traceback, &cell.code, &prepared);
        }
        if let Some(failure) = &mut ended.failure {
            let traceback = std::mem::take(&mut failure.traceback);
            failure.traceback = self.with_places(traceback, &cell.code, &prepared);
        }
        self.take_up_again(&ended.kept, &before, output);
        let succeeded = result.is_ok() && ended.failure.is_none();
        let lost = self.note_gone(before, cell, died, succeeded, &outdated);
        let at = Place {
            cell: &cell.code,
            count: cell.execution_count,
            gone: &self.gone,
            names: &self.names,
        };
        let failure = match result {
            Ok(mut outputs) => {
                let asks = commands::asks_for(&cell.code, ":help");
                if asks {
                    output.display(&commands::introduction(), None);
                }
                if commands::asks_for(&cell.code, ":doc") {
                    documentation::improve(&mut outputs.content_by_mime_type, &self.names);
                }
                show(&outputs, output);
                if asks {
                    output.display(&commands::help(), None);
                }
                ended.failure.map(|failure| and_lost(failure, &lost))
            }
            Err(Error::SubprocessTerminated(how)) => {
                let out_of_memory = death::processes_ended_for_memory() > out_of_memory;
                let cause = Cause::of(&how, &ended.said, out_of_memory);
                Some(self.died_of(&cause, &ended, &lost, cell))
            }
            Err(_) if ended.interrupted => Some(interrupted()),
            Err(error) if no_space(&error) => {
                let folder = self.session.folder().parent().unwrap_or(&self.crate_folder);
                Some(Failure::new(
                    "NoSpace",
                    format!(
                        "the folder for temporary files, {}, is full; free space there and run the cell again, or set TMPDIR to another folder and restart the kernel; the cell has not run and all variables are kept",
                        folder.display()
                    ),
                ))
            }
            Err(error) => {
                let out_of_memory = death::processes_ended_for_memory() > out_of_memory;
                let ended = compiler::ended(&error, cell.execution_count, out_of_memory);
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
        (outcome, metadata)
    }

    /// Runs a prepared cell. Variables whose types it defines anew are lost, which are returned.
    fn run_with_items(
        &mut self,
        prepared: &Prepared,
        variables: &[Variable],
        output: &Output,
    ) -> (Result<EvalOutputs, Error>, Vec<Outdated>) {
        let items = self.items.with(Items::of(&prepared.code));
        let outdated = self.outdated(&items, variables, prepared);
        let all_rebound = outdated.iter().all(|variable| variable.rebound);
        let code = match all_rebound || !prepare::has_items_only(&prepared.code) {
            true => Cow::Borrowed(prepared.code.as_str()),
            // evcxr looks at the variables when something runs.
            false => Cow::Owned(format!("{}\n();", prepared.code)),
        };
        if let Err(error) = outdated::write(&self.crate_folder, &outdated) {
            return (Err(Error::from(error.to_string())), outdated);
        }
        let result = self.run(&code, output);
        if let Err(error) = outdated::write(&self.crate_folder, &[]) {
            tracing::error!("{OUTDATED}: {error}");
        }
        if result.is_ok() {
            self.items = items;
        }
        (result, outdated)
    }

    /// Remembers which items are set aside, for who looks for them.
    fn note_aside(&mut self, own: &Items, notes: &Notes, count: u64) {
        own.names().for_each(|name| drop(self.gone.remove(name)));
        let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, said) in notes.iter() {
            let text = format!(
                "{said} and was set aside in cell {count}; run its own cell again, changed to fit"
            );
            self.gone.insert(name.clone(), text);
        }
    }

    /// The variables that the new items leave without their types.
    fn outdated(
        &self,
        items: &Items,
        variables: &[Variable],
        prepared: &Prepared,
    ) -> Vec<Outdated> {
        let each = variables.iter().map(|(name, kind)| (name.as_str(), kind.as_str()));
        let names = self.items.outdated(items, each);
        let bound = prepare::bindings(&prepared.code);
        let outdated = names.into_iter().map(|name| Outdated {
            name: name.to_owned(),
            rebound: bound.iter().any(|bound| bound == name),
        });
        outdated.collect()
    }

    /// Has the cell's first words said as soon as it is compiled: what is to be known of the
    /// installation, and of results that the cell ignores.
    fn tell_before_run(
        &mut self,
        cell: &Cell,
        prepared: &Prepared,
        notes: &Notes,
        output: &Output,
    ) {
        let (prepared, output, code) = (prepared.clone(), output.clone(), cell.code.clone());
        let notes = Arc::clone(notes);
        let (folder, count) = (self.crate_folder.clone(), cell.execution_count);
        let notice = self.notice.take();
        self.host.before_run(Box::new(move |runs| {
            if let Some(notice) = notice {
                output.stream(benchbook_jupyter::Stream::Stderr, &notice);
            }
            let told = cargo::told(&folder);
            if !told.is_empty() {
                output.stream(benchbook_jupyter::Stream::Stderr, &told);
            }
            for said in
                notes.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|_| runs)
            {
                let text = format!("{said} and is set aside until its cell is run again\n");
                output.stream(benchbook_jupyter::Stream::Stderr, &text);
            }
            if runs {
                errors::show_unused(&folder, &code, count, &prepared, &output);
            }
        }));
    }

    /// Has evcxr know again the variables that a failed cell has left in the store.
    fn take_up_again(&mut self, kept: &[(String, bool)], before: &[Variable], output: &Output) {
        let now = self.variables();
        let lines = kept.iter().filter_map(|(name, mutable)| {
            let (_, kind) = before.iter().find(|(known, _)| known == name)?;
            if now.iter().any(|(known, _)| known == name) {
                return None;
            }
            let mutability = if *mutable { "mut " } else { "" };
            Some(format!(
                "let {mutability}{name}: {kind} = evcxr_variable_store.take_variable(\"{name}\");\n"
            ))
        });
        let lines: Vec<String> = lines.collect();
        if lines.is_empty() || self.take_up(&lines.concat(), output) {
            return;
        }
        // The type of one may be unknown by now, which is no reason to lose the others.
        for line in lines.iter().filter(|_| lines.len() > 1) {
            self.take_up(line, output);
        }
    }

    /// Returns whether it did.
    fn take_up(&mut self, code: &str, output: &Output) -> bool {
        self.host.begin_restoring(output);
        let result = self.context.execute(code);
        let ended = self.host.end(matches!(result, Err(Error::SubprocessTerminated(_))));
        let failure = ended.failure.map(|failure| failure.evalue);
        let failure = result.err().map(|error| error.to_string()).or(failure);
        if let Some(failure) = &failure {
            tracing::warn!("variables of a failed cell are not taken up again: {failure}");
        }
        failure.is_none()
    }

    /// Remembers how the variables went that are no longer there, and returns them.
    fn note_gone(
        &mut self,
        before: Vec<Variable>,
        cell: &Cell,
        died: bool,
        succeeded: bool,
        outdated: &[Outdated],
    ) -> Vec<Variable> {
        let now: HashMap<String, String> = self.variables().into_iter().collect();
        self.gone.retain(|name, _| !now.contains_key(name));
        // `:clear` takes all of them away on purpose.
        if commands::split_at_clear(&cell.code).is_some() {
            return Vec::new();
        }
        let gone: Vec<Variable> =
            before.into_iter().filter(|(name, _)| !now.contains_key(name)).collect();
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
            } else if outdated.iter().any(|variable| variable.name == *name) {
                format!("`{name}` was lost in cell {count}, which defined its type anew")
            } else if succeeded {
                errors::moved(name, kind, count, &self.names)
            } else {
                errors::lost(name, count)
            };
            self.gone.insert(name.clone(), how);
        }
        // What the cell itself has bound; the latest cell that took a name counts.
        for name in prepare::bindings(&cell.code).into_iter().filter(|name| name != "None") {
            if now.contains_key(&name) || gone.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if succeeded {
                self.gone.insert(name.clone(), errors::moved(&name, "", count, &self.names));
            } else if !died && self.gone.get(&name).is_none_or(|how| how.starts_with("cell ")) {
                self.gone.insert(name.clone(), errors::not_kept_by(&name, count));
            }
        }
        gone
    }

    /// Evaluates the expressions that came with a cell.
    fn expressions(&mut self, cell: &Cell, output: &Output) -> BTreeMap<String, Expression> {
        let expressions = cell.user_expressions.iter();
        expressions
            .map(|(name, code)| (name.clone(), self.expression(code, cell, output)))
            .collect()
    }

    fn expression(&mut self, code: &str, cell: &Cell, output: &Output) -> Expression {
        if let Err(limit) = nesting::check(code) {
            return Expression::Error(Failure::new("CompileError", limit.to_string()));
        }
        self.host.begin_quietly(output);
        self.host.keep_values();
        if prepare::needs_types(code) {
            self.load_types();
        }
        let prepared = prepare::prepare(code, &self.form, &self.items);
        let result = self.context.execute(&prepared.code);
        let ended = self.host.end(matches!(result, Err(Error::SubprocessTerminated(_))));
        let value = self.host.values().pop();
        let at =
            Place { cell: code, count: cell.execution_count, gone: &self.gone, names: &self.names };
        match (result, ended.failure, value) {
            (Err(Error::CompilationErrors(found)), ..) => {
                Expression::Error(errors::failure(&found, &prepared, at))
            }
            (Err(error), ..) => Expression::Error(Failure::new("Error", error.to_string())),
            (_, Some(failure), _) => Expression::Error(failure),
            (_, _, Some(value)) => Expression::Ok(value),
            (..) => {
                let text = format!("expected an expression with a value, received {code:?}");
                Expression::Error(Failure::new("ValueError", text))
            }
        }
    }

    /// The failure of a cell whose worker is gone.
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
        let limit = nesting::check(&cell.code);
        let limit = limit.map_err(|limit| Failure::new("CompileError", limit.to_string()));
        if let Err(failure) = limit.and_then(|()| self.restore()) {
            return Outcome::Error(failure).into();
        }
        self.names.begin(&cell.code);
        self.host.begin(Some(output));
        if output.interrupted() {
            // It came before the state of the last cell was cleared.
            self.host.interrupt();
        }
        let (outcome, metadata) = self.outcome(cell, output);
        let defined = matches!(outcome, Outcome::Ok { .. }).then_some(cell.code.as_str());
        self.names.end(self.variables(), defined);
        Executed { outcome, metadata }
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
        if nesting::check(code).is_err() {
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
                self.names.retain_public(code, &mut found);
                found
            }
            // An empty cell, or code at which rust-analyzer panics.
            _ => self.names.complete(code, cursor),
        }
    }

    fn inspect(&mut self, code: &str, cursor: usize, _detail: Detail) -> Option<Bundle> {
        nesting::check(code).ok()?;
        self.load_types();
        let end = code[cursor..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let end = end.map_or(code.len(), |end| cursor + end);
        match self.context.hover_at(&commands::without_refused(&code[..end]), end) {
            Ok((plain, _)) if plain.is_empty() || plain == "No documentation found" => None,
            Ok((_, html)) => Some(documentation::shown(&html, &self.names)),
            Err(error) => {
                tracing::debug!("nothing to inspect: {error:#}");
                None
            }
        }
    }
}

/// Stands in for [`Rust`] when it cannot start: every cell says why.
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

/// Outputs of evcxr itself: what its commands say, and what `:timing` measured.
fn show(outputs: &EvalOutputs, output: &Output) {
    if !outputs.is_empty() {
        let plain = outputs.get("text/plain").unwrap_or_default();
        // A worker gets its environment anew at `:clear`; evcxr's own `:restart` is not available.
        let plain = plain.replace("(use :restart command", "(use the :clear command");
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

/// Whether a cell could not be compiled because a file could not be written.
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
            known.unwrap_or_else(|| Failure::new("Error", text))
        }
    }
}

/// Names the variables that a failed cell has taken along.
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

/// The traceback begins with what failed, as everywhere in Jupyter.
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
