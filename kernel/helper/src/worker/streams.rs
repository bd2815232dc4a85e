//! The user's standard streams.
//!
//! Descriptors 1 and 2 are the ends of pipes, so that prints of any library in any language are
//! caught byte for byte. A background thread sends what arrives; a frame that must keep its place
//! among the prints calls [`Streams::drain`] first.

use super::{Frames, lock, server, stdout};
use crate::interrupt;
use benchbook_frames::{Frame, Stream};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// How often the text of an unfinished line is fetched from Rust's own standard output.
const PARTIAL_LINES: Duration = Duration::from_millis(50);

/// How many times [`PARTIAL_LINES`] a print is blocked, after an interrupt, before that is said.
const BLOCKED: u32 = 6;

/// The reading ends of the pipes behind standard output and standard error.
pub(super) struct Streams {
    stdout: Pipe,
    stderr: Pipe,
}

struct Pipe {
    reading: File,
    /// Kept, so that a cell that closes its standard output can get it back.
    writing: OwnedFd,
}

impl Streams {
    /// Sends everything that has been printed so far. The caller holds the frame writer.
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

    /// Opens again what the cell has closed of the standard streams: the next file to be opened would
    /// get their numbers and receive what is printed. Returns their names.
    pub(super) fn mend(&self) -> Vec<&'static str> {
        let is_closed = |fd| {
            // SAFETY: asking for a flag has no effect.
            unsafe { libc::fcntl(fd, libc::F_GETFD) < 0 }
        };
        let mut mended = Vec::new();
        // Opened, it gets the lowest free number, which is 0.
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

/// What a pipe holds now; `None` if it is empty.
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

/// Moves the log out of the user's reach and puts pipes in the place of the standard streams.
pub(super) fn take_over() -> io::Result<(Streams, File)> {
    let log = duplicate(2)?;
    let nothing = File::open("/dev/null")?;
    replace(0, nothing.as_raw_fd())?;
    let stdout = pipe_into(1)?;
    let stderr = pipe_into(2)?;
    Ok((Streams { stdout, stderr }, log))
}

/// Sends prints as they come, in a thread that lives as long as the worker.
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
                    // A cell has closed it; a negative descriptor is left out.
                    if pipe.revents & (libc::POLLNVAL | libc::POLLERR | libc::POLLHUP) != 0 {
                        pipe.fd = -1;
                    }
                }
            }
        }
    })?;
    // Rust keeps an unfinished line to itself until it is flushed.
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

/// The interrupted cell does not react because it waits for another thread.
fn explain_blocked_print() {
    if let Some(server) = server() {
        let text = b"the interrupt has to wait: the cell prints, and another thread holds the lock of standard output (`std::io::stdout().lock()`); a second interrupt ends the process, and its variables are lost\n";
        server.send_aside(&Frame::Print(Stream::Stderr, text.to_vec()));
    }
}

/// Makes `target` the writing end of a new pipe, whose reading end never blocks.
fn pipe_into(target: RawFd) -> io::Result<Pipe> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that pipe2 writes.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both descriptors were just opened and belong to nobody else.
    let (reading, writing) = unsafe { (File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    replace(target, writing.as_raw_fd())?;
    // SAFETY: setting a flag of a descriptor that is open.
    checked(unsafe { libc::fcntl(reading.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok(Pipe { reading, writing })
}

fn duplicate(fd: RawFd) -> io::Result<File> {
    // SAFETY: asking for a copy of a descriptor has no other effect.
    let copy = checked(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) })?;
    // SAFETY: the copy was just made and belongs to nobody else.
    Ok(unsafe { File::from_raw_fd(copy) })
}

fn replace(target: RawFd, by: RawFd) -> io::Result<()> {
    // SAFETY: both descriptors are open, and no other thread of the worker runs yet.
    checked(unsafe { libc::dup2(by, target) }).map(drop)
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
