//! One copy of each of the user's crates in the worker.
//!
//! A cell that linked a crate as an `.rlib` would have a copy of its own, with its own statics: the level that one
//! cell sets in a logger would be unknown to the next. So the crates are put behind dylibs, which every cell
//! links. rustc takes the code of an `.rlib` from a dylib that contains it, and refuses two dylibs that contain the
//! same one; so each crate is in exactly one.
//!
//! A worker never unloads a library. Crates that a later `:dep` brings go into a further dylib, and the earlier ones
//! stay as they are, with the state of their crates. A crate that is compiled again starts anew: a local one that was
//! edited, or one for which a later `:dep` asks for more features. Local crates have dylibs of their own, so that
//! editing one does not touch those of the registry.

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

/// The folder of the dylibs, beside the crate of the user's dependencies.
pub(super) const FOLDER: &str = "shared";

/// What the names of dylibs begin with.
const PREFIX: &str = "benchbook_crates_";

/// What the dylibs contain, in their folder.
const CONTENTS: &str = "contents.json";

/// Which symbols a dylib exports beside those that rustc knows of: the functions of C that a crate brings along,
/// which the generic functions that cells compile may call.
const EXPORTS: (&str, &str) = ("exports.map", "{ global: [a-zA-Z]*; };\n");

/// Has the linker take those functions from their archives, and fail if that asks for something that is nowhere.
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
    /// Size and time of the `.rlib`, which change when it is compiled again.
    stamp: String,
}

impl Crate {
    /// The crates among cargo's messages that were compiled for this machine and may run in a worker.
    pub(super) fn of(message: &Value, target: &Path) -> Option<Self> {
        if message["reason"] != "compiler-artifact" {
            return None;
        }
        let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
        let path = files
            .map(PathBuf::from)
            .find(|path| path.extension().is_some_and(|end| end == "rlib"))?;
        // Dependencies of build scripts and procedural macros lie elsewhere.
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
    /// Its name as a crate, which no other has had in this session: a worker keeps what it has loaded.
    name: String,
    /// Its crates are local.
    local: bool,
    crates: Vec<Crate>,
    /// The dylibs that it is linked with.
    below: Vec<String>,
}

/// The dylibs for a set of crates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// What the compiler of a cell is told of them, as words that end in a zero.
    pub(super) arguments: Vec<u8>,
    /// The crates whose state starts anew, by name.
    pub(super) restarted: Vec<String>,
}

/// Puts crates behind dylibs. Those that are behind one already stay there.
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

/// The dylibs whose crates, and those below them, have not been compiled again.
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

/// The crates that were in another library until now.
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
            // Writing into a string does not fail.
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
                // The linker takes a comma in a path for the end of a word, so its paths are relative.
                .current_dir(folder)
                .args(["--edition", "2024", "--crate-type", "dylib", "--cap-lints", "allow"])
                .args(["-Cprefer-dynamic", "-Cmetadata=user", "-Cdebuginfo=0", "-Cstrip=debuginfo"])
                .args(["--crate-name", &self.name])
                .arg("-Clink-arg=-Wl,-rpath,$ORIGIN")
                // What these crates define must not be taken from libtorch, which has some of the same names.
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

/// The name of a dylib in a word that tells the compiler where it lies.
pub(super) fn name(word: &OsStr) -> Option<String> {
    let (name, _) = word.to_str()?.split_once('=')?;
    name.starts_with(PREFIX).then(|| name.to_owned())
}

/// A word `name=path`.
fn assigned(name: &str, path: &Path) -> OsString {
    let mut word = OsString::from(format!("{name}="));
    word.push(path);
    word
}
