//! The worker's side of a session: runs cells, and sends everything they produce as frames.
//!
//! The `benchbook-worker` program loads this library and calls [`benchbook_worker_main`]. All
//! state is here and not in that program, because the panic hook, the interrupt flag and the frame
//! writer must be the ones that cells see: cells and this library share one `libstd.so`.
//!
//! evcxr talks to the worker in lines, by way of the worker's guard (`benchbook_guard`). The user's
//! standard input is empty, and standard output and error are pipes that `streams` reads.
//!
//! User code can reach the descriptors by which a worker talks, and it can copy the whole process. So what
//! says that a cell begins or has ended carries a token that user code does not know; a descriptor that
//! was closed ends the worker; and a process that a cell has forked is no worker (`server`).

mod answers;
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
    /// The process that is connected.
    process: u32,
}

/// The connection. A cell may close its descriptor, and the next file that is opened gets the number:
/// sending, other than writing, then fails.
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

/// The connection to the server; none outside a worker, and in a process that a cell has forked: its
/// prints take the way of other libraries', and it must not speak for the worker.
fn server() -> Option<&'static Server> {
    SERVER.get().filter(|server| server.process == std::process::id())
}

/// Whether a cell has forked this process.
fn is_forked() -> bool {
    SERVER.get().is_some_and(|server| server.process != std::process::id())
}

impl Server {
    /// Locks the frame writer after everything printed so far has been sent, so that what the
    /// caller writes keeps its place among the prints.
    fn ordered(&self) -> MutexGuard<'_, Frames> {
        // What Rust's own stdout still holds belongs before this frame.
        stdout::flush();
        let mut frames = lock(&self.frames);
        self.streams.drain(&mut frames);
        if let Some(text) = failure::held_back() {
            let _ = Frame::Print(Stream::Stderr, text.into_bytes()).write_to(&mut *frames);
        }
        frames
    }

    /// Sends a frame that need not keep its place among the prints. It takes no lock of the standard
    /// streams, so it can be called while the caller holds one: from the panic hook.
    fn send_aside(&self, frame: &Frame) {
        let _ = frame.write_to(&mut *lock(&self.frames));
    }

    fn send(&self, frame: &Frame) {
        // If the server is gone there is nobody to tell; evcxr's pipe closes and ends the worker.
        let sent = frame.write_to(&mut *self.ordered());
        if let Err(error) = sent
            && error.kind() == io::ErrorKind::InvalidData
        {
            self.refused(frame, &error);
        }
    }

    /// A message is too large to be sent: the cell fails, or is told.
    fn refused(&self, frame: &Frame, error: &io::Error) {
        match frame {
            Frame::Message(Message::Display { .. } | Message::Result { .. }) => panic!("{error}"),
            Frame::Message(Message::Error { ename, .. }) => {
                let (ename, traceback) = (ename.clone(), Vec::new());
                let evalue = format!("its text is not shown: {error}");
                self.send(&Frame::Message(Message::Error { ename, evalue, traceback }));
            }
            // An update, which may leave after the call that asked for it.
            _ => self.send(&Frame::Print(Stream::Stderr, format!("{error}\n").into_bytes())),
        }
    }
}

/// Sends a message to the server. Outside a worker, the plain text of outputs goes to standard
/// output and everything else is dropped.
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

/// Tells the server that a model can be loaded from `path` should this process die.
pub(crate) fn checkpoint_written(path: &std::path::Path) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    send(Message::Checkpoint { path: path.to_string_lossy().into_owned() });
}

/// Prints to the notebook at once, without waiting for the end of the line.
pub fn print(stream: Stream, text: fmt::Arguments<'_>) {
    match (server(), stream) {
        // Formatting comes first: a `Display` implementation may print, too.
        (Some(server), _) => server.send(&Frame::Print(stream, text.to_string().into_bytes())),
        (None, Stream::Stdout) => std::print!("{text}"),
        (None, Stream::Stderr) => std::eprint!("{text}"),
    }
}

/// Asks the user for a line of text.
///
/// # Errors
/// The front end does not allow questions, the user interrupted, or this is no worker.
pub(crate) fn ask(prompt: &str, password: bool) -> io::Result<String> {
    let Some(server) = server() else {
        return Err(io::Error::other("input is only possible in a notebook cell"));
    };
    let line = server.answers.ask(|| {
        crate::display::send_waiting();
        server.send(&Frame::Message(Message::Input { prompt: prompt.into(), password }));
    })?;
    let answer: Answer = serde_json::from_str(&line)?;
    // The server signals before it answers, so an interrupt is known by now. A cell that lets the
    // error through with `?` is then reported as interrupted.
    answer.line.map_err(|why| match interrupt::check() {
        Err(interrupted) => io::Error::new(io::ErrorKind::Interrupted, interrupted),
        Ok(()) => io::Error::other(why),
    })
}

/// Tells the server that the cell has ended, and waits until it has taken all that the cell sent.
/// evcxr takes another way, and would otherwise be faster.
fn finish() {
    let Some(server) = server() else { return };
    crate::display::send_waiting();
    server.send(&Frame::Message(Message::Done { token: server.token.clone() }));
    server.answers.wait_until_taken();
}

/// Connects to the server named by the environment and takes over the standard streams. Returns what
/// talks with evcxr, and its log.
fn connect() -> io::Result<(Control, File)> {
    // SAFETY: no other thread of this library's or of a cell's runs yet.
    let control = unsafe { Control::take() }?;
    let path = std::env::var_os(SOCKET_VARIABLE).map(PathBuf::from).ok_or_else(|| {
        io::Error::other(format!("{SOCKET_VARIABLE} is not set; the kernel server starts workers"))
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

/// The path of a socket is limited to 107 bytes; by way of its folder's descriptor it is short.
fn connect_to(path: &Path) -> io::Result<UnixStream> {
    let folder = File::open(path.parent().unwrap_or(path))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    UnixStream::connect(short)
}

/// A panic while a lock was held leaves a stream that is still whole: frames are written at once.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
