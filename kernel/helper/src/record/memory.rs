//! The most memory that a run used.

use serde::{Deserialize, Serialize};

/// Peaks since the run began, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakMemory {
    /// Resident memory of the process; `None` where the system does not tell.
    pub host_bytes: Option<u64>,
    /// Whether the counter was set back when the run began. If not (Linux permits it for the own
    /// process, some containers do not), `host_bytes` is the peak since the process began.
    pub host_reset: bool,
    /// Resident memory when the run began: the libraries, and what the session held before.
    pub host_before_bytes: Option<u64>,
    /// Memory of the device; `None` where the library does not tell.
    pub device_bytes: Option<u64>,
}

/// Sets the process's peak back to what is in use now.
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

impl PeakMemory {
    /// The peak since [`reset`].
    pub(crate) fn now(&self, device_bytes: Option<u64>) -> Self {
        Self { host_bytes: status("VmHWM:"), device_bytes, ..self.clone() }
    }
}

/// A line of `/proc/self/status` in bytes; the file has kibibytes.
fn status(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}
