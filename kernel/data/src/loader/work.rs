//! The work of the loader's threads.
//!
//! Each image of a batch is a separate job, so that all threads share the first batch (samples in
//! memory are one job together). A job writes its values into its own part of the batch. The last
//! job sends the batch.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
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
use crate::samples::SampleFault;
use crate::split::Contents;

/// `None` if every image of the batch was skipped.
pub(super) type BatchResult = Result<Option<Batch>, DataError>;

/// The state that all batches of an epoch share.
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
    /// Indices of the samples of the whole batch.
    indices: Vec<usize>,
    /// The part of the batch whose values this process prepares.
    share: Range<usize>,
    canvas: Canvas,
    slots: Mutex<Slots>,
    sender: Sender<BatchResult>,
}

struct Slots {
    unfilled: usize,
    faults: Vec<Option<Fault>>,
}

/// Why a sample cannot be used.
enum Fault {
    Image(ImageFault),
    Sample(SampleFault),
}

impl From<ImageFault> for Fault {
    fn from(fault: ImageFault) -> Self {
        Self::Image(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(fault) => fault.fmt(f),
            Self::Sample(fault) => fault.fmt(f),
        }
    }
}

/// Memory that a thread reuses from image to image.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    picture: Picture,
    resizer: Resizer,
    resized: Vec<u8>,
    interleaved: Vec<[f32; 4]>,
}

/// Maximum memory that a thread keeps, in bytes: 20 million pixels. One huge image should not occupy
/// memory for the rest of a training.
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
    /// Hands the images of a batch to the threads.
    pub(super) fn start(
        shared: &Arc<Shared>,
        pass: Pass,
        indices: Vec<usize>,
        sender: Sender<BatchResult>,
    ) {
        let share = shared.config.rank.share(indices.len());
        let count = share.len();
        let work = Arc::new(Self {
            shared: Arc::clone(shared),
            pass,
            canvas: Canvas::new(shared.spare(), count, shared.values()),
            indices,
            share,
            slots: Mutex::new(Slots {
                unfilled: count,
                faults: (0..count).map(|_| None).collect(),
            }),
            sender,
        });
        if count == 0 {
            // The receiver is gone if the epoch was dropped, and then the batch is not needed.
            let _ = work.sender.send(work.batch(Vec::new()));
            return;
        }
        // A copy takes less time than starting it on another thread.
        let jobs = if shared.in_memory() { 1 } else { count };
        let each = count / jobs;
        for job in 0..jobs {
            let work = Arc::clone(&work);
            let slots = job * each..(job + 1) * each;
            shared.pool.spawn_fifo(move || slots.for_each(|slot| work.fill(slot)));
        }
    }

    fn fill(&self, slot: usize) {
        if self.pass.cancelled.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: each slot is filled once, by the one job that was spawned for it, and the batch is
        // taken only after all of them have been counted below.
        let out = unsafe { self.canvas.slot(slot) };
        let done = SCRATCH.with_borrow_mut(|scratch| {
            let done = self.picture(self.indices[self.share.start + slot], scratch, out);
            scratch.shrink();
            done
        });
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.faults[slot] = done.err();
        slots.unfilled -= 1;
        if slots.unfilled == 0 {
            let faults = std::mem::take(&mut slots.faults);
            drop(slots);
            // The receiver is gone if the epoch was dropped, and then the batch is not needed.
            let _ = self.sender.send(self.batch(faults));
        }
    }

    /// Fills `out` with the values of an image.
    fn picture(&self, index: usize, scratch: &mut Scratch, out: &mut [f32]) -> Result<(), Fault> {
        let Self { shared, pass: Pass { clock, epoch, .. }, .. } = self;
        let config = &shared.config;
        let files = match shared.split.contents() {
            Contents::Files(files) => files,
            Contents::Rows(samples, rows) => {
                let read = || samples.read(rows[index], out).map_err(Fault::Sample);
                return clock.read.time(read);
            }
        };
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
                self.decode(index, &files[index].path, scratch)?;
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

    /// Reads, decodes and resizes an image.
    fn decode(&self, index: usize, path: &Path, scratch: &mut Scratch) -> Result<(), ImageFault> {
        let Self { shared, pass: Pass { clock, epoch, .. }, .. } = self;
        let config = &shared.config;
        let Scratch { bytes, picture, resizer, resized, .. } = scratch;
        clock.read.time(|| read_bytes(path, config.max_pixels, bytes))?;
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

    /// Finishes the batch and treats its bad images.
    fn batch(&self, faults: Vec<Option<Fault>>) -> BatchResult {
        let Self { shared, .. } = self;
        // SAFETY: all jobs that write to it are done; this is the last of them.
        let mut values = unsafe { self.canvas.take() };
        let mut indices = Vec::with_capacity(self.indices.len());
        let own = &self.indices[self.share.clone()];
        for (slot, (&index, fault)) in own.iter().zip(faults).enumerate() {
            match (fault, shared.config.on_bad_image) {
                (None, _) => {
                    let (each, at) = (shared.values(), indices.len());
                    if at != slot {
                        values.copy_within(slot * each..(slot + 1) * each, at * each);
                    }
                    indices.push(index);
                }
                (Some(Fault::Image(fault)), OnBadImage::Fail) => {
                    return Err(DataError::BadImage { path: shared.path(index), fault });
                }
                (Some(Fault::Sample(source)), OnBadImage::Fail) => {
                    let sample = shared.split.sample_name(index);
                    return Err(DataError::BadSample { sample, source });
                }
                (Some(fault), OnBadImage::Skip) => shared.skip(index, &fault),
            }
        }
        values.truncate(indices.len() * shared.values());
        if shared.config.rank.size > 1 {
            // No rank skips an image (`LoaderConfig::check`).
            indices.clone_from(&self.indices);
        }
        if indices.is_empty() {
            return Ok(None);
        }
        let labels = if shared.labelled {
            let label = |index: &usize| shared.split.label(*index).map(|label| label as i64);
            indices.iter().filter_map(label).collect()
        } else {
            Vec::new()
        };
        let sample_shape = Arc::clone(&shared.sample_shape);
        Ok(Some(Batch { values, labels, indices, sample_shape }))
    }
}

impl Shared {
    /// The number of values of one sample.
    fn values(&self) -> usize {
        self.sample_shape.iter().product()
    }

    fn in_memory(&self) -> bool {
        matches!(self.split.contents(), Contents::Rows(samples, _) if samples.in_memory())
    }

    /// The file of a sample, or the name of a sample that is not a file.
    fn path(&self, index: usize) -> PathBuf {
        self.split
            .path(index)
            .map_or_else(|| self.split.sample_name(index).into(), Path::to_path_buf)
    }

    fn skip(&self, index: usize, fault: &Fault) {
        let path = self.path(index);
        let skipped = Skipped { index, path, reason: fault.to_string() };
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).insert(index, skipped);
    }
}
