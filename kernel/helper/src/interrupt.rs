//! Stopping a long computation without losing what it has computed.
//!
//! An interrupt from the front end sets a flag in the worker. Loops of the helper library ask
//! [`check`] between two steps and return [`Interrupted`], so that the model keeps its weights, its
//! optimiser state and its history, and the next cell can go on with them.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The user interrupted the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Ends a loop of the helper library when the user has asked for it.
///
/// # Errors
/// [`Interrupted`] once after each request; the request is then taken as served.
pub fn check() -> Result<(), Interrupted> {
    if REQUESTED.load(Ordering::Relaxed) && REQUESTED.swap(false, Ordering::Relaxed) {
        return Err(Interrupted);
    }
    Ok(())
}

/// Whether an interrupt is waiting to be served.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Asks the running cell to stop; safe to call from a signal handler.
pub fn request() {
    REQUESTED.store(true, Ordering::Relaxed);
}

/// Forgets a request that came too late for the cell it was meant for.
pub fn clear() {
    REQUESTED.store(false, Ordering::Relaxed);
}
