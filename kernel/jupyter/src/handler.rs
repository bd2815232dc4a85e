//! What is done with a request. The shell and the control channel understand the same ones.
//!
//! Around every request the iopub channel says busy and idle. What can take a while does not hold
//! the channel's thread: cells go to the execute thread, and what is asked about code goes there
//! too when it is free, otherwise to the assistant thread.

mod code;
mod comm;
mod history;
mod questions;
mod shutdown;

use crate::core::Core;
use crate::evaluator::Failure;
use crate::execution;
use crate::panics::guarded;
use crate::wire::{
    ConnectReply, Content, ErrorReply, Incoming, KernelInfoReply, NoComms, Outgoing, Parent,
    WireError,
};
use jupyter_protocol::messaging::{ErrorOutput, InterruptReply};
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) use code::{answer, assist, assist_with};
pub(crate) use history::answer_from_history;
pub(crate) use questions::{Assistant, Questions};

/// A channel for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Shell,
    Control,
}

/// A request and the channel for its reply.
pub(crate) struct Request {
    pub(crate) message: Incoming,
    pub(crate) channel: Channel,
}

impl Request {
    pub(crate) fn parent(&self) -> Parent {
        Parent::of(&self.message)
    }

    pub(crate) fn kind(&self) -> &str {
        &self.message.header.msg_type
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Failure::new("BadRequest", error.to_string())
    }
}

impl From<&Failure> for ErrorOutput {
    fn from(failure: &Failure) -> Self {
        let Failure { ename, evalue, traceback } = failure.clone();
        Self { ename, evalue, traceback }
    }
}

/// Handles a request, or passes it to its thread.
pub(crate) fn handle(core: &Arc<Core>, request: Request) {
    match request.kind() {
        "execute_request" => execution::submit(core, request),
        "complete_request" | "inspect_request" => {
            let replaced = match core.executor.offer(request) {
                Ok(replaced) => replaced,
                Err(request) => core.assistant.push(*request),
            };
            if let Some(replaced) = replaced {
                code::abort(core, &replaced);
            }
        }
        "is_complete_request" => drop(core.assistant.push(request)),
        "kernel_info_request" => {
            serve(core, &request, || Ok(KernelInfoReply::from(&core.about)));
        }
        "connect_request" => serve(core, &request, || Ok(ConnectReply::from(&core.connection))),
        "history_request" => history::defer(core, request),
        "comm_info_request" => serve(core, &request, || Ok(NoComms::new())),
        "comm_open" => comm::open(core, &request),
        "comm_msg" | "comm_close" => without_reply(core, &request),
        "interrupt_request" => serve(core, &request, || {
            core.interrupt();
            Ok(InterruptReply::new())
        }),
        "shutdown_request" => shutdown::shut_down(core, &request),
        "usage_request" => serve(core, &request, || Ok(core.usage())),
        "debug_request" => {
            let failure = Failure::new("NotSupported", "this kernel has no debugger");
            fail(core, &request, &failure);
        }
        kind => {
            tracing::warn!(kind, channel = ?request.channel, "a message of an unknown type");
            without_reply(core, &request);
        }
    }
}

/// Replies with the result of `content`, between busy and idle. A panic or an error results in a reply too.
pub(crate) fn serve<C: Content>(
    core: &Core,
    request: &Request,
    content: impl FnOnce() -> Result<C, Failure>,
) {
    let parent = request.parent();
    core.iopub.busy(&parent);
    let reply = match guarded(content).flatten() {
        Ok(content) => Outgoing::reply(&request.message, &content),
        Err(failure) => failed(request, &failure),
    };
    core.reply(request.channel, reply);
    core.iopub.idle(&parent);
}

/// Replies that the request failed, between busy and idle. A cell's failure is also published.
pub(crate) fn fail(core: &Core, request: &Request, failure: &Failure) {
    let parent = request.parent();
    core.iopub.busy(&parent);
    if request.kind() == "execute_request" {
        core.iopub.send(Outgoing::publish(&parent, &ErrorOutput::from(failure)));
    }
    core.reply(request.channel, failed(request, failure));
    core.iopub.idle(&parent);
}

/// The reply for a failed request.
fn failed(request: &Request, failure: &Failure) -> Outgoing {
    tracing::warn!(kind = request.kind(), ename = failure.ename, evalue = failure.evalue, "failed");
    reply(request, &ErrorReply::new(failure))
}

/// A reply of the request's reply type.
fn reply(request: &Request, content: &impl Serialize) -> Outgoing {
    let kind = request.kind().replace("_request", "_reply");
    Outgoing::with_kind(&request.parent(), Cow::Owned(kind), content)
        .to(request.message.identities.clone())
}

/// Publishes busy and idle around a message without a reply.
fn without_reply(core: &Core, request: &Request) {
    let parent = request.parent();
    core.iopub.busy(&parent);
    core.iopub.idle(&parent);
}
