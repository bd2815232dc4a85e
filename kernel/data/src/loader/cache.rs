//! Caches of resized images between epochs.

mod disk;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::LoaderConfig;
use crate::error::DataError;
use crate::split::Split;
use disk::Disk;

/// The cache of decoded images.
///
/// It stores resized images as bytes, before any random change, so every epoch after the
/// first saves reading, decoding and resizing.
/// [`Loader::cache_bytes`](crate::Loader::cache_bytes) gives the size of the cache in advance. A loader
/// without enough memory or disk for its cache is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cache {
    /// Every epoch reads and decodes every file.
    #[default]
    Off,
    /// In memory, as long as the loader lives. Changes of files are not detected meanwhile.
    Memory,
    /// In files below this folder, which later loaders and processes with the same settings
    /// reuse. An image is decoded again if the path, size, time or inode of its file differs, or if
    /// the cached image is damaged. Files are written atomically. Removing
    /// the folder is safe at any time.
    Disk(PathBuf),
}

/// The content of a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheReport {
    /// Images that this loader has written to the cache or found there.
    pub pictures: usize,
    /// The bytes of these images.
    pub bytes: u64,
    /// The reason why images are no longer cached, for example a full disk. Training continues and
    /// decodes the missing images in each epoch.
    pub fault: Option<String>,
}

/// The cache of one loader.
pub(super) struct Store {
    place: Place,
    pictures: AtomicUsize,
    picture_bytes: u64,
}

enum Place {
    Off,
    /// The resized image of each decoded sample, `[height, width, 3]`.
    Memory(Vec<OnceLock<Arc<[u8]>>>),
    Disk {
        disk: Disk,
        seen: Vec<OnceLock<()>>,
    },
}

/// An image in the cache.
pub(super) enum Kept {
    Shared(Arc<[u8]>),
    /// In the caller's buffer, from this byte on.
    Read(usize),
}

impl Store {
    /// # Errors
    /// [`DataError::CacheSpace`] if the cache does not fit, [`DataError::Cache`] if its folder cannot be
    /// created.
    pub(super) fn open(split: &Split, config: &LoaderConfig) -> Result<Self, DataError> {
        let picture_bytes = picture_bytes(config);
        let needed = picture_bytes * split.files().len() as u64;
        let place = match &config.cache {
            // Samples that are not image files are not decoded.
            _ if split.files().is_empty() => Place::Off,
            Cache::Off => Place::Off,
            Cache::Memory => {
                if let Some(available) = available_memory().filter(|available| needed > *available)
                {
                    return Err(DataError::CacheSpace {
                        place: "memory".into(),
                        needed,
                        available,
                    });
                }
                Place::Memory((0..split.len()).map(|_| OnceLock::new()).collect())
            }
            Cache::Disk(folder) => {
                let disk = Disk::open(folder, split, config)?;
                let seen = (0..split.len()).map(|_| OnceLock::new()).collect();
                Place::Disk { disk, seen }
            }
        };
        Ok(Self { place, pictures: AtomicUsize::new(0), picture_bytes })
    }

    pub(super) fn is_off(&self) -> bool {
        matches!(self.place, Place::Off)
    }

    /// The image of a sample, if it is cached. `buffer` is for the content of a file.
    pub(super) fn get(&self, index: usize, buffer: &mut Vec<u8>) -> Option<Kept> {
        match &self.place {
            Place::Off => None,
            Place::Memory(slots) => slots[index].get().map(|rgb| Kept::Shared(Arc::clone(rgb))),
            Place::Disk { disk, seen } => {
                let start = disk.read(index, buffer)?;
                self.count(&seen[index]);
                Some(Kept::Read(start))
            }
        }
    }

    pub(super) fn put(&self, index: usize, rgb: &[u8]) {
        match &self.place {
            Place::Off => {}
            // Two concurrent epochs may both decode the image, with the same result.
            Place::Memory(slots) => {
                if slots[index].set(rgb.into()).is_ok() {
                    self.pictures.fetch_add(1, Ordering::Relaxed);
                }
            }
            Place::Disk { disk, seen } => {
                if disk.write(index, rgb) {
                    self.count(&seen[index]);
                }
            }
        }
    }

    fn count(&self, seen: &OnceLock<()>) {
        if seen.set(()).is_ok() {
            self.pictures.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn report(&self) -> CacheReport {
        let pictures = self.pictures.load(Ordering::Relaxed);
        let fault = match &self.place {
            Place::Disk { disk, .. } => disk.fault(),
            _ => None,
        };
        CacheReport { pictures, bytes: pictures as u64 * self.picture_bytes, fault }
    }
}

/// The bytes of one image in the cache.
pub(super) fn picture_bytes(config: &LoaderConfig) -> u64 {
    let pixels = (config.height * config.width * 3) as u64;
    match config.cache {
        Cache::Disk(_) => pixels + disk::HEADER as u64,
        _ => pixels,
    }
}

/// Bytes of memory that are available without swapping: `MemAvailable` (proc(5)). `None` if the
/// system does not report them.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
