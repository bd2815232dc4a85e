//! Flushes Rust's standard output unless another thread holds its lock, which may last for ever.
//!
//! The standard library can neither try the lock nor give up waiting, so [`flush`] reads the lock's memory
//! first. Its layout is not documented; [`find`] derives it from the words that change when the lock is taken.

use std::io::{self, Stdout, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::ThreadId;

/// Words of the lock that are compared: a counter, a number and an owner precede the protected value.
const WORDS: usize = 8;

static LOCK: OnceLock<Lock> = OnceLock::new();

struct Lock {
    /// 0: free, 1: locked, 2: locked and a thread waits.
    state: &'static AtomicU32,
    /// The number of the owning thread.
    owner: &'static AtomicU32,
}

/// Finds the lock; false if another thread used standard output meanwhile. Until it is found, a flush waits
/// for the lock's owner.
pub(super) fn find() -> bool {
    // A new thread's number is not 1, so that the owner differs from the counters.
    if let Ok(Some(lock)) = std::thread::spawn(locate).join() {
        let _ = LOCK.set(lock);
    }
    LOCK.get().is_some()
}

fn locate() -> Option<Lock> {
    const { assert!(size_of::<Stdout>() == size_of::<usize>()) };
    let stdout = io::stdout();
    // SAFETY: a `Stdout` is one reference to a lock that lives as long as the process and is larger than
    // the words that are compared: it has a buffer's pointer, capacity and length beside them.
    let words: &'static [AtomicU32; WORDS] = unsafe { std::mem::transmute_copy(&stdout) };
    let values = || words.each_ref().map(|word| word.load(Relaxed));
    let free = values();
    let first = stdout.lock();
    let once = values();
    let second = stdout.lock();
    let twice = values();
    drop((first, second));
    let number = number(std::thread::current().id())?;
    let only = |wanted: [u32; 3]| {
        let mut places =
            (0..WORDS).filter(|&place| [free[place], once[place], twice[place]] == wanted);
        places.next().filter(|_| places.next().is_none())
    };
    let (state, owner) = (only([0, 1, 1])?, only([0, number, number])?);
    (values() == free).then(|| Lock { state: &words[state], owner: &words[owner] })
}

/// A thread's number, which std gives in `Debug` only.
fn number(thread: ThreadId) -> Option<u32> {
    format!("{thread:?}").trim_start_matches("ThreadId(").trim_end_matches(')').parse().ok()
}

/// Whether another thread holds the lock.
fn is_held_by_another() -> bool {
    let Some(lock) = LOCK.get() else { return false };
    lock.state.load(Relaxed) != 0
        && number(std::thread::current().id()) != Some(lock.owner.load(Relaxed))
}

/// Whether a thread waits for the lock.
pub(super) fn is_waited_for() -> bool {
    LOCK.get().is_some_and(|lock| lock.state.load(Relaxed) == 2)
}

/// Flushes, unless another thread holds the lock; the buffered text is then that thread's.
pub(super) fn flush() {
    if !is_held_by_another() {
        let _ = io::stdout().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_lock_is_found_and_no_flush_waits_for_it() {
        // Other tests print.
        assert!((0..1000).any(|_| find()));
        let (done, finish) = channel::<()>();
        let (locked, is_locked) = channel();
        let holder = std::thread::spawn(move || {
            let _lock = io::stdout().lock();
            locked.send(()).unwrap();
            assert!(!is_held_by_another(), "its own lock keeps it from nothing");
            finish.recv().unwrap();
        });
        is_locked.recv().unwrap();
        assert!(is_held_by_another() && !is_waited_for());
        flush();
        let waiting = std::thread::spawn(|| drop(io::stdout().lock()));
        while !is_waited_for() {
            std::thread::yield_now();
        }
        done.send(()).unwrap();
        holder.join().unwrap();
        waiting.join().unwrap();
    }
}
