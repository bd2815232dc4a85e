//! What happens in a training, as data.

use super::{EpochMetrics, History, Monitor, Training};
use crate::error::Error;
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
        /// The epoch whose weights were restored, if the callback does that.
        restored: Option<usize>,
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

/// Follows a training: receives its events, and decides after each epoch.
///
/// A closure on [`EpochMetrics`] is a callback that is called with each complete epoch, and a pair of callbacks is one.
///
/// ```
/// # use benchbook::train::{Callback, EpochMetrics};
/// # use std::ops::ControlFlow;
/// let mut losses = Vec::new();
/// let mut callback = |epoch: &EpochMetrics| {
///     losses.push(epoch.loss);
///     if epoch.loss < 0.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// };
/// # fn is_callback(_: &mut dyn Callback) {}
/// # is_callback(&mut callback);
/// ```
pub trait Callback {
    /// Receives each event, in order, on the thread that trains. Default: ignores it.
    fn event(&mut self, _event: &Event) {}

    /// Called after each epoch and its validation, before the next one begins. [`ControlFlow::Break`] ends the
    /// training. Default: goes on.
    ///
    /// # Errors
    /// Whatever ends the training; the model keeps its weights and history.
    fn epoch_end(
        &mut self,
        _epoch: &EpochMetrics,
        _training: &mut Training<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        Ok(ControlFlow::Continue(()))
    }
}

impl<F: FnMut(&EpochMetrics) -> ControlFlow<()>> Callback for F {
    fn epoch_end(
        &mut self,
        epoch: &EpochMetrics,
        _training: &mut Training<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        Ok(self(epoch))
    }
}

/// Forwards to both. The training ends when either breaks.
impl<A: Callback, B: Callback> Callback for (A, B) {
    fn event(&mut self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }

    fn epoch_end(
        &mut self,
        epoch: &EpochMetrics,
        training: &mut Training<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        // Both are asked, so that each can count on it.
        let (first, second) =
            (self.0.epoch_end(epoch, training)?, self.1.epoch_end(epoch, training)?);
        Ok(if first.is_break() { first } else { second })
    }
}

/// Ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Callback for Silent {}

/// Keeps all events, for tests and for one's own drawings.
#[derive(Clone, Debug, Default)]
pub struct Events(pub Vec<Event>);

impl Callback for Events {
    fn event(&mut self, event: &Event) {
        self.0.push(event.clone());
    }
}
