//! Kaggle's archive of photos, turned into the folders that the 2019 report trained on.
//!
//! Expected is what the competition *Dogs vs. Cats* delivers: `dogs-vs-cats.zip` with `train.zip`
//! (`train/cat.0.jpg` …) and `test1.zip` (`test1/1.jpg` …) inside, or an archive that holds these
//! pictures directly.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::animal::Animal;
use crate::folder::DESCRIPTION_FILE;
use crate::picture::Split;

/// The report's log: 5,348 of Kaggle's 25,000 labelled photos were for validation.
pub const REPORT_SHARE: f64 = 5348.0 / 25000.0;

/// Name of the file that lists the SHA-256 of every picture, as `sha256sum` writes and checks it.
pub const CHECKSUM_FILE: &str = "checksums.sha256";

/// How an import under way divides the pictures, kept beside them until it is complete.
const NOTE_FILE: &str = "division.json";

/// Pictures held in memory at a time.
const CHUNK: usize = 256;

/// What to do with a picture that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Fail, naming it.
    Refuse,
    /// Leave it out and list it.
    Skip,
}

/// How the labelled photos are divided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Division {
    /// Share of each class that is for validation, 0 to 1.
    pub validation_share: f64,
    /// Seed of the choice.
    pub seed: u64,
}

impl Default for Division {
    fn default() -> Self {
        Self { validation_share: REPORT_SHARE, seed: 1 }
    }
}

/// What an import did; also the contents of `dataset.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Where the photos come from.
    pub source: String,
    /// How they were divided.
    pub division: Division,
    /// Pictures in `train/`.
    pub train: usize,
    /// Pictures in `validation/`.
    pub validation: usize,
    /// Pictures in `test/`.
    pub test: usize,
    /// Pictures that an interrupted import had already written.
    pub resumed: usize,
    /// Pictures that could not be decoded and were left out, with what the decoder found.
    pub unreadable: BTreeMap<PathBuf, String>,
    /// Groups of pictures with the same bytes that lie in more than one of the three parts.
    pub duplicates_across_parts: Vec<Vec<PathBuf>>,
}

/// Why no photos were imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The archive is none, or is damaged.
    #[error("{} could not be read as a zip archive", path.display())]
    Zip {
        /// The archive.
        path: PathBuf,
        /// What the reader found.
        #[source]
        source: ZipError,
    },
    /// The archive holds other things than expected.
    #[error(
        "{} was expected to hold labelled pictures (train/cat.0.jpg and train/dog.0.jpg, or a train.zip \
         with them), found {cats} of cats and {dogs} of dogs",
        path.display()
    )]
    NoPictures {
        /// The archive.
        path: PathBuf,
        /// Pictures of cats in it.
        cats: usize,
        /// Pictures of dogs in it.
        dogs: usize,
    },
    /// The share for validation is none.
    #[error("expected a validation share from 0 to 1, found {found}")]
    Share {
        /// The share that was asked for.
        found: f64,
    },
    /// Two entries of the archive would become one file.
    #[error("{} holds two pictures for {}", path.display(), target.display())]
    Twice {
        /// The archive.
        path: PathBuf,
        /// The file that both would become.
        target: PathBuf,
    },
    /// A picture could not be decoded.
    #[error(
        "{count} pictures could not be decoded, the first of them {} ({reason}); the others are in {}; \
         --skip-unreadable leaves them out",
        first.display(),
        folder.display()
    )]
    Unreadable {
        /// How many.
        count: usize,
        /// The first of them.
        first: PathBuf,
        /// What the decoder found there.
        reason: String,
        /// Where the good pictures are kept for the next attempt.
        folder: PathBuf,
    },
    /// The folder to write holds something.
    #[error("{} is not empty (it holds {found} entries); choose another folder", folder.display())]
    NotEmpty {
        /// The folder that was asked for.
        folder: PathBuf,
        /// Number of files and folders in it.
        found: usize,
    },
    /// An interrupted import divided the pictures in another way.
    #[error(
        "{} was begun with another seed or validation share; repeat those, or delete it to start anew",
        folder.display()
    )]
    OtherDivision {
        /// The folder of the interrupted import.
        folder: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system found.
        #[source]
        source: io::Error,
    },
}

/// One picture of the archive and where it goes.
struct Entry {
    archive: usize,
    index: usize,
    target: PathBuf,
}

/// What became of one picture.
enum Outcome {
    Written { resumed: bool, digest: String },
    Unreadable(String),
}

/// Writes the pictures of `archive` into `folder`: `train/{cat,dog}`, `validation/{cat,dog}` and `test`.
///
/// Every picture is decoded before it is written, into `<folder>.part`, which takes the folder's name at
/// the end; an import that was interrupted goes on from there. `progress` is told how many pictures of
/// how many are done.
///
/// # Errors
/// When the share is not from 0 to 1, the folder holds something, the archive is damaged or holds no labelled pictures, a picture
/// cannot be decoded (unless these are to be skipped), or writing fails.
pub fn import(
    archive: &Path,
    folder: &Path,
    division: Division,
    unreadable: Unreadable,
    mut progress: impl FnMut(usize, usize),
) -> Result<Imported, ImportError> {
    let found = division.validation_share;
    if !(0.0..=1.0).contains(&found) {
        return Err(ImportError::Share { found });
    }
    refuse_full(folder)?;
    let part = part_folder(folder);
    let mut archives = open_all(archive)?;
    let entries = plan(archive, &mut archives, division)?;
    begin(&part, division)?;

    let mut imported = Imported {
        source: "Kaggle, competition Dogs vs. Cats".to_owned(),
        division,
        train: 0,
        validation: 0,
        test: 0,
        resumed: 0,
        unreadable: BTreeMap::new(),
        duplicates_across_parts: Vec::new(),
    };
    let mut digests = BTreeMap::new();
    let mut done = 0;
    for chunk in entries.chunks(CHUNK) {
        let mut loaded = Vec::with_capacity(chunk.len());
        for entry in chunk {
            // Reading to the end also checks the archive's own checksum of the entry.
            let bytes = read_entry(&mut archives[entry.archive], entry.index)
                .map_err(|source| ImportError::Zip { path: archive.to_owned(), source })?;
            loaded.push((&entry.target, bytes));
        }
        let outcomes: Result<Vec<_>, ImportError> =
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
        return Err(ImportError::Unreadable {
            count: imported.unreadable.len(),
            first: first.clone(),
            reason: reason.clone(),
            folder: part,
        });
    }
    let count = |split: Split| digests.keys().filter(|path| path.starts_with(split.name())).count();
    imported.train = count(Split::Train);
    imported.validation = count(Split::Validation);
    imported.test = count(Split::Test);
    imported.duplicates_across_parts = duplicates(&digests);
    finish(&part, folder, &imported, &digests)?;
    Ok(imported)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| ImportError::Io { action, path, source }
}

fn refuse_full(folder: &Path) -> Result<(), ImportError> {
    match fs::read_dir(folder).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(found) => Err(ImportError::NotEmpty { folder: folder.to_owned(), found }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed("read", folder)(source)),
    }
}

/// The folder in which an import is made before it is complete.
fn part_folder(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// The archive and those inside it.
fn open_all(path: &Path) -> Result<Vec<ZipArchive<File>>, ImportError> {
    let zip = |source| ImportError::Zip { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed("open", path))?;
    let mut outer = ZipArchive::new(file).map_err(zip)?;
    let mut inner = Vec::new();
    for index in 0..outer.len() {
        let mut entry = outer.by_index(index).map_err(zip)?;
        if Path::new(entry.name()).extension().is_some_and(|extension| extension == "zip") {
            // An archive can only be read from a place that allows jumps.
            let mut copy =
                tempfile::tempfile().map_err(failed("create a temporary file for", path))?;
            io::copy(&mut entry, &mut copy).map_err(failed("unpack", path))?;
            copy.rewind().map_err(failed("unpack", path))?;
            inner.push(ZipArchive::new(copy).map_err(zip)?);
        }
    }
    inner.insert(0, outer);
    Ok(inner)
}

fn read_entry(archive: &mut ZipArchive<File>, index: usize) -> Result<Vec<u8>, ZipError> {
    let mut entry = archive.by_index(index)?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What an entry of the archive is by its name: a labelled or an unlabelled picture and its number.
fn identify(name: &str) -> Option<(Option<Animal>, u32)> {
    let mut folders = name.split('/').rev();
    let stem = folders.next()?.strip_suffix(".jpg")?;
    let parent = folders.next().unwrap_or_default();
    for animal in Animal::ALL {
        if let Some(number) =
            stem.strip_prefix(animal.name()).and_then(|rest| rest.strip_prefix('.'))
        {
            return Some((Some(animal), number.parse().ok()?));
        }
    }
    parent.starts_with(Split::Test.name()).then(|| Some((None, stem.parse().ok()?)))?
}

/// All pictures of the archives with the files that they become, sorted by these.
fn plan(
    path: &Path,
    archives: &mut [ZipArchive<File>],
    division: Division,
) -> Result<Vec<Entry>, ImportError> {
    let mut labelled: [Vec<(u32, usize, usize)>; 2] = Default::default();
    let mut entries = Vec::new();
    for (archive, zip) in archives.iter_mut().enumerate() {
        for index in 0..zip.len() {
            let entry = zip
                .by_index_raw(index)
                .map_err(|source| ImportError::Zip { path: path.to_owned(), source })?;
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
        return Err(ImportError::NoPictures { path: path.to_owned(), cats, dogs });
    }
    let mut generator = ChaCha8Rng::seed_from_u64(division.seed);
    for (animal, mut class) in Animal::ALL.into_iter().zip(labelled) {
        class.sort_unstable();
        // Both classes are divided alike: 12,500 of each give 2,674 of each, together 5,348.
        let wanted = (class.len() as f64 * division.validation_share).round();
        let mut split = vec![Split::Train; class.len()];
        for index in rand::seq::index::sample(&mut generator, class.len(), wanted as usize) {
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
        Some(pair) => {
            Err(ImportError::Twice { path: path.to_owned(), target: pair[0].target.clone() })
        }
        None => Ok(entries),
    }
}

/// Makes the folders, or finds those of an interrupted import.
fn begin(part: &Path, division: Division) -> Result<(), ImportError> {
    let note = part.join(NOTE_FILE);
    if part.exists() {
        let begun = fs::read(&note).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if begun != Some(division) {
            return Err(ImportError::OtherDivision { folder: part.to_owned() });
        }
    }
    fs::create_dir_all(part).map_err(failed("create", part))?;
    write_json(&note, &division)?;
    for split in [Split::Train, Split::Validation] {
        for animal in Animal::ALL {
            let folder = part.join(split.name()).join(animal.name());
            fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        }
    }
    let test = part.join(Split::Test.name());
    fs::create_dir_all(&test).map_err(failed("create", &test))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ImportError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from);
    text.and_then(|text| fs::write(path, text + "\n")).map_err(failed("write", path))
}

/// Decodes a picture and writes its bytes. What is already there was decoded when it was written.
fn store(path: &Path, bytes: &[u8]) -> Result<Outcome, ImportError> {
    let digest = format!("{:x}", Sha256::digest(bytes));
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(Outcome::Written { resumed: true, digest });
    }
    if let Err(error) = image::load_from_memory_with_format(bytes, image::ImageFormat::Jpeg) {
        return Ok(Outcome::Unreadable(error.to_string()));
    }
    fs::write(path, bytes).map_err(failed("write", path))?;
    Ok(Outcome::Written { resumed: false, digest })
}

/// Groups of files with one digest that do not all lie in the same part.
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

/// Writes checksums and description and gives the folder its name.
fn finish(
    part: &Path,
    folder: &Path,
    imported: &Imported,
    digests: &BTreeMap<PathBuf, String>,
) -> Result<(), ImportError> {
    let sums = part.join(CHECKSUM_FILE);
    let lines: String =
        digests.iter().map(|(path, digest)| format!("{digest}  {}\n", path.display())).collect();
    fs::write(&sums, lines).map_err(failed("write", &sums))?;
    write_json(&part.join(DESCRIPTION_FILE), imported)?;
    fs::rename(part, folder).map_err(failed("write", folder))?;
    let note = folder.join(NOTE_FILE);
    fs::remove_file(&note).map_err(failed("delete", &note))
}
