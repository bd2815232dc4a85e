//! `benchbook setup`, which is written in Python (`kernel/python/benchbook/setup.py`): pip and rustup do its work.

use crate::toolchain::on_path;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Becomes the Python that started this program, or the one on PATH, with its package `benchbook`.
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
