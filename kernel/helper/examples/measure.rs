//! Temporary measurement.
use benchbook::job::{self, Job};
use benchbook::prelude::*;
use benchbook::train::KerasLog;
fn main() -> Result<(), benchbook::Error> {
    let a: Vec<String> = std::env::args().collect();
    let size: usize = a[2].parse().unwrap();
    let epochs: usize = a[3].parse().unwrap();
    let rate: f64 = a[4].parse().unwrap();
    let seeds: u64 = a[5].parse().unwrap();
    let weights = a.get(6).filter(|w| !w.is_empty());
    let out = a.get(7);
    let mut all = Vec::new();
    for seed in 0..seeds {
        let net = Vgg { size, seed, threads: Some(2), ..Vgg::default() };
        let net = match weights {
            Some(w) => Vgg { weights: Weights::Safetensors(w.into()), base: Base::Frozen, ..net },
            None => Vgg { batch_norm: true, ..net },
        };
        let fit = Fit {
            epochs,
            seed,
            learning_rate: Some(rate),
            cache_features: weights.is_some(),
            ..Fit::default()
        };
        let mut job = Job { name: format!("seed {seed}"), net, fit, ..Job::new(&a[1]) };
        if let Some(out) = out {
            job.record = Some(format!("{out}/record-{seed}.json").into());
            job.predictions = Some(format!("{out}/predictions-{seed}.csv").into());
        }
        let done = job::run_whole(&job, &mut KerasLog::new(std::io::stdout()))?;
        println!("{}", done.record.bundle().plain());
        println!("{}", done.record.metrics.evaluations[0]);
        if let Some(out) = out {
            let b = done.predictions.bundle();
            std::fs::write(format!("{out}/bundle.json"), serde_json_text(&b)).unwrap();
            std::fs::write(
                format!("{out}/record.html"),
                done.record.bundle().data["text/html"].as_str().unwrap(),
            )
            .unwrap();
            std::fs::write(
                format!("{out}/curves.svg"),
                done.model.history().bundle().data["image/svg+xml"].as_str().unwrap_or(""),
            )
            .unwrap();
        }
        all.push(done.record.metrics.val_accuracy.unwrap());
    }
    println!("mean {:.4} {all:?}", all.iter().sum::<f64>() / all.len() as f64);
    Ok(())
}
fn serde_json_text(b: &Bundle) -> String {
    benchbook::serde_json::to_string(b).unwrap()
}
