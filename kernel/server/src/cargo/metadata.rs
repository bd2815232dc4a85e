//! The crates of a session for rust-analyzer: those of the real cargo, and the helper
//! library with its dependencies, which cargo does not know.

use super::{CRATE, answers, progress, types_are_wanted};
use crate::template::{self, Installation, RUSTFLAGS, Template};
use crate::tools::Tools;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The file of a template with cargo's metadata of the standard library.
pub const STANDARD_LIBRARY: &str = "standard-library.json";

/// Whether the request is about the crate that evcxr writes in this session.
pub(super) fn is_for_session(arguments: &[OsString]) -> bool {
    let session = std::env::var_os(CRATE).map(PathBuf::from);
    session.is_some_and(|session| is_asked_about(arguments, &session))
}

/// Whether the request is about the standard library and its dependencies.
pub(super) fn is_for_standard_library(template: &Template, arguments: &[OsString]) -> bool {
    is_asked_about(arguments, &template.standard_library())
        && !arguments.iter().any(|word| word == "--no-deps")
}

fn is_asked_about(arguments: &[OsString], folder: &Path) -> bool {
    let after = arguments.iter().skip_while(|word| *word != "--manifest-path").nth(1);
    let named = after.map(PathBuf::from).and_then(|path| path.parent().map(Path::to_path_buf));
    let asked = named.or_else(|| std::env::current_dir().ok());
    let canonical = |path: PathBuf| path.canonicalize().ok();
    let folder = canonical(folder.to_path_buf());
    folder.is_some() && asked.and_then(canonical) == folder
}

/// cargo's metadata of the standard library, recorded at installation and limited to packages that
/// types in cells depend on. A live request would search the network for the library's few
/// dependencies, and without them types such as `HashMap` stay unknown.
pub(super) fn standard_library(template: &Template) -> anyhow::Result<ExitCode> {
    let recorded = if types_are_wanted() {
        fs::read_to_string(template.folder.join(STANDARD_LIBRARY))?
            .replace(TEMPLATE_FOLDER, &in_json(&template.folder)?)
    } else {
        let library = template.standard_library();
        json!({
            "packages": [],
            "workspace_members": [],
            "workspace_default_members": [],
            "resolve": { "nodes": [], "root": null },
            "target_directory": library,
            "version": 1,
            "workspace_root": library,
            "metadata": null,
        })
        .to_string()
    };
    print!("{recorded}");
    Ok(ExitCode::SUCCESS)
}

/// Placeholder for the template's folder in recorded files, since the folder may be moved.
const TEMPLATE_FOLDER: &str = "{template}";

/// A path in the form of a JSON string's content.
fn in_json(path: &Path) -> anyhow::Result<String> {
    Ok(serde_json::to_string(path)?.trim_matches('"').to_owned())
}

/// The recorded packages of the standard library: the crates that cells can name, and those that their public
/// types consist of. The others (libc, backtraces, the tests) only cost rust-analyzer time and memory.
const STANDARD_PACKAGES: &[&str] = &[
    "alloc",
    "cfg-if",
    "core",
    "hashbrown",
    "proc_macro",
    "rustc-std-workspace-alloc",
    "rustc-std-workspace-core",
    "rustc-std-workspace-std",
    "std",
    "std_detect",
];

/// The folders of the standard library's source with these packages.
pub const STANDARD_FOLDERS: &[&str] = &["alloc", "core", "proc_macro", "std", "std_detect"];

/// cargo's metadata of the standard library.
///
/// # Errors
/// The real cargo does not run, or cannot download what the library depends on.
pub fn record_standard_library(here: &Installation) -> anyhow::Result<Vec<u8>> {
    let toolchain = &here.tools.toolchain;
    let output = Command::new(&toolchain.cargo)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", toolchain.host()])
        .arg("--manifest-path")
        .arg(toolchain.source().join("Cargo.toml"))
        // The library's manifest uses features that cargo reserves for nightly toolchains;
        // rust-analyzer makes its request in the same way.
        .env("__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS", "nightly")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata of the standard library failed: {said}");
    let mut metadata: Value = serde_json::from_slice(&output.stdout)?;
    keep_standard_packages(&mut metadata).context("cargo's metadata has an unknown form")?;
    for package in metadata["packages"].as_array_mut().into_iter().flatten() {
        carry(package, &here.template)?;
    }
    let text = metadata.to_string().replace(
        &in_json(&toolchain.source())?,
        &format!("{TEMPLATE_FOLDER}/{}", template::STANDARD_LIBRARY),
    );
    Ok(text.replace(&in_json(&here.template.folder)?, TEMPLATE_FOLDER).into_bytes())
}

fn keep_standard_packages(metadata: &mut Value) -> Option<()> {
    let packages = metadata["packages"].as_array_mut()?;
    packages.retain(|package| {
        package["name"].as_str().is_some_and(|name| STANDARD_PACKAGES.contains(&name))
    });
    let kept: HashSet<String> =
        packages.iter().filter_map(|package| Some(package["id"].as_str()?.to_owned())).collect();
    let is_kept = |id: &Value| id.as_str().is_some_and(|id| kept.contains(id));
    for list in ["workspace_members", "workspace_default_members"] {
        metadata[list].as_array_mut()?.retain(is_kept);
    }
    let nodes = metadata["resolve"]["nodes"].as_array_mut()?;
    nodes.retain(|node| is_kept(&node["id"]));
    for node in nodes {
        node["dependencies"].as_array_mut()?.retain(is_kept);
        node["deps"].as_array_mut()?.retain(|dependency| is_kept(&dependency["pkg"]));
    }
    Some(())
}

/// Reads the output of [`record`].
///
/// # Errors
/// The file cannot be read.
pub fn recorded(template: &Template) -> anyhow::Result<Value> {
    let text = fs::read_to_string(template.folder.join("metadata.json"))?;
    Ok(serde_json::from_str(&text.replace(TEMPLATE_FOLDER, &in_json(&template.folder)?))?)
}

pub(super) fn answer(here: &Installation, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut answer = match answers::recorded(here, "cargo", arguments) {
        Some(answer) => answer,
        None => {
            progress::note("Looking up crates");
            answers::ask(here, "cargo", arguments)?
        }
    };
    if answer.status == 0 && types_are_wanted() {
        let mut metadata: Value = serde_json::from_str(&answer.stdout)?;
        if !metadata["resolve"].is_null() {
            add(&mut metadata, &recorded(&here.template)?)?;
        }
        answer.stdout = format!("{metadata}\n");
    }
    answer.repeat()
}

/// Libraries whose names the helper library re-exports to cells.
const RE_EXPORTED: &[&str] = &["image", "plotters", "serde_json", "tch"];

/// Further packages in these libraries' public types and traits. Cells meet no types of their other
/// dependencies.
const IN_THEIR_TYPES: &[&str] = &[
    "half",
    "num-traits",
    "plotters-backend",
    "plotters-bitmap",
    "plotters-svg",
    "serde_core",
    "torch-sys",
];

/// The helper library's part of the metadata: its own packages, the re-exported ones, and the
/// packages in their types. rust-analyzer spends time and memory on every package: with all direct
/// dependencies, both grew by a third.
///
/// # Errors
/// The real cargo does not run, or its answer is not understood.
pub fn record(here: &Installation) -> anyhow::Result<String> {
    let Installation { template, tools: Tools { toolchain, .. } } = here;
    let output = Command::new(&toolchain.cargo)
        .args(["metadata", "--format-version=1", "--filter-platform", toolchain.host()])
        .current_dir(template.folder.join("source"))
        .env("RUSTFLAGS", RUSTFLAGS)
        .output()?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let all: Value = serde_json::from_slice(&output.stdout)?;
    let nodes: HashMap<&str, &Value> = list(&all["resolve"]["nodes"])
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let root = list(&all["packages"])
        .iter()
        .find(|package| package["name"] == "benchbook")
        .and_then(|package| package["id"].as_str())
        .context("the workspace has no package benchbook")?;
    let packages: HashMap<&str, &Value> = list(&all["packages"])
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let is_own = |id: &str| packages.get(id).is_some_and(|package| package["source"].is_null());
    let is_named = |id: &str, names: &[&str]| {
        let name = packages.get(id).and_then(|package| package["name"].as_str());
        name.is_some_and(|name| names.contains(&name))
    };
    let is_re_exported = |id: &str| is_named(id, RE_EXPORTED);
    let mut wanted = HashSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        let Some(node) = nodes.get(id).filter(|_| wanted.insert(id)) else { continue };
        let used =
            list(&node["deps"]).iter().filter(is_normal).filter_map(|dep| dep["pkg"].as_str());
        if is_own(id) {
            open.extend(used.filter(|id| is_own(id) || is_re_exported(id)));
        } else if is_re_exported(id) {
            open.extend(used.filter(|id| is_named(id, IN_THEIR_TYPES)));
        }
    }
    let keep = |values: &Value| -> Vec<Value> {
        let kept = list(values)
            .iter()
            .filter(|value| value["id"].as_str().is_some_and(|id| wanted.contains(id)));
        kept.cloned().collect()
    };
    let mut nodes = keep(&all["resolve"]["nodes"]);
    for node in &mut nodes {
        let known = |dep: &&Value| dep["pkg"].as_str().is_some_and(|id| wanted.contains(id));
        let deps: Vec<Value> =
            list(&node["deps"]).iter().filter(is_normal).filter(known).cloned().collect();
        node["dependencies"] = deps.iter().map(|dep| dep["pkg"].clone()).collect();
        node["deps"] = Value::Array(deps);
    }
    let mut packages = keep(&all["packages"]);
    for package in &mut packages {
        carry(package, template)?;
    }
    let recorded = json!({ "root": root, "packages": packages, "nodes": nodes });
    Ok(recorded.to_string().replace(&in_json(&template.folder)?, TEMPLATE_FOLDER))
}

/// Copies a library's source from cargo's registry into the template, which then needs no registry,
/// and points the package's metadata to the copy.
fn carry(package: &mut Value, template: &Template) -> anyhow::Result<()> {
    if package["source"].is_null() {
        return Ok(());
    }
    let manifest = PathBuf::from(package["manifest_path"].as_str().context("no manifest_path")?);
    let from = manifest.parent().context("a manifest has a folder")?;
    let to = template.folder.join("source/crates").join(from.file_name().context("no name")?);
    template::copy_folder(&from.join("src"), &to.join("src"))?;
    fs::copy(&manifest, to.join("Cargo.toml"))?;
    let text = package.to_string().replace(&in_json(from)?, &in_json(&to)?);
    *package = serde_json::from_str(&text)?;
    Ok(())
}

fn is_normal(dependency: &&Value) -> bool {
    list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Adds the recorded packages to cargo's answer, and the helper library to the cell crate's
/// dependencies.
fn add(metadata: &mut Value, recorded: &Value) -> anyhow::Result<()> {
    let root = metadata["resolve"]["root"].clone();
    for (own, new) in [("/packages", &recorded["packages"]), ("/resolve/nodes", &recorded["nodes"])]
    {
        let own = metadata.pointer_mut(own).and_then(Value::as_array_mut);
        let own = own.context("cargo's metadata has an unknown form")?;
        let known: HashSet<String> =
            own.iter().filter_map(|value| value["id"].as_str()).map(str::to_owned).collect();
        let missing = |value: &&Value| value["id"].as_str().is_some_and(|id| !known.contains(id));
        own.extend(list(new).iter().filter(missing).cloned());
    }
    let nodes = metadata.pointer_mut("/resolve/nodes").and_then(Value::as_array_mut);
    let cell = nodes.into_iter().flatten().find(|node| node["id"] == root);
    let cell = cell.context("cargo's metadata has no node for the cell crate")?;
    let helper = &recorded["root"];
    let push = |list: &mut Value, value: Value| list.as_array_mut().map(|list| list.push(value));
    push(&mut cell["dependencies"], helper.clone());
    push(
        &mut cell["deps"],
        json!({ "name": "benchbook", "pkg": helper, "dep_kinds": [{ "kind": null, "target": null }] }),
    );
    Ok(())
}
