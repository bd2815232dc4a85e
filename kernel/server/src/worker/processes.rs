//! The processes that this process has started.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Kills all descendants of this process, except the spared ones and their descendants. Guards end
/// by themselves, after they have ended their own descendants.
pub(super) fn kill_all_but(spared: impl Fn(u32) -> bool) {
    let parents = parents();
    let own = std::process::id();
    let below = |process: u32| {
        let mut process = process;
        // A chain of parents is short; the bound only guards against changes during the walk.
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
    for process in parents.keys().copied().filter(|process| below(*process) && !is_guard(*process))
    {
        signal(process, libc::SIGKILL);
    }
}

fn is_guard(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/comm"))
        .is_ok_and(|name| name.trim_end() == benchbook_guard::NAME)
}

/// Interrupts a worker and the processes of its cells, as a terminal does; continues a stopped worker first.
pub(super) fn interrupt(worker: u32) {
    signal(worker, libc::SIGCONT);
    let Ok(group) = i32::try_from(worker) else { return };
    // SAFETY: a system call without memory.
    if unsafe { libc::killpg(group, libc::SIGINT) } < 0 {
        // The cell moved the worker out of its group.
        signal(worker, libc::SIGINT);
    }
}

/// Kills a worker and waits until its guard has ended all descendants, for at most two seconds.
pub(super) fn end_guarded(worker: u32) {
    let guard = parents().get(&worker).copied();
    signal(worker, libc::SIGKILL);
    let Some(guard) = guard.filter(|guard| is_guard(*guard)) else { return };
    let _ = (0..8).any(|_| ends_soon(guard));
}

/// Whether a process has ended or ends within a quarter of a second.
pub(super) fn ends_soon(process: u32) -> bool {
    (0..50).any(|_| {
        let ended = has_ended(process);
        if !ended {
            thread::sleep(Duration::from_millis(5));
        }
        ended
    })
}

/// Whether a process does not exist or is a zombie.
fn has_ended(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    matches!(state, None | Some("Z" | "X"))
}

/// Whether a process runs this program.
pub(super) fn runs(process: u32, program: &Path) -> bool {
    fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|running| running == program)
}

/// Whether a process has this argument.
pub(super) fn has_argument(process: u32, word: &str) -> bool {
    fs::read(format!("/proc/{process}/cmdline"))
        .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
}

/// Sends a signal; ignores processes that no longer exist.
pub(super) fn signal(process: u32, signal: i32) {
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: a system call without memory.
        unsafe { libc::kill(process, signal) };
    }
}

/// The parent of every process, from `/proc/<process>/stat`: `1234 (name) S 1 …`.
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
