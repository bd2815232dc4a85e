//! The worker's side of a session: runs cells, and sends their outputs as frames.
//!
//! The program `benchbook-worker` loads this library and calls [`benchbook_worker_main`]. The library has all state,
//! because cells must see the same panic hook, interrupt flag and frame writer: cells and library share one `libstd.so`.
//!
//! evcxr sends lines to the worker through the worker's guard (`benchbook_guard`). The user's standard input is empty;
//! standard output and error are pipes that `streams` reads.
//!
//! User code can reach the worker's descriptors and fork the process. So messages on the start and end of a cell carry a
//! token that user code does not know, a closed descriptor ends the worker, and a forked process is not a worker
//! (`server`).

mod answers;
mod command_line;
mod crash;
mod failure;
mod job;
mod reproduce;
mod run;
mod stdout;
mod streams;
mod study;

pub(crate) use failure::{
    caught, cell_failed, compiled_cell, error_reached_top_at, returned_early, short, take_panic,
};
pub use failure::{error_reached_top, hold_back, panic_reached_top};
pub use job::benchbook_job_main;
pub use run::{benchbook_worker_main, variable_changed_type};
pub use study::{benchbook_libraries_main, benchbook_study_main};

use crate::interrupt;
use answers::Answers;
use benchbook_frames::{Answer, Frame, Message, SOCKET_VARIABLE, Stream};
use benchbook_guard::Control;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Where `println!` of a cell goes.
pub const STDOUT: Stream = Stream::Stdout;
/// Where `eprintln!` of a cell goes.
pub const STDERR: Stream = Stream::Stderr;

/// The connection to the server, once this process is a worker.
static SERVER: OnceLock<Server> = OnceLock::new();

struct Server {
    frames: Mutex<Frames>,
    answers: Answers,
    streams: streams::Streams,
    token: String,
    /// The id of the connected process.
    process: u32,
}

/// The connection. A cell may close its descriptor, whose number the next opened file gets; `send`, unlike `write`, then
/// fails.
struct Frames(UnixStream);

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the buffer outlives the call and its length is passed with it.
        let sent = unsafe {
            libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The connection to the server; `None` outside a worker, and in a process that a cell has forked, which must not send for
/// the worker.
fn server() -> Option<&'static Server> {
    SERVER.get().filter(|server| server.process == std::process::id())
}

/// Whether a cell has forked this process.
fn is_forked() -> bool {
    SERVER.get().is_some_and(|server| server.process != std::process::id())
}

impl Server {
    /// Sends everything printed so far, then locks the frame writer, so that the caller's frame keeps its place among the
    /// prints.
    fn ordered(&self) -> MutexGuard<'_, Frames> {
        // Text in the buffer of Rust's stdout precedes this frame.
        stdout::flush();
        let mut frames = lock(&self.frames);
        self.streams.drain(&mut frames);
        if let Some(text) = failure::held_back() {
            let _ = Frame::Print(Stream::Stderr, text.into_bytes()).write_to(&mut *frames);
        }
        frames
    }

    /// Sends a frame without regard to its place among the prints. Takes no lock of the standard streams, so the panic hook
    /// can call it while a lock is held.
    fn send_aside(&self, frame: &Frame) {
        let _ = frame.write_to(&mut *lock(&self.frames));
    }

    fn send(&self, frame: &Frame) {
        // If the server is gone, evcxr's pipe closes and ends the worker.
        let sent = frame.write_to(&mut *self.ordered());
        if let Err(error) = sent
            && error.kind() == io::ErrorKind::InvalidData
        {
            self.refused(frame, &error);
        }
    }

    /// Handles a message that is too large: fails the cell, or reports it.
    fn refused(&self, frame: &Frame, error: &io::Error) {
        match frame {
            Frame::Message(Message::Display { .. } | Message::Result { .. }) => panic!("{error}"),
            Frame::Message(Message::Error { ename, .. }) => {
                let (ename, traceback) = (ename.clone(), Vec::new());
                let evalue = format!("its text is not shown: {error}");
                self.send(&Frame::Message(Message::Error { ename, evalue, traceback }));
            }
            // An update may be sent after its call has returned, so it cannot fail.
            _ => self.send(&Frame::Print(Stream::Stderr, format!("{error}\n").into_bytes())),
        }
    }
}

/// Sends a message to the server. Outside a worker, prints the plain text of outputs and drops other messages.
pub fn send(message: Message) {
    match server() {
        Some(server) => server.send(&Frame::Message(message)),
        None => {
            if let Message::Display { bundle, .. } | Message::Result { bundle } = &message {
                println!("{}", bundle.plain());
            }
        }
    }
}

/// Reports a model file to the server, which offers it if this process dies.
pub(crate) fn checkpoint_written(path: &std::path::Path) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    send(Message::Checkpoint { path: path.to_string_lossy().into_owned() });
}

/// Prints to the notebook at once, also a partial line.
pub fn print(stream: Stream, text: fmt::Arguments<'_>) {
    match (server(), stream) {
        // Format first: a `Display` implementation may print too.
        (Some(server), _) => server.send(&Frame::Print(stream, text.to_string().into_bytes())),
        (None, Stream::Stdout) => std::print!("{text}"),
        (None, Stream::Stderr) => std::eprint!("{text}"),
    }
}

/// Asks the user for a line of text.
///
/// # Errors
/// The front end does not allow questions, the user interrupted, or the process is not a worker.
pub(crate) fn ask(prompt: &str, password: bool) -> io::Result<String> {
    let Some(server) = server() else {
        return Err(io::Error::other("input works only in a notebook cell"));
    };
    let line = server.answers.ask(|| {
        crate::display::send_waiting();
        server.send(&Frame::Message(Message::Input { prompt: prompt.into(), password }));
    })?;
    let answer: Answer = serde_json::from_str(&line)?;
    // The server signals before it answers, so an interrupt is known by now. A cell that passes the error on with `?` is
    // then reported as interrupted.
    answer.line.map_err(|why| match interrupt::check() {
        Err(interrupted) => io::Error::new(io::ErrorKind::Interrupted, interrupted),
        Ok(()) => io::Error::other(why),
    })
}

/// Reports the cell's end to the server and waits until the server has taken all frames, which evcxr's own channel would
/// otherwise overtake.
fn finish() {
    let Some(server) = server() else { return };
    crate::display::send_waiting();
    server.send(&Frame::Message(Message::Done { token: server.token.clone() }));
    server.answers.wait_until_taken();
}

/// Connects to the server that the environment names, and takes over the standard streams. Returns the connection to
/// evcxr and evcxr's log.
fn connect() -> io::Result<(Control, File)> {
    // SAFETY: no other thread of this library's or of a cell's runs yet.
    let control = unsafe { Control::take() }?;
    let path = std::env::var_os(SOCKET_VARIABLE).map(PathBuf::from).ok_or_else(|| {
        io::Error::other(format!(
            "{SOCKET_VARIABLE} is not set; only the kernel server starts workers"
        ))
    })?;
    let socket = connect_to(&path)?;
    let (streams, log) = streams::take_over()?;
    stdout::find();
    let answers = Answers::listen(socket.try_clone()?)?;
    let token = control.token().to_owned();
    let process = std::process::id();
    let frames = Mutex::new(Frames(socket));
    let server = Server { frames, answers, streams, token, process };
    if SERVER.set(server).is_err() {
        return Err(io::Error::other("the worker was started twice in one process"));
    }
    streams::pump_in_background()?;
    Ok((control, log))
}

/// Connects by way of the folder's descriptor, since a socket's path is limited to 107 bytes.
fn connect_to(path: &Path) -> io::Result<UnixStream> {
    let folder = File::open(path.parent().unwrap_or(path))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    UnixStream::connect(short)
}

/// Locks despite poisoning: frames are written whole, so a panic cannot leave half of one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
