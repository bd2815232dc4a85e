//! A parent process that ends everything below it.
//!
//! [`split`] divides the calling process in two. The child returns and goes on with the program. The
//! parent becomes its guard: it waits until the child has ended, or until the process that had started
//! it has ended or sends SIGTERM. Then it kills every process below it, also those that have left the
//! child's session or process group, and ends as the child has ended. Processes whose own parent is
//! gone become children of the guard (`PR_SET_CHILD_SUBREAPER`), so it finds them all.
//!
//! A guard of a worker also carries what evcxr and the worker say to each other ([`Control`]): the
//! streams that evcxr reads and writes are open only in the guard, and a line of the worker counts only
//! if it begins with a token that user code does not have.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;

/// The process name of a guard (`/proc/<process>/comm`).
pub const NAME: &str = "benchbook-guard";

/// The message that a guard writes to standard error before it ends a worker that has closed its
/// side of [`Control`].
pub const LOST: &str = "the cell closed the descriptors that connect it to the kernel";

/// The exit status of a worker whose side of [`Control`] is closed.
pub const LOST_STATUS: i32 = 113;

/// The guard's message to evcxr about a line without the token.
const FORGED: &str = "the cell wrote to the descriptor by which its process talks to the kernel; the text was ignored";

/// Maximum length of a worker's line, in bytes.
const LONGEST: usize = 1 << 16;

/// The environment variable with the control's descriptor, for the helper library.
const VARIABLE: &str = "BENCHBOOK_CONTROL";

/// The worker's side of its connection to evcxr through the guard.
pub struct Control {
    commands: BufReader<UnixStream>,
    replies: Replies,
}

/// The worker's replies to evcxr.
pub struct Replies {
    stream: UnixStream,
    token: String,
}

impl Control {
    /// Takes over the control that [`split_worker`] has created for this process.
    ///
    /// # Errors
    /// The process has no guard.
    ///
    /// # Safety
    /// No other thread may run yet, since the environment of this process is changed.
    pub unsafe fn take() -> io::Result<Self> {
        let descriptor = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        let descriptor: i32 = descriptor.ok_or_else(|| {
            io::Error::other(format!("{VARIABLE} is not set; a worker has a guard"))
        })?;
        // SAFETY: the caller guarantees that there is no other thread.
        unsafe { std::env::remove_var(VARIABLE) };
        // SAFETY: `split_worker` has left the descriptor open for this call.
        let stream = unsafe { UnixStream::from_raw_fd(descriptor) };
        let mut commands = BufReader::new(stream.try_clone()?);
        let mut token = String::new();
        commands.read_line(&mut token)?;
        let token = token.trim_end().to_owned();
        Ok(Self { commands, replies: Replies { stream, token } })
    }

    /// The commands to the worker, line by line, and the destination of its replies.
    pub fn into_parts(self) -> (impl Iterator<Item = io::Result<String>>, Replies) {
        (self.commands.lines(), self.replies)
    }

    /// A token that user code does not know.
    pub fn token(&self) -> &str {
        &self.replies.token
    }
}

impl Replies {
    /// Sends a line to evcxr.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{} {line}\n", self.token);
        self.stream.write_all(line.as_bytes())
    }
}

/// Makes this process end when its parent ends.
pub fn end_with_parent() {
    // SAFETY: a system call (a request for a signal) without memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Makes this process end when the reader of its output does, as in `benchbook study --help | head -1`. Rust otherwise
/// ignores the signal, and printing panics.
pub fn end_with_reader() {
    // SAFETY: a system call (the default action of a signal) without memory; no handler is replaced.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Forks the process: the child returns, and the parent becomes its guard.
///
/// # Errors
/// The system cannot create a process.
///
/// # Safety
/// No other thread may run.
pub unsafe fn split() -> io::Result<()> {
    // SAFETY: passed on to the caller.
    unsafe { divide(None) }.map(drop)
}

/// Like [`split`], for a worker: the guard keeps the standard streams connected to evcxr, and the
/// child gets a [`Control`] instead. Guard and child leave the server's process group.
///
/// # Errors
/// As [`split`].
///
/// # Safety
/// As [`split`].
pub unsafe fn split_worker() -> io::Result<()> {
    let (own, workers) = UnixStream::pair()?;
    let mut token = String::new();
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    bytes.iter().for_each(|byte| token.push_str(&format!("{byte:02x}")));
    // SAFETY: system calls without memory. In the server's group, the worker would receive the
    // server's signals, and the server the signals that a cell sends to its own group.
    unsafe { libc::setsid() };
    let mut relay = Relay { control: own, token, line: Vec::new(), open: true };
    writeln!(relay.control, "{}", relay.token)?;
    // SAFETY: passed on to the caller.
    let workers = unsafe { divide(Some((relay, workers))) }?;
    // SAFETY: as above. Child processes of the cell are in the worker's group.
    unsafe { libc::setpgid(0, 0) };
    let nothing = File::open("/dev/null")?;
    // SAFETY: all of these are open; a worker that cannot start reports it on standard error.
    unsafe {
        libc::dup2(nothing.as_raw_fd(), 0);
        libc::dup2(2, 1);
    }
    if let Some(workers) = workers {
        // SAFETY: the caller guarantees that there is no other thread.
        unsafe { std::env::set_var(VARIABLE, workers.into_raw_fd().to_string()) };
    }
    Ok(())
}

/// Forwards data between evcxr and a worker.
struct Relay {
    control: UnixStream,
    token: String,
    /// The received part of a line.
    line: Vec<u8>,
    /// Whether evcxr still sends.
    open: bool,
}

/// Returns in the child, with its end of the connection.
unsafe fn divide(connection: Option<(Relay, UnixStream)>) -> io::Result<Option<UnixStream>> {
    // SAFETY: the sets are local and are filled before they are read; the caller guarantees that
    // there is no other thread, so the child has the whole process.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        let mut heeded: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut heeded);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const heeded, &raw mut before);
        let guard = libc::getpid();
        match libc::fork() {
            -1 => {
                let error = io::Error::last_os_error();
                libc::sigprocmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
                Err(error)
            }
            0 => {
                end_with_parent();
                if libc::getppid() != guard {
                    libc::_exit(1);
                }
                libc::sigprocmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
                Ok(connection.map(|(_, workers)| workers))
            }
            child => {
                // If the worker's end stayed open here, the guard could not detect that the worker
                // has closed it.
                let relay = connection.map(|(relay, _)| relay);
                let parent = libc::getppid();
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                libc::prctl(libc::PR_SET_NAME, c"benchbook-guard".as_ptr());
                if libc::getppid() != parent {
                    libc::kill(child, libc::SIGKILL);
                }
                let status = watch(child, relay);
                end_as(status)
            }
        }
    }
}

/// Waits for the child's end, kills its remaining descendants, and returns its status.
fn watch(child: i32, mut relay: Option<Relay>) -> i32 {
    let signals = signals();
    loop {
        let mut waiting =
            vec![libc::pollfd { fd: signals.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        if let Some(relay) = &relay {
            let of = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            waiting.push(of(relay.control.as_raw_fd()));
            // `poll` skips a negative descriptor.
            waiting.push(of(if relay.open { 0 } else { -1 }));
        }
        // SAFETY: the array outlives the call and its length is passed with it.
        let ready = unsafe { libc::poll(waiting.as_mut_ptr(), waiting.len() as libc::nfds_t, -1) };
        if ready < 0 {
            continue;
        }
        if let Some(carrier) = &mut relay {
            if waiting[2].revents != 0 {
                carrier.command();
            }
            if waiting[1].revents != 0 && !carrier.reply() {
                relay = None;
                // A worker that ends also closes its side, shortly before its end is known.
                if !ends_soon(child) {
                    eprintln!("{LOST}");
                    kill(child);
                }
            }
        }
        if waiting[0].revents != 0 {
            match next(&signals) {
                Some(libc::SIGTERM) => {
                    kill(child);
                }
                Some(libc::SIGCHLD) => {}
                _ => continue,
            }
        }
        if let Some(status) = reap(child) {
            if let Some(relay) = &mut relay {
                while relay.reply() {}
            }
            end_descendants();
            if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == LOST_STATUS {
                eprintln!("{LOST}");
            }
            return status;
        }
    }
}

impl Relay {
    /// Forwards evcxr's data to the worker.
    fn command(&mut self) {
        let mut bytes = [0; 4096];
        // SAFETY: reads into the local buffer, whose length is passed.
        let length = unsafe { libc::read(0, bytes.as_mut_ptr().cast(), bytes.len()) };
        match usize::try_from(length) {
            Ok(length @ 1..) => {
                // A dead worker is detected by its end.
                let _ = self.control.write_all(&bytes[..length]);
            }
            _ => {
                self.open = false;
                let _ = self.control.shutdown(std::net::Shutdown::Write);
            }
        }
    }

    /// Forwards the worker's lines that have the token to evcxr; false at the end.
    fn reply(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // SAFETY: receives into the local buffer, whose length is passed.
        let length = unsafe {
            libc::recv(
                self.control.as_raw_fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT,
            )
        };
        let Ok(length) = usize::try_from(length) else {
            return io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        };
        for byte in &bytes[..length] {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > LONGEST {
                    self.line.clear();
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            // Forged text without a line end may precede the line.
            match line.rsplit_once(&format!("{} ", self.token)) {
                Some((before, line)) => {
                    if !before.is_empty() {
                        tell(FORGED);
                    }
                    tell(line);
                }
                // evcxr treats the message as a print, and forwards it before the cell ends.
                None => tell(FORGED),
            }
        }
        length > 0
    }
}

/// Sends a line to evcxr, which may have ended.
fn tell(line: &str) {
    let mut evcxr = io::stdout().lock();
    let _ = writeln!(evcxr, "{line}").and_then(|()| evcxr.flush());
}

/// A descriptor for reading signals, all of which are blocked.
fn signals() -> File {
    // SAFETY: the set is local; the descriptor was just opened and has no other owner.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        File::from_raw_fd(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC))
    }
}

fn next(mut signals: &File) -> Option<i32> {
    let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
    signals.read_exact(&mut bytes).ok()?;
    // The first field is the signal's number.
    let number = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    i32::try_from(number).ok()
}

fn kill(process: i32) {
    // SAFETY: a system call without memory.
    unsafe { libc::kill(process, libc::SIGKILL) };
}

/// Whether the process ends soon. It remains a zombie until [`reap`].
fn ends_soon(process: i32) -> bool {
    for _ in 0..50 {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        match stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next()) {
            Some("Z" | "X") | None => return true,
            _ => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
    false
}

/// Reaps all processes that have ended; returns the child's status if it is among them.
fn reap(child: i32) -> Option<i32> {
    let mut found = None;
    loop {
        let mut status = 0;
        // SAFETY: the status is local.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if ended <= 0 {
            return found;
        }
        if ended == child {
            found = Some(status);
        }
    }
}

/// Kills all descendants of this process. Processes started during the killing become children of
/// this process, and are killed in the next round.
fn end_descendants() {
    loop {
        for process in children() {
            kill(process);
        }
        let mut status = 0;
        // SAFETY: the status is local.
        if unsafe { libc::waitpid(-1, &raw mut status, 0) } < 0 {
            // No child is left.
            return;
        }
    }
}

/// The children of this process. The children of a killed child become its own at once.
fn children() -> Vec<i32> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parent.and_then(|parent| parent.parse().ok()) == Some(own)
    };
    numbers.filter(is_child).collect()
}

/// Ends this process in the same way as the child.
fn end_as(status: i32) -> ! {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        // SAFETY: the limit and the set are local. The child has already written its core dump, if any.
        unsafe {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            libc::signal(signal, libc::SIG_DFL);
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
            libc::raise(signal);
        }
    }
    // SAFETY: ends the process; everything was flushed.
    unsafe { libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 1 }) }
}
