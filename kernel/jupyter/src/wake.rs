//! Waking a thread that waits on a channel's socket, and queues that do so.
//!
//! A channel's socket belongs to one thread. What other threads have to say to that thread waits in
//! a queue, and a byte in a socket pair, on which the thread waits together with its socket, says
//! that there is something.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A flag for which a thread can wait with `poll`.
pub(crate) struct Wake {
    receiver: UnixStream,
    sender: UnixStream,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        Ok(Self { receiver, sender })
    }

    /// Raises the flag.
    pub(crate) fn raise(&self) {
        // A full socket means that the flag is raised; no other error can occur while both ends are open.
        let _ = (&self.sender).write(&[1]);
    }

    /// Lowers the flag. Take queued items after this call.
    pub(crate) fn lower(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.receiver).read(&mut bytes), Ok(64)) {}
    }

    /// Another end, for a signal handler, that raises the flag with any byte.
    pub(crate) fn raiser(&self) -> io::Result<UnixStream> {
        self.sender.try_clone()
    }
}

/// The end that `poll` watches.
impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

/// A queue whose reader waits with `poll`.
pub(crate) struct Mailbox<T> {
    queue: Mutex<VecDeque<T>>,
    pub(crate) wake: Wake,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { queue: Mutex::default(), wake: Wake::new()? })
    }

    pub(crate) fn post(&self, item: T) {
        locked(&self.queue).push_back(item);
        self.wake.raise();
    }

    /// Takes all posted items.
    pub(crate) fn take(&self) -> VecDeque<T> {
        self.wake.lower();
        std::mem::take(&mut *locked(&self.queue))
    }
}

/// Locks. A panic of a thread with the lock does not affect the others: the shared states are
/// consistent between any two statements.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn raised(wake: &Wake) -> bool {
        let mut descriptors = [PollFd::new(wake, PollFlags::IN)];
        poll(&mut descriptors, Some(&Timespec::default())).unwrap();
        descriptors[0].revents().contains(PollFlags::IN)
    }

    #[test]
    fn a_flag_is_raised_until_it_is_lowered() {
        let wake = Wake::new().unwrap();
        assert!(!raised(&wake));
        for _ in 0..1000 {
            wake.raise();
        }
        assert!(raised(&wake));
        wake.lower();
        assert!(!raised(&wake));
    }

    #[test]
    fn a_mailbox_keeps_the_order() {
        let mailbox = Mailbox::new().unwrap();
        (0..100).for_each(|n| mailbox.post(n));
        assert!(raised(&mailbox.wake));
        assert!(mailbox.take().into_iter().eq(0..100));
        assert!(!raised(&mailbox.wake));
    }
}
