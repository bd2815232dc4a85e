use std::time::Duration;

use benchbook_display::{Bundle, Rich, escape};

/// A progress line in Keras' form, as text and as HTML. It only formats numbers;
/// the caller decides when to show it.
///
/// ```
/// use std::time::Duration;
/// use benchbook_chart::Progress;
///
/// let line = Progress::new(7, 10)
///     .elapsed(Duration::from_secs(7))
///     .metric("loss", 0.69)
///     .metric("acc", 0.53);
/// assert_eq!(
///     line.to_text(),
///     " 7/10 [====================>.........] - ETA: 3s - loss: 0.6900 - acc: 0.5300"
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    done: u64,
    total: u64,
    elapsed: Option<Duration>,
    metrics: Vec<(String, f64)>,
}

/// Characters of the bar, as in Keras.
const BAR: u64 = 30;

impl Progress {
    /// `done` of `total` steps; a total of 0 is unknown.
    pub fn new(done: u64, total: u64) -> Self {
        Self { done, total, ..Self::default() }
    }

    /// Sets the time since the first step began, for the remaining time, or at the end the elapsed time
    /// and the time per step.
    pub fn elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed = Some(elapsed);
        self
    }

    /// Adds a metric, shown in the order of adding.
    pub fn metric(mut self, name: impl Into<String>, value: f64) -> Self {
        self.metrics.push((name.into(), value));
        self
    }

    fn finished(&self) -> bool {
        self.total > 0 && self.done >= self.total
    }

    /// `7/10`, the first number as wide as the second.
    fn count(&self) -> String {
        match self.total {
            0 => format!("{}/Unknown", self.done),
            total => format!("{:>1$}/{total}", self.done, total.to_string().len()),
        }
    }

    /// ` - ETA: 3s - loss: 0.6900`: the text after the bar.
    fn numbers(&self) -> String {
        let mut out = String::new();
        if let Some(elapsed) = self.elapsed {
            let per_step = elapsed.as_secs_f64() / self.done.max(1) as f64;
            if self.finished() || self.total == 0 {
                out += &format!(" - {:.0}s {}", elapsed.as_secs_f64(), each(per_step));
            } else if self.done > 0 {
                out +=
                    &format!(" - ETA: {}", remaining(per_step * (self.total - self.done) as f64));
            }
        }
        for (name, value) in &self.metrics {
            // Keras writes small values with an exponent, and its exponents have two digits.
            if value.abs() > 1e-3 || *value == 0.0 || !value.is_finite() {
                out += &format!(" - {name}: {value:.4}");
            } else {
                let text = format!("{value:.4e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or_default();
                let sign = if exponent < 0 { '-' } else { '+' };
                out += &format!(" - {name}: {mantissa}e{sign}{:02}", exponent.abs());
            }
        }
        out
    }

    /// The text after the bar, for a line without a bar: `8s 775ms/step - loss: 0.6672`.
    pub fn summary(&self) -> String {
        self.numbers().trim_start_matches(" - ").to_owned()
    }

    /// The line as Keras prints it in a terminal, without a line break.
    pub fn to_text(&self) -> String {
        if self.total == 0 {
            return format!("{:>7}{}", self.count(), self.numbers());
        }
        let filled = (BAR * self.done.min(self.total) / self.total) as usize;
        let mut bar = "=".repeat(filled.saturating_sub(1));
        if filled > 0 {
            bar.push(if self.finished() { '=' } else { '>' });
        }
        let bar = format!("{bar:.<width$}", width = BAR as usize);
        format!("{} [{bar}]{}", self.count(), self.numbers())
    }

    /// The line with a bar as HTML. The bar uses the browser's colours for light and dark pages.
    pub fn to_html(&self) -> String {
        let place = match self.total {
            0 => String::new(),
            total => format!(" max=\"{total}\" value=\"{}\"", self.done.min(total)),
        };
        let numbers = self.numbers();
        let numbers = escape(numbers.trim_start_matches(" - ")).replace(" - ", " · ");
        format!(
            "<div style=\"display:flex;align-items:center;gap:10px;\
             font-variant-numeric:tabular-nums\"><progress{place} style=\"width:240px;\
             accent-color:#0066b8\">{count}</progress><code>{count}</code><span>{numbers}</span></div>",
            count = self.count(),
        )
    }
}

fn each(seconds: f64) -> String {
    if seconds >= 1.0 || seconds == 0.0 {
        format!("{seconds:.0}s/step")
    } else if seconds >= 1e-3 {
        format!("{:.0}ms/step", seconds * 1e3)
    } else {
        format!("{:.0}us/step", seconds * 1e6)
    }
}

fn remaining(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}:{rest:02}"),
        (hours, minutes) => format!("{hours}:{minutes:02}:{rest:02}"),
    }
}

impl Rich for Progress {
    fn bundle(&self) -> Bundle {
        Bundle::text(self.to_text()).html(self.to_html())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn the_last_line_has_the_form_of_the_report() {
        // Figure 3 of the report: `10/10 [====...] - 8s 775ms/step - loss: 0.6672 - acc: 0.5844`.
        let line = Progress::new(10, 10)
            .elapsed(Duration::from_millis(7750))
            .metric("loss", 0.6672)
            .metric("acc", 0.5844);
        let bar = "=".repeat(30);
        let expected = format!("10/10 [{bar}] - 8s 775ms/step - loss: 0.6672 - acc: 0.5844");
        assert_eq!(line.to_text(), expected);
    }

    #[test]
    fn the_first_line_has_no_time_yet() {
        assert_snapshot!(Progress::new(0, 10).elapsed(Duration::ZERO).to_text(), @" 0/10 [..............................]");
    }

    #[test]
    fn long_waits_and_small_losses() {
        let line = Progress::new(1, 1000).elapsed(Duration::from_secs(5)).metric("loss", 1.25e-5);
        assert_snapshot!(line.to_text(), @"   1/1000 [..............................] - ETA: 1:23:15 - loss: 1.2500e-05");
        assert_snapshot!(Progress::new(3, 0).metric("loss", f64::NAN).to_text(), @"3/Unknown - loss: NaN");
    }

    #[test]
    fn html_escapes_names() {
        assert_snapshot!(Progress::new(1, 2).metric("<b>", 0.5).to_html(), @r#"<div style="display:flex;align-items:center;gap:10px;font-variant-numeric:tabular-nums"><progress max="2" value="1" style="width:240px;accent-color:#0066b8">1/2</progress><code>1/2</code><span>&lt;b&gt;: 0.5000</span></div>"#);
    }
}
