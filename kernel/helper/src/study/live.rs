//! A study as a notebook shows it while it runs.

use crate::display::{Bundle, DisplayHandle, Rich, display, escape};
use benchbook_study::runner::Event;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Draws the running process: what runs, its last lines, and how the runs before it ended.
#[derive(Default)]
pub struct LiveStudy {
    output: Option<DisplayHandle>,
    drawn: Option<Instant>,
    picture: Picture,
}

#[derive(Clone, Default)]
struct Picture {
    heading: String,
    ended: VecDeque<String>,
    lines: VecDeque<String>,
    /// Whether the last line is to be replaced by the next one.
    passing: bool,
}

const PAUSE: Duration = Duration::from_millis(100);
const LINES: usize = 6;
const ENDED: usize = 8;

impl Rich for Picture {
    fn bundle(&self) -> Bundle {
        let all: Vec<&str> = (self.ended.iter())
            .chain([&self.heading])
            .chain(&self.lines)
            .map(String::as_str)
            .collect();
        let text = all.join("\n");
        let html = format!("<pre style=\"margin:4px 0\">{}</pre>", escape(&text));
        Bundle::text(text).html(html)
    }
}

/// A line of a table of contents: `libtorch, run 3 of 16: train 12.3 s`.
pub(crate) fn ended(record: &crate::record::Record) -> String {
    let place = record.place.as_ref();
    let round = place.map_or(String::new(), |place| {
        let kind = if place.warm_up { "warm-up" } else { "round" };
        format!(", {kind} {}", place.round)
    });
    let figures = match record.reason() {
        Some(reason) => reason,
        None => {
            let phases = record.phases.measured().into_iter();
            let phases: Vec<String> =
                phases.map(|(name, seconds)| format!("{name} {seconds:.2} s")).collect();
            phases.join(", ")
        }
    };
    format!("{}{round}: {figures}", record.backend())
}

/// The warning before the first run.
pub(crate) fn busy(cores: f64) -> String {
    format!(
        "Other processes keep {cores:.1} cores busy. End them, or the runs that they disturb are repeated and \
         then marked."
    )
}

impl LiveStudy {
    /// Takes an event in, and draws unless it did a moment ago.
    pub fn event(&mut self, event: &Event) {
        let picture = &mut self.picture;
        let at_once = !matches!(event, Event::Line { .. });
        match event {
            Event::Begin { backend, run, runs, warm_up } => {
                let kind = if *warm_up { " (warm-up)" } else { "" };
                picture.heading = format!("{backend}, run {run} of {runs}{kind}");
                picture.lines.clear();
                picture.passing = false;
            }
            Event::Line { text, passing, .. } => {
                if picture.passing {
                    picture.lines.pop_back();
                }
                if picture.lines.len() == LINES {
                    picture.lines.pop_front();
                }
                picture.lines.push_back(text.clone());
                picture.passing = *passing;
            }
            Event::Phase { phase, backend } => picture.heading = format!("{backend}: {phase}"),
            Event::End(record) => {
                if picture.ended.len() == ENDED {
                    picture.ended.pop_front();
                }
                picture.ended.push_back(ended(record));
                picture.heading.clear();
                picture.lines.clear();
            }
            Event::Busy { cores } => picture.ended.push_back(busy(*cores)),
            Event::Repeat { backend, why } => {
                picture.ended.push_back(format!("{backend} was disturbed and runs again: {why}"));
            }
            Event::Kept { backend, run } => {
                picture.heading = format!("{backend}, run {run}: kept from an earlier call");
            }
        }
        if at_once || self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE) {
            self.drawn = Some(Instant::now());
            match &self.output {
                Some(output) => output.update(&self.picture),
                None => self.output = Some(display(&self.picture)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passing_line_is_replaced_and_a_run_leaves_one_line() {
        let mut live = LiveStudy::default();
        let line = |text: &str, passing| Event::Line {
            backend: "libtorch".into(),
            text: text.into(),
            passing,
        };
        live.event(&Event::Begin { backend: "libtorch".into(), run: 1, runs: 8, warm_up: true });
        for event in [line("1/2", true), line("2/2", true), line("Epoch 1/1", false)] {
            live.event(&event);
        }
        assert_eq!(live.picture.bundle().plain(), "libtorch, run 1 of 8 (warm-up)\nEpoch 1/1");
        let mut record = crate::record::Record::default();
        record.library.name = "libtorch".into();
        record.phases.train = Some(1.5);
        live.event(&Event::End(Box::new(record)));
        assert!(live.picture.bundle().plain().starts_with("libtorch: train 1.50 s"));
    }
}
