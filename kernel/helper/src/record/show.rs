//! A record as a table and a chart.

use super::Record;
use crate::backend::Base;
use crate::vgg::thousands;
use benchbook_chart::{BarChart, Chart, Curves, Table};
use benchbook_display::{Bundle, Rich};

impl Record {
    /// The seconds of the phases, as the report draws them.
    ///
    /// # Errors
    /// [`benchbook_chart::Error`] if no phase was measured.
    pub fn phase_chart(&self) -> Result<BarChart, benchbook_chart::Error> {
        let chart =
            BarChart::of(format!("{}: time of each phase", self.name), self.phases.measured());
        Ok(chart.y("time [s]").subtitle(self.conditions()).source(self.id(), "/phases"))
    }

    /// Accuracy and loss of each epoch.
    pub fn curves(&self) -> Curves {
        let curves = self.history.curves();
        let title = format!("{}: {}", self.name, curves.title().to_lowercase());
        curves.titled(title).subtitle(self.conditions()).source(self.id(), "/history/epochs")
    }

    /// One line for under a chart: size of the pictures, batch, library, device, machine.
    pub fn conditions(&self) -> String {
        let batch =
            self.fit.as_ref().map_or(String::new(), |fit| format!(", batch {}", fit.batch_size));
        let machine = match self.environment.gpus.as_slice() {
            [gpu, ..] if self.backend.device != "cpu" => gpu.clone(),
            _ => {
                let cpu = self.environment.cpu.as_deref().unwrap_or("unknown processor");
                format!("{cpu}, {} threads", self.backend.threads)
            }
        };
        format!(
            "{0} × {0} px{batch}; {1} {2} on {machine}",
            self.net.size, self.backend.name, self.backend.version
        )
    }

    /// What was run and what came out, one line a fact.
    ///
    /// # Errors
    /// [`benchbook_chart::Error`].
    pub fn table(&self) -> Result<Table, benchbook_chart::Error> {
        let mut table = Table::new(["", &self.name]);
        for (name, value) in self.rows() {
            table = table.row([name.to_owned(), value])?;
        }
        Ok(table)
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let seconds = |value: Option<f64>| value.map(|seconds| format!("{seconds:.3} s"));
        let share = |value: Option<f64>| value.map(|share| format!("{share:.4}"));
        let rate = |value: Option<f64>| value.map(|rate| format!("{rate:.1} images/s"));
        let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        let backend = &self.backend;
        let net = &self.net;
        let base = match self.base {
            Base::Trainable => "trainable",
            Base::Frozen => "frozen",
        };
        let weights = net.weights.describe(net.seed);
        let fit = self.fit.as_ref();
        let memory = self.peak_memory.host_bytes.map(|bytes| {
            let scope = if self.peak_memory.host_reset { "of the run" } else { "of the process" };
            format!("{} ({scope})", megabytes(bytes))
        });
        let waiting = self.phases.train.map(|_| {
            let parts = &self.train_parts;
            let mut text = format!(
                "steps {:.2} s (waiting for input {:.2} s), validation {:.2} s, callbacks {:.2} s",
                parts.training, parts.input_wait, parts.validation, parts.callbacks
            );
            if self.cache_features {
                text += &format!(", features once {:.2} s", parts.features);
            }
            text
        });
        let all = [
            ("library", Some(format!("{} {}", backend.name, backend.version))),
            (
                "device",
                Some(format!(
                    "{}, {} threads, {}",
                    backend.device, backend.threads, backend.precision
                )),
            ),
            (
                "net",
                Some(format!("{}, {} head, base {}", net.architecture().name(), net.head, base)),
            ),
            ("weights", Some(weights)),
            (
                "parameters",
                Some(format!(
                    "{} trainable of {}",
                    thousands(self.trainable_parameters),
                    thousands(self.parameters)
                )),
            ),
            ("input", Some(format!("{0} × {0} pixels, {1}", net.size, self.preprocessing))),
            (
                "training",
                fit.map(|fit| {
                    let rate = self.learning_rate.unwrap_or_default();
                    format!(
                        "{}, rate {rate} ({:?}), batch {}, seed {}",
                        fit.optimizer, fit.schedule, fit.batch_size, fit.seed
                    )
                }),
            ),
            (
                "images seen",
                Some(format!(
                    "{} in training, {} in validation, {} in the test",
                    self.images_seen.training, self.images_seen.validation, self.images_seen.test
                )),
            ),
            ("load", seconds(self.phases.load)),
            ("build", seconds(self.phases.build)),
            ("train", seconds(self.phases.train)),
            ("of which", waiting),
            ("test", seconds(self.phases.test)),
            ("training rate", rate(self.throughput.training)),
            ("peak memory", memory),
            ("training accuracy", share(self.metrics.accuracy)),
            ("validation accuracy", share(self.metrics.val_accuracy)),
            ("processor", self.environment.cpu.clone()),
            ("GPU", (!self.environment.gpus.is_empty()).then(|| self.environment.gpus.join(", "))),
            ("Benchbook", Some(self.revision.clone())),
        ];
        all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
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
