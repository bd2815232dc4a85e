//! Arrays in memory and sources of one's own, as datasets.

use std::collections::HashSet;
use std::sync::Arc;

use benchbook_data::{
    Arrays, Augmentation, Batch, Cache, Crop, DataError, Dataset, ImageFolder, Loader,
    LoaderConfig, OnBadImage, SampleFault, Samples, Split, digest,
};
use benchbook_display::Rich;

use crate::pictures::{bytes, class_folders};

/// `count` samples of shape `[1, 2, 3]` of three classes in turn; value `v` of sample `i` is `10 i + v`.
fn small(count: usize) -> (Vec<f32>, Vec<i64>) {
    let values = (0..count).flat_map(|i| (0..6).map(move |v| (10 * i + v) as f32)).collect();
    (values, (0..count).map(|i| (i % 3) as i64).collect())
}

const NAMES: [&str; 3] = ["circle", "square", "star"];

fn arrays(count: usize) -> Arrays {
    let (values, labels) = small(count);
    Arrays::new(values, [1, 2, 3], labels, NAMES).unwrap()
}

fn batches(split: &Split, config: LoaderConfig, epoch: u64) -> Vec<Batch> {
    Loader::new(split, config).unwrap().epoch(epoch).collect::<Result<_, _>>().unwrap()
}

fn fours() -> LoaderConfig {
    LoaderConfig { batch_size: 4, ..LoaderConfig::default() }
}

fn refused(
    values: Vec<f32>,
    shape: impl Into<Vec<usize>>,
    labels: Vec<i64>,
    names: &[&str],
) -> String {
    Arrays::new(values, shape, labels, names.iter().copied()).unwrap_err().to_string()
}

#[test]
fn each_class_is_divided_alike_and_by_a_seed() {
    let data = arrays(60).divide(0.25, 1).unwrap();
    assert_eq!((data.classes(), data.class_names()), (3, &NAMES.map(String::from)[..]));
    assert_eq!(data.train().counts(), [15, 15, 15]);
    assert_eq!(data.validation().counts(), [5, 5, 5]);
    assert_eq!(data.divided(), Some((0.25, 1)));
    assert!(data.test().is_empty());
    let rows = |split: Split| -> Vec<String> {
        (0..split.len()).map(|index| split.sample_name(index)).collect()
    };
    let all: HashSet<_> = rows(data.train()).into_iter().chain(rows(data.validation())).collect();
    assert_eq!(all.len(), 60);
    let again = |seed| rows(arrays(60).divide(0.25, seed).unwrap().validation());
    assert_eq!(again(1), rows(data.validation()));
    assert_ne!(again(2), rows(data.validation()));
    // 60 × 5,348 / 25,000 = 12.8, of which each class has a third: 4.
    assert_eq!(arrays(60).validation().counts(), [4, 4, 4]);
}

#[test]
fn batches_have_the_shape_the_values_and_the_labels_of_the_arrays() {
    let data = arrays(30);
    let split = data.train();
    let config = LoaderConfig { seed: 5, ..fours() };
    let found = batches(&split, config.clone(), 2);
    let mut seen = HashSet::new();
    for batch in &found {
        assert_eq!(batch.shape(), [batch.len(), 1, 2, 3]);
        for (at, (&index, &label)) in batch.indices.iter().zip(&batch.labels).enumerate() {
            assert_eq!(split.label(index), Some(label as usize));
            let row: usize = split.sample_name(index).rsplit(' ').next().unwrap().parse().unwrap();
            let expected: Vec<f32> = (0..6).map(|v| (10 * row + v) as f32).collect();
            assert_eq!(batch.values[at * 6..][..6], expected);
            assert!(seen.insert(index));
        }
    }
    assert_eq!(seen.len(), split.len());
    assert!(found == batches(&split, config.clone(), 2));
    assert!(found != batches(&split, config.clone(), 3));
    let loader = Loader::new(&split, config.clone()).unwrap();
    let order: Vec<_> = found.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_eq!(loader.order(2), order);
    assert_eq!((loader.sample_shape(), loader.cache_bytes()), (&[1, 2, 3][..], 0));
    let rest: Vec<_> = loader.epoch_from(2, 3).collect::<Result<_, _>>().unwrap();
    assert!(rest == found[3..]);
    let stream = Loader::new(&split, LoaderConfig { repeat: true, ..config.clone() }).unwrap();
    let endless: Vec<_> = stream.epoch(2).take(8).collect::<Result<_, _>>().unwrap();
    let next = batches(&split, config, 3);
    assert!(endless[..found.len()] == found && endless[found.len()..] == next[..8 - found.len()]);
}

#[test]
fn samples_may_be_rows_of_features() {
    let values: Vec<f32> = (0..32).map(|value| value as f32 / 7.0).collect();
    let labels = vec![0, 1, 0, 1, 0, 1, 0, 1];
    let data = Arrays::new(values.clone(), [4], labels, ["no", "yes"]).unwrap();
    assert_eq!(data.shape(), [4]);
    let in_order = LoaderConfig { shuffle: false, ..LoaderConfig::default() };
    let batch = &batches(&data.train(), in_order, 0)[0];
    assert_eq!(batch.shape(), [data.train().len(), 4]);
    assert!(data.train().picture(0).is_none());
    assert_eq!(batch.values[..4], values[..4]);
}

#[test]
fn parts_may_be_given_and_test_may_lack_labels() {
    let (values, labels) = small(6);
    let data = Arrays::from_parts([2, 3], NAMES, small(9), (values.clone(), labels)).unwrap();
    let data = data.with_test(values, Vec::new()).unwrap();
    let sizes = [data.train(), data.validation(), data.test()].map(|split| split.len());
    assert_eq!((sizes, data.divided()), ([9, 6, 6], None));
    assert!(data.validation().is_labelled() && !data.test().is_labelled());
    assert!(batches(&data.test(), fours(), 0)[0].labels.is_empty());
    assert_eq!(data.validation().sample_name(2), "validation sample 2");
    let again = data.divide(0.4, 0).unwrap();
    assert_eq!([again.train().len(), again.validation().len()], [6, 3]);
}

#[test]
fn what_does_not_fit_is_refused_with_its_index() {
    let (values, labels) = small(9);
    let fits = |values: &[f32], labels: &[i64]| {
        refused(values.to_vec(), [1, 2, 3], labels.to_vec(), &NAMES)
    };
    assert_eq!(
        fits(&values, &labels[..8]),
        "arrays: 54 values are 9 samples of shape [1, 2, 3] (6 values each), but there are 8 labels"
    );
    assert_eq!(
        fits(&values[..50], &labels[..8]),
        "arrays: 50 values are 8 (and 2 values more) samples of shape [1, 2, 3] (6 values each), but \
         there are 8 labels"
    );
    for (label, found) in [(3, "3"), (-1, "-1"), (i64::MIN, "-9223372036854775808")] {
        let mut labels = labels.clone();
        labels[7] = label;
        let expected = format!(
            "label of sample 7 must be at least 0 and below the number of classes, 3 (got {found})"
        );
        assert_eq!(fits(&values, &labels), expected);
    }
    for (value, found) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-f32::INFINITY, "-inf")] {
        let mut values = values.clone();
        values[6 * 5 + 4] = value;
        let expected = format!("arrays: value 4 of sample 5 must be finite (got {found})");
        assert_eq!(fits(&values, &labels), expected);
    }
    let shape =
        "shape of a sample must be [channels, height, width] or [features], each at least 1";
    let none: &[usize] = &[];
    assert_eq!(refused(vec![], [0, 2], vec![], &NAMES), format!("{shape} (got [0, 2])"));
    assert_eq!(refused(vec![], none, vec![], &NAMES), format!("{shape} (got [])"));
    let huge = [usize::MAX, 2];
    assert_eq!(refused(vec![], huge, vec![], &NAMES), format!("{shape} (got {huge:?})"));
    let names = "class names must be at least two, each different";
    assert_eq!(
        refused(values.clone(), [6], vec![0; 9], &["one"]),
        format!("{names} (got [\"one\"])")
    );
    assert_eq!(
        refused(values.clone(), [6], vec![0; 9], &["a", "a"]),
        format!("{names} (got [\"a\", \"a\"])")
    );
    assert_eq!(
        refused(values, [6], vec![0, 1, 1, 1, 1, 1, 1, 1, 1], &["a", "b"]),
        "arrays: class \"a\" has too few samples to divide into training and validation: at least 2, \
         got 1"
    );
    let (values, labels) = small(3);
    let wrong = (values.clone(), vec![0, 1, 5]);
    let error = Arrays::from_parts([6], NAMES, (values, labels), wrong).unwrap_err();
    let expected = "label of validation sample 2 must be at least 0 and below the number of classes, 3 (got 5)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_only_image_files_can_have_is_refused_and_a_cache_has_nothing_to_do() {
    let split = arrays(30).train();
    let flips = LoaderConfig { augmentation: vec![Augmentation::FLIP], ..fours() };
    let error = Loader::new(&split, flips).unwrap_err().to_string();
    assert!(error.contains("augmentation must be empty for samples that are no image"), "{error}");
    let crops = LoaderConfig { crop: Crop::RANDOM_RESIZED, ..fours() };
    assert!(matches!(Loader::new(&split, crops), Err(DataError::Setting { name: "crop", .. })));
    for cache in [Cache::Memory, Cache::Disk("/nonexistent/folder".into())] {
        let loader = Loader::new(&split, LoaderConfig { cache, ..fours() }).unwrap();
        let found: Vec<_> = loader.epoch(0).collect::<Result<_, _>>().unwrap();
        assert!(found == batches(&split, fours(), 0));
        assert_eq!(loader.cached().pictures, 0);
    }
}

/// What any training does with any dataset: the number of samples and the sum of the labels of one
/// pass, for training and validation.
fn pass(data: &dyn Dataset) -> [(usize, i64); 2] {
    [data.train(), data.validation()].map(|split| {
        let config = LoaderConfig { height: 8, width: 8, threads: 2, ..fours() };
        let found = batches(&split, config, 0);
        let labels = found.iter().flat_map(|batch| &batch.labels).sum();
        (found.iter().map(Batch::len).sum(), labels)
    })
}

#[test]
fn folders_arrays_and_pairs_of_splits_are_datasets() {
    let root = class_folders();
    let folder = ImageFolder::open(root.path()).unwrap();
    let pair = (folder.validation(), folder.train());
    let arrays = arrays(30).divide(0.2, 0).unwrap();
    assert_eq!(pass(&folder), [(12, 6), (4, 2)]);
    assert_eq!(pass(&pair), [(4, 2), (12, 6)]);
    assert_eq!(pass(&arrays), [(24, 24), (6, 6)]);
    let boxed: Vec<Box<dyn Dataset>> = vec![Box::new(folder), Box::new(arrays), Box::new(pair)];
    let classes: Vec<_> = boxed.iter().map(|data| data.classes()).collect();
    assert_eq!(classes, [2, 3, 2]);
    assert_eq!(pass(&boxed[1]), [(24, 24), (6, 6)]);
    assert_eq!(boxed[1].class_names(), NAMES);
    assert_eq!(boxed[0].name(), root.path().file_name().unwrap().to_str().unwrap());
    let tests: Vec<_> = boxed.iter().map(|data| data.test().len()).collect();
    assert_eq!(tests, [3, 0, 0]);
    let shared: Arc<dyn Dataset> = Arc::from(boxed.into_iter().next().unwrap());
    assert_eq!(pass(&shared), [(12, 6), (4, 2)]);
}

/// Samples that are computed, of which some cannot be.
struct Computed {
    bad: usize,
}

impl Samples for Computed {
    fn len(&self) -> usize {
        10
    }

    fn shape(&self) -> &[usize] {
        &[2]
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(index % 2)
    }

    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), SampleFault> {
        if index == self.bad {
            return Err("the sensor was off".into());
        }
        out.copy_from_slice(&[index as f32, -(index as f32)]);
        Ok(())
    }
}

fn computed(bad: usize) -> Split {
    let classes = vec!["even".into(), "odd".into()];
    Split::from_samples("own", classes, Arc::new(Computed { bad })).unwrap()
}

#[test]
fn a_source_of_ones_own_is_loaded_on_threads_and_divided() {
    let split = computed(99);
    for threads in [1, 3] {
        let config = LoaderConfig { threads, shuffle: false, ..fours() };
        let found = batches(&split, config, 0);
        let values: Vec<f32> = found.iter().flat_map(|batch| batch.values.clone()).collect();
        let expected: Vec<f32> = (0..10).flat_map(|i| [i as f32, -(i as f32)]).collect();
        assert_eq!(values, expected);
    }
    let (train, validation) = split.divide(0.4, 0).unwrap();
    assert_eq!((train.counts(), validation.counts()), (vec![3, 3], vec![2, 2]));
    assert_eq!(split.subset(2, 0).counts(), [2, 2]);
    assert!(split.same_samples(&split.clone()) && !split.same_samples(&train));
    let error = Split::from_samples("own", vec!["even".into()], Arc::new(Computed { bad: 99 }))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "label of sample 1 must be at least 0 and below the number of classes, 1 (got 1)"
    );
}

#[test]
fn a_sample_that_cannot_be_read_is_named_or_skipped() {
    let split = computed(6);
    let in_order = LoaderConfig { shuffle: false, ..fours() };
    let mut epoch = Loader::new(&split, in_order.clone()).unwrap().epoch(0);
    assert!(epoch.next().unwrap().is_ok());
    let error = epoch.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cannot read sample 6: the sensor was off");
    let skipping = LoaderConfig { on_bad_image: OnBadImage::Skip, ..in_order };
    let loader = Loader::new(&split, skipping).unwrap();
    let sizes: Vec<_> = loader.epoch(0).map(|batch| batch.unwrap().len()).collect();
    assert_eq!(sizes, [4, 3, 2]);
    let [skipped] = &loader.skipped()[..] else { panic!("{:?}", loader.skipped()) };
    assert_eq!((skipped.index, skipped.path.to_str()), (6, Some("sample 6")));
    assert_eq!(skipped.reason, "the sensor was off");
}

#[test]
fn the_digest_follows_values_labels_and_division() {
    let splits = |data: &Arrays| [data.train(), data.validation()];
    let base = digest(&splits(&arrays(30)));
    assert_eq!((base.len(), &base), (64, &digest(&splits(&arrays(30)))));
    let (mut values, labels) = small(30);
    values[17] += 1.0;
    let other = Arrays::new(values, [1, 2, 3], labels, NAMES).unwrap();
    let (values, mut labels) = small(30);
    labels.swap(0, 1);
    let swapped = Arrays::new(values, [1, 2, 3], labels, NAMES).unwrap();
    let divided = arrays(30).divide(0.5, 9).unwrap();
    let all: HashSet<_> =
        [other, swapped, divided].iter().map(|data| digest(&splits(data))).collect();
    assert!(all.len() == 3 && !all.contains(&base));
}

#[test]
fn the_digest_of_files_follows_names_and_contents() {
    let root = tempfile::tempdir().unwrap();
    let of = |content: &[u8], name: &str| {
        let folder = root.path().join("images");
        let _ = std::fs::remove_dir_all(&folder);
        bytes(&folder.join(name), content);
        bytes(&folder.join("dog/2.jpg"), b"seven b");
        digest(&[Split::open(&folder).unwrap()])
    };
    let base = of(b"seven b", "cat/1.jpg");
    assert_eq!(base, of(b"seven b", "cat/1.jpg"));
    assert_ne!(base, of(b"seven c", "cat/1.jpg"), "one byte of the same size");
    assert_ne!(base, of(b"seven b", "cat/3.jpg"));
}

#[test]
fn arrays_show_their_shape_counts_and_images() {
    let data = arrays(30).divide(0.2, 3).unwrap();
    let expected = "arrays of shape [1, 2, 3]\n\
                    split       circle  square  star  total\n\
                    train            8       8     8     24\n\
                    validation       2       2     2      6\n\
                    validation is 20.0 % of each class, drawn with seed 3";
    assert_eq!(data.to_string(), expected);
    let bundle = data.bundle();
    let html = bundle.data["text/html"].as_str().unwrap();
    assert_eq!(html.matches("<img ").count(), 12);
    assert!(bundle.plain().starts_with(expected), "{}", bundle.plain());
    let table = Arrays::new(vec![0.5; 8], [2], vec![0, 1, 0, 1], ["a", "b"]).unwrap();
    assert!(!table.bundle().data["text/html"].as_str().unwrap().contains("<img "));
    let loader = Loader::new(&data.train(), fours()).unwrap();
    let expected =
        "train: 24 samples (circle 8, square 8, star 8) in 6 batches of 4, shape [1, 2, 3]";
    assert_eq!(loader.to_string(), expected);
    let picture = data.train().picture(0).unwrap().unwrap();
    assert_eq!((picture.width, picture.height), (3, 2));
    // The six values of a sample rise in equal steps from black to white.
    assert_eq!(picture.rgb[..6], [0, 0, 0, 51, 51, 51]);
    assert_eq!(picture.rgb[15..], [255, 255, 255]);
}
