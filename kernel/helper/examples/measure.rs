//! Temporary measurement; the argument is a job's JSON, then the number of seeds and a folder.
use benchbook::job::{self, Job};
use benchbook::prelude::*;
use benchbook::train::KerasLog;
fn main() -> Result<(), benchbook::Error> {
    let a: Vec<String> = std::env::args().collect();
    let base: Job = benchbook::serde_json::from_str(&a[1]).unwrap();
    let out = &a[3];
    let mut all = Vec::new();
    for seed in 0..a[2].parse::<u64>().unwrap() {
        let mut job = base.clone();
        job.name = format!("seed {seed}");
        job.net.seed = seed;
        job.fit.seed = seed;
        job.record = Some(format!("{out}/record-{seed}.json").into());
        job.predictions = Some(format!("{out}/predictions-{seed}.csv").into());
        let done = job::run_whole(&job, &mut KerasLog::new(std::io::stdout()))?;
        println!("{}", done.record.bundle().plain());
        println!("{}", done.record.metrics.evaluations[0]);
        std::fs::write(format!("{out}/predictions.json"), benchbook::serde_json::to_string(&done.predictions.bundle()).unwrap()).unwrap();
        std::fs::write(format!("{out}/record.html"), done.record.bundle().data["text/html"].as_str().unwrap()).unwrap();
        std::fs::write(format!("{out}/phases.png"), done.record.phase_chart()?.png(2.0)?).unwrap();
        std::fs::write(format!("{out}/curves.png"), done.model.history().curves().png(2.0)?).unwrap();
        all.push(done.record.metrics.val_accuracy.unwrap());
    }
    println!("mean {:.4} {all:?}", all.iter().sum::<f64>() / all.len() as f64);
    Ok(())
}
