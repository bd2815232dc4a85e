//! Processes as `/proc` shows them.

use std::fs;

/// What a process group uses now.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// Of all threads since they began, with processes that ended and were waited for.
    pub(super) cpu_seconds: f64,
    /// Each process's resident memory.
    pub(super) resident: Vec<(u32, u64)>,
}

impl Usage {
    /// The sum over a group; `None` if nobody of it is there.
    pub(super) fn of_group(group: u32) -> Option<Self> {
        let mut sum: Option<Usage> = None;
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            let Ok(process) = name.to_string_lossy().parse() else { continue };
            let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some((of, cpu_seconds, resident)) = parse(&text) else { continue };
            if of == group {
                let sum = sum.get_or_insert_default();
                sum.cpu_seconds += cpu_seconds;
                sum.resident.push((process, resident));
            }
        }
        sum
    }

    /// The processor time of one process, in seconds.
    #[cfg(test)]
    pub(super) fn of_process(process: u32) -> Option<f64> {
        parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
            .map(|(_, seconds, _)| seconds)
    }

    /// The sum of the resident memory, in bytes. What processes share counts in each.
    pub(super) fn resident_bytes(&self) -> u64 {
        self.resident.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The memory that the group holds, in bytes: what processes share is divided among them, so that the sum has it
    /// once. The kernel walks all of their pages for it. `None` where it does not tell.
    pub(super) fn proportional_bytes(&self) -> Option<u64> {
        self.resident.iter().map(|(process, _)| proportional(*process)).sum()
    }
}

/// A process's proportional set size (proc_pid_smaps_rollup(5)). One that has ended holds nothing.
fn proportional(process: u32) -> Option<u64> {
    match fs::read_to_string(format!("/proc/{process}/smaps_rollup")) {
        Ok(text) => kibibytes(&text, "Pss:").map(|kibibytes| kibibytes * 1024),
        Err(_) if !fs::exists(format!("/proc/{process}/stat")).unwrap_or(false) => Some(0),
        // ESRCH: it has ended and was not waited for.
        Err(error) => (error.raw_os_error() == Some(libc::ESRCH)).then_some(0),
    }
}

/// The value of a key in a file of `key: value kB` lines.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// The group, the processor time and the resident bytes of one process, from its line (proc_pid_stat(5)). The name in parentheses may
/// hold anything, also parentheses and spaces.
fn parse(stat: &str) -> Option<(u32, f64, u64)> {
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // Fields 14 to 17 of the manual: user and system time, own and of waited-for children.
    let counted = number(11)? + number(12)? + number(13)? + number(14)?;
    let cpu_seconds = counted as f64 / ticks();
    let resident = number(21)? * system(libc::_SC_PAGESIZE) as u64;
    Some((fields.get(2)?.parse().ok()?, cpu_seconds, resident))
}

/// Ticks of the system's counters in a second.
pub(super) fn ticks() -> f64 {
    system(libc::_SC_CLK_TCK)
}

fn system(name: libc::c_int) -> f64 {
    // SAFETY: reads a constant of the system.
    unsafe { libc::sysconf(name) as f64 }
}

/// Sets a process's peak of resident memory back to what it has now, where that is allowed
/// (proc_pid_clear_refs(5)).
pub(super) fn reset_peak(process: u32) {
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// A process's peak of resident memory since the last reset, in bytes.
pub(super) fn peak(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    kibibytes(&text, "VmHWM:").map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        // From a machine, with the name and the interesting fields replaced.
        let line = "4012 (py (x) 3) S 4000 4010 4000 34816 4012 4194304 100 0 0 0 300 100 20 5 20 0 1 0 5 9 2048 18446744073709551615";
        let (group, cpu_seconds, resident) = parse(line).unwrap();
        assert_eq!(group, 4010);
        assert_eq!(cpu_seconds, 425.0 / ticks());
        assert_eq!(resident, 2048 * system(libc::_SC_PAGESIZE) as u64);
    }
}
