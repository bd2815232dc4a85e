//! What the loader's threads spent their time on.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time of each loading stage for an epoch's images so far, summed over all threads: on two
/// threads, two seconds may elapse in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochTimes {
    /// Images that came from files.
    pub decoded: u64,
    /// Images that came from the cache.
    pub cached: u64,
    /// Time for reading files.
    pub read: Duration,
    /// Time for decoding.
    pub decode: Duration,
    /// Time for cropping and resizing.
    pub resize: Duration,
    /// Time for random changes, preprocessing and copying to the batch.
    pub change: Duration,
    /// Time for reading and writing the cache.
    pub cache: Duration,
    /// Elapsed time that the training has waited for batches.
    pub wait: Duration,
}

impl fmt::Display for EpochTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pictures = (self.decoded + self.cached).max(1) as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e3 / pictures;
        write!(
            f,
            "{} images decoded, {} from the cache; ms an image: read {:.3}, decode {:.3}, resize \
             {:.3}, change {:.3}, cache {:.3}; waited {:.3} s",
            self.decoded,
            self.cached,
            each(self.read),
            each(self.decode),
            each(self.resize),
            each(self.change),
            each(self.cache),
            self.wait.as_secs_f64()
        )
    }
}

/// The same times, as atomic counters for the threads.
#[derive(Default)]
pub(super) struct Clock {
    pub(super) decoded: AtomicU64,
    pub(super) cached: AtomicU64,
    pub(super) read: Stage,
    pub(super) decode: Stage,
    pub(super) resize: Stage,
    pub(super) change: Stage,
    pub(super) cache: Stage,
}

/// Nanoseconds of one stage.
#[derive(Default)]
pub(super) struct Stage(AtomicU64);

impl Stage {
    /// Runs `work` and adds its elapsed time.
    pub(super) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.0.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        done
    }

    fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl Clock {
    pub(super) fn times(&self, wait: Duration) -> EpochTimes {
        EpochTimes {
            decoded: self.decoded.load(Ordering::Relaxed),
            cached: self.cached.load(Ordering::Relaxed),
            read: self.read.total(),
            decode: self.decode.total(),
            resize: self.resize.total(),
            change: self.change.total(),
            cache: self.cache.total(),
            wait,
        }
    }
}
