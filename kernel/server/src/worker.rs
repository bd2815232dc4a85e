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

pub use host::{BeforeRun, Ended, GARBLED, Host, Panic};

/// The command that starts a worker, with the libraries where it finds them and otherwise in the
/// user's own environment.
///
/// # Errors
/// There is no libtorch, or the search path holds a folder whose name has a colon.
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
        // Where the Python originals of studies may have been installed.
        command.env("BENCHBOOK_CHECKOUT", checkout);
    }
    if let Some(revision) = &template.manifest.revision {
        command.env("BENCHBOOK_REVISION", revision);
    }
    Ok(command)
}

/// The command for the worker of a session, in evcxr's child seat.
///
/// # Errors
/// As [`command`].
pub fn session_command(here: &Installation, socket: &Path) -> anyhow::Result<Command> {
    let mut command = command(here)?;
    command.env(SOCKET_VARIABLE, socket);
    Ok(command)
}
