//! `status`, and replies that only say that something went wrong.

use crate::evaluator::Failure;
use jupyter_protocol::ReplyStatus;
use serde::Serialize;

/// The kernel's execution state.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "execution_state", rename_all = "lowercase")]
pub(crate) enum Status {
    Starting,
    Busy,
    Idle,
}

/// A reply of any type to a request that is aborted.
#[derive(Debug, Serialize)]
pub(crate) struct Aborted {
    status: ReplyStatus,
}

impl Aborted {
    pub(crate) fn new() -> Self {
        Self { status: ReplyStatus::Aborted }
    }
}

/// A reply of any type to a request that failed.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorReply<'a> {
    status: ReplyStatus,
    #[serde(flatten)]
    failure: &'a Failure,
}

impl<'a> ErrorReply<'a> {
    pub(crate) fn new(failure: &'a Failure) -> Self {
        Self { status: ReplyStatus::Error, failure }
    }
}
