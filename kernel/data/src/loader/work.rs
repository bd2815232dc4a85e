//! What the loader's threads do.
//!
//! Each picture of a batch is a job of its own, so that all threads share the first batch, and writes
//! its values into its own part of the batch. Whichever job is the last one hands the batch out.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use fast_image_resize::Resizer;

use super::cache::Kept;
use super::canvas::Canvas;
use super::clock::Clock;
use super::{Batch, OnBadImage, Shared, Skipped};
use crate::augment;
use crate::decode::{Picture, decode_safely, read_bytes};
use crate::error::{DataError, ImageFault};

/// `None` where every picture of the batch was skipped.
pub(super) type BatchResult = Result<Option<Batch>, DataError>;

/// What all batches of an epoch have in common.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) clock: Arc<Clock>,
    pub(super) epoch: u64,
}

/// A batch in work.
pub(super) struct Work {
    shared: Arc<Shared>,
    pass: Pass,
    indices: Vec<usize>,
    canvas: Canvas,
    slots: Mutex<Slots>,
    sender: Sender<BatchResult>,
}

struct Slots {
    unfilled: usize,
    faults: Vec<Option<ImageFault>>,
}

/// Memory that a thread uses for one picture after another.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    picture: Picture,
    resizer: Resizer,
    resized: Vec<u8>,
    interleaved: Vec<[f32; 4]>,
}

/// What a thread keeps of it at most, in bytes: 20 million pixels. One huge picture should not take
/// its memory for the rest of a training.
const KEPT: usize = 60_000_000;

impl Scratch {
    fn shrink(&mut self) {
        if self.picture.rgb.capacity() > KEPT {
            self.picture = Picture::default();
            self.resizer.reset_internal_buffers();
        }
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Work {
    /// Hands the pictures of a batch to the threads.
    pub(super) fn start(
        shared: &Arc<Shared>,
        pass: Pass,
        indices: Vec<usize>,
        sender: Sender<BatchResult>,
    ) {
        let count = indices.len();
        let work = Arc::new(Self {
            shared: Arc::clone(shared),
            pass,
            canvas: Canvas::new(shared.spare(), count, shared.values()),
            indices,
            slots: Mutex::new(Slots {
                unfilled: count,
                faults: (0..count).map(|_| None).collect(),
            }),
            sender,
        });
        for slot in 0..count {
            let work = Arc::clone(&work);
            shared.pool.spawn_fifo(move || work.fill(slot));
        }
    }

    fn fill(&self, slot: usize) {
        if self.pass.cancelled.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: each slot is filled by the one job that was spawned for it, and the batch is taken
        // only after all of them have counted themselves below.
        let out = unsafe { self.canvas.slot(slot) };
        let done = SCRATCH.with_borrow_mut(|scratch| {
            let done = self.picture(self.indices[slot], scratch, out);
            scratch.shrink();
            done
        });
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.faults[slot] = done.err();
        slots.unfilled -= 1;
        if slots.unfilled == 0 {
            let faults = std::mem::take(&mut slots.faults);
            drop(slots);
            // The receiver is gone if the epoch was dropped, and then nobody wants the batch.
            let _ = self.sender.send(self.batch(faults));
        }
    }

    /// Fills `out` with the values of a picture.
    fn picture(
        &self,
        index: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), ImageFault> {
        let Self { shared, pass: Pass { clock, epoch, .. }, .. } = self;
        let config = &shared.config;
        let kept = match shared.store.is_off() {
            true => None,
            false => clock.cache.time(|| shared.store.get(index, &mut scratch.bytes)),
        };
        let rgb: &[u8] = match &kept {
            Some(kept) => {
                clock.cached.fetch_add(1, Ordering::Relaxed);
                match kept {
                    Kept::Shared(rgb) => rgb,
                    Kept::Read(start) => &scratch.bytes[*start..],
                }
            }
            None => {
                self.decode(index, scratch)?;
                &scratch.resized
            }
        };
        clock.change.time(|| {
            let key = (config.seed, *epoch, index);
            let changes = augment::draw(&config.augmentation, config.size(), key);
            let memory = &mut scratch.interleaved;
            augment::apply(&changes, rgb, config.size(), &shared.pixels, memory, out);
        });
        Ok(())
    }

    /// Reads, decodes and resizes a picture.
    fn decode(&self, index: usize, scratch: &mut Scratch) -> Result<(), ImageFault> {
        let Self { shared, pass: Pass { clock, epoch, .. }, .. } = self;
        let config = &shared.config;
        let Scratch { bytes, picture, resizer, resized, .. } = scratch;
        clock
            .read
            .time(|| read_bytes(&shared.split.samples()[index].path, config.max_pixels, bytes))?;
        clock.decode.time(|| decode_safely(bytes, config.max_pixels, picture))?;
        clock.resize.time(|| {
            let source = (picture.height, picture.width);
            let key = (config.seed, *epoch, index);
            let window = config.crop.window(source, config.size(), key);
            resized.resize(shared.values(), 0);
            config.resize().apply_into(resizer, picture, window, resized);
        });
        clock.decoded.fetch_add(1, Ordering::Relaxed);
        if !shared.store.is_off() {
            clock.cache.time(|| shared.store.put(index, resized));
        }
        Ok(())
    }

    /// The batch, and what becomes of its bad pictures.
    fn batch(&self, faults: Vec<Option<ImageFault>>) -> BatchResult {
        let Self { shared, .. } = self;
        let samples = shared.split.samples();
        // SAFETY: all jobs that write to it are done; this is the last of them.
        let mut pixels = unsafe { self.canvas.take() };
        let mut indices = Vec::with_capacity(self.indices.len());
        for (slot, (&index, fault)) in self.indices.iter().zip(faults).enumerate() {
            match (fault, shared.config.on_bad_image) {
                (None, _) => {
                    let (values, at) = (shared.values(), indices.len());
                    if at != slot {
                        pixels.copy_within(slot * values..(slot + 1) * values, at * values);
                    }
                    indices.push(index);
                }
                (Some(fault), OnBadImage::Fail) => {
                    return Err(DataError::BadImage { path: samples[index].path.clone(), fault });
                }
                (Some(fault), OnBadImage::Skip) => shared.skip(index, &fault),
            }
        }
        if indices.is_empty() {
            return Ok(None);
        }
        pixels.truncate(indices.len() * shared.values());
        let labels = if shared.split.is_labelled() {
            indices.iter().filter_map(|&index| samples[index].label).map(|l| l as i64).collect()
        } else {
            Vec::new()
        };
        let (height, width) = shared.config.size();
        Ok(Some(Batch { pixels, labels, indices, height, width }))
    }
}

impl Shared {
    /// The values of one picture.
    fn values(&self) -> usize {
        3 * self.config.height * self.config.width
    }

    fn skip(&self, index: usize, fault: &ImageFault) {
        let path = self.split.samples()[index].path.clone();
        let skipped = Skipped { index, path, reason: fault.to_string() };
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).insert(index, skipped);
    }
}
