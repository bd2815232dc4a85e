//! Saves the last output of a dying worker.
//!
//! Text that a library prints right before the process ends is still in the pipes, whose reader dies with the
//! process. On a fatal signal a handler copies the text to evcxr's log and lets the signal take its course; on
//! `exit` the text is sent as usual.

use super::{lock, server};
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

static LOG: AtomicI32 = AtomicI32::new(-1);

/// Rust's handlers of SIGSEGV and SIGBUS, which recognise a stack overflow.
static BEFORE: [AtomicPtr<libc::sigaction>; 2] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; 2];

/// The signals of which Rust has a handler, in the order of [`BEFORE`].
const CHAINED: [i32; 2] = [libc::SIGSEGV, libc::SIGBUS];

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Installs handlers for the signals of a process's own faults, and for `exit`.
pub(super) fn install(log: RawFd) {
    LOG.store(log, Ordering::Relaxed);
    widen_stack();
    handle(libc::SIGABRT, last_words);
    for (signal, before) in CHAINED.iter().zip(&BEFORE) {
        // Never freed: the handler needs it as long as the process lives.
        before.store(Box::into_raw(Box::new(handle(*signal, chained))), Ordering::Release);
    }
    // SAFETY: registers a function that lives as long as the process.
    unsafe { libc::atexit(at_exit) };
}

/// Size of the main thread's stack for handlers, in bytes.
const STACK: usize = 64 << 10;

/// Gives the main thread a larger stack for handlers: a stack overflow runs two nested ones, each with a
/// copy of all registers, and Rust's stack has room for one.
fn widen_stack() {
    // Never freed: the handlers need it as long as the process lives.
    let memory = Box::leak(vec![0_u8; STACK].into_boxed_slice());
    let stack =
        libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
    // SAFETY: the memory has the stated length and no other user; no handler runs now.
    unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) };
}

/// Installs a handler that runs on the alternate stack; returns the previous one.
fn handle(signal: i32, handler: Handler) -> libc::sigaction {
    // SAFETY: both structures are local and whole; the handlers call nothing but
    // async-signal-safe functions.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(signal, &action, &mut before);
        before
    }
}

extern "C" fn last_words(signal: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    drain();
    // SAFETY: restores the default action and repeats the signal, which ends the process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

extern "C" fn chained(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    drain();
    let before = CHAINED.iter().position(|known| *known == signal).map(|at| &BEFORE[at]);
    let before = before.map_or(std::ptr::null_mut(), |before| before.load(Ordering::Acquire));
    // SAFETY: the pointer is null or leads to the structure that `install` has leaked, and a
    // handler in it takes what this one was given.
    unsafe {
        match before.as_ref().map(|action| action.sa_sigaction) {
            Some(libc::SIG_DFL | libc::SIG_IGN) | None => {
                // The instruction is repeated, and the process ends by the signal.
                libc::signal(signal, libc::SIG_DFL);
            }
            Some(handler) => {
                let handler = std::mem::transmute::<libc::sighandler_t, Handler>(handler);
                handler(signal, info, context);
            }
        }
    }
}

/// Copies the pipes' content to the log.
fn drain() {
    let log = LOG.load(Ordering::Relaxed);
    let Some(server) = server() else { return };
    // The stack for handlers of other threads is small.
    let mut buffer = [0_u8; 256];
    for fd in server.streams.descriptors() {
        // SAFETY: plain system calls on open descriptors and a local buffer; the reading ends
        // never block.
        unsafe {
            loop {
                let length = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
                if length <= 0 || libc::write(log, buffer.as_ptr().cast(), length as usize) < 0 {
                    break;
                }
            }
        }
    }
}

/// Sends printed text when a library or the cell calls `exit`.
extern "C" fn at_exit() {
    let Some(server) = server() else { return };
    let _ = io::stdout().flush();
    // SAFETY: flushes C's own buffers; null means all of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    server.streams.drain(&mut lock(&server.frames));
}
