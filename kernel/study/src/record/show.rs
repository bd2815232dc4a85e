//! Shows a record as a table and a chart.

use super::{Epoch, Record};
use crate::conditions::{CONDITIONS, json};
use benchbook_chart::{BarChart, Chart, Curves, Table};
use benchbook_display::{Bundle, Rich};

impl Record {
    /// A bar chart of the phases' seconds. The axis is logarithmic if the shortest phase would be lower than a pixel.
    ///
    /// # Errors
    /// [`benchbook_chart::Error`].
    pub fn phase_chart(&self) -> Result<BarChart, benchbook_chart::Error> {
        let (names, seconds): (Vec<_>, Vec<_>) = self.phases.measured().into_iter().unzip();
        let chart = BarChart::new(format!("{}: time of each phase", self.name), names)
            .series(&self.library.name, seconds)?;
        let chart = chart.log_y_beyond(300.0);
        Ok(chart.y("time [s]").subtitle(self.conditions()).source(self.id(), "/phases"))
    }

    /// The record's id in charts: the run's name and start time.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.started)
    }

    /// Accuracy and loss of each epoch.
    pub fn curves(&self) -> Curves {
        let of = |value: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<f64> {
            self.epochs.iter().filter_map(value).collect()
        };
        let count = self.epochs.len();
        let plural = if count == 1 { "" } else { "s" };
        Curves::new(format!("{}: training, {count} epoch{plural}", self.name))
            .metric("accuracy", of(&|e| Some(e.accuracy)), of(&|e| e.val_accuracy))
            .metric("loss", of(&|e| Some(e.loss)), of(&|e| e.val_loss))
            .subtitle(self.conditions())
            .source(self.id(), "/epochs")
    }

    /// The subtitle of a chart: size of the images, whether the base is frozen, batch size, library, device and threads.
    /// Skips what is not stated.
    pub fn conditions(&self) -> String {
        let size = self.net.input_size.map(|[height, width]| format!("{height} × {width} px"));
        let frozen = (self.net.base.as_deref() == Some("frozen")).then(|| "base frozen".into());
        let batch = self.training.as_ref().and_then(|training| training.batch_size);
        let batch = batch.map(|batch| format!("batch {batch}"));
        let work: Vec<String> = [size, frozen, batch].into_iter().flatten().collect();
        let library = &self.library;
        let version =
            library.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        let machine = library.device_name.as_deref().unwrap_or("unknown processor");
        let threads = match (library.device.as_deref(), library.threads) {
            (Some("cpu"), Some(threads)) => format!(", {threads} threads"),
            _ => String::new(),
        };
        format!("{}; {}{version} on {machine}{threads}", work.join(", "), library.name)
    }

    /// A table of the conditions and results.
    ///
    /// # Errors
    /// [`benchbook_chart::Error`].
    pub fn table(&self) -> Result<Table, benchbook_chart::Error> {
        let mut table = Table::new(["", &self.name]);
        for (name, value) in self.rows() {
            table = table.row([name.replace('_', " "), value])?;
        }
        Ok(table)
    }

    /// The conditions, one row per group, and then the results.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let seconds = |value: Option<f64>| value.map(|seconds| format!("{seconds:.3} s"));
        let share = |value: Option<f64>| value.map(|share| format!("{share:.4}"));
        let rate = |value: Option<f64>| value.map(|rate| format!("{rate:.1} images/s"));
        let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        let listed = |parts: Vec<Option<String>>| {
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        };
        let memory = self.peak_memory.host_bytes.map(|bytes| {
            let scope = if self.peak_memory.host_reset { "of the run" } else { "of the process" };
            format!("{} ({scope})", megabytes(bytes))
        });
        let parts = &self.train_parts;
        let spent = (parts.training > 0.0).then(|| {
            let waiting = parts.input_wait.map(|wait| format!(" (waiting for input {wait:.2} s)"));
            let mut text = format!(
                "steps {:.2} s{}, validation {:.2} s, callbacks {:.2} s",
                parts.training,
                waiting.unwrap_or_default(),
                parts.validation,
                parts.callbacks
            );
            if parts.features > 0.0 {
                text += &format!(", features once {:.2} s", parts.features);
            }
            text
        });
        let ms = |name: &str, seconds: Option<f64>| {
            seconds.map(|seconds| format!("{name} {:.1} ms", seconds * 1e3))
        };
        let load = &self.load_parts;
        let loading = listed(vec![
            ms("list", load.list),
            ms("first batch", load.first_batch),
            ms("decode", load.decode),
            ms("transform", load.transform),
            ms("copy", load.copy),
        ]);
        let build = &self.build_parts;
        let building = listed(vec![
            ms("download", build.download),
            ms("read", build.read),
            ms("initialise", build.initialise),
            ms("to the device", build.to_device),
            ms("first step", build.first_step),
        ]);
        let mut rows: Vec<(&'static str, String)> =
            self.reason().map(|reason| ("status", reason)).into_iter().collect();
        rows.push(("library", self.library.name.clone()));
        let json = json(self);
        for condition in CONDITIONS {
            let Some(text) = condition.shown(&json) else { continue };
            match rows.last_mut() {
                Some((group, line)) if *group == condition.group() => *line += &format!(", {text}"),
                _ => rows.push((condition.group(), text)),
            }
        }
        let results = [
            (
                "skipped",
                (self.data.skipped > 0).then(|| {
                    format!("{} files: {}", self.data.skipped, self.data.skipped_files.join("; "))
                }),
            ),
            ("load", seconds(self.phases.load)),
            ("of which", loading),
            ("build", seconds(self.phases.build)),
            ("of which", building),
            ("train", seconds(self.phases.train)),
            ("of which", spent),
            ("test", seconds(self.phases.test)),
            ("training rate", rate(self.throughput.training)),
            ("after the first epoch", rate(self.throughput.later_epochs)),
            ("verdict", self.rates.map(|rates| rates.to_string())),
            ("peak memory", memory),
            ("training accuracy", share(self.metrics.accuracy)),
            ("validation accuracy", share(self.metrics.val_accuracy)),
            (
                "figures",
                (self.provenance != super::Provenance::Measured)
                    .then(|| self.provenance.to_string()),
            ),
        ];
        rows.extend(results.into_iter().filter_map(|(name, value)| Some((name, value?))));
        rows
    }
}

impl Rich for Record {
    fn bundle(&self) -> Bundle {
        let (table, chart) = match (self.table(), self.phase_chart()) {
            (Ok(table), Ok(chart)) => (table, chart),
            (Err(error), _) | (_, Err(error)) => {
                return Bundle::text(format!("{self:?}\n({error})"));
            }
        };
        let html = format!("<div>{}{}</div>", table.to_html(), chart.svg());
        Bundle::text(table.to_text()).html(html)
    }
}
