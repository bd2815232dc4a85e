//! What a loader hands out, in which order, and how far it works ahead.

use std::collections::HashSet;
use std::time::Duration;

use benchbook_data::{
    Augmentation, Batch, Cache, Crop, DataError, Epoch, Fill, Loader, LoaderConfig, OnBadImage,
    PixelStep, Preprocessing, Rank, Split,
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
        assert_eq!(batch.values.len(), batch.shape().iter().product::<usize>());
        assert!(batch.values.iter().all(|value| (0.0..=1.0).contains(value)));
        for (&index, &label) in batch.indices.iter().zip(&batch.labels) {
            assert_eq!(split.files()[index].label, Some(label as usize));
        }
    }
    let all: HashSet<_> = indices(&batches).into_iter().collect();
    assert_eq!(all, (0..12).collect());
}

/// Red grows from left to right and green from top to bottom in the test images, so this holds
/// only if values are planes of `[height, width]` in RGB order.
#[test]
fn pixels_are_planes_of_red_green_and_blue() {
    let (_root, split) = train();
    let config = LoaderConfig { shuffle: false, batch_size: 1, ..small() };
    let batch = &batches(&split, config, 0)[0];
    let (red, rest) = batch.values.split_at(140);
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
        crop: Crop::RANDOM_RESIZED,
        augmentation: vec![
            Augmentation::ROTATION_180,
            Augmentation::Shift { height: 0.2, width: 0.1, fill: Fill::Reflect },
            Augmentation::Zoom { low: 0.8, high: 1.2, fill: Fill::Wrap },
            Augmentation::FLIP,
            Augmentation::VerticalFlip { p: 0.5 },
            Augmentation::RandomRotation { degrees: 20.0, fill: [0.0; 3] },
        ],
        ..small()
    };
    let expected = batches(&split, config(1, 3, 0), 2);
    for (threads, prefetch) in [(1, 3), (2, 1), (4, 8), (4, 0)] {
        assert!(batches(&split, config(threads, 3, prefetch), 2) == expected);
    }
    assert_ne!(indices(&batches(&split, config(4, 4, 2), 2)), indices(&expected));
    assert_ne!(indices(&batches(&split, config(4, 3, 2), 1)), indices(&expected));
}

/// Batches of five, and a last batch of two, of which one of the three ranks has an empty share.
#[test]
fn ranks_make_parts_of_the_batches_of_one_process() {
    let (_root, split) = train();
    let whole = batches(&split, small(), 1);
    let parts = [0, 1, 2].map(|number| {
        let rank = Rank { number, size: 3 };
        batches(&split, LoaderConfig { rank, ..small() }, 1)
    });
    for (at, batch) in whole.iter().enumerate() {
        let values: Vec<f32> = parts.iter().flat_map(|part| part[at].values.clone()).collect();
        assert!(values == batch.values, "batch {at}");
        for part in &parts {
            assert_eq!((&part[at].labels, &part[at].indices), (&batch.labels, &batch.indices));
        }
    }
    assert!(parts[0].iter().any(|batch| batch.values.is_empty()), "a rank without an image");
    let skips = LoaderConfig {
        rank: Rank { number: 0, size: 2 },
        on_bad_image: OnBadImage::Skip,
        ..small()
    };
    let refused = Loader::new(&split, skips).unwrap_err().to_string();
    assert!(refused.contains("on_bad_image"), "{refused}");
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
        for sample in &split.files()[1 + prefetch..] {
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
        (LoaderConfig { batch_size: 0, ..small() }, "batch_size must be at least 1 (got 0)"),
        (LoaderConfig { height: 0, ..small() }, "height must be 1 to 16384 pixels (got 0)"),
        (
            LoaderConfig { augmentation: flip(1.5), ..small() },
            "HorizontalFlip { p } must be 0 to 1 (got 1.5)",
        ),
        (
            LoaderConfig {
                preprocessing: Preprocessing::Custom(vec![PixelStep::Normalize {
                    mean: [0.0; 3],
                    std: [1.0, 0.0, 1.0],
                }]),
                ..small()
            },
            "Normalize { std } must be finite and not 0 (got [1.0, 0.0, 1.0])",
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

#[test]
fn what_is_drawn_can_be_asked_for_and_differs_from_epoch_to_epoch() {
    let (_root, split) = train();
    let config = LoaderConfig {
        crop: Crop::RANDOM_RESIZED,
        augmentation: vec![Augmentation::ROTATION_180],
        ..small()
    };
    let loader = Loader::new(&split, config).unwrap();
    let drawn = loader.drawn(2, 5, (30, 40));
    assert_eq!(drawn, loader.drawn(2, 5, (30, 40)));
    assert_eq!(drawn.changes.len(), 1);
    assert_ne!(drawn.window, loader.drawn(3, 5, (30, 40)).window);
    assert_ne!(drawn.changes, loader.drawn(2, 6, (30, 40)).changes);
}

#[test]
fn what_is_outside_its_range_is_refused() {
    let (_root, split) = train();
    let fill = Fill::Nearest;
    for augmentation in [
        Augmentation::VerticalFlip { p: 1.5 },
        Augmentation::Shift { height: f64::NAN, width: 0.0, fill },
        Augmentation::Zoom { low: 0.0, high: 1.0, fill },
        Augmentation::Zoom { low: 1.2, high: 0.8, fill },
        Augmentation::RandomRotation { degrees: 181.0, fill: [0.0; 3] },
    ] {
        let config = LoaderConfig { augmentation: vec![augmentation], ..small() };
        let error = Loader::new(&split, config).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{augmentation}: {error}");
    }
    for crop in [
        Crop::Center { shorter: 13 },
        Crop::RandomResized { scale: [0.0, 1.0], ratio: [1.0, 1.0] },
        Crop::RandomResized { scale: [0.5, 0.1], ratio: [1.0, 1.0] },
        Crop::RandomResized { scale: [0.1, 1.0], ratio: [1.0, f64::INFINITY] },
    ] {
        let error = Loader::new(&split, LoaderConfig { crop, ..small() }).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{crop:?}: {error}");
    }
}

#[test]
fn memory_that_is_given_back_is_used_again_and_changes_nothing() {
    let (_root, split) = train();
    let loader = Loader::new(&split, small()).unwrap();
    let expected = batches(&split, small(), 1);
    for batch in loader.epoch(0) {
        let mut batch = batch.unwrap();
        batch.values.fill(f32::NAN);
        loader.recycle(batch);
    }
    assert!(loader.epoch(1).collect::<Result<Vec<_>, _>>().unwrap() == expected);
}

#[test]
fn the_stages_of_an_epoch_are_timed() {
    let (_root, split) = train();
    let config = LoaderConfig { cache: Cache::Memory, ..small() };
    let loader = Loader::new(&split, config).unwrap();
    let mut epoch = loader.epoch(0);
    epoch.by_ref().for_each(|batch| drop(batch.unwrap()));
    let times = epoch.times();
    assert_eq!((times.decoded, times.cached), (12, 0));
    for stage in [times.read, times.decode, times.resize, times.change, times.cache] {
        assert!(stage > Duration::ZERO, "{times:?}");
    }
    let mut epoch = loader.epoch(1);
    epoch.by_ref().for_each(|batch| drop(batch.unwrap()));
    assert_eq!((epoch.times().decoded, epoch.times().cached), (0, 12));
    assert_eq!(epoch.times().decode, Duration::ZERO);
}
