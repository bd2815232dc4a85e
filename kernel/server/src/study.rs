//! `benchbook study`: runs a study in a worker, without a notebook.

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
    /// The study and its options; `benchbook study -- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub study: Vec<OsString>,
}

/// Runs the study and returns the exit status.
///
/// # Errors
/// There is no template or no libtorch, or the worker does not start.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    bench::work(arguments.template.as_deref(), "study", &arguments.study)
}
