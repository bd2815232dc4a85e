//! A training as a notebook shows it: one output that changes in place.

use super::{Callback, Event, History, Outcome, keras_log};
use crate::display::{Bundle, DisplayHandle, Rich, display, escape};
use benchbook_chart::{Chart, Progress};
use std::time::{Duration, Instant};

/// Between two updates within an epoch: ten a second are as many as an eye follows, and more would
/// take time from the training.
const PAUSE: Duration = Duration::from_millis(100);

/// Draws a progress line and the curves into one output, which stays when the training ends.
#[derive(Debug, Default)]
pub struct Live {
    output: Option<DisplayHandle>,
    picture: Picture,
    drawn: Option<Instant>,
    history: History,
}

/// What the output shows at a moment.
#[derive(Clone, Debug, Default)]
struct Picture {
    /// For example `Epoch 2/30`.
    heading: String,
    progress: Option<Progress>,
    /// What holds for the whole training.
    notes: Vec<String>,
    /// The newest line of a callback, or how the training ended.
    note: String,
    /// SVG of the complete epochs.
    curves: String,
}

impl Rich for Picture {
    fn bundle(&self) -> Bundle {
        let progress = self.progress.as_ref();
        let mut lines = vec![self.heading.clone()];
        lines.extend(progress.map(Progress::to_text));
        let notes = self.notes.iter().chain((!self.note.is_empty()).then_some(&self.note));
        lines.extend(notes.clone().cloned());
        let notes: String = notes
            .map(|note| {
                format!("<div style=\"font-family:monospace;margin:4px 0\">{}</div>", escape(note))
            })
            .collect();
        let html = format!(
            "<div><div style=\"font-family:monospace\">{}</div>{}{notes}{}</div>",
            escape(&self.heading),
            progress.map(Progress::to_html).unwrap_or_default(),
            self.curves
        );
        Bundle::text(lines.join("\n")).html(html)
    }
}

impl Live {
    fn draw(&mut self) {
        self.drawn = Some(Instant::now());
        match &self.output {
            // Paced here, so that the end of an epoch is never skipped.
            Some(output) => output.update_now(&self.picture),
            None => self.output = Some(display(&self.picture)),
        }
    }

    fn may_draw(&self) -> bool {
        self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE)
    }
}

impl Callback for Live {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start { past, .. } => {
                self.history = past.clone();
                if !past.epochs.is_empty() {
                    self.picture.curves = past.curves().svg();
                }
            }
            Event::Note(text) => {
                self.picture.notes.push(text.clone());
                self.draw();
            }
            Event::Features { done, total, elapsed } => {
                self.picture.heading = "Features of the frozen base".into();
                self.picture.progress =
                    Some(Progress::new(*done as u64, *total as u64).elapsed(*elapsed));
                if self.may_draw() || done == total {
                    self.draw();
                }
            }
            Event::EpochStart { epoch, epochs } => {
                self.picture.heading = format!("Epoch {epoch}/{epochs}");
            }
            Event::Step { step, steps, loss, accuracy, elapsed, .. } => {
                if self.may_draw() {
                    let progress = Progress::new(*step as u64, *steps as u64).elapsed(*elapsed);
                    self.picture.progress =
                        Some(progress.metric("loss", *loss).metric("acc", *accuracy));
                    self.draw();
                }
            }
            Event::EpochEnd { metrics, steps, .. } => {
                self.history.epochs.push(metrics.clone());
                self.picture.progress = Some(keras_log::epoch_line(metrics, *steps));
                self.picture.curves = self.history.curves().svg();
                self.draw();
            }
            Event::Checkpoint { .. }
            | Event::EarlyStop { .. }
            | Event::RateReduced { .. }
            | Event::Saved { .. } => {
                self.picture.note = keras_log::line(event).unwrap_or_default();
                self.draw();
            }
            Event::End(outcome) => {
                if *outcome != Outcome::Finished {
                    self.picture.note = keras_log::line(event).unwrap_or_default();
                }
                self.draw();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::EpochMetrics;

    #[test]
    fn updates_within_an_epoch_wait_and_the_epochs_end_is_always_drawn() {
        let mut live = Live::default();
        live.event(&Event::Start { past: History::default(), epochs: 1, steps: 1000 });
        live.event(&Event::EpochStart { epoch: 1, epochs: 1 });
        let step = |step| Event::Step {
            epoch: 1,
            epochs: 1,
            step,
            steps: 1000,
            loss: 0.5,
            accuracy: 0.75,
            images: 4,
            correct: 3,
            elapsed: Duration::from_millis(10),
        };
        live.event(&step(1));
        let first = live.drawn;
        assert!(first.is_some(), "the first step is drawn at once");
        live.drawn = Some(Instant::now() + Duration::from_secs(60));
        let future = live.drawn;
        live.event(&step(2));
        assert_eq!(live.drawn, future, "the next one waits for its turn");
        let metrics =
            EpochMetrics { epoch: 1, loss: 0.4, accuracy: 0.8, ..EpochMetrics::default() };
        live.event(&Event::EpochEnd { metrics, epochs: 1, steps: 1000 });
        assert_ne!(live.drawn, future);
        let shown = live.picture.bundle();
        assert!(shown.plain().starts_with("Epoch 1/1\n1000/1000 ["), "{}", shown.plain());
        assert!(shown.plain().contains("loss: 0.4000 - acc: 0.8000"), "{}", shown.plain());
        assert!(shown.data["text/html"].as_str().unwrap().contains("<svg"));
    }
}
