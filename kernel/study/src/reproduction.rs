//! A published record beside runs of the same job on this machine.

use crate::compare::{Quantity, compare, counts};
use crate::error::Error;
use crate::record::Record;
use crate::stated::stated;
use crate::statistics::Summary;
use crate::study::{peak_bytes, spread};
use benchbook_chart::{Cell, Table};
use benchbook_display::{Bundle, Rich};
use std::collections::BTreeSet;

/// A published record and the runs that repeat it.
#[derive(Clone, Debug)]
pub struct Reproduction {
    /// The record as it was published.
    pub published: Record,
    /// The runs of its job here, in order.
    pub runs: Vec<Record>,
}

impl Reproduction {
    /// The published figures beside those of here: times in seconds, training images a second, losses, accuracies and
    /// memory, medians with quartiles. The ratio of a time is struck through where conditions differ, with the reason.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn figures(&self) -> Result<Table, Error> {
        let runs: Vec<&Record> = self.runs.iter().filter(|record| counts(record)).collect();
        let mut table = Table::new(["", "published", "here", "here ÷ published"]).numeric();
        let both = |of: &dyn Fn(&Record) -> Option<f64>| {
            let values: Vec<f64> = runs.iter().filter_map(|record| of(record)).collect();
            let cell = |values: &[f64]| Summary::of(values).map_or("–".into(), |s| spread(&s));
            [cell(&of(&self.published).into_iter().collect::<Vec<_>>()), cell(&values)]
        };
        for quantity in Quantity::ALL {
            let [published, here] = both(&|record| quantity.seconds(record));
            let ratio = match compare(&[&self.published], &runs, quantity) {
                None => Cell::from("–"),
                Some(found) => match found.why_not() {
                    None => Cell::from(found.words()),
                    Some(why) => Cell::struck(found.words(), why),
                },
            };
            let name = Cell::from(format!("{} [s]", quantity.name()));
            table = table.row([name, Cell::from(published), Cell::from(here), ratio])?;
        }
        type Figure = fn(&Record) -> Option<f64>;
        let others: [(&str, Figure); 6] = [
            ("training images/s", |record| record.throughput.training),
            ("training loss", |record| record.metrics.loss),
            ("training accuracy", |record| record.metrics.accuracy),
            ("validation loss", |record| record.metrics.val_loss),
            ("validation accuracy", |record| record.metrics.val_accuracy),
            ("peak memory [MB]", |record| peak_bytes(record).map(|bytes| bytes as f64 / 1e6)),
        ];
        for (name, of) in others {
            let [published, here] = both(&of);
            table = table.row([name.to_owned(), published, here, "–".into()])?;
        }
        Ok(table)
    }

    /// Every condition that the published record and the runs here state differently, or that only one of them states,
    /// by its place in a record: processor, versions, threads, environment variables, checksums of files and all others.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn differences(&self) -> Result<Table, Error> {
        let published = stated(&self.published);
        let runs: Vec<_> = self.runs.iter().map(stated).collect();
        let places: BTreeSet<&String> =
            published.keys().chain(runs.iter().flat_map(|run| run.keys())).collect();
        let mut table = Table::new(["condition", "published", "here"]);
        for place in places {
            let word =
                |value: Option<&String>| value.map_or("not stated".to_owned(), String::clone);
            let before = word(published.get(place));
            let here: BTreeSet<String> = runs.iter().map(|run| word(run.get(place))).collect();
            if here.iter().any(|value| *value != before) {
                let here: Vec<String> = here.into_iter().collect();
                table = table.row([place.clone(), before, here.join(" | ")])?;
            }
        }
        Ok(table)
    }
}

impl Rich for Reproduction {
    fn bundle(&self) -> Bundle {
        let (figures, differences) = match (self.figures(), self.differences()) {
            (Ok(figures), Ok(differences)) => (figures, differences),
            (Err(error), _) | (_, Err(error)) => return Bundle::text(error.to_string()),
        };
        if differences.rows().is_empty() {
            let same = "No condition differs.";
            return Bundle::text(format!("{}\n\n{same}", figures.to_text()))
                .html(format!("<div>{}<p>{same}</p></div>", figures.to_html()));
        }
        Bundle::text(format!("{}\n\n{}", figures.to_text(), differences.to_text())).html(format!(
            "<div>{}{}</div>",
            figures.to_html(),
            differences.to_html()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated as run;

    #[test]
    fn old_figures_stand_beside_new_ones_and_every_difference_is_listed() {
        let published = run("libtorch", 1, 10.0);
        let mut runs: Vec<Record> = [19.0, 20.0, 21.0]
            .iter()
            .zip(0..)
            .map(|(s, round)| run("libtorch", round, *s))
            .collect();
        let same = Reproduction { published: published.clone(), runs: runs.clone() };
        let train = |found: &Reproduction| found.figures().unwrap().rows()[2].clone();
        assert_eq!(train(&same)[3].text, "2.00");
        assert!(!train(&same)[3].struck);
        assert!(same.bundle().plain().ends_with("No condition differs."));
        for record in &mut runs {
            record.environment.cpu = Some("Ryzen".into());
            record.library.threads = Some(8);
            record.library.version = Some("2.12".into());
            record.environment.variables = vec![("OMP_NUM_THREADS".into(), "8".into())];
            record.data.files_sha256 = Some("ff".into());
        }
        let other = Reproduction { published, runs };
        let row = train(&other);
        assert_eq!((row[1].text.as_str(), row[2].text.as_str()), ("10.0", "20.0 [19.5 to 20.5]"));
        assert!(row[3].struck && row[3].note.as_ref().unwrap().contains("threads 2 against 8"));
        let found = other.differences().unwrap();
        let listed: Vec<Vec<&str>> = found
            .rows()
            .iter()
            .map(|row| row.iter().map(|cell| cell.text.as_str()).collect())
            .collect();
        assert_eq!(
            listed,
            [
                ["data/files_sha256", "ab12", "ff"],
                ["environment/cpu", "not stated", "Ryzen"],
                ["environment/variables/OMP_NUM_THREADS", "not stated", "8"],
                ["library/threads", "2", "8"],
                ["library/version", "not stated", "2.12"],
            ]
        );
    }
}
