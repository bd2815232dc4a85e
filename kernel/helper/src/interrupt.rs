//! Interrupts a long computation and keeps its results so far.
//!
//! An interrupt from the front end (SIGINT) sets a flag in the worker. Loops of the helper library call [`check`]
//! between two steps and return [`Interrupted`], so that the model keeps its weights, optimiser state and history
//! for the next cell. The kernel inserts [`poll`] into loops of the user.

use std::cell::Cell;
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::thread::{self, ThreadId};
use std::time::Duration;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static SERVED: AtomicBool = AtomicBool::new(false);
/// When the newest request came, by [`now`].
static REQUESTED_AT: AtomicU64 = AtomicU64::new(0);
/// When the running cell began, by [`now`]; 0 while none runs.
static BEGAN_AT: AtomicU64 = AtomicU64::new(0);

/// The thread that runs the cells of a worker. In other processes any thread serves a request.
static CELLS: OnceLock<ThreadId> = OnceLock::new();

/// How long a request waits for the cell's thread before threads started by the cell serve it too: the cell's
/// thread may be waiting for one of them.
const PATIENCE: Duration = Duration::from_millis(250);

/// The user interrupted the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Fails if the user has interrupted the cell, which ends the caller's loop.
///
/// The cell's own thread serves a request, and if it makes no check for a quarter of a second, so do the threads
/// that the cell has started. Threads of earlier cells are not interrupted.
///
/// # Errors
/// [`Interrupted`] once after each request, which then counts as served.
#[inline]
pub fn check() -> Result<(), Interrupted> {
    if REQUESTED.load(Relaxed) && concerns_this_thread() {
        return Err(Interrupted);
    }
    Ok(())
}

#[cold]
fn concerns_this_thread() -> bool {
    let concerns = match CELLS.get() {
        Some(cells) if *cells != thread::current().id() => {
            let waited = now().saturating_sub(REQUESTED_AT.load(Relaxed));
            // The request stays, since the cell's own thread must end too.
            waited >= PATIENCE.as_nanos() as u64 && is_of_this_cell()
        }
        _ => REQUESTED.swap(false, Relaxed),
    };
    if concerns {
        SERVED.store(true, Relaxed);
    }
    concerns
}

/// Whether this thread was started by the cell that runs.
fn is_of_this_cell() -> bool {
    thread_local! {
        static STARTED_AT: Cell<Option<u64>> = const { Cell::new(None) };
    }
    let began = BEGAN_AT.load(Relaxed);
    // The cell may wait for a thread whose start is unknown.
    let started = STARTED_AT.get().or_else(started_at).unwrap_or(u64::MAX);
    STARTED_AT.set(Some(started));
    began > 0 && started >= began
}

/// When this thread started, by [`now`], rounded up to the system's tick.
fn started_at() -> Option<u64> {
    let stat = fs::read_to_string("/proc/thread-self/stat").ok()?;
    // Field 22 of proc_pid_stat(5); the state, after the name, is field 3.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    // SAFETY: asks for a number.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    Some((ticks + 1).saturating_mul(1_000_000_000 / per_second.max(1)))
}

/// Nanoseconds since the system's start, by the clock of threads' start times. Safe in signal handlers.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the local structure.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Unwinds the cell if the user has interrupted it. The kernel inserts a call into every loop of a cell.
/// Variables that the cell has not moved are kept.
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

/// Whether a request waits to be served.
pub fn requested() -> bool {
    REQUESTED.load(Relaxed)
}

/// Requests that the running cell stop. Safe in signal handlers.
pub fn request() {
    REQUESTED_AT.store(now(), Relaxed);
    REQUESTED.store(true, Relaxed);
}

/// A cell begins. Drops a request that came too late for the previous cell.
pub(crate) fn begin_cell() {
    forget();
    BEGAN_AT.store(now(), Relaxed);
}

/// The cell has ended. Later requests reach neither the cell nor its threads.
pub(crate) fn end_cell() {
    BEGAN_AT.store(0, Relaxed);
    forget();
}

fn forget() {
    REQUESTED.store(false, Relaxed);
    SERVED.store(false, Relaxed);
}

/// Whether the running cell has served a request; read when the cell fails.
pub(crate) fn take_served() -> bool {
    SERVED.swap(false, Relaxed)
}

/// The newest signal that requested the end of the program.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Handles SIGINT from now on. The calling thread is the one that runs the cells.
pub(crate) fn install() {
    let _ = CELLS.set(thread::current().id());
    take(libc::SIGINT);
}

/// Handles every signal that ends a program, so that the program can end its child processes and remove its files. An
/// ignored hangup (nohup) stays ignored.
pub(crate) fn install_for_a_program() {
    let _ = CELLS.set(thread::current().id());
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

/// The exit status of a program that ends because of a handled signal: 128 plus the signal's number, as in shells.
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
