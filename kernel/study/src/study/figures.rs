//! The charts of a study, and its verdict in words.

use super::{Group, Study, accuracy, machine, reasons, with_interval};
use crate::compare::{Comparison, Quantity, compare, counts};
use crate::error::Error;
use crate::record::Record;
use crate::statistics::{Summary, quantile};
use benchbook_chart::{BarChart, Cell, LineChart, Table};

impl Study {
    /// A sentence about the time of `train` for each backend but the baseline: its ratio to the baseline, that the difference
    /// is not significant, or why the ratio does not count.
    pub fn verdict(&self) -> Vec<String> {
        let groups = self.groups();
        let sentence = |group: &Group<'_>| {
            let valid = group.valid();
            if valid.is_empty() {
                let why = reasons(&group.records);
                let why = if why.is_empty() { "no run that counts".into() } else { why.join("; ") };
                return Some(format!("{} has no figures ({why}).", group.name));
            }
            let base = self.base_of(group, &groups)?;
            if base.name == group.name {
                return None;
            }
            if base.valid().is_empty() {
                return Some(format!("{} has no ratio: {} has no figures.", group.name, base.name));
            }
            let found = compare(&base.valid(), &valid, Quantity::Train)?;
            Some(words(&base.name, &group.name, &found))
        };
        groups.iter().filter_map(sentence).collect()
    }

    /// A bar chart of a phase: medians with quartiles as error bars, and a point per run. Backends without measured times, or
    /// with a run that did not reach the accuracy, have no bar.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn chart(&self, quantity: Quantity) -> Result<BarChart, Error> {
        let title = match quantity {
            Quantity::ToAccuracy(target) => format!("Time to accuracy {target}"),
            Quantity::Step => "Time of a training step with its batch in memory".into(),
            phase => format!("Time of the phase {}", phase.name()),
        };
        let all_reach = |group: &Group<'_>| {
            quantity == quantity.phase()
                || group.valid().iter().all(|run| quantity.seconds(run).is_some())
        };
        self.medians(&title, "time [s]", all_reach, |record| quantity.seconds(record))
    }

    /// A bar chart of the training images per second: medians with quartiles as error bars, and a point per run.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn rate_chart(&self) -> Result<BarChart, Error> {
        let rate = |record: &Record| record.throughput.training;
        self.medians("Training rate", "images per second [1/s]", |_| true, rate)
    }

    fn medians(
        &self,
        title: &str,
        y: &str,
        has_bar: impl Fn(&Group<'_>) -> bool,
        of: impl Fn(&Record) -> Option<f64>,
    ) -> Result<BarChart, Error> {
        let mut chart = BarChart::new(title, [""])
            .y(y)
            .subtitle(self.conditions("medians; error bars: quartiles; points: single runs"));
        for group in self.groups().iter().filter(|group| has_bar(group)) {
            let runs = group.values(&of);
            if let Some(Summary { median, lower, upper, .. }) = Summary::of(&runs) {
                let bar = chart.series_with_interval(&group.name, [median], [lower], [upper])?;
                chart = bar.runs([runs])?;
            }
        }
        Ok(chart)
    }

    /// A bar chart of the ratios of `train` to the baseline with their intervals, and a point per pair of runs. Ratios that do
    /// not count are only in the table.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn ratio_chart(&self) -> Result<BarChart, Error> {
        let groups = self.groups();
        let drawn = "error bars: 95% intervals; points: single pairs of runs";
        let mut chart = BarChart::new("Time of train as a multiple of the baseline's", [""])
            .y("ratio")
            .subtitle(self.conditions(drawn));
        for group in &groups {
            let Some(base) = self.base_of(group, &groups) else { continue };
            if base.valid().is_empty() {
                continue;
            }
            if std::ptr::eq(base, group) {
                chart = chart.series(&group.name, [1.0])?;
            } else if let Some(found) = compare(&base.valid(), &group.valid(), Quantity::Train)
                && found.is_comparable()
            {
                let value = found.ratio.value;
                let (low, high) = found.ratio.interval.unwrap_or((value, value));
                let bar = chart.series_with_interval(&group.name, [value], [low], [high])?;
                chart = bar.runs([found.pairs])?;
            }
        }
        Ok(chart)
    }

    /// The subtitle of a chart: the job, the machine, and what is drawn. The names of the bars distinguish several jobs or
    /// machines.
    pub(super) fn conditions(&self, drawn: &str) -> String {
        let shared = |of: fn(&Record) -> String, several: &str| {
            let valid = self.records().iter().filter(|record| counts(record));
            let mut all: Vec<String> = valid.map(of).filter(|words| !words.is_empty()).collect();
            all.sort();
            all.dedup();
            if all.len() > 1 { Some(format!("{} {several}", all.len())) } else { all.pop() }
        };
        let machine = |record: &Record| machine(record).unwrap_or_default();
        let parts = [
            shared(job, "jobs"),
            shared(machine, "machines"),
            shared(threads, "numbers of threads"),
            Some(drawn.into()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// A line chart of the validation accuracy after each epoch against the seconds of training: medians over the runs, and a
    /// point per epoch of each run.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn accuracy_chart(&self) -> Result<LineChart, Error> {
        let mut chart = LineChart::new("Accuracy against time")
            .x("time of training and validation [s]")
            .y("validation accuracy")
            .subtitle(self.conditions("medians; small points: each run's epochs"))
            .markers(true);
        for group in &self.groups() {
            let runs: Vec<Vec<(f64, f64)>> =
                group.valid().into_iter().map(Record::learned).collect();
            let epochs = runs.iter().map(Vec::len).min().unwrap_or(0);
            let at = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> {
                let values =
                    |epoch: usize| runs.iter().map(|run| of(&run[epoch])).collect::<Vec<_>>();
                (0..epochs).filter_map(|epoch| quantile(&values(epoch), 0.5)).collect()
            };
            if epochs > 0 {
                let line = chart.points(&group.name, at(|point| point.0), at(|point| point.1))?;
                let (x, y): (Vec<f64>, Vec<f64>) = runs.into_iter().flatten().unzip();
                chart = line.runs(x, y)?;
            }
        }
        Ok(chart)
    }

    /// A table of the time until the end of the first epoch with this validation accuracy, 0 to 1.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn time_to_accuracy(&self, wanted: f64) -> Result<Table, Error> {
        let head = format!("time to accuracy {wanted} [s]");
        let mut table =
            Table::new(["backend", &head, "×", "runs that reached it", "accuracy at the end"])
                .numeric()
                .caption("Medians with their 95% intervals");
        let groups = self.groups();
        let quantity = Quantity::ToAccuracy(wanted);
        for group in &groups {
            let valid = group.valid();
            let reached = valid.iter().filter(|run| quantity.seconds(run).is_some()).count();
            let end = group.summary(accuracy);
            let times = group.times_to(wanted);
            let [ratio, _] = self.ratios(group, &groups, quantity);
            table = table.row([
                Cell::from(&group.name),
                times.map_or_else(|_| "–".into(), |times| with_interval(&times)),
                ratio,
                format!("{reached} of {}", valid.len()).into(),
                end.map_or_else(|| "–".into(), |end| format!("{:.3}", end.median).into()),
            ])?;
        }
        Ok(table)
    }
}

/// The job in one line: net, size of the images, batch, epochs and images. Skips what is not stated.
fn job(record: &Record) -> String {
    let Record { net, data, training, .. } = record;
    let training = training.as_ref();
    let name = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
    let epochs = training.and_then(|training| training.epochs);
    let images = name(&data.name).map(|name| match data.training + data.validation {
        0 => name,
        _ => format!("{name} ({} + {} images)", data.training, data.validation),
    });
    let parts = [
        name(&net.name),
        net.input_size.map(|[height, width]| format!("{height} × {width} px")),
        (net.base.as_deref() == Some("frozen")).then(|| "base frozen".into()),
        training.and_then(|training| training.batch_size).map(|batch| format!("batch {batch}")),
        epochs.map(|count| format!("{count} epoch{}", if count == 1 { "" } else { "s" })),
        images,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The number of threads of a run on a processor, and of its ranks if there are several.
fn threads(record: &Record) -> String {
    let library = &record.library;
    let threads = library.threads.filter(|_| library.device.as_deref() == Some("cpu"));
    match (threads, library.ranks) {
        (None, _) => String::new(),
        (Some(threads), None) => format!("{threads} threads"),
        (Some(threads), Some(ranks)) => format!("{ranks} ranks, threads in each: {threads}"),
    }
}

fn words(base: &str, name: &str, found: &Comparison) -> String {
    if let Some(why) = found.why_not() {
        let per_image = found.per_image.as_ref().map_or_else(String::new, |per_image| {
            let doubt = found.why_not_per_image().map_or("", |_| ", which does not count either");
            format!(" Per image {name} takes {per_image} times as long{doubt}.")
        });
        return format!("No ratio of {name} to {base} counts ({why}).{per_image}");
    }
    let value = found.ratio.value;
    match (found.ratio.interval, found.ratio.shows_difference()) {
        (Some((low, high)), _) if found.ratio.is_equivalent() == Some(true) => format!(
            "{name} and {base} take equally long to train, within 5 %: {value:.2} (95% interval {low:.2} to {high:.2})."
        ),
        (Some((low, high)), Some(true)) => format!(
            "{name} takes {value:.2} times as long as {base} to train (95% interval {low:.2} to {high:.2})."
        ),
        (Some((low, high)), _) => format!(
            "The difference between {name} and {base} is not significant: the ratio of their training times is {value:.2}, \
             and its 95% interval, {low:.2} to {high:.2}, contains 1."
        ),
        (None, _) => format!(
            "{name} took {value:.2} times as long as {base} to train, in a single pair of runs: there is no interval."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated;
    use crate::price::Price;
    use crate::record::{Epoch, ImagesSeen, Metrics, Status, Throughput};
    use benchbook_chart::Chart;
    use insta::assert_snapshot;

    /// A run with all conditions stated, and two epochs of half of `train` seconds each.
    fn run(backend: &str, round: usize, train: f64, accuracies: [f64; 2]) -> Record {
        let epochs = accuracies.into_iter().zip(1..).map(|(accuracy, epoch)| Epoch {
            epoch,
            val_accuracy: Some(accuracy),
            training_seconds: train / 2.0 - 0.1,
            validation_seconds: 0.1,
            ..Epoch::default()
        });
        Record {
            images_seen: ImagesSeen { training: Some(320), validation: Some(100), test: Some(10) },
            throughput: Throughput { training: Some(320.0 / train), ..Throughput::default() },
            epochs: epochs.collect(),
            metrics: Metrics { val_accuracy: Some(accuracies[1]), ..Metrics::default() },
            ..stated(backend, round, train)
        }
    }

    fn study() -> Study {
        let mut records = Vec::new();
        for (round, time) in [10.0, 11.0, 12.0].into_iter().enumerate() {
            records.push(run("libtorch", round, time, [0.8, 0.9]));
            records.push(run("tensorflow", round, 1.5 * time, [0.91, 0.92]));
            records.push(run("python-keras", round, time + round as f64 - 1.0, [0.8, 0.85]));
            let status = Status::Failed { message: "not installed".into() };
            records.push(Record { status, ..run("caffe", round, 1.0, [0.0; 2]) });
        }
        Study::of_records(records)
    }

    #[test]
    fn the_verdict_says_of_each_backend_what_its_runs_show() {
        // The ratios of Keras are 9/10, 11/11 and 13/12.
        assert_snapshot!(study().verdict().join("\n"), @"
        tensorflow takes 1.50 times as long as libtorch to train (95% interval 1.50 to 1.50).
        The difference between python-keras and libtorch is not significant: the ratio of their training times is 1.00, and its 95% interval, 0.79 to 1.25, contains 1.
        caffe has no figures (failed: not installed (3 runs)).
        ");
    }

    #[test]
    fn charts_name_the_job_and_the_machine_or_how_many_there_are() {
        let mut records = study().records().to_vec();
        for record in &mut records {
            record.library.device_name = Some("EPYC".into());
            record.training.as_mut().unwrap().epochs = Some(1);
            (record.data.training, record.data.validation) = (80, 20);
        }
        let subtitle = |records: &[Record]| {
            let chart = Study::of_records(records.to_vec()).chart(Quantity::Train).unwrap();
            chart.data().subtitle.clone()
        };
        assert_snapshot!(subtitle(&records), @"vgg16, 64 × 64 px, batch 32, 1 epoch, photos (80 + 20 images); EPYC; 2 threads; medians; error bars: quartiles; points: single runs");
        records[0].library.device_name = Some("Ryzen".into());
        records[1].library.threads = Some(4);
        assert_snapshot!(subtitle(&records), @"vgg16, 64 × 64 px, batch 32, 1 epoch, photos (80 + 20 images); 2 machines; 2 numbers of threads; medians; error bars: quartiles; points: single runs");
    }

    #[test]
    fn time_to_accuracy_counts_only_where_every_run_came_there() {
        // Logarithms of 10, 11 and 12: mean 2.3951, standard error 0.05265, times 4.303.
        // TensorFlow comes there after the first of two epochs of 7.5, 8.25 and 9 s.
        assert_snapshot!(study().time_to_accuracy(0.9).unwrap().to_text(), @"
        Medians with their 95% intervals
        backend       time to accuracy 0.9 [s]                    ×  runs that reached it  accuracy at the end
        ------------  ------------------------  -------------------  --------------------  -------------------
        libtorch            11.0 (8.7 to 13.8)                    1                3 of 3                0.900
        tensorflow        8.25 (6.56 to 10.32)  0.75 (0.75 to 0.75)                3 of 3                0.920
        python-keras                         –                    –                0 of 3                0.850
        caffe                                –                    –                0 of 0                    –
        ");
    }

    #[test]
    fn the_studys_table_has_the_target_and_the_costs() {
        let mut records = study().records().to_vec();
        for record in &mut records {
            record.wall_seconds = record.phases.train.map(|seconds| seconds + 8.0);
        }
        // The last round of Keras misses 0.8.
        records[10].epochs.iter_mut().for_each(|epoch| epoch.val_accuracy = Some(0.7));
        let price = Price::try_from("3.60 EUR".to_owned()).unwrap();
        let study = Study::of_records(records).target_accuracy(0.8).price_per_hour(price);
        let table = study.table().unwrap();
        assert_eq!(
            table.headers()[13..],
            [
                "to accuracy 0.8 [s]",
                "to accuracy ×",
                "cost per run [EUR]",
                "cost to accuracy [EUR]"
            ]
        );
        let row = |row: usize| {
            table.rows()[row][13..].iter().map(|cell| cell.text.clone()).collect::<Vec<_>>()
        };
        // 0.001 EUR a second: 18, 19 and 20 s a run, of which 5, 5.5 and 6 s to the target.
        let costs = ["0.0190 (0.0167 to 0.0216)", "0.00550 (0.00437 to 0.00688)"];
        assert_eq!(row(0), ["5.50 (4.37 to 6.88)", "1", costs[0], costs[1]]);
        assert_eq!(row(1)[1], "1.50 (1.50 to 1.50)");
        let keras = row(2);
        assert_eq!((keras[0].as_str(), keras[1].as_str()), ("reached in 2 of 3 rounds", "–"));
        assert_eq!((keras[3].as_str(), row(3)[0].as_str()), ("–", "–"));
        let missed = table.rows()[2][13].note.as_deref();
        assert_eq!(missed, Some("after 4.5 s, 5.5 s"));
    }

    /// Three trainings with 90 of 100 images right on average.
    #[test]
    fn an_accuracy_has_an_interval_over_seeds_if_each_round_has_its_own() {
        let of = |seed: fn(u64) -> u64| {
            let accuracies = [0.88, 0.9, 0.92].into_iter().enumerate();
            let mut records: Vec<Record> =
                accuracies.map(|(round, last)| run("a", round, 10.0, [0.5, last])).collect();
            for record in &mut records {
                record.epochs[1].validation_images = 100;
                let own = record.training.as_mut().unwrap();
                own.seed = own.seed.map(seed);
            }
            let table = Study::of_records(records).table().unwrap();
            table.rows()[0][9].clone()
        };
        // Wilson's interval of 90 in 100 is 0.8256 to 0.9448, and 4.303 × 0.02 / √3 = 0.0497.
        assert_eq!(of(|seed| seed).text, "0.900 (0.811 to 0.967)");
        assert_eq!(of(|_| 7).text, "0.900 (0.826 to 0.945)");
        assert!(of(|_| 7).note.unwrap().contains("not other seeds"));
    }

    #[test]
    fn the_charts_draw_medians_over_the_runs() {
        let chart = study().accuracy_chart().unwrap();
        let series = &chart.data().series[0];
        assert_eq!((series.x.as_slice(), series.y.as_slice()), (&[5.5, 11.0][..], &[0.8, 0.9][..]));
        assert_eq!(series.runs.len(), 6, "two epochs of each run");
        assert_eq!(chart.data().series.len(), 3, "no line for what failed");
        let rates = study().rate_chart().unwrap();
        assert_eq!(rates.data().series[1].values, [320.0 / 16.5]);
        assert_eq!(rates.data().series[1].runs, [[320.0 / 15.0, 320.0 / 16.5, 320.0 / 18.0]]);
        assert!(rates.title().starts_with("Training rate"));
        let ratios = study().ratio_chart().unwrap();
        assert_eq!(ratios.data().series[2].runs, [[9.0 / 10.0, 11.0 / 11.0, 13.0 / 12.0]]);
    }
}
