//! `benchbook clean`: removes the cache folder, the only thing that an uninstalled Benchbook leaves.

use crate::cache;
use anyhow::Context;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Lists the cache's contents and sizes, and removes the cache after a confirmation.
///
/// # Errors
/// A file cannot be removed.
pub fn clean(confirmed: bool) -> anyhow::Result<ExitCode> {
    let named = cache::folder()?;
    if !named.exists() {
        println!("nothing to remove: there is no {}", named.display());
        return Ok(ExitCode::SUCCESS);
    }
    // `remove_dir_all` on a link would only remove the link.
    let folder = named.canonicalize().with_context(|| named.display().to_string())?;
    let mut entries: Vec<_> = fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .flatten()
        .map(|entry| (size(&entry.path()), entry.file_name()))
        .collect();
    entries.sort();
    println!("{}:", folder.display());
    for (bytes, name) in entries.iter().rev() {
        println!("{:>10.1} MB  {}", *bytes as f64 / 1e6, name.to_string_lossy());
    }
    let total: u64 = entries.iter().map(|(bytes, _)| bytes).sum();
    println!("{:>10.1} MB  together", total as f64 / 1e6);
    println!(
        "Kernels that are running may use these files. `benchbook setup` fetches what is needed again."
    );
    if !confirmed && !confirm()? {
        println!("nothing was removed; `benchbook clean --yes` removes it without asking");
        return Ok(ExitCode::FAILURE);
    }
    fs::remove_dir_all(&folder).with_context(|| format!("{} is not removed", folder.display()))?;
    if named.is_symlink() {
        fs::remove_file(&named).with_context(|| format!("{} is not removed", named.display()))?;
    }
    println!("removed {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// The bytes of all files below a path.
fn size(path: &Path) -> u64 {
    let Ok(data) = path.symlink_metadata() else { return 0 };
    if !data.is_dir() {
        return data.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

fn confirm() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("Remove all of it? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
