//! The user's standard streams.
//!
//! Descriptors 1 and 2 are pipes, which catch the prints of any library in any language. A background thread sends the
//! prints; the sender of a frame that must keep its place among them calls [`Streams::drain`] first.

use super::{Frames, lock, server, stdout};
use crate::interrupt;
use benchbook_frames::{Frame, Stream};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Time between flushes of Rust's standard output, which sends unfinished lines.
const PARTIAL_LINES: Duration = Duration::from_millis(50);

/// How many times [`PARTIAL_LINES`] a print may block after an interrupt before the user is told.
const BLOCKED: u32 = 6;

/// The reading ends of the pipes behind standard output and standard error.
pub(super) struct Streams {
    stdout: Pipe,
    stderr: Pipe,
}

struct Pipe {
    reading: File,
    /// Restores the stream if a cell closes it.
    writing: OwnedFd,
}

impl Streams {
    /// Sends everything printed so far. The caller holds the frame writer.
    pub(super) fn drain(&self, frames: &mut Frames) {
        for (file, stream) in [(&self.stdout, Stream::Stdout), (&self.stderr, Stream::Stderr)] {
            while let Some(bytes) = available(&file.reading) {
                let _ = Frame::Print(stream, bytes).write_to(frames);
            }
        }
    }

    /// The descriptors, for the crash handler.
    pub(super) fn descriptors(&self) -> [RawFd; 2] {
        [&self.stdout, &self.stderr].map(|pipe| pipe.reading.as_raw_fd())
    }

    /// Reopens the standard streams that the cell has closed, whose numbers the next opened file would get, with all prints.
    /// Returns their names.
    pub(super) fn mend(&self) -> Vec<&'static str> {
        let is_closed = |fd| {
            // SAFETY: asking for a flag has no effect.
            unsafe { libc::fcntl(fd, libc::F_GETFD) < 0 }
        };
        let mut mended = Vec::new();
        // The opened file gets the lowest free number, 0.
        if is_closed(0) && File::open("/dev/null").map(std::mem::forget).is_ok() {
            mended.push("standard input");
        }
        for (name, fd, pipe) in
            [("standard output", 1, &self.stdout), ("standard error", 2, &self.stderr)]
        {
            if is_closed(fd) && replace(fd, pipe.writing.as_raw_fd()).is_ok() {
                mended.push(name);
            }
        }
        mended
    }
}

/// The content of a pipe; `None` if it is empty.
fn available(mut pipe: &File) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1 << 16];
    match pipe.read(&mut buffer) {
        Ok(length @ 1..) => {
            buffer.truncate(length);
            Some(buffer)
        }
        _ => None,
    }
}

/// Moves evcxr's log to another descriptor and replaces the standard streams by pipes.
pub(super) fn take_over() -> io::Result<(Streams, File)> {
    let log = duplicate(2)?;
    let nothing = File::open("/dev/null")?;
    replace(0, nothing.as_raw_fd())?;
    let stdout = pipe_into(1)?;
    let stderr = pipe_into(2)?;
    Ok((Streams { stdout, stderr }, log))
}

/// Starts the threads that send prints and flush unfinished lines, for the worker's lifetime.
pub(super) fn pump_in_background() -> io::Result<()> {
    std::thread::Builder::new().name("prints".into()).spawn(|| {
        let Some(server) = server() else { return };
        let mut waiting = server.streams.descriptors().map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        loop {
            // SAFETY: the array outlives the call and its length is passed with it.
            let ready = unsafe { libc::poll(waiting.as_mut_ptr(), 2, -1) };
            if ready > 0 {
                server.streams.drain(&mut lock(&server.frames));
                for pipe in &mut waiting {
                    // A cell has closed the pipe; poll skips negative descriptors.
                    if pipe.revents & (libc::POLLNVAL | libc::POLLERR | libc::POLLHUP) != 0 {
                        pipe.fd = -1;
                    }
                }
            }
        }
    })?;
    // Rust buffers an unfinished line until a flush.
    std::thread::Builder::new().name("partial lines".into()).spawn(|| {
        let mut blocked = 0;
        loop {
            std::thread::sleep(PARTIAL_LINES);
            stdout::flush();
            blocked =
                if interrupt::requested() && stdout::is_waited_for() { blocked + 1 } else { 0 };
            if blocked == BLOCKED {
                explain_blocked_print();
            }
        }
    })?;
    Ok(())
}

/// Explains why an interrupted cell does not stop: its print waits for another thread.
fn explain_blocked_print() {
    if let Some(server) = server() {
        let text = b"the interrupt waits, because the cell prints while another thread holds the lock of standard output (`std::io::stdout().lock()`); interrupt again to end the process, which loses its variables\n";
        server.send_aside(&Frame::Print(Stream::Stderr, text.to_vec()));
    }
}

/// Makes `target` the writing end of a new pipe, whose reading end never blocks.
fn pipe_into(target: RawFd) -> io::Result<Pipe> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that pipe2 writes.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both descriptors are new and have no other owner.
    let (reading, writing) = unsafe { (File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    replace(target, writing.as_raw_fd())?;
    // SAFETY: setting a flag of a descriptor that is open.
    checked(unsafe { libc::fcntl(reading.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok(Pipe { reading, writing })
}

fn duplicate(fd: RawFd) -> io::Result<File> {
    // SAFETY: asking for a copy of a descriptor has no other effect.
    let copy = checked(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) })?;
    // SAFETY: the copy is new and has no other owner.
    Ok(unsafe { File::from_raw_fd(copy) })
}

fn replace(target: RawFd, by: RawFd) -> io::Result<()> {
    // SAFETY: both descriptors are open, and no other thread of the worker runs yet.
    checked(unsafe { libc::dup2(by, target) }).map(drop)
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
