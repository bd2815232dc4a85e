//! The settings of a run as its record states them.

use super::Training;
use crate::backend::Compute;
use crate::train::Fit;
use benchbook_data::{Cache, Crop, Filter, Preprocessing};
use benchbook_study::conditions::words;
use serde::Serialize;
use serde_json::{Value, json};

/// A setting as a job states it.
pub(crate) fn setting(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The training's own crop and its augmentations; `none` without any.
fn augmentation(fit: &Fit) -> Value {
    let crop = fit.crop.map(|crop| json!({ "crop": crop }));
    let all: Vec<Value> = crop.into_iter().chain(fit.augmentation.iter().map(setting)).collect();
    if all.is_empty() { "none".into() } else { all.into() }
}

/// The preprocessing of pixels, with crop and filter where they differ from the default.
pub(crate) fn pixels(preprocessing: &Preprocessing, crop: Crop, filter: Filter) -> String {
    let mut parts = vec![match preprocessing {
        Preprocessing::Custom(steps) => words(&setting(steps)),
        published => published.to_string(),
    }];
    if crop != Crop::default() {
        parts.push(format!("crop {}", words(&setting(&crop))));
    }
    if filter != Filter::default() {
        parts.push(format!("filter {}", words(&setting(&filter))));
    }
    parts.join(", ")
}

/// The settings that differ from the library's defaults, without the precision, which has its own field, and on the CPU
/// without settings that only affect GPUs.
pub(crate) fn compute_settings(compute: &Compute, device: &str) -> Vec<String> {
    let standard = Compute::default();
    let Compute {
        precision: _,
        tf32_matmul,
        tf32_convolutions,
        cudnn_benchmark,
        channels_last,
        pinned_memory,
        asynchronous_copies,
    } = *compute;
    let switches = [
        ("TF32 matrix products", tf32_matmul, standard.tf32_matmul),
        ("TF32 convolutions", tf32_convolutions, standard.tf32_convolutions),
        ("cuDNN tries algorithms", cudnn_benchmark, standard.cudnn_benchmark),
        ("channels last", channels_last, standard.channels_last),
        ("pinned memory", pinned_memory, standard.pinned_memory),
        ("asynchronous copies", asynchronous_copies, standard.asynchronous_copies),
    ];
    let counts = |name: &str| device != "cpu" || name == "channels last";
    let differs =
        switches.into_iter().filter(|(name, value, standard)| value != standard && counts(name));
    differs.map(|(name, value, _)| format!("{name} {}", if value { "on" } else { "off" })).collect()
}

/// The requested settings of a training.
pub(crate) fn training(fit: &Fit) -> Training {
    Training {
        batch_size: Some(fit.batch_size),
        epochs: Some(fit.epochs),
        steps_per_epoch: fit.steps_per_epoch,
        optimizer: Some(setting(&fit.optimizer)),
        learning_rate: Some(fit.rate()),
        schedule: Some(setting(&fit.schedule)),
        augmentation: Some(augmentation(fit)),
        class_weights: Some(fit.class_weights.as_ref().map_or("none".into(), setting)),
        seed: Some(fit.seed),
        cache_features: Some(fit.cache_features),
        cache: Some(
            match fit.cache {
                Cache::Off => "none",
                Cache::Memory => "memory",
                Cache::Disk(_) => "disk",
            }
            .into(),
        ),
        loader_threads: Some(match fit.loader_threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }),
    }
}
