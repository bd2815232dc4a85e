//! What makes a training easier to watch and to judge.

use crate::pictures::{Pictures, build, small_model, small_net};
use benchbook::chart::Chart;
use benchbook::prelude::{Build, Builtin, Fit, Model, Rich, Weights};
use benchbook::train::{EpochMetrics, Events, Silent};
use std::ops::ControlFlow;

#[test]
fn a_callback_of_ones_own_sees_each_epoch_and_can_end_the_training() {
    let pictures = Pictures::new(4, 2);
    let data = pictures.open();
    let mut model = small_model();
    let mut seen = Vec::new();
    let own = |epoch: &EpochMetrics| {
        seen.push((epoch.epoch, epoch.val_accuracy.is_some()));
        if epoch.epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let fit = Fit { epochs: 5, batch_size: 8, ..Fit::default() };
    let mut both = (Events::default(), own);
    model.fit_with(&data, fit, &mut both).unwrap();
    assert!(!both.0.0.is_empty());
    assert_eq!(seen, [(1, true), (2, true)]);
    assert_eq!(model.history().epochs.len(), 2);
}

#[test]
fn predictions_give_matrix_interval_and_the_pictures_worth_a_look() {
    let pictures = Pictures::new(4, 5);
    let data = pictures.open();
    let mut model = small_model();
    let mut predictions = model.predict(&data.validation()).unwrap();
    // Known by hand: of five cats one is taken for a dog, of five dogs two for cats.
    for (at, prediction) in predictions.predictions.iter_mut().enumerate() {
        prediction.truth = Some(usize::from(at >= 5));
        let wrong = [1, 6, 8].contains(&at);
        prediction.class = usize::from((at >= 5) != wrong);
        let probability = 0.5 + 0.05 * at as f32;
        prediction.probabilities = vec![1.0 - probability; 2];
        prediction.probabilities[prediction.class] = probability;
    }
    let matrix = predictions.confusion_matrix().unwrap();
    assert_eq!(matrix.data().counts, [[4, 1], [2, 3]]);
    // Wilson's interval of 7 of 10: 0.397 to 0.892.
    assert!(
        matrix.data().subtitle.contains("accuracy 0.700 (95%: 0.397 to 0.892)"),
        "{:?}",
        matrix.data()
    );
    assert!(matrix.svg().contains("<svg"));
    let chart = predictions.accuracy_chart().unwrap();
    assert_eq!(chart.data().categories, ["all", "cat", "dog"]);
    let bars = &chart.data().series[0];
    // Wilson's intervals of 7 of 10, 4 of 5 and 3 of 5.
    let expected = [(0.7, 0.397, 0.892), (0.8, 0.376, 0.964), (0.6, 0.231, 0.882)];
    for (at, (value, low, high)) in expected.into_iter().enumerate() {
        let ends =
            [bars.values[at], bars.values[at] - bars.below[at], bars.values[at] + bars.error[at]];
        for (found, expected) in ends.into_iter().zip([value, low, high]) {
            assert!((found - expected).abs() < 5e-4, "{:?}", chart.data());
        }
    }
    let captions = |grid: benchbook::chart::PictureGrid| -> Vec<String> {
        grid.pictures().iter().map(|picture| picture.caption.clone()).collect()
    };
    let wrong = predictions.most_wrong(2).unwrap();
    assert!(wrong.title().contains("3 wrong"), "{}", wrong.title());
    let wrong = captions(wrong);
    assert!(wrong[0].starts_with("cat 90%, is dog: dog."), "{wrong:?}");
    assert!(wrong[1].starts_with("cat 80%, is dog: dog."), "{wrong:?}");
    let unsure = captions(predictions.most_unsure(3).unwrap());
    assert_eq!([&unsure[0], &unsure[2]], ["cat 50%", "cat 60%"]);
    assert!(unsure[1].starts_with("dog 55%, is cat: cat."), "{unsure:?}");
    for prediction in &mut predictions.predictions {
        prediction.truth = None;
    }
    assert!(predictions.most_wrong(2).is_err());
    assert!(predictions.accuracy_chart().is_err());

    let evaluation = model.evaluate(&data.validation()).unwrap();
    let text = evaluation.bundle().plain().to_owned();
    assert!(text.contains("accuracy") && text.contains("95% interval"), "{text}");
}

#[test]
fn a_callback_that_cannot_write_names_its_file_and_the_model_stays() {
    let pictures = Pictures::new(4, 2);
    let data = pictures.open();
    let mut model = small_model();
    for callback in [
        Builtin::csv_log("/proc/none/log.csv"),
        Builtin::checkpoint("/proc/none/last.safetensors"),
        Builtin::best_checkpoint("/proc/none/best.safetensors"),
    ] {
        let before = model.history().epochs.len();
        let path = callback.path().unwrap().display().to_string();
        let fit = Fit { callbacks: vec![callback], ..Fit::default() };
        let wrong = model.fit_with(&data, fit, &mut Silent).unwrap_err().to_string();
        assert!(wrong.contains(&path), "{wrong}");
        assert_eq!(model.history().epochs.len(), before + 1, "the epoch itself is kept");
    }
}

#[test]
fn weights_of_another_publisher_or_format_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "These are not the weights you are looking for.").unwrap();
    for (path, expected) in [
        (text.clone(), "a file of none of these formats"),
        ("none.pth".into(), "cannot read the weights none.pth"),
    ] {
        let settings = Build { weights: Weights::File(path.clone()), ..build() };
        let wrong = Model::new(small_net(), settings).unwrap_err().to_string();
        assert!(wrong.contains(expected), "{wrong}");
        let wrong = Weights::from_file(&path).unwrap_err().to_string();
        assert!(wrong.contains(expected), "{wrong}");
    }
}
