//! The events of a training.

use super::{EpochMetrics, History, Monitor, Training};
use crate::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Training begins.
    Start {
        /// The history of earlier calls.
        past: History,
        /// The last epoch of this call.
        epochs: usize,
        /// Steps in an epoch.
        steps: usize,
    },
    /// A message about the whole training: skipped files, the size of a cache.
    Note(String),
    /// Features of the frozen base are being computed.
    Features {
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
        /// Time since the first image.
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
        /// Mean loss over the epoch's images so far.
        loss: f64,
        /// Share of the epoch's images that were classified correctly, 0 to 1.
        accuracy: f64,
        /// Images in this step's batch.
        images: usize,
        /// Images of the batch that were classified correctly.
        correct: usize,
        /// Time since the epoch began.
        elapsed: Duration,
    },
    /// An epoch and its validation are done.
    EpochEnd {
        /// The epoch's metrics.
        metrics: EpochMetrics,
        /// The last epoch of this call.
        epochs: usize,
        /// Steps in the epoch.
        steps: usize,
    },
    /// The best-checkpoint callback has compared an epoch.
    Checkpoint {
        /// From 1.
        epoch: usize,
        /// The compared value.
        monitor: Monitor,
        /// The best value before.
        best: f64,
        /// This epoch's value.
        value: f64,
        /// The file, if the epoch was the best and was saved.
        saved: Option<PathBuf>,
    },
    /// The early-stopping callback ends the training after this epoch.
    EarlyStop {
        /// From 1.
        epoch: usize,
        /// The epoch whose weights were restored, if the callback restores weights.
        restored: Option<usize>,
    },
    /// A callback has written a file.
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
        /// The new rate, without the schedule's factor.
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
    /// Training failed with this message.
    Failed(String),
}

/// Receives the events of a training, and decides after each epoch whether it goes on.
///
/// A closure on [`EpochMetrics`] is a callback, called with each complete epoch; so is a pair of callbacks.
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
    /// Receives each event, in order, on the training thread. Default: ignores it.
    fn event(&mut self, _event: &Event) {}

    /// Called after each epoch and its validation. [`ControlFlow::Break`] ends the training. Default:
    /// `ControlFlow::Continue`.
    ///
    /// # Errors
    /// Any error ends the training; the model keeps its weights and history.
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
        // Call both, even if the first breaks.
        let (first, second) =
            (self.0.epoch_end(epoch, training)?, self.1.epoch_end(epoch, training)?);
        Ok(if first.is_break() { first } else { second })
    }
}

/// Ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Callback for Silent {}

/// Keeps all events, for tests and custom charts.
#[derive(Clone, Debug, Default)]
pub struct Events(pub Vec<Event>);

impl Callback for Events {
    fn event(&mut self, event: &Event) {
        self.0.push(event.clone());
    }
}
