//! Processes that this one has started.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Kills every process that this one has started, and theirs, but those that are spared and what
/// they have started.
pub(super) fn kill_all_but(spared: impl Fn(u32) -> bool) {
    let parents = parents();
    let own = std::process::id();
    let below = |process: u32| {
        let mut process = process;
        // A chain of parents is short; the bound only guards against one that changes meanwhile.
        for _ in 0..64 {
            match parents.get(&process) {
                Some(_) if spared(process) => return false,
                Some(&parent) if parent == own => return true,
                Some(&parent) => process = parent,
                None => return false,
            }
        }
        false
    };
    for process in parents.keys().copied().filter(|process| below(*process)) {
        signal(process, libc::SIGKILL);
    }
}

/// Whether a process runs this program.
pub(super) fn runs(process: u32, program: &Path) -> bool {
    fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|running| running == program)
}

/// Whether a word stands among the arguments of a process.
pub(super) fn has_argument(process: u32, word: &str) -> bool {
    fs::read(format!("/proc/{process}/cmdline"))
        .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
}

/// Sends a signal; a process that is gone is no error.
pub(super) fn signal(process: u32, signal: i32) {
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: a system call without memory.
        unsafe { libc::kill(process, signal) };
    }
}

/// The parent of every process, by `/proc/<process>/stat`: `1234 (name) S 1 …`.
fn parents() -> HashMap<u32, u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|process: u32| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            let after_name = stat.rsplit_once(')')?.1;
            Some((process, after_name.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect()
}
