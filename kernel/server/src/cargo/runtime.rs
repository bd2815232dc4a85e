//! tokio's runtime in cells without `.await`.
//!
//! evcxr runs a cell with `.await` in a runtime that it keeps for the session. A cell that only spawns a task has no runtime,
//! so `tokio::spawn` would panic. Such a cell enters the same runtime, in which the task continues during later cells.

use crate::evcxr_contract::{BEGIN, ENTER_TOKIO, TOKIO};
use crate::parsed::words;

/// The source of a cell that may spawn a task, within tokio's runtime; `None` if it needs no
/// runtime or already enters one.
pub(super) fn entered(source: &str) -> Option<String> {
    let spawns = ["spawn", "spawn_blocking", "spawn_local"];
    let mut all = words(source);
    if !all.any(|word| word == "tokio") || source.contains(TOKIO) {
        return None;
    }
    if !words(source).any(|word| spawns.contains(&word)) {
        return None;
    }
    let at = source.find(BEGIN)?;
    Some(format!("{}{ENTER_TOKIO}{}", &source[..at], &source[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cell_that_spawns_and_has_no_runtime_enters_one() {
        let cell = |code: &str| format!("use a;\n{}{code}\n", BEGIN);
        let source = entered(&cell("let task = tokio::spawn(async { 1 });")).unwrap();
        assert_eq!(source.matches('\n').count(), cell("").matches('\n').count());
        assert!(source.contains("enter(); match evcxr_internal_runtime::catch_unwind("));
        for code in [
            "std::thread::spawn(f);",
            "tokio::sync::mpsc::channel(1);",
            "evcxr_tokio_runtime tokio::spawn",
        ] {
            assert_eq!(entered(&cell(code)), None, "{code}");
        }
    }
}
