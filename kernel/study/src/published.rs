//! Times published by others, for libraries that cannot be run here and as an outside view.
//!
//! A published figure was measured on another machine, by another program, with another job. So a [`Figure`] is neither a
//! [`Record`] nor a number: it can be shown, and its own table divides it by another figure of the same table. Other
//! arithmetic does not compile:
//!
//! ```compile_fail,E0277
//! # let (record, table) = (benchbook_study::Record::default(), benchbook_study::published());
//! let figure = &table.tables()[0].figures[0];
//! let ratio = record.phases.train.unwrap() / figure.value;
//! ```
//!
//! ```compile_fail,E0369
//! let published = benchbook_study::published();
//! let [one, other] = [&published.tables()[0], &published.tables()[1]];
//! let ratio = one.figures[0].value / other.figures[0].value;
//! ```
//!
//! ```compile_fail,E0308
//! let study = benchbook_study::Study::of_records(benchbook_study::published().tables().to_vec());
//! ```
//!
//! ```compile_fail,E0616
//! let seconds: f64 = benchbook_study::published().tables()[0].figures[0].value.0;
//! ```
//!
//! [`Record`]: crate::Record

use benchbook_chart::{Cell, Table};
use benchbook_display::{Bundle, Rich};
use serde::Deserialize;
use std::fmt;

const DATA: &str = include_str!("../data/published.json");

/// All published figures, table by table, as their sources state them.
pub fn published() -> Published {
    serde_json::from_str(DATA).unwrap_or_else(|wrong| unreachable!("data/published.json: {wrong}"))
}

/// Published tables with their sources. A notebook shows them as one table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    sources: Vec<Source>,
    tables: Vec<PublishedTable>,
    without_figure: Vec<WithoutFigure>,
}

/// The publication of a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The name in this file.
    pub id: String,
    /// Document and table.
    pub title: String,
    /// The address.
    pub url: String,
    /// When the figures were published.
    pub date: String,
    /// When the figures were last compared with the source.
    pub read: String,
    /// How the source measured.
    pub method: String,
}

/// Figures that one source measured on one machine with one task: they can be compared with each other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedTable {
    /// [`Source::id`].
    pub source: String,
    /// What was timed.
    pub task: String,
    /// The machine.
    pub hardware: String,
    /// Unit of the figures.
    pub unit: String,
    /// The library that the others are divided by.
    pub baseline: String,
    /// One figure per library.
    pub figures: Vec<Figure>,
}

/// A published time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The library, with its version where the source states one.
    pub library: String,
    /// The figure in the table's unit.
    pub value: PublishedValue,
    /// The row of the source.
    pub quote: String,
}

/// A published number, without arithmetic.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct PublishedValue(f64);

impl fmt::Display for PublishedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PublishedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (published)", self.0)
    }
}

/// A library without a published figure that could be checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithoutFigure {
    library: String,
    reason: String,
}

impl Published {
    /// The tables.
    pub fn tables(&self) -> &[PublishedTable] {
        &self.tables
    }

    /// The tables whose task or hardware contains `part`, in any case: `cifar`, `k80`, `VGG16`.
    pub fn about(mut self, part: &str) -> Self {
        let part = part.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&part);
        self.tables.retain(|table| has(&table.task) || has(&table.hardware));
        self.without_figure.clear();
        self
    }

    /// The source of a table.
    pub fn source(&self, table: &PublishedTable) -> &Source {
        let found = self.sources.iter().find(|source| source.id == table.source);
        found.unwrap_or_else(|| unreachable!("data/published.json has no source {}", table.source))
    }

    /// One row a figure, with its share of the baseline's time in the same table of the same source.
    ///
    /// # Errors
    /// [`benchbook_chart::Error`].
    pub fn table(&self) -> Result<Table, benchbook_chart::Error> {
        let titles = ["task and hardware", "library", "published", "of the baseline's time"];
        let mut all = Table::new(titles).caption(
            "Published figures, measured by others: not comparable with runs of this machine",
        );
        for table in &self.tables {
            let Source { title, url, date, method, .. } = self.source(table);
            let what = format!("{}; {}", table.task, table.hardware);
            let note = format!("{title}, {date}: {method}. {url}");
            let mut first = Some(Cell::from(what).note(note));
            for (figure, share) in table.figures.iter().zip(table.shares()) {
                let cells = [
                    first.take().unwrap_or_default(),
                    figure.library.clone().into(),
                    format!("{} {}", figure.value, table.unit).into(),
                    share.map_or("–".into(), |share| format!("{share:.2}").into()),
                ];
                all = all.row(cells)?;
            }
        }
        for WithoutFigure { library, reason } in &self.without_figure {
            let none = Cell::from("–").note(reason.clone());
            all = all.row([Cell::default(), library.clone().into(), none, "–".into()])?;
        }
        Ok(all)
    }
}

impl PublishedTable {
    /// Each figure divided by the baseline's, in the order of the figures; `None` without a baseline.
    pub fn shares(&self) -> Vec<Option<f64>> {
        let value = |figure: &Figure| figure.value.0;
        let baseline =
            self.figures.iter().find(|figure| figure.library == self.baseline).map(value);
        self.figures.iter().map(|figure| Some(value(figure) / baseline?)).collect()
    }
}

impl Rich for Published {
    fn bundle(&self) -> Bundle {
        match self.table() {
            Ok(table) => Bundle::text(table.to_text()).html(table.to_html()),
            Err(error) => Bundle::text(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_stands_in_the_row_that_is_quoted() {
        let published = published();
        for table in published.tables() {
            assert!(published.source(table).url.starts_with("https://"), "{table:?}");
            assert!(
                table.figures.iter().any(|figure| figure.library == table.baseline),
                "{table:?}"
            );
            for figure in &table.figures {
                let words: Vec<String> = figure
                    .quote
                    .split(|c: char| !(c.is_ascii_digit() || ".,".contains(c)))
                    .map(|word| word.replace(',', ""))
                    .collect();
                let value = figure.value.0;
                let stands = words.iter().any(|word| word.parse::<f64>() == Ok(value));
                assert!(stands && value > 0.0, "{figure:?}");
            }
        }
    }

    #[test]
    fn pytorch_takes_two_thirds_of_kerass_time_where_the_report_has_three_times() {
        // 169 / 241 and 51 / 76.
        let shares: Vec<String> = published()
            .about("CIFAR-10")
            .tables()
            .iter()
            .map(|table| {
                let place = table.figures.iter().position(|figure| figure.library == "PyTorch");
                format!("{:.2}", table.shares()[place.unwrap()].unwrap())
            })
            .collect();
        assert_eq!(shares, ["0.70", "0.67"]);
    }

    #[test]
    fn figures_about_one_device_are_selected() {
        let few = published().about("k80");
        assert_eq!(few.tables().len(), 1);
        assert!(!few.table().unwrap().to_text().contains("V100"));
    }
}
