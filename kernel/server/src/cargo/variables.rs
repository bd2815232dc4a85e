//! Which of the session's variables a cell takes out of the store.
//!
//! evcxr's code around a cell takes every variable of the session and puts it back, and what rustc does for that grows
//! with the session. A variable whose name occurs nowhere else in the file stays in the store instead.
//!
//! A variable whose type was defined anew must not be read, since the compiler takes the old type and the new one for
//! the same. The server compares the definitions (`evaluate/items.rs`) and notes the variables here. The cell then
//! finds another type in the store than it expects, which has the helper library name the variable and evcxr forget
//! it. If the cell binds the variable anew, the old value is left alone until the new one replaces it.
//!
//! Lines that are left out become empty, so that all others keep their numbers.

use super::{read_json, write_json};
use crate::evcxr_contract::{Handled, Handling, handled, is_of_store, vain_check};
use crate::parsed::words;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;
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
    with_lines(&source, |known| {
        let found = variables.iter().find(|variable| variable.name == known.name)?;
        match known.handling {
            Handling::Check | Handling::Take if found.rebound => Some("\n".into()),
            Handling::Check => Some(vain_check(known.name).into()),
            _ => None,
        }
    })
}

/// Traits of the standard library that rust-analyzer writes in the type of a `dyn` by their name alone.
const TRAITS: [(&str, &str); 6] = [
    ("Any", "std::any"),
    ("Error", "std::error"),
    ("Debug", "std::fmt"),
    ("Display", "std::fmt"),
    ("Read", "std::io"),
    ("BufRead", "std::io"),
];

/// The source in which the types of variables name these traits by their paths, unless the source has a trait of
/// that name itself.
pub(super) fn with_paths(source: String) -> String {
    if !source.contains("dyn ") {
        return source;
    }
    let traits: Vec<_> = TRAITS
        .iter()
        .filter(|(name, _)| !source.contains(&format!("trait {name}")))
        .map(|(name, module)| (format!("dyn {name}"), format!("dyn {module}::{name}")))
        .collect();
    let path = |line: &str| {
        let mut line = line.to_owned();
        for (name, path) in &traits {
            let parts: Vec<&str> = line.split(name.as_str()).collect();
            let mut text = parts[0].to_owned();
            for part in &parts[1..] {
                let goes_on = part.starts_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
                text += if goes_on { name } else { path };
                text += part;
            }
            line = text;
        }
        line
    };
    let lines = source.split_inclusive('\n');
    lines
        .map(|line| match is_of_store(line) && line.contains("dyn ") {
            true => Cow::from(path(line)),
            false => line.into(),
        })
        .collect()
}

/// The source without the variables that it does not name; `None` if it names all.
pub(super) fn without_unnamed(source: &str) -> Option<String> {
    let mut named = HashSet::new();
    let mut kept = Vec::new();
    for line in source.lines() {
        match handled(line) {
            Some(line) => kept.push(line.name),
            None => named.extend(words(line)),
        }
    }
    if kept.iter().all(|name| named.contains(name)) {
        return None;
    }
    Some(with_lines(source, |known| (!named.contains(known.name)).then_some("\n".into())))
}

/// The source with other lines in the place of some that handle a variable.
fn with_lines<'a>(source: &'a str, other: impl Fn(Handled<'a>) -> Option<Cow<'a, str>>) -> String {
    let lines = source.split_inclusive('\n');
    lines
        .map(|line| handled(line.trim_end_matches('\n')).and_then(&other).unwrap_or(line.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKE: &str =
        "vars_ok &= evcxr_variable_store.check_variable::<Vec<(u8, f32)>>(stringify!(NAME));
let mut NAME = evcxr_variable_store.take_variable::<Vec<(u8, f32)>>(stringify!(NAME));
";
    const PUT: &str =
        "evcxr_variable_store.put_variable::<Vec<(u8, f32)>>(stringify!(NAME), NAME);\n";

    fn cell(names: &[&str], code: &str) -> String {
        let each = |text: &str| names.iter().map(|name| text.replace("NAME", name)).collect();
        let (take, put): (String, String) = (each(TAKE), each(PUT));
        format!("use a;\n{take}{code}\n{put}evcxr_variable_store\n")
    }

    #[test]
    fn what_is_not_named_goes_and_lines_stay() {
        let full = cell(&["b", "c"], "b.len();");
        let less = without_unnamed(&full).unwrap();
        let places = full.lines().zip(less.lines()).map(|(full, less)| (full == less, less));
        for (same, line) in places {
            assert!(same || line.is_empty(), "{line}");
        }
        assert!(less.contains("stringify!(b)") && !less.contains("stringify!(c)"), "{less}");
    }

    #[test]
    fn traits_of_the_standard_library_get_their_paths() {
        let put = |kind: &str| {
            format!("evcxr_variable_store.put_variable::<{kind}>(stringify!(a), a);\n")
        };
        for (kind, path) in [
            (
                "Option<Box<dyn Error + Send + Sync>>",
                "Option<Box<dyn std::error::Error + Send + Sync>>",
            ),
            ("Result<i32, Box<dyn Any + Send>>", "Result<i32, Box<dyn std::any::Any + Send>>"),
            ("Box<dyn Errors>", "Box<dyn Errors>"),
            ("Box<dyn std::error::Error>", "Box<dyn std::error::Error>"),
        ] {
            assert_eq!(with_paths(put(kind)), put(path));
        }
        let own = format!("trait Error {{}}\n{}", put("Box<dyn Error>"));
        assert_eq!(with_paths(own.clone()), own);
        let users = "let a: Box<dyn Error> = f();\n".to_owned();
        assert_eq!(with_paths(users.clone()), users);
    }

    #[test]
    fn names_count_wherever_they_stand() {
        for code in ["x", "f(&x)", "println!(\"{x}\");", "m!(x)", "// x", "r#x"] {
            assert_eq!(without_unnamed(&cell(&["x"], code)), None, "{code}");
        }
        for code in ["", "xx", "\"\"", "x1 + y"] {
            let less = without_unnamed(&cell(&["x"], code)).unwrap();
            assert!(!less.contains("stringify"), "{less}");
        }
    }

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
