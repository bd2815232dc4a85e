//! The server's side of the worker: starts it, reads its frames, and stops it.

use crate::cargo;
use crate::libtorch::Libtorch;
use crate::template::Installation;
use benchbook_frames::SOCKET_VARIABLE;
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

mod building;
mod host;
mod markers;
mod processes;
mod text;

pub use host::{BeforeRun, Begun, Ended, GARBLED, Host, Panic};

/// The command that starts a worker, with the libraries on its search path and otherwise in the
/// user's own environment.
///
/// # Errors
/// There is no libtorch, or a folder's name in the search path contains a colon.
pub fn command(here: &Installation) -> anyhow::Result<Command> {
    let Installation { template, tools } = here;
    let libtorch = Libtorch::find(template.manifest.chosen_libtorch.as_deref())?;
    tracing::info!("libtorch {} at {}", libtorch.version, libtorch.folder.display());
    let own = [libtorch.libraries(), tools.toolchain.libraries(), template.folder.join("lib")];
    let user = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let user = env::split_paths(&user).filter(|folder| !folder.as_os_str().is_empty());
    let search: OsString = env::join_paths(own.into_iter().chain(user))?;
    let mut command = Command::new(template.worker());
    cargo::restore_environment(&mut command);
    command
        .env("LD_LIBRARY_PATH", search)
        .env("BENCHBOOK_HELPER", template.helper())
        .env("BENCHBOOK_LIBTORCH_LIB", libtorch.libraries());
    if let Some(checkout) = &template.manifest.checkout {
        // The Python references of studies may have been installed there.
        command.env("BENCHBOOK_CHECKOUT", checkout);
    }
    if let Some(revision) = &template.manifest.revision {
        command.env("BENCHBOOK_REVISION", revision);
    }
    Ok(command)
}

/// The command for a session's worker, which evcxr starts as its child process.
///
/// # Errors
/// As [`command`].
pub fn session_command(here: &Installation, socket: &Path) -> anyhow::Result<Command> {
    let mut command = command(here)?;
    command.env(SOCKET_VARIABLE, socket);
    Ok(command)
}
