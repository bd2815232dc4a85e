//! One pass over a folder of pictures in a process of its own, as `environment/bench data` times it.
//!
//! `cargo run --release -p benchbook-data --example pass -- FOLDER SETTINGS [EPOCHS]`, where SETTINGS is a
//! `LoaderConfig` as JSON. Prints one JSON object: seconds of listing and of each epoch with its stages
//! (seconds of all threads together), and the largest memory of the process in bytes (Linux only).

use std::error::Error;
use std::time::Instant;

use benchbook_data::{EpochTimes, Loader, LoaderConfig, Split};
use serde::Serialize;

#[derive(Serialize)]
struct Pass {
    pictures: usize,
    threads: usize,
    list_seconds: f64,
    epochs: Vec<Epoch>,
    cache_bytes: u64,
    peak_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Epoch {
    seconds: f64,
    pictures: usize,
    read: f64,
    decode: f64,
    resize: f64,
    change: f64,
    cache: f64,
    copy: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, settings, epochs) = match arguments.as_slice() {
        [folder, settings] => (folder, settings, 1),
        [folder, settings, epochs] => (folder, settings, epochs.parse()?),
        _ => return Err("usage: pass FOLDER SETTINGS [EPOCHS]".into()),
    };
    let config: LoaderConfig = serde_json::from_str(settings)?;
    let began = Instant::now();
    let split = Split::open(folder)?;
    let list_seconds = began.elapsed().as_secs_f64();
    let loader = Loader::new(&split, config)?;
    let mut pass = Pass {
        pictures: split.len(),
        threads: loader.config().thread_count(),
        list_seconds,
        epochs: Vec::new(),
        cache_bytes: loader.cache_bytes(),
        peak_bytes: None,
    };
    // What a CPU's tensor is made of: a copy in memory of its own.
    let mut device = Vec::new();
    for number in 0..epochs {
        let began = Instant::now();
        let mut epoch = loader.epoch(number);
        let (mut pictures, mut copy) = (0, 0.0);
        for batch in epoch.by_ref() {
            let batch = batch?;
            pictures += batch.len();
            let copying = Instant::now();
            device.clear();
            device.extend_from_slice(std::hint::black_box(&batch.pixels));
            std::hint::black_box(&mut device);
            copy += copying.elapsed().as_secs_f64();
            loader.recycle(batch);
        }
        let seconds = began.elapsed().as_secs_f64();
        let EpochTimes { read, decode, resize, change, cache, .. } = epoch.times();
        let [read, decode, resize, change, cache] =
            [read, decode, resize, change, cache].map(|time| time.as_secs_f64());
        pass.epochs.push(Epoch { seconds, pictures, read, decode, resize, change, cache, copy });
    }
    pass.peak_bytes = peak();
    println!("{}", serde_json::to_string(&pass)?);
    Ok(())
}

/// `VmHWM` of proc(5).
fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
