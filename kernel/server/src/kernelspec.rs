//! The kernelspec, with which Jupyter finds the kernel.

use crate::template::Template;
use crate::toolchain::on_path;
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The kernel's name in Jupyter.
pub const NAME: &str = "benchbook";

/// The kernel's logos in front ends.
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

/// Writes `kernel.json` below `prefix` (an environment), or to the user's own kernels.
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
    for (name, content) in LOGOS {
        fs::write(folder.join(name), content).with_context(|| text(&folder))?;
    }
    fs::write(folder.join("kernel.json"), serde_json::to_vec_pretty(&spec)?)
        .with_context(|| text(&folder))?;
    Ok(folder)
}

/// The kernelspec's folder, whether it exists or not.
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

/// The kernelspec's folder and the template that it uses. With `prefix`, only there; else in
/// Jupyter's order: the Python that called this program, the wheel that contains it,
/// `JUPYTER_PATH`, the active environment, the checkout that it was built in, the user's folder,
/// the Python on PATH, and the system. The current folder does not matter.
pub fn find(prefix: Option<&Path>) -> Option<(PathBuf, PathBuf)> {
    let environment = |variable| std::env::var_os(variable).map(PathBuf::from);
    let of_program = |program: &Path| Some(program.parent()?.parent()?.to_path_buf());
    let named = |prefix: PathBuf| folder(Some(&prefix)).ok();
    let folders: Vec<PathBuf> = match prefix {
        Some(prefix) => named(prefix.to_path_buf()).into_iter().collect(),
        None => {
            let python = environment("BENCHBOOK_PYTHON").as_deref().and_then(of_program);
            let before = [python, wheel_prefix()];
            let after =
                [environment("VIRTUAL_ENV"), environment("CONDA_PREFIX"), checkout_prefix()];
            let on_path = ["python3", "python", "jupyter"].map(|name| of_program(&on_path(name)?));
            let system = ["/usr/local", "/usr"].map(|prefix| Some(PathBuf::from(prefix)));
            let paths = std::env::var_os("JUPYTER_PATH").unwrap_or_default();
            let paths = std::env::split_paths(&paths).filter(|path| path.is_absolute());
            let named =
                |prefixes: Vec<Option<PathBuf>>| prefixes.into_iter().flatten().filter_map(named);
            named(before.into())
                .chain(paths.map(|path| path.join("kernels").join(NAME)))
                .chain(named(after.into()))
                .chain(folder(None).ok())
                .chain(named(on_path.into()))
                .chain(named(system.into()))
                .collect()
        }
    };
    folders.into_iter().find_map(|folder| {
        let text = fs::read_to_string(folder.join("kernel.json")).ok()?;
        let spec: serde_json::Value = serde_json::from_str(&text).ok()?;
        let words = spec["argv"].as_array()?;
        let template = match words.iter().position(|word| word == "--template") {
            Some(at) => PathBuf::from(words.get(at + 1)?.as_str()?),
            None => {
                let program = words.first()?.as_str()?.replace("{resource_dir}", folder.to_str()?);
                Path::new(&program).parent()?.parent()?.join("template")
            }
        };
        Some((folder, template))
    })
}

/// The environment of the checkout that contains this program in `target/release`.
fn checkout_prefix() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.canonicalize().ok()?;
    let target = program.parent()?.parent()?;
    Some(target.parent()?.join(".venv")).filter(|_| target.ends_with("target"))
}

/// The wheel's folder of server and template, relative to the environment.
const WHEEL: &str = "share/benchbook";

/// The environment into which this program's wheel was installed; `None` for a program built in a checkout.
pub fn wheel_prefix() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?.parent()?;
    if !folder.ends_with(WHEEL) {
        return None;
    }
    folder.ancestors().nth(2).map(Path::to_path_buf)
}

/// The template of this program's wheel.
pub fn wheel_template() -> Option<PathBuf> {
    Some(wheel_prefix()?.join(WHEEL).join("template"))
}
