//! What is kept between epochs, and when it is not used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use benchbook_data::{
    Augmentation, Batch, Cache, Crop, DataError, Loader, LoaderConfig, OnBadImage, Split,
};
use tempfile::TempDir;

use crate::pictures::{below, bytes, class_folders, gradient, jpeg};

fn train() -> (TempDir, Split) {
    let root = class_folders();
    let split = Split::open(below(&root, "train")).unwrap();
    (root, split)
}

fn settings(cache: Cache) -> LoaderConfig {
    LoaderConfig {
        height: 10,
        width: 14,
        batch_size: 5,
        threads: 2,
        augmentation: vec![Augmentation::ROTATION_180],
        cache,
        ..LoaderConfig::default()
    }
}

fn epoch(loader: &Loader, number: u64) -> Vec<Batch> {
    loader.epoch(number).collect::<Result<_, _>>().unwrap()
}

fn decoded(loader: &Loader, number: u64) -> (u64, u64) {
    let mut epoch = loader.epoch(number);
    epoch.by_ref().for_each(|batch| drop(batch.unwrap()));
    (epoch.times().decoded, epoch.times().cached)
}

/// The files of a cache.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let inner = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = inner.flat_map(|path| fs::read_dir(path).unwrap());
    files.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_cache_on_disk_gives_the_same_batches_to_the_next_loader() {
    let (_root, split) = train();
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::Disk(folder.path().join("cache"));
    let plain = Loader::new(&split, settings(Cache::Off)).unwrap();
    let first = Loader::new(&split, settings(cache.clone())).unwrap();
    let text = first.to_string();
    assert!(text.contains("cached in up to 1 MB in"), "{text}");
    assert_eq!(first.cached().pictures, 0);
    assert!(epoch(&first, 0) == epoch(&plain, 0));
    let report = first.cached();
    assert_eq!((report.pictures, report.fault), (12, None));
    assert_eq!(report.bytes, first.cache_bytes());
    let files = kept(&folder.path().join("cache"));
    let sizes: u64 = files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!((files.len(), sizes), (12, first.cache_bytes()));
    let second = Loader::new(&split, settings(cache)).unwrap();
    assert_eq!(decoded(&second, 1), (0, 12));
    assert!(epoch(&second, 1) == epoch(&plain, 1));
}

#[test]
fn other_settings_have_pictures_of_their_own() {
    let (_root, split) = train();
    let folder = tempfile::tempdir().unwrap();
    let base = settings(Cache::Disk(folder.path().into()));
    assert_eq!(decoded(&Loader::new(&split, base.clone()).unwrap(), 0), (12, 0));
    for config in [
        LoaderConfig { height: 14, width: 10, ..base.clone() },
        LoaderConfig { crop: Crop::AspectRatio, ..base.clone() },
        LoaderConfig { filter: benchbook_data::Filter::Nearest, ..base.clone() },
    ] {
        assert_eq!(decoded(&Loader::new(&split, config).unwrap(), 0), (12, 0));
    }
    let same = LoaderConfig { seed: 9, batch_size: 3, augmentation: Vec::new(), ..base };
    assert_eq!(decoded(&Loader::new(&split, same).unwrap(), 0), (0, 12));
}

#[test]
fn a_file_that_changed_is_decoded_anew() {
    let (root, split) = train();
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::Disk(folder.path().into());
    let loader = Loader::new(&split, settings(cache)).unwrap();
    assert_eq!(decoded(&loader, 0), (12, 0));
    jpeg(&below(&root, "train/cat/cat.0.jpg"), 255);
    // Replaced by a file of the same size and the same time of change: only the inode differs.
    let path = below(&root, "train/dog/dog.1.jpg");
    let before = fs::metadata(&path).unwrap();
    let other = below(&root, "other.jpg");
    fs::copy(&path, &other).unwrap();
    fs::File::open(&other).unwrap().set_modified(before.modified().unwrap()).unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(decoded(&loader, 1), (2, 10));
    assert_eq!(decoded(&loader, 2), (0, 12));
    let plain = Loader::new(&split, settings(Cache::Off)).unwrap();
    assert!(epoch(&loader, 3) == epoch(&plain, 3));
}

#[test]
fn a_file_that_is_gone_is_named_also_with_a_cache_on_disk() {
    let (root, split) = train();
    let folder = tempfile::tempdir().unwrap();
    let loader = Loader::new(&split, settings(Cache::Disk(folder.path().into()))).unwrap();
    decoded(&loader, 0);
    fs::remove_file(below(&root, "train/cat/cat.0.jpg")).unwrap();
    let error = loader.epoch(1).find_map(Result::err).unwrap();
    assert!(error.to_string().contains("cat.0.jpg: cannot be read"), "{error}");
}

#[test]
fn damaged_files_of_a_cache_are_written_anew() {
    let (_root, split) = train();
    let folder = tempfile::tempdir().unwrap();
    let loader = Loader::new(&split, settings(Cache::Disk(folder.path().into()))).unwrap();
    let plain = Loader::new(&split, settings(Cache::Off)).unwrap();
    decoded(&loader, 0);
    let files = kept(folder.path());
    for (number, path) in files.iter().enumerate().take(4) {
        let mut content = fs::read(path).unwrap();
        match number {
            0 => content.truncate(200),
            1 => content.clear(),
            2 => *content.last_mut().unwrap() ^= 1,
            _ => content[100] ^= 16,
        }
        fs::write(path, content).unwrap();
    }
    assert!(epoch(&loader, 1) == epoch(&plain, 1));
    assert_eq!(decoded(&loader, 2), (0, 12));
}

#[test]
fn a_bad_picture_is_not_kept() {
    let (root, _) = train();
    bytes(&below(&root, "train/cat/bad.jpg"), b"noise");
    let split = Split::open(below(&root, "train")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for cache in [Cache::Memory, Cache::Disk(folder.path().into())] {
        let config = LoaderConfig { on_bad_image: OnBadImage::Skip, ..settings(cache) };
        let loader = Loader::new(&split, config).unwrap();
        for number in 0..2 {
            assert_eq!(epoch(&loader, number).iter().map(Batch::len).sum::<usize>(), 12);
        }
        assert_eq!((loader.cached().pictures, loader.skipped().len()), (12, 1));
    }
}

#[test]
fn half_written_files_are_left_to_their_writer_and_removed_when_old() {
    let (_root, split) = train();
    let folder = tempfile::tempdir().unwrap();
    let config = settings(Cache::Disk(folder.path().into()));
    decoded(&Loader::new(&split, config.clone()).unwrap(), 0);
    let inner = kept(folder.path())[0].parent().unwrap().to_path_buf();
    let (young, old) = (inner.join("1-0-0.tmp"), inner.join("2-0-0.tmp"));
    bytes(&young, b"half");
    bytes(&old, b"half");
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    fs::File::options().write(true).open(&old).unwrap().set_modified(yesterday).unwrap();
    Loader::new(&split, config).unwrap();
    assert!(young.exists() && !old.exists());
}

#[test]
fn a_cache_that_cannot_fit_is_refused_before_anything_is_read() {
    let sample = |index: usize| benchbook_data::Sample {
        path: format!("missing/{index}.jpg").into(),
        label: None,
    };
    // 16,384² pixels of three bytes, 40,000 times: 32 TB.
    let split = Split::new("huge", Vec::new(), (0..40_000).map(sample).collect()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for cache in [Cache::Memory, Cache::Disk(folder.path().into())] {
        let config = LoaderConfig { height: 16_384, width: 16_384, cache, ..settings(Cache::Off) };
        let error = Loader::new(&split, config).unwrap_err();
        assert!(matches!(error, DataError::CacheSpace { .. }), "{error}");
        assert!(error.to_string().starts_with("expected room for 32212"), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let (root, split) = train();
    let path = below(&root, "train/cat/cat.0.jpg").join("cache");
    let error = Loader::new(&split, settings(Cache::Disk(path.clone()))).unwrap_err();
    assert!(matches!(error, DataError::Cache { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_random_crop_and_a_cache_exclude_each_other() {
    let (_root, split) = train();
    let config = LoaderConfig { crop: Crop::RANDOM_RESIZED, ..settings(Cache::Memory) };
    let error = Loader::new(&split, config).unwrap_err();
    assert!(error.to_string().contains("since it keeps resized images"), "{error}");
}

/// In a file system of 400 kB of its own, which only a user namespace lets a test mount: the test runs
/// itself in one. There it fills the disk after the loader has found enough room.
#[test]
fn a_disk_that_fills_up_is_named_and_the_epoch_goes_on() {
    const FOLDER: &str = "BENCHBOOK_TEST_SMALL_DISK";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return fill_the_disk(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=400k none \"$1\" || exit 77; export \
                  BENCHBOOK_TEST_SMALL_DISK=\"$1\"; exec \"$0\" --exact \
                  caches::a_disk_that_fills_up_is_named_and_the_epoch_goes_on --nocapture";
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .output();
    let Ok(output) = ran else {
        println!("SKIPPED: no unshare(1) to mount a small file system with");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || text.contains("unshare failed") {
        println!("SKIPPED: this system lets no test mount a file system: {text}");
        return;
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn fill_the_disk(folder: &Path) {
    let (_root, split) = train();
    // 12 images of 64 × 64 × 3 bytes are 150 kB in pages.
    let config =
        LoaderConfig { height: 64, width: 64, ..settings(Cache::Disk(folder.join("cache"))) };
    let plain = LoaderConfig { cache: Cache::Off, ..config.clone() };
    let loader = Loader::new(&split, config.clone()).unwrap();
    // As many bytes as leave room for a few pictures.
    bytes(&folder.join("ballast"), &vec![1; 300_000]);
    let found = epoch(&loader, 0);
    assert!(found == epoch(&Loader::new(&split, plain).unwrap(), 0));
    let report = loader.cached();
    assert!((1..12).contains(&report.pictures), "{report:?}");
    let fault = report.fault.unwrap();
    assert!(fault.contains("No space left on device"), "{fault}");
    assert!(fault.contains(folder.to_str().unwrap()), "{fault}");
    let files = kept(&folder.join("cache"));
    assert_eq!(files.len(), report.pictures, "nothing half-written is left: {files:?}");
    let error = Loader::new(&split, config.clone()).unwrap_err();
    assert!(matches!(error, DataError::CacheSpace { .. }), "{error}");
    fs::remove_file(folder.join("ballast")).unwrap();
    let next = Loader::new(&split, config).unwrap();
    assert_eq!(decoded(&next, 0), (12 - report.pictures as u64, report.pictures as u64));
    assert_eq!((next.cached().pictures, next.cached().fault), (12, None));
}

/// The gradient is large enough for the image to be made smaller.
#[test]
fn the_cache_holds_the_resized_picture() {
    let root = tempfile::tempdir().unwrap();
    crate::pictures::save(&below(&root, "one.png"), &gradient(100, 80, 7));
    let split = Split::open(root.path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let loader = Loader::new(&split, settings(Cache::Disk(folder.path().into()))).unwrap();
    decoded(&loader, 0);
    let content = fs::read(&kept(folder.path())[0]).unwrap();
    let picture = benchbook_data::Picture::open(&below(&root, "one.png"), 1 << 20).unwrap();
    let resized = loader.config().resize().apply(picture);
    assert!(content.ends_with(&resized.rgb));
}
