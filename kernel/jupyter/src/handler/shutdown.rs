//! `shutdown_request`.

use super::{Request, fail};
use crate::core::Core;
use crate::kernel::End;
use crate::wire::{Outgoing, ShutdownRequest};
use jupyter_protocol::ReplyStatus;
use jupyter_protocol::messaging::ShutdownReply;

/// Replies, notifies all clients, and lets the kernel end.
pub(super) fn shut_down(core: &Core, request: &Request) {
    let restart = match request.message.content::<ShutdownRequest>() {
        Ok(asked) => asked.restart,
        Err(error) => return fail(core, request, &error.into()),
    };
    let parent = request.parent();
    core.iopub.busy(&parent);
    let content = ShutdownReply { restart, status: ReplyStatus::Ok, error: None };
    core.reply(request.channel, Outgoing::reply(&request.message, &content));
    core.iopub.send(Outgoing::publish(&parent, &content));
    core.iopub.idle(&parent);
    core.ends.post(End::Shutdown { restart });
}
