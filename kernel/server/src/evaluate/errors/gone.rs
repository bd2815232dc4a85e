//! Explains why variables are gone, and what to do.

use crate::names::Names;

/// A variable was moved in a cell that succeeded.
pub(in crate::evaluate) fn moved(name: &str, kind: &str, count: u64, names: &Names) -> String {
    format!("`{name}` was moved away in cell {count}; {}", instead(name, kind, names, " there"))
}

/// Alternatives to moving a value of this type.
pub(super) fn instead(name: &str, kind: &str, names: &Names, place: &str) -> String {
    let copy = if kind.rsplit("::").next() == Some("Tensor") {
        format!(", or `{name}.shallow_clone()`")
    } else if !kind.is_empty() && names.have(kind, "clone") {
        format!(", or a copy, `{name}.clone()`")
    } else {
        String::new()
    };
    format!("pass a reference{place}, `&{name}`{copy}")
}

/// A variable was moved in a cell that failed afterwards.
pub(in crate::evaluate) fn lost(name: &str, count: u64) -> String {
    format!("`{name}` was lost in cell {count}, which had moved it when it failed; define it again")
}

/// A cell failed before its new variable was stored.
pub(in crate::evaluate) fn not_kept_by(name: &str, count: u64) -> String {
    format!(
        "cell {count} failed before it could keep its variable `{name}`; correct that cell and run it again"
    )
}
