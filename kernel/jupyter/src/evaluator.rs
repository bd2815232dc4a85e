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
    /// Runs one cell. All its outputs go to `output` before this returns.
    ///
    /// [`Control::interrupt`] announces an interrupt during the cell, which then ends soon with an
    /// [`Outcome::Error`] named `KeyboardInterrupt`. An interrupt can arrive before this method
    /// begins, and a late interrupt of the previous cell may still be recorded; so first clear the
    /// record, then check [`Output::interrupted`].
    fn execute(&mut self, cell: &Cell, output: &Output) -> Executed;

    /// Completions at `cursor` (a byte offset in `code`). Called when no cell runs or waits;
    /// otherwise the layer calls [`Control::complete`].
    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        let _ = code;
        Completions::none(cursor)
    }

    /// Documentation of the code at `cursor` (a byte offset in `code`); `None` if there is none.
    /// Called when no cell runs or waits; otherwise the layer calls [`Control::inspect`].
    fn inspect(&mut self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        let _ = (code, cursor, detail);
        None
    }

    /// Does a piece of work ahead of the next request, and returns whether there is more. Called while nothing
    /// waits, until it returns false; a request that arrives meanwhile waits for the piece's end.
    fn idle(&mut self) -> bool {
        false
    }

    /// Ends everything that the evaluator has started. No method is called afterwards. The kernel
    /// waits for at most [`SHUTDOWN_GRACE`](crate::SHUTDOWN_GRACE).
    fn shutdown(&mut self, restart: bool) {
        let _ = restart;
    }
}

/// Services that are available at any time, from any thread, even while a cell runs.
///
/// A panic in any method fails the request that it served and nothing else.
pub trait Control: Send + Sync {
    /// Interrupts the running cell. Called only while a cell runs, once for each interrupt by the
    /// user; must return at once, since the end of the cell waits for it.
    fn interrupt(&self);

    /// Forces the running cell (or the construction of the evaluator, or its work ahead) to end,
    /// because the kernel shuts down. Not called when nothing runs.
    fn kill(&self);

    /// Whether `code` is complete and can be run.
    fn is_complete(&self, code: &str) -> Completeness;

    /// Completions at `cursor` (a byte offset in `code`) without the evaluator: while a cell runs
    /// or waits, or the evaluator is being built.
    fn complete(&self, code: &str, cursor: usize) -> Completions {
        let _ = code;
        Completions::none(cursor)
    }

    /// Documentation of the code at `cursor` (a byte offset in `code`) without the evaluator.
    fn inspect(&self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        let _ = (code, cursor, detail);
        None
    }

    /// The memory of the session's GPU; `None` without one. The layer itself measures CPU and
    /// memory of this process and its children.
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
    /// (`silent`, or `store_history` is false) has the number of the next counted cell.
    pub execution_count: u64,
    /// Whether the cell publishes no output except its [`Outcome`]. See [`Output`].
    pub silent: bool,
    /// Whether the cell is counted and saved in the history.
    pub store_history: bool,
    /// Whether [`Output::input`] may request input.
    pub allow_stdin: bool,
    /// Expressions to evaluate after a cell that did not fail, by the front end's names. Their
    /// values go to [`Outcome::Ok`].
    pub user_expressions: BTreeMap<String, String>,
}

/// The end of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Executed {
    /// How it ended.
    pub outcome: Outcome,
    /// Further metadata of the reply, for example compile and run seconds. The layer adds `started`
    /// and `status` unless they are present.
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
        /// Actions for the front end.
        payload: Vec<Payload>,
    },
    /// With a failure. The layer publishes exactly one `error` message for it.
    Error(Failure),
    /// The cell was not run.
    Aborted,
}

impl Outcome {
    /// Success without further data.
    pub fn ok() -> Self {
        Self::Ok { user_expressions: BTreeMap::new(), payload: Vec::new() }
    }
}

/// Why a cell, an expression or a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure, for example `Panic` or `KeyboardInterrupt`.
    pub ename: String,
    /// The message, in one line or a few.
    pub evalue: String,
    /// The displayed text, one element a line or paragraph; may contain ANSI colours.
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
    /// The value.
    Ok(Bundle),
    /// The evaluation failed.
    Error(Failure),
}

/// An action for the front end after a cell.
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

/// Completions at the cursor.
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
    /// No completions.
    pub fn none(cursor: usize) -> Self {
        Self { matches: Vec::new(), start: cursor, end: cursor }
    }
}

/// A candidate for completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The text to insert.
    pub text: String,
    /// The kind (`function`, `struct`, `keyword` …), shown by some front ends; may be empty.
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

/// Whether code is complete and can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can be run.
    Complete,
    /// More lines are needed; the next one begins with this indentation.
    Incomplete {
        /// Spaces or tabs.
        indent: String,
    },
    /// More text cannot make it valid.
    Invalid,
    /// Unknown.
    Unknown,
}

/// Memory of a GPU, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuMemory {
    /// Memory of the session's processes.
    pub used: u64,
    /// Memory of the device.
    pub total: u64,
}
