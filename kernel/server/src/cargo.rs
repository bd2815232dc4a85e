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
//! It is `rustc` there as well, for the few questions that a beginning session asks. Those and their
//! like to cargo are answered as the real tools did at installation (`answers.rs`), the
//! standard library's `metadata` too. Everything else, and every call for another crate, is handed to
//! the real tool unchanged. The crates that the user adds with `:dep` are compiled by the real cargo in a crate of their own
//! (`dependencies.rs`), so they can neither rebuild the helper library nor change its features. All cells share one copy of
//! them (`shared.rs`), and the user's cargo configuration does not reach them (`configuration.rs`).
//!
//! The rustc call is not recorded and replayed but spelt out here, with the compiler and the
//! libraries that the template's manifest names.

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

/// The template of the session, for the stand-in.
pub const TEMPLATE: &str = "BENCHBOOK_TEMPLATE";
/// Variables that a session changes or removes. `CARGO` and `RUSTC` would take the place of the stand-in in
/// rust-analyzer.
pub const CHANGED: [&str; 6] =
    ["CARGO", "CARGO_HOME", "PATH", "RUSTC", "RUST_MIN_STACK", "RUST_SRC_PATH"];

/// The variable that has another one as the user had it; absent if that was not set.
pub fn saved(name: &str) -> String {
    format!("BENCHBOOK_USER_{name}")
}

/// The folder in which the kernel was started, which is the notebook's, for the stand-in.
pub const NOTEBOOK: &str = "BENCHBOOK_NOTEBOOK";
/// The compiler and the linker of the session, in the crate's folder, for the stand-in.
pub const TOOLS: &str = "tools.json";
/// The folder of the crate that evcxr writes.
pub const CRATE: &str = "BENCHBOOK_CRATE";
/// While this file exists in the crate's folder, nothing is compiled: the user has interrupted.
pub const INTERRUPTED: &str = "interrupted";

/// From when this file exists in the crate's folder, rust-analyzer is told of all crates. Until then it
/// hears of none, and costs nothing: only `let`s, commands and questions need to know types.
pub const TYPES: &str = "types";
/// What the stand-in has to say to the kernel's log, in the crate's folder.
pub const LOG: &str = "stand-in.log";

/// What the stand-in has to say to the user, in the crate's folder.
const TOLD: &str = "told";

/// The file that is compiled, in the crate's folder. Its name ends as evcxr expects the file of a
/// message to end.
pub const CELL: &str = "target/cell/lib.rs";

/// What the compiler said of unused results, in the crate's folder: its messages as JSON, one a line.
pub const UNUSED: &str = "target/cell/unused.jsonl";

/// Whether this process was started under the name `cargo`, or as cargo's compiler wrapper.
pub fn is_called(program: &OsStr) -> bool {
    let name = Path::new(program).file_name();
    let names = ["cargo", "rustc", "rustup", dependencies::WRAPPER];
    std::env::var_os(TEMPLATE).is_some()
        && names.into_iter().any(|known| name == Some(OsStr::new(known)))
}

/// Does what cargo would be asked to do.
pub fn main() -> ExitCode {
    // A kernel that was killed compiles no more.
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

/// evcxr asks `rustup which cargo` before it looks at PATH. This rustup knows nothing of the toolchain in
/// use, and hands everything else (`:toolchain`, say) to the real one. It is a link to this program, as the others are,
/// since no script runs where the folder for temporary files allows no programs.
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

/// Answers as the real tool did at installation, or becomes the real tool.
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

/// Whether rust-analyzer knows the crates of the session.
fn types_are_wanted() -> bool {
    std::env::var_os(CRATE).is_some_and(|folder| Path::new(&folder).join(TYPES).exists())
}

/// A note between server and stand-in; the default if there is none.
fn read_json<T: DeserializeOwned + Default>(path: &Path) -> T {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Writes a note; one that says nothing is no file.
fn write_json<T: Serialize + Default + PartialEq>(path: &Path, note: &T) -> io::Result<()> {
    if *note != T::default() {
        return fs::write(path, serde_json::to_vec(note)?);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Leaves a line for the kernel's log. One that cannot be written is lost and nothing else.
fn log(line: &str) {
    let Some(folder) = std::env::var_os(CRATE) else { return };
    let file = OpenOptions::new().create(true).append(true).open(Path::new(&folder).join(LOG));
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{line}");
    }
}

/// Leaves a line for the user.
fn tell(line: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(TOLD);
    if let Ok(file) = &mut file {
        let _ = writeln!(file, "{line}");
    }
}

/// What the stand-in has told the user since it was last asked.
pub fn told(crate_folder: &Path) -> String {
    let path = crate_folder.join(TOLD);
    let text = fs::read_to_string(&path).unwrap_or_default();
    if !text.is_empty() {
        let _ = fs::remove_file(path);
    }
    text
}

/// Whether the current folder is the crate of this session.
fn in_session() -> bool {
    let here = std::env::current_dir().and_then(|folder| folder.canonicalize());
    let session =
        std::env::var_os(CRATE).map(PathBuf::from).and_then(|path| path.canonicalize().ok());
    here.ok() == session && session.is_some()
}

/// Undoes what a session changed in the environment.
///
/// Outside a session nothing was changed.
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
