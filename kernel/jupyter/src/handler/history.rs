//! `history_request`.

use super::Request;
use crate::core::Core;
use crate::evaluator::Failure;
use crate::wake::locked;
use crate::wire::{HistoryReply, HistoryRequest};

/// The entries that are asked for.
pub(super) fn answer(core: &Core, request: &Request) -> Result<HistoryReply, Failure> {
    let asked: HistoryRequest = request.message.content()?;
    Ok(locked(&core.history).find(&asked).into())
}
