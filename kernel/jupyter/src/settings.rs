//! What a kernel says of itself, and how it behaves.

use jupyter_protocol::{HelpLink, LanguageInfo};
use std::path::PathBuf;

/// The content of `kernel_info_reply`.
#[derive(Clone, Debug)]
pub struct About {
    /// The kernel's name.
    pub implementation: String,
    /// The kernel's version.
    pub implementation_version: String,
    /// The language: its name and version, and how its files and cells are recognised.
    pub language: LanguageInfo,
    /// The text that a terminal shows at the start.
    pub banner: String,
    /// The entries of the help menu.
    pub help_links: Vec<HelpLink>,
}

/// Settings of the layer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The kernel's description.
    pub about: About,
    /// The file for the history of all sessions; created with mode 0600 if missing. `None` keeps
    /// only this session's history.
    pub history: Option<PathBuf>,
    /// The process whose end also ends the kernel; see
    /// [`parent_from_environment`](crate::parent_from_environment).
    pub parent: Option<u32>,
    /// Whether SIGTERM and SIGHUP end the kernel, and SIGINT interrupts the running cell.
    pub signals: bool,
}

impl Settings {
    /// No history file, the parent from the environment, and signals handled.
    pub fn new(about: About) -> Self {
        Self { about, history: None, parent: crate::parent_from_environment(), signals: true }
    }
}
