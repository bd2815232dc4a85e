//! The Python environments of programs: the main environment, and others beside it for conflicting packages.

use super::File;
use crate::error::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python program and its environment.
#[derive(Clone, Copy)]
pub struct Python {
    /// The suffix of the environment's folder; empty for the main environment.
    pub environment: &'static str,
    /// The required packages. The first one is the library, whose version a study may choose.
    pub packages: &'static [&'static str],
    /// The version of the first package, or its beginning, such as `1.13`; `None` for any. The name of a version's environment
    /// contains package and version; the library's own environment is used if it has that version.
    pub version: Option<&'static str>,
    /// The program's files. The first one is the main program.
    pub files: &'static [File],
}

impl Python {
    /// Writes the program's files into a folder.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        for (name, text) in self.files {
            let path = folder.join(name);
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, text))
                .map_err(|source| Error::File { action: "write", path, source })?;
        }
        Ok(())
    }

    /// Finds the Python of the first environment that has the packages.
    ///
    /// # Errors
    /// A message with the searched environments, what is missing, and the command that installs it.
    pub(super) fn find(&self, install: &str) -> Result<PathBuf, String> {
        let own = self.version.map(|version| format!("-{}@{version}", self.packages[0]));
        let names = own.into_iter().chain([self.environment.to_owned()]);
        let searched: Vec<Result<PathBuf, String>> =
            names.map(|name| self.within(&folders(&name))).collect();
        if let Some(found) = searched.iter().find_map(|found| found.as_ref().ok()) {
            return Ok(found.clone());
        }
        let missing: Vec<String> = searched.into_iter().filter_map(Result::err).collect();
        Err(format!("{}; run `{install}`", missing.join(", and ")))
    }

    /// The Python of one environment: the first of these folders that exists.
    fn within(&self, folders: &[PathBuf]) -> Result<PathBuf, String> {
        let mut pythons = folders.iter().map(|folder| folder.join("bin/python"));
        let Some(python) = pythons.find(|python| python.exists()) else {
            let others =
                if folders.len() > 1 { ", nor one in the working folder or above" } else { "" };
            return Err(format!("there is no {}/bin/python{others}", folders[0].display()));
        };
        let versions = versions(&python, self.packages)?;
        let missing: Vec<&str> =
            self.packages.iter().filter(|name| !versions.contains_key(**name)).copied().collect();
        if !missing.is_empty() {
            return Err(format!("{} does not have {}", python.display(), missing.join(" and ")));
        }
        match (self.version, versions.get(self.packages[0])) {
            (Some(wanted), Some(found)) if !is_release_of(found, wanted) => {
                Err(format!("{} has {} {found}", python.display(), self.packages[0]))
            }
            _ => Ok(python),
        }
    }
}

/// The possible folders of an environment: beside `BENCHBOOK_REFERENCES` (the main environment's folder), or else
/// `.venv-references…` in the checkout of the installation (`BENCHBOOK_CHECKOUT`), in the working folder or above it.
pub(super) fn folders(name: &str) -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    if let Some(main) = variable("BENCHBOOK_REFERENCES") {
        let file = main.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return vec![main.with_file_name(file + name)];
    }
    let here = std::env::current_dir().unwrap_or_default();
    let checkout = variable("BENCHBOOK_CHECKOUT").into_iter();
    let above = checkout.chain(here.ancestors().map(Path::to_path_buf));
    above.map(|folder| folder.join(format!(".venv-references{name}"))).collect()
}

/// Whether a version is a release of the wanted one: 1.13.1+cu117 is one of 1.13, and 1.130 is not.
fn is_release_of(version: &str, wanted: &str) -> bool {
    let rest = version.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '+']))
}

/// The versions of the installed packages among `packages`.
fn versions(python: &Path, packages: &[&str]) -> Result<BTreeMap<String, String>, String> {
    // Packages for processors only have their own names on PyPI.
    const PROGRAM: &str = "\
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    for package in (name, f'{name}-cpu'):
        try:
            found.setdefault(name, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            pass
print(json.dumps(found))";
    let mut command = Command::new(python);
    command.args(["-c", PROGRAM]).args(packages);
    command.env_remove("PYTHONPATH").env_remove("LD_LIBRARY_PATH");
    let output = command.output();
    let output = output.map_err(|error| format!("{} cannot be run: {error}", python.display()))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or("no output").to_owned();
        format!("{} does not run ({last})", python.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_release_belongs_to_the_version_that_it_begins_with() {
        for (version, wanted, belongs) in [
            ("1.13.1+cu117", "1.13", true),
            ("2.11.0", "2.11.0", true),
            ("2.11.0+cpu", "2.11.0", true),
            ("1.130", "1.13", false),
            ("2.1.0", "2.11", false),
        ] {
            assert_eq!(is_release_of(version, wanted), belongs, "{version} of {wanted}");
        }
    }

    /// Pythons that are shell scripts.
    #[test]
    fn an_environment_serves_if_it_has_the_packages_in_the_version() {
        let folder = tempfile::tempdir().unwrap();
        let environment = |name: &str, script: &str| {
            let python = folder.path().join(name).join("bin/python");
            std::fs::create_dir_all(python.parent().unwrap()).unwrap();
            std::fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
            folder.path().join(name)
        };
        let old =
            environment("old", r#"echo '{"torch": "1.13.1+cu117", "torchvision": "0.14.1"}'"#);
        let broken = environment("broken", "echo no module encodings >&2; exit 1");
        let python = |version| Python {
            environment: "",
            packages: &["torch", "torchvision"],
            version,
            files: &[],
        };
        let found = |version, folder: &Path| python(version).within(&[folder.to_owned()]);
        assert_eq!(found(Some("1.13"), &old), Ok(old.join("bin/python")));
        assert_eq!(found(None, &old), Ok(old.join("bin/python")));
        assert!(found(Some("2.11"), &old).unwrap_err().ends_with("has torch 1.13.1+cu117"));
        assert!(found(None, &broken).unwrap_err().contains("does not run (no module encodings)"));
        let nowhere = folder.path().join("nowhere");
        let error = found(None, &nowhere).unwrap_err();
        assert!(error.contains("there is no") && error.contains("nowhere/bin/python"), "{error}");
        let empty = environment("empty", "echo '{}'");
        assert!(found(None, &empty).unwrap_err().ends_with("does not have torch and torchvision"));
    }
}
