//! `complete_request` and `complete_reply`.

use crate::evaluator::Completions;
use crate::position;
use jupyter_protocol::ReplyStatus;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(crate) struct CompleteRequest {
    pub(crate) code: String,
    /// In code points; default: the end.
    #[serde(default)]
    pub(crate) cursor_pos: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CompleteReply {
    status: ReplyStatus,
    matches: Vec<String>,
    cursor_start: usize,
    cursor_end: usize,
    metadata: Metadata,
}

/// The kinds of the matches, under the key used by IPython and JupyterLab.
#[derive(Debug, Serialize)]
struct Metadata {
    #[serde(rename = "_jupyter_types_experimental", skip_serializing_if = "Vec::is_empty")]
    types: Vec<Typed>,
}

#[derive(Debug, Serialize)]
struct Typed {
    text: String,
    #[serde(rename = "type")]
    kind: String,
    start: usize,
    end: usize,
}

impl CompleteReply {
    /// The reply to a request for `code`.
    pub(crate) fn new(code: &str, completions: Completions) -> Self {
        let start = position::to_code_points(code, completions.start);
        let end = position::to_code_points(code, completions.end);
        let typed = completions.matches.iter().any(|found| !found.kind.is_empty());
        let types = completions.matches.iter().filter(|_| typed).map(|found| Typed {
            text: found.text.clone(),
            kind: found.kind.clone(),
            start,
            end,
        });
        Self {
            status: ReplyStatus::Ok,
            metadata: Metadata { types: types.collect() },
            matches: completions.matches.into_iter().map(|found| found.text).collect(),
            cursor_start: start,
            cursor_end: end,
        }
    }
}
