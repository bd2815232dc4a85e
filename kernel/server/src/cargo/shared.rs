//! One copy of each of the user's crates in the worker.
//!
//! A cell that linked a crate as an `.rlib` would have its own copy with its own statics: the level that one
//! cell sets in a logger would not apply in the next. So the crates are in dylibs, which every cell
//! links. rustc takes the code of an `.rlib` from a dylib that contains it, and refuses two dylibs that contain the
//! same `.rlib`; so each crate is in exactly one.
//!
//! A worker never unloads a library. New crates of a later `:dep` go into another dylib, and the earlier dylibs
//! stay, with the state of their crates. A crate that is compiled again loses its state: a local crate after an
//! edit, or a crate for which a later `:dep` requests more features. Local crates have separate dylibs, so that
//! an edit does not affect the crates of the registry.

use crate::tools::Tools;
use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder of the dylibs, beside the crate with the user's dependencies.
pub(super) const FOLDER: &str = "shared";

/// Prefix of the dylibs' names.
const PREFIX: &str = "benchbook_crates_";

/// The list of the dylibs' contents, in their folder.
const CONTENTS: &str = "contents.json";

/// Additional exported symbols of a dylib: C functions of its crates, which generic functions
/// compiled into cells may call.
const EXPORTS: (&str, &str) = ("exports.map", "{ global: [a-zA-Z]*; };\n");

/// Makes the linker include these functions from their archives, and fail on unresolved symbols.
const ALL_OF_C: [&str; 3] = [
    "-Clink-arg=-Wl,--version-script=exports.map",
    "-Clink-arg=-Wl,--undefined-glob=[a-zA-Z]*",
    "-Clink-arg=-Wl,-z,defs",
];

/// A compiled crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Crate {
    /// The package, as cargo identifies it.
    package: String,
    /// Its name in code.
    name: String,
    /// The `.rlib`.
    path: PathBuf,
    /// Size and time of the `.rlib`, which change with each compilation.
    stamp: String,
}

impl Crate {
    /// The crates in a cargo message that were compiled for this machine and may run in a worker.
    pub(super) fn of(message: &Value, target: &Path) -> Option<Self> {
        if message["reason"] != "compiler-artifact" {
            return None;
        }
        let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
        let path = files
            .map(PathBuf::from)
            .find(|path| path.extension().is_some_and(|end| end == "rlib"))?;
        // Dependencies of build scripts and procedural macros are in other folders.
        let name = message["target"]["name"].as_str()?.replace('-', "_");
        let package = message["package_id"].as_str()?.to_owned();
        path.starts_with(target).then(|| Self { package, name, stamp: stamp(&path), path })
    }

    fn is_local(&self) -> bool {
        self.package.starts_with("path+")
    }
}

fn stamp(path: &Path) -> String {
    let Ok(file) = fs::metadata(path) else { return String::new() };
    let time = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{} {}", file.len(), time.unwrap_or_default().as_nanos())
}

/// A dylib.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Library {
    /// The crate name, unique within the session: a worker keeps loaded libraries.
    name: String,
    /// Whether the crates are local.
    local: bool,
    crates: Vec<Crate>,
    /// The dylibs that this dylib links.
    below: Vec<String>,
}

/// The dylibs for a set of crates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// The compiler's arguments for a cell, each followed by a zero byte.
    pub(super) arguments: Vec<u8>,
    /// The crates whose state is reset, by name.
    pub(super) restarted: Vec<String>,
}

/// Puts crates into dylibs. Crates already in a dylib stay there.
///
/// # Errors
/// The compiler cannot link them.
pub(super) fn share(
    tools: &Tools,
    folder: &Path,
    search: &[&OsString],
    crates: &[Crate],
) -> anyhow::Result<Shared> {
    fs::create_dir_all(folder)?;
    let path = folder.join(CONTENTS);
    let before: Vec<Library> = fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let mut libraries = still_whole(&before);
    let restarted = restarted(&before, &libraries, crates);
    for local in [false, true] {
        let contained: HashSet<&Path> = libraries
            .iter()
            .flat_map(|library| &library.crates)
            .map(|known| known.path.as_path())
            .collect();
        let new: Vec<Crate> = crates
            .iter()
            .filter(|new| new.is_local() == local && !contained.contains(new.path.as_path()))
            .cloned()
            .collect();
        if new.is_empty() {
            continue;
        }
        let below = libraries.iter().filter(|library| local || !library.local);
        let below = below.map(|library| library.name.clone()).collect();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let library = Library { name: format!("{PREFIX}{time:x}"), local, crates: new, below };
        library.link(tools, folder, search)?;
        libraries.push(library);
    }
    fs::write(&path, serde_json::to_vec(&libraries)?)?;
    let mut arguments = Vec::new();
    for library in &libraries {
        let word = assigned(&library.name, &folder.join(library.file()));
        arguments.extend_from_slice(&[b"--extern\0", word.as_bytes(), b"\0"].concat());
    }
    Ok(Shared { arguments, restarted })
}

/// The dylibs whose crates, and those of the dylibs below, have not been recompiled.
fn still_whole(before: &[Library]) -> Vec<Library> {
    let mut whole: Vec<Library> = Vec::new();
    for library in before {
        let unchanged = library.crates.iter().all(|known| stamp(&known.path) == known.stamp);
        let stands = |name: &String| whole.iter().any(|library| library.name == *name);
        if unchanged && library.below.iter().all(stands) {
            whole.push(library.clone());
        }
    }
    whole
}

/// The crates that were in another dylib before.
fn restarted(before: &[Library], whole: &[Library], crates: &[Crate]) -> Vec<String> {
    let latest = |package: &str| {
        let libraries = before.iter().rev().flat_map(|library| &library.crates);
        libraries.into_iter().find(|known| known.package == package)
    };
    let stays = |known: &Crate| whole.iter().any(|library| library.crates.contains(known));
    let replaced = crates.iter().filter(|new| {
        latest(&new.package).is_some_and(|known| known.path != new.path || !stays(known))
    });
    let names: BTreeSet<String> = replaced.map(|new| new.name.clone()).collect();
    names.into_iter().collect()
}

impl Library {
    fn file(&self) -> String {
        format!("lib{}.so", self.name)
    }

    fn link(&self, tools: &Tools, folder: &Path, search: &[&OsString]) -> anyhow::Result<()> {
        let source = format!("{}.rs", self.name);
        let mut text = String::new();
        for name in &self.below {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "extern crate {name} as _;");
        }
        for at in 0..self.crates.len() {
            let _ = writeln!(text, "extern crate c{at} as _;");
        }
        fs::write(folder.join(&source), text)?;
        fs::write(folder.join(EXPORTS.0), EXPORTS.1)?;
        let link = |more: &[&str]| -> anyhow::Result<Output> {
            let mut command = Command::new(&tools.toolchain.rustc);
            command
                // The linker treats a comma in a path as the end of an argument, so paths are relative.
                .current_dir(folder)
                .args(["--edition", "2024", "--crate-type", "dylib", "--cap-lints", "allow"])
                .args(["-Cprefer-dynamic", "-Cmetadata=user", "-Cdebuginfo=0", "-Cstrip=debuginfo"])
                .args(["--crate-name", &self.name])
                .arg("-Clink-arg=-Wl,-rpath,$ORIGIN")
                // These crates' own symbols must not resolve to libtorch, which has some of the same names.
                .arg("-Clink-arg=-Wl,-Bsymbolic")
                .args(more)
                .args(search);
            for name in &self.below {
                command.arg("--extern").arg(format!("{name}=lib{name}.so"));
            }
            for (at, one) in self.crates.iter().enumerate() {
                command.arg("--extern").arg(assigned(&format!("c{at}"), &one.path));
            }
            command.arg(&source).output().context("the compiler does not run")
        };
        let mut output = link(&ALL_OF_C)?;
        if !output.status.success() {
            output = link(&[])?;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", said.trim());
        Ok(())
    }
}

/// The name of the dylib in a compiler argument for its path.
pub(super) fn name(word: &OsStr) -> Option<String> {
    let (name, _) = word.to_str()?.split_once('=')?;
    name.starts_with(PREFIX).then(|| name.to_owned())
}

/// An argument `name=path`.
fn assigned(name: &str, path: &Path) -> OsString {
    let mut word = OsString::from(format!("{name}="));
    word.push(path);
    word
}
