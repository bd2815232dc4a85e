//! The tables of the 2019 report as records.

use crate::record::Record;

const LINES: &str = include_str!("../data/report-2019.jsonl");

/// The report's four runs: TensorFlow and PyTorch on Tesla K80 and P100. The field `assumptions` of each record has the
/// conditions that the report does not state and its figures suggest.
pub fn report_2019() -> Vec<Record> {
    let parse = |line: &str| {
        serde_json::from_str::<Record>(line)
            .unwrap_or_else(|wrong| unreachable!("data/report-2019.jsonl: {wrong}"))
            .complete()
    };
    LINES.lines().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceiling::ceilings;
    use serde_json::Value;

    /// The file from which the notebooks read the report's numbers and published rates.
    fn of_notebooks() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../notebooks/report.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn records_and_notebooks_have_the_same_numbers_of_the_report() {
        let (notebooks, records) = (of_notebooks(), report_2019());
        for (place, one) in [("colab", 0), ("kaggle", 2)] {
            for (library, record) in [("TensorFlow", &records[one]), ("PyTorch", &records[one + 1])]
            {
                let times = &notebooks["times"][place];
                assert_eq!(times["device"].as_str(), record.library.device_name.as_deref());
                for (phase, seconds) in record.phases.all() {
                    assert_eq!(
                        times[phase][library].as_f64(),
                        seconds,
                        "{place} {phase} {library}"
                    );
                }
            }
            let images = |name: &str| notebooks["images"][name].as_u64().unwrap() as usize;
            let [keras, pytorch] = [&records[one], &records[one + 1]];
            let steps = images("keras_epochs") * images("keras_steps");
            assert_eq!(keras.images_seen.training, Some(steps * images("keras_batch")));
            let validated = steps * images("keras_validation_batch");
            assert_eq!(keras.images_seen.validation, Some(validated));
            assert_eq!(
                [keras.data.training, keras.data.validation],
                ["training", "validation"].map(images)
            );
            let seen = images("pytorch_epochs") * images("training");
            assert_eq!(pytorch.images_seen.training, Some(seen));
            let batch = pytorch.training.as_ref().and_then(|training| training.batch_size);
            assert_eq!(batch, Some(images("pytorch_batch")));
        }
    }

    #[test]
    fn every_ceiling_is_among_the_published_rates_of_the_notebooks() {
        let notebooks = of_notebooks();
        let published = notebooks["published"].as_array().unwrap();
        for ceiling in ceilings() {
            let same = |row: &&Value| {
                row["rate"].as_f64() == Some(ceiling.images_per_second)
                    && row["who"].as_str().is_some_and(|who| who.contains(&ceiling.device))
            };
            assert!(published.iter().any(|row| same(&row)), "{ceiling:?}");
        }
    }
}
