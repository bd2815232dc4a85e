//! The crates that the user added with `:dep`.
//!
//! The real cargo compiles them as the dependencies of an empty crate, separate from the helper
//! library and from the user's cargo configuration (`configuration.rs`). cargo's arguments to rustc for this crate are the
//! arguments with which a cell uses the crates. A wrapper of the compiler, which is this program, records them.
//! The crates' code is in dylibs, so that all cells share it (`shared.rs`).

use super::shared::{self, Crate};
use super::{TEMPLATE, answers, configuration, log, progress, tell};
use crate::cache;
use crate::template::Installation;
use anyhow::Context;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// The name under which cargo runs this program as compiler wrapper.
pub const WRAPPER: &str = "benchbook-rustc-wrapper";

/// The wrapper's output file.
const RECORD: &str = "BENCHBOOK_RECORD";

/// The folder of the crate that depends on the user's crates, beside evcxr's.
const FOLDER: &str = "dependencies";

/// The name of that crate's package.
const PACKAGE: &str = "dependencies";

/// rustc flags for all crates of the user. Their own metadata distinguishes them from crates of the
/// same name in the helper library.
const FLAGS: [&str; 2] = ["-Cprefer-dynamic", "-Cmetadata=user"];

/// Search path of the dylibs, relative to the folder of a cell's library.
const SEARCHED: &str = "$ORIGIN/../../dependencies/shared";

/// Requirements for a cell to use the user's crates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dependencies {
    /// The compiler's arguments.
    pub(super) arguments: Vec<OsString>,
    /// The dylibs with the crates' code, by crate name; empty if linking failed.
    shared: Vec<String>,
}

impl Dependencies {
    /// Parses the compiler's arguments, each followed by a zero byte.
    fn read(words: &[u8]) -> Self {
        let words = words.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let arguments: Vec<OsString> =
            words.map(|word| OsString::from_vec(word.to_vec())).collect();
        let shared = arguments.iter().filter_map(|word| shared::name(word)).collect();
        Self { arguments, shared }
    }

    /// Source that links the dylibs into a cell, which does not name them itself.
    pub(super) fn uses(&self) -> String {
        self.shared.iter().map(|name| format!("extern crate {name} as _;\n")).collect()
    }

    /// Whether a cell links only dylibs, which in turn link the crates' requirements.
    pub(super) fn are_linked(&self) -> bool {
        self.arguments.is_empty() || !self.shared.is_empty()
    }

    /// The linker argument for finding the dylibs at load time, for rustc's own linker or through `cc`.
    pub(super) fn run_path(&self, through_cc: bool) -> Option<OsString> {
        let word = if through_cc { "-Wl,-rpath," } else { "-rpath=" };
        (!self.shared.is_empty()).then(|| format!("-Clink-arg={word}{SEARCHED}").into())
    }
}

/// A cell's requirements for the user's crates, which are compiled if necessary. If cargo fails,
/// its exit status; cargo has then printed the reason.
pub(super) fn compiled(
    here: &Installation,
    wanted: &toml::Table,
) -> anyhow::Result<Result<Dependencies, ExitCode>> {
    if wanted.is_empty() {
        return Ok(Ok(Dependencies::default()));
    }
    let manifest = manifest(wanted);
    let folder = std::env::current_dir()?.join(FOLDER);
    let kept = folder.join("arguments");
    // A local crate's files may have changed. cargo checks them, and rustc is quick if they have not.
    let local = wanted.values().any(|dependency| dependency.get("path").is_some());
    if !local
        && fs::read_to_string(folder.join("Cargo.toml")).ok().as_ref() == Some(&manifest)
        && let Ok(words) = fs::read(&kept)
    {
        return Ok(Ok(Dependencies::read(&words)));
    }
    fs::create_dir_all(&folder)?;
    let before = fs::read(&kept).ok();
    let _ = fs::remove_file(&kept);
    // Written when the compiler of the empty crate starts, and trusted once cargo has succeeded.
    let partial = folder.join("arguments.partial");
    fs::write(folder.join("lib.rs"), "")?;
    fs::write(folder.join("Cargo.toml"), manifest)?;
    // The versions that `cargo metadata` chose for the session.
    if Path::new("Cargo.lock").exists() {
        fs::copy("Cargo.lock", folder.join("Cargo.lock"))?;
    }
    progress::note("Compiling crates");
    let Some(crates) = build(here, &folder, &partial)? else {
        fs::remove_file(folder.join("Cargo.toml"))?;
        return Ok(Err(ExitCode::from(101)));
    };
    let mut words = fs::read(&partial)?;
    let searched = Dependencies::read(&words).arguments;
    let searched: Vec<&OsString> =
        searched.chunks_exact(2).filter(|pair| pair[0] == "-L").flatten().collect();
    match shared::share(&here.tools, &folder.join(shared::FOLDER), &searched, &crates) {
        Ok(_) if allows_no_programs(&folder) => {
            if before.as_ref() != Some(&words) {
                tell(
                    "the temporary folder is mounted `noexec`, so the statics of `:dep` crates are reset in each cell; set TMPDIR to another folder and restart the kernel",
                );
            }
        }
        Ok(shared) => {
            if !shared.restarted.is_empty() {
                let names: Vec<String> =
                    shared.restarted.iter().map(|name| format!("`{name}`")).collect();
                tell(&format!("compiled again, so its statics are reset: {}", names.join(", ")));
            }
            words.extend_from_slice(&shared.arguments);
        }
        Err(error) => {
            log(&format!("the crates of `:dep` are linked into each cell: {error:#}"));
            tell(
                "the crates of `:dep` could not be linked into a library that all cells share, so their statics are reset \
                 in each cell; start the kernel with BENCHBOOK_LOG=info to see the linker's message",
            );
        }
    }
    fs::write(&kept, &words)?;
    Ok(Ok(Dependencies::read(&words)))
}

/// Whether libraries cannot be loaded from a folder. A cell is then loaded from memory, but its
/// dependencies cannot be.
fn allows_no_programs(folder: &Path) -> bool {
    let Ok(name) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else { return false };
    // SAFETY: the structure is local and is filled by the call, which takes a string that ends in 0.
    unsafe {
        let mut system: libc::statvfs = std::mem::zeroed();
        libc::statvfs(name.as_ptr(), &raw mut system) == 0 && system.f_flag & libc::ST_NOEXEC != 0
    }
}

/// Lets cargo compile the user's crates, and returns those that run in a worker; `None` if it fails.
fn build(here: &Installation, folder: &Path, record: &Path) -> anyhow::Result<Option<Vec<Crate>>> {
    let toolchain = &here.tools.toolchain;
    let wrapper = link(folder, &std::env::current_exe()?)?;
    // Kept between sessions; cargo's lock admits one session at a time.
    let target = here.template.user_crates()?;
    cache::check(&target).with_context(|| {
        format!(
            "crates of `:dep` are compiled in {}, which cannot be written; set BENCHBOOK_CACHE to a folder that can \
             and restart the kernel",
            target.display()
        )
    })?;
    // Ending cargo does not end the compilers that it started.
    // SAFETY: no other thread runs yet.
    unsafe { benchbook_guard::split() }?;
    let mut command = answers::real(here, "cargo");
    configuration::keep_out(&mut command, toolchain, &FLAGS);
    let (linker, program) = configuration::linker(toolchain);
    let mut cargo = command
        .args(["build", "--profile", configuration::PROFILE, "--target", toolchain.host()])
        .args(["--message-format=json-render-diagnostics", "--target-dir"])
        .arg(&target)
        .current_dir(folder)
        .env(linker, program)
        .env("RUSTC_WRAPPER", wrapper)
        .env("CARGO_BUILD_BUILD_DIR", &target)
        .env(RECORD, record)
        .env(TEMPLATE, &here.template.folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let compiled = target.join(toolchain.host());
    let manifest = folder.join("Cargo.toml");
    let messages = cargo.stdout.take();
    let reader = thread::spawn(move || {
        messages.map_or_else(Vec::new, |messages| crates(messages, &compiled, &manifest))
    });
    if let Some(messages) = cargo.stderr.take() {
        progress::follow(messages)?;
    }
    let crates = reader.join().unwrap_or_default();
    Ok(cargo.wait()?.success().then_some(crates))
}

/// The crates in cargo's messages, except the one with this manifest.
fn crates(messages: impl Read, compiled: &Path, manifest: &Path) -> Vec<Crate> {
    let lines = BufReader::new(messages).lines().map_while(Result::ok);
    let messages = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let others = messages
        .filter(|message| message["manifest_path"].as_str().map(Path::new) != Some(manifest));
    others.filter_map(|message| Crate::of(&message, compiled)).collect()
}

fn manifest(wanted: &toml::Table) -> String {
    let mut package = toml::Table::new();
    package.insert("name".into(), PACKAGE.into());
    package.insert("version".into(), "1.0.0".into());
    package.insert("edition".into(), "2024".into());
    let mut library = toml::Table::new();
    library.insert("path".into(), "lib.rs".into());
    let mut manifest = toml::Table::new();
    manifest.insert("package".into(), package.into());
    manifest.insert("lib".into(), library.into());
    manifest.insert("profile".into(), configuration::profile().into());
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

/// Runs as `WRAPPER rustc arguments…`, called by cargo: records the externs and search paths of the
/// empty crate, then runs rustc.
pub(super) fn wrap(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let (rustc, arguments) =
        arguments.split_first().ok_or_else(|| anyhow::anyhow!("no compiler was named"))?;
    let record = std::env::var_os(RECORD).map(PathBuf::from);
    let compiled = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = record.as_deref().and_then(Path::parent);
    let mut command = Command::new(rustc);
    command.args(arguments);
    if own.is_some() && compiled.as_deref() == own {
        let mut bytes = Vec::new();
        for pair in arguments.windows(2).filter(|pair| pair[0] == "--extern" || pair[0] == "-L") {
            if pair[1] == OsStr::new("proc_macro") {
                continue;
            }
            // cargo starts a crate before the code of its dependencies exists and passes their
            // `.rmeta`; a cell is linked after cargo has ended, when the `.rlib` beside it exists.
            let value = pair[1].as_bytes();
            let code = value.strip_suffix(b".rmeta").map(|name| [name, b".rlib"].concat());
            for word in [pair[0].as_bytes(), code.as_deref().unwrap_or(value)] {
                bytes.extend_from_slice(word);
                bytes.push(0);
            }
        }
        fs::write(record.unwrap_or_default(), bytes)?;
    } else if compiled.is_some_and(|folder| is_edited(&folder)) {
        // An edited crate's types are different types even if their names are the same: a variable
        // of an earlier version must not be read with the new layout.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        command.arg(format!("-Cmetadata={time:x}"));
    }
    Err(command.exec().into())
}

/// Whether a crate's files may be edited, i.e. are not in cargo's folder of downloads.
fn is_edited(folder: &Path) -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(dirs::home_dir()?.join(".cargo")));
    !home.is_some_and(|home| folder.starts_with(home))
}
