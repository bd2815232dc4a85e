//! `input_request` and `input_reply`.

use super::Content;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
pub(crate) struct InputRequest {
    pub(crate) prompt: String,
    pub(crate) password: bool,
}

impl Content for InputRequest {
    const TYPE: &'static str = "input_request";
}

#[derive(Debug, Deserialize)]
pub(crate) struct InputReply {
    #[serde(default)]
    pub(crate) value: String,
}
