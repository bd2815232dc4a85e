//! Leaves out of a cell the variables that it does not name.
//!
//! evcxr's code around a cell takes every variable of the session out of the store and puts it back,
//! and what rustc does for that grows with the session. A variable whose name occurs nowhere else in
//! the file stays in the store instead. Its three lines become empty, so that all others keep their
//! numbers.

use crate::evcxr_contract::handled;
use crate::parsed::words;
use std::collections::HashSet;

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
    let lines =
        source.split_inclusive('\n').map(|line| match handled(line.trim_end_matches('\n')) {
            Some(handled) if !named.contains(handled.name) => "\n",
            _ => line,
        });
    Some(lines.collect())
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
    fn names_count_wherever_they_stand() {
        for code in ["x", "f(&x)", "println!(\"{x}\");", "m!(x)", "// x", "r#x"] {
            assert_eq!(without_unnamed(&cell(&["x"], code)), None, "{code}");
        }
        for code in ["", "xx", "\"\"", "x1 + y"] {
            let less = without_unnamed(&cell(&["x"], code)).unwrap();
            assert!(!less.contains("stringify"), "{less}");
        }
    }
}
