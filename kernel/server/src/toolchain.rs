//! The Rust toolchain that compiles cells.

use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// Why there is no toolchain.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// Neither rustup nor PATH has the tool.
    #[error("no `{0}` was found by rustup or on PATH; install Rust from https://rustup.rs")]
    Missing(&'static str),
    /// The compiler does not run.
    #[error("`{0}` does not run: {1}")]
    Broken(PathBuf, String),
}

/// A compiler and its cargo, called directly, since rustup's proxies take some 30 ms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// The compiler.
    pub rustc: PathBuf,
    /// cargo.
    pub cargo: PathBuf,
    /// All of `rustc -vV`: version, commit, host, LLVM.
    pub version: String,
    /// The folder that holds `lib/rustlib`.
    pub sysroot: PathBuf,
    /// Size and modification time of the compiler, for cheap detection of a replaced one.
    pub stamp: String,
}

impl Toolchain {
    /// The toolchain that rustup would choose here, else the one on PATH.
    ///
    /// # Errors
    /// There is none, or it does not run.
    pub fn find() -> Result<Self, ToolchainError> {
        let rustc = tool("rustc").ok_or(ToolchainError::Missing("rustc"))?;
        let cargo = tool("cargo").ok_or(ToolchainError::Missing("cargo"))?;
        Self::of(rustc, cargo)
    }

    /// The toolchain of a compiler, which may be a rustup proxy.
    ///
    /// # Errors
    /// It does not run, or no cargo is beside it or on PATH.
    pub fn at(rustc: &Path) -> Result<Self, ToolchainError> {
        let sysroot = PathBuf::from(ask(rustc, &["--print", "sysroot"])?);
        let beside = |name: &str| Some(sysroot.join("bin").join(name)).filter(|path| path.exists());
        let cargo =
            beside("cargo").or_else(|| on_path("cargo")).ok_or(ToolchainError::Missing("cargo"))?;
        Self::of(beside("rustc").unwrap_or_else(|| rustc.to_owned()), cargo)
    }

    fn of(rustc: PathBuf, cargo: PathBuf) -> Result<Self, ToolchainError> {
        let version = ask(&rustc, &["-vV"])?;
        let sysroot = PathBuf::from(ask(&rustc, &["--print", "sysroot"])?);
        let stamp = stamp(&rustc);
        Ok(Self { rustc, cargo, version, sysroot, stamp })
    }

    /// The first line of [`Toolchain::version`], for example `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub fn name(&self) -> &str {
        self.version.lines().next().unwrap_or_default()
    }

    /// The target triple of this machine.
    pub fn host(&self) -> &str {
        self.version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default()
    }

    /// The folder with `libstd-….so`.
    pub fn libraries(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(self.host()).join("lib")
    }

    /// The standard library's source, for type inference in `let`s.
    pub fn source(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }

    /// Whether the compiler's file has not changed since it was recorded.
    pub fn is_unchanged(&self) -> bool {
        stamp(&self.rustc) == self.stamp
    }
}

fn tool(name: &'static str) -> Option<PathBuf> {
    let by_rustup = Command::new("rustup").args(["which", name]).output().ok();
    by_rustup
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        .filter(|path| path.exists())
        .or_else(|| on_path(name))
}

/// The first executable of this name on PATH.
pub fn on_path(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn ask(program: &Path, arguments: &[&str]) -> Result<String, ToolchainError> {
    let broken = |text: String| ToolchainError::Broken(program.into(), text);
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| broken(error.to_string()))?;
    if !output.status.success() {
        return Err(broken(String::from_utf8_lossy(&output.stderr).trim().into()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

fn stamp(file: &Path) -> String {
    let Ok(data) = fs::metadata(file) else { return "missing".into() };
    let modified = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{} bytes, {} s", data.len(), modified.map_or(0, |age| age.as_secs()))
}
