//! Handles a user's configuration of evcxr.
//!
//! evcxr reads `evcxr.toml` in the current folder or in its configuration folder when it starts.
//! Its settings (a folder for temporary files, a wrapper of the compiler) would override the
//! session's settings, and a mistake in it would prevent cells from running. So evcxr starts in a
//! folder that only has the session's own file, which sets the optimisation. Its configuration folder
//! is also the session's own, with the parts that `:load_config` may run: dependencies and prelude.

use anyhow::Context;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The sections of `evcxr.toml` that are kept; of `[evcxr]`, only the prelude.
const KEPT: [&str; 2] = ["evcxr", "dependencies"];

/// Copies the parts of `evcxr.toml` that `:load_config` may run into `folder`.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn copy(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let Some(from) = user_folder() else { return Ok(()) };
    for name in ["init.evcxr", "prelude.rs"] {
        if from.join(name).is_file() {
            fs::copy(from.join(name), folder.join(name))
                .with_context(|| from.join(name).display().to_string())?;
        }
    }
    let path = from.join("evcxr.toml");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    match text.parse::<toml::Table>() {
        Ok(table) => fs::write(folder.join("evcxr.toml"), harmless(table).to_string())?,
        Err(error) => tracing::warn!("{} is not used: {error}", path.display()),
    }
    Ok(())
}

/// Calls `start` in `folder`, which holds no `evcxr.toml` of the user.
pub(super) fn without<T>(folder: &Path, start: impl FnOnce() -> T) -> anyhow::Result<T> {
    let here = env::current_dir().context("the current folder is gone")?;
    env::set_current_dir(folder)?;
    let result = start();
    env::set_current_dir(&here).with_context(|| here.display().to_string())?;
    Ok(result)
}

fn user_folder() -> Option<PathBuf> {
    env::var_os(crate::evcxr_contract::FOLDERS[1])
        .map(PathBuf::from)
        .or_else(|| Some(dirs::config_dir()?.join("evcxr")))
}

fn harmless(table: toml::Table) -> toml::Table {
    let mut kept = toml::Table::new();
    for (name, section) in table {
        match (name.as_str(), section) {
            ("evcxr", toml::Value::Table(section)) => {
                let prelude = section.into_iter().filter(|(key, _)| key == "prelude");
                kept.insert(name, prelude.collect::<toml::Table>().into());
            }
            (_, section) if KEPT.contains(&name.as_str()) => {
                kept.insert(name, section);
            }
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_dropped_and_what_load_config_runs_is_kept() {
        let table = "[evcxr]\ntmpdir = \"/x\"\nsccache = \"y\"\nprelude = \"use a;\"\n\
                     [dependencies]\nb = \"1\"\n[other]\nc = 2\n";
        let kept = harmless(table.parse().unwrap());
        let expected = "[evcxr]\nprelude = \"use a;\"\n[dependencies]\nb = \"1\"\n";
        assert_eq!(kept, expected.parse::<toml::Table>().unwrap());
    }
}
