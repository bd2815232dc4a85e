//! Reads the resources of processes from `/proc`.

use std::fs;

/// The current resources of a process group and of all processes that it has started.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// Processor time of all threads since their start, including children that have been waited for.
    pub(super) cpu_seconds: f64,
    /// Each process's resident memory.
    pub(super) resident: Vec<(u32, u64)>,
}

impl Usage {
    /// The sum over a process group and its descendants, which may have groups of their own, as the ranks of `mpirun`
    /// have; `None` if the group has ended.
    pub(super) fn of_group(group: u32) -> Option<Self> {
        let mut sum: Option<Usage> = None;
        for Process { number, cpu_seconds, resident, .. } in family(group) {
            let sum = sum.get_or_insert_default();
            sum.cpu_seconds += cpu_seconds;
            sum.resident.push((number, resident));
        }
        sum
    }

    /// The processor time of one process, in seconds.
    #[cfg(test)]
    pub(super) fn of_process(process: u32) -> Option<f64> {
        parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
            .map(|process| process.cpu_seconds)
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

/// A process, from its line in `/proc`.
struct Process {
    number: u32,
    parent: u32,
    group: u32,
    cpu_seconds: f64,
    resident: u64,
}

/// The processes of a group and their descendants. A process whose parent has ended is no longer a descendant.
fn family(group: u32) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_process = |name: &str| name.starts_with(|c: char| c.is_ascii_digit());
    let mut others: Vec<Process> = entries
        .flatten()
        .filter(|entry| is_process(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| parse(&fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect();
    let mut family: Vec<Process> =
        others.extract_if(.., |process| process.group == group).collect();
    let mut at = 0;
    while let Some(parent) = family.get(at).map(|process| process.number) {
        family.extend(others.extract_if(.., |process| process.parent == parent));
        at += 1;
    }
    family
}

/// The numbers of the processes of a group and of their descendants.
pub(crate) fn numbers(group: u32) -> Vec<u32> {
    family(group).into_iter().map(|process| process.number).collect()
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

/// One process, from its line (proc_pid_stat(5)). The name in parentheses may hold anything, also parentheses and spaces.
fn parse(stat: &str) -> Option<Process> {
    let number = stat.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // Fields 14 to 17 of the manual: user and system time, own and of waited-for children.
    let counted = field(11)? + field(12)? + field(13)? + field(14)?;
    let cpu_seconds = counted as f64 / ticks();
    let resident = field(21)? * system(libc::_SC_PAGESIZE) as u64;
    let [parent, group] = [1, 2].map(|index| fields.get(index)?.parse().ok());
    Some(Process { number, parent: parent?, group: group?, cpu_seconds, resident })
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
        let Process { number, parent, group, cpu_seconds, resident } = parse(line).unwrap();
        assert_eq!([number, parent, group], [4012, 4000, 4010]);
        assert_eq!(cpu_seconds, 425.0 / ticks());
        assert_eq!(resident, 2048 * system(libc::_SC_PAGESIZE) as u64);
    }

    /// As `mpirun` starts its ranks.
    #[test]
    fn a_child_in_a_group_of_its_own_is_of_the_family() {
        use std::io::Read;
        use std::os::unix::process::CommandExt;
        use std::process::{Command, Stdio};
        // With job control, a shell gives each background process its own group.
        let mut command = Command::new("bash");
        command.args(["-mc", "sleep 1000 & echo $!; wait"]).process_group(0).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let mut text = [0; 16];
        let count = shell.stdout.as_mut().unwrap().read(&mut text).unwrap();
        let child = std::str::from_utf8(&text[..count]).unwrap().trim().parse().unwrap();
        let family = numbers(shell.id());
        // SAFETY: sends a signal to a process of this test's shell, which waits for it.
        unsafe { libc::kill(child as libc::pid_t, libc::SIGKILL) };
        shell.wait().unwrap();
        assert_eq!(family, [shell.id(), child]);
    }
}
