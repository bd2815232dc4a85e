//! `benchbook install`: builds the template if there is none that fits, and writes the kernelspec.

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

/// What to install, and where.
#[derive(Clone, Debug)]
pub struct Install {
    /// The checkout.
    pub source: PathBuf,
    /// The folder that holds libtorch's `lib` and `include`; found as at run time if not given.
    pub libtorch: Option<PathBuf>,
    /// The environment in which Jupyter finds the kernel; the user's own folder if not given.
    pub prefix: Option<PathBuf>,
    /// Where cargo keeps what it compiles; in the cache if not given.
    pub target: Option<PathBuf>,
}

/// Installs, and returns the template and the kernelspec's folder.
///
/// # Errors
/// Anything that is missing or does not compile, with what to do about it.
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
    // So that sessions use these, and do not have to look for them.
    tools.remember()?;
    let folder = manifest.folder()?;
    let here = match Template::open(&folder) {
        Ok(template) => Installation { template: refresh(template, manifest)?, tools },
        Err(_) => build(&folder, manifest, tools, &libtorch, options.target.as_deref())?,
    };
    // The checkout's own tests compile against it as well, also where this clone had nothing to build.
    if let Some(target) = &options.target {
        link_folder(&libtorch, &std::path::absolute(target)?)?;
    }
    // Also of a template that another version of this program has made.
    names::record(&here)?;
    record(&here.template)?;
    let kernelspec = kernelspec::write(&here.template, options.prefix.as_deref())?;
    Ok((here.template, kernelspec))
}

/// A template that fits but was described from another checkout or with another libtorch.
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
        Err(error) => eprintln!("types of some variables will have to be written down: {error:#}"),
    }
    write_manifest(&here.template)?;
    Ok(here)
}

/// Copies the source, so that a later edit of the checkout does not reach running sessions.
fn copy_source(template: &Template) -> anyhow::Result<()> {
    let checkout = template.manifest.checkout.as_ref().context("a build has a checkout")?;
    for path in template.manifest.sources.keys() {
        let to = template.folder.join("source").join(path);
        fs::create_dir_all(to.parent().context("a source file has a folder")?)?;
        fs::copy(checkout.join(path), &to).with_context(|| path.clone())?;
        if path.starts_with("kernel/") && to.ends_with("Cargo.toml") {
            // Neither tests nor the packages that only they need are in the copy.
            let mut package: toml::Table = fs::read_to_string(&to)?.parse()?;
            if package.remove("dev-dependencies").is_some() {
                fs::write(&to, toml::to_string(&package)?)?;
            }
        }
    }
    // The workspace of the copy has only the packages that were copied.
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

/// Copies of the standard library's source what types in cells depend on. Without the intrinsics of
/// all processors (`std::arch`), which are half of it, and the parts that are only compiled into the
/// library, rust-analyzer takes a third less time and memory. Documentation stays.
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

/// Begins a session to note what each one asks and compiles first. In a process of its own, since
/// it changes the environment.
fn record(template: &Template) -> anyhow::Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .arg("record")
        .arg(&template.folder)
        .stdin(Stdio::null())
        .status()?;
    ensure!(status.success(), "no session can be begun with what was built; the reason is above");
    Ok(())
}

/// A libtorch folder to compile against. It has no CUDA library, and its `libtorch.so` is a linker
/// script: so the helper library asks for nothing that the CPU part lacks, whichever is used here.
/// One path for all libtorchs of a target folder keeps cargo from compiling tch's C++ part again.
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

/// A cell calls libtorch only through the helper library, but rustc names libtorch when it links.
/// Empty libraries of those names satisfy it and are read in no time. The same goes for C++'s, but where
/// crates of the user's own may need it.
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
    // in a dylib unless the linker is told to export them as well.
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
            // Their code is in the helper library, so an `.rlib` would only be one more file to look at. Those of build
            // scripts and procedural macros are compiled for the machine that builds, and no cell asks for them.
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

/// Runs cargo with its progress on standard error, and returns the files that it made or found.
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
