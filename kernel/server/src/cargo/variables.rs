//! Determines which of the session's variables a cell takes out of the store.
//!
//! evcxr's code around a cell takes every variable of the session and puts it back, and rustc's work for that grows
//! with the session. A variable whose name occurs nowhere else in the file stays in the store instead.
//!
//! A variable whose type was redefined must not be read, since the compiler does not distinguish the earlier type from the
//! new one. The server compares the definitions (`evaluate/items.rs`) and lists the variables here. The cell then
//! finds another type in the store than it expects, so the helper library reports the variable and evcxr drops
//! it. If the cell rebinds the variable, the old value is not touched until the new one replaces it.
//!
//! Removed lines become empty, so that all other lines keep their numbers.

use super::{read_json, write_json};
use crate::diagnostic::Diagnostic;
use crate::evcxr_contract::{BEGIN, END, Handled, Handling, handled, vain_check};
use crate::parsed::words;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// The file of outdated variables, in the crate's folder.
pub const OUTDATED: &str = "outdated";

/// A variable whose type was redefined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outdated {
    /// Its name.
    pub name: String,
    /// Whether the cell rebinds the variable.
    pub rebound: bool,
}

/// Writes the variables for the stand-in.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &Path, variables: &Vec<Outdated>) -> std::io::Result<()> {
    write_json(&folder.join(OUTDATED), variables)
}

/// The source without reads of the variables that the server listed.
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

/// The file of the traits in variables' types, in the crate's folder.
const TRAITS: &str = "traits";

/// Trait paths, by variable and trait name. rust-analyzer writes the trait of a `dyn` by its name
/// alone; the compiler finds the traits of this name.
pub(super) type Traits = BTreeMap<String, BTreeMap<String, String>>;

/// The source with the traits of earlier cells' variables written as paths.
pub(super) fn with_paths(source: String) -> String {
    let traits: Traits = read_json(TRAITS.as_ref());
    // The cell's own variables may have other types.
    match (source.find(BEGIN), source.rfind(END)) {
        _ if traits.is_empty() => source,
        (Some(begin), Some(end)) if begin < end => {
            let (before, after) =
                (named(&source[..begin], &traits), named(&source[end..], &traits));
            format!("{before}{}{after}", &source[begin..end])
        }
        _ => named(&source, &traits),
    }
}

/// Writes the traits of new variables.
///
/// # Errors
/// The file cannot be written.
pub(super) fn note(traits: &Traits) -> std::io::Result<()> {
    let mut known: Traits = read_json(TRAITS.as_ref());
    known.extend(traits.clone());
    write_json(TRAITS.as_ref(), &known)
}

/// Alternative paths for the traits that the compiler does not find in variables' types.
pub(super) fn ways(source: &str, messages: &[u8]) -> Vec<Traits> {
    let mut unknown = BTreeMap::new();
    for fault in Diagnostic::all(messages).filter(|fault| fault.code() == "E0405") {
        let line = fault.primary().and_then(|span| source.lines().nth(span.line_start - 1));
        let variable = line.and_then(handled).map(|known| known.name);
        let Some((variable, name)) = variable.zip(fault.message.split('`').nth(1)) else {
            continue;
        };
        let suggestions = fault.children.iter().flat_map(|child| &child.spans);
        let imports = suggestions.filter_map(|span| span.suggested_replacement.as_deref());
        let paths = imports.filter_map(|text| text.trim().strip_prefix("use ")?.strip_suffix(';'));
        let paths = paths.filter(|path| path.rsplit("::").next() == Some(name));
        let paths: Vec<String> = paths.map(str::to_owned).collect();
        unknown.insert((variable.to_owned(), name.to_owned()), paths);
    }
    let most = unknown.values().map(Vec::len).max().unwrap_or(0);
    let way = |number: usize| {
        let mut traits = Traits::new();
        for ((variable, name), paths) in &unknown {
            let path = paths.get(number).or(paths.last()).cloned();
            traits
                .entry(variable.clone())
                .or_default()
                .extend(path.map(|path| (name.clone(), path)));
        }
        traits
    };
    (0..most).map(way).collect()
}

/// The source with traits in variables' types written as paths.
pub(super) fn named(source: &str, traits: &Traits) -> String {
    let lines = source.split_inclusive('\n').map(|line| {
        let known = handled(line.trim_end_matches('\n')).and_then(|known| traits.get(known.name));
        let Some(known) = known else { return Cow::from(line) };
        let mut line = line.to_owned();
        for (name, path) in known {
            let name = format!("dyn {name}");
            let mut parts = line.split(name.as_str());
            let mut text = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let goes_on = part.starts_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
                text += if goes_on { name.clone() } else { format!("dyn {path}") }.as_str();
                text += part;
            }
            line = text;
        }
        line.into()
    });
    lines.collect()
}

/// The source without the variables that it does not use; `None` if it uses all.
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

/// The source with some of the lines that handle a variable replaced.
fn with_lines<'a>(source: &'a str, other: impl Fn(Handled<'a>) -> Option<Cow<'a, str>>) -> String {
    let lines = source.split_inclusive('\n');
    lines
        .map(|line| handled(line.trim_end_matches('\n')).and_then(&other).unwrap_or(line.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
    fn traits_get_the_paths_that_the_compiler_knows() {
        let put = |name: &str, kind: &str| {
            format!("evcxr_variable_store.put_variable::<{kind}>(stringify!({name}), {name});\n")
        };
        let source = format!(
            "fn f() -> Box<dyn Write>;\n{}{}",
            put("out", "Box<dyn Write + Send>"),
            put("writers", "Vec<dyn Writer>")
        );
        let fault = |line: usize| {
            let span = |text: Option<&str>| {
                json!({ "file_name": "", "line_start": line, "line_end": line, "column_start": 1, "column_end": 2,
                        "is_primary": true, "suggested_replacement": text, "text": [] })
            };
            let imports =
                ["use std::fmt::Write;\n", "use std::io::Write;\n"].map(|text| span(Some(text)));
            let help =
                json!({ "level": "help", "message": "consider importing one", "spans": imports });
            json!({ "level": "error", "message": "cannot find trait `Write` in this scope", "children": [help],
                    "code": { "code": "E0405" }, "spans": [span(None)] })
            .to_string()
        };
        let found = ways(&source, fault(2).as_bytes());
        let kinds = found.iter().map(|traits| named(&source, traits));
        let expected = ["std::fmt::Write", "std::io::Write"]
            .map(|path| source.replace("<dyn Write +", &format!("<dyn {path} +")));
        assert_eq!(kinds.collect::<Vec<_>>(), expected);
        for line in [1, 4] {
            assert_eq!(ways(&source, fault(line).as_bytes()), [], "not the type of a variable");
        }
        let shown = format!("{}{BEGIN}{}{END}{0}", put("out", "A"), put("out", "B"));
        assert_eq!(with_paths(shown.clone()), shown, "nothing is noted");
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
