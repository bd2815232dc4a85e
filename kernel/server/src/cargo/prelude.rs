//! The first cells of every session, compiled once at installation.
//!
//! evcxr runs a cell when it starts, and the kernel's prelude follows. Each compiled cell is stored under a name made of
//! everything that it depends on: the compiler's arguments and the source, byte for byte, in a
//! template for one compiler and one helper library. All other cells are compiled.

use super::answers::{self, Places};
use crate::template::{Installation, Template, hex};
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;

/// The template's folder of compiled cells.
const FOLDER: &str = "cells";

/// The key of a cell among the recorded ones.
pub(super) fn name(here: &Installation, arguments: &[OsString], source: &str) -> Option<String> {
    let places = Places::of(here)?;
    let mut hash = Sha256::new();
    for word in arguments {
        hash.update(places.take_out(word.to_str()?));
        hash.update([0]);
    }
    for line in in_order(source) {
        hash.update(line);
        hash.update("\n");
    }
    Some(hex(hash.finalize())[..32].to_owned())
}

/// The lines, with imports sorted: evcxr writes imports in random order.
fn in_order(source: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = source.lines().collect();
    let is_import = |line: &str| line.starts_with("use ") && line.ends_with(';');
    let imports: Vec<usize> = (0..lines.len()).filter(|at| is_import(lines[*at])).collect();
    let mut sorted: Vec<&str> = imports.iter().map(|at| lines[*at]).collect();
    sorted.sort_unstable();
    for (at, line) in imports.into_iter().zip(sorted) {
        lines[at] = line;
    }
    lines
}

/// Repeats the compiler's messages and restores the library; `None` if the cell is not recorded.
pub(super) fn repeat(
    template: &Template,
    name: &str,
    library: &Path,
) -> anyhow::Result<Option<u8>> {
    let folder = template.folder.join(FOLDER);
    let Ok(messages) = fs::read(folder.join(name).with_extension("messages")) else {
        return Ok(None);
    };
    let kept = folder.join(name).with_extension("so");
    let status = if kept.exists() { 0 } else { 101 };
    if status == 0 {
        fs::copy(&kept, library).with_context(|| kept.display().to_string())?;
    }
    std::io::stderr().write_all(&messages)?;
    Ok(Some(status))
}

/// Records the compiler's messages and library.
pub(super) fn keep(
    template: &Template,
    name: &str,
    status: u8,
    messages: &[u8],
    library: &Path,
) -> anyhow::Result<()> {
    let path = template.folder.join(FOLDER).join(name);
    if status == 0 {
        answers::keep(&path.with_extension("so"), &fs::read(library)?)?;
    }
    // Written last: this file marks the recording as complete.
    answers::keep(&path.with_extension("messages"), messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_order_of_imports_does_not_matter() {
        let one = "use a;\nuse b::*;\nfn f() {}\ng();";
        assert_eq!(in_order(one), in_order("use b::*;\nuse a;\nfn f() {}\ng();"));
        assert_ne!(in_order(one), in_order("use a;\nuse b::*;\ng();\nfn f() {}"));
        assert_ne!(in_order(one), in_order("use a;\nfn f() {}\nuse b::*;\ng();"));
    }
}
