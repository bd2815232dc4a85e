//! The template: everything that is compiled once, at installation, and only read by sessions.
//!
//! The template of a checkout is in the cache under a hash of everything that it depends on: compiler, flags, libtorch's
//! release and the helper library's source. A wheel contains a template. Its compiled files never change and sessions do
//! not write to it, so sessions share it without copying and cannot disturb each other. It can be moved to any folder and
//! any machine, since it contains no paths. [`crate::tools`] and [`crate::libtorch`] find the parts that depend on the
//! machine.
//!
//! ```text
//! <template>/
//!   template.json         the manifest; written last, so the template is complete if it exists
//!   lib/libbenchbook.so   the helper library
//!   deps/                 metadata of its crates, for rustc
//!   stubs/                empty libraries with libtorch's names, for fast linking of cells
//!   stubs/direct/         an empty C++ standard library, for cells without the user's crates
//!   bin/benchbook-worker  the worker
//!   source/               the source, for rust-analyzer and hover
//!   source/crates/        the source of the libraries that cells can name
//!   names.json            the names that its libraries define, for completion while a cell runs
//!   metadata.json         cargo's metadata of the helper library's crates, for rust-analyzer
//!   library/              the part of the standard library's source that rust-analyzer needs
//!   standard-library.json cargo's metadata of the standard library
//!   answers/              the tools' answers to the queries of a starting session
//!   cells/                the first cells of every session, compiled
//! ```

use crate::cache;
use crate::libtorch;
use crate::tools::Tools;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Flags for all code in the worker's process, which shares one libstd.
pub const RUSTFLAGS: &str = "-Cprefer-dynamic";

/// The copy of the standard library's source, in a template's folder.
pub const STANDARD_LIBRARY: &str = "library";

/// Increased when the layout of a template changes.
const FORMAT: u32 = 5;

/// Why a template cannot be used. Every message ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Never installed, or the cache was moved or emptied.
    #[error(
        "Benchbook's compiled parts are not at {0}: they were never built, or the cache folder was moved or emptied; {FIX}"
    )]
    Missing(PathBuf),
    /// An installation is running or was interrupted.
    #[error(
        "Benchbook's compiled parts at {0} are incomplete: an installation is still running or was interrupted; wait for it, or {FIX}"
    )]
    Incomplete(PathBuf),
    /// The manifest cannot be read.
    #[error("{0} cannot be read: {1}; {FIX}")]
    Unreadable(PathBuf, String),
}

const FIX: &str = "install the wheel again, or run `environment/run` in a checkout";

/// The inputs of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout of the folder.
    pub format: u32,
    /// The compiler that built it and compiles cells: all of `rustc -vV`.
    pub rustc: String,
    /// The release of libtorch that it was compiled against, for example `2.11.0`.
    pub libtorch: String,
    /// The libtorch chosen at installation; tried after those of the environment.
    #[serde(default)]
    pub chosen_libtorch: Option<PathBuf>,
    /// The checkout that it was built from, if on this machine.
    #[serde(default)]
    pub checkout: Option<PathBuf>,
    /// The commit of the checkout, for records; `None` without git.
    #[serde(default)]
    pub revision: Option<String>,
    /// Hash of each source file, by path in the checkout.
    pub sources: BTreeMap<String, String>,
}

/// A complete template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Where it is.
    pub folder: PathBuf,
    /// The inputs of the template.
    pub manifest: Manifest,
}

impl Template {
    /// Opens the template in `folder` without checking that it is up to date.
    ///
    /// # Errors
    /// It is missing, incomplete or unreadable.
    pub fn open(folder: &Path) -> Result<Self, TemplateError> {
        let path = folder.join("template.json");
        if !folder.exists() {
            return Err(TemplateError::Missing(folder.into()));
        }
        if !path.exists() {
            return Err(TemplateError::Incomplete(folder.into()));
        }
        let unreadable = |error: String| TemplateError::Unreadable(path.clone(), error);
        let text = fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(unreadable(format!(
                "its format is {}, expected {FORMAT}",
                manifest.format
            )));
        }
        Ok(Self { folder: folder.into(), manifest })
    }

    /// The source files that changed since the build; empty if the checkout no longer exists.
    pub fn changed_sources(&self) -> Vec<String> {
        let Some(checkout) = &self.manifest.checkout else { return Vec::new() };
        let Ok(now) = sources(checkout) else { return Vec::new() };
        let then = &self.manifest.sources;
        let changed = now.iter().filter(|(path, hash)| then.get(*path) != Some(hash));
        let gone = then.keys().filter(|path| !now.contains_key(*path));
        changed.map(|(path, _)| path).chain(gone).cloned().collect()
    }

    /// The helper library.
    pub fn helper(&self) -> PathBuf {
        self.folder.join("lib/libbenchbook.so")
    }

    /// The part of the standard library's source that type inference needs.
    pub fn standard_library(&self) -> PathBuf {
        self.folder.join(STANDARD_LIBRARY)
    }

    /// Target folder for crates that users add with `:dep`; kept between sessions. In the cache,
    /// since a wheel's folder may be read-only.
    ///
    /// # Errors
    /// There is no cache folder.
    pub fn user_crates(&self) -> anyhow::Result<PathBuf> {
        Ok(cache::folder()?.join("crates").join(self.manifest.key()))
    }

    /// The worker program.
    pub fn worker(&self) -> PathBuf {
        self.folder.join("bin/benchbook-worker")
    }
}

impl Manifest {
    /// The manifest of a build from a checkout now.
    ///
    /// # Errors
    /// The folder is not a checkout of Benchbook, or cannot be read.
    pub fn of(checkout: &Path, rustc: &str) -> anyhow::Result<Self> {
        let checkout = checkout.canonicalize().with_context(|| checkout.display().to_string())?;
        anyhow::ensure!(
            checkout.join("kernel/helper/src/lib.rs").is_file(),
            "{} is no checkout of Benchbook: there is no kernel/helper/src/lib.rs",
            checkout.display()
        );
        Ok(Self {
            format: FORMAT,
            rustc: rustc.to_owned(),
            libtorch: libtorch::VERSION.to_owned(),
            chosen_libtorch: None,
            revision: revision(&checkout),
            sources: sources(&checkout)?,
            checkout: Some(checkout),
        })
    }

    /// The first line of the compiler's version, for example `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub fn compiler(&self) -> &str {
        self.rustc.lines().next().unwrap_or_default()
    }

    /// The compiler's release, for example `1.95.0`.
    pub fn release(&self) -> &str {
        self.rustc.lines().find_map(|line| line.strip_prefix("release: ")).unwrap_or_default()
    }

    /// The host triple, for example `x86_64-unknown-linux-gnu`.
    pub fn host(&self) -> &str {
        self.rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default()
    }

    /// A hash of all inputs of the compiled files.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.rustc, RUSTFLAGS, &self.libtorch, &format!("{FORMAT}")] {
            hash.update(part);
            hash.update([0]);
        }
        for (path, content) in &self.sources {
            hash.update(path);
            hash.update(content);
        }
        hex(hash.finalize())[..16].to_owned()
    }

    /// The folder of a checkout's template.
    ///
    /// # Errors
    /// There is no cache folder.
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        Ok(cache::folder()?.join("templates").join(self.key()))
    }
}

/// A template and the tools of this machine that compile cells against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The template.
    pub template: Template,
    /// The compiler and the linker.
    pub tools: Tools,
}

impl Installation {
    /// Opens a template and finds its tools.
    ///
    /// # Errors
    /// As [`Template::open`] and [`Tools::find`].
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let template = Template::open(folder)?;
        let tools = Tools::find(&template.manifest)?;
        Ok(Self { template, tools })
    }
}

/// The commit of a checkout, with the suffix `-dirty` if files differ from it.
fn revision(checkout: &Path) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(checkout)
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--match="])
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The folders of the packages in the worker's process: the helper library, the worker and their dependencies.
pub(crate) fn packages(checkout: &Path) -> anyhow::Result<Vec<String>> {
    let mut folders = vec!["kernel/helper".to_owned(), "kernel/worker".to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.get(seen) {
        let path = checkout.join(folder).join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let manifest: toml::Table = text.parse().with_context(|| path.display().to_string())?;
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        let names = dependencies.into_iter().flat_map(toml::Table::keys);
        for name in names.filter_map(|name| name.strip_prefix("benchbook-")) {
            let folder = format!("kernel/{name}");
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        seen += 1;
    }
    Ok(folders)
}

/// The hash of every source file, by path in the checkout, and of the files that fix the dependencies. Tests,
/// examples, READMEs and hidden files are left out, since they do not affect the library.
fn sources(checkout: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for name in ["Cargo.toml".into(), "Cargo.lock".into()].into_iter().chain(packages(checkout)?) {
        collect(checkout, Path::new(&name), &mut found)?;
    }
    Ok(found)
}

fn collect(
    root: &Path,
    relative: &Path,
    found: &mut BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let path = root.join(relative);
    if path.is_file() {
        let content = fs::read(&path).with_context(|| path.display().to_string())?;
        found.insert(relative.display().to_string(), hex(Sha256::digest(content)));
    } else if path.is_dir() {
        for entry in fs::read_dir(&path).with_context(|| path.display().to_string())? {
            let name = entry?.file_name();
            let text = name.to_string_lossy();
            let unused = text.starts_with('.') || text.ends_with(".md");
            if !unused && !["tests", "examples", "benches"].contains(&&*text) {
                collect(root, &relative.join(&name), found)?;
            }
        }
    }
    Ok(())
}

/// Copies a folder with its contents.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// A hash as hexadecimal digits.
pub fn hex(hash: impl AsRef<[u8]>) -> String {
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_the_packages_of_the_workers_process_and_no_others() {
        let found = packages(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))).unwrap();
        for (name, expected) in [
            ("helper", true),
            ("worker", true),
            ("libtorch", true),
            // Through other packages.
            ("nets", true),
            ("nvml", true),
            // Used by the server or by tests only.
            ("server", false),
            ("conformance", false),
        ] {
            assert_eq!(found.contains(&format!("kernel/{name}")), expected, "{name}: {found:?}");
        }
    }
}
