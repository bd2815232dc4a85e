//! One pass over a folder of images in a process of its own, as `environment/bench data` times it.
//!
//! `cargo run --release -p benchbook-data --example pass -- FOLDER SETTINGS [EPOCHS]`, where SETTINGS is a
//! `LoaderConfig` as JSON. Prints one JSON object: seconds of listing and of each epoch with its stages
//! (seconds of all threads together), the largest memory of the process in bytes (Linux only), and the
//! seconds that a copy of an image's values takes, which is made after the epochs: a CPU needs none.

use std::error::Error;
use std::time::Instant;

use benchbook_data::{DataError, EpochTimes, Loader, LoaderConfig, Split};
use serde::Serialize;

#[derive(Serialize)]
struct Pass {
    pictures: usize,
    threads: usize,
    list_seconds: f64,
    epochs: Vec<Epoch>,
    cache_bytes: u64,
    peak_bytes: Option<u64>,
    copy_seconds: f64,
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
        copy_seconds: 0.0,
    };
    for number in 0..epochs {
        let began = Instant::now();
        let mut epoch = loader.epoch(number);
        let mut pictures = 0;
        for batch in epoch.by_ref() {
            let batch = batch?;
            pictures += batch.len();
            loader.recycle(batch);
        }
        let seconds = began.elapsed().as_secs_f64();
        let EpochTimes { read, decode, resize, change, cache, .. } = epoch.times();
        let [read, decode, resize, change, cache] =
            [read, decode, resize, change, cache].map(|time| time.as_secs_f64());
        pass.epochs.push(Epoch { seconds, pictures, read, decode, resize, change, cache });
    }
    pass.peak_bytes = peak();
    pass.copy_seconds = copy(&loader)?;
    println!("{}", serde_json::to_string(&pass)?);
    Ok(())
}

/// The median of copies of one batch into other memory, an image.
fn copy(loader: &Loader) -> Result<f64, DataError> {
    let Some(batch) = loader.epoch(0).next().transpose()? else { return Ok(0.0) };
    let mut other = batch.values.clone();
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            let began = Instant::now();
            other.copy_from_slice(std::hint::black_box(&batch.values));
            std::hint::black_box(&mut other);
            began.elapsed().as_secs_f64() / batch.len() as f64
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// `VmHWM` of proc(5).
fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
