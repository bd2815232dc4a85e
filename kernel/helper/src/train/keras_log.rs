//! Keras' log, as in figure 3 of the report.

use super::{Callback, EpochMetrics, Event, Monitor, Outcome};
use benchbook_chart::Progress;
use std::io::Write;
use std::time::Duration;

/// Writes Keras' lines: `Epoch 2/30`, the step line, and the checkpoint's line.
#[derive(Debug)]
pub struct KerasLog<W: Write> {
    writer: W,
}

impl<W: Write> KerasLog<W> {
    /// Logs to `writer`. Ignores write errors, so that a closed terminal does not end the training.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

impl<W: Write> Callback for KerasLog<W> {
    fn event(&mut self, event: &Event) {
        if let Some(line) = line(event) {
            let _ = writeln!(self.writer, "{line}");
            let _ = self.writer.flush();
        }
    }
}

/// Keras' progress line of a complete epoch. As in Keras, the time includes the validation.
pub(super) fn epoch_line(metrics: &EpochMetrics, steps: usize) -> Progress {
    let seconds = metrics.training_seconds + metrics.validation_seconds;
    let mut progress = Progress::new(steps as u64, steps as u64)
        .elapsed(Duration::try_from_secs_f64(seconds).unwrap_or_default())
        .metric("loss", metrics.loss)
        .metric("acc", metrics.accuracy);
    for (name, value) in [("val_loss", metrics.val_loss), ("val_acc", metrics.val_accuracy)] {
        if let Some(value) = value {
            progress = progress.metric(name, value);
        }
    }
    progress
}

/// The event's line as Keras prints it; `None` for events without one.
pub(super) fn line(event: &Event) -> Option<String> {
    match event {
        Event::EpochStart { epoch, epochs } => Some(format!("Epoch {epoch}/{epochs}")),
        Event::EpochEnd { metrics, steps, .. } => Some(epoch_line(metrics, *steps).to_text()),
        Event::Checkpoint { epoch, monitor, best, value, saved } => Some(match saved {
            Some(path) => format!(
                "Epoch {epoch:05}: {monitor} improved from {} to {value:.5}, saving model to {}",
                if best.is_finite() { format!("{best:.5}") } else { best.to_string() },
                path.display()
            ),
            None => format!("Epoch {epoch:05}: {monitor} did not improve from {best:.5}"),
        }),
        Event::EarlyStop { epoch, .. } => Some(format!("Epoch {epoch:05}: early stopping")),
        Event::Features { done, total, elapsed } if done == total => Some(format!(
            "Features of the frozen base: {total} images in {:.1} s",
            elapsed.as_secs_f64()
        )),
        Event::End(Outcome::Interrupted) => {
            Some("Interrupted: weights and history are kept".into())
        }
        Event::End(Outcome::Failed(message)) => Some(format!("Failed: {message}")),
        // ReduceLROnPlateau's line.
        Event::RateReduced { epoch, rate } => {
            Some(format!("Epoch {epoch:05}: reducing learning rate to {rate}"))
        }
        Event::Saved { epoch, path } => {
            Some(format!("Epoch {epoch:05}: saving model to {}", path.display()))
        }
        Event::Note(text) => Some(text.clone()),
        Event::Start { .. }
        | Event::Step { .. }
        | Event::Features { .. }
        | Event::End(Outcome::Finished) => None,
    }
}

impl std::fmt::Display for Monitor {
    /// Keras' names of 2019.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Monitor::ValidationAccuracy => "val_acc",
            Monitor::ValidationLoss => "val_loss",
            Monitor::Accuracy => "acc",
            Monitor::Loss => "loss",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_figure_3() {
        // The report, figure 3: epoch 2 takes 7.75 s for 10 steps with its validation inside.
        let metrics = EpochMetrics {
            epoch: 2,
            loss: 0.6672,
            accuracy: 0.5844,
            val_loss: Some(0.6829),
            val_accuracy: Some(0.5312),
            training_seconds: 6.0,
            validation_seconds: 1.75,
            ..EpochMetrics::default()
        };
        let checkpoint = |epoch, best, value, saved: Option<&str>| Event::Checkpoint {
            epoch,
            monitor: Monitor::ValidationAccuracy,
            best,
            value,
            saved: saved.map(Into::into),
        };
        let mut log = KerasLog::new(Vec::new());
        for event in [
            Event::EpochStart { epoch: 2, epochs: 30 },
            Event::EpochEnd { metrics, epochs: 30, steps: 10 },
            checkpoint(1, f64::NEG_INFINITY, 0.6125, Some("vgg16_1.safetensors")),
            checkpoint(2, 0.6125, 0.53125, None),
            checkpoint(3, 0.6125, 0.7375, Some("vgg16_1.safetensors")),
        ] {
            log.event(&event);
        }
        let expected = "\
Epoch 2/30
10/10 [==============================] - 8s 775ms/step - loss: 0.6672 - acc: 0.5844 - val_loss: 0.6829 - val_acc: 0.5312
Epoch 00001: val_acc improved from -inf to 0.61250, saving model to vgg16_1.safetensors
Epoch 00002: val_acc did not improve from 0.61250
Epoch 00003: val_acc improved from 0.61250 to 0.73750, saving model to vgg16_1.safetensors
";
        assert_eq!(String::from_utf8(log.into_inner()).unwrap(), expected);
    }
}
