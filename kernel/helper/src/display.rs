//! Showing things in the middle of a cell, and changing them in place.
//!
//! In a worker the outputs go to the server as frames; anywhere else (a test, `benchbook bench`)
//! their plain text goes to standard output.

mod pace;

pub use benchbook_display::{Bundle, Rich, escape};
use benchbook_frames::Message;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use pace::send_waiting;

/// Shows `value` now, before the cell ends. The handle changes it in place.
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
    /// Shows `value` in the place of what the handle showed before. However often it is called, ten
    /// updates a second leave; the newest one always does, at the latest when the cell ends.
    pub fn update(&self, value: &(impl Rich + ?Sized)) {
        pace::update(&self.id, value.bundle());
    }

    /// As [`DisplayHandle::update`], and it leaves at once: for what must not be skipped.
    pub fn update_now(&self, value: &(impl Rich + ?Sized)) {
        pace::update_now(&self.id, value.bundle());
    }
}

/// Removes the outputs of the running cell; with `wait`, when the next output arrives.
pub fn clear_output(wait: bool) {
    send_waiting();
    crate::worker::send(Message::Clear { wait });
}
