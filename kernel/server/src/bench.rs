//! `benchbook bench`: runs a job in a worker, without a notebook.

use crate::libtorch::Libtorch;
use crate::template::Template;
use crate::{kernel, worker};
use anyhow::Context;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to run. Everything that describes the job goes to the worker as it is.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The template to run against; the newest installed if not given.
    #[arg(long)]
    pub template: Option<PathBuf>,
    /// The job: `--help` lists its settings.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub job: Vec<OsString>,
}

/// Runs the job and returns its exit status.
///
/// # Errors
/// There is no template or no libtorch, or the worker does not start.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let folder = arguments.template.clone().map_or_else(kernel::newest, Ok)?;
    let template = Template::open(&folder)?;
    let libtorch = Libtorch::find(Some(&template.manifest.libtorch.folder))?;
    let mut command = worker::command(&template, &libtorch)?;
    let status = command.arg("job").args(&arguments.job).status();
    let status = status.with_context(|| template.worker().display().to_string())?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
