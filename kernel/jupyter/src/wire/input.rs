//! `input_request` and `input_reply`.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
pub(crate) struct InputRequest {
    pub(crate) prompt: String,
    pub(crate) password: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct InputReply {
    #[serde(default)]
    pub(crate) value: String,
}
