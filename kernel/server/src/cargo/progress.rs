//! Reports the current work of a build to the server, which shows it in the cell if it takes long.

use super::CRATE;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

/// The progress file, in the crate's folder.
pub const PROGRESS: &str = "progress";

/// Records the current step.
pub(super) fn note(what: &str) {
    if let Some(folder) = std::env::var_os(CRATE) {
        // If the file cannot be written, the server shows the previous step, or nothing.
        let _ = fs::write(Path::new(&folder).join(PROGRESS), what);
    }
}

/// Copies cargo's messages to standard error, and records the crate that is being compiled or downloaded.
pub(super) fn follow(messages: impl Read) -> io::Result<()> {
    let mut compiled = 0_usize;
    for line in BufReader::new(messages).split(b'\n') {
        let mut line = line?;
        if let Some(what) = std::str::from_utf8(&line).ok().and_then(step) {
            compiled += usize::from(what.starts_with("Compiling"));
            let before = match compiled {
                0 | 1 => String::new(),
                more => format!(" ({} crates before it)", more - 1),
            };
            note(&format!("{what}{before}"));
        }
        line.push(b'\n');
        io::stderr().write_all(&line)?;
    }
    Ok(())
}

/// The user-relevant part of a line such as `   Compiling libc v0.2.1 (/path)`.
fn step(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let verb = words.next()?;
    match verb {
        "Compiling" | "Downloaded" | "Checking" => {
            let name = words.next()?;
            // The crate with the user's dependencies, and the cell's own.
            if ["dependencies", "ctx"].contains(&name) {
                return None;
            }
            let version = words.next().filter(|word| word.starts_with('v')).unwrap_or_default();
            Some(format!("{verb} {name} {version}").trim_end().to_owned())
        }
        "Updating" | "Downloading" | "Locking" | "Blocking" => Some(line.trim().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_cargo_are_told_and_other_lines_are_not() {
        let steps = [
            ("   Compiling libc v0.2.1", Some("Compiling libc v0.2.1")),
            ("   Compiling tally v0.1.0 (/home/me/tally)", Some("Compiling tally v0.1.0")),
            ("    Updating crates.io index", Some("Updating crates.io index")),
            ("   Compiling dependencies v1.0.0 (/tmp/x)", None),
            ("error: no matching package named `x` found", None),
            ("", None),
        ];
        for (line, expected) in steps {
            assert_eq!(step(line).as_deref(), expected, "{line}");
        }
    }
}
