//! Comms.

use super::{Request, without_reply};
use crate::core::Core;
use crate::wire::{CommOpen, Outgoing};
use jupyter_protocol::messaging::CommClose;
use serde_json::Map;

/// Closes each comm that a client opens: there are no targets.
pub(super) fn open(core: &Core, request: &Request) {
    let opened: CommOpen = match request.message.content() {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%error, "a comm_open was dropped");
            return without_reply(core, request);
        }
    };
    tracing::debug!(target_name = opened.target_name, "a comm for an unknown target is closed");
    let parent = request.parent();
    core.iopub.busy(&parent);
    let close = CommClose { comm_id: opened.comm_id, data: Map::new() };
    core.iopub.send(Outgoing::publish(&parent, &close));
    core.iopub.idle(&parent);
}
