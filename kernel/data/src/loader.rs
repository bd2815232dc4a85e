//! The data loader: makes batches of a split, on separate threads.

mod cache;
mod canvas;
mod clock;
mod config;
mod epoch;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rand::seq::SliceRandom;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use crate::augment::{self, Change};
use crate::crop::Window;
use crate::error::DataError;
use crate::preprocess::PixelMap;
use crate::seed::{Purpose, generator};
use crate::split::{Contents, Split};

use cache::Store;
pub use cache::{Cache, CacheReport};
pub use clock::EpochTimes;
pub use config::{LoaderConfig, OnBadImage};
pub use epoch::Epoch;

/// A batch of samples for a network.
#[derive(Clone, PartialEq)]
pub struct Batch {
    /// Preprocessed values, `[batch, …shape]`: `[batch, 3, height, width]` for image files. With several ranks
    /// ([`LoaderConfig::rank`]), the values of this rank's share of the batch.
    pub values: Vec<f32>,
    /// The class numbers, `[batch]`; empty if the split has samples without a class.
    pub labels: Vec<i64>,
    /// The index of each sample in the split, `[batch]`.
    pub indices: Vec<usize>,
    /// The shape of one sample.
    pub sample_shape: Arc<[usize]>,
}

impl Batch {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no samples. A loader never returns an empty batch.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// `[batch, …sample_shape]`, the shape of [`values`](Self::values).
    pub fn shape(&self) -> Vec<usize> {
        std::iter::once(self.len()).chain(self.sample_shape.iter().copied()).collect()
    }
}

impl fmt::Debug for Batch {
    /// The shape instead of the values, which would fill a notebook.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("shape", &self.shape())
            .field("labels", &self.labels)
            .field("indices", &self.indices)
            .finish_non_exhaustive()
    }
}

/// A file that was skipped under [`OnBadImage::Skip`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The index in the split's samples.
    pub index: usize,
    /// The file, or the name of a sample that is not a file.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub reason: String,
}

/// Decodes, resizes, augments and batches the images of a split ahead of their use. Cloning is cheap: clones share
/// threads, cache and list of skipped files.
#[derive(Clone)]
pub struct Loader {
    shared: Arc<Shared>,
}

/// The state that the loader's threads share.
struct Shared {
    split: Split,
    labelled: bool,
    sample_shape: Arc<[usize]>,
    config: LoaderConfig,
    pixels: PixelMap,
    pool: ThreadPool,
    skipped: Mutex<BTreeMap<usize, Skipped>>,
    store: Store,
    /// The memory of returned batches.
    spare: Mutex<Vec<Vec<f32>>>,
}

/// The random choices for one image and epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// The part of the image that was resized.
    pub window: Window,
    /// The changes of the resized image, in order.
    pub changes: Vec<Change>,
}

impl Loader {
    /// Creates a loader for a split and starts its threads. Files are read from the first epoch on.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a setting outside its range, [`DataError::EmptySplit`],
    /// [`DataError::Threads`]; [`DataError::CacheSpace`] if the cache would not fit, and
    /// [`DataError::Cache`] if its folder cannot be used.
    pub fn new(split: &Split, config: LoaderConfig) -> Result<Self, DataError> {
        let sample_shape = config.sample_shape(split)?;
        let threads = match split.contents() {
            Contents::Rows(samples, _) if samples.in_memory() => 1,
            Contents::Rows(..) | Contents::Files(_) => config.thread_count(),
        };
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("loader-{index}"))
            // A panic outside of a decoder closes the channel of its batch, which the epoch reports.
            .panic_handler(|_| {})
            .build()
            .map_err(|source| DataError::Threads { threads, source })?;
        let store = Store::open(split, &config)?;
        let shared = Shared {
            split: split.clone(),
            labelled: split.is_labelled(),
            sample_shape,
            pixels: PixelMap::new(&config.preprocessing),
            config,
            pool,
            skipped: Mutex::default(),
            store,
            spare: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The split.
    pub fn split(&self) -> &Split {
        &self.shared.split
    }

    /// The settings.
    pub fn config(&self) -> &LoaderConfig {
        &self.shared.config
    }

    /// The shape of one sample in its batches: `[3, height, width]` for image files.
    pub fn sample_shape(&self) -> &[usize] {
        &self.shared.sample_shape
    }

    /// The number of batches in one pass over the split, before bad images are skipped.
    pub fn batches(&self) -> usize {
        self.shared.batches()
    }

    /// The bytes of a cache with every image file; without a cache, the bytes that [`Cache::Memory`] would need.
    pub fn cache_bytes(&self) -> u64 {
        cache::picture_bytes(self.config()) * self.split().files().len() as u64
    }

    /// The current content of the cache.
    pub fn cached(&self) -> CacheReport {
        self.shared.store.report()
    }

    /// The random choices for the sample with this index, an image of `(height, width)` pixels, in an epoch. They depend
    /// only on these values, the seed and the settings.
    pub fn drawn(&self, epoch: u64, index: usize, source: (u32, u32)) -> Drawn {
        let config = self.config();
        let key = (config.seed, epoch, index);
        Drawn {
            window: config.crop.window(source, config.size(), key),
            changes: augment::draw(&config.augmentation, config.size(), key),
        }
    }

    /// Returns a batch whose values are no longer needed, for example after a copy to a device. The loader reuses its
    /// memory for the next batch.
    pub fn recycle(&self, batch: Batch) {
        let mut spare = self.shared.spare.lock().unwrap_or_else(PoisonError::into_inner);
        // At most the number of batches in work.
        if spare.len() <= self.config().prefetch {
            spare.push(batch.values);
        }
    }

    /// The batches of one epoch, counted from 0. The order of the samples and the random changes
    /// depend only on the seed and on `epoch`. Threads start on the first batches at once.
    ///
    /// With [`LoaderConfig::repeat`] the iterator never ends: it continues with the order and changes
    /// of the following epochs.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of one epoch without the first `done`, for a training that resumes within the epoch. The batches equal
    /// those of [`epoch`](Self::epoch).
    pub fn epoch_from(&self, epoch: u64, done: usize) -> Epoch {
        Epoch::start(Arc::clone(&self.shared), epoch, done.min(self.batches()))
    }

    /// The indices of the samples in the order of [`epoch`](Self::epoch), for values that were computed for each sample
    /// and are used in the same order.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        self.shared.order(epoch)
    }

    /// The files that were skipped so far, by their index.
    pub fn skipped(&self) -> Vec<Skipped> {
        let skipped = self.shared.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.values().cloned().collect()
    }
}

impl Shared {
    fn spare(&self) -> Option<Vec<f32>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn batches(&self) -> usize {
        let (samples, size) = (self.split.len(), self.config.batch_size);
        if self.config.drop_last { samples / size } else { samples.div_ceil(size) }
    }

    /// The indices of the samples in the order of an epoch.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.split.len()).collect();
        if self.config.shuffle {
            order.shuffle(&mut generator(Purpose::Shuffle, self.config.seed, epoch, 0));
        }
        order
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("split", self.split())
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config();
        let unit = if self.batches() == 1 { "batch" } else { "batches" };
        write!(f, "{} in {} {unit} of {}", self.split(), self.batches(), config.batch_size)?;
        if self.split().files().is_empty() {
            return write!(f, ", shape {:?}", self.sample_shape());
        }
        write!(f, ", {} × {} pixels, {}", config.height, config.width, config.preprocessing)?;
        let megabytes = self.cache_bytes().div_ceil(1_000_000);
        match &config.cache {
            Cache::Off => Ok(()),
            Cache::Memory => write!(f, ", cached in up to {megabytes} MB of memory"),
            Cache::Disk(folder) => {
                write!(f, ", cached in up to {megabytes} MB in {}", folder.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::split::Sample;

    /// The only thread is blocked until the epoch has been dropped. The queued work must then end without opening
    /// files, which do not exist and would be listed as skipped.
    #[test]
    fn a_dropped_epoch_leaves_its_queued_work_undone() {
        let sample = |index: usize| Sample { path: format!("missing/{index}").into(), label: None };
        let split = Split::new("none", Vec::new(), (0..64).map(sample).collect()).unwrap();
        let config = LoaderConfig {
            threads: 1,
            batch_size: 8,
            prefetch: 4,
            on_bad_image: OnBadImage::Skip,
            ..LoaderConfig::default()
        };
        for drop_early in [true, false] {
            let loader = Loader::new(&split, config.clone()).unwrap();
            let (release, held) = channel::<()>();
            loader.shared.pool.spawn_fifo(move || held.recv().unwrap());
            let epoch = loader.epoch(0);
            if drop_early {
                drop(epoch);
                release.send(()).unwrap();
                loader.shared.pool.install(|| ());
                assert!(loader.skipped().is_empty());
            } else {
                release.send(()).unwrap();
                assert!(epoch.last().unwrap().is_err());
                assert_eq!(loader.skipped().len(), 64);
            }
        }
    }
}
