//! What a loader hands out, in which order, and how far it works ahead.

use std::collections::HashSet;
use std::time::Duration;

use benchbook_data::{
    Augmentation, Batch, Cache, DataError, Epoch, Loader, LoaderConfig, PixelStep, Preprocessing,
    Split,
};
use tempfile::TempDir;

use crate::pictures::{below, class_folders};

fn train() -> (TempDir, Split) {
    let root = class_folders();
    let split = Split::open(below(&root, "train")).unwrap();
    (root, split)
}

fn small() -> LoaderConfig {
    LoaderConfig { height: 10, width: 14, batch_size: 5, threads: 2, ..LoaderConfig::default() }
}

fn batches(split: &Split, config: LoaderConfig, epoch: u64) -> Vec<Batch> {
    Loader::new(split, config).unwrap().epoch(epoch).collect::<Result<_, _>>().unwrap()
}

fn indices(batches: &[Batch]) -> Vec<usize> {
    batches.iter().flat_map(|batch| batch.indices.clone()).collect()
}

#[test]
fn batches_have_the_shape_and_the_labels_of_their_samples() {
    let (_root, split) = train();
    let batches = batches(&split, small(), 0);
    assert_eq!(
        batches.iter().map(Batch::shape).collect::<Vec<_>>(),
        [[5, 3, 10, 14], [5, 3, 10, 14], [2, 3, 10, 14]]
    );
    for batch in &batches {
        assert_eq!(batch.pixels.len(), batch.shape().iter().product::<usize>());
        assert!(batch.pixels.iter().all(|value| (0.0..=1.0).contains(value)));
        for (&index, &label) in batch.indices.iter().zip(&batch.labels) {
            assert_eq!(split.samples()[index].label, Some(label as usize));
        }
    }
    let all: HashSet<_> = indices(&batches).into_iter().collect();
    assert_eq!(all, (0..12).collect());
}

/// Red grows from left to right and green from top to bottom in the test pictures, so this holds
/// only if values are planes of `[height, width]` in RGB order.
#[test]
fn pixels_are_planes_of_red_green_and_blue() {
    let (_root, split) = train();
    let config = LoaderConfig { shuffle: false, batch_size: 1, ..small() };
    let batch = &batches(&split, config, 0)[0];
    let (red, rest) = batch.pixels.split_at(140);
    let (green, blue) = rest.split_at(140);
    assert!(red[13] - red[0] > 0.7 && (red[126] - red[0]).abs() < 0.1, "{red:?}");
    assert!(green[126] - green[0] > 0.7 && (green[13] - green[0]).abs() < 0.1, "{green:?}");
    assert!(blue.iter().all(|value| *value < 0.1), "{blue:?}");
}

#[test]
fn an_unlabelled_split_gives_batches_without_labels() {
    let root = class_folders();
    let split = Split::open(below(&root, "test")).unwrap();
    let batch = batches(&split, small(), 0).remove(0);
    assert_eq!((batch.len(), batch.labels.len()), (3, 0));
}

#[test]
fn the_seed_and_the_epoch_decide_and_the_number_of_threads_does_not() {
    let (_root, split) = train();
    let config = |threads, seed, prefetch| LoaderConfig {
        threads,
        seed,
        prefetch,
        augmentation: vec![Augmentation::FLIP, Augmentation::ROTATION_180],
        ..small()
    };
    let expected = batches(&split, config(1, 3, 0), 2);
    for (threads, prefetch) in [(1, 3), (2, 1), (4, 8), (4, 0)] {
        assert!(batches(&split, config(threads, 3, prefetch), 2) == expected);
    }
    assert_ne!(indices(&batches(&split, config(4, 4, 2), 2)), indices(&expected));
    assert_ne!(indices(&batches(&split, config(4, 3, 2), 1)), indices(&expected));
}

#[test]
fn a_picture_changes_from_epoch_to_epoch_only_where_asked() {
    let (_root, split) = train();
    let fixed = LoaderConfig { shuffle: false, ..small() };
    assert!(batches(&split, fixed.clone(), 0) == batches(&split, fixed.clone(), 1));
    let turned = LoaderConfig { augmentation: vec![Augmentation::ROTATION_180], ..fixed };
    assert!(batches(&split, turned.clone(), 0) != batches(&split, turned, 1));
}

#[test]
fn evaluation_settings_keep_the_order_and_change_nothing() {
    let (_root, split) = train();
    let training = LoaderConfig {
        augmentation: vec![Augmentation::FLIP],
        drop_last: true,
        repeat: true,
        ..small()
    };
    let batches = batches(&split, training.for_evaluation(), 4);
    assert_eq!(indices(&batches), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_last_batch_that_is_not_full_may_be_left_out() {
    let (_root, split) = train();
    let loader = Loader::new(&split, LoaderConfig { drop_last: true, ..small() }).unwrap();
    assert_eq!(loader.batches(), 2);
    assert_eq!(loader.epoch(0).count(), 2);
    assert_eq!(Loader::new(&split, small()).unwrap().batches(), 3);
}

#[test]
fn repeating_goes_on_with_the_following_epochs() {
    let (_root, split) = train();
    let loader = Loader::new(&split, LoaderConfig { repeat: true, ..small() }).unwrap();
    let endless: Vec<_> = loader.epoch(5).take(7).collect::<Result<_, _>>().unwrap();
    let mut expected = batches(&split, small(), 5);
    expected.extend(batches(&split, small(), 6));
    expected.push(batches(&split, small(), 7).remove(0));
    assert!(endless == expected);
}

/// The files of later batches are deleted while the first is in hand: what was decoded ahead
/// arrives, and the first batch beyond it fails.
#[test]
fn no_more_batches_than_asked_for_are_decoded_ahead() {
    for prefetch in [0, 1, 3] {
        let (_root, split) = train();
        let config = LoaderConfig { batch_size: 1, shuffle: false, prefetch, ..small() };
        let mut epoch = Loader::new(&split, config).unwrap().epoch(0);
        assert!(epoch.next().unwrap().is_ok());
        for sample in &split.samples()[1 + prefetch..] {
            std::fs::remove_file(&sample.path).unwrap();
        }
        for _ in 0..prefetch {
            assert!(epoch.next().unwrap().is_ok());
        }
        assert!(matches!(epoch.next(), Some(Err(DataError::BadImage { .. }))));
    }
}

#[test]
fn waiting_is_counted() {
    let (_root, split) = train();
    let mut epoch = Loader::new(&split, LoaderConfig { prefetch: 0, ..small() }).unwrap().epoch(0);
    assert_eq!(epoch.wait(), Duration::ZERO);
    epoch.next().unwrap().unwrap();
    let first = epoch.wait();
    assert!(first > Duration::ZERO);
    epoch.next().unwrap().unwrap();
    assert!(epoch.wait() > first);
}

#[test]
fn dropping_an_epoch_leaves_the_loader_usable() {
    let (_root, split) = train();
    let loader = Loader::new(&split, LoaderConfig { prefetch: 3, ..small() }).unwrap();
    for epoch in 0..20 {
        drop(loader.epoch(epoch));
    }
    assert!(loader.epoch(0).collect::<Result<Vec<_>, _>>().unwrap() == batches(&split, small(), 0));
}

#[test]
fn cached_pictures_need_their_files_no_more() {
    let (root, split) = train();
    let config = LoaderConfig {
        cache: Cache::Memory,
        augmentation: vec![Augmentation::ROTATION_180],
        ..small()
    };
    let loader = Loader::new(&split, config.clone()).unwrap();
    assert_eq!(loader.cache_bytes(), 12 * 10 * 14 * 3);
    let expected = batches(&split, LoaderConfig { cache: Cache::Off, ..config }, 1);
    loader.epoch(0).collect::<Result<Vec<_>, _>>().unwrap();
    drop(root);
    assert!(loader.epoch(1).collect::<Result<Vec<_>, _>>().unwrap() == expected);
}

#[test]
fn loaders_and_epochs_go_to_other_threads() {
    fn sent<T: Send + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    sent::<Epoch>();
    shared::<Loader>();
    shared::<Batch>();
    // An error that is both fits into `anyhow::Error` and `Box<dyn Error + Send + Sync>`.
    shared::<DataError>();
}

#[test]
fn settings_outside_their_range_are_refused_by_name() {
    let (_root, split) = train();
    let flip = |p| vec![Augmentation::HorizontalFlip { p }];
    let cases = [
        (
            LoaderConfig { batch_size: 0, ..small() },
            "expected batch_size to be at least 1, received 0",
        ),
        (
            LoaderConfig { height: 0, ..small() },
            "expected height to be 1 to 16384 pixels, received 0",
        ),
        (
            LoaderConfig { augmentation: flip(1.5), ..small() },
            "expected HorizontalFlip { p } to be 0 to 1, received 1.5",
        ),
        (
            LoaderConfig {
                preprocessing: Preprocessing::Custom(vec![PixelStep::Normalize {
                    mean: [0.0; 3],
                    std: [1.0, 0.0, 1.0],
                }]),
                ..small()
            },
            "expected Normalize { std } to be finite and not 0, received [1.0, 0.0, 1.0]",
        ),
    ];
    for (config, message) in cases {
        assert_eq!(Loader::new(&split, config).unwrap_err().to_string(), message);
    }
    let empty = Split::new("nothing", Vec::new(), Vec::new()).unwrap();
    let error = Loader::new(&empty, small()).unwrap_err();
    assert_eq!(error.to_string(), "expected samples in the split \"nothing\", found none");
}

/// A record keeps the settings as JSON; settings that a record does not have get their defaults.
#[test]
fn settings_survive_json() {
    let config = LoaderConfig {
        preprocessing: Preprocessing::Caffe,
        augmentation: vec![Augmentation::ROTATION_180],
        ..small()
    };
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<LoaderConfig>(&json).unwrap(), config);
    assert_eq!(serde_json::from_str::<LoaderConfig>("{}").unwrap(), LoaderConfig::default());
}

#[test]
fn an_epoch_that_goes_on_in_its_middle_gives_what_is_left_of_it() {
    let (_root, split) = train();
    let config = LoaderConfig { augmentation: vec![Augmentation::FLIP], ..small() };
    let loader = Loader::new(&split, config.clone()).unwrap();
    let whole = batches(&split, config.clone(), 4);
    for done in 0..5 {
        let rest: Vec<Batch> = loader.epoch_from(4, done).collect::<Result<_, _>>().unwrap();
        assert_eq!(rest, whole[done.min(3)..]);
    }
    // In a stream the next epoch follows.
    let stream = Loader::new(&split, LoaderConfig { repeat: true, ..config.clone() }).unwrap();
    let next: Vec<Batch> = stream.epoch_from(4, 2).take(2).collect::<Result<_, _>>().unwrap();
    assert_eq!(next, [whole[2].clone(), batches(&split, config, 5)[0].clone()]);
}
