//! Variables whose types were defined anew.
//!
//! Such a variable must not be read, since the compiler takes the old type and the new one for the same. The
//! server compares the definitions (`evaluate/items.rs`) and notes the variables here. The cell then finds
//! another type in the store than it expects, which has the helper library name the variable and evcxr forget
//! it. If the cell binds the variable anew, the old value is left alone until the new one replaces it.

use crate::evcxr_contract::{Handling, handled, vain_check};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// The note, in the crate's folder.
pub const OUTDATED: &str = "outdated";

/// A variable whose type was defined anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    /// Its name.
    pub name: String,
    /// Whether the cell binds it anew.
    pub rebound: bool,
}

/// Notes the variables for the stand-in.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &Path, variables: &[Outdated]) -> std::io::Result<()> {
    let path = folder.join(OUTDATED);
    if variables.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let line = |variable: &Outdated| format!("{} {}\n", variable.name, variable.rebound);
    fs::write(path, variables.iter().map(line).collect::<String>())
}

pub(super) fn read() -> Vec<Outdated> {
    let text = fs::read_to_string(OUTDATED).unwrap_or_default();
    let entry = |line: &str| {
        let (name, rebound) = line.split_once(' ')?;
        Some(Outdated { name: name.into(), rebound: rebound == "true" })
    };
    text.lines().filter_map(entry).collect()
}

/// The source that reads none of the variables.
pub(super) fn without_outdated(source: String, variables: &[Outdated]) -> String {
    if variables.is_empty() {
        return source;
    }
    let lines = source.split_inclusive('\n').map(|line| {
        let Some(known) = handled(line.trim_end_matches('\n')) else { return line.into() };
        let found = variables.iter().find(|variable| variable.name == known.name);
        match (found, known.handling) {
            (Some(Outdated { rebound: true, .. }), Handling::Check | Handling::Take) => "\n".into(),
            (Some(_), Handling::Check) => Cow::Owned(vain_check(known.name)),
            _ => Cow::Borrowed(line),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_checked_in_vain_or_left_alone() {
        let check = |name| {
            format!("vars_ok &= evcxr_variable_store.check_variable::<A>(stringify!({name}));\n")
        };
        let take = |name| {
            format!("let {name} = evcxr_variable_store.take_variable::<A>(stringify!({name}));\n")
        };
        let source: String = ["x", "y", "z"].map(|name| check(name) + &take(name)).concat();
        let variables = [
            Outdated { name: "x".into(), rebound: false },
            Outdated { name: "y".into(), rebound: true },
        ];
        let text = without_outdated(source.clone(), &variables);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], vain_check("x").trim_end());
        assert_eq!(lines[2..4], ["", ""]);
        assert!(source.contains(lines[4]) && source.contains(lines[5]));
        assert_eq!(without_outdated(source.clone(), &[]), source);
    }
}
