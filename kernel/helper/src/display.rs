//! Outputs in the middle of a cell, updated in place.
//!
//! A worker sends outputs to the server as frames; other processes (tests, `benchbook bench`) print
//! their plain text.

mod pace;

pub use benchbook_display::{Bundle, Rich, escape};
use benchbook_frames::Message;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use pace::send_waiting;

/// Shows `value` at once. The handle updates the output in place.
pub fn display(value: &(impl Rich + ?Sized)) -> DisplayHandle {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = format!("benchbook-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    crate::worker::send(Message::Display { bundle: value.bundle(), display_id: Some(id.clone()) });
    DisplayHandle { id }
}

/// An output that can still change.
#[derive(Clone, Debug)]
pub struct DisplayHandle {
    id: String,
}

impl DisplayHandle {
    /// Replaces the output by `value`. Sends at most ten updates a second, and always the newest, at the latest when
    /// the cell ends.
    pub fn update(&self, value: &(impl Rich + ?Sized)) {
        pace::update(&self.id, value.bundle());
    }

    /// As [`DisplayHandle::update`], sent at once: for updates that must not be skipped.
    pub fn update_now(&self, value: &(impl Rich + ?Sized)) {
        pace::update_now(&self.id, value.bundle());
    }
}

/// Removes the outputs of the running cell: at once, or with `wait` when the next output arrives.
pub fn clear_output(wait: bool) {
    send_waiting();
    crate::worker::send(Message::Clear { wait });
}
