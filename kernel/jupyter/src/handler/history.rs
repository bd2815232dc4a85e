//! `history_request`.

use super::{Request, serve};
use crate::core::Core;
use crate::wire::{HistoryReply, HistoryRequest};

/// Passes a request to the history thread, since the file may be slow.
pub(super) fn defer(core: &Core, request: Request) {
    if core.historian.send(Some(request)).is_err() {
        tracing::warn!("a request came after the kernel's end");
    }
}

/// Answers history requests until the kernel ends.
pub(crate) fn answer_from_history(
    core: &Core,
    requests: &crossbeam_channel::Receiver<Option<Request>>,
) {
    while let Ok(Some(request)) = requests.recv() {
        serve(core, &request, || {
            let asked: HistoryRequest = request.message.content()?;
            Ok(HistoryReply::from(core.history.find(&asked)))
        });
    }
}
