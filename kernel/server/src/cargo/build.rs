//! Compiles a cell with one rustc call.

use super::statics::Statics;
use super::{
    CELL, INTERRUPTED, UNUSED, answers, dependencies, files, log, moved, prelude, progress,
    reduced, runtime, statics, variables,
};
use crate::diagnostic::Diagnostic;
use crate::template::{Installation, RUSTFLAGS, Template};
use crate::{evcxr_contract, nesting};
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// rustc's allocator (jemalloc) uses huge pages, which cause fewer page faults.
const ALLOCATOR: (&str, &str) = ("MALLOC_CONF", "thp:always,metadata_thp:always");

/// The compiler's output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Emit {
    /// The cell's shared library.
    Library,
    /// Only messages.
    Nothing,
}

/// Folder of compiled cells. evcxr renames each one there, so they accumulate until the session ends.
const OUTPUT: &str = "target/cells";
const LIBRARY: &str = "target/cells/libctx.so";

pub(super) fn run(here: &Installation, emit: Emit) -> anyhow::Result<ExitCode> {
    let Installation { template, tools } = here;
    if Path::new(INTERRUPTED).exists() {
        bail!("interrupted");
    }
    let manifest: toml::Table = fs::read_to_string("Cargo.toml")?.parse()?;
    let none = toml::Table::new();
    let wanted = manifest.get("dependencies").and_then(toml::Value::as_table).unwrap_or(&none);
    let dependencies = match dependencies::compiled(here, wanted)? {
        Ok(dependencies) => dependencies,
        Err(status) => return Ok(status),
    };
    let doing = match emit {
        Emit::Library => "Compiling the cell",
        Emit::Nothing => "Checking the cell",
    };
    progress::note(doing);
    fs::create_dir_all("target/cell")?;
    fs::create_dir_all(OUTPUT)?;
    let source = files::restored(reduced::restored(fs::read_to_string("src/lib.rs")?)?);
    let source = evcxr_contract::compiled(source)?;
    let empty = emit == Emit::Library && evcxr_contract::runs_nothing(&source);
    let source = variables::with_paths(variables::without_outdated(source));
    // Code that does not run defines no statics yet.
    let (source, defined) =
        if empty { (source, Statics::default()) } else { share_statics(source) };
    let _ = fs::remove_file(statics::DEFINED);
    let compiled = if empty { Emit::Nothing } else { emit };
    let mut arguments = arguments(template, compiled, &opt_level(&manifest));
    let prelude = if dependencies.arguments.is_empty() {
        prelude::name(here, &arguments, &source)
    } else {
        None
    };
    if let Some(name) = &prelude
        && let Some(status) = prelude::repeat(template, name, Path::new(LIBRARY))?
    {
        // Messages and tracebacks name this file.
        fs::write(CELL, &source)?;
        fs::write(UNUSED, "")?;
        return finish(emit, status == 0);
    }
    // `cc` searches the folders of libraries that the user's own crates link.
    let linker = match &tools.linker {
        Some(linker) if compiled == Emit::Library && dependencies.are_linked() => {
            let mut words = linker.arguments(&template.folder.join("stubs/direct"));
            words.extend(dependencies.run_path(false));
            words
        }
        _ => Vec::new(),
    };
    let place = files::place(&source);
    if place.is_some() {
        arguments.iter_mut().filter(|word| *word == CELL).for_each(|word| *word = "-".into());
    }
    let uses = dependencies.uses();
    // All later cells see the statics and exports of earlier cells: a cell's own definition
    // precedes those of earlier cells.
    let own_first = |word: &str| ["-C".into(), OsString::from(format!("link-arg={word}"))];
    let mut through_cc = own_first("-Wl,-Bsymbolic").to_vec();
    through_cc.extend(dependencies.run_path(true));
    let mut linker = linker;
    if !linker.is_empty() {
        linker.extend(own_first("-Bsymbolic"));
    }
    arguments.extend(dependencies.arguments);
    let calls = AtomicU32::new(0);
    let compile = |source: &str| -> anyhow::Result<Output> {
        fs::write(CELL, format!("{source}{uses}"))?;
        let rustc = &tools.toolchain.rustc;
        let run = |more: &[OsString]| {
            calls.fetch_add(1, Ordering::Relaxed);
            let mut command = Command::new(rustc);
            if std::env::var_os(ALLOCATOR.0).is_none() {
                command.env(ALLOCATOR.0, ALLOCATOR.1);
            }
            // SAFETY: only a system call (a request for a signal) between fork and exec.
            unsafe {
                command.pre_exec(|| {
                    benchbook_guard::end_with_parent();
                    Ok(())
                })
            };
            let input = match &place {
                Some(place) => {
                    // rustdoc's way to compile a text as if it were in another file.
                    command.env("UNSTABLE_RUSTDOC_TEST_PATH", place);
                    command.env("UNSTABLE_RUSTDOC_TEST_LINE", "0");
                    fs::File::open(CELL)?.into()
                }
                None => Stdio::null(),
            };
            command.env("CARGO_MANIFEST_DIR", files::folder());
            let output = command.args(&arguments).args(more).stdin(input).output();
            output.with_context(|| rustc.display().to_string())
        };
        if !linker.is_empty() {
            let output = run(&linker)?;
            if !cannot_link(&output) {
                return Ok(output);
            }
            log("linked through cc");
        }
        run(&through_cc)
    };
    let compile = |text: &str| -> anyhow::Result<Output> {
        nesting::deep(|| moved::compile(text, &compile))
            .context("there is no memory to parse the cell")?
    };
    let attempt = |source: &str| -> anyhow::Result<(Output, String)> {
        if let Some(less) = variables::without_unnamed(source) {
            let output = compile(&less)?;
            if !names_something_unknown(&output) {
                return Ok((output, less));
            }
            // The unknown name may be a variable that was left out: used by a macro, or suggested by rustc.
        }
        Ok((compile(source)?, source.to_owned()))
    };
    let attempt = |source: &str| -> anyhow::Result<(Output, String)> {
        let first = attempt(source)?;
        if first.0.status.success() {
            return Ok(first);
        }
        let ways = variables::ways(&first.1, &first.0.stderr);
        for traits in &ways {
            let named = attempt(&variables::named(source, traits))?;
            if named.0.status.success() {
                variables::note(traits)?;
            } else if ways.len() > 1 {
                continue;
            }
            return Ok(named);
        }
        Ok(first)
    };
    let entered = runtime::entered(&source).map(|entered| attempt(&entered)).transpose()?;
    // evcxr must get errors that refer to its own text.
    let (mut output, text) = match entered.filter(|(output, _)| output.status.success()) {
        Some(compiled) => compiled,
        None => attempt(&source)?,
    };
    log(&format!("{doing}: calls of rustc: {}", calls.load(Ordering::Relaxed)));
    // Tracebacks refer to evcxr's own text.
    fs::write(CELL, text)?;
    if let Some(place) = &place {
        output.stderr = files::with_files(&output.stderr, place);
    }
    std::io::stderr().write_all(&output.stderr)?;
    if output.status.signal().is_some() {
        // The compiler printed no message itself.
        eprintln!("the compiler ended: {}", output.status);
    }
    fs::write(UNUSED, of_unused_results(&output.stderr))?;
    let status = if output.status.success() { 0 } else { 101 };
    if empty {
        fs::write(LIBRARY, "")?;
    }
    if emit == Emit::Library && output.status.success() {
        defined.write(Path::new(statics::DEFINED))?;
    }
    if let Some(name) = &prelude
        && answers::is_recording()
    {
        prelude::keep(template, name, status, &output.stderr, Path::new(LIBRARY))?;
    }
    finish(emit, status == 0)
}

/// The source with statics that keep their values across cells, and the statics that it defines.
fn share_statics(source: String) -> (String, Statics) {
    if !statics::mentions_static(&source) {
        return (source, Statics::default());
    }
    let live = Statics::read(Path::new(statics::LIVE));
    let shared = nesting::deep(|| statics::shared(&source, &live)).flatten();
    shared.unwrap_or_else(|| (source, Statics::default()))
}

/// The compiler's arguments for a cell, except for its dependencies.
fn arguments(template: &Template, emit: Emit, opt_level: &str) -> Vec<OsString> {
    let mut words: Vec<OsString> = [
        "--crate-name",
        "ctx",
        "--edition",
        "2024",
        CELL,
        "--crate-type",
        "cdylib",
        "--error-format=json",
        "--json=diagnostic-rendered-ansi",
        "--emit",
        if emit == Emit::Library { "link" } else { "metadata" },
        "--out-dir",
        OUTPUT,
        RUSTFLAGS,
        "-C",
        &format!("opt-level={opt_level}"),
        "-C",
        "codegen-units=1",
        "-C",
        // A panic within a library is reported with the line of the calling cell.
        "debuginfo=line-tables-only",
        "-C",
        "strip=none",
        "-C",
        "overflow-checks=on",
        // Otherwise rustc would silently choose one of two imports (`evaluate/mend.rs`).
        "-D",
        "ambiguous_glob_imports",
        "-C",
        "debug-assertions=on",
    ]
    .map(OsString::from)
    .into();
    let folder = |kind: &str, path: PathBuf| {
        let mut word = OsString::from(format!("{kind}="));
        word.push(path);
        word
    };
    words.extend(["--extern".into(), folder("benchbook", template.helper())]);
    words.extend(["-L".into(), folder("dependency", template.folder.join("deps"))]);
    words.extend(["-L".into(), folder("native", template.folder.join("stubs"))]);
    words
}

/// Reports the library's path to evcxr.
fn finish(emit: Emit, success: bool) -> anyhow::Result<ExitCode> {
    if !success {
        return Ok(ExitCode::from(101));
    }
    if emit == Emit::Library
        && let Some(file) = std::env::var_os(evcxr_contract::EXECUTION_VARIABLE)
    {
        let library = std::env::current_dir()?.join(LIBRARY);
        fs::write(file, library.as_os_str().as_encoded_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the compiler reports E0425, an unknown name of a value.
fn names_something_unknown(output: &Output) -> bool {
    const CODE: &[u8] = b"\"code\":\"E0425\"";
    !output.status.success() && output.stderr.windows(CODE.len()).any(|bytes| bytes == CODE)
}

/// Whether compilation reached the linker and the linker failed.
fn cannot_link(output: &Output) -> bool {
    const WORDS: &[u8] = b"linking with `";
    !output.status.success() && output.stderr.windows(WORDS.len()).any(|bytes| bytes == WORDS)
}

/// The compiler's warnings about unused results. evcxr drops all warnings, but in a notebook an
/// unused result hides that a training or a file operation failed.
fn of_unused_results(messages: &[u8]) -> Vec<u8> {
    let lines = messages.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| is_unused_result(line)).flatten().copied().collect()
}

fn is_unused_result(line: &[u8]) -> bool {
    const CODE: &[u8] = b"unused_must_use";
    line.windows(CODE.len()).any(|bytes| bytes == CODE)
        && Diagnostic::all(line).any(|message| message.code() == "unused_must_use")
}

pub(super) fn clean() -> anyhow::Result<ExitCode> {
    if Path::new("target").exists() {
        fs::remove_dir_all("target")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The optimisation level that evcxr wrote for `:opt`.
fn opt_level(manifest: &toml::Table) -> String {
    let level = manifest
        .get("profile")
        .and_then(|profile| profile.get("dev"))
        .and_then(|profile| profile.get("opt-level"));
    match level {
        Some(toml::Value::String(level)) => level.clone(),
        Some(level) => level.to_string(),
        None => "0".into(),
    }
}
