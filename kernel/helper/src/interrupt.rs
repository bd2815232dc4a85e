//! Stopping a long computation without losing what it has computed.
//!
//! An interrupt from the front end (SIGINT) sets a flag in the worker. Loops of the helper library
//! ask [`check`] between two steps and return [`Interrupted`], so that the model keeps its weights,
//! its optimiser state and its history, and the next cell can go on with them. In loops that the
//! user writes, the kernel inserts [`poll`].

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static SERVED: AtomicBool = AtomicBool::new(false);

/// The user interrupted the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Ends a loop of the helper library when the user has asked for it.
///
/// # Errors
/// [`Interrupted`] once after each request; the request is then taken as served.
#[inline]
pub fn check() -> Result<(), Interrupted> {
    if REQUESTED.load(Relaxed) && REQUESTED.swap(false, Relaxed) {
        SERVED.store(true, Relaxed);
        return Err(Interrupted);
    }
    Ok(())
}

/// Unwinds the cell when the user has asked for it; the kernel puts a call into every loop of a
/// cell. Variables that the cell has not moved away are kept.
#[inline]
pub fn poll() {
    if check().is_err() {
        unwind();
    }
}

#[cold]
fn unwind() -> ! {
    // Not a panic: no hook, no message. evcxr's wrapper catches it like one.
    std::panic::resume_unwind(Box::new(Interrupted))
}

/// Whether an interrupt is waiting to be served.
pub fn requested() -> bool {
    REQUESTED.load(Relaxed)
}

/// Asks the running cell to stop; safe to call from a signal handler.
pub fn request() {
    REQUESTED.store(true, Relaxed);
}

/// Forgets a request that came too late for the cell it was meant for.
pub fn clear() {
    REQUESTED.store(false, Relaxed);
    SERVED.store(false, Relaxed);
}

/// Whether the running cell has met an interrupt; asked when it ends with an error.
pub(crate) fn take_served() -> bool {
    SERVED.swap(false, Relaxed)
}

/// The newest signal that asked for an end.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Takes SIGINT from now on.
pub(crate) fn install() {
    take(libc::SIGINT);
}

/// Takes every signal that asks a program to end, so that it can end what it has started and remove its files. A hangup
/// that is to be ignored (nohup) stays ignored.
pub(crate) fn install_for_a_program() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: only reads how the signal is treated now.
        let ignored = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action);
            action.sa_sigaction == libc::SIG_IGN
        };
        if signal != libc::SIGHUP || !ignored {
            take(signal);
        }
    }
}

/// The exit status of a program that ends because of the signal that it took: 128 and the signal's number, as shells
/// have it.
pub(crate) fn exit_status() -> i32 {
    128 + SIGNAL.load(Relaxed)
}

fn take(signal: i32) {
    extern "C" fn on_signal(signal: i32) {
        SIGNAL.store(signal, Relaxed);
        request();
    }
    // SAFETY: the handler only stores to atomics. System calls are not restarted, so a blocking
    // read of user code returns and its loop can look at the flag.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}
