//! The tools of this machine that compile cells: rustc, cargo and the linker.
//!
//! A template works with one exact compiler. It is looked for in this order: `BENCHBOOK_RUSTC`; the cache, where
//! `benchbook setup` puts one; rustup's toolchains; PATH. Since that takes up to a second, what was found is kept in
//! the cache and taken again as long as none of the files has changed.

use crate::cache;
use crate::linker::Linker;
use crate::template::{Manifest, hex};
use crate::toolchain::{Toolchain, ToolchainError, on_path};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the cache that remembers what was found.
const FOLDER: &str = "tools";

/// The folder of the cache in which `benchbook setup` has rustup keep a toolchain.
pub const OWN_RUSTUP: &str = "rust/rustup";

/// Why cells cannot be compiled on this machine. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// No compiler of the template's version.
    #[error(
        "cells are compiled by {wanted}, which was not found{others}; run `{setup}`, which fetches it and leaves \
         your own Rust as it is",
        others = found(.others)
    )]
    Compiler {
        /// The first line of the compiler's version.
        wanted: String,
        /// Compilers of other versions, and what does not run.
        others: Vec<String>,
        /// The command that fetches one.
        setup: String,
    },
    /// The compiler that `BENCHBOOK_RUSTC` names does not fit.
    #[error(
        "BENCHBOOK_RUSTC={0} is {1}, and cells are compiled by {2}; unset it, or set it to that compiler"
    )]
    Chosen(PathBuf, String, String),
    /// No linker.
    #[error("cells are linked by `cc`, which is not on PATH; {0}")]
    Linker(String),
}

fn found(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(" (found: {})", others.join("; ")) }
}

/// A compiler and what links with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// The compiler.
    pub toolchain: Toolchain,
    /// rustc's own linker, called directly; without it rustc calls `cc`.
    pub linker: Option<Linker>,
}

impl Tools {
    /// The tools with which cells of this template are compiled.
    ///
    /// # Errors
    /// The compiler of exactly its version is not here, or no linker.
    pub fn find(manifest: &Manifest) -> Result<Self, ToolsError> {
        linker()?;
        let chosen = std::env::var_os("BENCHBOOK_RUSTC").is_some();
        if let Some(remembered) = Self::remembered(manifest).filter(|_| !chosen) {
            return Ok(remembered);
        }
        let found = Self::with(Self::compiler(manifest)?);
        if !chosen && let Err(error) = found.remember() {
            tracing::info!("the tools will be looked for again next time: {error:#}");
        }
        Ok(found)
    }

    /// The compiler of a template, looked for anew.
    ///
    /// # Errors
    /// There is none of exactly its version.
    pub fn compiler(manifest: &Manifest) -> Result<Toolchain, ToolsError> {
        match std::env::var_os("BENCHBOOK_RUSTC") {
            Some(rustc) => chosen(rustc.into(), manifest),
            None => search(manifest),
        }
    }

    /// A compiler with the linker that goes with it.
    pub fn with(toolchain: Toolchain) -> Self {
        let linker = Linker::find(&toolchain);
        Self { toolchain, linker }
    }

    /// Keeps them in the cache for the next start.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn remember(&self) -> anyhow::Result<()> {
        let path = memory(&self.toolchain.version)?;
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder)?;
        let file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&file, self)?;
        file.persist(path)?;
        Ok(())
    }

    fn remembered(manifest: &Manifest) -> Option<Self> {
        let text = fs::read(memory(&manifest.rustc).ok()?).ok()?;
        let tools: Self = serde_json::from_slice(&text).ok()?;
        let unchanged = tools.toolchain.version == manifest.rustc
            && tools.toolchain.is_unchanged()
            && tools.linker.as_ref().is_none_or(Linker::exists);
        unchanged.then_some(tools)
    }

    /// Writes them for the stand-in for cargo, which is started for each cell.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        Ok(fs::write(path, serde_json::to_vec(self)?)?)
    }

    /// Reads what [`Tools::write`] wrote.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

/// The file of the cache that remembers the tools for a compiler's version.
fn memory(version: &str) -> anyhow::Result<PathBuf> {
    let name = &hex(Sha256::digest(version))[..16];
    Ok(cache::folder()?.join(FOLDER).join(name).with_extension("json"))
}

fn chosen(rustc: PathBuf, manifest: &Manifest) -> Result<Toolchain, ToolsError> {
    let wanted = manifest.compiler().to_owned();
    match Toolchain::at(&rustc) {
        Ok(toolchain) if toolchain.version == manifest.rustc => Ok(toolchain),
        Ok(other) => Err(ToolsError::Chosen(rustc, other.name().to_owned(), wanted)),
        Err(error) => Err(ToolsError::Chosen(rustc, error.to_string(), wanted)),
    }
}

fn search(manifest: &Manifest) -> Result<Toolchain, ToolsError> {
    let mut others: Vec<String> = Vec::new();
    for rustc in candidates(manifest.release()) {
        match Toolchain::at(&rustc) {
            Ok(toolchain) if toolchain.version == manifest.rustc => return Ok(toolchain),
            Ok(other) => {
                let name = other.name().split(" (").next().unwrap_or_default();
                others.push(format!("{name} at {}", other.rustc.display()));
            }
            Err(ToolchainError::Missing(_)) => {}
            Err(error) => others.push(error.to_string()),
        }
    }
    others.dedup();
    Err(ToolsError::Compiler {
        wanted: manifest.compiler().into(),
        others,
        setup: cache::setup_command(),
    })
}

/// The compilers of this machine, those first that are most likely of this release.
fn candidates(release: &str) -> Vec<PathBuf> {
    let own = cache::folder().ok().map(|cache| cache.join(OWN_RUSTUP));
    let rustup = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(dirs::home_dir()?.join(".rustup")));
    let mut found: Vec<PathBuf> = Vec::new();
    for home in [own, rustup].into_iter().flatten() {
        let entries = fs::read_dir(home.join("toolchains")).into_iter().flatten().flatten();
        let mut toolchains: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        let rank = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (!name.starts_with(release), !name.starts_with("stable"), name)
        };
        toolchains.sort_by_key(rank);
        found.extend(toolchains.into_iter().map(|toolchain| toolchain.join("bin/rustc")));
    }
    found.extend(on_path("rustc"));
    found.retain(|path| path.exists());
    found
}

/// The C compiler through which cells are linked if rustc's own linker does not do.
///
/// # Errors
/// There is none on PATH.
pub fn linker() -> Result<PathBuf, ToolsError> {
    on_path("cc").ok_or_else(|| ToolsError::Linker(linker_fix()))
}

/// How to install a C compiler, with the package manager that is here.
fn linker_fix() -> String {
    let known = [
        ("apt-get", "sudo apt-get install -y gcc libc6-dev"),
        ("dnf", "sudo dnf install -y gcc"),
        ("zypper", "sudo zypper install -y gcc"),
        ("pacman", "sudo pacman -S --needed gcc"),
    ];
    let here = known.iter().find(|(manager, _)| on_path(manager).is_some());
    here.map_or("install gcc with your package manager".into(), |(_, command)| {
        format!("run `{command}`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_compiler_is_told_with_those_that_are_there_and_the_command() {
        let error = ToolsError::Compiler {
            wanted: "rustc 1.95.0".into(),
            others: vec!["rustc 1.94.0 at /usr/bin/rustc".into()],
            setup: "benchbook setup".into(),
        };
        assert_eq!(
            error.to_string(),
            "cells are compiled by rustc 1.95.0, which was not found (found: rustc 1.94.0 at \
             /usr/bin/rustc); run `benchbook setup`, which fetches it and leaves your own Rust as it is"
        );
    }
}
