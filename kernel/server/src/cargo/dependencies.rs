//! The crates that the user added with `:dep`.
//!
//! They are compiled by the real cargo as the dependencies of an empty crate, apart from the helper
//! library. What cargo passes to rustc for that crate is what a cell needs to use them; cargo is
//! asked for it by a wrapper around the compiler of workspace crates, which is this program again.

use super::{TEMPLATE, answers, progress};
use crate::template::Installation;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The name under which cargo calls this program around the compiler.
pub const WRAPPER: &str = "benchbook-rustc-wrapper";

/// Where the wrapper writes what it saw.
const RECORD: &str = "BENCHBOOK_RECORD";

/// The crate that has the user's dependencies, beside evcxr's.
const FOLDER: &str = "dependencies";

/// The rustc arguments for the user's crates, compiling them if need be. If cargo fails, its exit
/// status; it has then said why.
pub(super) fn compiled(
    here: &Installation,
    wanted: &toml::Table,
) -> anyhow::Result<Result<Vec<OsString>, ExitCode>> {
    if wanted.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let manifest = manifest(wanted);
    let folder = std::env::current_dir()?.join(FOLDER);
    let record = folder.join("arguments");
    // The files of a local crate may have changed; cargo looks, and rustc is quick if they have not.
    let local = wanted.values().any(|dependency| dependency.get("path").is_some());
    if !local
        && fs::read_to_string(folder.join("Cargo.toml")).ok().as_ref() == Some(&manifest)
        && let Ok(bytes) = fs::read(&record)
    {
        return Ok(Ok(split(&bytes)));
    }
    fs::create_dir_all(&folder)?;
    let _ = fs::remove_file(&record);
    // Written when the compiler of the empty crate starts, and trusted when cargo has ended well.
    let partial = folder.join("arguments.partial");
    fs::write(folder.join("lib.rs"), "")?;
    fs::write(folder.join("Cargo.toml"), manifest)?;
    // The versions that `cargo metadata` has chosen for the session.
    if Path::new("Cargo.lock").exists() {
        fs::copy("Cargo.lock", folder.join("Cargo.lock"))?;
    }
    let wrapper = std::env::current_exe()?;
    let wrapper = link(&folder, &wrapper)?;
    progress::note("Compiling crates");
    // cargo's own end leaves the compilers that it has started.
    // SAFETY: no other thread runs yet.
    unsafe { benchbook_guard::split() }?;
    let mut cargo = answers::real(here, "cargo")
        .args(["build", "--message-format=short", "--target-dir"])
        // Kept between sessions; cargo's own lock lets one session at a time build in it.
        .arg(here.template.user_crates()?)
        .current_dir(&folder)
        .env("RUSTC", &here.tools.toolchain.rustc)
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper)
        .env(RECORD, &partial)
        .env(TEMPLATE, &here.template.folder)
        // Their own metadata keeps a crate that the helper library has, too, from being taken for it.
        .env("RUSTFLAGS", "-Cprefer-dynamic -Cmetadata=user")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_BUILD_DIR")
        .stdout(Stdio::from(std::io::stderr()))
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(messages) = cargo.stderr.take() {
        progress::follow(messages)?;
    }
    let status = cargo.wait()?;
    if !status.success() {
        fs::remove_file(folder.join("Cargo.toml"))?;
        return Ok(Err(ExitCode::from(101)));
    }
    fs::rename(&partial, &record)?;
    Ok(Ok(split(&fs::read(&record)?)))
}

fn manifest(wanted: &toml::Table) -> String {
    let mut package = toml::Table::new();
    package.insert("name".into(), "dependencies".into());
    package.insert("version".into(), "1.0.0".into());
    package.insert("edition".into(), "2024".into());
    let mut library = toml::Table::new();
    library.insert("path".into(), "lib.rs".into());
    let mut profile = toml::Table::new();
    profile.insert("opt-level".into(), 2.into());
    profile.insert("debug".into(), false.into());
    let mut profiles = toml::Table::new();
    profiles.insert("dev".into(), profile.into());
    let mut manifest = toml::Table::new();
    manifest.insert("package".into(), package.into());
    manifest.insert("lib".into(), library.into());
    manifest.insert("profile".into(), profiles.into());
    manifest.insert("dependencies".into(), wanted.clone().into());
    manifest.insert("workspace".into(), toml::Table::new().into());
    manifest.to_string()
}

fn link(folder: &Path, program: &Path) -> anyhow::Result<PathBuf> {
    let link = folder.join(WRAPPER);
    if !link.exists() {
        std::os::unix::fs::symlink(program, &link)?;
    }
    Ok(link)
}

/// Called by cargo as `WRAPPER rustc arguments…`: notes the externs and search paths, and runs it.
pub(super) fn wrap(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let (rustc, arguments) =
        arguments.split_first().ok_or_else(|| anyhow::anyhow!("no compiler was named"))?;
    if let Some(record) = std::env::var_os(RECORD)
        && arguments.iter().any(|word| word == "--extern" || word == "-L")
    {
        let mut bytes = Vec::new();
        for pair in arguments.windows(2).filter(|pair| pair[0] == "--extern" || pair[0] == "-L") {
            if pair[1] == OsStr::new("proc_macro") {
                continue;
            }
            // cargo lets a crate begin before its dependencies have code and names their `.rmeta`;
            // a cell is linked after cargo has ended, when the `.rlib` beside it is there.
            let value = pair[1].as_bytes();
            let code = value.strip_suffix(b".rmeta").map(|name| [name, b".rlib"].concat());
            for word in [pair[0].as_bytes(), code.as_deref().unwrap_or(value)] {
                bytes.extend_from_slice(word);
                bytes.push(0);
            }
        }
        fs::write(record, bytes)?;
    }
    Err(Command::new(rustc).args(arguments).exec().into())
}

fn split(record: &[u8]) -> Vec<OsString> {
    let words = record.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| OsString::from_vec(word.to_vec())).collect()
}
