//! Compares training steps alone, without compiling and reading images.

use super::{Study, computed, is_absent, memory_cell, reasons, with_interval};
use crate::compare::Quantity;
use crate::error::Error;
use crate::record::Record;
use benchbook_chart::{Cell, Table};

impl Study {
    /// A table with a row per library: the agreement, the first step in seconds (in which libraries compile), the milliseconds
    /// per image of a training step on a batch in memory, its multiple of the baseline's, and the memory. Times are medians
    /// with their 95% intervals. Libraries without a successful run are listed with the reason.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn steps(&self) -> Result<Table, Error> {
        let titles = [
            "library",
            "agreement",
            "first step [s]",
            "step [ms/image]",
            "step ×",
            "rounds",
            "peak memory",
        ];
        let mut table = Table::new(titles).numeric().caption(
            "Training steps with the batch in memory, after the run. Times: median (95% interval)",
        );
        let groups = self.groups();
        for group in &groups {
            let rounds = group.valid().len().to_string();
            let missing = group.records.iter().all(|record| is_absent(record));
            let rounds = Cell::from(if missing { "not available" } else { &rounds });
            let why = reasons(&group.records);
            let rounds = if why.is_empty() { rounds } else { rounds.note(why.join("; ")) };
            let [ratio, _] = self.ratios(group, &groups, Quantity::Step);
            table = table.row([
                Cell::from(&group.name),
                computed(group),
                with_interval(&group.values(|record| record.build_parts.first_step)),
                with_interval(&group.values(milliseconds)),
                ratio,
                rounds,
                memory_cell(group),
            ])?;
        }
        Ok(table)
    }
}

/// The milliseconds of a step, divided by its number of images.
fn milliseconds(record: &Record) -> Option<f64> {
    let batch = record.training.as_ref()?.batch_size?;
    Some(1e3 * Quantity::Step.seconds(record)? / batch as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated;
    use crate::record::Status;

    #[test]
    fn a_step_is_compared_without_the_first_one_and_its_images() {
        let run = |backend: &str, round: usize, first: f64, step: f64| {
            // The phase `train` takes equally long in all runs.
            let mut record = stated(backend, round, 60.0);
            record.build_parts.first_step = Some(first);
            // The median is the second of them.
            record.step_seconds = vec![step / 2.0, step, 9.0 * step];
            record
        };
        let mut records: Vec<Record> = (0..3)
            .flat_map(|round| [run("eager", round, 0.5, 0.32), run("compiled", round, 40.0, 0.16)])
            .collect();
        let status = Status::Absent { message: "run `environment/references burn`".into() };
        records.push(Record { status, ..run("burn", 0, 0.0, 0.0) });
        records[6].step_seconds.clear();
        let study = Study::of_records(records).baseline("eager");
        // Batches of 32: 0.32 s are 10 ms for an image.
        insta::assert_snapshot!(study.steps().unwrap().to_text(), @"
        Training steps with the batch in memory, after the run. Times: median (95% interval)
        library       agreement          first step [s]      step [ms/image]               step ×             rounds  peak memory
        --------  -------------  ----------------------  -------------------  -------------------  -----------------  -----------
        eager     agrees with a  0.500 (0.500 to 0.500)  10.0 (10.0 to 10.0)                    1                  3            –
        compiled  agrees with a     40.0 (40.0 to 40.0)  5.00 (5.00 to 5.00)  0.50 (0.50 to 0.50)                  3            –
        burn      agrees with a                       –                    –                    –  not available [1]            –
        [1] not available: run `environment/references burn`
        ");
        let chart = study.chart(Quantity::Step).unwrap();
        assert_eq!(chart.data().series[1].values, [0.16]);
    }
}
