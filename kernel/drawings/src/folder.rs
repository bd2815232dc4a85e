//! A whole data set, written into a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::animal::Animal;
use crate::output::{self, DESCRIPTION_FILE, DatasetError, failed, wrong};
use crate::picture::{Frame, JPEG_QUALITY, Picture, Split};

/// Increased whenever the same seed gives different images.
pub const GENERATOR_VERSION: u32 = 1;

const GENERATOR: &str = "benchbook-drawings";

/// Allowed sides of an image, in pixels: below, an animal cannot be recognised; above, a file is
/// larger than a photo.
pub const SIDES: std::ops::RangeInclusive<u32> = 16..=4096;

/// The supported numbers of classes.
pub const CLASSES: std::ops::RangeInclusive<usize> = 2..=Animal::ALL.len();

/// The settings of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Images in `train/`, as many of each class.
    pub train: u32,
    /// Images in `validation/`, as many of each class.
    pub validation: u32,
    /// Images in `test/`, without labels.
    pub test: u32,
    /// The number of classes, 2 to 10: [`Animal::of_classes`].
    pub classes: usize,
    /// Seed; other seeds give other images.
    pub seed: u64,
    /// Width and height of the images.
    pub frame: Frame,
}

impl Default for Plan {
    /// 1,000 training, 250 validation and 100 test images of cats and dogs, 128 × 128 pixels, seed 1.
    fn default() -> Self {
        let frame = Frame::Square(128);
        Self { train: 1000, validation: 250, test: 100, classes: 2, seed: 1, frame }
    }
}

/// Treatment of a folder that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to write.
    Keep,
    /// Replace it if it holds an earlier output of this generator, else refuse.
    Replace,
}

/// The result of writing a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Number of images.
    pub pictures: u32,
    /// Size of all images together, in bytes.
    pub bytes: u64,
}

/// The contents of `dataset.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Always `benchbook-drawings`.
    pub generator: String,
    /// [`GENERATOR_VERSION`] of the program that wrote the images.
    pub generator_version: u32,
    /// Seed of the images.
    pub seed: u64,
    /// Names of the classes, sorted as a loader numbers them.
    pub classes: Vec<String>,
    /// Images in `train/`.
    pub train: u32,
    /// Images in `validation/`.
    pub validation: u32,
    /// Images in `test/`.
    pub test: u32,
    /// `square` or `photo`.
    pub frame: String,
    /// Longer side in pixels.
    pub side: u32,
    /// Quality of the JPEG files, 1 to 100.
    pub jpeg_quality: u8,
    /// SPDX name of the images' licence.
    pub licence: String,
}

impl Description {
    fn new(plan: &Plan) -> Self {
        let (frame, side) = match plan.frame {
            Frame::Square(side) => ("square", side),
            Frame::Photo(side) => ("photo", side),
        };
        Self {
            generator: GENERATOR.to_owned(),
            generator_version: GENERATOR_VERSION,
            seed: plan.seed,
            classes: names(&Animal::of_classes(plan.classes)),
            train: plan.train,
            validation: plan.validation,
            test: plan.test,
            frame: frame.to_owned(),
            side,
            jpeg_quality: JPEG_QUALITY,
            licence: "CC0-1.0".to_owned(),
        }
    }
}

fn names(animals: &[Animal]) -> Vec<String> {
    animals.iter().map(|animal| animal.name().to_owned()).collect()
}

/// The path of an image in its data set: `train/cat/cat.00000.jpg` or `test/00000.jpg`. Files of
/// one folder are numbered from zero.
pub fn file_name(picture: &Picture) -> PathBuf {
    let folder = Path::new(picture.split.name());
    match picture.split {
        Split::Train | Split::Validation => {
            let class = picture.animal().name();
            folder
                .join(class)
                .join(format!("{class}.{:05}.jpg", picture.index as usize / picture.classes))
        }
        Split::Test => folder.join(format!("{:05}.jpg", picture.index)),
    }
}

/// All images of a plan.
fn pictures(plan: &Plan) -> Vec<Picture> {
    let counts = [plan.train, plan.validation, plan.test];
    let parts = Split::ALL.into_iter().zip(counts);
    parts
        .flat_map(|(split, count)| {
            let (seed, classes) = (plan.seed, plan.classes);
            (0..count).map(move |index| Picture { seed, split, index, classes })
        })
        .collect()
}

fn encode(picture: &Picture, frame: Frame) -> Result<Vec<u8>, DatasetError> {
    picture.jpeg(frame).map_err(failed("write as JPEG", &file_name(picture)))
}

/// Estimates the size of the images in bytes from the first few of them.
///
/// # Errors
/// The images would be too small or too large, or there are no drawings of so many classes.
pub fn estimate_bytes(plan: &Plan) -> Result<u64, DatasetError> {
    check(plan)?;
    let all = pictures(plan);
    let sample = &all[..all.len().min(32)];
    let sizes: Result<Vec<usize>, DatasetError> =
        sample.par_iter().map(|picture| Ok(encode(picture, plan.frame)?.len())).collect();
    let total: usize = sizes?.iter().sum();
    Ok(total as u64 * all.len() as u64 / sample.len().max(1) as u64)
}

/// Writes the images of a plan into `folder`, all or none: they are created in a folder beside it,
/// which then takes its name. `progress` receives the number of finished images, from any thread.
///
/// # Errors
/// The folder may not be replaced, the images would be too small or too large, there are no
/// drawings of so many classes, or writing fails. The folder then does not change.
pub fn generate(
    plan: &Plan,
    folder: &Path,
    existing: Existing,
    progress: impl Fn(u32) + Sync,
) -> Result<Written, DatasetError> {
    check(plan)?;
    check_folder(folder, existing)?;
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(failed("create", parent))?;
    let workshop = tempfile::Builder::new()
        .prefix(".drawings-")
        .tempdir_in(parent)
        .map_err(failed("create a folder in", parent))?;
    let draft = workshop.path().join("new");
    let written = write_all(plan, &draft, progress)?;
    // Checked again, since another process may have written there in the meantime.
    check_folder(folder, existing)?;
    if folder.exists() {
        let old = workshop.path().join("old");
        fs::rename(folder, &old).map_err(failed("move away", folder))?;
    }
    fs::rename(&draft, folder).map_err(failed("write", folder))?;
    Ok(written)
}

fn write_all(
    plan: &Plan,
    draft: &Path,
    progress: impl Fn(u32) + Sync,
) -> Result<Written, DatasetError> {
    output::create_layout(draft, &Animal::of_classes(plan.classes))?;
    let (ready, bytes) = (AtomicU32::new(0), AtomicU64::new(0));
    let write = |picture: &Picture| {
        let jpeg = encode(picture, plan.frame)?;
        let name = file_name(picture);
        let path = draft.join(&name);
        fs::write(&path, &jpeg).map_err(failed("write", &path))?;
        bytes.fetch_add(jpeg.len() as u64, Ordering::Relaxed);
        progress(ready.fetch_add(1, Ordering::Relaxed) + 1);
        Ok((name, output::digest(&jpeg)))
    };
    let digests: Result<BTreeMap<PathBuf, String>, DatasetError> =
        pictures(plan).par_iter().map(write).collect();
    output::write_checksums(draft, &digests?)?;
    output::write_json(&draft.join(DESCRIPTION_FILE), &Description::new(plan))?;
    Ok(Written { pictures: ready.into_inner(), bytes: bytes.into_inner() })
}

fn check(plan: &Plan) -> Result<(), DatasetError> {
    if !CLASSES.contains(&plan.classes) {
        let (low, high) = (CLASSES.start(), CLASSES.end());
        let found = plan.classes;
        return Err(wrong(format!("number of classes must be {low} to {high} (got {found})")));
    }
    let (Frame::Square(found) | Frame::Photo(found)) = plan.frame;
    if !SIDES.contains(&found) {
        let (low, high) = (SIDES.start(), SIDES.end());
        return Err(wrong(format!("longer side must be {low} to {high} pixels (got {found})")));
    }
    Ok(())
}

/// Succeeds if the folder is missing, empty, or an earlier output that may be replaced.
fn check_folder(folder: &Path, existing: Existing) -> Result<(), DatasetError> {
    let found = output::entries(folder)?;
    if found == 0 {
        return Ok(());
    }
    let folder_name = folder.display();
    match existing {
        Existing::Keep => Err(wrong(format!(
            "{folder_name} is not empty (it holds {found} entries); choose another folder, or replace an earlier \
             output with --force"
        ))),
        Existing::Replace if was_generated(folder) => Ok(()),
        Existing::Replace => Err(wrong(format!(
            "{folder_name} holds no {DESCRIPTION_FILE} of {GENERATOR}, so it is not replaced; delete it yourself or \
             choose another folder"
        ))),
    }
}

fn was_generated(folder: &Path) -> bool {
    fs::read(folder.join(DESCRIPTION_FILE))
        .ok()
        .and_then(|text| serde_json::from_slice::<Description>(&text).ok())
        .is_some_and(|description| description.generator == GENERATOR)
}
