//! The stand-in for cargo.
//!
//! evcxr compiles a cell by calling `cargo build` on a crate named `ctx`, and rust-analyzer inside
//! it gets the crates of a session from `cargo metadata`. Both find *this program* under the name
//! `cargo`, because a session puts a link to it first on PATH and into a private `CARGO_HOME`
//! (`session.rs`). It answers four commands for that crate:
//!
//! | command | effect |
//! | --- | --- |
//! | `build` | one rustc call against the helper library of the template |
//! | `check` | the same without generating code |
//! | `metadata` | the real cargo's answer, with the helper library's crates added |
//! | `clean` | removes the compiled cells |
//!
//! The same program is also `rustc`, for the few queries of a starting session. It answers these, similar queries to
//! cargo and the standard library's `metadata` with the answers of the real tools at installation (`answers.rs`). It passes
//! everything else, and every call for another crate, to the real tool. The real cargo compiles the crates that the user
//! adds with `:dep`, in a separate crate
//! (`dependencies.rs`), so they can neither rebuild the helper library nor change its features. All cells share one copy of
//! these crates (`shared.rs`), and the user's cargo configuration does not affect them (`configuration.rs`).
//!
//! The rustc call is written out here instead of recorded and replayed, with the compiler and the
//! libraries of the template's manifest.

pub mod answers;
mod build;
pub(crate) mod configuration;
mod dependencies;
pub(crate) mod files;
pub mod metadata;
pub mod moved;
mod prelude;
pub mod progress;
pub(crate) mod reduced;
mod runtime;
mod shared;
pub mod statics;
pub(crate) mod variables;

use crate::evcxr_contract::FOLDERS;
use crate::template::{Installation, Template};
use crate::tools::Tools;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The session's template; read by the stand-in.
pub const TEMPLATE: &str = "BENCHBOOK_TEMPLATE";
/// Variables that a session changes or removes. rust-analyzer would prefer `CARGO` and `RUSTC` to the stand-in.
pub const CHANGED: [&str; 6] =
    ["CARGO", "CARGO_HOME", "PATH", "RUSTC", "RUST_MIN_STACK", "RUST_SRC_PATH"];

/// The variable with the user's own value of another variable; absent if the user did not set it.
pub fn saved(name: &str) -> String {
    format!("BENCHBOOK_USER_{name}")
}

/// The folder in which the kernel was started, which is the notebook's; read by the stand-in.
pub const NOTEBOOK: &str = "BENCHBOOK_NOTEBOOK";
/// The file of the session's compiler and linker, in the crate's folder; read by the stand-in.
pub const TOOLS: &str = "tools.json";
/// The folder of the crate that evcxr writes.
pub const CRATE: &str = "BENCHBOOK_CRATE";
/// While this file exists in the crate's folder, nothing is compiled, because the user has
/// interrupted the cell.
pub const INTERRUPTED: &str = "interrupted";

/// Once this file exists in the crate's folder, rust-analyzer receives all crates. Before that it
/// receives none and costs nothing: only `let`s, commands, completions and inspections need types.
pub const TYPES: &str = "types";
/// The stand-in's lines for the kernel's log; a file in the crate's folder.
pub const LOG: &str = "stand-in.log";

/// The stand-in's messages to the user; a file in the crate's folder.
const TOLD: &str = "told";

/// The compiled file, in the crate's folder. Its name has the ending by which evcxr recognises a
/// cell's messages.
pub const CELL: &str = "target/cell/lib.rs";

/// The compiler's warnings about unused results as JSON, one a line; a file in the crate's folder.
pub const UNUSED: &str = "target/cell/unused.jsonl";

/// Whether this process was started as `cargo` or as cargo's compiler wrapper.
pub fn is_called(program: &OsStr) -> bool {
    let name = Path::new(program).file_name();
    let names = ["cargo", "rustc", "rustup", dependencies::WRAPPER];
    std::env::var_os(TEMPLATE).is_some()
        && names.into_iter().any(|known| name == Some(OsStr::new(known)))
}

/// Handles a call of cargo.
pub fn main() -> ExitCode {
    // A killed kernel must not continue to compile.
    benchbook_guard::end_with_parent();
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let name = Path::new(&program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let result = match name {
        dependencies::WRAPPER => dependencies::wrap(&arguments),
        "rustup" => rustup(&arguments),
        "rustc" => installation().and_then(|here| pass_on(&here, "rustc", &arguments)),
        _ => installation().and_then(|here| answer(&here, &arguments)),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(101)
    })
}

/// evcxr calls `rustup which cargo` before it searches PATH. This rustup fails on `which` and passes everything
/// else (`:toolchain`, say) to the real one. Like the other stand-ins, it is a link to this program, since
/// scripts cannot run where the folder for temporary files allows no programs.
fn rustup(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    if arguments.iter().any(|word| word == "which") {
        return Ok(ExitCode::FAILURE);
    }
    let mut command = Command::new("rustup");
    restore_environment(&mut command);
    Err(command.args(arguments).exec().into())
}

fn installation() -> anyhow::Result<Installation> {
    let folder = |variable| std::env::var_os(variable).map(PathBuf::from).unwrap_or_default();
    let template = Template::open(&folder(TEMPLATE))?;
    let tools = Tools::read(&folder(CRATE).join(TOOLS))?;
    Ok(Installation { template, tools })
}

fn answer(here: &Installation, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let command =
        arguments.iter().filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'));
    match command {
        Some("build") if in_session() => build::run(here, build::Emit::Library),
        Some("check") if in_session() => build::run(here, build::Emit::Nothing),
        Some("clean") if in_session() => build::clean(),
        Some("metadata") if metadata::is_for_standard_library(&here.template, arguments) => {
            metadata::standard_library(&here.template)
        }
        Some("metadata") if metadata::is_for_session(arguments) => {
            metadata::answer(here, arguments)
        }
        _ => pass_on(here, "cargo", arguments),
    }
}

/// Prints the answer recorded at installation, or becomes the real tool.
fn pass_on(here: &Installation, tool: &str, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    match answers::recorded(here, tool, arguments) {
        Some(answer) => answer.repeat(),
        None if answers::is_recording() => answers::ask(here, tool, arguments)?.repeat(),
        None => {
            log(&format!("became the real {tool}: {arguments:?}"));
            Err(answers::real(here, tool).args(arguments).exec().into())
        }
    }
}

/// Whether rust-analyzer receives the session's crates.
fn types_are_wanted() -> bool {
    std::env::var_os(CRATE).is_some_and(|folder| Path::new(&folder).join(TYPES).exists())
}

/// Reads a JSON file shared by server and stand-in; the default if there is none.
fn read_json<T: DeserializeOwned + Default>(path: &Path) -> T {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Writes a JSON file; removes it for the default value.
fn write_json<T: Serialize + Default + PartialEq>(path: &Path, note: &T) -> io::Result<()> {
    if *note != T::default() {
        return fs::write(path, serde_json::to_vec(note)?);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Appends a line to the kernel's log. A line that cannot be written is lost without further effect.
fn log(line: &str) {
    let Some(folder) = std::env::var_os(CRATE) else { return };
    let file = OpenOptions::new().create(true).append(true).open(Path::new(&folder).join(LOG));
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{line}");
    }
}

/// Appends a message to the user.
fn tell(line: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(TOLD);
    if let Ok(file) = &mut file {
        let _ = writeln!(file, "{line}");
    }
}

/// The stand-in's messages to the user since the last call.
pub fn told(crate_folder: &Path) -> String {
    let path = crate_folder.join(TOLD);
    let text = fs::read_to_string(&path).unwrap_or_default();
    if !text.is_empty() {
        let _ = fs::remove_file(path);
    }
    text
}

/// Whether the current folder is this session's crate.
fn in_session() -> bool {
    let here = std::env::current_dir().and_then(|folder| folder.canonicalize());
    let session =
        std::env::var_os(CRATE).map(PathBuf::from).and_then(|path| path.canonicalize().ok());
    here.ok() == session && session.is_some()
}

/// Restores the environment that the user had before the session.
///
/// Outside a session, no variable changes.
pub fn restore_environment(command: &mut Command) {
    if std::env::var_os(TEMPLATE).is_none() {
        return;
    }
    for variable in CHANGED {
        let saved = saved(variable);
        match std::env::var_os(&saved) {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
        command.env_remove(saved);
    }
    for variable in [NOTEBOOK, TEMPLATE, CRATE, answers::RECORDING].iter().chain(&FOLDERS) {
        command.env_remove(variable);
    }
}
