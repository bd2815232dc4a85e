//! What rust-analyzer is told of a session's crates: those of the real cargo, and the helper
//! library with the crates below it, which cargo knows nothing of.

use super::{CRATE, real};
use crate::template::{RUSTFLAGS, Template};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The file of a template with cargo's metadata of the standard library.
pub const STANDARD_LIBRARY: &str = "standard-library.json";

/// Whether the crate asked about is the one that evcxr writes in this session.
pub(super) fn is_for_session(arguments: &[OsString]) -> bool {
    let session = std::env::var_os(CRATE).map(PathBuf::from);
    session.is_some_and(|session| is_asked_about(arguments, &session))
}

/// Whether the standard library is asked about, with what it uses.
pub(super) fn is_for_standard_library(template: &Template, arguments: &[OsString]) -> bool {
    is_asked_about(arguments, &template.manifest.toolchain.source())
        && !arguments.iter().any(|word| word == "--no-deps")
        && template.folder.join(STANDARD_LIBRARY).exists()
}

fn is_asked_about(arguments: &[OsString], folder: &Path) -> bool {
    let after = arguments.iter().skip_while(|word| *word != "--manifest-path").nth(1);
    let named = after.map(PathBuf::from).and_then(|path| path.parent().map(Path::to_path_buf));
    let asked = named.or_else(|| std::env::current_dir().ok());
    let canonical = |path: PathBuf| path.canonicalize().ok();
    let folder = canonical(folder.to_path_buf());
    folder.is_some() && asked.and_then(canonical) == folder
}

/// What cargo said of the standard library at installation. Asked now, it would look for the
/// library's few dependencies on the network, and without them types such as `HashMap` stay
/// unknown.
pub(super) fn standard_library(template: &Template) -> anyhow::Result<ExitCode> {
    print!("{}", fs::read_to_string(template.folder.join(STANDARD_LIBRARY))?);
    Ok(ExitCode::SUCCESS)
}

/// cargo's metadata of the standard library.
///
/// # Errors
/// The real cargo does not run, or cannot download what the library depends on.
pub fn record_standard_library(template: &Template) -> anyhow::Result<Vec<u8>> {
    let toolchain = &template.manifest.toolchain;
    let output = Command::new(&toolchain.cargo)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", toolchain.host()])
        .arg("--manifest-path")
        .arg(toolchain.source().join("Cargo.toml"))
        // The library's manifest uses features that cargo gives to nightly toolchains only;
        // rust-analyzer asks in the same way.
        .env("__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS", "nightly")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata of the standard library failed: {said}");
    Ok(output.stdout)
}

pub(super) fn answer(template: &Template, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let output = real(template).args(arguments).output()?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Ok(ExitCode::from(101));
    }
    let mut metadata: Value = serde_json::from_slice(&output.stdout)?;
    if !metadata["resolve"].is_null() {
        let recorded = fs::read(template.folder.join("metadata.json"))?;
        add(&mut metadata, &serde_json::from_slice(&recorded)?)?;
    }
    println!("{metadata}");
    Ok(ExitCode::SUCCESS)
}

/// The libraries that a cell reaches by name through the helper library.
const RE_EXPORTED: &[&str] = &["image", "plotters", "serde_json", "tch"];

/// The helper library's part of the answer: its own packages, the re-exported ones, and what those
/// use directly. Nothing further down can be named in a cell, and rust-analyzer takes its time and
/// memory for every package that it hears of.
///
/// # Errors
/// The real cargo does not run, or its answer is not understood.
pub fn record(template: &Template) -> anyhow::Result<Value> {
    let toolchain = &template.manifest.toolchain;
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
    let is_re_exported = |id: &str| {
        let name = packages.get(id).and_then(|package| package["name"].as_str());
        name.is_some_and(|name| RE_EXPORTED.contains(&name))
    };
    let mut wanted = HashSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        let Some(node) = nodes.get(id).filter(|_| wanted.insert(id)) else { continue };
        let used =
            list(&node["deps"]).iter().filter(is_normal).filter_map(|dep| dep["pkg"].as_str());
        if is_own(id) {
            open.extend(used.filter(|id| is_own(id) || is_re_exported(id)));
        } else if is_re_exported(id) {
            open.extend(used);
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
    Ok(json!({ "root": root, "packages": keep(&all["packages"]), "nodes": nodes }))
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
