//! The interrupt flag belongs to the process, so this test has a process of its own.

use benchbook::Error;
use benchbook::image::RgbImage;
use benchbook::prelude::{Build, Fit, ImageFolder, Model, Vgg11};
use benchbook::train::{Callback, Event, Events, Outcome};

/// Interrupts after the first step of the second epoch.
struct Impatient(Events);

impl Callback for Impatient {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Step { epoch: 2, step: 1, .. }) {
            benchbook::interrupt::request();
        }
        self.0.event(event);
    }
}

#[test]
fn an_interrupted_training_keeps_model_and_history_for_the_next_cell() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "validation"] {
        for class in ["cat", "dog"] {
            let path = folder.path().join(part).join(class);
            std::fs::create_dir_all(&path).unwrap();
            for index in 0..4 {
                RgbImage::new(40, 40).save(path.join(format!("{index}.jpg"))).unwrap();
            }
        }
    }
    let data = ImageFolder::open(folder.path()).unwrap();
    let net = Vgg11 { size: 32, ..Vgg11::new(data.classes()) };
    let mut model = Model::build(net, &data, Build::default()).unwrap();
    let fit = Fit { epochs: 3, batch_size: 4, learning_rate: Some(1e-5), ..Fit::default() };
    let mut observer = Impatient(Events::default());
    let error = model.fit_with(&data, fit.clone(), &mut observer).unwrap_err();
    assert!(matches!(error, Error::Interrupted(_)), "{error}");
    assert_eq!(observer.0.0.last(), Some(&Event::End(Outcome::Interrupted)));
    let history = model.history();
    assert_eq!((history.epochs.len(), history.steps), (1, 3));

    let history = model.fit_with(&data, Fit { epochs: 1, ..fit }, &mut Events::default()).unwrap();
    assert_eq!(history.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [1, 2]);
    model.evaluate(&data.validation()).unwrap();
}
