//! `benchbook bench`: runs a job in a worker, without a notebook, or packs the files for it.

use crate::libtorch;
use crate::template::Installation;
use crate::{kernel, worker};
use anyhow::{Context, ensure};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The template to run against; the newest installed if not given.
    #[arg(long)]
    pub template: Option<PathBuf>,
    /// Write an archive (.tar.gz) that runs jobs and studies on a machine without compiler or network, with
    /// that machine's libtorch or PyTorch, instead of running one.
    #[arg(long, value_name = "ARCHIVE")]
    pub pack: Option<PathBuf>,
    /// The job and its options; `benchbook bench --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub job: Vec<OsString>,
}

/// Runs the job or writes the archive, and returns the exit status.
///
/// # Errors
/// There is no template or no libtorch, the worker does not start, or the archive cannot be
/// written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(archive) = &arguments.pack else {
        return work::<Arguments>(arguments.template.as_deref(), "job", &arguments.job);
    };
    pack(&opened(arguments.template.as_deref())?, archive)?;
    Ok(ExitCode::SUCCESS)
}

fn opened(template: Option<&Path>) -> anyhow::Result<Installation> {
    let folder = template.map_or_else(kernel::installed, |folder| Ok(folder.to_path_buf()))?;
    Installation::open(&folder)
}

/// Runs a worker in a role other than running cells, with that role's arguments, and returns its exit status:
/// 128 plus the signal's number if a signal ended it, as in shells. Forwards signals to the worker, which ends
/// with this process. If the arguments ask for help, prints the command's own options `A` before the worker's.
///
/// # Errors
/// There is no template or no libtorch, or the worker does not start.
pub(crate) fn work<A: clap::Args>(
    template: Option<&Path>,
    role: &str,
    words: &[OsString],
) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        let options = A::augment_args(clap::Command::new("benchbook")).disable_help_flag(true);
        println!(
            "Before all other options:\n{}\n",
            options.help_template("{options}").render_help()
        );
    }
    let here = opened(template)?;
    let mut command = worker::command(&here)?;
    let status = run_to_its_end(command.arg(role).args(words));
    let status = status.with_context(|| here.template.worker().display().to_string())?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Runs a process that receives this process's signals and ends with this process, however it ends.
fn run_to_its_end(command: &mut Command) -> io::Result<ExitStatus> {
    let waited_for = signals();
    let parent = std::process::id();
    // Blocked before the process starts, so that no signal is missed, not even SIGCHLD of the new process.
    // SAFETY: the sets are local values; between fork and exec only system calls are made.
    unsafe {
        let mut before: libc::sigset_t = std::mem::zeroed();
        // The parent process may have set SIGCHLD to be ignored.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const waited_for, &raw mut before);
        command.pre_exec(move || {
            // The new process would inherit the blocked signals.
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // A parent that ended before that call no longer sends a signal.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    loop {
        // SAFETY: a plain structure of numbers, which the call below fills.
        let mut received: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to local values.
        let signal = unsafe { libc::sigwaitinfo(&raw const waited_for, &raw mut received) };
        if signal == libc::SIGCHLD {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
        } else if signal > 0 && received.si_code <= 0 {
            // The worker has also received signals from the terminal (a positive code). The process
            // has not been waited for yet, so its number is still valid.
            // SAFETY: sends a signal; no memory is involved.
            unsafe { libc::kill(child.id() as libc::pid_t, signal) };
        }
    }
}

/// The signals that end a program, and SIGCHLD. Signals that this process ignores, for example
/// under nohup, stay ignored.
fn signals() -> libc::sigset_t {
    // SAFETY: the calls fill and read local values.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action);
            if action.sa_sigaction != libc::SIG_IGN {
                libc::sigaddset(&raw mut set, signal);
            }
        }
        set
    }
}

/// The scripts of an archive. All have the same text, and each runs the role of its name.
const SCRIPTS: [&str; 3] = ["bench", "study", "libraries"];

/// Packs the worker, the helper library, Rust's standard library and the scripts, which find
/// libtorch, into an archive.
fn pack(here: &Installation, archive: &Path) -> anyhow::Result<()> {
    let Installation { template, tools } = here;
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("benchbook-bench");
    fs::create_dir_all(root.join("lib"))?;
    fs::copy(template.worker(), root.join("benchbook-worker"))?;
    fs::copy(template.helper(), root.join("lib/libbenchbook.so"))?;
    let libraries = tools.toolchain.libraries();
    let mut standard = None;
    for entry in
        fs::read_dir(&libraries).with_context(|| libraries.display().to_string())?.flatten()
    {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("libstd-") && name.to_string_lossy().ends_with(".so")
        {
            fs::copy(entry.path(), root.join("lib").join(&name))?;
            standard = Some(name);
        }
    }
    standard.with_context(|| format!("no libstd in {}", libraries.display()))?;
    let text = include_str!("bench/launcher.sh").replace("@VERSION@", libtorch::VERSION);
    for script in SCRIPTS.map(|name| root.join(name)) {
        fs::write(&script, &text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    let status = Command::new("tar")
        .args(["-czf"])
        .arg(std::path::absolute(archive)?)
        .arg("-C")
        .arg(folder.path())
        .arg("benchbook-bench")
        .status()
        .context("`tar` does not run")?;
    ensure!(status.success(), "`tar` could not write {}", archive.display());
    let size = fs::metadata(archive)?.len() as f64 / 1e6;
    println!(
        "{} ({size:.1} MB). There: tar -xzf it, then benchbook-bench/bench --help or benchbook-bench/study --help",
        archive.display()
    );
    Ok(())
}
