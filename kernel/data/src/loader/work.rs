//! What the loader's threads do.
//!
//! Each picture of a batch is a job of its own, so that all threads share the first batch, and
//! leaves its resized bytes in a slot. Whichever job fills the last slot makes the batch of them.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use fast_image_resize::Resizer;

use super::{Batch, OnBadImage, Shared, Skipped};
use crate::augment;
use crate::decode::{Picture, read_into};
use crate::error::{DataError, ImageFault};

/// `None` where every picture of the batch was skipped.
pub(super) type BatchResult = Result<Option<Batch>, DataError>;

/// A batch in work.
pub(super) struct Work {
    shared: Arc<Shared>,
    cancelled: Arc<AtomicBool>,
    epoch: u64,
    indices: Vec<usize>,
    slots: Mutex<Slots>,
    sender: Sender<BatchResult>,
}

type Resized = Result<Arc<Vec<u8>>, ImageFault>;

struct Slots {
    unfilled: usize,
    pictures: Vec<Option<Resized>>,
}

/// Memory that a thread uses for one picture after another.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    picture: Picture,
    resizer: Resizer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Work {
    /// Hands the pictures of a batch to the threads.
    pub(super) fn start(
        shared: &Arc<Shared>,
        cancelled: &Arc<AtomicBool>,
        epoch: u64,
        indices: Vec<usize>,
        sender: Sender<BatchResult>,
    ) {
        let count = indices.len();
        let work = Arc::new(Self {
            shared: Arc::clone(shared),
            cancelled: Arc::clone(cancelled),
            epoch,
            indices,
            slots: Mutex::new(Slots {
                unfilled: count,
                pictures: (0..count).map(|_| None).collect(),
            }),
            sender,
        });
        for slot in 0..count {
            let work = Arc::clone(&work);
            shared.pool.spawn_fifo(move || work.fill(slot));
        }
    }

    fn fill(&self, slot: usize) {
        if self.cancelled.load(Ordering::Relaxed) {
            return;
        }
        let index = self.indices[slot];
        let resized = catch_unwind(AssertUnwindSafe(|| self.shared.resized(index)))
            .unwrap_or(Err(ImageFault::DecoderPanicked));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.pictures[slot] = Some(resized);
        slots.unfilled -= 1;
        if slots.unfilled == 0 {
            let pictures = std::mem::take(&mut slots.pictures);
            drop(slots);
            // The receiver is gone if the epoch was dropped, and then nobody wants the batch.
            let _ = self.sender.send(self.assemble(pictures));
        }
    }

    /// Changes, preprocesses and joins the pictures, and sorts out the bad ones.
    fn assemble(&self, pictures: Vec<Option<Resized>>) -> BatchResult {
        let config = &self.shared.config;
        let samples = self.shared.split.samples();
        let mut good = Vec::with_capacity(pictures.len());
        for (&index, resized) in self.indices.iter().zip(pictures.into_iter().flatten()) {
            match (resized, config.on_bad_image) {
                (Ok(rgb), _) => good.push((index, rgb)),
                (Err(fault), OnBadImage::Fail) => {
                    return Err(DataError::BadImage { path: samples[index].path.clone(), fault });
                }
                (Err(fault), OnBadImage::Skip) => self.shared.skip(index, &fault),
            }
        }
        if good.is_empty() {
            return Ok(None);
        }
        let size = (config.height, config.width);
        let values = 3 * config.height * config.width;
        let mut pixels = vec![0.0; good.len() * values];
        for ((index, rgb), out) in good.iter().zip(pixels.chunks_exact_mut(values)) {
            augment::draw(&config.augmentation, size, config.seed, self.epoch, *index).apply(
                rgb,
                size,
                &self.shared.pixels,
                out,
            );
        }
        let indices: Vec<usize> = good.iter().map(|(index, _)| *index).collect();
        let labels = if self.shared.split.is_labelled() {
            indices.iter().filter_map(|&index| samples[index].label).map(|l| l as i64).collect()
        } else {
            Vec::new()
        };
        Ok(Some(Batch { pixels, labels, indices, height: config.height, width: config.width }))
    }
}

impl Shared {
    /// The resized picture of a sample, from the cache where it is on.
    fn resized(&self, index: usize) -> Resized {
        let cached = self.cache.as_ref().map(|cache| &cache[index]);
        if let Some(rgb) = cached.and_then(|slot| slot.get()) {
            return Ok(Arc::clone(rgb));
        }
        let rgb = SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { bytes, picture, resizer } = scratch;
            let path = &self.split.samples()[index].path;
            read_into(path, bytes, self.config.max_pixels, picture)?;
            let mut rgb = vec![0; 3 * self.resize.height * self.resize.width];
            self.resize.apply_into(resizer, picture, &mut rgb);
            Ok(Arc::new(rgb))
        })?;
        if let Some(slot) = cached {
            // Two epochs at once may both decode it, to the same bytes.
            let _ = slot.set(Arc::clone(&rgb));
        }
        Ok(rgb)
    }

    fn skip(&self, index: usize, fault: &ImageFault) {
        let path = self.split.samples()[index].path.clone();
        let skipped = Skipped { index, path, reason: fault.to_string() };
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).insert(index, skipped);
    }
}
