//! A folder of which a tenth is damaged, one way or another.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use benchbook_data::{ImageFolder, Loader, LoaderConfig, OnBadImage, Split};

use crate::pictures::{below, bytes, class_folders, gradient, save};

/// 100 cats and 100 dogs, of which these are damaged: every tenth is cut short, renamed to another
/// extension, replaced by noise, or has a header of 30,000 × 30,000 pixels, in turns.
fn damaged(root: &Path) -> Vec<PathBuf> {
    let mut bad = Vec::new();
    for (class, tint) in [("cat", 30), ("dog", 220)] {
        for number in 0..100 {
            let path = root.join(format!("{class}/{class}.{number:02}.jpg"));
            save(&path, &gradient(60, 40 + number, tint));
            if number % 10 != 3 {
                continue;
            }
            match number / 10 % 4 {
                0 => {
                    let content = fs::read(&path).unwrap();
                    fs::write(&path, &content[..content.len() * 2 / 3]).unwrap();
                }
                1 => {
                    let renamed = path.with_extension("jpg.part");
                    fs::rename(&path, &renamed).unwrap();
                    bad.push(renamed);
                    continue;
                }
                2 => {
                    let noise = |at: usize| (at.wrapping_mul(2_654_435_761) >> 9) as u8;
                    fs::write(&path, (0..4000).map(noise).collect::<Vec<_>>()).unwrap();
                }
                _ => fs::write(&path, crate::bad_files::huge_png()).unwrap(),
            }
            bad.push(path);
        }
    }
    bad.sort();
    bad
}

#[test]
fn every_damaged_file_is_named_and_every_other_one_is_used() {
    let root = tempfile::tempdir().unwrap();
    let bad = damaged(&below(&root, "train"));
    damaged(&below(&root, "validation"));
    let folder = ImageFolder::open(root.path()).unwrap();
    let split = folder.train();
    let renamed: Vec<_> = folder.ignored().iter().map(|entry| entry.path.clone()).collect();
    assert_eq!(renamed.len(), 12, "{renamed:?}");

    let config = LoaderConfig { height: 16, width: 16, threads: 4, ..LoaderConfig::default() };
    let error = Loader::new(&split, config.clone()).unwrap().epoch(0).find_map(Result::err);
    let text = error.unwrap().to_string();
    assert!(bad.iter().any(|path| text.contains(path.to_str().unwrap())), "{text}");

    let skip = LoaderConfig { on_bad_image: OnBadImage::Skip, ..config.clone() };
    let loader = Loader::new(&split, skip).unwrap();
    for epoch in 0..2 {
        let batches = loader.epoch(epoch).collect::<Result<Vec<_>, _>>().unwrap();
        let mut used: Vec<_> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 180);
    }
    let skipped = loader.skipped().into_iter().map(|file| file.path);
    let mut named: Vec<_> = skipped.chain(renamed).collect();
    named.retain(|path| path.starts_with(below(&root, "train")));
    named.sort();
    assert_eq!(named, bad);

    let (usable, faults) = split.usable();
    assert_eq!((usable.len(), faults.len()), (180, 14));
    let all = Loader::new(&usable, config).unwrap();
    assert_eq!(all.epoch(0).map(|batch| batch.unwrap().len()).sum::<usize>(), 180);
}

/// The superuser may read everything, so the test runs itself as nobody where it is the superuser.
#[test]
fn files_and_folders_that_may_not_be_read_are_named() {
    const FOLDER: &str = "BENCHBOOK_TEST_FORBIDDEN";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return forbidden(Path::new(&folder));
    }
    let root = class_folders();
    let file = below(&root, "train/cat/cat.0.jpg");
    let folder = below(&root, "validation/dog");
    let forbid = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o0)).unwrap();
    forbid(&file);
    // SAFETY: geteuid(2) has no conditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        forbid(&folder);
        forbidden(root.path());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        return;
    }
    for path in [root.path(), &below(&root, "train"), &below(&root, "validation")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    forbid(&folder);
    // A copy, since nobody may not enter the folder of the build.
    let program = below(&root, "test-program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = Command::new(&program)
        .args([
            "--exact",
            "damage::files_and_folders_that_may_not_be_read_are_named",
            "--nocapture",
        ])
        .env(FOLDER, root.path())
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output();
    match ran {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
        }
        Err(error) => println!("SKIPPED: cannot run a program as nobody: {error}"),
    }
}

fn forbidden(root: &Path) {
    let text = ImageFolder::open(root).unwrap_err().to_string();
    let folder = root.join("validation/dog");
    assert!(text.contains(folder.to_str().unwrap()), "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    let split = Split::open(root.join("train")).unwrap();
    let errors = split.verify();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let text = errors[0].to_string();
    assert!(text.contains("cat.0.jpg: cannot be read: Permission denied"), "{text}");
}

#[test]
fn a_name_that_is_no_text_is_read_and_shown() {
    use std::os::unix::ffi::OsStrExt;
    let root = class_folders();
    let name = std::ffi::OsStr::from_bytes(b"b\xffd.jpg");
    fs::copy(below(&root, "test/0.jpg"), below(&root, "train/cat").join(name)).unwrap();
    bytes(&below(&root, "train/dog/dog.9.jpg"), b"");
    let split = Split::open(below(&root, "train")).unwrap();
    assert_eq!((split.len(), split.verify().len()), (14, 1));
}
