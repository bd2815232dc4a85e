//! What a kernel says of itself, and how it behaves.

use jupyter_protocol::{HelpLink, LanguageInfo};
use std::path::PathBuf;

/// What `kernel_info_reply` says.
#[derive(Clone, Debug)]
pub struct About {
    /// The kernel's name.
    pub implementation: String,
    /// The kernel's version.
    pub implementation_version: String,
    /// The language: its name and version, and how its files and cells are recognised.
    pub language: LanguageInfo,
    /// What a terminal shows at the start.
    pub banner: String,
    /// What the help menu offers.
    pub help_links: Vec<HelpLink>,
}

/// How the layer behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the kernel says of itself.
    pub about: About,
    /// The file that keeps the history between sessions; made with mode 0600 when it is missing.
    /// `None` keeps the history of this session only.
    pub history: Option<PathBuf>,
    /// The process whose end ends the kernel; see
    /// [`parent_from_environment`](crate::parent_from_environment).
    pub parent: Option<u32>,
    /// Whether SIGTERM and SIGHUP end the kernel, and SIGINT interrupts the running cell.
    pub signals: bool,
}

impl Settings {
    /// No history file, the parent that the environment names, and signals heeded.
    pub fn new(about: About) -> Self {
        Self { about, history: None, parent: crate::parent_from_environment(), signals: true }
    }
}
