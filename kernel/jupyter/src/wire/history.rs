//! `history_request` and `history_reply`.

use jupyter_protocol::ReplyStatus;
use serde::{Deserialize, Serialize};

/// Clients send the fields of all three access types, with null in some of them, or omit them.
#[derive(Debug, Deserialize)]
pub(crate) struct HistoryRequest {
    pub(crate) hist_access_type: HistoryAccess,
    #[serde(default)]
    pub(crate) output: bool,
    #[serde(default)]
    pub(crate) session: Option<i64>,
    #[serde(default)]
    pub(crate) start: Option<i64>,
    #[serde(default)]
    pub(crate) stop: Option<i64>,
    #[serde(default)]
    pub(crate) n: Option<i64>,
    #[serde(default)]
    pub(crate) pattern: Option<String>,
    #[serde(default)]
    pub(crate) unique: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HistoryAccess {
    Range,
    Tail,
    Search,
}

/// `(session, line, input)`, or `(session, line, (input, output))`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum HistoryItem {
    Input(u64, u64, String),
    Both(u64, u64, (String, Option<String>)),
}

#[derive(Debug, Serialize)]
pub(crate) struct HistoryReply {
    status: ReplyStatus,
    history: Vec<HistoryItem>,
}

impl From<Vec<HistoryItem>> for HistoryReply {
    fn from(history: Vec<HistoryItem>) -> Self {
        Self { status: ReplyStatus::Ok, history }
    }
}
