//! What happens in a training, as data.

use super::{EpochMetrics, History, Monitor};
use std::ops::ControlFlow;
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
    /// Something to know of the whole training: files that were left out, what a cache takes.
    Note(String),
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
        /// Pictures in this step's batch.
        images: usize,
        /// Pictures of the batch that were recognised.
        correct: usize,
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
    /// A file of a callback was written.
    Saved {
        /// From 1.
        epoch: usize,
        /// The file.
        path: PathBuf,
    },
    /// The learning rate of the following epochs is lower.
    RateReduced {
        /// From 1.
        epoch: usize,
        /// The rate by now, before the schedule.
        rate: f64,
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

    /// Whether the training is to end; asked after each epoch.
    fn stops(&mut self) -> bool {
        false
    }
}

/// Two observers, told one after the other. The training ends when either wants it to.
pub struct Both<'a>(pub &'a mut dyn Observer, pub &'a mut dyn Observer);

impl Observer for Both<'_> {
    fn event(&mut self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }

    fn stops(&mut self) -> bool {
        // Both are asked, so that each can count on it.
        let (first, second) = (self.0.stops(), self.1.stops());
        first || second
    }
}

/// A callback of one's own: called with each complete epoch. [`ControlFlow::Break`] ends the training.
///
/// ```
/// # use benchbook::train::AfterEpoch;
/// # use std::ops::ControlFlow;
/// let mut losses = Vec::new();
/// let callback = AfterEpoch::new(|epoch| {
///     losses.push(epoch.loss);
///     if epoch.loss < 0.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// });
/// ```
pub struct AfterEpoch<F> {
    callback: F,
    stop: bool,
}

impl<F: FnMut(&EpochMetrics) -> ControlFlow<()>> AfterEpoch<F> {
    /// An observer that calls it.
    pub fn new(callback: F) -> Self {
        Self { callback, stop: false }
    }
}

impl<F: FnMut(&EpochMetrics) -> ControlFlow<()>> Observer for AfterEpoch<F> {
    fn event(&mut self, event: &Event) {
        if let Event::EpochEnd { metrics, .. } = event {
            self.stop |= (self.callback)(metrics).is_break();
        }
    }

    fn stops(&mut self) -> bool {
        self.stop
    }
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
