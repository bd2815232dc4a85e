//! The tools of this machine that compile cells: rustc, cargo and the linker.
//!
//! A template works with one exact compiler. It is searched for in this order: `BENCHBOOK_RUSTC`; the cache, where
//! `benchbook setup` installs one; rustup's toolchains; PATH. Since the search takes up to a second, the cache stores its
//! result, which is used while none of the files changes.

use crate::cache;
use crate::linker::Linker;
use crate::template::{Manifest, hex};
use crate::toolchain::{Toolchain, ToolchainError, on_path};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The cache folder of found tools.
const FOLDER: &str = "tools";

/// The cache folder into which `benchbook setup` installs toolchains.
pub const OWN_RUSTUP: &str = "rust/rustup";

/// Why cells cannot be compiled on this machine. Each message ends with the remedy.
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
        /// Compilers of other versions, and those that do not run.
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

/// A compiler and its linker.
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
    /// There is no compiler of exactly the template's version, or no linker.
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

    /// The compiler of a template, searched for without the cache.
    ///
    /// # Errors
    /// There is none of exactly its version.
    pub fn compiler(manifest: &Manifest) -> Result<Toolchain, ToolsError> {
        match std::env::var_os("BENCHBOOK_RUSTC") {
            Some(rustc) => chosen(rustc.into(), manifest),
            None => search(manifest),
        }
    }

    /// A compiler with its linker.
    pub fn with(toolchain: Toolchain) -> Self {
        let linker = Linker::find(&toolchain);
        Self { toolchain, linker }
    }

    /// Saves the tools in the cache for the next start.
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

    /// Writes the tools for the stand-in for cargo, which is started for each cell.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        Ok(fs::write(path, serde_json::to_vec(self)?)?)
    }

    /// Reads the file of [`Tools::write`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

/// The cache file with the tools for a compiler's version.
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

/// The compilers of this machine, the most likely ones for this release first.
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

/// The C compiler that links cells if rustc's own linker cannot.
///
/// # Errors
/// There is none on PATH.
pub fn linker() -> Result<PathBuf, ToolsError> {
    on_path("cc").ok_or_else(|| ToolsError::Linker(linker_fix()))
}

/// How to install a C compiler with this system's package manager.
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
