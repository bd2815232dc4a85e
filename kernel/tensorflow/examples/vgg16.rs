//! Training steps of VGG16 on demand, for `environment/bench tensorflow-steps`.
//!
//!     vgg16 '{"head": "keras", "size": 64, "batch": 8, "threads": 2}'
//!
//! Prints `{"ready": …}` when the net is built and warm. For each line with a number, it then runs that many
//! steps and prints their seconds. The batch is the same random one in each step; the dropout masks are new ones.

use benchbook_backend::{
    Backend, BackendError, Compute, Convention, Device, Input, Optimizer, Parameters, Plan, Step,
};
use benchbook_nets::{Architecture, Head, Net, Vgg16};
use benchbook_tensorflow::{Library, TensorFlow};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    head: Head,
    size: usize,
    batch: usize,
    threads: usize,
    #[serde(default = "adam")]
    optimizer: String,
    #[serde(default = "two")]
    warm_up: usize,
}

fn adam() -> String {
    "adam".into()
}

fn two() -> usize {
    2
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ready { library: String, first_step: f64, parameters: usize, settings: Vec<String> },
}

#[derive(Serialize)]
struct Measured {
    seconds: Vec<f64>,
    cpu: f64,
    peak_bytes: u64,
}

/// Numbers from 0 to 1 (Marsaglia's xorshift).
fn random(count: usize) -> Vec<f32> {
    let mut state: u64 = 88_172_645_463_325_252;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 16_777_216.0
    };
    (0..count).map(|_| next()).collect()
}

/// Processor time of this process in seconds.
fn cpu_seconds() -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    let usage = usage();
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn usage() -> libc::rusage {
    // SAFETY: a structure of numbers, for which zeros are valid, that the system fills.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words = std::env::args().nth(1).ok_or("the settings are missing; give them as JSON")?;
    let settings: Settings = serde_json::from_str(&words)?;
    let library = Library::load()?;
    let Settings { head, size, batch, threads, .. } = settings;
    let net = Net::new(Vgg16 { head, size, ..Vgg16::new(2) }.graph())?;
    let (count, _) = net.parameter_counts(false);
    let mut net = {
        let weights = Parameters::initial(net.parameters(), 1);
        let (device, compute) = (Device::Cpu, Compute::default());
        let plan = Plan { net, frozen: false, device, threads: Some(threads), ranks: 1, compute };
        TensorFlow.build(&plan, &weights)?
    };
    // Rates and decays are Keras' defaults.
    let (optimizer, rate) = match settings.optimizer.as_str() {
        "sgd" => (Optimizer::sgd(), 0.01),
        "rmsprop" => (Optimizer::rmsprop(Convention::Keras), 0.001),
        "adam" => (Optimizer::adam(Convention::Keras), 0.001),
        other => {
            return Err(format!("`optimizer` must be sgd, rmsprop or adam, got {other}").into());
        }
    };
    net.compile(optimizer);
    let images = random(batch * 3 * size * size);
    let labels: Vec<i64> = (0..batch as i64).map(|index| index % 2).collect();
    let mut seed = 1;
    let mut step = || {
        let began = Instant::now();
        seed += 1;
        net.train_step(Input::Values(&images), &labels, Step::new(rate, seed))?;
        Ok::<f64, BackendError>(began.elapsed().as_secs_f64())
    };
    let first_step = step()?;
    for _ in 0..settings.warm_up {
        step()?;
    }
    let ready = Answer::Ready {
        library: format!("TensorFlow {}, Rust", library.version()),
        first_step,
        parameters: count,
        settings: library.settings(),
    };
    println!("{}", serde_json::to_string(&ready)?);
    for line in std::io::stdin().lock().lines() {
        let steps: usize = line?.trim().parse()?;
        let before = cpu_seconds();
        let seconds = (0..steps).map(|_| step()).collect::<Result<Vec<_>, _>>()?;
        let measured = Measured {
            seconds,
            cpu: cpu_seconds() - before,
            // Linux reports kilobytes.
            peak_bytes: usage().ru_maxrss as u64 * 1024,
        };
        println!("{}", serde_json::to_string(&measured)?);
    }
    Ok(())
}
