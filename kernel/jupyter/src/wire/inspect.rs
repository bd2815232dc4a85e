//! `inspect_request` and `inspect_reply`.

use crate::evaluator::Detail;
use benchbook_display::Bundle;
use jupyter_protocol::ReplyStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
pub(crate) struct InspectRequest {
    pub(crate) code: String,
    /// In code points; default: the end.
    #[serde(default)]
    pub(crate) cursor_pos: Option<usize>,
    #[serde(default)]
    detail_level: Option<u8>,
}

impl InspectRequest {
    pub(crate) fn detail(&self) -> Detail {
        match self.detail_level {
            None | Some(0) => Detail::Brief,
            Some(_) => Detail::Full,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct InspectReply {
    status: ReplyStatus,
    found: bool,
    data: Map<String, Value>,
    metadata: Map<String, Value>,
}

impl From<Option<Bundle>> for InspectReply {
    fn from(bundle: Option<Bundle>) -> Self {
        let found = bundle.is_some();
        let (data, metadata) =
            bundle.map(|bundle| (bundle.data, bundle.metadata)).unwrap_or_default();
        Self { status: ReplyStatus::Ok, found, data, metadata }
    }
}
