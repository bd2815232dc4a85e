//! Compares a published record with runs of the same job on this machine.

use crate::compare::{Quantity, compare, counts};
use crate::conditions::{Difference, differences, words};
use crate::error::Error;
use crate::record::{Computes, Record};
use crate::statistics::Summary;
use crate::study::{peak_bytes, spread};
use benchbook_chart::{Cell, Table};
use benchbook_display::{Bundle, Rich};
use std::collections::{BTreeMap, BTreeSet};

/// A published record and the runs that reproduce it.
#[derive(Clone, Debug)]
pub struct Reproduction {
    /// The published record.
    pub published: Record,
    /// The runs of its job on this machine, in order.
    pub runs: Vec<Record>,
}

impl Reproduction {
    /// A table of the published and the reproduced figures: times in seconds, training images per second, losses, accuracies
    /// and memory, as medians with quartiles. The ratio of a time is struck through if conditions differ, with the reason.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn figures(&self) -> Result<Table, Error> {
        let runs: Vec<&Record> = self.runs.iter().filter(|record| counts(record)).collect();
        // A library is compared with itself, so no check against other libraries is needed.
        let agrees = |record: &Record| {
            let alike = |found: &Option<Computes>| match found {
                Some(unlike @ Computes::Unlike { .. }) => Some(unlike.clone()),
                _ => Some(Computes::Alike {
                    reference: record.backend().to_owned(),
                    nearness: String::new(),
                }),
            };
            let (computes, audit) = (alike(&record.computes), alike(&record.audit));
            Record { computes, audit, ..record.clone() }
        };
        let (published, own) = (agrees(&self.published), runs.iter().map(|run| agrees(run)));
        let own: Vec<Record> = own.collect();
        let own: Vec<&Record> = own.iter().collect();
        let mut table = Table::new(["", "published", "here", "here ÷ published"]).numeric();
        let both = |of: &dyn Fn(&Record) -> Option<f64>| {
            let values: Vec<f64> = runs.iter().filter_map(|record| of(record)).collect();
            let cell = |values: &[f64]| Summary::of(values).map_or("–".into(), |s| spread(&s));
            [cell(&of(&self.published).into_iter().collect::<Vec<_>>()), cell(&values)]
        };
        for quantity in Quantity::PHASES {
            let [before, here] = both(&|record| quantity.seconds(record));
            let ratio = match compare(&[&published], &own, quantity) {
                None => Cell::from("–"),
                Some(found) => match found.why_not() {
                    None => Cell::from(found.words()),
                    Some(why) => Cell::struck(found.words(), why),
                },
            };
            let name = Cell::from(format!("{} [s]", quantity.name()));
            table = table.row([name, Cell::from(before), Cell::from(here), ratio])?;
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

    /// A table of the conditions that differ, or that only one side states (`CONDITIONS.md` lists all conditions).
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn differences(&self) -> Result<Table, Error> {
        let mut found: BTreeMap<&str, (String, BTreeSet<String>)> = BTreeMap::new();
        let all = self.runs.iter().flat_map(|run| differences(&self.published, run));
        for difference in all.filter(|difference| !difference.is_unstated()) {
            let Difference { condition, first, second } = difference;
            let published = (words(&first), BTreeSet::new());
            found.entry(condition.name).or_insert(published).1.insert(words(&second));
        }
        let mut table = Table::new(["condition", "published", "here"]);
        for (name, (published, here)) in found {
            let here: Vec<String> = here.into_iter().collect();
            table = table.row([name.to_owned(), published, here.join(" | ")])?;
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
        // The seed of the published round, which is 1, and those of the others.
        let seeds: Vec<String> =
            same.differences().unwrap().rows().iter().map(|row| row[2].text.clone()).collect();
        assert_eq!(seeds, ["1 | 3"]);
        let alone = Reproduction { runs: vec![same.published.clone()], ..same };
        assert!(alone.bundle().plain().ends_with("No condition differs."));
        for record in &mut runs {
            record.library.device_name = Some("Ryzen".into());
            record.library.threads = Some(8);
            record.library.version = Some("2.12".into());
            record.environment.variables = vec![("OMP_NUM_THREADS".into(), "8".into())];
            record.data.files_sha256 = Some("ff".into());
        }
        let other = Reproduction { published, runs };
        let row = train(&other);
        assert_eq!((row[1].text.as_str(), row[2].text.as_str()), ("10.0", "20.0 [19.5 to 20.5]"));
        assert!(row[3].struck && row[3].note.as_ref().unwrap().contains("threads 2 against 8"));
        insta::assert_snapshot!(other.differences().unwrap().to_text(), @"
        condition    published   here
        -----------  ----------  -----------------
        device name  not stated  Ryzen
        environment  none        OMP_NUM_THREADS=8
        images       ab12        ff
        seed         2           1 | 3
        threads      2           8
        version      1           2.12
        ");
    }
}
