//! What ends the kernel from outside: signals, and the end of the process that started it.

use crate::core::Core;
use crate::kernel::End;
use crate::wake::Wake;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use std::io;

/// Interval of checks for the parent on systems that cannot report its end; ipykernel's interval.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The process that started the kernel, from jupyter_client's variable `JPY_PARENT_PID`; `None` if
/// the variable is not set or not a process id.
pub fn parent_from_environment() -> Option<u32> {
    std::env::var("JPY_PARENT_PID").ok()?.parse().ok().filter(|pid| *pid > 1)
}

/// Waits for the kernel's end.
pub(crate) struct Watch {
    parent: Parent,
    terminate: Wake,
    interrupt: Wake,
    signals: Vec<SigId>,
}

/// How the end of the parent is detected.
enum Parent {
    /// The parent is not watched.
    None,
    /// The parent has already ended.
    Gone,
    /// By a descriptor that becomes readable.
    Told(OwnedFd),
    /// By checking whether this process has another parent.
    Looked(u32),
}

impl Watch {
    /// Starts watching.
    ///
    /// # Errors
    /// A pipe cannot be created or a signal handler cannot be installed.
    pub(crate) fn new(parent: Option<u32>, signals: bool) -> io::Result<Self> {
        let mut watch = Self {
            parent: parent.map_or(Parent::None, Parent::new),
            terminate: Wake::new()?,
            interrupt: Wake::new()?,
            signals: Vec::new(),
        };
        if signals {
            for signal in [SIGTERM, SIGHUP] {
                watch.signals.push(pipe::register(signal, watch.terminate.raiser()?)?);
            }
            watch.signals.push(pipe::register(SIGINT, watch.interrupt.raiser()?)?);
        }
        Ok(watch)
    }

    /// Waits until the kernel must end, and returns the reason. SIGINT interrupts the running cell.
    pub(crate) fn wait(&self, core: &Core) -> End {
        loop {
            let parent = match &self.parent {
                Parent::Gone => return End::Orphaned,
                Parent::Looked(parent) if std::os::unix::process::parent_id() != *parent => {
                    return End::Orphaned;
                }
                Parent::Told(descriptor) => Some(descriptor.as_fd()),
                Parent::None | Parent::Looked(_) => None,
            };
            let timeout = matches!(self.parent, Parent::Looked(_)).then_some(&LOOK);
            let watched = [self.terminate.as_fd(), self.interrupt.as_fd(), core.ends.wake.as_fd()];
            let watched = watched.into_iter().chain(parent);
            let mut descriptors: Vec<_> =
                watched.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)).collect();
            match poll(&mut descriptors, timeout) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the kernel could not wait for its end");
                    return End::Terminated;
                }
            }
            let raised: Vec<bool> =
                descriptors.iter().map(|one| one.revents().contains(PollFlags::IN)).collect();
            if raised[0] {
                return End::Terminated;
            }
            if raised[1] {
                self.interrupt.lower();
                core.interrupt();
            }
            if let Some(end) = core.ends.take().pop_front() {
                return end;
            }
            if raised.get(3) == Some(&true) {
                return End::Orphaned;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for signal in self.signals.drain(..) {
            unregister(signal);
        }
    }
}

impl Parent {
    fn new(id: u32) -> Self {
        let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else {
            return Self::None;
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => Self::Told(descriptor),
            Err(Errno::SRCH) => Self::Gone,
            Err(error) => {
                tracing::debug!(%error, "the parent is looked for every second");
                Self::Looked(id)
            }
        }
    }
}
