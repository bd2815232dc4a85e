//! Processes that die or run out of space while they save. Each is a process of its own: this
//! program starts itself with the name of the test that plays the part.

use benchbook::model::Model;
use benchbook::prelude::{Build, Builtin, Fit, ImageFolder, Optimizer, Vgg11};
use benchbook::train::{Callback, Event, Silent};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const FOLDER: &str = "BENCHBOOK_TEST_FOLDER";

fn model() -> Model {
    let build = Build { threads: Some(2), ..Build::default() };
    Model::new(Vgg11 { size: 32, ..Vgg11::new(2) }, build).unwrap()
}

/// Pictures of two classes in `folder`.
fn pictures(folder: &Path) -> ImageFolder {
    use benchbook::image::{Rgb, RgbImage};
    for part in ["train", "validation"] {
        for (class, value) in [("cat", 30_u8), ("dog", 190)] {
            let path = folder.join(part).join(class);
            std::fs::create_dir_all(&path).unwrap();
            for index in 0..4_u8 {
                let picture = RgbImage::from_pixel(40, 40, Rgb([value + 9 * index; 3]));
                picture.save(path.join(format!("{index}.jpg"))).unwrap();
            }
        }
    }
    ImageFolder::open(folder).unwrap()
}

fn fit(folder: &Path) -> Fit {
    Fit {
        epochs: 4,
        batch_size: 4,
        learning_rate: Some(1e-4),
        optimizer: Optimizer::momentum(0.9),
        callbacks: vec![Builtin::checkpoint(folder.join("last.safetensors"))],
        ..Fit::default()
    }
}

/// Starts this program with one of the parts below.
fn start(part: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", part, "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The folder that a part works in; `None` if it runs as a test of its own, where it has no part.
fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn partials(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().ends_with(".partial")).collect()
}

#[test]
#[ignore = "a part of a_kill_in_the_middle_of_saving_leaves_the_previous_checkpoint_whole"]
fn saves_again_and_again() {
    let Some(folder) = folder() else { return };
    let model = self::model();
    loop {
        model.save(folder.join("model.safetensors")).unwrap();
        println!("saved");
    }
}

#[test]
fn a_kill_in_the_middle_of_saving_leaves_the_previous_checkpoint_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut killed_in_the_middle = 0;
    for attempt in 0..40 {
        let mut child = start("saves_again_and_again", folder.path());
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first file of this process is complete; the next one is being written.
        assert!(output.any(|line| line.unwrap().contains("saved")));
        // A killed process leaves one file, and the next one removes it.
        let known: Vec<PathBuf> = partials(folder.path());
        let being_written = loop {
            let new = partials(folder.path()).into_iter().find(|p| !known.contains(p));
            let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
            if let Some(new) = new.filter(|path| size(path) > 0) {
                break new;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        let whole = Model::load(&path).unwrap();
        assert_eq!(whole.net().name(), "vgg11");
        // Moved to its name in the last moment, it would have been no kill in the middle.
        if being_written.exists() {
            killed_in_the_middle += 1;
        }
        assert!(partials(folder.path()).len() <= 1);
        if killed_in_the_middle == 3 {
            whole.save(folder.path().join("another.safetensors")).unwrap();
            assert_eq!(partials(folder.path()), Vec::<PathBuf>::new());
            return;
        }
        assert!(attempt < 39, "never killed in the middle");
    }
}

/// Prints each step, so that whoever watches knows when.
struct Told;

impl Callback for Told {
    fn event(&mut self, event: &Event) {
        if let Event::Step { epoch, step, .. } = event {
            println!("epoch {epoch} step {step}");
            std::io::stdout().flush().unwrap();
        }
    }
}

#[test]
#[ignore = "a part of a_killed_training_is_resumed_with_the_losses_of_an_uninterrupted_one"]
fn trains() {
    let Some(folder) = folder() else { return };
    let data = ImageFolder::open(&folder).unwrap();
    model().fit_with(&data, fit(&folder), &mut Told).unwrap();
}

#[test]
fn a_killed_training_is_resumed_with_the_losses_of_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = pictures(folder.path());
    let mut child = start("trains", folder.path());
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(output.any(|line| line.unwrap().contains("epoch 3 step 1")));
    child.kill().unwrap();
    child.wait().unwrap();

    let mut resumed = Model::load(folder.path().join("last.safetensors")).unwrap();
    let epochs = resumed.history().epochs.len();
    assert!((2..4).contains(&epochs), "{epochs} epochs were complete");
    resumed.resume_with(&data, &mut Silent).unwrap();
    let mut through = model();
    through.fit_with(&data, fit(folder.path()), &mut Silent).unwrap();
    let losses = |model: &Model| -> Vec<(f64, Option<f64>)> {
        model.history().epochs.iter().map(|epoch| (epoch.loss, epoch.val_loss)).collect()
    };
    assert_eq!(losses(&resumed), losses(&through));
    assert_eq!(resumed.parameters().unwrap(), through.parameters().unwrap());
}

/// A training of which no checkpoint fits on the disk: says the error, and that neither the file of
/// before nor the model is lost.
fn train_without_room(pictures: &Path, disk: &Path, fill: impl FnOnce()) {
    let data = ImageFolder::open(pictures).unwrap();
    let mut model = self::model();
    model.save(disk.join("last.safetensors")).unwrap();
    fill();
    let error = model.fit_with(&data, fit(disk), &mut Silent).unwrap_err();
    println!("error: {error}");
    assert_eq!(partials(disk), Vec::<PathBuf>::new());
    assert_eq!(Model::load(disk.join("last.safetensors")).unwrap().history().steps, 0);
    // The model is as it was at the end of the epoch and can go on without the callback.
    assert_eq!(model.history().epochs.len(), 1);
    let without = Fit { callbacks: Vec::new(), ..fit(disk) };
    model.fit_with(&data, without, &mut Silent).unwrap();
    println!("went on to epoch {}", model.history().epochs.len());
}

#[track_caller]
fn assert_named_and_kept(output: &[u8], reason: &str) {
    let output = String::from_utf8_lossy(output);
    assert!(output.contains("error: cannot write the weights"), "{output}");
    assert!(output.contains(&format!("last.safetensors: {reason}")), "{output}");
    assert!(output.contains("went on to epoch 5"), "{output}");
}

#[test]
#[ignore = "a part of a_file_that_may_grow_no_more_is_named_and_loses_neither_checkpoint_nor_model"]
fn trains_with_little_room() {
    let Some(folder) = folder() else { return };
    train_without_room(&folder, &folder, || {
        // SAFETY: plain system calls. Writing beyond the limit fails (EFBIG), instead of ending the
        // process by a signal.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit { rlim_cur: 10_000_000, rlim_max: 10_000_000 };
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        }
    });
}

#[test]
fn a_file_that_may_grow_no_more_is_named_and_loses_neither_checkpoint_nor_model() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let output = start("trains_with_little_room", folder.path()).wait_with_output().unwrap();
    assert_named_and_kept(&output.stdout, "File too large");
}

#[test]
#[ignore = "a part of a_full_disk_is_named_and_loses_neither_checkpoint_nor_model"]
fn trains_on_a_small_disk() {
    let Some(folder) = folder() else { return };
    train_without_room(&folder, &folder.join("disk"), || {});
}

/// Every callback that writes, on a device that is always full: its error names the file, and the model goes on.
#[test]
fn callbacks_on_a_full_disk_are_named_and_lose_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let data = pictures(folder.path());
    let full = folder.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let mut model = self::model();
    let callbacks =
        [Builtin::csv_log(&full), Builtin::best_checkpoint(&full), Builtin::checkpoint(&full)];
    for (epochs, callback) in (1..).zip(callbacks) {
        let fit = Fit { callbacks: vec![callback], epochs: 1, ..fit(folder.path()) };
        let error = model.fit_with(&data, fit, &mut Silent).unwrap_err().to_string();
        assert!(error.contains(full.to_str().unwrap()), "{error}");
        assert!(error.contains("No space left on device"), "{error}");
        assert_eq!(model.history().epochs.len(), epochs);
    }
    let error = model.predict(&data.validation()).unwrap().write_csv(&full).unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    let error = model.save(&full).unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    let again = Fit { callbacks: Vec::new(), epochs: 1, ..fit(folder.path()) };
    model.fit_with(&data, again, &mut Silent).unwrap();
    assert_eq!(model.history().epochs.len(), 4);
    assert!(full.is_symlink() && !Path::new("/dev/full").is_file());
}

/// A file system of 60 MB, which only a user namespace lets a test mount: the weights of 39 MB fit once,
/// a checkpoint with the optimiser's state does not.
#[test]
fn a_full_disk_is_named_and_loses_neither_checkpoint_nor_model() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    let script = "mount -t tmpfs -o size=60m none \"$1/disk\" || exit 77; exec \"$0\" --exact \
                  trains_on_a_small_disk --ignored --nocapture";
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .env(FOLDER, folder.path())
        .output();
    let Ok(output) = ran else {
        println!("SKIPPED: no unshare(1) to mount a small file system with");
        return;
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || complaint.contains("unshare failed") {
        println!("SKIPPED: this system lets no test mount a file system: {complaint}");
        return;
    }
    assert_named_and_kept(&output.stdout, "No space left on device");
}
