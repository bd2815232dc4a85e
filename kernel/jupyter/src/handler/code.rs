//! Questions about code: completion, inspection, completeness.

use super::{Questions, Request, reply, serve};
use crate::core::Core;
use crate::evaluator::{Completions, Control, Detail, Evaluator};
use crate::position;
use crate::wire::{
    Aborted, CompleteReply, CompleteRequest, InspectReply, InspectRequest, IsCompleteReply,
    IsCompleteRequest,
};
use benchbook_display::Bundle;

/// The source of answers about code: the evaluator between cells, the control during cells.
pub(crate) trait Asked {
    fn complete(&mut self, code: &str, cursor: usize) -> Completions;
    fn inspect(&mut self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle>;
}

impl Asked for &dyn Control {
    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        Control::complete(*self, code, cursor)
    }

    fn inspect(&mut self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        Control::inspect(*self, code, cursor, detail)
    }
}

impl Asked for Box<dyn Evaluator> {
    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        Evaluator::complete(&mut **self, code, cursor)
    }

    fn inspect(&mut self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        Evaluator::inspect(&mut **self, code, cursor, detail)
    }
}

/// Answers requests on the assistant thread until the kernel ends.
pub(crate) fn assist(core: &Core) {
    while let Some(request) = core.assistant.next() {
        match request.kind() {
            "is_complete_request" => serve(core, &request, || {
                let asked: IsCompleteRequest = request.message.content()?;
                Ok(IsCompleteReply::from(core.control.is_complete(&asked.code)))
            }),
            _ => answer(core, &request, &mut &*core.control),
        }
    }
}

/// Passes requests to the assistant thread.
pub(crate) fn assist_with(core: &Core, mut questions: Questions) {
    while let Some(question) = questions.pop() {
        if let Some(replaced) = core.assistant.push(question) {
            abort(core, &replaced);
        }
    }
}

/// Replies that a newer request has replaced this one.
pub(super) fn abort(core: &Core, request: &Request) {
    let parent = request.parent();
    core.iopub.busy(&parent);
    core.reply(request.channel, reply(request, &Aborted::new()));
    core.iopub.idle(&parent);
}

/// Answers a completion or an inspection.
pub(crate) fn answer(core: &Core, request: &Request, asked: &mut impl Asked) {
    match request.kind() {
        "complete_request" => serve(core, request, || {
            let CompleteRequest { code, cursor_pos } = request.message.content()?;
            let cursor = position::to_bytes(&code, cursor_pos.unwrap_or(usize::MAX));
            let completions = asked.complete(&code, cursor);
            Ok(CompleteReply::new(&code, completions))
        }),
        _ => serve(core, request, || {
            let question: InspectRequest = request.message.content()?;
            let cursor =
                position::to_bytes(&question.code, question.cursor_pos.unwrap_or(usize::MAX));
            let found = asked.inspect(&question.code, cursor, question.detail());
            Ok(InspectReply::from(found))
        }),
    }
}
