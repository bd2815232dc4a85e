//! Measures the resources of a process from outside, phase by phase: memory, processor time, GPU, energy.
//!
//! The parent process measures, so that programs in any language are measured alike. Memory and processor time include
//! the whole process group, and so its loader processes.

pub(crate) mod machine;
pub(crate) mod processes;

use benchbook_nvml::{Device, Nvml};
use machine::Machine;
use processes::{Usage, reset_peak};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The resources of one phase; `None` if the system does not report a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// The measured duration, by a monotonic clock.
    pub seconds: f64,
    /// Processor time of all threads and processes of the run, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Processor time of other processes on the cores that the run may use, in seconds.
    pub others_cpu_seconds: Option<f64>,
    /// Time that a virtual machine's host took from these cores, in seconds.
    pub stolen_seconds: Option<f64>,
    /// Time in which a task on the machine waited for a core, in seconds (pressure stall information). Not limited, since a
    /// run with more threads than cores waits for itself.
    pub stalled_seconds: Option<f64>,
    /// Peak of resident memory, in bytes. Shared memory counts once, unless `shared_in_each`.
    pub host_peak_bytes: Option<u64>,
    /// Mean of the resident memory over the samples, in bytes.
    pub host_mean_bytes: Option<u64>,
    /// Whether shared memory counts in each process, since the system does not report the shares.
    pub shared_in_each: bool,
    /// Peak of the memory in use on the run's GPU by all processes, in bytes.
    pub gpu_peak_bytes: Option<u64>,
    /// Mean utilisation of the run's GPU: the share of time in which it was busy, 0 to 1.
    pub gpu_utilisation: Option<f64>,
    /// Mean clock of the run's cores over the samples, in MHz.
    pub cpu_megahertz: Option<f64>,
    /// Mean clock of the run's GPU over the samples, in MHz.
    pub gpu_megahertz: Option<f64>,
    /// Share of the samples in which heat or power supply throttled the GPU, 0 to 1.
    pub gpu_throttled: Option<f64>,
    /// Energy of the run's GPU, in joules.
    pub gpu_joules: Option<f64>,
    /// Energy of the first processor package, in joules, by RAPL, for all processes.
    pub cpu_joules: Option<f64>,
    /// Number of samples of memory and utilisation.
    pub samples: usize,
}

/// The processor time of other processes, as part of a phase's seconds, above which a phase is disturbed.
pub(crate) const OTHERS_LIMIT: f64 = 0.1;
/// The same limit for time taken by a virtual machine's host.
const STOLEN_LIMIT: f64 = 0.05;
/// The share of samples in which the GPU may be throttled.
const THROTTLED_LIMIT: f64 = 0.05;
/// Seconds below which nothing is a disturbance: counters have ticks of 0.01 s, and a system is never idle.
const LEAST: f64 = 0.2;

impl Resources {
    /// What disturbed the phase; `None` if nothing did. Limits: other processes 10 % of one core, a virtual machine's host 5 %,
    /// each at least 0.2 s; throttling of the GPU 5 % of the samples.
    pub fn disturbance(&self) -> Option<String> {
        let too_much = |taken: Option<f64>, limit: f64| {
            taken.filter(|taken| *taken > LEAST.max(limit * self.seconds))
        };
        let others = too_much(self.others_cpu_seconds, OTHERS_LIMIT)
            .map(|taken| format!("other processes took {taken:.1} s of processor time"));
        let stolen = too_much(self.stolen_seconds, STOLEN_LIMIT)
            .map(|taken| format!("the virtual machine's host took {taken:.1} s of processor time"));
        let throttled = self.gpu_throttled.filter(|share| *share > THROTTLED_LIMIT).map(|share| {
            format!("heat or power supply throttled the GPU {:.0} % of the time", 100.0 * share)
        });
        let found: Vec<String> = others.into_iter().chain(stolen).chain(throttled).collect();
        (!found.is_empty()).then(|| format!("{} in {:.1} s", found.join(", "), self.seconds))
    }
}

/// Measures for one second how many cores are busy: 0 on an idle machine. `None` if the system does not report it.
pub fn busy_cores() -> Option<f64> {
    let (began, before) = (Instant::now(), Machine::now()?);
    std::thread::sleep(Duration::from_secs(1));
    Some((Machine::now()?.busy - before.busy) / began.elapsed().as_secs_f64())
}

/// Measures the phases of a process group.
pub struct Watch {
    group: u32,
    gpu: Option<Device<'static>>,
    phases: BTreeMap<String, Resources>,
    current: Option<Phase>,
    shares: Shares,
}

struct Phase {
    name: String,
    began: Instant,
    cpu_before: Option<f64>,
    machine_before: Option<Machine>,
    gpu_joules_before: Option<f64>,
    cpu_joules_before: Option<f64>,
    host: Series,
    shared_in_each: bool,
    gpu: Series,
    utilisation: Series,
    cpu_megahertz: Series,
    gpu_megahertz: Series,
    throttled: Series,
}

/// The factor by which counting shared memory once reduces the resident memory of several processes. The kernel walks all
/// pages to compute it (20 ms per gigabyte), and the processes may have to wait. So it is computed in at most a hundredth
/// of the time, or a tenth while processes start and end, and the last value is used meanwhile.
#[derive(Default)]
struct Shares {
    part: Option<f64>,
    /// Whether the system reported the value.
    told: bool,
    /// The processes at the last computation.
    of: Vec<u32>,
    /// When it was last computed, and how long that took.
    last: Option<(Instant, Duration)>,
}

impl Shares {
    fn part(&mut self, usage: &Usage) -> f64 {
        let processes: Vec<u32> = usage.resident.iter().map(|(process, _)| *process).collect();
        let pause = if processes == self.of { 100 } else { 10 };
        let began = Instant::now();
        if self.last.is_none_or(|(at, took)| began >= at + pause * took) {
            let once = usage.proportional_bytes();
            self.last = Some((Instant::now(), began.elapsed()));
            self.of = processes;
            self.told = once.is_some();
            self.part = once.map(|once| once as f64 / usage.resident_bytes().max(1) as f64);
        }
        self.part.unwrap_or(1.0)
    }
}

#[derive(Default)]
struct Series {
    sum: f64,
    count: usize,
    peak: f64,
}

impl Series {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
        self.peak = self.peak.max(value);
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    fn peak(&self) -> Option<f64> {
        (self.count > 0).then_some(self.peak)
    }
}

impl Watch {
    /// Measures the process group with the leader `group`, and a GPU by its number in the driver's order
    /// ([`Environment::gpu`](crate::record::Environment::gpu)).
    pub fn new(group: u32, gpu: Option<usize>) -> Self {
        let gpu = gpu.and_then(|number| Nvml::load()?.device(u32::try_from(number).ok()?));
        Self { group, gpu, phases: BTreeMap::new(), current: None, shares: Shares::default() }
    }

    /// Begins a phase, and ends the previous one.
    pub fn begin(&mut self, name: &str) {
        self.end();
        // The shares of another phase do not apply.
        self.shares.of.clear();
        reset_peak(self.group);
        self.current = Some(Phase {
            name: name.to_owned(),
            began: Instant::now(),
            cpu_before: Usage::of_group(self.group).map(|usage| usage.cpu_seconds),
            machine_before: Machine::now(),
            gpu_joules_before: self.gpu.and_then(Device::joules),
            cpu_joules_before: rapl_joules(),
            host: Series::default(),
            shared_in_each: false,
            gpu: Series::default(),
            utilisation: Series::default(),
            cpu_megahertz: Series::default(),
            gpu_megahertz: Series::default(),
            throttled: Series::default(),
        });
        self.sample();
    }

    /// Samples memory and utilisation.
    pub fn sample(&mut self) {
        let Some(phase) = &mut self.current else { return };
        if let Some(usage) = Usage::of_group(self.group) {
            let resident = usage.resident_bytes() as f64;
            // A single process shares no memory with the group.
            let part = if usage.resident.len() < 2 { 1.0 } else { self.shares.part(&usage) };
            phase.host.add(resident * part);
            phase.shared_in_each |= usage.resident.len() > 1 && !self.shares.told;
        }
        if let Some(gpu) = self.gpu {
            if let Some(memory) = gpu.memory() {
                phase.gpu.add(memory.used as f64);
            }
            if let Some(share) = gpu.utilisation() {
                phase.utilisation.add(share);
            }
            if let Some(clock) = gpu.megahertz() {
                phase.gpu_megahertz.add(clock);
            }
            if let Some(throttled) = gpu.is_throttled() {
                phase.throttled.add(f64::from(u8::from(throttled)));
            }
        }
        if let Some(clock) = machine::megahertz() {
            phase.cpu_megahertz.add(clock);
        }
    }

    /// Ends the current phase. A phase that begins again adds to its earlier resources.
    pub fn end(&mut self) {
        let Some(phase) = self.current.take() else { return };
        // Read first, since the process may be about to end.
        let exact = processes::peak(self.group).map(|bytes| bytes as f64);
        let usage = Usage::of_group(self.group);
        let used = |before: Option<f64>, now: Option<f64>| {
            before.zip(now).map(|(before, now)| now - before).filter(|joules| *joules >= 0.0)
        };
        let cpu_seconds = used(phase.cpu_before, usage.map(|usage| usage.cpu_seconds));
        let machine = phase.machine_before.zip(Machine::now());
        let of_machine =
            |of: fn(&Machine) -> f64| machine.map(|(before, now)| of(&now) - of(&before));
        let busy = of_machine(|machine| machine.busy);
        let peak = exact.into_iter().chain(phase.host.peak()).reduce(f64::max);
        let new = Resources {
            seconds: phase.began.elapsed().as_secs_f64(),
            cpu_seconds,
            // The counters are not read at the same time.
            others_cpu_seconds: busy.zip(cpu_seconds).map(|(all, own)| (all - own).max(0.0)),
            stolen_seconds: of_machine(|machine| machine.stolen),
            stalled_seconds: machine.and_then(|(before, now)| Some(now.stalled? - before.stalled?)),
            host_peak_bytes: peak.map(|bytes| bytes as u64),
            host_mean_bytes: phase.host.mean().map(|bytes| bytes as u64),
            shared_in_each: phase.shared_in_each,
            gpu_peak_bytes: phase.gpu.peak().map(|bytes| bytes as u64),
            gpu_utilisation: phase.utilisation.mean(),
            cpu_megahertz: phase.cpu_megahertz.mean(),
            gpu_megahertz: phase.gpu_megahertz.mean(),
            gpu_throttled: phase.throttled.mean(),
            gpu_joules: used(phase.gpu_joules_before, self.gpu.and_then(Device::joules)),
            cpu_joules: used(phase.cpu_joules_before, rapl_joules()),
            samples: phase.host.count,
        };
        self.phases.entry(phase.name).and_modify(|old| *old = merged(*old, new)).or_insert(new);
    }

    /// Returns the resources of each phase.
    pub fn finish(mut self) -> BTreeMap<String, Resources> {
        self.end();
        self.phases
    }
}

fn merged(old: Resources, new: Resources) -> Resources {
    let sum = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b);
    let (before, after) = (old.samples as f64, new.samples as f64);
    let mean = |a: f64, b: f64| (a * before + b * after) / (before + after).max(1.0);
    let both = |of: fn(&Resources) -> Option<f64>| of(&old).zip(of(&new)).map(|(a, b)| mean(a, b));
    Resources {
        seconds: old.seconds + new.seconds,
        cpu_seconds: sum(old.cpu_seconds, new.cpu_seconds),
        others_cpu_seconds: sum(old.others_cpu_seconds, new.others_cpu_seconds),
        stolen_seconds: sum(old.stolen_seconds, new.stolen_seconds),
        stalled_seconds: sum(old.stalled_seconds, new.stalled_seconds),
        host_peak_bytes: old.host_peak_bytes.max(new.host_peak_bytes),
        host_mean_bytes: old
            .host_mean_bytes
            .zip(new.host_mean_bytes)
            .map(|(a, b)| mean(a as f64, b as f64) as u64),
        shared_in_each: old.shared_in_each || new.shared_in_each,
        gpu_peak_bytes: old.gpu_peak_bytes.max(new.gpu_peak_bytes),
        gpu_utilisation: both(|used| used.gpu_utilisation),
        cpu_megahertz: both(|used| used.cpu_megahertz),
        gpu_megahertz: both(|used| used.gpu_megahertz),
        gpu_throttled: both(|used| used.gpu_throttled),
        gpu_joules: sum(old.gpu_joules, new.gpu_joules),
        cpu_joules: sum(old.cpu_joules, new.cpu_joules),
        samples: old.samples + new.samples,
    }
}

/// The energy counter of the first processor package, if all users may read it. It overflows after some hours; the
/// resulting negative differences are dropped.
fn rapl_joules() -> Option<f64> {
    let text = std::fs::read_to_string("/sys/class/powercap/intel-rapl:0/energy_uj").ok()?;
    text.trim().parse::<f64>().ok().map(|microjoules| microjoules / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    /// A shell that allocates on demand and says when it is done; no clock is asked.
    #[test]
    fn memory_and_processor_time_are_those_of_the_phase() {
        let script = r#"
            read line; x=$(head -c 40000000 /dev/zero | tr '\0' a); echo filled
            read line; x=; i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; echo counted
            read line"#;
        let mut child = Command::new("bash")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut step = |word: &str| {
            writeln!(input).unwrap();
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line.trim(), word);
        };
        let mut watch = Watch::new(child.id(), None);
        watch.begin("fill");
        step("filled");
        watch.begin("count");
        step("counted");
        let phases = watch.finish();
        child.kill().unwrap();
        child.wait().unwrap();
        let (fill, count) = (&phases["fill"], &phases["count"]);
        assert!(fill.host_peak_bytes.unwrap() > 40_000_000, "{fill:?}");
        // 200,000 rounds of a shell's loop take a tenth of a second or more on any machine.
        assert!(count.cpu_seconds.unwrap() >= 0.05, "{count:?}");
        assert!(count.samples >= 1 && count.host_mean_bytes.is_some(), "{count:?}");
    }

    /// A loop of another process beside one that waits.
    #[test]
    fn a_busy_loop_of_another_process_disturbs_a_phase() {
        let quiet = Command::new("sleep").arg("1000").process_group(0).spawn();
        let (mut quiet, mut busy) = (
            quiet.unwrap(),
            Command::new("bash").args(["-c", "while :; do :; done"]).spawn().unwrap(),
        );
        let mut watch = Watch::new(quiet.id(), None);
        watch.begin("train");
        let before = Usage::of_process(busy.id()).unwrap();
        // Until the loop has had its share, however long that takes here.
        while Usage::of_process(busy.id()).unwrap() < before + 1.0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let train = watch.finish()["train"];
        for child in [&mut quiet, &mut busy] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(train.others_cpu_seconds.unwrap() > 0.9, "{train:?}");
        let longer = Resources { seconds: 5.0, ..train };
        assert!(longer.disturbance().unwrap().contains("other processes took"), "{train:?}");
    }

    #[test]
    fn a_disturbance_is_beyond_stated_limits() {
        let of = |others, stolen| {
            let (others_cpu_seconds, stolen_seconds) = (Some(others), Some(stolen));
            Resources { seconds: 20.0, others_cpu_seconds, stolen_seconds, ..Resources::default() }
        };
        assert_eq!(of(1.9, 0.9).disturbance(), None);
        let both = "other processes took 2.1 s of processor time, the virtual machine's host took 1.1 s of processor time in 20.0 s";
        assert_eq!(of(2.1, 1.1).disturbance().unwrap(), both);
        let short = Resources { seconds: 0.1, ..of(0.15, 0.0) };
        assert_eq!(short.disturbance(), None);
    }

    #[test]
    fn a_process_that_is_gone_leaves_no_figures_and_no_failure() {
        let mut watch = Watch::new(u32::MAX - 1, Some(0));
        watch.begin("load");
        let phases = watch.finish();
        assert_eq!((phases["load"].cpu_seconds, phases["load"].host_peak_bytes), (None, None));
    }
    /// A process with 40 MB and a fork of it, as a loader's processes are.
    #[test]
    fn memory_that_processes_share_counts_once() {
        let script = r#"
            x=$(head -c 40000000 /dev/zero | tr '\0' a)
            (echo forked; read line; echo $x) <&0 & wait"#;
        let mut child = Command::new("bash")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let usage = Usage::of_group(child.id()).unwrap();
        let (in_each, once) = (usage.resident_bytes(), usage.proportional_bytes());
        let mut shares = Shares::default();
        let part = shares.part(&usage);
        // SAFETY: sends a signal to the group that the shell leads.
        unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
        child.wait().unwrap();
        assert!(usage.resident.len() >= 2 && in_each > 80_000_000, "{usage:?}");
        // Where the system does not tell, the record says so.
        assert!(once.is_none_or(|once| once > 40_000_000 && once < 60_000_000), "{once:?}");
        assert_eq!((shares.told, part < 0.7), (once.is_some(), once.is_some()), "{part}");
    }
}
