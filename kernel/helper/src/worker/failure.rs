//! Turns a cell's panic, failing `?` or interrupt into one error message for the server.
//!
//! User code may catch a panic, so the hook only remembers it. [`panic_reached_top`] reports a panic that reaches evcxr's
//! wrapper around the cell.

use super::{is_forked, run, send, server};
use crate::interrupt;
use benchbook_frames::{Frame, Message};
use std::backtrace::Backtrace;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::panic::{Location, PanicHookInfo};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

#[derive(Default)]
struct State {
    /// The newest panic of each thread during the cell.
    panics: Vec<(ThreadId, Panic)>,
    /// Type and text of the error that was printed last, if no other output followed.
    question_mark: Option<(String, String)>,
    /// Whether evcxr's wrapper has caught a panic of the cell, or a `?` has left the cell.
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
    if REPLACED.swap(false, Ordering::Relaxed) {
        Hook::install(Some(std::panic::take_hook()));
    }
}

/// Whether the running cell has failed.
pub(crate) fn cell_failed() -> bool {
    state().failed
}

type UserHook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

/// The panic hook of the worker. A hook of the user would hide message and line; when it drops this one (`set_hook`), this
/// one installs itself in front of it.
struct Hook {
    then: Option<UserHook>,
}

/// Whether the hook was replaced on a panicking thread, where hooks cannot be set.
static REPLACED: AtomicBool = AtomicBool::new(false);

impl Hook {
    fn install(then: Option<UserHook>) {
        let hook = Self { then };
        std::panic::set_hook(Box::new(move |info| hook.call(info)));
    }

    fn call(&self, info: &PanicHookInfo<'_>) {
        remember(info);
        if let Some(then) = &self.then {
            then(info);
        }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if std::thread::panicking() {
            REPLACED.store(true, Ordering::Relaxed);
        } else {
            Self::install(Some(std::panic::take_hook()));
        }
    }
}

pub(super) fn install_hook() {
    Hook::install(None);
}

fn remember(info: &PanicHookInfo<'_>) {
    let mut message = message(info.payload());
    if let Some(instead) = instead_of_printing(&message, info.location()) {
        message = format!("{message}; {instead}");
    }
    let thread = std::thread::current();
    let traceback = places(info.location());
    // The panicking code may hold the lock of standard output, so do not flush.
    let tell = |frame| server().map_or((), |server| server.send_aside(&frame));
    if is_forked() {
        let place = traceback.join("\n");
        return eprintln!("a process that the cell has forked panicked: {message}\n{place}");
    }
    if thread.name() != Some("main") {
        // evcxr's wrapper does not see panics of other threads.
        let (thread, newest) = (thread.name().map(str::to_owned), run::is_in_newest_cell());
        let panic = Message::ThreadPanicked { thread, message, traceback, newest };
        return tell(Frame::Message(panic));
    }
    tell(Frame::Message(Message::Panicked {
        message: message.clone(),
        traceback: traceback.clone(),
    }));
    let mut state = state();
    state.panics.retain(|(id, _)| *id != thread.id());
    state.panics.push((thread.id(), Panic { message, traceback }));
}

/// A panic's message.
fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    text.map_or_else(|| "a panic whose value is not text".into(), |text| readable(&text))
}

/// Advice for a tensor that tch's `Display` cannot print.
fn instead_of_printing(message: &str, location: Option<&Location<'_>>) -> Option<&'static str> {
    const DISPLAY: &str = "src/tensor/display.rs";
    let is_display = || location.is_some_and(|location| location.file().ends_with(DISPLAY));
    if message.contains("not implemented for sparse tensors") || message.contains("Sparse C") {
        return Some(
            "tch's `{}` cannot print sparse tensors: make the tensor the cell's last expression, call `display(&tensor)`, or print `tensor.to_dense(None, false)`",
        );
    }
    (message.contains("PoisonError") && is_display()).then_some(
        "tch's `{}` has failed for a sparse tensor, and prints no tensor until the kernel is restarted; show tensors as a cell's last expression or with `display(&tensor)`",
    )
}

/// How the compiled file of a cell ends (`server/src/cargo.rs`: `CELL`).
const CELL: &str = "target/cell/lib.rs";

/// Where a panic happened, one place per line: the panic's own, unless in a library, and the cell's line that led there.
fn places(location: Option<&Location<'_>>) -> Vec<String> {
    let Some(location) = location else { return Vec::new() };
    let at = format!("at {location}");
    if location.file().ends_with(CELL) {
        return vec![at];
    }
    let cell = place_in_cell();
    match (cell, short_place(location.file())) {
        (Some(cell), Some(_)) => vec![cell],
        (Some(cell), None) => vec![at, cell],
        (None, Some(file)) => vec![format!("at {file}:{}:{}", location.line(), location.column())],
        (None, None) => vec![at],
    }
}

/// The innermost line of the stack in a cell's file. A child process finds it: std lists the loaded libraries only once,
/// and each cell loads a new one.
fn place_in_cell() -> Option<String> {
    // Time limit of the child in seconds: another thread's lock may block it for ever.
    const LIMIT: i32 = 2;
    let stack = Backtrace::force_capture();
    let (mut reader, mut writer) = std::io::pipe().ok()?;
    // SAFETY: the child reads memory, writes to the pipe and ends without destructors.
    let child = match unsafe { libc::fork() } {
        -1 => return None,
        0 => {
            let place = innermost_in_cell(&stack.to_string()).unwrap_or_default();
            let _ = writer.write_all(place.as_bytes());
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
        child => child,
    };
    drop(writer);
    let mut ready = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut place = String::new();
    // SAFETY: an open descriptor; then system calls on this function's child.
    unsafe {
        if libc::poll(&raw mut ready, 1, LIMIT * 1000) <= 0 {
            libc::kill(child, libc::SIGKILL);
        }
        let _ = reader.read_to_string(&mut place);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    Some(place).filter(|place| !place.is_empty())
}

/// The innermost line of a backtrace in a cell's file.
fn innermost_in_cell(backtrace: &str) -> Option<String> {
    let place = backtrace.lines().find_map(|line| {
        let (path, place) = line.trim().strip_prefix("at ")?.rsplit_once(CELL)?;
        (path.is_empty() || path.ends_with('/')).then_some(place)
    })?;
    Some(format!("at {CELL}{place}"))
}

/// The path of a file of a registry's crate, the standard library or the helper library, without its root; `None` for
/// other files.
fn short_place(file: &str) -> Option<&str> {
    if let Some((_, rest)) = file.split_once("/registry/src/") {
        return rest.split_once('/').map(|(_, rest)| rest);
    }
    if let Some((_, rest)) = file.split_once("/library/")
        && (file.starts_with("/rustc/") || file.contains("/lib/rustlib/src/"))
    {
        return Some(rest);
    }
    // Paths of the helper library are relative to its workspace.
    Some(file).filter(|file| file.starts_with("kernel/"))
}

/// An error's text; for an error of LibTorch with C++ frames, its first line.
fn readable(text: &str) -> String {
    const FRAMES: &str = "Exception raised from ";
    let Some(at) = text.find(FRAMES) else { return text.to_owned() };
    let said = &text[..at];
    // `unwrap` and `expect` write an error with `Debug`: `… value: Torch("…\n…")`.
    if let Some((_, quoted)) = said.split_once("Torch(\"") {
        let line = quoted.split("\\n").next().unwrap_or(quoted);
        return line.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\");
    }
    let line = said.lines().next().unwrap_or(said).trim_end();
    line.strip_prefix("Internal torch error: ").unwrap_or(line).to_owned()
}

/// Message, and line of the compiled cell, of a caught panic of this thread that does not fail the cell.
pub(crate) fn take_panic(payload: &(dyn std::any::Any + Send)) -> (String, Option<usize>) {
    let (message, thread) = (message(payload), std::thread::current().id());
    let mut state = state();
    let is_it = |(id, panic): &(ThreadId, Panic)| *id == thread && panic.message == message;
    let panic = state.panics.iter().rposition(is_it).map(|at| state.panics.remove(at).1);
    let line = |place: &String| place.rsplit_once(CELL)?.1.split(':').nth(1)?.parse().ok();
    (message, panic.and_then(|panic| panic.traceback.iter().find_map(line)))
}

/// The compiled text of the running cell; `None` outside a kernel.
pub(crate) fn compiled_cell() -> Option<String> {
    let session = PathBuf::from(std::env::var_os(benchbook_frames::SOCKET_VARIABLE)?);
    std::fs::read_to_string(session.parent()?.join("crate").join(CELL)).ok()
}

/// The message of a panic that a cell's wrapper has caught.
pub(crate) fn caught(payload: &(dyn std::any::Any + Send)) {
    let message = message(payload);
    let mut state = state();
    // The hook was not called: an earlier, caught panic, or none.
    let known = state.panics.last().is_some_and(|(_, panic)| panic.message.starts_with(&message));
    if !known {
        let panic = Panic { message, traceback: Vec::new() };
        state.panics.push((std::thread::current().id(), panic));
    }
}

/// Fails the cell after evcxr's wrapper has caught a panic.
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

/// Fails a compiled cell that cannot be loaded, because a symbol is missing. `variables` are those of the session, which
/// evcxr forgets if the cell binds or moves them.
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

    // As after a panic: the cell's own definitions are missing.
    run::reply("EVCXR_PANIC_NOTIFICATION");
    for name in variables {
        // Only the binding cell knew whether it was `mut`, so allow it.
        send(Message::Kept { name: name.to_owned(), mutable: true });
    }
    // Without the path of the cell's library.
    let evalue = reason.split_once(".so: ").map_or(reason.as_str(), |(_, why)| why).to_owned();
    send(Message::Error { ename: "LinkError".into(), evalue, traceback: Vec::new() });
}

/// Holds back a printed error. evcxr's conversion of a failing `?` prints the error just before it calls
/// [`error_reached_top`], which shows it as the error of the cell. `held_back` releases the same print by the user.
pub fn hold_back<E>(_error: &E, text: String) {
    let earlier = held_back();
    let ename = short(std::any::type_name::<E>());
    state().question_mark = Some((ename, earlier.unwrap_or_default() + &text));
}

/// Takes a held-back print that was not the error of the cell.
pub(super) fn held_back() -> Option<String> {
    state().question_mark.take().map(|(_, text)| text)
}

/// Fails the cell after a `?`, from evcxr's conversion of errors, which does not know the place.
pub fn error_reached_top() {
    error_reached_top_at(None);
}

/// Fails the cell after a `?` at this place.
pub(crate) fn error_reached_top_at(location: Option<&Location<'_>>) {
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
    let evalue = readable(evalue.trim_end());
    let traceback = location.map(|location| format!("at {location}")).into_iter().collect();
    send(Message::Error { ename, evalue, traceback });
}

/// Fails the cell after a `return` before its variables were kept.
pub(crate) fn returned_early() {
    run::end_if_forked(0);
    run::reply("EVCXR_ERROR_OCCURRED");
    state().failed = true;
    let evalue = "`return` ended the cell before its new variables were kept; put code that returns early into a function";
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

    const ERROR: &str = "The size of tensor a (2) must match the size of tensor b (3)\nException raised from infer_size_impl at ../aten/src/ATen/ExpandUtils.cpp:31 (most recent call first):\nframe #0: c10::Error::Error";

    #[test]
    fn of_a_tensor_error_the_first_line_is_told() {
        let first = "The size of tensor a (2) must match the size of tensor b (3)";
        assert_eq!(readable(ERROR), first);
        assert_eq!(readable(&format!("Internal torch error: {ERROR}")), first);
        let unwrapped = format!("called `Result::unwrap()` on an `Err` value: Torch({ERROR:?})");
        assert_eq!(readable(&unwrapped), first);
        let quoted = ERROR.replace("tensor a", "\"a\"");
        assert_eq!(readable(&format!("Torch({quoted:?})")), first.replace("tensor a", "\"a\""));
        assert_eq!(readable("two\nlines"), "two\nlines");
    }

    #[test]
    fn the_innermost_line_of_the_cell_is_found_in_a_backtrace() {
        let backtrace = "   0: tch::f\n             at /x/tch/src/lib.rs:5:6\n   1: core::g\n   \
             2: run_user_code_3::{{closure}}\n             at ./target/cell/lib.rs:21:9\n   \
             3: run_user_code_3\n             at ./target/cell/lib.rs:12:3";
        assert_eq!(innermost_in_cell(backtrace).as_deref(), Some("at target/cell/lib.rs:21:9"));
        assert_eq!(innermost_in_cell("   0: f\n  at /mytarget/cell/lib.rs:1:1"), None);
    }

    #[test]
    fn places_in_libraries_lose_the_folders_of_the_machine() {
        let registry = "/home/a/.cargo/registry/src/index.crates.io-1/tch-0.24.0/src/a.rs";
        assert_eq!(short_place(registry), Some("tch-0.24.0/src/a.rs"));
        assert_eq!(short_place("/rustc/abc/library/core/src/a.rs"), Some("core/src/a.rs"));
        assert_eq!(short_place("kernel/data/src/seed.rs"), Some("kernel/data/src/seed.rs"));
        assert_eq!(short_place("/home/a/meter/src/lib.rs"), None);
    }

    #[test]
    fn type_names_lose_their_paths() {
        assert_eq!(short("alloc::string::String"), "String");
        assert_eq!(short("a::E<alloc::boxed::Box<dyn core::error::Error>>"), "E<Box<dyn Error>>");
        assert_eq!(short("&str"), "&str");
    }
}
