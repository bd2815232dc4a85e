//! The server's side of the worker: starts it, reads its frames, and stops it.

use crate::cargo;
use crate::libtorch::Libtorch;
use crate::template::Template;
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

pub use host::{BeforeRun, Ended, Host, Panic};

/// How glibc's allocator keeps memory: blocks of up to 50 MiB in its heap, which grows by 64 MiB at a time,
/// and of which it gives back what lies free above 128 MiB. By default it asks the system for most blocks of
/// a training step anew each time, which then has to clear their pages. With these, VGG16's step takes up to
/// a third less time, and its peak memory stays below that of PyTorch's Python (`environment/bench train`); with
/// more, the peak grows above it. A user's own setting stays.
const ALLOCATOR: [(&str, usize); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", 50 << 20),
    ("MALLOC_TRIM_THRESHOLD_", 128 << 20),
    ("MALLOC_TOP_PAD_", 64 << 20),
];

/// Whether nothing else is set, and this glibc keeps blocks of that size: old ones refuse more than 32 MiB, and
/// would then keep less than by default.
fn allocator_can_be_set() -> bool {
    let users = ["GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_MMAP_MAX_"];
    let mut names = ALLOCATOR.iter().map(|(name, _)| *name).chain(users);
    names.all(|name| env::var_os(name).is_none()) && keeps(ALLOCATOR[0].1)
}

#[cfg(target_env = "gnu")]
fn keeps(bytes: usize) -> bool {
    let Ok(bytes) = libc::c_int::try_from(bytes) else { return false };
    // SAFETY: sets a number in this process's C allocator, which nothing large goes through.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) == 1 }
}

#[cfg(not(target_env = "gnu"))]
fn keeps(_bytes: usize) -> bool {
    false
}

/// The command that starts a worker, with the libraries where it finds them and otherwise in the
/// user's own environment.
///
/// # Errors
/// The search path holds a folder whose name has a colon.
pub fn command(template: &Template, libtorch: &Libtorch) -> anyhow::Result<Command> {
    let own = [
        libtorch.libraries(),
        template.manifest.toolchain.libraries(),
        template.folder.join("lib"),
    ];
    let user = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let user = env::split_paths(&user).filter(|folder| !folder.as_os_str().is_empty());
    let search: OsString = env::join_paths(own.into_iter().chain(user))?;
    let mut command = Command::new(template.worker());
    cargo::restore_environment(&mut command);
    command
        .env("LD_LIBRARY_PATH", search)
        .env("BENCHBOOK_HELPER", template.helper())
        // Where the Python originals of studies may have been installed.
        .env("BENCHBOOK_CHECKOUT", &template.manifest.checkout)
        .env("BENCHBOOK_LIBTORCH_LIB", libtorch.libraries());
    if allocator_can_be_set() {
        command.envs(ALLOCATOR.map(|(name, bytes)| (name, bytes.to_string())));
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
pub fn session_command(
    template: &Template,
    libtorch: &Libtorch,
    socket: &Path,
) -> anyhow::Result<Command> {
    let mut command = command(template, libtorch)?;
    command.env(SOCKET_VARIABLE, socket);
    Ok(command)
}
