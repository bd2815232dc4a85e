//! Comms. The kernel has no targets, so it opens none and closes what a client opens.

use jupyter_protocol::{CommId, ReplyStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
pub(crate) struct CommOpen {
    pub(crate) comm_id: CommId,
    #[serde(default)]
    pub(crate) target_name: String,
}

/// A `comm_info_reply` without comms.
#[derive(Debug, Serialize)]
pub(crate) struct NoComms {
    status: ReplyStatus,
    comms: Map<String, Value>,
}

impl NoComms {
    pub(crate) fn new() -> Self {
        Self { status: ReplyStatus::Ok, comms: Map::new() }
    }
}
