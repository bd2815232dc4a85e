//! PyTorch's log, as in figure 12 of the report.

use super::{Callback, Event, Outcome};
use std::io::Write;
use std::time::Instant;

/// A line of [`TorchLog`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TorchLine {
    /// From 1.
    pub epoch: usize,
    /// The last epoch of the training.
    pub epochs: usize,
    /// Steps of the epoch so far.
    pub iteration: usize,
    /// Mean loss over the epoch's images so far.
    pub loss: f64,
    /// Share of the newest batch's images that were classified correctly, 0 to 1. The report's accuracies are
    /// multiples of 1/32, so they are those of one batch of 32.
    pub accuracy: f64,
    /// Seconds since the training began.
    pub seconds: f64,
}

impl std::fmt::Display for TorchLine {
    /// Whole minutes and seconds. The report's notebook divided hours instead of minutes and used one
    /// variable for both the start and the elapsed time.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.seconds as u64;
        write!(
            f,
            "[Epoch {}/{}] Iteration {} => Train Loss: {:.4}, Accuracy: {:.3}, Training complete in {}m {}s",
            self.epoch,
            self.epochs,
            self.iteration,
            self.loss,
            self.accuracy,
            seconds / 60,
            seconds % 60
        )
    }
}

/// Writes a line after every `every` steps of an epoch, as the report's PyTorch notebook does.
#[derive(Debug)]
pub struct TorchLog<W: Write> {
    writer: W,
    every: usize,
    began: Option<Instant>,
    lines: Vec<TorchLine>,
}

impl<W: Write> TorchLog<W> {
    /// Logs to `writer` after every `every` steps (0 counts as 1). Ignores write errors, so that a closed
    /// terminal does not end the training.
    pub fn new(writer: W, every: usize) -> Self {
        Self { writer, every: every.max(1), began: None, lines: Vec::new() }
    }

    /// The lines so far.
    pub fn lines(&self) -> &[TorchLine] {
        &self.lines
    }

    fn say(&mut self, text: &str) {
        let _ = writeln!(self.writer, "{text}");
        let _ = self.writer.flush();
    }
}

impl<W: Write> Callback for TorchLog<W> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start { .. } => self.began = Some(Instant::now()),
            Event::Step { epoch, epochs, step, loss, images, correct, .. }
                if step.is_multiple_of(self.every) =>
            {
                let line = TorchLine {
                    epoch: *epoch,
                    epochs: *epochs,
                    iteration: *step,
                    loss: *loss,
                    accuracy: *correct as f64 / (*images).max(1) as f64,
                    seconds: self.began.map_or(0.0, |began| began.elapsed().as_secs_f64()),
                };
                self.say(&line.to_string());
                self.lines.push(line);
            }
            Event::EpochEnd { metrics, epochs, .. } => {
                if let (Some(loss), Some(accuracy)) = (metrics.val_loss, metrics.val_accuracy) {
                    self.say(&format!(
                        "[Epoch {}/{epochs}] Validation Loss: {loss:.4}, Accuracy: {accuracy:.3}",
                        metrics.epoch
                    ));
                }
            }
            Event::End(Outcome::Interrupted) => {
                self.say("Interrupted: weights and history are kept");
            }
            Event::End(Outcome::Failed(message)) => self.say(&format!("Failed: {message}")),
            Event::Note(text) => self.say(text),
            Event::Features { .. }
            | Event::EpochStart { .. }
            | Event::Step { .. }
            | Event::Checkpoint { .. }
            | Event::EarlyStop { .. }
            | Event::Saved { .. }
            | Event::RateReduced { .. }
            | Event::End(Outcome::Finished) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::History;
    use std::time::Duration;

    #[test]
    fn lines_are_those_of_figure_12_with_a_clock_that_goes_right() {
        // The first two lines of figure 12; the report's second time is "437644m 45s".
        let line = TorchLine {
            epoch: 1,
            epochs: 3,
            iteration: 200,
            loss: 0.3488,
            accuracy: 26.0 / 32.0,
            seconds: 59.4,
        };
        assert_eq!(
            line.to_string(),
            "[Epoch 1/3] Iteration 200 => Train Loss: 0.3488, Accuracy: 0.812, Training complete in 0m 59s"
        );
        let second = TorchLine { iteration: 400, seconds: 115.9, ..line };
        assert!(second.to_string().ends_with("Training complete in 1m 55s"), "{second}");
    }

    #[test]
    fn a_line_comes_after_every_so_many_steps() {
        let mut log = TorchLog::new(Vec::new(), 2);
        log.event(&Event::Start { past: History::default(), epochs: 1, steps: 5 });
        for step in 1..=5 {
            log.event(&Event::Step {
                epoch: 1,
                epochs: 1,
                step,
                steps: 5,
                loss: 0.5,
                accuracy: 0.6,
                images: 4,
                correct: step.min(4),
                elapsed: Duration::ZERO,
            });
        }
        let said: Vec<(usize, f64)> =
            log.lines().iter().map(|line| (line.iteration, line.accuracy)).collect();
        assert_eq!(said, [(2, 0.5), (4, 1.0)]);
        assert_eq!(String::from_utf8(log.writer).unwrap().lines().count(), 2);
    }
}
