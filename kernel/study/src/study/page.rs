//! Writes a study as one self-contained HTML page.

use super::{Group, Study, accuracy, peak_bytes};
use crate::compare::Quantity;
use crate::conditions::{CONDITIONS, json, words};
use crate::error::Error;
use crate::files::write_atomically;
use crate::record::Record;
use benchbook_chart::{Cell, Chart, Table};
use benchbook_display::escape;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;\
    color:#22252a;background:#fff}section>div{overflow-x:auto}table{font-size:13px}td{overflow-wrap:anywhere}\
    svg{margin:.5rem .5rem 0 0}pre{overflow-x:auto;font-size:12px}";

impl Study {
    /// Writes the study as a self-contained HTML page: the verdict, the table, the ratios of all phases and what invalidates
    /// them, the charts, the environment and conditions, every run, and the job.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Chart`].
    pub fn write_html(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let (path, page) = (path.as_ref(), self.html_page()?);
        write_atomically(path, |file| file.write_all(page.as_bytes()))
            .map_err(|source| Error::File { action: "write", path: path.into(), source })
    }

    fn html_page(&self) -> Result<String, Error> {
        let records = self.records();
        let studies: BTreeSet<&str> =
            records.iter().filter_map(|r| Some(r.place.as_ref()?.study.as_str())).collect();
        let title = studies.into_iter().collect::<Vec<_>>().join(", ");
        let title = escape(if title.is_empty() { "Runs" } else { &title });
        let started = || records.iter().map(|record| record.started).filter(|at| *at > 0);
        let when = match (started().min(), started().max()) {
            (Some(first), Some(last)) => format!(", {} to {} UTC", utc(first), utc(last)),
            _ => String::new(),
        };
        let lines = |lines: Vec<String>| -> String {
            lines.iter().map(|line| format!("<p>{}</p>\n", escape(line))).collect()
        };
        let (shared, differing) = self.stated()?;
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<p>{} runs{when}. Ratios that are struck \
             through do not count; their notes say why.</p>\n",
            records.len(),
        );
        let unreadable =
            self.unreadable().iter().map(|line| format!("cannot read {line}")).collect();
        let sections = [
            ("Result", lines(self.verdict()) + &self.table()?.to_html() + &lines(unreadable)),
            ("Ratios of the phases", self.ratio_table()?.to_html()),
            ("Where the time goes", self.parts()?.to_html()),
            ("Charts", self.charts()?),
            ("Environment and conditions of all runs", shared.to_html()),
            ("Environment and conditions that differ", differing.to_html()),
            ("Every run", self.run_table()?.to_html()),
            ("Job", self.jobs()),
        ];
        for (heading, content) in sections.into_iter().filter(|(_, content)| !content.is_empty()) {
            page += &format!("<section><h2>{heading}</h2>\n<div>{content}</div></section>\n");
        }
        Ok(page + "</body>\n</html>\n")
    }

    /// The times of each phase as multiples of the baseline's, struck through with the reason if conditions differ.
    fn ratio_table(&self) -> Result<Table, Error> {
        let groups = self.groups();
        let heads = Quantity::PHASES.map(|quantity| format!("{} ×", quantity.name()));
        let heads = ["backend", "baseline"].map(String::from).into_iter().chain(heads);
        let mut table = Table::new(heads).numeric();
        for group in &groups {
            let Some(base) = self.base_of(group, &groups) else { continue };
            let ratio = |quantity| {
                let [ratio, _per_image] = self.ratios(group, &groups, quantity);
                ratio
            };
            let names = [&group.name, &base.name].map(Cell::from);
            table = table.row(names.into_iter().chain(Quantity::PHASES.map(ratio)))?;
        }
        Ok(table)
    }

    fn charts(&self) -> Result<String, Error> {
        let mut bars = Vec::new();
        for quantity in Quantity::PHASES {
            bars.push(self.chart(quantity)?);
        }
        bars.extend([self.rate_chart()?, self.ratio_chart()?]);
        let drawn = bars.into_iter().filter(|chart| !chart.data().series.is_empty());
        let accuracy = self.accuracy_chart()?;
        let accuracy = (!accuracy.data().series.is_empty()).then(|| accuracy.svg());
        let scaling = self.has_scaling().then(|| self.scaling_chart()).transpose()?;
        let scaling = scaling.map(|chart| chart.svg());
        Ok(drawn.map(|chart| chart.svg()).chain(accuracy).chain(scaling).collect())
    }

    /// The environment and conditions of the successful runs: the values that all runs share, and those that differ, with a
    /// column per backend.
    fn stated(&self) -> Result<(Table, Table), Error> {
        let groups = self.groups();
        let groups: Vec<&Group<'_>> = groups.iter().filter(|g| !g.valid().is_empty()).collect();
        // Several values within a group are joined.
        let of_group = |what: &dyn Fn(&Record) -> Value| {
            let words = |group: &&Group<'_>| {
                let values: BTreeSet<String> =
                    group.valid().into_iter().map(|run| words(&what(run))).collect();
                values.into_iter().collect::<Vec<_>>().join(" | ")
            };
            groups.iter().map(words).collect::<Vec<String>>()
        };
        let processor = of_group(&|run| run.environment.cpu.clone().into());
        let mut rows = vec![("processor".to_owned(), processor)];
        rows.extend(CONDITIONS.iter().map(|condition| {
            let name = format!("{} {}", condition.name, condition.unit).trim().to_owned();
            (name, of_group(&|run| condition.of(&json(run))))
        }));
        let mut shared = Table::new(["", "all runs"]);
        let names = groups.iter().map(|group| group.name.as_str());
        let mut differing = Table::new([""].into_iter().chain(names));
        for (name, mut values) in rows {
            if values.is_empty() {
                continue;
            }
            if values.iter().all(|value| *value == values[0]) {
                shared = shared.row([name, values.swap_remove(0)])?;
            } else {
                differing = differing.row([name].into_iter().chain(values))?;
            }
        }
        Ok((shared, differing))
    }

    fn run_table(&self) -> Result<Table, Error> {
        let mut table = Table::new([
            "backend",
            "round",
            "began (UTC)",
            "load [s]",
            "build [s]",
            "train [s]",
            "test [s]",
            "images/s",
            "loss",
            "accuracy",
            "peak memory [MB]",
            "notes",
        ])
        .numeric();
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
        };
        for group in self.groups() {
            for record in &group.records {
                let place = record.place.as_ref();
                let began = if record.started > 0 { utc(record.started) } else { "–".into() };
                let round = place.map_or_else(|| "–".into(), |place| place.round.to_string());
                let mut cells = vec![group.name.clone(), round, began];
                cells.extend(Quantity::PHASES.map(|quantity| number(quantity.seconds(record), 3)));
                cells.extend([
                    number(record.throughput.training, 1),
                    number(record.metrics.loss, 4),
                    number(accuracy(record), 4),
                    number(peak_bytes(record).map(|bytes| bytes as f64 / 1e6), 0),
                    remarks(record).join("; "),
                ]);
                table = table.row(cells)?;
            }
        }
        Ok(table)
    }

    /// The distinct jobs of the records, in the form for `benchbook reproduce`.
    fn jobs(&self) -> String {
        let mut jobs: Vec<String> = Vec::new();
        for job in self.records().iter().filter_map(|record| record.job.as_ref()) {
            let text = format!("<pre>{}</pre>\n", escape(&format!("{job:#}")));
            if !jobs.contains(&text) {
                jobs.push(text);
            }
        }
        jobs.concat()
    }
}

fn remarks(record: &Record) -> Vec<String> {
    let warm_up = record.place.as_ref().is_some_and(|place| place.warm_up);
    let warm_up = warm_up.then(|| "warm-up, does not count".to_owned());
    let attempt = record.place.as_ref().map_or(0, |place| place.attempt);
    let attempt = (attempt > 0).then(|| format!("repeat {attempt}"));
    let disturbed = record.disturbances().into_iter().map(|why| format!("disturbed: {why}"));
    warm_up.into_iter().chain(attempt).chain(record.reason()).chain(disturbed).collect()
}

/// Seconds since 1970 as `2026-11-28 00:51`, in UTC.
pub(crate) fn utc(seconds: u64) -> String {
    let (days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + 400 * era + u64::from(month <= 2);
    format!("{year}-{month:02}-{date:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated as run;
    use crate::record::Status;
    use crate::report::report_2019;

    #[test]
    fn a_date_is_that_of_the_calendar() {
        // `date -u -d @SECONDS '+%F %R'`
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_868_799, "2000-02-29 23:59"),
            (1_795_827_105, "2026-11-28 00:51"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    /// The resources that a browser would fetch.
    fn fetched(page: &str) -> Vec<&str> {
        let references = ["src=", "href=", "url(", "@import", "<script", "<link", "<iframe"];
        references.into_iter().filter(|word| page.contains(word)).collect()
    }

    #[test]
    fn the_page_has_runs_ratios_conditions_and_charts_and_fetches_nothing() {
        let mut runs: Vec<Record> = (0..3).map(|round| run("libtorch", round, 10.0)).collect();
        runs.extend((0..3).map(|round| run("python-keras", round, 15.0)));
        runs.push(Record {
            status: Status::Failed { message: "no <disk>".into() },
            ..run("libtorch", 3, 1.0)
        });
        for record in &mut runs {
            record.started = 1_795_827_105;
            record.environment.cpu = Some("EPYC & Co".into());
            record.environment.variables = vec![("OMP_NUM_THREADS".into(), "2".into())];
            record.job = Some(serde_json::json!({"data": "photos"}));
        }
        runs[4].training.as_mut().unwrap().batch_size = Some(16);
        let page = Study::of_records(runs).html_page().unwrap();
        assert_eq!(fetched(&page), Vec::<&str>::new());
        for words in [
            "<h1>s</h1>",
            "7 runs, 2026-11-28 00:51 to",
            "EPYC &amp; Co",
            "OMP_NUM_THREADS=2",
            "16 | 32",
            "failed: no &lt;disk&gt;",
            "&quot;data&quot;: &quot;photos&quot;",
            "batch 32 against 16",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(page.contains("<s style") && page.matches("<svg").count() >= 1);
        // Six that count, the failed one, and the head.
        let every = page.split("<h2>Every run</h2>").nth(1).unwrap().split("</table>").next();
        assert_eq!(every.unwrap().matches("<tr>").count(), 8);
    }

    #[test]
    fn the_report_and_a_study_without_runs_have_pages() {
        let page = Study::of_records(report_2019()).html_page().unwrap();
        assert!(page.contains("3.18") && fetched(&page).is_empty());
        assert!(Study::default().html_page().unwrap().contains("0 runs"));
    }
}
