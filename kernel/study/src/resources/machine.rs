//! Counters of the whole machine, from `/proc`.

use super::processes::ticks;
use std::fs;

/// Monotonic counters, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Machine {
    /// Processor time of all processes on the cores that this process may use.
    pub(super) busy: f64,
    /// Time that a virtual machine's host took from these cores.
    pub(super) stolen: f64,
    /// Time in which a runnable task waited for a core (pressure stall information); `None` if the system does not
    /// report it.
    pub(super) stalled: Option<f64>,
}

impl Machine {
    /// Reads the counters; `None` if the system does not report them.
    pub(super) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let pressure = fs::read_to_string("/proc/pressure/cpu").ok();
        Some(Self { stalled: pressure.as_deref().and_then(stalled), ..of_cores(&stat, &cores()) })
    }
}

/// The cores that this process may use (sched_getaffinity(2)), by number.
pub(crate) fn cores() -> Vec<usize> {
    // SAFETY: the set is a plain array of bits, which the call fills.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) != 0 {
            return Vec::new();
        }
        (0..libc::CPU_SETSIZE as usize).filter(|core| libc::CPU_ISSET(*core, &set)).collect()
    }
}

/// The current mean clock of the cores that this process may use, in MHz; `None` if the kernel does not report it, as in
/// most virtual machines.
pub(super) fn megahertz() -> Option<f64> {
    let cores = cores();
    let clock = |core: &usize| of_core(*core, "scaling_cur_freq")?.parse::<f64>().ok();
    let clocks = cores.iter().map(clock).collect::<Option<Vec<f64>>>()?;
    // The files hold kHz.
    (!clocks.is_empty()).then(|| clocks.iter().sum::<f64>() / clocks.len() as f64 / 1e3)
}

/// What chooses the clock of the first core that this process may use, for example `performance`.
pub(crate) fn governor() -> Option<String> {
    of_core(*cores().first()?, "scaling_governor")
}

/// A file of <https://docs.kernel.org/admin-guide/pm/cpufreq.html>.
fn of_core(core: usize, name: &str) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu{core}/cpufreq/{name}");
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Busy and stolen time of some cores, from the lines `cpuN user nice system idle iowait irq softirq steal …`
/// (proc_stat(5)).
fn of_cores(stat: &str, cores: &[usize]) -> Machine {
    let mut sum = Machine::default();
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let core = words.next().and_then(|name| name.strip_prefix("cpu")?.parse().ok());
        if core.is_none_or(|core| !cores.contains(&core)) {
            continue;
        }
        let counts: Vec<f64> = words.map(|word| word.parse().unwrap_or(0.0)).collect();
        let at = |index: usize| counts.get(index).copied().unwrap_or(0.0) / ticks();
        sum.busy += [0, 1, 2, 5, 6].into_iter().map(at).sum::<f64>();
        sum.stolen += at(7);
    }
    sum
}

/// The total of the line `some avg10=… total=MICROSECONDS`.
fn stalled(pressure: &str) -> Option<f64> {
    let line = pressure.lines().find(|line| line.starts_with("some"))?;
    let (_, total) = line.rsplit_once("total=")?;
    total.parse::<f64>().ok().map(|microseconds| microseconds / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_those_of_the_cores_that_may_be_used() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 10 20 900 50 3 7 40 0 0\n\
                    cpu1 5 0 0 0 0 0 0 0 0 0\ncpu2 500 0 0 0 0 0 0 1 0 0\nintr 5";
        let found = of_cores(stat, &[0, 1]);
        assert_eq!((found.busy * ticks()).round(), 145.0);
        assert_eq!((found.stolen * ticks()).round(), 40.0);
        let pressure = "some avg10=1.00 avg60=2.00 avg300=3.00 total=1500000\nfull avg10=0 total=2";
        assert_eq!(stalled(pressure), Some(1.5));
    }
}
