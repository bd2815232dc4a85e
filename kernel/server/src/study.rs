//! `benchbook study` and `benchbook reproduce`: studies in a worker, without a notebook.

use crate::bench;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The template to run against; the newest installed if not given.
    #[arg(long)]
    pub template: Option<PathBuf>,
    /// What to run, and options; `benchbook study --help` and `benchbook reproduce --help` list them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// Runs a study and returns the exit status.
///
/// # Errors
/// There is no template or no libtorch, or the worker does not start.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    bench::work::<Arguments>(arguments.template.as_deref(), "study", &arguments.words)
}

/// Runs the job of a published record again and returns the exit status.
///
/// # Errors
/// As [`run`].
pub fn reproduce(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    bench::work::<Arguments>(arguments.template.as_deref(), "reproduce", &arguments.words)
}
