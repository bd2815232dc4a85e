//! Temporary measurement.
use benchbook::backend::Base;
use benchbook::model::{Vgg, Weights};
use benchbook::optimizer::Optimizer;
use benchbook::train::{Fit, KerasLog};
fn main() -> Result<(), benchbook::Error> {
    let a: Vec<String> = std::env::args().collect();
    let data = benchbook::data::ImageFolder::open(&a[1])?;
    let size: usize = a[2].parse().unwrap();
    let epochs: usize = a[3].parse().unwrap();
    let rate: f64 = a[4].parse().unwrap();
    let seeds: u64 = a[5].parse().unwrap();
    let weights = a.get(6);
    let mut all = Vec::new();
    for seed in 0..seeds {
        let t = std::time::Instant::now();
        let net = Vgg { size, seed, threads: Some(2), ..Vgg::default() };
        let net = match weights {
            Some(w) => Vgg { weights: Weights::Safetensors(w.into()), base: Base::Frozen, ..net },
            None => Vgg { batch_norm: true, ..net },
        };
        let mut model = net.build()?;
        println!("built {:.2}", t.elapsed().as_secs_f64());
        let fit = Fit { epochs, seed, learning_rate: Some(rate), optimizer: Optimizer::default(), cache_features: weights.is_some(), ..Fit::default() };
        let h = model.fit_observed(&data, fit, &mut KerasLog::new(std::io::stdout()))?;
        println!("wait {:?}", h.epochs.iter().map(|e| e.input_wait_seconds).sum::<f64>());
        let e = model.evaluate(&data.validation())?;
        println!("seed {seed}: {e} total {:.1}", t.elapsed().as_secs_f64());
        all.push(e.accuracy);
    }
    println!("mean {:.4} {all:?}", all.iter().sum::<f64>() / all.len() as f64);
    Ok(())
}
