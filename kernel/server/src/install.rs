//! `benchbook install`: builds the template unless a suitable one exists, and writes the kernelspec.

use crate::cargo::configuration::keep_out;
use crate::cargo::metadata;
use crate::libtorch::Libtorch;
use crate::template::{self, Installation, Manifest, RUSTFLAGS, Template, copy_folder};
use crate::toolchain::Toolchain;
use crate::tools::Tools;
use crate::{cache, kernelspec, names};
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Options of an installation.
#[derive(Clone, Debug)]
pub struct Install {
    /// The checkout of Benchbook.
    pub source: PathBuf,
    /// The folder that holds libtorch's `lib` and `include`; if `None`, searched for as at run time.
    pub libtorch: Option<PathBuf>,
    /// The environment in which Jupyter finds the kernel; if `None`, the user's own folder.
    pub prefix: Option<PathBuf>,
    /// cargo's target folder; if `None`, in the cache.
    pub target: Option<PathBuf>,
}

/// Installs the kernel, and returns the template and the kernelspec's folder.
///
/// # Errors
/// A requirement is missing or does not compile; the message says what to do.
pub fn install(options: &Install) -> anyhow::Result<(Template, PathBuf)> {
    let toolchain = Toolchain::find()?;
    let libtorch = match &options.libtorch {
        Some(folder) => {
            Libtorch::at(&folder.canonicalize().unwrap_or(folder.clone()), "from --libtorch")?
        }
        None => Libtorch::find(None)?,
    };
    let mut manifest = Manifest::of(&options.source, &toolchain.version)?;
    manifest.chosen_libtorch = Some(libtorch.folder.clone());
    let tools = Tools::with(toolchain);
    // Sessions use these tools and need not search.
    tools.remember()?;
    let folder = manifest.folder()?;
    let here = match Template::open(&folder) {
        Ok(template) => Installation { template: refresh(template, manifest)?, tools },
        Err(_) => build(&folder, manifest, tools, &libtorch, options.target.as_deref())?,
    };
    // The checkout's own tests compile against this libtorch too, even if this clone had nothing to build.
    if let Some(target) = &options.target {
        link_folder(&libtorch, &std::path::absolute(target)?)?;
    }
    // Also for a template made by another version of this program.
    names::record(&here)?;
    record(&here.template)?;
    let kernelspec = kernelspec::write(&here.template, options.prefix.as_deref())?;
    Ok((here.template, kernelspec))
}

/// Updates a valid template that was described from another checkout or with another libtorch.
fn refresh(mut template: Template, manifest: Manifest) -> anyhow::Result<Template> {
    if template.manifest != manifest {
        template.manifest = manifest;
        write_manifest(&template)?;
    }
    Ok(template)
}

fn write_manifest(template: &Template) -> anyhow::Result<()> {
    let path = template.folder.join("template.json");
    let partial = template.folder.join("template.json.partial");
    fs::write(&partial, serde_json::to_vec_pretty(&template.manifest)?)?;
    fs::rename(&partial, &path).with_context(|| path.display().to_string())
}

fn build(
    folder: &Path,
    manifest: Manifest,
    tools: Tools,
    libtorch: &Libtorch,
    target: Option<&Path>,
) -> anyhow::Result<Installation> {
    let cache = cache::folder()?;
    fs::create_dir_all(&cache)
        .with_context(|| format!("the cache folder {} cannot be written", cache.display()))?;
    let lock = File::create(cache.join("install.lock"))?;
    if lock.try_lock().is_err() {
        eprintln!("waiting for another `benchbook install` to finish");
        lock.lock()?;
    }
    if let Ok(template) = Template::open(folder) {
        return Ok(Installation { template: refresh(template, manifest)?, tools });
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for name in ["lib", "deps", "stubs/direct", "bin"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let here = Installation { template: Template { folder: folder.into(), manifest }, tools };
    let target = match target {
        Some(target) => std::path::absolute(target)?,
        None => cache.join("build"),
    };
    copy_source(&here.template)?;
    copy_standard_library(&here)?;
    let links = link_folder(libtorch, &target)?;
    stubs(&here.template)?;
    compile(&here, &target, &links)?;
    let recorded = metadata::record(&here)?;
    fs::write(folder.join("metadata.json"), recorded)?;
    match metadata::record_standard_library(&here) {
        Ok(recorded) => fs::write(folder.join(metadata::STANDARD_LIBRARY), recorded)?,
        Err(error) => eprintln!(
            "cannot infer types of some variables: {error:#}; annotate them (`let x: Type = …`)"
        ),
    }
    write_manifest(&here.template)?;
    Ok(here)
}

/// Copies the source, so that later edits of the checkout do not affect running sessions.
fn copy_source(template: &Template) -> anyhow::Result<()> {
    let checkout = template.manifest.checkout.as_ref().context("a build has a checkout")?;
    for path in template.manifest.sources.keys() {
        let to = template.folder.join("source").join(path);
        fs::create_dir_all(to.parent().context("a source file has a folder")?)?;
        fs::copy(checkout.join(path), &to).with_context(|| path.clone())?;
        if path.starts_with("kernel/") && to.ends_with("Cargo.toml") {
            // The copy contains neither tests nor the packages that only tests need.
            let mut package: toml::Table = fs::read_to_string(&to)?.parse()?;
            if package.remove("dev-dependencies").is_some() {
                fs::write(&to, toml::to_string(&package)?)?;
            }
        }
    }
    // The copy's workspace lists only the copied packages.
    let path = template.folder.join("source/Cargo.toml");
    let mut workspace: toml::Table = fs::read_to_string(&path)?.parse()?;
    let members = template::packages(checkout)?.into_iter().map(toml::Value::String).collect();
    let section = workspace.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let section = section.context("the root Cargo.toml has no [workspace]")?;
    section.insert("members".into(), toml::Value::Array(members));
    section.remove("default-members");
    fs::write(&path, toml::to_string(&workspace)?)?;
    Ok(())
}

/// Copies the parts of the standard library's source that types in cells depend on. Without the
/// processor intrinsics (`std::arch`), which are half of it, and internal parts of the library,
/// rust-analyzer takes a third less time and memory. Documentation stays.
fn copy_standard_library(here: &Installation) -> anyhow::Result<()> {
    let from = here.tools.toolchain.source();
    let to = here.template.standard_library();
    for name in metadata::STANDARD_FOLDERS {
        let missing = || {
            format!(
                "{} cannot be copied; `rustup component add rust-src` brings the standard library's source",
                from.join(name).display()
            )
        };
        copy_folder(&from.join(name).join("src"), &to.join(name).join("src"))
            .with_context(missing)?;
        fs::copy(from.join(name).join("Cargo.toml"), to.join(name).join("Cargo.toml"))
            .with_context(missing)?;
    }
    for name in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(from.join(name), to.join(name)).with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// Starts a session to record its first requests and compilations, in a separate process, since a
/// session changes the environment.
fn record(template: &Template) -> anyhow::Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .arg("record")
        .arg(&template.folder)
        .stdin(Stdio::null())
        .status()?;
    ensure!(
        status.success(),
        "cannot start a session from the new template; see the messages above"
    );
    Ok(())
}

/// A libtorch folder to compile against. It has no CUDA library, and its `libtorch.so` is a linker
/// script, so the helper library requires only the CPU part, whichever build is used here. One path
/// for all libtorchs of a target folder prevents cargo from compiling tch's C++ part again.
fn link_folder(from: &Libtorch, target: &Path) -> anyhow::Result<PathBuf> {
    let folder = target.join("libtorch");
    let library = folder.join("lib");
    fs::create_dir_all(&library)?;
    for (link, to) in [
        (folder.join("include"), from.folder.join("include")),
        (library.join("libtorch_cpu.so"), from.libraries().join("libtorch_cpu.so")),
        (library.join("libc10.so"), from.libraries().join("libc10.so")),
    ] {
        if fs::read_link(&link).ok().as_ref() != Some(&to) {
            let _ = fs::remove_file(&link);
            symlink(&to, &link).with_context(|| link.display().to_string())?;
        }
    }
    for (path, text) in [
        (library.join("libtorch.so"), "INPUT(-ltorch_cpu -lc10)\n"),
        (folder.join("build-version"), from.version.as_str()),
    ] {
        if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            fs::write(path, text)?;
        }
    }
    Ok(folder)
}

/// Writes stub libraries. A cell calls libtorch only through the helper library, but rustc passes
/// libtorch to the linker. Empty libraries of those names satisfy the linker and load in no time.
/// The same applies to the C++ libraries, except where the user's crates may need them.
fn stubs(template: &Template) -> anyhow::Result<()> {
    for name in ["torch", "torch_cpu", "c10", "gomp", "direct/stdc++"] {
        let path = Path::new("stubs").join(name);
        let file = path.file_name().unwrap_or_default().display();
        let output = template.folder.join(path.with_file_name(format!("lib{file}.so")));
        let status = Command::new("cc")
            .args(["-shared", "-x", "c", "/dev/null", "-o"])
            .arg(&output)
            .status()
            .context("no C compiler: `cc` does not run")?;
        ensure!(status.success(), "`cc` could not make {}", output.display());
    }
    Ok(())
}

fn compile(here: &Installation, target: &Path, libtorch: &Path) -> anyhow::Result<()> {
    let Installation { template, tools: Tools { toolchain, .. } } = here;
    // tch's generic functions are compiled into cells and call its C functions, which rustc hides
    // in a dylib unless the linker is told to export them.
    let exports = template.folder.join("exports.map");
    fs::write(&exports, "{ global: at*; get_and_reset_last_err; };\n")?;
    let cargo = |package: &str, more: &[&str]| -> anyhow::Result<Vec<PathBuf>> {
        let mut command = Command::new(&toolchain.cargo);
        keep_out(&mut command, toolchain, &[RUSTFLAGS]);
        command
            .args(["rustc", "--profile", "helper", "--message-format=json-render-diagnostics"])
            .args(["--package", package, "--target", toolchain.host(), "--target-dir"])
            .arg(target)
            .args(more)
            .current_dir(template.folder.join("source"))
            .env("LIBTORCH", libtorch)
            .env_remove("LIBTORCH_USE_PYTORCH");
        artifacts(command).with_context(|| format!("package {package} does not compile"))
    };
    let script = format!("link-arg=-Wl,--version-script={}", exports.display());
    let libraries = cargo("benchbook", &["--lib", "--", "-C", &script])?;
    let programs = cargo("benchbook-worker", &[])?;
    let compiled = target.join(toolchain.host());
    let mut helper = None;
    for path in libraries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (folder, name) = match path.extension().and_then(|extension| extension.to_str()) {
            Some("so") if name == "libbenchbook.so" => {
                helper = Some(());
                ("lib", name)
            }
            // Procedural macros.
            Some("so") => ("deps", name),
            // The code of these crates is in the helper library, so an `.rlib` would only be one
            // more file to read. Crates of build scripts and procedural macros are compiled for the
            // build machine and not used by cells.
            Some("rmeta") if path.starts_with(&compiled) => ("deps", name),
            _ => continue,
        };
        let to = template.folder.join(folder).join(name);
        fs::copy(&path, &to).with_context(|| path.display().to_string())?;
    }
    helper.context("cargo built no libbenchbook.so")?;
    let worker = programs.iter().find(|path| path.ends_with("benchbook-worker"));
    let worker = worker.context("cargo built no benchbook-worker")?;
    fs::copy(worker, template.worker())?;
    Ok(())
}

/// Runs cargo with its progress on standard error, and returns the files that it built or reused.
fn artifacts(mut command: Command) -> anyhow::Result<Vec<PathBuf>> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo does not run")?;
    let output = child.stdout.take().context("cargo's output is not there")?;
    let mut files = Vec::new();
    for line in BufReader::new(output).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        if message["reason"] == "compiler-artifact" {
            let names = message["filenames"].as_array().into_iter().flatten();
            files.extend(names.filter_map(Value::as_str).map(PathBuf::from));
            files.extend(message["executable"].as_str().map(PathBuf::from));
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo failed ({status}); its messages are above");
    }
    Ok(files)
}
