//! One cell, from busy to idle.

use crate::core::Core;
use crate::evaluator::{Cell, Evaluator, Executed, Failure, Outcome};
use crate::handler::Request;
use crate::output::Output;
use crate::panics::guarded;
use crate::socket::router::Post;
use crate::wire::{ExecuteReply, ExecuteRequest, Outgoing};
use chrono::{SecondsFormat, Utc};
use jupyter_protocol::messaging::{ErrorOutput, ExecuteInput};
use jupyter_protocol::{ExecutionCount, ReplyStatus};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs a cell. `count` is the number of the latest counted cell.
pub(super) fn run(
    core: &Arc<Core>,
    evaluator: &mut Result<Box<dyn Evaluator>, Failure>,
    count: &mut u64,
    request: &Request,
    content: ExecuteRequest,
    interrupted: Arc<AtomicBool>,
) {
    let started = Utc::now();
    let parent = request.parent();
    core.iopub.cell_busy(&parent);
    let stored = content.stored();
    let number = *count + 1;
    if stored {
        *count = number;
    }
    let stop_on_error = content.stop_on_error;
    let cell = Cell {
        code: content.code,
        execution_count: number,
        silent: content.silent,
        store_history: stored,
        allow_stdin: content.allow_stdin,
        user_expressions: content.user_expressions.unwrap_or_default(),
    };
    if !cell.silent {
        let execution_count = ExecutionCount(usize::try_from(number).unwrap_or(usize::MAX));
        let input = ExecuteInput { code: cell.code.clone(), execution_count };
        core.iopub.send(Outgoing::publish(&parent, &input));
    }
    let client = request.message.identities.clone();
    let output = Output::new(core.clone(), parent.clone(), client, &cell, interrupted.clone());
    let executed = match evaluator {
        Ok(evaluator) => guarded(|| evaluator.execute(&cell, &output))
            .unwrap_or_else(|failure| Outcome::Error(failure).into()),
        Err(failure) => Outcome::Error(failure.clone()).into(),
    };
    core.executor.finished();
    if stored {
        core.history.add(number, &cell.code, output.last_result());
    }
    let failed = matches!(executed.outcome, Outcome::Error(_));
    if let (Outcome::Error(failure), false) = (&executed.outcome, cell.silent) {
        core.iopub.send(Outgoing::publish(&parent, &ErrorOutput::from(failure)));
    }
    if failed && stop_on_error || interrupted.load(Ordering::SeqCst) {
        abort_what_waits(core);
    }
    let started = started.to_rfc3339_opts(SecondsFormat::Micros, true);
    core.reply(request.channel, reply(request, executed, number, &started));
    core.iopub.cell_idle(&parent);
}

/// Replies that a cell is aborted, because an earlier one failed or was interrupted.
pub(super) fn abort(core: &Core, request: &Request, count: u64) {
    let parent = request.parent();
    core.iopub.busy(&parent);
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    core.reply(request.channel, reply(request, Outcome::Aborted.into(), count, &now));
    core.iopub.idle(&parent);
}

/// Aborts the cells that clients have already sent. Called before the reply is sent, so that it
/// does not include cells that a client sends on receiving the reply.
fn abort_what_waits(core: &Core) {
    let (sign, drained) = crossbeam_channel::bounded(0);
    core.shell_posts.post(Post::Drain(sign));
    // No value is ever sent: the sender is dropped when everything has been handled, or when the
    // channel has ended.
    let _ = drained.recv();
    core.executor.abort_waiting();
}

fn reply(request: &Request, executed: Executed, number: u64, started: &str) -> Outgoing {
    let mut content = ExecuteReply {
        status: ReplyStatus::Ok,
        execution_count: number,
        user_expressions: BTreeMap::new(),
        payload: Vec::new(),
        failure: None,
    };
    let status = match executed.outcome {
        Outcome::Ok { user_expressions, payload } => {
            content.user_expressions =
                user_expressions.into_iter().map(|(name, value)| (name, value.into())).collect();
            content.payload = payload;
            "ok"
        }
        Outcome::Error(failure) => {
            content.status = ReplyStatus::Error;
            content.failure = Some(failure);
            "error"
        }
        Outcome::Aborted => {
            content.status = ReplyStatus::Aborted;
            "aborted"
        }
    };
    let mut metadata = Map::new();
    metadata.insert("started".into(), Value::from(started));
    metadata.insert("status".into(), Value::from(status));
    metadata.extend(executed.metadata);
    Outgoing::reply(&request.message, &content).with_metadata(metadata)
}
