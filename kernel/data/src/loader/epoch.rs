//! The iterator over the batches of an epoch, in order, while later batches are in work.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::clock::{Clock, EpochTimes};
use super::work::{BatchResult, Pass, Work};
use super::{Batch, Shared};
use crate::error::DataError;

/// The batches of one epoch, in an order that depends only on the seed. Ends after an error.
/// Dropping it stops the work: each thread only finishes its current image.
pub struct Epoch {
    shared: Arc<Shared>,
    /// The pass that the threads work on: the epoch, or with `repeat` a later one.
    pass: u64,
    order: Vec<usize>,
    /// The next batch of this pass for the threads.
    next: usize,
    in_flight: VecDeque<InFlight>,
    cancelled: Arc<AtomicBool>,
    clock: Arc<Clock>,
    ended: bool,
    /// Number of consecutive batches of which every image was skipped.
    empty: usize,
    wait: Duration,
}

struct InFlight {
    pass: u64,
    batch: usize,
    result: Receiver<BatchResult>,
}

impl Epoch {
    /// From batch `next` of the epoch, counted from 0.
    pub(super) fn start(shared: Arc<Shared>, epoch: u64, next: usize) -> Self {
        let order = shared.order(epoch);
        let mut started = Self {
            shared,
            pass: epoch,
            order,
            next,
            in_flight: VecDeque::new(),
            cancelled: Arc::default(),
            clock: Arc::default(),
            ended: false,
            empty: 0,
            wait: Duration::ZERO,
        };
        started.fill(started.shared.config.prefetch);
        started
    }

    /// The time that `next` has waited for batches: the delay of the training by decoding.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// The time of each stage so far.
    pub fn times(&self) -> EpochTimes {
        self.clock.times(self.wait)
    }

    /// Gives batches to the threads until `count` are in work or waiting.
    fn fill(&mut self, count: usize) {
        while self.in_flight.len() < count && self.submit() {}
    }

    /// Gives the next batch to the threads, if there is one.
    fn submit(&mut self) -> bool {
        let batches = self.shared.batches();
        if self.next == batches {
            if !self.shared.config.repeat || batches == 0 {
                return false;
            }
            self.pass += 1;
            self.next = 0;
            self.order = self.shared.order(self.pass);
        }
        let size = self.shared.config.batch_size;
        let first = self.next * size;
        let indices = self.order[first..self.order.len().min(first + size)].to_vec();
        let (sender, result) = channel();
        let pass = Pass {
            cancelled: Arc::clone(&self.cancelled),
            clock: Arc::clone(&self.clock),
            epoch: self.pass,
        };
        Work::start(&self.shared, pass, indices, sender);
        self.in_flight.push_back(InFlight { pass: self.pass, batch: self.next, result });
        self.next += 1;
        true
    }

    fn end(&mut self) {
        self.ended = true;
        self.cancelled.store(true, Ordering::Relaxed);
        self.in_flight.clear();
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let prefetch = self.shared.config.prefetch;
            self.fill(prefetch.max(1));
            let Some(InFlight { pass, batch, result }) = self.in_flight.pop_front() else {
                self.end();
                break;
            };
            let began = Instant::now();
            let received = result.recv();
            self.wait += began.elapsed();
            self.fill(prefetch);
            match received {
                Ok(Ok(Some(batch))) => {
                    self.empty = 0;
                    return Some(Ok(batch));
                }
                Ok(Ok(None)) => {
                    self.empty += 1;
                    if self.empty == self.shared.batches() {
                        self.end();
                        let split = self.shared.split.name().to_string();
                        return Some(Err(DataError::AllSkipped { split }));
                    }
                }
                Ok(Err(error)) => {
                    self.end();
                    return Some(Err(error));
                }
                Err(_closed) => {
                    self.end();
                    return Some(Err(DataError::Worker { batch, epoch: pass }));
                }
            }
        }
        None
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoch")
            .field("pass", &self.pass)
            .field("batches_in_flight", &self.in_flight.len())
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
