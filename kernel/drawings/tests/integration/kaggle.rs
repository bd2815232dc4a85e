//! Importing an archive built as Kaggle builds its own, from generated pictures.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use benchbook_drawings::kaggle::{Division, Imported, Unreadable, import, verify};
use benchbook_drawings::{CHECKSUM_FILE, DESCRIPTION_FILE, DatasetError, Frame, Picture, Split};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::FileOptions;

type Files = Vec<(String, Vec<u8>)>;

fn zipped(files: &Files) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(name.as_str(), FileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn jpeg(split: Split, index: u32) -> Vec<u8> {
    Picture { seed: 5, split, index, classes: 2 }.jpeg(Frame::Square(32)).unwrap()
}

/// Twenty cats, twenty dogs and five test images, named as Kaggle names them.
fn pictures() -> (Files, Files) {
    let train = (0..40)
        .map(|index| {
            let class = if index % 2 == 0 { "cat" } else { "dog" };
            (format!("train/{class}.{}.jpg", index / 2), jpeg(Split::Train, index))
        })
        .collect();
    let test =
        (1..=5).map(|number| (format!("test1/{number}.jpg"), jpeg(Split::Test, number))).collect();
    (train, test)
}

fn archive(folder: &Path, (train, test): &(Files, Files)) -> PathBuf {
    let path = folder.join("dogs-vs-cats.zip");
    let outer = vec![
        ("sampleSubmission.csv".to_owned(), b"id,label\n".to_vec()),
        ("test1.zip".to_owned(), zipped(test)),
        ("train.zip".to_owned(), zipped(train)),
    ];
    File::create(&path).unwrap().write_all(&zipped(&outer)).unwrap();
    path
}

fn run(zip: &Path, out: &Path) -> Result<Imported, DatasetError> {
    import(zip, out, Division::default(), Unreadable::Refuse, |_, _| {})
}

fn names(folder: PathBuf) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_archive_in_archives_becomes_folders_in_the_reports_proportion() {
    let folder = TempDir::new().unwrap();
    let pictures = pictures();
    let zip = archive(folder.path(), &pictures);
    let out = folder.path().join("photos");
    let imported = run(&zip, &out).unwrap();
    // 20 × 5348 / 25000 = 4.3, so four of each class.
    assert_eq!((imported.train, imported.validation, imported.test), (32, 8, 5));
    for class in ["cat", "dog"] {
        let train = names(out.join("train").join(class));
        let validation = names(out.join("validation").join(class));
        assert_eq!((train.len(), validation.len()), (16, 4));
        assert!(validation.iter().all(|name| !train.contains(name)));
    }
    assert_eq!(names(out.join("test")), ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]);
    assert_eq!(fs::read(out.join("test/3.jpg")).unwrap(), pictures.1[2].1);
    assert_eq!(
        names(out.clone()),
        [CHECKSUM_FILE, DESCRIPTION_FILE, "test", "train", "validation"]
    );
    let sums = fs::read_to_string(out.join(CHECKSUM_FILE)).unwrap();
    assert_eq!(sums.lines().count(), 45);
    assert!(imported.duplicates_across_parts.is_empty());
}

#[test]
fn the_seed_decides_the_division() {
    let folder = TempDir::new().unwrap();
    let zip = archive(folder.path(), &pictures());
    let validation = |name: &str, seed| {
        let out = folder.path().join(name);
        let division = Division { seed, ..Division::default() };
        import(&zip, &out, division, Unreadable::Refuse, |_, _| {}).unwrap();
        [names(out.join("validation/cat")), names(out.join("validation/dog"))]
    };
    let first = validation("a", 1);
    assert_eq!(first, validation("b", 1));
    assert_ne!(first, validation("c", 2));
}

#[test]
fn a_picture_that_cannot_be_decoded_is_named_and_the_rest_is_kept() {
    let folder = TempDir::new().unwrap();
    let mut pictures = pictures();
    pictures.0[6].1.truncate(200);
    let zip = archive(folder.path(), &pictures);
    let out = folder.path().join("photos");
    let refused = run(&zip, &out).unwrap_err();
    assert!(refused.to_string().starts_with("1 of the images could not be decoded"), "{refused}");
    assert!(refused.to_string().contains("cat.3.jpg"), "{refused}");
    assert!(!out.exists());

    let imported = import(&zip, &out, Division::default(), Unreadable::Skip, |_, _| {}).unwrap();
    assert_eq!(imported.resumed, 44);
    assert_eq!(imported.train + imported.validation + imported.test, 44);
    assert_eq!(imported.unreadable.len(), 1);
    assert!(!folder.path().join("photos.part").exists());
}

#[test]
fn an_interrupted_import_is_not_continued_with_another_division() {
    let folder = TempDir::new().unwrap();
    let mut pictures = pictures();
    pictures.0[0].1.clear();
    let zip = archive(folder.path(), &pictures);
    let out = folder.path().join("photos");
    run(&zip, &out).unwrap_err();
    let other = Division { seed: 2, ..Division::default() };
    let refused = import(&zip, &out, other, Unreadable::Skip, |_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("is an import of another archive"), "{refused}");
}

#[test]
fn equal_pictures_in_different_parts_are_reported() {
    let folder = TempDir::new().unwrap();
    let mut pictures = pictures();
    pictures.1[0].1 = pictures.0[0].1.clone();
    let zip = archive(folder.path(), &pictures);
    let imported = run(&zip, &folder.path().join("photos")).unwrap();
    assert_eq!(imported.duplicates_across_parts.len(), 1);
    let group = &imported.duplicates_across_parts[0];
    assert_eq!(group.len(), 2);
    assert!(group[0].ends_with("1.jpg") && group[1].ends_with("cat.0.jpg"), "{group:?}");
}

#[test]
fn what_is_no_such_archive_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.zip");
    fs::write(&path, "not an archive").unwrap();
    let out = folder.path().join("photos");
    assert!(run(&path, &out).unwrap_err().to_string().contains("read as a zip archive"));

    let division = Division { validation_share: 1.5, ..Division::default() };
    let refused = import(&path, &out, division, Unreadable::Refuse, |_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("0 to 1 (got 1.5)"), "{refused}");

    fs::write(&path, zipped(&vec![("train/bird.0.jpg".to_owned(), vec![1])])).unwrap();
    let refused = run(&path, &out).unwrap_err();
    assert!(refused.to_string().contains("got 0 of cats and 0 of dogs"), "{refused}");

    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine.txt"), "mine").unwrap();
    let refused = run(&path, &out).unwrap_err();
    assert!(refused.to_string().contains("not empty (it holds 1 entries)"), "{refused}");
}

#[test]
fn a_second_import_verifies_the_first() {
    let folder = TempDir::new().unwrap();
    let zip = archive(folder.path(), &pictures());
    let out = folder.path().join("photos");
    let first = run(&zip, &out).unwrap();
    assert_eq!(run(&zip, &out).unwrap(), first);
    assert_eq!(verify(&out).unwrap().unwrap(), first);
    let other = Division { seed: 2, ..Division::default() };
    let refused = import(&zip, &out, other, Unreadable::Refuse, |_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("is an import of another archive"), "{refused}");

    fs::write(out.join("test/2.jpg"), "other bytes").unwrap();
    fs::remove_file(out.join("test/4.jpg")).unwrap();
    let refused = run(&zip, &out).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("must hold 45 images") && text.contains("got 43;"), "{text}");
    assert!(text.contains("other bytes is test/2.jpg"), "{text}");
    assert_eq!(verify(folder.path()).unwrap(), None);
}

#[test]
fn damage_to_the_archive_is_named() {
    let folder = TempDir::new().unwrap();
    let pictures = pictures();
    // Stored as it is, an image can be found in the archive and changed under its checksum.
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in &pictures.0 {
        let stored = FileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file(name.as_str(), stored).unwrap();
        writer.write_all(bytes).unwrap();
    }
    let mut bytes = writer.finish().unwrap().into_inner();
    let wanted = &pictures.0[8].1;
    let at = bytes.windows(wanted.len()).position(|part| part == wanted).unwrap();
    bytes[at + wanted.len() / 2] ^= 1;
    let path = folder.path().join("damaged.zip");
    fs::write(&path, &bytes).unwrap();
    let refused = run(&path, &folder.path().join("photos")).unwrap_err();
    assert!(refused.to_string().contains("download the archive again"), "{refused}");
    assert!(refused.to_string().contains("cat.4.jpg"), "{refused}");

    // As a download that was cut off.
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let refused = run(&path, &folder.path().join("elsewhere")).unwrap_err();
    assert!(refused.to_string().contains("read as a zip archive"), "{refused}");
}

/// 80 MB of zeros are 78 kB in an archive, which may then unpack to 68 MB.
#[test]
fn an_archive_that_unpacks_to_far_more_than_photos_is_refused() {
    let zeros = vec![0; 80_000_000];
    for (entry, inner) in [("train/cat.0.jpg", false), ("train.zip", true)] {
        let folder = TempDir::new().unwrap();
        let (train, test) = pictures();
        let mut files = if inner { vec![("test1.zip".to_owned(), zipped(&test))] } else { train };
        files.retain(|(name, _)| name != entry);
        files.push((entry.to_owned(), zeros.clone()));
        let path = folder.path().join("bomb.zip");
        fs::write(&path, zipped(&files)).unwrap();
        let out = folder.path().join("photos");
        let refused = run(&path, &out).unwrap_err();
        assert!(refused.to_string().contains("bomb.zip unpacks to more than"), "{refused}");
        let text = refused.to_string();
        assert!(text.contains(entry) && text.contains("10 times its size"), "{text}");
        assert!(!out.exists());
    }
}

#[test]
fn a_pipe_in_the_place_of_the_archive_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("dogs-vs-cats.zip");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = run(&pipe, &folder.path().join("photos")).unwrap_err();
    assert!(
        std::error::Error::source(&refused).is_some_and(|why| why.to_string() == "it is no file"),
        "{refused}"
    );
}

/// Every byte of a small archive changed in turn: an error or an import, never a panic.
#[test]
fn a_changed_byte_anywhere_is_an_error_or_harmless() {
    let folder = TempDir::new().unwrap();
    let small = || vec![("train/cat.1.jpg".to_owned(), jpeg(Split::Train, 0))];
    let dog = ("train/dog.1.jpg".to_owned(), jpeg(Split::Train, 1));
    let bytes = zipped(&small().into_iter().chain([dog]).collect());
    let path = folder.path().join("changed.zip");
    for at in (0..bytes.len()).filter(|at| at % 7 == 0 || *at > bytes.len() - 200) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x5a;
        fs::write(&path, bytes).unwrap();
        let out = folder.path().join(format!("photos-{at}"));
        let _ = import(&path, &out, Division::default(), Unreadable::Skip, |_, _| {});
    }
}

/// Names of the environment by which a test tells its child what to import.
const ZIP: &str = "BENCHBOOK_TEST_ZIP";
const OUT: &str = "BENCHBOOK_TEST_OUT";

/// The child of the test below: an import that ends without a farewell after its first pictures.
#[test]
#[ignore = "aborts; the test of a killed import starts it"]
fn killed_child() {
    // With --include-ignored it is also started as a test of its own, and has nothing to do.
    let (Some(zip), Some(out)) = (std::env::var_os(ZIP), std::env::var_os(OUT)) else { return };
    let killed = |_, _| std::process::abort();
    let _ = import(zip.as_ref(), out.as_ref(), Division::default(), Unreadable::Refuse, killed);
}

#[test]
fn a_killed_import_goes_on_where_it_stopped() {
    let folder = TempDir::new().unwrap();
    // More than one round of images, after the first of which the child dies.
    let train = (0..320)
        .map(|index| {
            let class = if index % 2 == 0 { "cat" } else { "dog" };
            (format!("train/{class}.{}.jpg", index / 2), jpeg(Split::Train, index))
        })
        .collect();
    let zip = archive(folder.path(), &(train, pictures().1));
    let out = folder.path().join("photos");
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kaggle::killed_child", "--ignored"])
        .env(ZIP, &zip)
        .env(OUT, &out)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success() && !out.exists());
    let part = folder.path().join("photos.part");
    let written: Vec<PathBuf> =
        ["test", "train/cat", "train/dog", "validation/cat", "validation/dog"]
            .iter()
            .flat_map(|name| fs::read_dir(part.join(name)).unwrap())
            .map(|entry| entry.unwrap().path())
            .collect();
    assert!(!written.is_empty() && written.len() < 325, "{}", written.len());
    // A kill in the middle of a file leaves a part of it.
    let half = fs::read(&written[0]).unwrap();
    fs::write(&written[0], &half[..half.len() / 2]).unwrap();

    let imported = run(&zip, &out).unwrap();
    assert_eq!(imported.resumed, written.len() - 1);
    assert_eq!(imported.train + imported.validation + imported.test, 325);
    assert_eq!(verify(&out).unwrap().unwrap(), imported);
    assert!(!part.exists());
}

#[test]
fn an_import_killed_before_its_first_picture_starts_anew() {
    let folder = TempDir::new().unwrap();
    let zip = archive(folder.path(), &pictures());
    fs::create_dir_all(folder.path().join("photos.part/train/cat")).unwrap();
    let imported = run(&zip, &folder.path().join("photos")).unwrap();
    assert_eq!(imported.resumed, 0);
}
