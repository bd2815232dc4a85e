//! Divides the time of a run: net alone, input, validation, and the unexplained rest.

use super::{Study, spread};
use crate::compare::Quantity;
use crate::error::Error;
use crate::record::Record;
use benchbook_chart::{Cell, Table};

/// The share of `train` below which the rest is not shown, since clocks are not read at the same time.
const SHOWN: f64 = 0.02;

impl Study {
    /// A table with a row per library: medians with quartiles over its runs, in seconds. `net alone` is the time that the
    /// training steps would take with every batch in memory, from steps measured after the run; the remaining time of the
    /// steps is waiting for input and contention. `first step` includes compiling and choosing algorithms. `rest of train` is
    /// the time in no other part. `start and end` is the process without its phases: imports, and writing the record.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn parts(&self) -> Result<Table, Error> {
        let titles = [
            "library",
            "start and end",
            "load",
            "build",
            "train",
            "first step",
            "steps",
            "net alone",
            "waiting for input",
            "validation",
            "callbacks",
            "rest of train",
            "test",
            "whole process",
        ];
        let mut table = Table::new(titles).numeric().caption("Where the time goes [s]");
        for group in &self.groups() {
            let mut cells = vec![Cell::from(&group.name)];
            for part in PARTS {
                let value = group.summary(part);
                cells.push(value.map_or_else(|| "–".into(), |value| spread(&value).into()));
            }
            table = table.row(cells)?;
        }
        Ok(table)
    }
}

type Part = fn(&Record) -> Option<f64>;

const PARTS: [Part; 13] = [
    |run| {
        let phases: f64 = run.phases.measured().iter().map(|(_, seconds)| seconds).sum();
        Some(run.wall_seconds? - phases)
    },
    |run| run.phases.load,
    |run| run.phases.build,
    |run| run.phases.train,
    |run| run.build_parts.first_step,
    |run| positive(run.train_parts.training),
    net_alone,
    |run| run.train_parts.input_wait,
    |run| positive(run.train_parts.validation),
    |run| positive(run.train_parts.callbacks),
    rest,
    |run| run.phases.test,
    |run| run.wall_seconds,
];

fn positive(seconds: f64) -> Option<f64> {
    Some(seconds).filter(|seconds| *seconds > 0.0)
}

/// The median step on a batch in memory, times the number of batches.
fn net_alone(run: &Record) -> Option<f64> {
    let step = Quantity::Step.seconds(run)?;
    let batch = run.training.as_ref()?.batch_size?;
    Some(step * run.images_seen.training? as f64 / batch as f64)
}

/// The part of `train` in no other part; `None` below [`SHOWN`].
fn rest(run: &Record) -> Option<f64> {
    let parts = &run.train_parts;
    let known = parts.training + parts.validation + parts.callbacks + parts.features;
    let train = run.phases.train?;
    Some(train - known).filter(|rest| known > 0.0 && *rest > SHOWN * train)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated;
    use crate::record::TrainParts;

    #[test]
    fn what_no_part_explains_is_shown_from_two_percent_on() {
        let run = |train: f64| Record {
            wall_seconds: Some(train + 5.0),
            step_seconds: vec![0.1, 0.2, 0.3],
            train_parts: TrainParts { training: 8.0, validation: 1.5, ..TrainParts::default() },
            ..stated("python-keras", 1, train)
        };
        let row = |record: Record| -> Vec<String> {
            let table = Study::of_records(vec![record]).parts().unwrap();
            table.rows()[0].iter().map(|cell| cell.text.clone()).collect()
        };
        let found = row(run(11.0));
        // 800 images in batches of 32: 25 steps of 0.2 s.
        assert_eq!(found[7], "5.00");
        assert_eq!((found[1].as_str(), found[11].as_str()), ("5.00", "1.50"));
        assert_eq!(row(run(9.6))[11], "–");
    }
}
