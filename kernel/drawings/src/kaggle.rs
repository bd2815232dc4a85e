//! Kaggle's archive of photos, turned into the folders that the 2019 report trained on.
//!
//! Expected is what the competition *Dogs vs. Cats* delivers: `dogs-vs-cats.zip` with `train.zip`
//! (`train/cat.0.jpg` …) and `test1.zip` (`test1/1.jpg` …) inside, or an archive that holds these
//! images directly.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::animal::Animal;
use crate::output::{self, CHECKSUM_FILE, DESCRIPTION_FILE, DatasetError, failed, wrong};
use crate::picture::Split;

/// From the report's log: 5,348 of Kaggle's 25,000 labelled photos were used for validation.
pub const REPORT_SHARE: f64 = 5348.0 / 25000.0;

/// Identifies an import in progress; stored beside the images until it is complete.
const NOTE_FILE: &str = "import.json";

/// Images held in memory at a time, and their bytes.
const CHUNK: usize = 256;
const CHUNK_BYTES: usize = 128 << 20;

/// Limits of an archive's unpacked size: a multiple of its own size, and an additional size. Photos
/// are compressed already, so Kaggle's archive unpacks to its own size twice: to the inner archives
/// and to the images.
const RATIO: u64 = 10;
const ALLOWANCE: u64 = 64 << 20;

/// Maximum number of pixels of one image: the data loader's default.
const MAX_PIXELS: u64 = 89_478_485;

/// Treatment of images that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Fail, naming it.
    Refuse,
    /// Leave it out and list it.
    Skip,
}

/// The division of the labelled photos.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Division {
    /// Fraction of each class for validation, 0 to 1.
    pub validation_share: f64,
    /// Seed of the choice.
    pub seed: u64,
}

impl Default for Division {
    fn default() -> Self {
        Self { validation_share: REPORT_SHARE, seed: 1 }
    }
}

impl Division {
    /// Number of a class's photos for validation. Both classes are divided alike.
    fn for_validation(&self, photos: usize) -> usize {
        (photos as f64 * self.validation_share).round() as usize
    }
}

/// The properties that identify an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Origin {
    archive_sha256: String,
    division: Division,
}

/// The result of an import; also the contents of `dataset.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Origin of the photos.
    pub source: String,
    /// SHA-256 of the archive.
    pub archive_sha256: String,
    /// Their division.
    pub division: Division,
    /// Images in `train/`.
    pub train: usize,
    /// Images in `validation/`.
    pub validation: usize,
    /// Images in `test/`.
    pub test: usize,
    /// Images that an interrupted import had already written.
    pub resumed: usize,
    /// Images that were left out because they could not be decoded, with the decoder's messages.
    pub unreadable: BTreeMap<PathBuf, String>,
    /// Groups of identical images in more than one of the three parts.
    pub duplicates_across_parts: Vec<Vec<PathBuf>>,
}

impl Imported {
    fn origin(&self) -> Origin {
        Origin { archive_sha256: self.archive_sha256.clone(), division: self.division }
    }
}

/// One image of the archive and its destination.
struct Entry {
    archive: usize,
    index: usize,
    target: PathBuf,
}

/// The result for one image.
enum Outcome {
    Written { resumed: bool, digest: String },
    Unreadable(String),
}

/// Writes the images of `archive` into `folder`: `train/{cat,dog}`, `validation/{cat,dog}` and `test`.
///
/// The archive may unpack to 10 times its own size plus 64 MiB, far more than photos need; an image
/// of more than 89,478,485 pixels counts as undecodable.
///
/// Every image is decoded before it is written, into `<folder>.part`, which takes the folder's name
/// at the end; an interrupted import resumes from it. A folder that already holds this import is
/// verified instead ([`verify`]). `progress` receives the number of finished images and the total.
///
/// # Errors
/// The fraction is not from 0 to 1, the folder holds anything but this import, the archive is
/// damaged, unpacks to too much or holds no labelled images, an image cannot be decoded (unless
/// such images are skipped), or writing fails.
pub fn import(
    archive: &Path,
    folder: &Path,
    division: Division,
    unreadable: Unreadable,
    mut progress: impl FnMut(usize, usize),
) -> Result<Imported, DatasetError> {
    let found = division.validation_share;
    if !(0.0..=1.0).contains(&found) {
        return Err(wrong(format!("share for validation must be 0 to 1 (got {found})")));
    }
    let origin = Origin { archive_sha256: file_digest(archive)?, division };
    let there = output::entries(folder)?;
    if there > 0 {
        // A second call on a complete import verifies it and changes nothing.
        return match verify(folder)? {
            Some(complete) if complete.origin() == origin => Ok(complete),
            Some(_) => Err(other_import(folder)),
            None => Err(wrong(format!(
                "{} is not empty (it holds {there} entries); choose another folder",
                folder.display()
            ))),
        };
    }
    let part = part_folder(folder);
    let mut budget = Budget::of(archive)?;
    let mut archives = open_all(archive, &mut budget)?;
    let entries = plan(archive, &mut archives, division)?;
    begin(&part, &origin)?;

    let mut imported = Imported {
        source: "Kaggle, competition Dogs vs. Cats".to_owned(),
        archive_sha256: origin.archive_sha256,
        division,
        ..Imported::default()
    };
    let mut digests = BTreeMap::new();
    let mut done = 0;
    while done < entries.len() {
        let mut loaded = Vec::new();
        let mut bytes_loaded = 0;
        while let Some(entry) = entries.get(done + loaded.len())
            && loaded.len() < CHUNK
            && bytes_loaded < CHUNK_BYTES
        {
            let bytes = read_entry(archive, &mut archives[entry.archive], entry, &mut budget)?;
            bytes_loaded += bytes.len();
            loaded.push((&entry.target, bytes));
        }
        let chunk = &entries[done..done + loaded.len()];
        let outcomes: Result<Vec<_>, DatasetError> =
            loaded.par_iter().map(|(target, bytes)| store(&part.join(target), bytes)).collect();
        for (entry, outcome) in chunk.iter().zip(outcomes?) {
            match outcome {
                Outcome::Written { resumed, digest } => {
                    imported.resumed += usize::from(resumed);
                    digests.insert(entry.target.clone(), digest);
                }
                Outcome::Unreadable(reason) => {
                    imported.unreadable.insert(entry.target.clone(), reason);
                }
            }
        }
        done += chunk.len();
        progress(done, entries.len());
    }
    if let Some((first, reason)) = imported.unreadable.first_key_value()
        && unreadable == Unreadable::Refuse
    {
        return Err(wrong(format!(
            "{} of the images could not be decoded, the first of them {} ({reason}); the others are in {}; \
             --skip-unreadable leaves them out",
            imported.unreadable.len(),
            first.display(),
            part.display()
        )));
    }
    let count = |split: Split| digests.keys().filter(|path| path.starts_with(split.name())).count();
    imported.train = count(Split::Train);
    imported.validation = count(Split::Validation);
    imported.test = count(Split::Test);
    imported.duplicates_across_parts = duplicates(&digests);
    finish(&part, folder, &imported, &digests)?;
    Ok(imported)
}

/// The error for an earlier import, complete or interrupted, of another archive or division.
fn other_import(folder: &Path) -> DatasetError {
    wrong(format!(
        "{} is an import of another archive, or with another seed or validation share; repeat those, or \
         delete it to start anew",
        folder.display()
    ))
}

/// SHA-256 of a file, read in parts.
fn file_digest(path: &Path) -> Result<String, DatasetError> {
    let metadata = fs::metadata(path).map_err(failed("open", path))?;
    if !metadata.is_file() {
        // Opening a pipe would wait for a writer, and a device may have no end.
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is no file");
        return Err(failed("open", path)(source));
    }
    let mut file = File::open(path).map_err(failed("open", path))?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).map_err(failed("read", path))?;
    Ok(format!("{:x}", hash.finalize()))
}

/// The folder of an incomplete import.
fn part_folder(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// The archive and its inner archives.
fn open_all(path: &Path, budget: &mut Budget) -> Result<Vec<ZipArchive<File>>, DatasetError> {
    let zip = |error| failed("read as a zip archive", path)(error);
    let file = File::open(path).map_err(failed("open", path))?;
    let mut outer = ZipArchive::new(file).map_err(zip)?;
    let mut inner = Vec::new();
    for index in 0..outer.len() {
        let mut entry = outer.by_index(index).map_err(zip)?;
        if Path::new(entry.name()).extension().is_some_and(|extension| extension == "zip") {
            // Reading an archive requires seeking.
            let mut copy =
                tempfile::tempfile().map_err(failed("create a temporary file for", path))?;
            let name = entry.name().to_owned();
            budget.unpack(&mut entry, &mut copy, path, &name, failed("unpack", path))?;
            copy.rewind().map_err(failed("unpack", path))?;
            inner.push(ZipArchive::new(copy).map_err(zip)?);
        }
    }
    inner.insert(0, outer);
    Ok(inner)
}

/// The bytes of an image. Reading to the end also checks the archive's own checksum of the entry.
fn read_entry(
    path: &Path,
    archive: &mut ZipArchive<File>,
    entry: &Entry,
    budget: &mut Budget,
) -> Result<Vec<u8>, DatasetError> {
    let action = format!("unpack {} (download the archive again) from", entry.target.display());
    let mut packed = archive.by_index(entry.index).map_err(failed(&action, path))?;
    let name = packed.name().to_owned();
    let mut bytes = Vec::new();
    budget.unpack(&mut packed, &mut bytes, path, &name, failed(&action, path))?;
    Ok(bytes)
}

/// Remaining limit on the archive's unpacked size, in bytes.
struct Budget {
    limit: u64,
    left: u64,
}

impl Budget {
    fn of(archive: &Path) -> Result<Self, DatasetError> {
        let size = fs::metadata(archive).map_err(failed("open", archive))?.len();
        let limit = size.saturating_mul(RATIO).saturating_add(ALLOWANCE);
        Ok(Self { limit, left: limit })
    }

    /// Copies the rest of the input, whatever size the archive states for it.
    fn unpack(
        &mut self,
        from: &mut impl Read,
        to: &mut impl io::Write,
        path: &Path,
        entry: &str,
        failed: impl FnOnce(io::Error) -> DatasetError,
    ) -> Result<(), DatasetError> {
        // A byte beyond the limit shows that there is more.
        let copied = io::copy(&mut from.take(self.left.saturating_add(1)), to).map_err(failed)?;
        self.left = self.left.checked_sub(copied).ok_or_else(|| {
            wrong(format!(
                "{} unpacks to more than {} bytes ({RATIO} times its size and {ALLOWANCE}), which no archive of \
                 photos does; {entry} is beyond it",
                path.display(),
                self.limit
            ))
        })?;
        Ok(())
    }
}

/// Identifies an entry of the archive by its name: a labelled or an unlabelled image and its number.
fn identify(name: &str) -> Option<(Option<Animal>, u32)> {
    let mut folders = name.split('/').rev();
    let stem = folders.next()?.strip_suffix(".jpg")?;
    let parent = folders.next().unwrap_or_default();
    for animal in Animal::CATS_AND_DOGS {
        if let Some(number) =
            stem.strip_prefix(animal.name()).and_then(|rest| rest.strip_prefix('.'))
        {
            return Some((Some(animal), number.parse().ok()?));
        }
    }
    parent.starts_with(Split::Test.name()).then(|| Some((None, stem.parse().ok()?)))?
}

/// All images of the archives with their output files, sorted by file.
fn plan(
    path: &Path,
    archives: &mut [ZipArchive<File>],
    division: Division,
) -> Result<Vec<Entry>, DatasetError> {
    let mut labelled: [Vec<(u32, usize, usize)>; 2] = Default::default();
    let mut entries = Vec::new();
    for (archive, zip) in archives.iter_mut().enumerate() {
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(failed("read as a zip archive", path))?;
            match identify(entry.name()) {
                Some((Some(animal), number)) => {
                    labelled[animal as usize].push((number, archive, index));
                }
                Some((None, number)) => {
                    let target = Path::new(Split::Test.name()).join(format!("{number}.jpg"));
                    entries.push(Entry { archive, index, target });
                }
                None => {}
            }
        }
    }
    if labelled.iter().any(Vec::is_empty) {
        let [cats, dogs] = labelled.map(|class| class.len());
        return Err(wrong(format!(
            "{} must hold labelled images (train/cat.0.jpg and train/dog.0.jpg, or a train.zip with them); got {cats} \
             of cats and {dogs} of dogs",
            path.display()
        )));
    }
    let mut generator = ChaCha8Rng::seed_from_u64(division.seed);
    for (animal, mut class) in Animal::CATS_AND_DOGS.into_iter().zip(labelled) {
        class.sort_unstable();
        let wanted = division.for_validation(class.len());
        let mut split = vec![Split::Train; class.len()];
        for index in rand::seq::index::sample(&mut generator, class.len(), wanted) {
            split[index] = Split::Validation;
        }
        for ((number, archive, index), split) in class.into_iter().zip(split) {
            let name = animal.name();
            let target = Path::new(split.name()).join(name).join(format!("{name}.{number}.jpg"));
            entries.push(Entry { archive, index, target });
        }
    }
    entries.sort_by(|a, b| a.target.cmp(&b.target));
    match entries.windows(2).find(|pair| pair[0].target == pair[1].target) {
        Some(pair) => Err(wrong(format!(
            "{} holds two images for {}",
            path.display(),
            pair[0].target.display()
        ))),
        None => Ok(entries),
    }
}

/// Creates the folders, or reuses those of an interrupted import.
fn begin(part: &Path, origin: &Origin) -> Result<(), DatasetError> {
    let note = part.join(NOTE_FILE);
    match fs::read(&note) {
        Ok(text) if serde_json::from_slice::<Origin>(&text).ok().as_ref() == Some(origin) => {}
        // The note is written before any image, so without it nothing has been imported.
        Err(error) if error.kind() == io::ErrorKind::NotFound && pictures_in(part)? == 0 => {}
        _ => return Err(other_import(part)),
    }
    output::create_layout(part, &Animal::CATS_AND_DOGS)?;
    let draft = part.join(NOTE_FILE).with_extension("draft");
    output::write_json(&draft, origin)?;
    fs::rename(&draft, &note).map_err(failed("write", &note))
}

/// Number of images of an incomplete import.
fn pictures_in(part: &Path) -> Result<usize, DatasetError> {
    let folders = output::layout(&Animal::CATS_AND_DOGS);
    folders.iter().map(|folder| output::entries(&part.join(folder))).sum()
}

/// Decodes an image and writes its bytes. An existing file was decoded when it was written.
fn store(path: &Path, bytes: &[u8]) -> Result<Outcome, DatasetError> {
    let digest = output::digest(bytes);
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(Outcome::Written { resumed: true, digest });
    }
    if let Err(reason) = decode(bytes) {
        return Ok(Outcome::Unreadable(reason));
    }
    fs::write(path, bytes).map_err(failed("write", path))?;
    Ok(Outcome::Written { resumed: false, digest })
}

/// Decodes a JPEG of at most [`MAX_PIXELS`]; the error is the reason of a failure.
fn decode(bytes: &[u8]) -> Result<(), String> {
    use image::{ImageFormat, ImageReader, Limits};
    let mut limits = Limits::default();
    limits.max_alloc = Some(3 * MAX_PIXELS);
    let decoded = std::panic::catch_unwind(|| {
        let mut reader = ImageReader::with_format(io::Cursor::new(bytes), ImageFormat::Jpeg);
        reader.limits(limits);
        reader.decode().map_err(|error| error.to_string())
    });
    decoded.unwrap_or_else(|_| Err("the decoder panicked".into())).map(drop)
}

/// Groups of files with the same digest in different parts.
fn duplicates(digests: &BTreeMap<PathBuf, String>) -> Vec<Vec<PathBuf>> {
    let mut groups: HashMap<&str, Vec<PathBuf>> = HashMap::new();
    for (path, digest) in digests {
        groups.entry(digest).or_default().push(path.clone());
    }
    let part = |path: &PathBuf| path.components().next().map(|first| first.as_os_str().to_owned());
    let mut across: Vec<Vec<PathBuf>> = groups
        .into_values()
        .filter(|group| group.iter().any(|path| part(path) != part(&group[0])))
        .collect();
    across.sort();
    across
}

/// Writes checksums and description and renames the folder.
fn finish(
    part: &Path,
    folder: &Path,
    imported: &Imported,
    digests: &BTreeMap<PathBuf, String>,
) -> Result<(), DatasetError> {
    output::write_checksums(part, digests)?;
    output::write_json(&part.join(DESCRIPTION_FILE), imported)?;
    fs::rename(part, folder).map_err(failed("write", folder))?;
    remove_note(folder)
}

/// Removes the note of an incomplete import, if it exists.
fn remove_note(folder: &Path) -> Result<(), DatasetError> {
    let note = folder.join(NOTE_FILE);
    match fs::remove_file(&note) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("delete", &note)(error))
        }
        _ => Ok(()),
    }
}

/// Checks each image of a complete import against its checksum. `None` if the folder does not hold an import.
///
/// # Errors
/// An image is missing or has changed; the error names the first. Or the checksums cannot be read.
pub fn verify(folder: &Path) -> Result<Option<Imported>, DatasetError> {
    let Some(imported) = fs::read(folder.join(DESCRIPTION_FILE))
        .ok()
        .and_then(|text| serde_json::from_slice::<Imported>(&text).ok())
    else {
        return Ok(None);
    };
    let digests = output::read_checksums(folder)?.unwrap_or_default();
    let found = digests.par_iter().filter(|(path, digest)| {
        fs::read(folder.join(path)).map_or(true, |bytes| output::digest(&bytes) != **digest)
    });
    let mut bad: Vec<&PathBuf> = found.map(|(path, _)| path).collect();
    bad.sort();
    let expected = imported.train + imported.validation + imported.test;
    match bad.first() {
        None if digests.len() == expected => {
            remove_note(folder)?;
            Ok(Some(imported))
        }
        first => Err(wrong(format!(
            "{} must hold {expected} images with the bytes in {CHECKSUM_FILE}; got {}; the first that is missing or \
             has other bytes is {}; delete the folder and import anew",
            folder.display(),
            digests.len() - bad.len(),
            first.map_or(Path::new(CHECKSUM_FILE), |path| path).display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report's figure 10: "Loaded 19652 images under train, 5348 under validation".
    #[test]
    fn kaggles_25000_are_divided_into_the_reports_19652_and_5348() {
        let validation = 2 * Division::default().for_validation(12_500);
        assert_eq!((25_000 - validation, validation), (19_652, 5_348));
        let tenth = Division { validation_share: 0.1, ..Division::default() };
        assert_eq!(tenth.for_validation(12_500), 1_250);
    }
}
