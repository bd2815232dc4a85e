//! Variables whose types were defined anew.
//!
//! Such a variable must not be read, since the compiler takes the old type and the new one for the same. The
//! server compares the definitions (`evaluate/items.rs`) and notes the variables here. The cell then finds
//! another type in the store than it expects, which has the helper library name the variable and evcxr forget
//! it. If the cell binds the variable anew, the old value is left alone until the new one replaces it.

use super::{read_json, write_json};
use crate::evcxr_contract::{Handling, handled, vain_check};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::Path;

/// The note, in the crate's folder.
pub const OUTDATED: &str = "outdated";

/// A variable whose type was defined anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
pub fn write(folder: &Path, variables: &Vec<Outdated>) -> std::io::Result<()> {
    write_json(&folder.join(OUTDATED), variables)
}

/// The source that reads none of the variables that the server has noted.
pub(super) fn without_outdated(source: String) -> String {
    without(source, &read_json::<Vec<Outdated>>(OUTDATED.as_ref()))
}

fn without(source: String, variables: &[Outdated]) -> String {
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
        let text = without(source.clone(), &variables);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], vain_check("x").trim_end());
        assert_eq!(lines[2..4], ["", ""]);
        assert!(source.contains(lines[4]) && source.contains(lines[5]));
        assert_eq!(without(source.clone(), &[]), source);
    }
}
