//! `execute_request` and `execute_reply`.

use crate::evaluator::{Expression, Failure, Payload};
use benchbook_display::Bundle;
use jupyter_protocol::ReplyStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All fields except the code have the specification's defaults.
#[derive(Debug, Deserialize)]
pub(crate) struct ExecuteRequest {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) silent: bool,
    /// Default: the opposite of `silent`.
    #[serde(default)]
    pub(crate) store_history: Option<bool>,
    #[serde(default)]
    pub(crate) user_expressions: Option<BTreeMap<String, String>>,
    #[serde(default = "yes")]
    pub(crate) allow_stdin: bool,
    #[serde(default = "yes")]
    pub(crate) stop_on_error: bool,
}

fn yes() -> bool {
    true
}

impl ExecuteRequest {
    /// Whether the cell is counted and saved; a silent cell never is.
    pub(crate) fn stored(&self) -> bool {
        !self.silent && self.store_history.unwrap_or(true)
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ExecuteReply {
    pub(crate) status: ReplyStatus,
    pub(crate) execution_count: u64,
    pub(crate) user_expressions: BTreeMap<String, ExpressionReply>,
    pub(crate) payload: Vec<Payload>,
    #[serde(flatten)]
    pub(crate) failure: Option<Failure>,
}

/// The value of a user expression.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum ExpressionReply {
    Ok(Bundle),
    Error(Failure),
}

impl From<Expression> for ExpressionReply {
    fn from(expression: Expression) -> Self {
        match expression {
            Expression::Ok(bundle) => Self::Ok(bundle),
            Expression::Error(failure) => Self::Error(failure),
        }
    }
}
