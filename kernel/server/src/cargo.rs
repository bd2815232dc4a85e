//! The stand-in for cargo.
//!
//! evcxr compiles a cell by calling `cargo build` on a crate named `ctx`, and rust-analyzer inside
//! it learns the crates of a session from `cargo metadata`. Both find *this program* under the name
//! `cargo`, because a session puts a link to it first on PATH and into a private `CARGO_HOME`
//! (`session.rs`). It answers four commands for that crate:
//!
//! | command | what happens |
//! | --- | --- |
//! | `build` | one rustc call against the helper library of the template |
//! | `check` | the same without generating code |
//! | `metadata` | what the real cargo says, and the helper library's crates as well |
//! | `clean` | the compiled cells are removed |
//!
//! `metadata` of the standard library is answered as the real cargo did at installation, when there
//! was a network. Everything else, and every call for another crate, is handed to the real cargo
//! unchanged. The crates that the user adds with `:dep` are compiled by the real cargo in a crate of their own
//! (`dependencies.rs`), so they can neither rebuild the helper library nor change its features.
//!
//! The rustc call is not recorded and replayed but spelt out here, with the compiler and the
//! libraries that the template's manifest names.

mod build;
mod dependencies;
pub mod metadata;

use crate::template::Template;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The template of the session, for the stand-in.
pub const TEMPLATE: &str = "BENCHBOOK_TEMPLATE";
/// `PATH` as the user had it.
pub const USER_PATH: &str = "BENCHBOOK_USER_PATH";
/// `CARGO_HOME` as the user had it; absent if it was not set.
pub const USER_CARGO_HOME: &str = "BENCHBOOK_USER_CARGO_HOME";
/// The folder of the crate that evcxr writes.
pub const CRATE: &str = "BENCHBOOK_CRATE";
/// While this file exists in the crate's folder, nothing is compiled: the user has interrupted.
pub const INTERRUPTED: &str = "interrupted";

/// The file that is compiled, in the crate's folder. Its name ends as evcxr expects the file of a
/// message to end.
pub const CELL: &str = "target/cell/lib.rs";

/// Whether this process was started under the name `cargo`, or as cargo's compiler wrapper.
pub fn is_called(program: &OsStr) -> bool {
    let name = Path::new(program).file_name();
    std::env::var_os(TEMPLATE).is_some()
        && (name == Some(OsStr::new("cargo")) || name == Some(OsStr::new(dependencies::WRAPPER)))
}

/// Does what cargo would be asked to do.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let result = if Path::new(&program).file_name() == Some(OsStr::new(dependencies::WRAPPER)) {
        dependencies::wrap(&arguments)
    } else {
        answer(&arguments)
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(101)
    })
}

fn answer(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let folder = std::env::var_os(TEMPLATE).map(PathBuf::from).unwrap_or_default();
    let template = Template::open(&folder)?;
    let command =
        arguments.iter().filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'));
    match command {
        Some("build") if in_session() => build::run(&template, build::Emit::Library),
        Some("check") if in_session() => build::run(&template, build::Emit::Nothing),
        Some("clean") if in_session() => build::clean(),
        Some("metadata") if metadata::is_for_standard_library(&template, arguments) => {
            metadata::standard_library(&template)
        }
        Some("metadata") if metadata::is_for_session(arguments) => {
            metadata::answer(&template, arguments)
        }
        _ => Err(real(&template).args(arguments).exec().into()),
    }
}

/// Whether the current folder is the crate of this session.
fn in_session() -> bool {
    let here = std::env::current_dir().and_then(|folder| folder.canonicalize());
    let session =
        std::env::var_os(CRATE).map(PathBuf::from).and_then(|path| path.canonicalize().ok());
    here.ok() == session && session.is_some()
}

/// The real cargo, in the environment that the user has.
fn real(template: &Template) -> Command {
    let mut command = Command::new(&template.manifest.toolchain.cargo);
    restore_environment(&mut command);
    command
}

/// Undoes what a session changed in the environment.
///
/// Outside a session nothing was changed.
pub fn restore_environment(command: &mut Command) {
    if std::env::var_os(TEMPLATE).is_none() {
        return;
    }
    for (variable, saved) in [("PATH", USER_PATH), ("CARGO_HOME", USER_CARGO_HOME)] {
        match std::env::var_os(saved) {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    for variable in [USER_PATH, USER_CARGO_HOME, TEMPLATE, CRATE, "EVCXR_TMPDIR"] {
        command.env_remove(variable);
    }
}
