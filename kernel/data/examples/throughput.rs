//! How fast a folder of pictures is listed, decoded, resized and loaded.
//!
//! `cargo run --release -p benchbook-data --example throughput -- FOLDER [THREADS] [SIDE]`, where
//! FOLDER holds class folders or pictures. Stages are timed on one thread with fresh buffers, the
//! loader on THREADS threads (default: all cores) with the buffers that it uses again. Each figure
//! is the median of five runs, taken in turns, after one that warms the file cache.

use std::time::{Duration, Instant};

use benchbook_data::{
    Augmentation, DEFAULT_MAX_PIXELS, DataError, Filter, Loader, LoaderConfig, Picture,
    Preprocessing, Split,
};

const RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    let Some(folder) = arguments.first() else {
        eprintln!("usage: throughput FOLDER [THREADS] [SIDE]");
        std::process::exit(2);
    };
    if let Err(error) = measure(folder, number(1).unwrap_or(0), number(2).unwrap_or(224)) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn measure(folder: &str, threads: usize, side: usize) -> Result<(), DataError> {
    let config = LoaderConfig { height: side, width: side, threads, ..LoaderConfig::default() };
    let split = Split::open(folder)?;
    let mut stages: Vec<Stage> = Vec::new();
    for run in 0..=RUNS {
        let mut times = Times { stages: &mut stages, keep: run > 0 };
        times.time("list", || Split::open(folder).map(drop))?;
        let mut pictures = Vec::new();
        times.time("read and decode, 1 thread", || {
            for path in split.paths() {
                pictures.push(Picture::open(path, DEFAULT_MAX_PIXELS)?);
            }
            Ok(())
        })?;
        let mut small = Vec::new();
        times.time("resize, 1 thread", || {
            small = pictures.iter().map(|picture| config.resize().apply(picture)).collect();
            Ok(())
        })?;
        drop(pictures);
        times.time("preprocess, 1 thread", || {
            for picture in &small {
                std::hint::black_box(Preprocessing::Torchvision.apply(picture));
            }
            Ok(())
        })?;
        drop(small);
        for (name, config) in variants(&config) {
            times.time(name, || load(&split, config))?;
        }
    }
    report(&split, &config, &stages);
    Ok(())
}

fn variants(config: &LoaderConfig) -> [(&'static str, LoaderConfig); 4] {
    let plain = config.clone();
    [
        ("loader, bilinear with antialias", plain.clone()),
        (
            "loader, bilinear without antialias",
            LoaderConfig { filter: Filter::BilinearNoAntialias, ..plain.clone() },
        ),
        ("loader, nearest", LoaderConfig { filter: Filter::Nearest, ..plain.clone() }),
        (
            "loader, nearest, rotation of 180°",
            LoaderConfig {
                filter: Filter::Nearest,
                augmentation: vec![Augmentation::ROTATION_180],
                ..plain
            },
        ),
    ]
}

/// One pass with a loader of its own, as a fresh process would make it.
fn load(split: &Split, config: LoaderConfig) -> Result<(), DataError> {
    for batch in Loader::new(split, config)?.epoch(0) {
        std::hint::black_box(batch?);
    }
    Ok(())
}

struct Stage {
    name: &'static str,
    times: Vec<Duration>,
}

struct Times<'a> {
    stages: &'a mut Vec<Stage>,
    keep: bool,
}

impl Times<'_> {
    fn time(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let began = Instant::now();
        work()?;
        let elapsed = began.elapsed();
        if self.keep {
            match self.stages.iter_mut().find(|stage| stage.name == name) {
                Some(stage) => stage.times.push(elapsed),
                None => self.stages.push(Stage { name, times: vec![elapsed] }),
            }
        }
        Ok(())
    }
}

fn report(split: &Split, config: &LoaderConfig, stages: &[Stage]) {
    println!(
        "{split}; {0} × {0} pixels, batch {1}, loader on {2} threads, median of {RUNS} (best)",
        config.height,
        config.batch_size,
        config.thread_count()
    );
    for stage in stages {
        let mut times = stage.times.clone();
        times.sort_unstable();
        let rate = |time: Duration| split.len() as f64 / time.as_secs_f64();
        let median = times[times.len() / 2];
        println!(
            "{:36} {:>8.1} ms {:>8.0} images/s ({:.0})",
            stage.name,
            median.as_secs_f64() * 1e3,
            rate(median),
            rate(times[0])
        );
    }
}
