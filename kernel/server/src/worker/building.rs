//! What is being compiled, told in the cell while it takes long.
//!
//! The stand-in for cargo notes what it is at in a file (`cargo/progress.rs`); what happens before
//! it is called is rust-analyzer's work.

use benchbook_display::escape;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long a build may take before anything is shown.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How often the state of a build is read. cargo reports it only to the reader of its output.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// What is being compiled now.
pub(super) fn now(progress: &Path) -> String {
    match fs::read_to_string(progress) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "Inferring the types of variables".into(),
    }
}

/// How it is shown.
pub(super) fn html(what: &str) -> String {
    format!("<span style=\"opacity:0.6\">{} …</span>", escape(what))
}
