//! Shows the current work of a long build in the cell.
//!
//! The stand-in for cargo writes its current work to a file (`cargo/progress.rs`). Before
//! the stand-in starts, rust-analyzer is working.

use benchbook_display::escape;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long a build may take before its progress is shown.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Interval for reading a build's progress. cargo reports it only to the reader of its output.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// The current step.
pub(super) fn now(progress: &Path) -> String {
    match fs::read_to_string(progress) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "Inferring the types of variables".into(),
    }
}

/// The step as HTML.
pub(super) fn html(what: &str) -> String {
    format!("<span style=\"opacity:0.6\">{} …</span>", escape(what))
}
