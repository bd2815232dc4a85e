//! How fast a folder of images is listed, decoded, resized and loaded.
//!
//! `cargo run --release -p benchbook-data --example throughput -- FOLDER [THREADS] [SIDE]`, where
//! FOLDER holds class folders or images. Stages are timed on one thread with fresh buffers, the
//! loader on THREADS threads (default: all cores) with the buffers that it uses again. Each figure
//! is the median of five runs, alternating, after one that warms the file cache. The processor
//! time of the whole process (Linux only) tells a slow machine from a busy one.

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
            small = pictures.drain(..).map(|picture| config.resize().apply(picture)).collect();
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
    processor: Vec<Duration>,
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
        let (began, used) = (Instant::now(), processor_time());
        work()?;
        let elapsed = began.elapsed();
        let used = processor_time().saturating_sub(used);
        if self.keep {
            let at = self.stages.iter().position(|stage| stage.name == name).unwrap_or_else(|| {
                self.stages.push(Stage { name, times: Vec::new(), processor: Vec::new() });
                self.stages.len() - 1
            });
            self.stages[at].times.push(elapsed);
            self.stages[at].processor.push(used);
        }
        Ok(())
    }
}

/// The processor time of all threads of this process so far, zero where it cannot be read: fields
/// 14 and 15 of `/proc/self/stat`, in ticks of 10 ms (proc(5)).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * ticks.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(split: &Split, config: &LoaderConfig, stages: &[Stage]) {
    println!(
        "{split}; {0} × {0} pixels, batch {1}, loader on {2} threads, median of {RUNS} (best)",
        config.height,
        config.batch_size,
        config.thread_count()
    );
    for Stage { name, times, processor } in stages {
        let rate = |time: Duration| split.len() as f64 / time.as_secs_f64();
        let (middle, best) = (median(times), times.iter().min().copied().unwrap_or_default());
        println!(
            "{name:36} {:>8.1} ms {:>8.0} images/s ({:.0}), processor {:.2} ms an image",
            middle.as_secs_f64() * 1e3,
            rate(middle),
            rate(best),
            median(processor).as_secs_f64() * 1e3 / split.len() as f64
        );
    }
}
