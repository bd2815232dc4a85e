//! The parts of this machine that a kernel needs. `benchbook doctor` prints them as text, and `benchbook machine` as
//! JSON for `benchbook setup`, which downloads missing parts.

use crate::gpu_support::{self, Gpu};
use crate::libtorch::{Libtorch, VERSION, survey};
use crate::template::Manifest;
use crate::tools::{Tools, linker};
use crate::{cache, toolchain::Toolchain};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// All findings.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The cache folder.
    pub cache: PathBuf,
    /// The compiler.
    pub toolchain: Compiler,
    /// The linker.
    pub linker: Part,
    /// libtorch.
    pub libtorch: Torch,
    /// The GPUs.
    #[serde(skip)]
    pub gpus: Vec<Gpu>,
}

/// A found part, or why it cannot be used.
#[derive(Debug, Serialize)]
pub struct Part {
    /// Where it is.
    pub found: Option<PathBuf>,
    /// Why it cannot be used, with the remedy; `None` if it can.
    pub problem: Option<String>,
}

/// The findings on the compiler.
#[derive(Debug, Serialize)]
pub struct Compiler {
    /// The required release, for example `1.95.0`.
    pub version: String,
    /// The host triple.
    pub host: String,
    /// The path of rustc.
    #[serde(flatten)]
    pub part: Part,
}

/// The findings on libtorch.
#[derive(Debug, Serialize)]
pub struct Torch {
    /// The required release, for example `2.11.0`.
    pub version: &'static str,
    /// Where it is.
    #[serde(flatten)]
    pub part: Part,
    /// The libtorch found, with its full version.
    #[serde(skip)]
    pub libtorch: Option<Libtorch>,
    /// Descriptions of other releases.
    pub others: Vec<String>,
    /// The build that Benchbook would download: `cpu` or `cuda`.
    pub build: &'static str,
    /// Why that build.
    pub reason: String,
}

impl Part {
    fn of<E: std::fmt::Display>(found: Result<PathBuf, E>) -> Self {
        match found {
            Ok(found) => Self { found: Some(found), problem: None },
            Err(error) => Self { found: None, problem: Some(error.to_string()) },
        }
    }
}

impl Machine {
    /// Looks for everything. Without a template, any compiler is suitable.
    ///
    /// # Errors
    /// There is no cache folder.
    pub fn examine(manifest: Option<&Manifest>) -> anyhow::Result<Self> {
        let chosen = manifest.and_then(|manifest| manifest.chosen_libtorch.as_deref());
        let gpus = Gpu::all();
        Ok(Self {
            cache: cache::folder()?,
            toolchain: compiler(manifest),
            linker: Part::of(linker()),
            libtorch: torch(chosen, &gpus),
            gpus,
        })
    }
}

fn compiler(manifest: Option<&Manifest>) -> Compiler {
    let (version, host) = match manifest {
        Some(manifest) => (manifest.release(), manifest.host()),
        None => (env!("CARGO_PKG_RUST_VERSION"), "x86_64-unknown-linux-gnu"),
    };
    let rustc = |toolchain: Toolchain| toolchain.rustc;
    let part = match manifest {
        Some(manifest) => Part::of(Tools::compiler(manifest).map(rustc)),
        None => Part::of(Toolchain::find().map(rustc)),
    };
    Compiler { version: version.into(), host: host.into(), part }
}

fn torch(chosen: Option<&Path>, gpus: &[Gpu]) -> Torch {
    let found = Libtorch::find(chosen);
    let (build, reason) = gpu_support::download(gpus);
    Torch {
        version: VERSION,
        part: Part::of(found.as_ref().map(|found| found.folder.clone())),
        libtorch: found.ok(),
        others: survey(chosen).1,
        build,
        reason,
    }
}
