//! Charts how training scales with the number of ranks.

use super::{Study, machine};
use crate::compare::counts;
use crate::error::Error;
use crate::record::Record;
use crate::statistics::quantile;
use benchbook_chart::{Curves, LineChart};
use std::collections::BTreeMap;

/// What the runs of a line share: an efficiency over several machines, versions or nets would mean nothing.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    backend: String,
    /// Threads per rank.
    threads: Option<usize>,
    /// The machine, the library's version, and the net.
    others: [Option<String>; 3],
}

impl Line {
    fn of(record: &Record) -> Self {
        let (version, net) = (record.library.version.clone(), record.net.name.clone());
        Self {
            backend: record.backend().to_owned(),
            threads: record.library.threads,
            others: [machine(record), version, Some(net)],
        }
    }

    /// The backend, and what differs between the lines.
    fn name(&self, all: &[&Self]) -> String {
        let mut parts = vec![self.backend.clone()];
        if let Some(threads) = self.threads
            && all.iter().any(|line| line.threads != self.threads)
        {
            parts.push(format!("{threads} threads each"));
        }
        for (at, value) in self.others.iter().enumerate() {
            let mut namesakes = all.iter().filter(|line| line.backend == self.backend);
            if let Some(value) = value
                && namesakes.any(|line| line.others[at].as_ref() != Some(value))
            {
                parts.push(value.clone());
            }
        }
        parts.join(", ")
    }
}

/// The images/s of each line by the number of ranks.
type Rates = BTreeMap<Line, BTreeMap<usize, Vec<f64>>>;

impl Study {
    /// Charts of training images/s and of the efficiency against the number of ranks, each with the ideal. A line has the
    /// medians of one library and net, on one kind of machine and with one number of threads per rank, and a point for each
    /// run. The efficiency of n ranks is the rate divided by n / m times the rate of m ranks, where m is the smallest number
    /// of ranks of the line. The charts are empty unless a library ran with several numbers of ranks.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn scaling_chart(&self) -> Result<Curves, Error> {
        let rates = self.lines();
        let lines: Vec<&Line> = rates.keys().collect();
        let panel = |y| LineChart::new("").x("ranks").y(y).markers(true);
        let [mut speed, mut efficiency] = [panel("training images/s"), panel("efficiency")];
        for (shared, line) in &rates {
            let name = shared.name(&lines);
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

    /// The lines with several numbers of ranks.
    fn lines(&self) -> Rates {
        let mut rates = Rates::new();
        for record in self.records().iter().filter(|record| counts(record)) {
            let Some(rate) = record.throughput.training else { continue };
            let line = rates.entry(Line::of(record)).or_default();
            line.entry(ranks(record)).or_default().push(rate);
        }
        rates.retain(|_, line| line.len() > 1);
        rates
    }

    /// Whether a library ran with several numbers of ranks.
    pub(super) fn has_scaling(&self) -> bool {
        !self.lines().is_empty()
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

    fn on(machine: &str, mut run: Record) -> Record {
        run.library.device_name = Some(machine.into());
        run
    }

    #[test]
    fn machines_and_versions_have_lines_of_their_own() {
        let slow = [run("libtorch", 1, 1, 10.0), run("libtorch", 2, 1, 18.0)];
        let fast = [run("libtorch", 1, 1, 50.0), run("libtorch", 2, 1, 70.0)];
        let runs =
            slow.map(|run| on("slow", run)).into_iter().chain(fast.map(|run| on("fast", run)));
        let chart = Study::of_records(runs).scaling_chart().unwrap();
        let speed = &chart.data().panels[0];
        let names: Vec<&str> = speed.series.iter().map(|series| series.name.as_str()).collect();
        let expected =
            ["libtorch, fast", "libtorch, fast, ideal", "libtorch, slow", "libtorch, slow, ideal"];
        assert_eq!(names, expected);
        let other = Study::of_records([
            on("slow", run("libtorch", 1, 1, 10.0)),
            on("fast", run("libtorch", 2, 1, 70.0)),
        ]);
        assert!(!other.has_scaling());
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
