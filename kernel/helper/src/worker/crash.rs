//! The last words of a worker that dies.
//!
//! What a library prints right before it aborts is still in the pipes, whose reader dies with it.
//! The handler copies it to evcxr's log and lets the signal do what it would have done.

use super::SERVER;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

static LOG: AtomicI32 = AtomicI32::new(-1);

/// Installs the handler for the signals that end a process because of its own fault.
pub(super) fn install(log: RawFd) {
    LOG.store(log, Ordering::Relaxed);
    // SIGSEGV and SIGBUS stay with Rust's own handler, which tells a stack overflow apart and then
    // lets the process die; what is lost with them is only text that was not yet sent.
    // SAFETY: the handler calls nothing but async-signal-safe functions.
    unsafe { libc::signal(libc::SIGABRT, last_words as *const () as libc::sighandler_t) };
}

extern "C" fn last_words(signal: i32) {
    let log = LOG.load(Ordering::Relaxed);
    if let Some(server) = SERVER.get() {
        let mut buffer = [0_u8; 4096];
        for fd in server.streams.descriptors() {
            // SAFETY: plain system calls on open descriptors and a local buffer; the reading ends
            // never block.
            unsafe {
                loop {
                    let length = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
                    if length <= 0 || libc::write(log, buffer.as_ptr().cast(), length as usize) < 0
                    {
                        break;
                    }
                }
            }
        }
    }
    // SAFETY: restores the default action and repeats the signal, which ends the process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
