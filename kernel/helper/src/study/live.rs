//! The live display of a study in a notebook.

use crate::display::{Bundle, DisplayHandle, Rich, display, escape};
use benchbook_study::runner::Event;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Shows the running process, its last lines, and the results of the runs before it.
#[derive(Default)]
pub struct LiveStudy {
    output: Option<DisplayHandle>,
    drawn: Option<Instant>,
    view: View,
}

#[derive(Clone, Default)]
struct View {
    heading: String,
    ended: VecDeque<String>,
    lines: VecDeque<String>,
    /// Whether the next line replaces the last one.
    passing: bool,
}

const PAUSE: Duration = Duration::from_millis(100);
const LINES: usize = 6;
const ENDED: usize = 8;

impl Rich for View {
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

/// The line of a finished run, for example `libtorch, round 3: train 12.30 s`.
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
        "Other processes keep {cores:.1} cores busy; end them. Disturbed runs are repeated, and marked if \
         disturbed again."
    )
}

impl LiveStudy {
    /// Handles an event, and draws unless it drew a moment ago.
    pub fn event(&mut self, event: &Event) {
        let view = &mut self.view;
        let at_once = !matches!(event, Event::Line { .. });
        match event {
            Event::Begin { backend, run, runs, warm_up } => {
                let kind = if *warm_up { " (warm-up)" } else { "" };
                view.heading = format!("{backend}, run {run} of {runs}{kind}");
                view.lines.clear();
                view.passing = false;
            }
            Event::Line { text, passing, .. } => {
                if view.passing {
                    view.lines.pop_back();
                }
                if view.lines.len() == LINES {
                    view.lines.pop_front();
                }
                view.lines.push_back(text.clone());
                view.passing = *passing;
            }
            Event::Phase { phase, backend } => view.heading = format!("{backend}: {phase}"),
            Event::End(record) => {
                if view.ended.len() == ENDED {
                    view.ended.pop_front();
                }
                view.ended.push_back(ended(record));
                view.heading.clear();
                view.lines.clear();
            }
            Event::Busy { cores } => view.ended.push_back(busy(*cores)),
            Event::Repeat { backend, why } => {
                view.ended.push_back(format!("{backend} was disturbed and runs again: {why}"));
            }
            Event::Kept { backend, run } => {
                view.heading = format!("{backend}, run {run}: kept from an earlier call");
            }
        }
        if at_once || self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE) {
            self.drawn = Some(Instant::now());
            match &self.output {
                Some(output) => output.update(&self.view),
                None => self.output = Some(display(&self.view)),
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
        assert_eq!(live.view.bundle().plain(), "libtorch, run 1 of 8 (warm-up)\nEpoch 1/1");
        let mut record = crate::record::Record::default();
        record.library.name = "libtorch".into();
        record.phases.train = Some(1.5);
        live.event(&Event::End(Box::new(record)));
        assert!(live.view.bundle().plain().starts_with("libtorch: train 1.50 s"));
    }
}
