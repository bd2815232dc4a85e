//! `benchbook setup`, which is implemented in Python (`kernel/python/benchbook/setup.py`) with pip and rustup.

use crate::toolchain::on_path;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Replaces this process by `python -m benchbook setup`, with the Python that started it or the one on PATH.
///
/// # Errors
/// There is no Python.
pub fn run(options: &[OsString]) -> anyhow::Result<ExitCode> {
    let python = std::env::var_os("BENCHBOOK_PYTHON").map(PathBuf::from);
    let Some(python) = python.or_else(|| on_path("python3")) else {
        bail!("`benchbook setup` needs Python, and there is no python3 on PATH");
    };
    let error = Command::new(&python).args(["-m", "benchbook", "setup"]).args(options).exec();
    Err(error).with_context(|| python.display().to_string())
}
