//! How much of the machine the session uses.

use crate::evaluator::GpuMemory;
use crate::wire::{UsageReply, VirtualMemory};
use jupyter_protocol::ReplyStatus;
use std::collections::HashSet;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Measures CPU and memory use. CPU use is measured between two calls.
pub(crate) struct Meter {
    system: System,
    measured: bool,
}

impl Meter {
    pub(crate) fn new() -> Self {
        // Otherwise sysinfo keeps a file of every process of the machine open between measurements.
        sysinfo::set_open_files_limit(0);
        Self { system: System::new(), measured: false }
    }

    /// The use by this process and its descendants, and by the whole machine.
    pub(crate) fn measure(&mut self, gpu: Option<GpuMemory>) -> UsageReply {
        self.system.refresh_memory();
        self.system.refresh_cpu_usage();
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks(),
        );
        let own = family(&self.system, Pid::from_u32(std::process::id()));
        let processes = || own.iter().filter_map(|pid| self.system.process(*pid));
        let total = self.system.total_memory();
        let available = self.system.available_memory();
        let measured_before = std::mem::replace(&mut self.measured, true);
        UsageReply {
            status: ReplyStatus::Ok,
            hostname: System::host_name().unwrap_or_default(),
            pid: std::process::id(),
            kernel_cpu: processes().map(sysinfo::Process::cpu_usage).sum(),
            kernel_memory: processes().map(memory).sum(),
            host_cpu_percent: measured_before.then(|| self.system.global_cpu_usage()),
            cpu_count: self.system.cpus().len(),
            host_virtual_memory: VirtualMemory {
                total,
                available,
                percent: 100.0 * total.saturating_sub(available) as f64 / total.max(1) as f64,
                used: self.system.used_memory(),
                free: self.system.free_memory(),
            },
            gpu_memory: gpu.map(|memory| memory.used),
            gpu_memory_total: gpu.map(|memory| memory.total),
        }
    }
}

/// A process and its descendants.
fn family(system: &System, eldest: Pid) -> HashSet<Pid> {
    let mut family = HashSet::from([eldest]);
    loop {
        let before = family.len();
        let children = system.processes().iter().filter_map(|(pid, process)| {
            process.parent().is_some_and(|parent| family.contains(&parent)).then_some(*pid)
        });
        let children: Vec<Pid> = children.collect();
        family.extend(children);
        if family.len() == before {
            return family;
        }
    }
}

/// A process's memory in bytes: its proportional share (PSS) if the system reports it, as in
/// psutil, so that libraries shared by several processes count once.
fn memory(process: &sysinfo::Process) -> u64 {
    let share = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid()));
    let kibibytes = share.ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    kibibytes.map_or_else(|| process.memory(), |kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_plausible() {
        let mut meter = Meter::new();
        let ballast = std::hint::black_box(vec![1_u8; 64 << 20]);
        let first = meter.measure(None);
        assert_eq!(first.pid, std::process::id());
        assert!(first.kernel_memory > ballast.len() as u64);
        assert!(first.kernel_memory < first.host_virtual_memory.total);
        assert_eq!(first.host_cpu_percent, None, "nothing to compare with yet");
        assert_eq!(first.cpu_count, std::thread::available_parallelism().unwrap().get());
        let second = meter.measure(Some(GpuMemory { used: 1, total: 2 }));
        assert!(second.host_cpu_percent.is_some());
        assert_eq!((second.gpu_memory, second.gpu_memory_total), (Some(1), Some(2)));
    }

    #[test]
    fn the_memory_of_children_counts() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut meter = Meter::new();
        meter.measure(None);
        let own = Pid::from_u32(std::process::id());
        assert!(family(&meter.system, own).contains(&Pid::from_u32(child.id())));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
