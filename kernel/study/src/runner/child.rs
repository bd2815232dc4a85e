//! Runs one process of a study.

use super::{Event, PHASE};
use crate::record::Status;
use crate::resources::{Resources, Watch, processes};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The outcome of a process, and its resources.
pub(super) struct Ended {
    pub(super) status: Status,
    pub(super) seconds: f64,
    pub(super) resources: BTreeMap<String, Resources>,
}

/// The period of sampling resources and of calling `stop`.
const SAMPLE: Duration = Duration::from_millis(100);
/// How long the children of a process may print after its end.
const GRACE: Duration = Duration::from_secs(5);
/// Texts on standard error that report a lack of memory, in lower case.
const OUT_OF_MEMORY: [&str; 15] = [
    "out of memory",
    "out_of_memory",
    "outofmemory",
    "memoryerror",
    "bad_alloc",
    "can't allocate memory",
    "cannot allocate memory",
    "memory allocation of",
    "oom when allocating",
    "resource exhausted",
    "resourceexhausted",
    "resource_exhausted",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
    // `torchrun` of a rank that signal 9 has ended (see `judged`).
    "failed (exitcode: -9)",
];
/// Parts of the lines in which `torchrun` of PyTorch 2 and 1 reports that a rank has failed. Its further lines do not tell why.
const OF_TORCHRUN: [&str; 2] =
    ["elastic/multiprocessing/api.py", "torch.distributed.elastic.multiprocessing.api:"];

enum Said {
    Output {
        text: String,
        passing: bool,
    },
    Error(String),
    /// One of the two streams is closed.
    Closed,
}

pub(super) fn watch(
    mut command: Command,
    backend: &str,
    gpu: Option<usize>,
    limit: Option<Duration>,
    observer: &mut dyn FnMut(&Event),
    stop: &dyn Fn() -> bool,
) -> Ended {
    let began = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    end_with_this_thread(&mut command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let program = command.get_program().to_string_lossy().into_owned();
            let status = Status::Failed { message: format!("cannot start {program}: {error}") };
            return Ended { status, seconds: 0.0, resources: BTreeMap::new() };
        }
    };
    let said = listen(&mut child);
    let mut watch = Watch::new(child.id(), gpu);
    let mut last_words = String::new();
    let mut torchrun_reports = false;
    let mut memory_ran_out = false;
    let mut gone: Option<Instant> = None;
    let mut ended_early = None;
    let mut open = 2;
    let mut next = Instant::now() + SAMPLE;
    while open > 0 {
        match said.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Said::Output { text, passing }) => match text.strip_prefix(PHASE) {
                Some("end") => watch.end(),
                Some(phase) => {
                    watch.begin(phase);
                    observer(&Event::Phase { backend: backend.into(), phase: phase.into() });
                }
                None => observer(&Event::Line { backend: backend.into(), text, passing }),
            },
            Ok(Said::Error(text)) => {
                memory_ran_out |= tells_of_memory(&text);
                torchrun_reports |= OF_TORCHRUN.iter().any(|part| text.contains(part));
                if !text.trim().is_empty() && is_reason(&text, torchrun_reports) {
                    last_words = text.trim().to_owned();
                }
            }
            Ok(Said::Closed) | Err(RecvTimeoutError::Disconnected) => open -= 1,
            Err(RecvTimeoutError::Timeout) => {
                next = Instant::now() + SAMPLE;
                watch.sample();
                let too_long = limit.filter(|limit| began.elapsed() > *limit);
                if ended_early.is_none() && stop() {
                    ended_early = Some(Status::Interrupted);
                } else if let (None, Some(limit)) = (&ended_early, too_long) {
                    let message =
                        format!("the run took longer than the limit of {} s", limit.as_secs());
                    ended_early = Some(Status::Failed { message });
                }
                if ended_early.is_some() {
                    end_group(&child);
                }
                // A child that outlives the process may keep the streams open.
                if gone.is_none() && matches!(child.try_wait(), Ok(Some(_))) {
                    gone = Some(Instant::now());
                }
                if gone.is_some_and(|since| since.elapsed() > GRACE) {
                    break;
                }
            }
        }
    }
    let resources = watch.finish();
    let status = child.wait();
    let seconds = began.elapsed().as_secs_f64();
    // Loader processes that outlive the process would disturb the next run.
    end_group(&child);
    let mut status = ended_early.unwrap_or_else(|| match status {
        Ok(status) => judged(status, &last_words, memory_ran_out),
        Err(error) => Status::Failed { message: error.to_string() },
    });
    if matches!(status, Status::Failed { .. } | Status::OutOfMemory { .. }) {
        // A scheduler that ends a job signals all of its processes, and the signal may reach this process last.
        std::thread::sleep(SAMPLE);
        if stop() {
            status = Status::Interrupted;
        }
    }
    Ended { status, seconds, resources }
}

/// Whether a line of standard error reports a lack of memory.
fn tells_of_memory(line: &str) -> bool {
    let small = line.to_lowercase();
    OUT_OF_MEMORY.iter().any(|sign| small.contains(sign))
}

/// Whether a line of standard error may be why a run failed. A rank that a signal has ended leaves only `torchrun`'s line.
fn is_reason(line: &str, torchrun_reports: bool) -> bool {
    !torchrun_reports || line.contains("failed (exitcode: -")
}

/// Has the process killed when the thread that starts it ends (prctl(2)); otherwise it would disturb the next study.
fn end_with_this_thread(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls are made, and no memory is allocated.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // A parent that ended before that call sends no signal.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

/// The status for an exit status and standard error.
fn judged(status: ExitStatus, last_words: &str, memory_ran_out: bool) -> Status {
    if status.success() {
        return Status::Ok;
    }
    // Programs that start others, such as `mpirun` and shells, exit with 128 plus the number of the signal that ended one.
    let signal =
        status.signal().or(status.code().filter(|code| *code > 128).map(|code| code - 128));
    let how = match (status.code(), signal) {
        (_, Some(9)) => "killed by signal 9, which the system sends when memory runs out".into(),
        (_, Some(signal)) => format!("killed by signal {signal}"),
        (Some(code), None) => format!("exit status {code}"),
        (None, None) => "ended".into(),
    };
    let message = if last_words.is_empty() { how } else { format!("{how}: {last_words}") };
    if memory_ran_out || signal == Some(9) {
        Status::OutOfMemory { message }
    } else {
        Status::Failed { message }
    }
}

fn end_group(child: &Child) {
    // Descendants in other process groups are found only while the process lives.
    let others = processes::numbers(child.id());
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: sends a signal to the group that this run's process leads; no memory is involved.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    for process in others {
        // SAFETY: sends a signal to a process that the run has started; no memory is involved.
        unsafe { libc::kill(process as libc::pid_t, libc::SIGKILL) };
    }
}

fn listen(child: &mut Child) -> Receiver<Said> {
    let (send, said) = channel();
    let output = child.stdout.take();
    let errors = child.stderr.take();
    spawn(output, send.clone(), |text, passing| Said::Output { text, passing });
    spawn(errors, send, |text, _| Said::Error(text));
    said
}

/// Reads lines. A line that ends in a carriage return is passing: the next line replaces it.
fn spawn(
    stream: Option<impl Read + Send + 'static>,
    send: Sender<Said>,
    message: impl Fn(String, bool) -> Said + Send + 'static,
) {
    std::thread::spawn(move || {
        if let Some(mut stream) = stream {
            let mut line = Vec::new();
            let mut bytes = [0; 4096];
            loop {
                let count = match stream.read(&mut bytes) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => count,
                };
                for &byte in &bytes[..count] {
                    match byte {
                        b'\n' | b'\r' if line.is_empty() => {}
                        b'\n' | b'\r' => {
                            let text = String::from_utf8_lossy(&line).into_owned();
                            line.clear();
                            let _ = send.send(message(text, byte == b'\r'));
                        }
                        _ => line.push(byte),
                    }
                }
            }
            if !line.is_empty() {
                let _ = send.send(message(String::from_utf8_lossy(&line).into_owned(), false));
            }
        }
        let _ = send.send(Said::Closed);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of LibTorch's allocators, `cudaGetErrorString`, cuDNN, cuBLAS, XLA, TensorFlow and Python.
    #[test]
    fn each_library_has_words_of_its_own_for_memory_that_ran_out() {
        for line in [
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.",
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory",
            "RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate",
            "E external/local_xla INTERNAL: RESOURCE_EXHAUSTED: Failed to allocate request for 2.00GiB",
            "tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when allocating tensor",
            "MemoryError",
        ] {
            assert!(tells_of_memory(line), "{line}");
        }
        assert!(!tells_of_memory("ValueError: no such layer"));
        assert!(!tells_of_memory("RuntimeError: cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"));
    }

    #[test]
    fn a_rank_says_why_it_failed_and_torchrun_only_that_it_was_killed() {
        let last_words = |how: &str, warning: &str, failure: &str| {
            let script = format!(
                "cat >&2 <<'END'\n{how}\n{warning}\n{failure}\nTraceback (most recent call last):\n\
                 ChildFailedError:\n=====\nEND\nexit 1"
            );
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            watch(command, "a", None, None, &mut |_| {}, &|| false).status
        };
        let api = "E1128 20:00:00.000000 7 torch/distributed/elastic/multiprocessing/api.py:987]";
        let closing = api.replace("E1128", "W1128") + " Sending process 8 closing signal SIGTERM";
        let failed = |code: i32| format!("{api} failed (exitcode: {code}) local_rank: 0 (pid: 7)");
        let status = last_words("ValueError: no such layer", &closing, &failed(1));
        let message = "exit status 1: ValueError: no such layer".into();
        assert_eq!(status, Status::Failed { message });
        let status = last_words("UserWarning: old", &closing, &failed(-9));
        let message = format!("exit status 1: {}", failed(-9));
        assert_eq!(status, Status::OutOfMemory { message });
        let old = "ERROR:torch.distributed.elastic.multiprocessing.api:failed (exitcode: 1)";
        let status = last_words("MemoryError", "", old);
        assert_eq!(status, Status::OutOfMemory { message: "exit status 1: MemoryError".into() });
    }
}
