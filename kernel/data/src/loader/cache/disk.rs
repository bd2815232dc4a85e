//! Resized images in files, one file per image.

use std::collections::HashSet;
use std::ffi::{CString, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::super::LoaderConfig;
use crate::error::DataError;
use crate::split::Split;

/// The header before the pixels: magic, eight numbers that identify the source file, and a
/// checksum of the pixels.
pub(super) const HEADER: usize = 8 + 8 * 8 + 8;
/// Changes whenever the decoder or the resizing changes pixels, so that old files are not used.
const MAGIC: &[u8; 8] = b"BBpixel1";
/// A half-written file of a process that was killed is removed after this time.
const ABANDONED: Duration = Duration::from_secs(3600);

pub(super) struct Disk {
    folder: PathBuf,
    settings: u64,
    bytes: usize,
    /// The absolute path of each image.
    paths: Vec<PathBuf>,
    fault: Mutex<Option<String>>,
    /// Set with `fault`: no more files are written.
    stopped: AtomicBool,
    counter: AtomicU64,
}

impl Disk {
    pub(super) fn open(
        folder: &Path,
        split: &Split,
        config: &LoaderConfig,
    ) -> Result<Self, DataError> {
        let fault = |path: &Path, source| DataError::Cache { path: path.into(), source };
        let settings = format!(
            "{} x {}, {:?}, {:?}, at most {} pixels",
            config.height, config.width, config.filter, config.crop, config.max_pixels
        );
        let settings = hash(settings.as_bytes());
        let inner = folder.join(format!("{}x{}-{settings:016x}", config.height, config.width));
        fs::create_dir_all(&inner).map_err(|source| fault(&inner, source))?;
        let paths: Result<Vec<PathBuf>, _> = split
            .paths()
            .map(|path| std::path::absolute(path).map_err(|source| fault(path, source)))
            .collect();
        let disk = Self {
            folder: inner,
            settings,
            bytes: config.height * config.width * 3,
            paths: paths?,
            fault: Mutex::default(),
            stopped: AtomicBool::new(false),
            counter: AtomicU64::new(0),
        };
        disk.check_space().map_err(|source| fault(&disk.folder, source))??;
        Ok(disk)
    }

    /// Whether the missing images fit on the disk. Also removes abandoned files.
    fn check_space(&self) -> io::Result<Result<(), DataError>> {
        let mut present = HashSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                let age = entry.metadata().and_then(|m| m.modified()).map(|time| time.elapsed());
                if matches!(age, Ok(Ok(age)) if age > ABANDONED) {
                    // Another process may remove it at the same time.
                    let _ = fs::remove_file(path);
                }
            } else {
                present.insert(entry.file_name());
            }
        }
        let names = self.paths.iter().map(|path| file_name(path));
        let missing = names.filter(|name| !present.contains(name)).count();
        let needed = missing as u64 * (self.bytes + HEADER) as u64;
        let available = available_space(&self.folder)?;
        if needed <= available {
            return Ok(Ok(()));
        }
        let place = format!("{}", self.folder.display());
        Ok(Err(DataError::CacheSpace { place, needed, available }))
    }

    fn path(&self, index: usize) -> PathBuf {
        self.folder.join(file_name(&self.paths[index]))
    }

    /// Reads an image into `buffer` and returns the start of its pixels; `None` if it is missing,
    /// from another state of its file, or damaged.
    pub(super) fn read(&self, index: usize, buffer: &mut Vec<u8>) -> Option<usize> {
        let identity = self.identity(index).ok()?;
        buffer.clear();
        File::open(self.path(index)).ok()?.read_to_end(buffer).ok()?;
        let pixels = buffer.get(HEADER..)?;
        let valid = pixels.len() == self.bytes && buffer[..HEADER] == header(&identity, pixels);
        valid.then_some(HEADER)
    }

    /// Writes an image; returns whether it is now stored.
    pub(super) fn write(&self, index: usize, rgb: &[u8]) -> bool {
        if self.stopped.load(Ordering::Relaxed) {
            return false;
        }
        match self.try_write(index, rgb) {
            Ok(()) => true,
            Err(source) => {
                self.stopped.store(true, Ordering::Relaxed);
                let error = DataError::Cache { path: self.folder.clone(), source };
                let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
                fault.get_or_insert_with(|| error.to_string());
                false
            }
        }
    }

    fn try_write(&self, index: usize, rgb: &[u8]) -> io::Result<()> {
        let identity = self.identity(index)?;
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{}-{index}-{number}.tmp", std::process::id()));
        let written = File::create_new(&temporary)
            .and_then(|mut file| {
                file.write_all(&header(&identity, rgb))?;
                file.write_all(rgb)
            })
            .and_then(|()| fs::rename(&temporary, self.path(index)));
        if written.is_err() {
            // Report the failed write, not a failure of this removal.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Identifies the source file of an image and its state.
    fn identity(&self, index: usize) -> io::Result<[u64; 8]> {
        let path = &self.paths[index];
        let file: Metadata = fs::metadata(path)?;
        Ok([
            self.settings,
            hash(path.as_os_str().as_bytes()),
            file.len(),
            file.ino(),
            file.mtime() as u64,
            file.mtime_nsec() as u64,
            file.ctime() as u64,
            file.ctime_nsec() as u64,
        ])
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn file_name(path: &Path) -> OsString {
    format!("{:016x}.rgb", hash(path.as_os_str().as_bytes())).into()
}

fn header(identity: &[u64; 8], pixels: &[u8]) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    let (magic, numbers) = out.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    let all = identity.iter().copied().chain([hash(pixels)]);
    for (slot, number) in numbers.as_chunks_mut::<8>().0.iter_mut().zip(all) {
        *slot = number.to_le_bytes();
    }
    out
}

/// A 64-bit hash for names and against damage, not against intent: four lanes of FNV-1a over words of
/// eight bytes, so that an image takes microseconds. (FNV's numbers: RFC 9923.)
fn hash(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    let step = |state: u64, word: u64| {
        let mixed = (state ^ word).wrapping_mul(PRIME);
        // FNV carries low bits upwards only, which is not enough for words.
        mixed ^ (mixed >> 32)
    };
    let mut lanes = [BASIS, BASIS ^ 1, BASIS ^ 2, BASIS ^ 3];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = step(*lane, u64::from_le_bytes(*word));
        }
    }
    let state = lanes.into_iter().fold(step(BASIS, bytes.len() as u64), step);
    rest.iter().fold(state, |state, byte| step(state, u64::from(*byte)))
}

/// Bytes that this user may still write to the file system of a folder.
fn available_space(folder: &Path) -> io::Result<u64> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends with a zero byte and `found` is large enough for what is written to it.
    if unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `statvfs` has succeeded and so has filled it.
    let found = unsafe { found.assume_init() };
    Ok(found.f_bavail * found.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_changes_with_each_byte_and_with_the_length() {
        let base = vec![0_u8; 100];
        let mut seen = HashSet::from([hash(&base), hash(&base[..99]), hash(&[])]);
        for at in 0..100 {
            for value in [1, 128] {
                let mut changed = base.clone();
                changed[at] = value;
                assert!(seen.insert(hash(&changed)), "byte {at}");
            }
        }
    }
}
