//! What happens in a training, as data.

use super::{EpochMetrics, History, Monitor};
use std::path::PathBuf;
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Training begins.
    Start {
        /// What earlier calls have trained.
        past: History,
        /// The last epoch of this call.
        epochs: usize,
        /// Steps in an epoch.
        steps: usize,
    },
    /// Features of the frozen base are being computed.
    Features {
        /// Pictures done.
        done: usize,
        /// Pictures in all.
        total: usize,
        /// Since the first of them.
        elapsed: Duration,
    },
    /// An epoch begins.
    EpochStart {
        /// From 1.
        epoch: usize,
        /// The last epoch of this call.
        epochs: usize,
    },
    /// A step is done.
    Step {
        /// From 1.
        epoch: usize,
        /// The last epoch of this call.
        epochs: usize,
        /// From 1.
        step: usize,
        /// Steps in the epoch.
        steps: usize,
        /// Mean loss of the epoch's pictures so far.
        loss: f64,
        /// Share of the epoch's pictures that were recognised, 0 to 1.
        accuracy: f64,
        /// Since the epoch began.
        elapsed: Duration,
    },
    /// An epoch and its validation are done.
    EpochEnd {
        /// What it measured.
        metrics: EpochMetrics,
        /// The last epoch of this call.
        epochs: usize,
        /// Steps in the epoch.
        steps: usize,
    },
    /// The best-checkpoint callback has looked at an epoch.
    Checkpoint {
        /// From 1.
        epoch: usize,
        /// What is compared.
        monitor: Monitor,
        /// The best value before.
        best: f64,
        /// This epoch's value.
        value: f64,
        /// The file, if the epoch was better and was saved.
        saved: Option<PathBuf>,
    },
    /// The early-stopping callback ends the training after this epoch.
    EarlyStop {
        /// From 1.
        epoch: usize,
    },
    /// Training has ended.
    End(Outcome),
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done, or a callback stopped it.
    Finished,
    /// The user stopped it.
    Interrupted,
    /// It failed with this message.
    Failed(String),
}

/// Somebody who is told.
pub trait Observer {
    /// Called for each event, in order, on the thread that trains.
    fn event(&mut self, event: &Event);
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: &Event) {}
}

/// Keeps all events, for tests and for one's own drawings.
#[derive(Clone, Debug, Default)]
pub struct Events(pub Vec<Event>);

impl Observer for Events {
    fn event(&mut self, event: &Event) {
        self.0.push(event.clone());
    }
}
