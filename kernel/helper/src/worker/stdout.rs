//! Rust's own standard output, which some thread may hold locked for good.
//!
//! Flushing it waits for that thread, and the standard library can neither try nor give up. So the lock
//! is looked at first. Where it lies is not documented; [`find`] learns it from what changes when it is
//! taken.

use std::io::{self, Stdout, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::ThreadId;

/// How many words of the lock are looked at; it has a counter, a number and an owner before what it
/// protects.
const WORDS: usize = 8;

static LOCK: OnceLock<Lock> = OnceLock::new();

struct Lock {
    /// 0 while nobody has it, 2 while somebody waits for it.
    state: &'static AtomicU32,
    /// The number of the thread that has it.
    owner: &'static AtomicU32,
}

/// Learns where the lock is, unless another thread uses standard output meanwhile. Without it, a flush
/// waits for whoever holds the lock.
pub(super) fn find() -> bool {
    // A thread of its own has another number than 1, by which the owner is told from the counters.
    if let Ok(Some(lock)) = std::thread::spawn(locate).join() {
        let _ = LOCK.set(lock);
    }
    LOCK.get().is_some()
}

fn locate() -> Option<Lock> {
    const { assert!(size_of::<Stdout>() == size_of::<usize>()) };
    let stdout = io::stdout();
    // SAFETY: a `Stdout` is one reference to a lock that lives as long as the process and is larger than
    // the words that are looked at: it has a buffer's pointer, capacity and length beside them.
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

/// A thread's number, which is written for people only.
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

/// Flushes, unless another thread holds the lock: what is not flushed then is that thread's.
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
