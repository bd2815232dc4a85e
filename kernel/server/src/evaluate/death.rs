//! Explains why a worker died, and what is lost.

use crate::evcxr_contract::TERMINATED;
use crate::worker::{Ended, GARBLED, Panic};
use std::fmt::{self, Write};
use std::fs;
use std::path::{Path, PathBuf};

/// Why the worker process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It called `exit`.
    Exit(i32),
    /// An allocation of that many bytes failed.
    Allocation(u64),
    /// Usually unbounded recursion.
    StackOverflow,
    /// SIGKILL, and the system's count of processes killed for lack of memory has increased.
    OutOfMemory,
    /// SIGKILL from another process.
    Killed,
    /// The cell closed or misused the descriptors that connect its process to the kernel.
    Disconnected(&'static str),
    /// Another signal, by its name.
    Signal(String),
    /// evcxr's message, if it is not recognised.
    Unknown(String),
}

impl Cause {
    /// Parses evcxr's last line (`Subprocess terminated with status: signal: 11 (SIGSEGV)`) and the worker's
    /// standard error. `out_of_memory`: the system killed a process for lack of memory meanwhile.
    pub(super) fn of(how: &str, said: &str, out_of_memory: bool) -> Self {
        let last = how.lines().last().unwrap_or(how);
        let status = last.trim_start_matches(TERMINATED);
        if said.contains("has overflowed its stack") {
            return Cause::StackOverflow;
        }
        let lost = [benchbook_guard::LOST, GARBLED].into_iter().find(|lost| said.contains(lost));
        if let Some(lost) =
            lost.filter(|_| ["SIGKILL", "113"].iter().any(|end| status.contains(end)))
        {
            return Cause::Disconnected(lost);
        }
        if let Some(code) = status.strip_prefix("exit status: ").and_then(|code| code.parse().ok())
        {
            return Cause::Exit(code);
        }
        let Some(signal) = status.strip_prefix("signal: ") else {
            return Cause::Unknown(status.to_owned());
        };
        let name = signal.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
        let name = name.map_or_else(|| format!("signal {signal}"), |(name, _)| name.to_owned());
        match name.as_str() {
            "SIGABRT" => match refused_allocation(said) {
                Some(bytes) => Cause::Allocation(bytes),
                None => Cause::Signal(name),
            },
            "SIGKILL" if out_of_memory => Cause::OutOfMemory,
            "SIGKILL" => Cause::Killed,
            _ => Cause::Signal(name),
        }
    }
}

/// The bytes of Rust's `memory allocation of 1024 bytes failed`.
fn refused_allocation(said: &str) -> Option<u64> {
    let (_, rest) = said.rsplit_once("memory allocation of ")?;
    rest.split_once(" bytes failed")?.0.parse().ok()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Exit(code) => write!(
                f,
                "it ended with exit status {code} (`std::process::exit`, called by a cell or a library)"
            ),
            Cause::Allocation(bytes) => write!(
                f,
                "out of memory: the system refused {bytes} bytes ({:.1} GiB) (SIGABRT)",
                *bytes as f64 / (1_u64 << 30) as f64
            ),
            Cause::StackOverflow => f.write_str(
                "stack overflow: unbounded recursion, or values too large for the stack (SIGABRT)",
            ),
            Cause::OutOfMemory => f.write_str(
                "out of memory: the system ran out of it and ended the process (SIGKILL)",
            ),
            Cause::Killed => f.write_str(
                "it was killed from outside (SIGKILL); most often that is the system or a container when memory runs out",
            ),
            Cause::Disconnected(how) => f.write_str(how),
            Cause::Signal(name) => match name.as_str() {
                "SIGABRT" => f.write_str("it called `abort()` (SIGABRT)"),
                "SIGSEGV" => f.write_str(
                    "segmentation fault: `unsafe` code or a native library accessed invalid memory (SIGSEGV)",
                ),
                "SIGBUS" => f.write_str(
                    "bus error: a file in memory was cut short, or shared memory is full (SIGBUS)",
                ),
                "SIGILL" => f.write_str("an instruction that this processor does not have (SIGILL)"),
                "SIGFPE" => f.write_str("an arithmetic fault in native code (SIGFPE)"),
                "SIGTERM" | "SIGHUP" => write!(f, "it was terminated by another process ({name})"),
                name => f.write_str(name),
            },
            Cause::Unknown(how) => f.write_str(how),
        }
    }
}

/// How many processes the system has killed for lack of memory; 0 if the system does not report it.
pub(super) fn processes_ended_for_memory() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The traceback's lines below the cause: the last panics, the worker's last output, and the newest checkpoint.
pub(super) fn details(ended: &Ended, checkpoint: Option<&Checkpoint>) -> Vec<String> {
    let mut lines = Vec::new();
    for Panic { message, traceback } in &ended.panics {
        lines.push(format!("before it ended, it panicked: {message}"));
        // Omit frames of the standard library, which do not help the user.
        lines.extend(traceback.iter().filter(|line| !line.starts_with("at /rustc/")).cloned());
    }
    if let Some(checkpoint) = checkpoint {
        lines.push(checkpoint.to_string());
    }
    lines
}

/// A file from which a model can be loaded, and the variable that held the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) path: PathBuf,
    pub(super) variable: String,
}

impl Checkpoint {
    /// The line of code that loads the file; the path is the shortest from `folder`.
    fn line(&self, folder: Option<&Path>) -> String {
        let path = folder.and_then(|folder| self.path.strip_prefix(folder).ok());
        let path = path.unwrap_or(&self.path).to_string_lossy();
        format!("let mut {} = Model::load({path:?})?;", self.variable)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the newest model on disk is {}", self.path.display())?;
        let age = self.path.metadata().and_then(|file| file.modified()).ok();
        if let Some(age) = age.and_then(|written| written.elapsed().ok()) {
            write!(f, ", written {} ago", duration(age.as_secs()))?;
        }
        let folder = std::env::current_dir().ok();
        write!(f, "; go on from it with:\n    {}", self.line(folder.as_deref()))
    }
}

fn duration(seconds: u64) -> String {
    let mut text = String::new();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    // Writing to a string cannot fail.
    let _ = match (hours, minutes) {
        (0, 0) => write!(text, "{seconds} s"),
        (0, _) => write!(text, "{minutes} min"),
        _ => write!(text, "{hours} h {minutes} min"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(how: &str, said: &str) -> Cause {
        Cause::of(&format!("Subprocess terminated with status: {how}"), said, false)
    }

    #[test]
    fn each_end_has_a_cause_of_its_own() {
        assert_eq!(cause("exit status: 3", ""), Cause::Exit(3));
        assert_eq!(cause("signal: 11 (SIGSEGV)", ""), Cause::Signal("SIGSEGV".into()));
        let abort = "signal: 6 (SIGABRT) (core dumped)";
        assert_eq!(cause(abort, ""), Cause::Signal("SIGABRT".into()));
        assert_eq!(
            cause(abort, "x\nmemory allocation of 123 bytes failed\n"),
            Cause::Allocation(123)
        );
        assert_eq!(
            cause(abort, "\nthread 'main' has overflowed its stack\nfatal runtime error"),
            Cause::StackOverflow
        );
        assert_eq!(cause("signal: 9 (SIGKILL)", ""), Cause::Killed);
        let status = "Subprocess terminated with status: signal: 9 (SIGKILL)";
        assert_eq!(Cause::of(status, "", true), Cause::OutOfMemory);
        assert_eq!(cause("signal: 64", ""), Cause::Signal("signal 64".into()));
        assert_eq!(cause("on strike", ""), Cause::Unknown("on strike".into()));
    }

    #[test]
    fn a_checkpoint_is_loaded_by_a_path_from_here_where_there_is_one() {
        let checkpoint =
            Checkpoint { path: "/home/me/runs/best \"1\".st".into(), variable: "net".into() };
        let line = checkpoint.line(Some("/home/me".as_ref()));
        assert_eq!(line, "let mut net = Model::load(\"runs/best \\\"1\\\".st\")?;");
        let line = checkpoint.line(Some("/elsewhere".as_ref()));
        assert_eq!(line, "let mut net = Model::load(\"/home/me/runs/best \\\"1\\\".st\")?;");
    }
}
