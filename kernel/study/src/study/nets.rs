//! Compares nets that were trained on one job.

use super::{Study, accuracy_cell, memory_cell, with_interval};
use crate::error::Error;
use crate::record::Record;
use benchbook_chart::{Cell, Table};
use benchbook_nets::thousands;

impl Study {
    /// A table with a row per net: parameters, accuracy over the rounds, milliseconds of training per image, seconds to the
    /// [`target_accuracy`](Self::target_accuracy) and memory. Times are medians with their 95% intervals.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn nets(&self) -> Result<Table, Error> {
        let mut heads = vec![
            "net".to_owned(),
            "parameters".into(),
            "accuracy".into(),
            "training [ms/image]".into(),
        ];
        heads.extend(self.target.map(|target| format!("to accuracy {target} [s]")));
        heads.extend(["rounds".to_owned(), "peak memory".into()]);
        let mut table = Table::new(heads).numeric().caption(
            "Accuracy: mean of the rounds; its 95% interval covers other seeds and other images. Times: median (95% interval).",
        );
        for group in &self.groups() {
            let parameters = group.valid().into_iter().find_map(|run| run.net.parameters);
            let mut row = vec![
                Cell::from(&group.name),
                parameters.map_or_else(|| "–".into(), |count| thousands(count).into()),
                accuracy_cell(group),
                with_interval(&group.values(milliseconds)),
            ];
            row.extend(self.target.map(|target| {
                group.times_to(target).map_or_else(|never| never, |times| with_interval(&times))
            }));
            row.extend([group.valid().len().to_string().into(), memory_cell(group)]);
            table = table.row(row)?;
        }
        Ok(table)
    }
}

/// The milliseconds of training an image.
fn milliseconds(record: &Record) -> Option<f64> {
    Some(1e3 / record.throughput.training?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated;
    use crate::record::{Epoch, Throughput};

    #[test]
    fn each_net_has_its_row() {
        let run = |net: &str, round: usize, accuracy: f64| {
            let mut record = Record {
                throughput: Throughput { training: Some(200.0), ..Throughput::default() },
                epochs: vec![Epoch {
                    val_accuracy: Some(accuracy),
                    validation_images: 100,
                    training_seconds: 3.0,
                    validation_seconds: 1.0,
                    ..Epoch::default()
                }],
                ..stated("libtorch", round, 5.0)
            };
            record.metrics.val_accuracy = Some(accuracy);
            record.net.parameters = Some(1_234_567);
            record.place.as_mut().unwrap().study = net.into();
            record
        };
        let records = [("a", 0.9), ("b", 0.5)]
            .into_iter()
            .flat_map(|(net, accuracy)| (0..3).map(move |round| run(net, round, accuracy)));
        let table = Study::of_records(records).target_accuracy(0.8).nets().unwrap();
        insta::assert_snapshot!(table.to_text(), @"
        Accuracy: mean of the rounds; its 95% interval covers other seeds and other images. Times: median (95% interval).
        net  parameters                accuracy  training [ms/image]       to accuracy 0.8 [s]  rounds  peak memory
        ---  ----------  ----------------------  -------------------  ------------------------  ------  -----------
        a     1,234,567  0.900 (0.826 to 0.945)  5.00 (5.00 to 5.00)       4.00 (4.00 to 4.00)       3            –
        b     1,234,567  0.500 (0.404 to 0.596)  5.00 (5.00 to 5.00)  reached in 0 of 3 rounds       3            –
        ");
    }
}
