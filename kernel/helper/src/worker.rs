//! The worker's side of a session: runs cells, and sends everything they produce as frames.
//!
//! The `benchbook-worker` program loads this library and calls [`benchbook_worker_main`]. All
//! state is here and not in that program, because the panic hook, the interrupt flag and the frame
//! writer must be the ones that cells see: cells and this library share one `libstd.so`.
//!
//! evcxr talks to the worker in lines on its standard streams. The first thing that
//! [`benchbook_worker_main`] does is to move those out of the user's reach: standard input becomes
//! empty, and standard output and error become pipes that `streams` reads.

mod answers;
mod crash;
mod failure;
mod job;
mod run;
mod stdout;
mod streams;
mod study;

pub(crate) use failure::{cell_failed, returned_early, short};
pub use failure::{error_reached_top, hold_back, panic_reached_top};
pub use job::benchbook_job_main;
pub(crate) use run::load_cuda;
pub use run::{benchbook_worker_main, variable_changed_type};
pub use study::benchbook_study_main;

use crate::interrupt;
use answers::Answers;
use benchbook_frames::{Answer, Frame, Message, SOCKET_VARIABLE, Stream};
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Where `println!` of a cell goes.
pub const STDOUT: Stream = Stream::Stdout;
/// Where `eprintln!` of a cell goes.
pub const STDERR: Stream = Stream::Stderr;

/// The connection to the server, once this process is a worker.
static SERVER: OnceLock<Server> = OnceLock::new();

struct Server {
    frames: Mutex<UnixStream>,
    answers: Answers,
    streams: streams::Streams,
}

impl Server {
    /// Locks the frame writer after everything printed so far has been sent, so that what the
    /// caller writes keeps its place among the prints.
    fn ordered(&self) -> MutexGuard<'_, UnixStream> {
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
    match SERVER.get() {
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
    match (SERVER.get(), stream) {
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
    let Some(server) = SERVER.get() else {
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
    let Some(server) = SERVER.get() else { return };
    crate::display::send_waiting();
    server.send(&Frame::Message(Message::Done));
    server.answers.wait_until_taken();
}

/// Connects to the server named by the environment and takes over the standard streams.
fn connect() -> io::Result<run::Control> {
    let path = std::env::var_os(SOCKET_VARIABLE).ok_or_else(|| {
        io::Error::other(format!("{SOCKET_VARIABLE} is not set; the kernel server starts workers"))
    })?;
    let socket = UnixStream::connect(path)?;
    let (streams, control) = streams::take_over()?;
    stdout::find();
    let answers = Answers::listen(socket.try_clone()?)?;
    let server = Server { frames: Mutex::new(socket), answers, streams };
    if SERVER.set(server).is_err() {
        return Err(io::Error::other("the worker was started twice in one process"));
    }
    streams::pump_in_background()?;
    Ok(control)
}

/// A panic while a lock was held leaves a stream that is still whole: frames are written at once.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
