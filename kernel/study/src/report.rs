//! The tables of the 2019 report, as records like any other.

use crate::record::Record;

const LINES: &str = include_str!("../data/report-2019.jsonl");

/// The report's four runs: Tesla K80 and P100, TensorFlow and PyTorch. What the report does not say and
/// its figures only suggest is in each record's `assumptions`.
pub fn report_2019() -> Vec<Record> {
    let parse = |line: &str| {
        serde_json::from_str::<Record>(line)
            .unwrap_or_else(|wrong| unreachable!("data/report-2019.jsonl: {wrong}"))
            .complete()
    };
    LINES.lines().map(parse).collect()
}
