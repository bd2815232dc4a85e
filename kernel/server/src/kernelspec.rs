//! The file by which Jupyter finds the kernel.

use crate::template::Template;
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The name under which Jupyter knows the kernel.
pub const NAME: &str = "benchbook";

/// What Jupyter shows for the kernel, under the names that it looks for.
const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-svg.svg", include_bytes!("../kernelspec/logo-svg.svg")),
    ("logo-32x32.png", include_bytes!("../kernelspec/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("../kernelspec/logo-64x64.png")),
];

#[derive(Serialize)]
struct Kernelspec {
    argv: Vec<String>,
    display_name: &'static str,
    language: &'static str,
    interrupt_mode: &'static str,
    env: BTreeMap<String, String>,
    metadata: Metadata,
}

#[derive(Serialize)]
struct Metadata {
    debugger: bool,
}

/// Writes `kernel.json` and the logos under `prefix` (an environment), or among the user's own kernels.
///
/// # Errors
/// The folder cannot be written.
pub fn write(template: &Template, prefix: Option<&Path>) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.canonicalize()?;
    let text = |path: &Path| path.display().to_string();
    let spec = Kernelspec {
        argv: vec![
            text(&program),
            "kernel".into(),
            "--template".into(),
            text(&template.folder),
            "--connection-file".into(),
            "{connection_file}".into(),
        ],
        display_name: "Rust (Benchbook)",
        language: "rust",
        interrupt_mode: "message",
        env: BTreeMap::new(),
        metadata: Metadata { debugger: false },
    };
    let folder = folder(prefix)?;
    fs::create_dir_all(&folder).with_context(|| text(&folder))?;
    fs::write(folder.join("kernel.json"), serde_json::to_vec_pretty(&spec)?)
        .with_context(|| text(&folder))?;
    for (name, image) in LOGOS {
        fs::write(folder.join(name), image).with_context(|| text(&folder.join(name)))?;
    }
    Ok(folder)
}

/// Where the kernelspec is, or belongs.
///
/// # Errors
/// The user has no data folder.
pub fn folder(prefix: Option<&Path>) -> anyhow::Result<PathBuf> {
    let base = match prefix {
        Some(prefix) => std::path::absolute(prefix)?.join("share"),
        None => dirs::data_dir().context("no data folder: set HOME")?,
    };
    Ok(base.join("jupyter/kernels").join(NAME))
}
