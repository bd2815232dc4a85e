//! Compiles a cell with one rustc call.

use super::{CELL, INTERRUPTED, dependencies};
use crate::template::{RUSTFLAGS, Template, hex};
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

/// SHA-256 of the runtime module that evcxr 0.22 pastes, which `benchbook::evcxr_runtime` stands
/// in for.
const KNOWN_RUNTIME: &str = "2111ce0ccd9e67b0c069e3ec792823578fcc921827987cdac8a777c6afb01363";

/// What the compiler shall make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Emit {
    /// The cell's shared library.
    Library,
    /// Only messages.
    Nothing,
}

/// Where compiled cells go. evcxr renames each one there, so they pile up until the session ends.
const OUTPUT: &str = "target/cells";

pub(super) fn run(template: &Template, emit: Emit) -> anyhow::Result<ExitCode> {
    if Path::new(INTERRUPTED).exists() {
        bail!("interrupted");
    }
    let manifest: toml::Table = fs::read_to_string("Cargo.toml")?.parse()?;
    let none = toml::Table::new();
    let wanted = manifest.get("dependencies").and_then(toml::Value::as_table).unwrap_or(&none);
    let dependencies = match dependencies::compiled(template, wanted)? {
        Ok(arguments) => arguments,
        Err(status) => return Ok(status),
    };
    fs::create_dir_all("target/cell")?;
    fs::create_dir_all(OUTPUT)?;
    fs::write(CELL, with_shared_runtime(fs::read_to_string("src/lib.rs")?)?)?;
    let toolchain = &template.manifest.toolchain;
    let status = Command::new(&toolchain.rustc)
        .args(["--crate-name", "ctx", "--edition", "2024", CELL, "--crate-type", "cdylib"])
        .args(["--error-format=json", "--json=diagnostic-rendered-ansi"])
        .args(["--emit", if emit == Emit::Library { "link" } else { "metadata" }])
        .args(["--out-dir", OUTPUT, RUSTFLAGS])
        .args(["-C", &format!("opt-level={}", opt_level(&manifest)), "-C", "codegen-units=1"])
        .args(["-C", "debuginfo=0", "-C", "strip=debuginfo", "-C", "overflow-checks=on"])
        .args(["-C", "debug-assertions=on"])
        .arg("--extern")
        .arg(format!("benchbook={}", template.helper().display()))
        .arg("-L")
        .arg(format!("dependency={}", template.folder.join("deps").display()))
        .arg("-L")
        .arg(format!("native={}", template.folder.join("stubs").display()))
        .args(dependencies)
        .status()
        .with_context(|| toolchain.rustc.display().to_string())?;
    if !status.success() {
        return Ok(ExitCode::from(101));
    }
    if emit == Emit::Library
        && let Some(file) = std::env::var_os("EVCXR_EXECUTION_SO_PATH")
    {
        let library = std::env::current_dir()?.join(OUTPUT).join("libctx.so");
        fs::write(file, library.as_os_str().as_encoded_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
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

/// evcxr pastes the module that keeps variables into every cell. The helper library has a compiled
/// one with the same functions, which halves the time of a cell, and whose messages to evcxr cannot
/// be mistaken for prints. Every line after it stays where it was, since evcxr finds the origin of
/// a message by its line. A module that is not the known one is an error: its markers would be taken
/// for prints of the user.
fn with_shared_runtime(source: String) -> anyhow::Result<String> {
    const BEGIN: &str = "mod evcxr_internal_runtime {\n";
    const END: &str = "}\n#[unsafe(no_mangle)]\n";
    let Some((before, rest)) = source.split_once(BEGIN) else { return Ok(source) };
    let Some((module, after)) = rest.split_once(END) else { return Ok(source) };
    if hex(Sha256::digest(module)) != KNOWN_RUNTIME {
        anyhow::bail!("evcxr's runtime module is not the one that Benchbook was made for");
    }
    let lines = "\n".repeat(module.matches('\n').count() + 1);
    // The line of the closing brace stays as an empty one.
    let end = END.trim_start_matches('}');
    Ok(format!(
        "{before}use ::benchbook::evcxr_runtime as evcxr_internal_runtime;{lines}{end}{after}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_module_is_refused() {
        let source =
            "mod evcxr_internal_runtime {\npub struct Other;\n}\n#[unsafe(no_mangle)]\nfn f() {}\n";
        assert!(with_shared_runtime(source.into()).is_err());
    }

    #[test]
    fn a_cell_without_the_module_is_left_alone() {
        assert_eq!(with_shared_runtime("fn f() {}\n".into()).unwrap(), "fn f() {}\n");
    }
}
