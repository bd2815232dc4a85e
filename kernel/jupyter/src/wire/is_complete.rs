//! `is_complete_request` and `is_complete_reply`.

use crate::evaluator::Completeness;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(crate) struct IsCompleteRequest {
    pub(crate) code: String,
}

/// Only `incomplete` has an indentation.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum IsCompleteReply {
    Complete,
    Incomplete { indent: String },
    Invalid,
    Unknown,
}

impl From<Completeness> for IsCompleteReply {
    fn from(completeness: Completeness) -> Self {
        match completeness {
            Completeness::Complete => Self::Complete,
            Completeness::Incomplete { indent } => Self::Incomplete { indent },
            Completeness::Invalid => Self::Invalid,
            Completeness::Unknown => Self::Unknown,
        }
    }
}
