//! What a cell shows, and what it asks the user.

use crate::core::Core;
use crate::socket::stdin::Question;
use crate::wake::locked;
use crate::wire::{Content, DisplayData, ExecuteResult, Outgoing, Parent, UpdateDisplayData};
use benchbook_display::Bundle;
use jupyter_protocol::messaging::ClearOutput;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The metadata key that marks transient outputs.
const TRANSIENT: &str = "benchbook_transient";

/// The stream to which text was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The destination of a cell's outputs. It can be cloned and used on any thread; the order within a
/// thread is kept.
///
/// Outputs after the cell's end still belong to that cell. A silent cell publishes nothing, as the
/// protocol requires: all methods except [`Output::input`] then do nothing.
///
/// A failure is not shown here but returned as [`Outcome::Error`](crate::Outcome::Error), so that
/// there is exactly one `error` message.
#[derive(Clone)]
pub struct Output {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    parent: Parent,
    /// The identities of the client that sent the cell.
    client: Vec<Vec<u8>>,
    execution_count: u64,
    silent: bool,
    allow_stdin: bool,
    interrupted: Arc<AtomicBool>,
    /// The plain text of the latest result, for the history.
    result: Mutex<Option<String>>,
    transient: Mutex<Transient>,
}

/// The transient output of a cell.
#[derive(Default)]
struct Transient {
    /// The display id of the current transient output.
    shown: Option<String>,
    /// Whether the cell has permanent outputs.
    others: bool,
}

impl Output {
    pub(crate) fn new(
        core: Arc<Core>,
        parent: Parent,
        client: Vec<Vec<u8>>,
        cell: &crate::Cell,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                core,
                parent,
                client,
                execution_count: cell.execution_count,
                silent: cell.silent,
                allow_stdin: cell.allow_stdin,
                interrupted,
                result: Mutex::default(),
                transient: Mutex::default(),
            }),
        }
    }

    /// Prints text. Small pieces in quick succession are combined into messages, at most some ten a
    /// second. They are sent before the cell's later outputs and before its end.
    pub fn stream(&self, stream: Stream, text: &str) {
        if !self.shared.silent && !text.is_empty() {
            locked(&self.shared.transient).others = true;
            self.shared.core.iopub.stream(&self.shared.parent, stream, text);
        }
    }

    /// Shows a bundle. With an id, [`Output::update_display`] can replace it, also from later cells.
    pub fn display(&self, bundle: &Bundle, display_id: Option<&str>) {
        self.publish(&DisplayData::new(bundle, display_id));
    }

    /// Replaces every output with this id by a bundle.
    pub fn update_display(&self, bundle: &Bundle, display_id: &str) {
        self.publish(&UpdateDisplayData::new(bundle, display_id));
    }

    /// Publishes a value of the cell with its execution count.
    pub fn result(&self, bundle: &Bundle) {
        self.publish(&ExecuteResult::new(self.shared.execution_count, bundle));
        *locked(&self.shared.result) = Some(bundle.plain().to_owned());
    }

    /// Removes the outputs of the cell; with `wait`, only when the next output arrives, to avoid flicker.
    pub fn clear(&self, wait: bool) {
        self.publish(&ClearOutput { wait });
    }

    /// Shows transient HTML in place of the previous transient output. [`Output::end_transient`]
    /// removes all of it. There is no plain text, since a terminal, or `jupyter run` with its
    /// output in a file, could not remove it.
    pub fn transient(&self, html: &str) {
        let bundle = only_html(html);
        let mut transient = locked(&self.shared.transient);
        if let Some(id) = &transient.shown {
            return self.publish_transient(&UpdateDisplayData::new(&bundle, id));
        }
        let id = uuid::Uuid::new_v4().to_string();
        self.publish_transient(&DisplayData::new(&bundle, Some(&id)));
        transient.shown = Some(id);
    }

    /// Removes what [`Output::transient`] shows.
    pub fn end_transient(&self) {
        let mut transient = locked(&self.shared.transient);
        let Some(id) = transient.shown.take() else { return };
        if transient.others {
            // A single output cannot be removed, so it becomes empty.
            self.publish_transient(&UpdateDisplayData::new(&only_html(""), &id));
        } else {
            self.publish_transient(&ClearOutput { wait: false });
        }
    }

    /// Requests a line of text from the user and waits for it.
    ///
    /// # Errors
    /// The front end does not allow input requests, has no stdin channel or disconnects, or the
    /// cell is interrupted.
    pub fn input(&self, prompt: &str, password: bool) -> Result<String, InputError> {
        self.input_while(prompt, password, || true)
    }

    /// Like [`Output::input`], but sends no request if the answer is no longer `wanted` once all
    /// earlier requests have been answered.
    ///
    /// # Errors
    /// As [`Output::input`].
    pub fn input_while(
        &self,
        prompt: &str,
        password: bool,
        wanted: impl Fn() -> bool,
    ) -> Result<String, InputError> {
        if !self.shared.allow_stdin {
            return Err(InputError::NotAllowed);
        }
        self.shared.core.iopub.flush();
        self.shared.core.stdin.ask(
            Question { client: &self.shared.client, parent: &self.shared.parent, prompt, password },
            || self.interrupted() || !wanted(),
        )
    }

    /// Cancels the pending input request of any cell.
    pub fn end_question(&self) {
        self.shared.core.stdin.cancel(InputError::Interrupted);
    }

    /// Whether the cell was interrupted, or the kernel shuts down. It is true before
    /// [`Control::interrupt`](crate::Control::interrupt) or
    /// [`Control::kill`](crate::Control::kill) is called, and stays so.
    pub fn interrupted(&self) -> bool {
        self.shared.interrupted.load(Ordering::SeqCst)
    }

    /// The plain text of the latest result.
    pub(crate) fn last_result(&self) -> Option<String> {
        locked(&self.shared.result).clone()
    }

    fn publish<C: Content>(&self, content: &C) {
        if !self.shared.silent {
            locked(&self.shared.transient).others = true;
            self.shared.core.iopub.send(Outgoing::publish(&self.shared.parent, content));
        }
    }

    /// Marks the message's metadata as not one of the cell's own outputs.
    fn publish_transient<C: Content>(&self, content: &C) {
        if !self.shared.silent {
            let metadata = Map::from_iter([(TRANSIENT.to_owned(), Value::Bool(true))]);
            let message = Outgoing::publish(&self.shared.parent, content).with_metadata(metadata);
            self.shared.core.iopub.send(message);
        }
    }
}

fn only_html(html: &str) -> Bundle {
    Bundle { data: Map::from_iter([("text/html".to_owned(), html.into())]), metadata: Map::new() }
}

/// Why there is no input from the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The front end that sent the cell does not support input (`allow_stdin` is false).
    #[error("the front end does not allow questions to its user (allow_stdin is false)")]
    NotAllowed,
    /// The front end that sent the cell has no stdin channel open.
    #[error("the front end that sent the cell has no stdin channel open")]
    Unreachable,
    /// The cell was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// The kernel shuts down.
    #[error("the kernel shuts down")]
    Closed,
}
