//! Training steps of VGG16 on demand, for `environment/bench tensorflow-steps`.
//!
//!     vgg16 '{"head": "keras", "size": 64, "batch": 8, "threads": 2}'
//!
//! Says `{"ready": …}` when the net is built and warm. Then each line with a number has it run so many
//! steps and answer with their seconds. The batch is the same random one in each step; the dropout
//! masks are new ones.

use benchbook_tensorflow::{
    Convention, Description, FlattenOrder, Input, Layer, Library, Loss, Net, Optimizer, Processor,
    Step,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
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

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Head {
    Keras,
    PyTorch,
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

fn description(head: Head, size: usize) -> Description {
    let dense = |name: &str, inputs, outputs| Layer::Dense { name: name.into(), inputs, outputs };
    let mut base: Vec<Layer> = Vec::new();
    let mut inputs = 3;
    for block in [[64, 64].as_slice(), &[128, 128], &[256; 3], &[512; 3], &[512; 3]] {
        for &outputs in block {
            base.push(Layer::Conv { name: format!("features.{}", base.len()), inputs, outputs });
            base.push(Layer::Relu);
            inputs = outputs;
        }
        base.push(Layer::MaxPool);
    }
    let side = size / 32;
    let head_layers = match head {
        Head::Keras => vec![
            Layer::Flatten(FlattenOrder::HeightWidthChannel),
            dense("dense_1", 512 * side * side, 512),
            Layer::Relu,
            Layer::Dropout { rate: 0.5 },
            dense("dense_2", 512, 256),
            Layer::Relu,
            dense("dense_3", 256, 1),
        ],
        Head::PyTorch => vec![
            Layer::AveragePool { side: 7 },
            Layer::Flatten(FlattenOrder::ChannelHeightWidth),
            dense("classifier.0", 512 * 49, 4096),
            Layer::Relu,
            Layer::Dropout { rate: 0.5 },
            dense("classifier.3", 4096, 2),
        ],
    };
    let loss = match head {
        Head::Keras => Loss::BinaryCrossEntropy,
        Head::PyTorch => Loss::CrossEntropy,
    };
    Description { input: [3, size, size], base, head: head_layers, loss, frozen: false }
}

/// Numbers from 0 to 1 (Marsaglia's xorshift).
fn random(count: usize, state: &mut u64) -> Vec<f32> {
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 40) as f32 / 16_777_216.0
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
    let words = std::env::args().nth(1).ok_or("expected the settings as JSON")?;
    let settings: Settings = serde_json::from_str(&words)?;
    let library = Library::load()?;
    let mut state = 88_172_645_463_325_252;
    let description = description(settings.head, settings.size);
    let parameters = description.parameters();
    let mut net = {
        let weights: HashMap<String, Vec<f32>> = parameters
            .iter()
            .map(|parameter| {
                // He's deviation from uniform numbers: ±√(6 / inputs).
                let inputs: usize = parameter.shape.iter().skip(1).product();
                let reach =
                    if parameter.shape.len() == 1 { 0.0 } else { (6.0 / inputs as f32).sqrt() };
                let values = random(parameter.shape.iter().product(), &mut state).into_iter();
                (parameter.name.clone(), values.map(|v| (2.0 * v - 1.0) * reach).collect())
            })
            .collect();
        let value = |name: &str| weights.get(name).map(Vec::as_slice);
        Net::new(library, description, Processor::Cpu, Some(settings.threads), value)?
    };
    // Rates and decays are Keras' defaults.
    let (optimizer, rate) = match settings.optimizer.as_str() {
        "sgd" => (Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }, 0.01),
        "rmsprop" => {
            let convention = Convention::Keras;
            (Optimizer::RmsProp { decay: 0.9, epsilon: 1e-7, convention }, 0.001)
        }
        "adam" => {
            let convention = Convention::Keras;
            (Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, convention }, 0.001)
        }
        other => return Err(format!("expected sgd, rmsprop or adam, found {other}").into()),
    };
    net.compile(optimizer)?;
    let pixels = random(settings.batch * 3 * settings.size * settings.size, &mut state);
    let labels: Vec<i64> = (0..settings.batch as i64).map(|index| index % 2).collect();
    let mut seed = 1;
    let mut step = || {
        let began = Instant::now();
        seed += 1;
        let mask = |layer: usize, rate: f64, count: usize| {
            let factors = random(count, &mut (seed * 2_654_435_769 + layer as u64));
            let kept = (1.0 / (1.0 - rate)) as f32;
            factors.into_iter().map(|v| if f64::from(v) < rate { 0.0 } else { kept }).collect()
        };
        net.train_step(Input::Pixels(&pixels), &labels, Step { rate, class_weights: None }, &mask)?;
        Ok::<f64, benchbook_tensorflow::Error>(began.elapsed().as_secs_f64())
    };
    let first_step = step()?;
    for _ in 0..settings.warm_up {
        step()?;
    }
    let count = parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
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
            // Linux tells kilobytes.
            peak_bytes: usage().ru_maxrss as u64 * 1024,
        };
        println!("{}", serde_json::to_string(&measured)?);
    }
    Ok(())
}
