//! The live display of a training in a notebook: one output that is updated in place.

use super::{Callback, Event, History, keras_log};
use crate::display::{Bundle, DisplayHandle, Rich, display, escape};
use benchbook_chart::{Chart, Progress};
use std::time::{Duration, Instant};

/// Shortest time between two updates within an epoch: more than ten a second only cost time.
const PAUSE: Duration = Duration::from_millis(100);

/// Lines of the log while the training runs; each update sends all of them.
const RUNNING: usize = 30;
/// Lines of the log after the training.
const ENDED: usize = 200;

/// Shows the progress, a line for each epoch and callback, and the curves in one output, which stays when the training
/// ends.
#[derive(Debug, Default)]
pub struct Live {
    name: String,
    output: Option<DisplayHandle>,
    view: View,
    drawn: Option<Instant>,
    history: History,
}

/// The content of the output.
#[derive(Clone, Debug, Default)]
struct View {
    /// The current work, for example `Epoch 2/30`; empty between two epochs.
    heading: String,
    progress: Option<Progress>,
    /// Messages about the whole training.
    notes: Vec<String>,
    /// A line for each complete epoch and for what callbacks did, as in Keras' log.
    log: Vec<String>,
    ended: bool,
    /// SVG of the complete epochs.
    curves: String,
}

impl View {
    /// The newest lines of the log, after a line with the number of earlier ones.
    fn lines(&self) -> Vec<String> {
        let most = if self.ended { ENDED } else { RUNNING };
        let left_out = self.log.len().saturating_sub(most);
        let first = match left_out {
            0 => None,
            1 => Some("... 1 earlier line".to_owned()),
            count => Some(format!("... {count} earlier lines")),
        };
        first.into_iter().chain(self.log[left_out..].iter().cloned()).collect()
    }
}

impl Rich for View {
    fn bundle(&self) -> Bundle {
        let progress = self.progress.as_ref();
        let log = self.lines();
        let mut lines: Vec<String> = self.notes.iter().chain(&log).cloned().collect();
        if !self.heading.is_empty() {
            lines.push(self.heading.clone());
        }
        lines.extend(progress.map(Progress::to_text));
        let block = |lines: &[String]| match lines {
            [] => String::new(),
            lines => format!(
                "<pre style=\"margin:4px 0;white-space:pre-wrap\">{}</pre>",
                escape(&lines.join("\n"))
            ),
        };
        let html = format!(
            "<div>{}{}<div style=\"font-family:monospace\">{}</div>{}{}</div>",
            block(&self.notes),
            block(&log),
            escape(&self.heading),
            progress.map(Progress::to_html).unwrap_or_default(),
            self.curves
        );
        Bundle::text(lines.join("\n")).html(html)
    }
}

impl Live {
    /// A display with the run's name in the chart's title.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    fn draw(&mut self) {
        self.drawn = Some(Instant::now());
        match &self.output {
            // Sent at once, so that the end of an epoch is never skipped.
            Some(output) => output.update_now(&self.view),
            None => self.output = Some(display(&self.view)),
        }
    }

    fn draw_curves(&mut self) {
        let curves = self.history.curves();
        self.view.curves = match self.name.as_str() {
            "" => curves.svg(),
            name => {
                let title = format!("{name}: {}", curves.title().to_lowercase());
                curves.titled(title).svg()
            }
        };
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
                    self.draw_curves();
                }
            }
            Event::Note(text) => {
                self.view.notes.push(text.clone());
                self.draw();
            }
            Event::Features { done, total, elapsed } => {
                self.view.heading = "Features of the frozen base".into();
                self.view.progress =
                    Some(Progress::new(*done as u64, *total as u64).elapsed(*elapsed));
                if self.may_draw() || done == total {
                    self.draw();
                }
            }
            Event::EpochStart { epoch, epochs } => {
                self.view.heading = format!("Epoch {epoch}/{epochs}");
            }
            Event::Step { step, steps, loss, accuracy, elapsed, .. } => {
                if self.may_draw() {
                    let progress = Progress::new(*step as u64, *steps as u64).elapsed(*elapsed);
                    self.view.progress =
                        Some(progress.metric("loss", *loss).metric("acc", *accuracy));
                    self.draw();
                }
            }
            Event::EpochEnd { metrics, epochs, steps } => {
                self.history.epochs.push(metrics.clone());
                let summary = keras_log::epoch_line(metrics, *steps).summary();
                self.view.log.push(format!("Epoch {}/{epochs} - {summary}", metrics.epoch));
                self.view.heading.clear();
                self.view.progress = None;
                self.draw_curves();
                self.draw();
            }
            Event::Checkpoint { .. }
            | Event::EarlyStop { .. }
            | Event::RateReduced { .. }
            | Event::Saved { .. } => {
                self.view.log.extend(keras_log::line(event));
                self.draw();
            }
            Event::End(_) => {
                self.view.log.extend(keras_log::line(event));
                self.view.ended = true;
                self.draw();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{EpochMetrics, Monitor, Outcome};

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
        let shown = live.view.bundle();
        let expected = "Epoch 1/1 - 0s 0s/step - loss: 0.4000 - acc: 0.8000";
        assert_eq!(shown.plain(), expected);
        assert!(shown.data["text/html"].as_str().unwrap().contains("<svg"));
    }

    /// A training of `epochs` epochs, each with a checkpoint that does not improve.
    fn train(live: &mut Live, epochs: usize) {
        live.event(&Event::Start { past: History::default(), epochs, steps: 10 });
        live.event(&Event::Note("learning rate 0.001".into()));
        for epoch in 1..=epochs {
            live.event(&Event::EpochStart { epoch, epochs });
            let metrics = EpochMetrics {
                epoch,
                loss: 0.6672,
                accuracy: 0.5844,
                val_loss: Some(0.6829),
                val_accuracy: Some(0.5312),
                training_seconds: 6.0,
                validation_seconds: 1.75,
                ..EpochMetrics::default()
            };
            live.event(&Event::EpochEnd { metrics, epochs, steps: 10 });
            live.event(&Event::Checkpoint {
                epoch,
                monitor: Monitor::ValidationAccuracy,
                best: 0.6125,
                value: 0.53125,
                saved: None,
            });
        }
    }

    #[test]
    fn every_epoch_keeps_its_line() {
        let mut live = Live::named("vgg16 <full>");
        train(&mut live, 3);
        live.event(&Event::End(Outcome::Finished));
        let shown = live.view.bundle();
        // The numbers of the report's figure 3.
        let numbers =
            "8s 775ms/step - loss: 0.6672 - acc: 0.5844 - val_loss: 0.6829 - val_acc: 0.5312";
        let mut expected = vec!["learning rate 0.001".to_owned()];
        for epoch in 1..=3 {
            expected.push(format!("Epoch {epoch}/3 - {numbers}"));
            expected.push(format!("Epoch {epoch:05}: val_acc did not improve from 0.61250"));
        }
        assert_eq!(shown.plain().lines().collect::<Vec<_>>(), expected);
        let html = shown.data["text/html"].as_str().unwrap();
        assert!(html.contains("vgg16 &lt;full&gt;: training, 3 epochs"), "{html}");
    }

    #[test]
    fn a_long_training_shows_its_newest_lines() {
        let mut live = Live::default();
        train(&mut live, 150);
        let lines = |live: &Live| live.view.bundle().plain().lines().count();
        assert_eq!(lines(&live), 1 + 1 + RUNNING);
        live.event(&Event::End(Outcome::Interrupted));
        assert_eq!(lines(&live), 1 + 1 + ENDED);
        let shown = live.view.bundle();
        assert!(shown.plain().contains("... 101 earlier lines"), "{}", shown.plain());
        assert!(shown.plain().ends_with("Interrupted: weights and history are kept"));
    }
}
