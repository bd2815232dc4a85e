//! Charts how training scales with the number of ranks.

use super::Study;
use crate::compare::counts;
use crate::error::Error;
use crate::record::Record;
use crate::statistics::quantile;
use benchbook_chart::{Curves, LineChart};
use std::collections::{BTreeMap, BTreeSet};

/// The images/s of one library by the number of ranks, with an equal number of threads per rank.
type Rates<'a> = BTreeMap<(&'a str, Option<usize>), BTreeMap<usize, Vec<f64>>>;

impl Study {
    /// Charts of training images/s and of the efficiency against the number of ranks, each with the ideal. A line has the
    /// medians of one library with one number of threads per rank, and a point for each run. The efficiency of n ranks is
    /// the rate divided by n / m times the rate of m ranks, where m is the smallest number of ranks of the line. The charts
    /// are empty unless a library ran with several numbers of ranks.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn scaling_chart(&self) -> Result<Curves, Error> {
        let mut rates = Rates::new();
        for record in self.records().iter().filter(|record| counts(record)) {
            let Some(rate) = record.throughput.training else { continue };
            let line = rates.entry((record.backend(), record.library.threads)).or_default();
            line.entry(ranks(record)).or_default().push(rate);
        }
        rates.retain(|_, line| line.len() > 1);
        let threads: BTreeSet<_> = rates.keys().map(|(_, threads)| threads).collect();
        let one_number = threads.len() <= 1;
        let panel = |y| LineChart::new("").x("ranks").y(y).markers(true);
        let [mut speed, mut efficiency] = [panel("training images/s"), panel("efficiency")];
        for ((backend, threads), line) in &rates {
            let name = match threads {
                Some(threads) if !one_number => format!("{backend}, {threads} threads each"),
                _ => (*backend).to_owned(),
            };
            let median = |runs: &Vec<f64>| quantile(runs, 0.5).unwrap_or(f64::NAN);
            let first = line.iter().next().map(|(ranks, runs)| median(runs) / *ranks as f64);
            let ideal = first.unwrap_or(f64::NAN);
            let x: Vec<f64> = line.keys().map(|ranks| *ranks as f64).collect();
            let y: Vec<f64> = line.values().map(median).collect();
            let at_best: Vec<f64> = x.iter().map(|ranks| ranks * ideal).collect();
            let runs =
                line.iter().flat_map(|(ranks, runs)| runs.iter().map(|run| (*ranks as f64, *run)));
            let (ranks, runs): (Vec<f64>, Vec<f64>) = runs.unzip();
            let parts = |rates: &[f64], of: &[f64]| -> Vec<f64> {
                rates.iter().zip(of).map(|(rate, ranks)| rate / (ranks * ideal)).collect()
            };
            efficiency = efficiency
                .points(&name, x.clone(), parts(&y, &x))?
                .runs(ranks.clone(), parts(&runs, &ranks))?;
            speed = speed.points(&name, x.clone(), y)?.runs(ranks, runs)?;
            speed = speed.points(format!("{name}, ideal"), x, at_best)?;
        }
        let largest = rates.values().filter_map(|line| line.keys().max()).max();
        if let Some(largest) = largest {
            efficiency = efficiency.points("ideal", [1.0, *largest as f64], [1.0, 1.0])?;
            efficiency = efficiency.y_range(0.0, 1.0);
            speed = speed.y_range(0.0, 0.0);
        }
        let drawn = "medians; small points: single runs";
        Ok(Curves::new("Scaling").subtitle(self.conditions(drawn)).panel(speed).panel(efficiency))
    }

    /// Whether a library ran with several numbers of ranks.
    pub(super) fn has_scaling(&self) -> bool {
        let mut valid = self.records().iter().filter(|record| counts(record)).map(ranks);
        valid.next().is_some_and(|first| valid.any(|other| other != first))
    }
}

fn ranks(record: &Record) -> usize {
    record.library.ranks.unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated;
    use crate::record::Throughput;

    fn run(backend: &str, ranks: usize, threads: usize, rate: f64) -> Record {
        let mut run = stated(backend, 1, 10.0);
        run.library.ranks = Some(ranks).filter(|ranks| *ranks > 1);
        run.library.threads = Some(threads);
        run.throughput = Throughput { training: Some(rate), ..Throughput::default() };
        run
    }

    #[test]
    fn efficiency_is_the_rate_in_parts_of_as_many_times_one_ranks() {
        let study = Study::of_records([
            run("libtorch", 1, 1, 10.0),
            run("libtorch", 2, 1, 17.0),
            run("libtorch", 2, 1, 19.0),
            // Another number of threads per rank is another line.
            run("libtorch", 1, 2, 16.0),
            run("python-pytorch", 2, 1, 12.0),
        ]);
        let chart = study.scaling_chart().unwrap();
        let [speed, efficiency] = &chart.data().panels[..] else { panic!("two panels") };
        let lines: Vec<_> = speed.series.iter().map(|s| (s.name.as_str(), s.y.clone())).collect();
        let expected = [("libtorch", vec![10.0, 18.0]), ("libtorch, ideal", vec![10.0, 20.0])];
        assert_eq!(lines, expected);
        assert_eq!(efficiency.series[0].y, [1.0, 0.9]);
        assert_eq!(efficiency.series[0].runs, [(1.0, 1.0), (2.0, 0.85), (2.0, 0.95)]);
        assert!(study.has_scaling());
        assert!(!Study::of_records([run("libtorch", 2, 1, 12.0)]).has_scaling());
    }
}
