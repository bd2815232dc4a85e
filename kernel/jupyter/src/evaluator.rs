//! What a kernel for a particular language provides.
//!
//! The layer calls two objects. The [`Evaluator`] lives on the thread that runs the cells, one
//! after the other, and need not be `Send`. The [`Control`] is called from other threads at any
//! time: while the evaluator is still being built, and while a cell runs.
//!
//! Positions in code are byte offsets on character boundaries here; Jupyter's count of Unicode
//! code points is converted at the edge of the layer.

use crate::output::Output;
use benchbook_display::Bundle;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Runs cells. Built on the execute thread by the closure given to [`Kernel::run`](crate::Kernel::run), and dropped
/// there, so that slow construction does not delay the sockets.
///
/// A panic in any method fails the request that it served and nothing else.
pub trait Evaluator {
    /// Runs one cell. Whatever it shows goes to `output` before this returns.
    ///
    /// An interrupt that arrives meanwhile is announced by [`Control::interrupt`]; the cell then
    /// ends soon with an [`Outcome::Error`] named `KeyboardInterrupt`. One can arrive before this
    /// method has begun, and one that came too late for the cell before may still be noted; so
    /// forget what is noted first, then ask [`Output::interrupted`].
    fn execute(&mut self, cell: &Cell, output: &Output) -> Executed;

    /// What could stand at `cursor` (a byte offset in `code`). Called when no cell runs or waits;
    /// otherwise [`Control::complete`] is asked.
    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        let _ = code;
        Completions::none(cursor)
    }

    /// What is known about the thing at `cursor` (a byte offset in `code`); `None` if nothing.
    /// Called when no cell runs or waits; otherwise [`Control::inspect`] is asked.
    fn inspect(&mut self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        let _ = (code, cursor, detail);
        None
    }

    /// Does a piece of what can be done ahead of the next request, and says whether there is
    /// more. Called when nothing waits, until it returns false; a request that comes meanwhile waits
    /// for the piece's end.
    fn idle(&mut self) -> bool {
        false
    }

    /// Ends everything that the evaluator has started. No method is called afterwards. At most
    /// [`SHUTDOWN_GRACE`](crate::SHUTDOWN_GRACE) is waited for it.
    fn shutdown(&mut self, restart: bool) {
        let _ = restart;
    }
}

/// What can be asked at any time, from any thread, also while a cell runs.
///
/// A panic in any method fails the request that it served and nothing else.
pub trait Control: Send + Sync {
    /// Asks the running cell to stop. Called only while a cell runs, once for each interrupt that
    /// the user asks for, and must return at once: the end of the cell waits for it.
    fn interrupt(&self);

    /// Ends the running cell (or the construction of the evaluator, or its work ahead) by all means, because the
    /// kernel shuts down. Not called when nothing runs.
    fn kill(&self);

    /// Whether `code` could be run as it is.
    fn is_complete(&self, code: &str) -> Completeness;

    /// What could stand at `cursor` (a byte offset in `code`), as far as it is known without the
    /// evaluator: a cell runs, waits, or the evaluator is being built.
    fn complete(&self, code: &str, cursor: usize) -> Completions {
        let _ = code;
        Completions::none(cursor)
    }

    /// What is known about the thing at `cursor` (a byte offset in `code`) without the evaluator.
    fn inspect(&self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        let _ = (code, cursor, detail);
        None
    }

    /// The memory of the GPU that the session uses; `None` without one. CPU and memory of this
    /// process and its children are found by the layer.
    fn gpu_memory(&self) -> Option<GpuMemory> {
        None
    }
}

/// One cell to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The source text.
    pub code: String,
    /// The number that the front end shows beside the cell, from 1. A cell that is not counted
    /// (`silent`, or `store_history` is false) has the number that the next counted cell will get.
    pub execution_count: u64,
    /// No output is published, apart from what [`Outcome`] says. See [`Output`].
    pub silent: bool,
    /// The cell is counted and kept in the history.
    pub store_history: bool,
    /// Whether [`Output::input`] may ask the user.
    pub allow_stdin: bool,
    /// Expressions to evaluate after a cell that did not fail, by the name that the front end
    /// chose. Their values go to [`Outcome::Ok`].
    pub user_expressions: BTreeMap<String, String>,
}

/// The end of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Executed {
    /// How it ended.
    pub outcome: Outcome,
    /// More to say in the reply's metadata, for example compile and run seconds. `started` and
    /// `status` are added by the layer unless they are here.
    pub metadata: Map<String, Value>,
}

impl From<Outcome> for Executed {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, metadata: Map::new() }
    }
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Without a failure.
    Ok {
        /// The values of [`Cell::user_expressions`], by name.
        user_expressions: BTreeMap<String, Expression>,
        /// What the front end is asked to do.
        payload: Vec<Payload>,
    },
    /// With a failure. The layer publishes exactly one `error` message for it.
    Error(Failure),
    /// It was not run.
    Aborted,
}

impl Outcome {
    /// Success with nothing more to say.
    pub fn ok() -> Self {
        Self::Ok { user_expressions: BTreeMap::new(), payload: Vec::new() }
    }
}

/// Why a cell, an expression or a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure, for example `Panic` or `KeyboardInterrupt`.
    pub ename: String,
    /// What it says, in one line or a few.
    pub evalue: String,
    /// What the front end shows, one element a line or paragraph; ANSI colours are understood.
    pub traceback: Vec<String>,
}

impl Failure {
    /// A failure whose traceback is its own text.
    pub fn new(ename: impl Into<String>, evalue: impl Into<String>) -> Self {
        let (ename, evalue) = (ename.into(), evalue.into());
        let traceback = vec![format!("{ename}: {evalue}")];
        Self { ename, evalue, traceback }
    }
}

/// The value of a user expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// It has a value.
    Ok(Bundle),
    /// It could not be evaluated.
    Error(Failure),
}

/// What the front end is asked to do after a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Payload {
    /// Show text beside the notebook.
    Page {
        /// The text by MIME type.
        data: Map<String, Value>,
        /// The line to start at.
        start: usize,
    },
    /// Put code into the next cell or prompt.
    SetNextInput {
        /// The code.
        text: String,
        /// Replace the current cell instead.
        replace: bool,
    },
    /// End the session (terminal front ends).
    AskExit {
        /// Leave the kernel running.
        keepkernel: bool,
    },
}

/// What could stand at the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// The candidates, best first.
    pub matches: Vec<Match>,
    /// The first byte of the text that a match replaces.
    pub start: usize,
    /// The byte after that text.
    pub end: usize,
}

impl Completions {
    /// Nothing is known.
    pub fn none(cursor: usize) -> Self {
        Self { matches: Vec::new(), start: cursor, end: cursor }
    }
}

/// A candidate for completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The text to insert.
    pub text: String,
    /// What it is (`function`, `struct`, `keyword` …), shown by some front ends; may be empty.
    pub kind: String,
}

impl From<&str> for Match {
    fn from(text: &str) -> Self {
        Self { text: text.into(), kind: String::new() }
    }
}

/// How much an inspection shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// As `name?` in IPython, or a tooltip.
    #[default]
    Brief,
    /// As `name??`: with the source, if there is any.
    Full,
}

/// Whether code could be run as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can be run.
    Complete,
    /// More lines are needed; the next one begins with this indentation.
    Incomplete {
        /// Spaces or tabs.
        indent: String,
    },
    /// It cannot become valid by going on.
    Invalid,
    /// It cannot be told.
    Unknown,
}

/// Memory of a GPU, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuMemory {
    /// What the session's processes hold.
    pub used: u64,
    /// What the device has.
    pub total: u64,
}
