//! Peak memory of a run.

use super::PeakMemory;

/// Resets the process's peak to the memory in use now.
pub(crate) fn reset() -> PeakMemory {
    // 5 resets VmHWM (proc_pid_clear_refs(5)).
    let host_reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    PeakMemory {
        host_bytes: None,
        host_reset,
        host_before_bytes: status("VmRSS:"),
        device_bytes: None,
    }
}

/// The peak since [`reset`] returned `since`.
pub(crate) fn now(since: &PeakMemory) -> PeakMemory {
    PeakMemory { host_bytes: status("VmHWM:"), ..since.clone() }
}

/// A field of `/proc/self/status`, converted from kibibytes to bytes.
fn status(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}
