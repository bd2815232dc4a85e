//! The settings of a run in the words that comparisons compare.

use super::Training;
use crate::backend::Compute;
use crate::train::Fit;
use benchbook_data::{Augmentation, Cache, Crop, Filter, Preprocessing};

/// A crop of the training's own and random changes of the pictures; `none` for none.
fn augmentation(crop: Option<Crop>, changes: &[Augmentation]) -> String {
    let mut words: Vec<String> = crop.iter().map(|crop| format!("crop {crop:?}")).collect();
    words.extend(changes.iter().map(|change| format!("{change:?}")));
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

/// What happens to pixels. Of crop and filter only what is not the default is said.
pub(crate) fn pixels(preprocessing: &Preprocessing, crop: Crop, filter: Filter) -> String {
    let mut words = vec![preprocessing.to_string()];
    if crop != Crop::default() {
        words.push(format!("crop {crop:?}"));
    }
    if filter != Filter::default() {
        words.push(format!("filter {filter:?}"));
    }
    words.join(", ")
}

/// What differs from what the library does by itself; the precision has a field of its own. On the processor, what
/// is only for a GPU is no difference.
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

/// A training as it was asked for.
pub(crate) fn training(fit: &Fit) -> Training {
    Training {
        batch_size: Some(fit.batch_size),
        epochs: Some(fit.epochs),
        steps_per_epoch: fit.steps_per_epoch,
        optimizer: Some(fit.optimizer.to_string()),
        learning_rate: Some(fit.rate()),
        schedule: Some(format!("{:?}", fit.schedule)),
        augmentation: Some(augmentation(fit.crop, &fit.augmentation)),
        class_weights: Some(
            fit.class_weights.as_ref().map_or("none".into(), |factors| format!("{factors:?}")),
        ),
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
