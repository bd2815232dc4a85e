//! Turns a cell's panic, failing `?` or interrupt into one error message for the server.
//!
//! A panic alone is no failure, since the user's code may catch it. The hook remembers it; only
//! when evcxr's wrapper around the cell catches it, [`panic_reached_top`] reports it.

use super::{is_forked, run, send, server};
use crate::interrupt;
use benchbook_frames::{Frame, Message, Stream};
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

#[derive(Default)]
struct State {
    /// The newest panic of each thread that had one during the cell.
    panics: Vec<(ThreadId, Panic)>,
    /// The type and text of the error that was printed last, if nothing came after it.
    question_mark: Option<(String, String)>,
    /// The cell has failed: evcxr's wrapper has caught a panic, or a `?` has left it.
    failed: bool,
}

struct Panic {
    message: String,
    traceback: Vec<String>,
}

static STATE: Mutex<State> =
    Mutex::new(State { panics: Vec::new(), question_mark: None, failed: false });

fn state() -> std::sync::MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn clear() {
    *state() = State::default();
}

/// Whether the running cell has failed.
pub(crate) fn cell_failed() -> bool {
    state().failed
}

pub(super) fn install_hook() {
    std::panic::set_hook(Box::new(remember));
}

fn remember(info: &PanicHookInfo<'_>) {
    let message = message(info.payload());
    let thread = std::thread::current();
    // The server knows how the compiled file's lines lie in the cell.
    let place = info.location().map(|at| format!("at {at}"));
    let traceback: Vec<String> = place.into_iter().collect();
    // Whatever panicked may hold the lock of standard output, so nothing is flushed here.
    let tell = |frame| server().map_or((), |server| server.send_aside(&frame));
    if is_forked() {
        let place = traceback.join("\n");
        return eprintln!("a process that the cell has forked panicked: {message}\n{place}");
    }
    if thread.name() != Some("main") {
        // No wrapper of evcxr's sees the panic of another thread.
        let name = thread.name().unwrap_or("without a name");
        let text = format!("thread {name} panicked: {message}\n{}\n", traceback.join("\n"));
        return tell(Frame::Print(Stream::Stderr, text.into_bytes()));
    }
    tell(Frame::Message(Message::Panicked {
        message: message.clone(),
        traceback: traceback.clone(),
    }));
    let mut state = state();
    state.panics.retain(|(id, _)| *id != thread.id());
    state.panics.push((thread.id(), Panic { message, traceback }));
}

fn message(payload: &dyn std::any::Any) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic with a value that is no text".into())
}

/// evcxr's wrapper caught a panic: the cell has failed.
pub fn panic_reached_top() {
    run::end_if_forked(101);
    run::reply("EVCXR_PANIC_NOTIFICATION");
    let panic = {
        let mut state = state();
        state.failed = true;
        state.panics.pop().map(|(_, panic)| panic)
    };
    if interrupt::take_served() {
        return send(interrupted());
    }
    let (evalue, traceback) = panic.map_or_else(
        || ("the cell was unwound without a panic".to_owned(), Vec::new()),
        |panic| (panic.message, panic.traceback),
    );
    send(Message::Error { ename: "Panic".into(), evalue, traceback });
}

/// The cell was compiled, but what it calls is nowhere in the process; it has not run.
/// `variables` are those of the session, which evcxr forgets if the cell binds or moves them.
pub(super) fn not_loaded<'a>(
    error: &dyn std::error::Error,
    variables: impl Iterator<Item = &'a str>,
) {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        reason = error.to_string();
        source = error.source();
    }

    // As after a panic: what the cell would have defined is not there.
    run::reply("EVCXR_PANIC_NOTIFICATION");
    for name in variables {
        // Whether it was `mut` only the cell that bound it knew; it may be.
        send(Message::Kept { name: name.to_owned(), mutable: true });
    }
    // The path of the cell's library means nothing to the user.
    let evalue = reason.split_once(".so: ").map_or(reason.as_str(), |(_, why)| why).to_owned();
    send(Message::Error { ename: "LinkError".into(), evalue, traceback: Vec::new() });
}

/// Holds back a printed error. evcxr's conversion of the error of a failing `?` prints it just
/// before it calls [`error_reached_top`], which shows it as the error of the cell instead. A print
/// of the user's own that looks the same is let go by `held_back`.
pub fn hold_back<E>(_error: &E, text: String) {
    let earlier = held_back();
    let ename = short(std::any::type_name::<E>());
    state().question_mark = Some((ename, earlier.unwrap_or_default() + &text));
}

/// A print that was held back and did not turn out to be the error of the cell.
pub(super) fn held_back() -> Option<String> {
    state().question_mark.take().map(|(_, text)| text)
}

/// A `?` ended the cell.
pub fn error_reached_top() {
    run::end_if_forked(1);
    run::reply("EVCXR_ERROR_OCCURRED");
    let error = {
        let mut state = state();
        state.failed = true;
        state.question_mark.take()
    };
    if interrupt::take_served() {
        return send(interrupted());
    }
    let (ename, evalue) = error.unwrap_or_else(|| ("Error".into(), "a `?` failed".into()));
    let evalue = evalue.trim_end().to_owned();
    send(Message::Error { ename, evalue, traceback: Vec::new() });
}

/// A `return` ended the cell before its variables were kept.
pub(crate) fn returned_early() {
    run::end_if_forked(0);
    run::reply("EVCXR_ERROR_OCCURRED");
    state().failed = true;
    let evalue = "`return` ended the cell before its new variables could be kept; put what may return early into a function or a block of its own";
    send(Message::Error {
        ename: "EarlyReturn".into(),
        evalue: evalue.into(),
        traceback: Vec::new(),
    });
}

fn interrupted() -> Message {
    Message::Error {
        ename: "KeyboardInterrupt".into(),
        evalue: "the cell was interrupted; variables are kept".into(),
        traceback: Vec::new(),
    }
}

/// `a::b::Error<c::D>` as `Error<D>`.
pub(crate) fn short(type_name: &str) -> String {
    let mut result = String::new();
    let mut word = String::new();
    for character in type_name.chars() {
        if character.is_alphanumeric() || character == '_' {
            word.push(character);
        } else if character == ':' {
            word.clear();
        } else {
            result.push_str(&word);
            result.push(character);
            word.clear();
        }
    }
    result + &word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_lose_their_paths() {
        assert_eq!(short("alloc::string::String"), "String");
        assert_eq!(short("a::E<alloc::boxed::Box<dyn core::error::Error>>"), "E<Box<dyn Error>>");
        assert_eq!(short("&str"), "&str");
    }
}
