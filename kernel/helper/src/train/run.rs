//! The training loop.

use super::feed::{FeatureStore, Feed};
use super::metric::{Accuracy, Loss, Metric, ScoredBatch};
use super::{Builtin, Callback, Checkpoint, CsvLog, EpochMetrics, Event, Fit, History};
use crate::backend::{Network, Parameters, Step, StepResult};
use crate::error::Error;
use crate::files::write_atomically;
use crate::interrupt;
use benchbook_data::{Cache, Loader, Skipped, Split};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The metrics of a pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    loss: Loss,
    accuracy: Accuracy,
    pub(crate) images: usize,
}

impl Sums {
    /// Adds a batch; returns how many of its images were classified correctly.
    fn add(&mut self, result: &StepResult, labels: &[i64]) -> usize {
        let batch = ScoredBatch { loss: result.loss, logits: &result.logits, labels };
        let before = self.accuracy.correct;
        self.loss.update(&batch);
        self.accuracy.update(&batch);
        self.images += labels.len();
        self.accuracy.correct - before
    }

    pub(crate) fn loss(&self) -> f64 {
        self.loss.value()
    }

    pub(crate) fn accuracy(&self) -> f64 {
        self.accuracy.value()
    }

    pub(crate) fn correct(&self) -> usize {
        self.accuracy.correct
    }
}

/// The start of a call of `fit`. With it, the weights, the optimiser's state and the history, another process
/// resumes the training exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Epochs of the model before the call.
    pub(crate) first: usize,
    /// The call's first pass over the images.
    pub(crate) pass: u64,
}

/// The content of a callback's file beside weights and history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// No more.
    Weights,
    /// The state that a resumed training needs.
    Everything,
}

/// The state of a model for a file.
pub(crate) struct Snapshot<'a> {
    pub(crate) network: &'a dyn Network,
    pub(crate) history: &'a History,
    pub(crate) best: &'a BTreeMap<PathBuf, f64>,
    pub(crate) contents: Contents,
}

/// Writes a snapshot to a file.
type Save<'a> = &'a dyn Fn(&Snapshot<'_>, &Path) -> Result<(), Error>;

/// A running training: the parts of the model that it changes, and its data.
pub struct Training<'a> {
    pub(crate) network: &'a mut dyn Network,
    pub(crate) history: &'a mut History,
    /// The best value that each checkpoint file holds.
    pub(crate) best: &'a mut BTreeMap<PathBuf, f64>,
    /// The best epoch and its weights, for early stopping.
    pub(crate) best_weights: &'a mut Option<(usize, Parameters)>,
    /// The features of earlier trainings.
    pub(crate) stores: &'a mut Vec<FeatureStore>,
    pub(crate) train: Loader,
    pub(crate) validation: Loader,
    pub(crate) fit: &'a Fit,
    pub(crate) call: Call,
    /// A trainable batch normalisation with one value per channel and sample.
    pub(crate) normalises_vectors: Option<String>,
    /// Steps of the history before this training.
    pub(crate) steps_before: u64,
    pub(crate) save: Save<'a>,
    /// Skipped files, with the reasons.
    pub(crate) skipped: &'a mut BTreeMap<String, String>,
}

/// Adds the files that a loader has skipped to the `known` ones. Returns a message with the number of new files and the
/// names of the first ones.
pub(crate) fn skipped(loader: &Loader, known: &mut BTreeMap<String, String>) -> Option<String> {
    /// Names in the message.
    const NAMED: usize = 5;
    let mut new = loader.skipped();
    new.retain(|file| known.insert(file.path.display().to_string(), file.reason.clone()).is_none());
    let words = |file: &Skipped| format!("{}: {}", file.path.display(), file.reason);
    let named: Vec<String> = new.iter().take(NAMED).map(words).collect();
    let more = match new.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let files = if new.len() == 1 { "1 file" } else { &format!("{} files", new.len()) };
    let split = loader.split().name();
    (!new.is_empty()).then(|| format!("skipped {files} of {split}: {}{more}", named.join("; ")))
}

impl Training<'_> {
    /// The epochs of the model so far.
    pub fn history(&self) -> &History {
        self.history
    }

    /// The current weights.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn parameters(&self) -> Result<Parameters, Error> {
        Ok(self.network.parameters()?)
    }

    /// Writes the model as `Model::save` does.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::Backend`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(Contents::Everything, path.as_ref())
    }

    pub(crate) fn run(&mut self, callback: &mut dyn Callback) -> Result<(), Error> {
        let first = self.history.epochs.len() + 1;
        let last = self.call.first + self.fit.epochs;
        let steps = self.fit.steps_per_epoch.unwrap_or_else(|| self.train.batches());
        callback.event(&Event::Start { past: self.history.clone(), epochs: last, steps });
        self.network.compile(self.fit.optimizer);
        if let Some(text) = self.cache_size() {
            callback.event(&Event::Note(text));
        }
        if first > last || self.stopped_early() {
            return Ok(());
        }
        if self.fit.cache_features {
            let began = Instant::now();
            let computed = self.compute_features(callback);
            self.history.feature_seconds += began.elapsed().as_secs_f64();
            computed?;
        }
        // With `steps_per_epoch`, one stream of batches runs through all epochs.
        let (train, validation) = (self.train.clone(), self.validation.clone());
        let stores = std::mem::take(self.stores);
        let result = self.epochs(&stores, &train, &validation, (first, last, steps), callback);
        *self.stores = stores;
        result
    }

    fn compute_features(&mut self, callback: &mut dyn Callback) -> Result<(), Error> {
        let mut needed = vec![self.train.clone()];
        if self.fit.validate {
            needed.push(self.validation.clone());
        }
        self.stores.retain(|store| needed.iter().any(|loader| store.is_of(loader.split())));
        for loader in needed {
            if !self.stores.iter().any(|store| store.is_of(loader.split())) {
                let in_order = Loader::new(loader.split(), loader.config().for_evaluation())?;
                self.stores.push(FeatureStore::compute(self.network, &in_order, callback)?);
                self.note_skipped(&in_order, callback);
            }
        }
        Ok(())
    }

    fn epochs(
        &mut self,
        stores: &[FeatureStore],
        train: &Loader,
        validation: &Loader,
        (first, last, steps): (usize, usize, usize),
        callback: &mut dyn Callback,
    ) -> Result<(), Error> {
        let store =
            |split: &Split| stores.iter().find(|s| self.fit.cache_features && s.is_of(split));
        let (train_store, validation_store) = (store(train.split()), store(validation.split()));
        let stream = self.fit.steps_per_epoch.is_some();
        let batches = train.batches().max(1);
        // A stream resumes in the middle of a pass; otherwise each epoch is a pass.
        let done = (first - 1 - self.call.first) * steps;
        let (pass, begun) = match stream {
            true => (self.call.pass + (done / batches) as u64, done % batches),
            false => (self.history.passes, 0),
        };
        let mut feed = Feed::new(train, train_store, pass, begun);
        let mut waited = 0.0;
        let mut cache_faults = Vec::new();
        self.history.passes = pass + 1;
        for epoch in first..=last {
            if epoch > first && !stream {
                feed = Feed::new(train, train_store, self.history.passes, 0);
                waited = 0.0;
                self.history.passes += 1;
            }
            callback.event(&Event::EpochStart { epoch, epochs: last });
            let began = Instant::now();
            let before = epoch - 1 - self.call.first;
            let plateau = self.plateau_factor();
            let sums = self.epoch(&mut feed, (epoch, last, steps), plateau, began, callback);
            if stream {
                // A stream begins a new pass after all images.
                self.history.passes = self.call.pass + 1 + ((before + 1) * steps / batches) as u64;
            }
            let sums = sums?;
            self.network.synchronize()?;
            let wait = feed.wait().as_secs_f64();
            let mut metrics = EpochMetrics {
                epoch,
                loss: sums.loss(),
                accuracy: sums.accuracy(),
                learning_rate: self.rate(before * steps, steps, plateau),
                training_images: sums.images,
                training_seconds: began.elapsed().as_secs_f64(),
                input_wait_seconds: wait - waited,
                ..EpochMetrics::default()
            };
            waited = wait;
            if self.fit.validate {
                let began = Instant::now();
                let limit = self.fit.validation_steps;
                let network = &mut *self.network;
                let sums = evaluate_pass(network, validation, validation_store, limit, &mut [])?;
                metrics.val_loss = Some(sums.loss());
                metrics.val_accuracy = Some(sums.accuracy());
                metrics.validation_images = sums.images;
                metrics.validation_seconds = began.elapsed().as_secs_f64();
            }
            self.history.epochs.push(metrics.clone());
            callback.event(&Event::EpochEnd { metrics, epochs: last, steps });
            self.note_skipped(train, callback);
            self.note_skipped(validation, callback);
            self.check_finite(epoch, epoch == last)?;
            for loader in [train, validation] {
                // A cache reports a fault once and then writes no more.
                if let Some(fault) = loader.cached().fault
                    && !cache_faults.contains(&fault)
                {
                    callback.event(&Event::Note(format!(
                        "Decoded images are no longer cached, but decoded in each epoch: {fault}"
                    )));
                    cache_faults.push(fault);
                }
            }
            let began = Instant::now();
            let stop = self.callbacks(epoch, last, plateau, callback);
            if let Some(metrics) = self.history.epochs.last_mut() {
                metrics.callback_seconds = began.elapsed().as_secs_f64();
            }
            if stop? {
                return self.check_weights(epoch);
            }
        }
        Ok(())
    }

    /// Checks the validation loss, and the weights before they are written to a file and after the last epoch. In other
    /// epochs the next step finds weights that are not finite.
    fn check_finite(&self, epoch: usize, is_last: bool) -> Result<(), Error> {
        let loss = self.history.last().and_then(|metrics| metrics.val_loss);
        if let Some(loss) = loss.filter(|loss| !loss.is_finite()) {
            let found = format!("the validation loss after epoch {epoch} is {loss}");
            return Err(self.diverged(found, self.network.not_finite()?));
        }
        let saves = |callback: &Builtin| {
            matches!(callback, Builtin::BestCheckpoint(_) | Builtin::Checkpoint(_))
        };
        if is_last || self.fit.callbacks.iter().any(saves) {
            self.check_weights(epoch)?;
        }
        Ok(())
    }

    fn check_weights(&self, epoch: usize) -> Result<(), Error> {
        match self.network.not_finite()? {
            None => Ok(()),
            parameter => {
                let found = format!("the weights after epoch {epoch} are not finite");
                Err(self.diverged(found, parameter))
            }
        }
    }

    fn diverged(&self, found: String, parameter: Option<String>) -> Error {
        let kept = self.history.epochs.len();
        Error::Diverged { found, rate: self.fit.rate(), parameter, kept }
    }

    /// Why the loss of a step is not finite. In the first step the learning rate is not the cause, since the call was
    /// given the weights.
    fn step_diverged(&self, at: (usize, usize), loss: f64, rate: f64) -> Result<Error, Error> {
        let (epoch, step) = at;
        let kept = self.history.epochs.len();
        let is_first = self.history.steps == self.steps_before;
        Ok(match (is_first, self.network.not_finite()?) {
            (true, Some(parameter)) => {
                let wanted = format!("loss of epoch {epoch}");
                Error::WeightsNotFinite { wanted, parameter }
            }
            (true, None) => {
                let what = format!("loss before the first step of epoch {epoch}");
                Error::ResultNotFinite { what, found: loss }
            }
            (false, None) => Error::NotFinite { epoch, step, loss, rate, kept },
            (false, parameter) => {
                let found = format!("the loss of epoch {epoch} at step {step} is {loss}");
                self.diverged(found, parameter)
            }
        })
    }

    /// A message with the size of the caches of decoded images, before they grow.
    fn cache_size(&self) -> Option<String> {
        let loaders = [Some(&self.train), self.fit.validate.then_some(&self.validation)];
        let bytes: u64 = loaders.into_iter().flatten().map(Loader::cache_bytes).sum();
        let megabytes = bytes.div_ceil(1_000_000);
        match &self.fit.cache {
            Cache::Off => None,
            Cache::Memory => {
                Some(format!("Decoded images are cached in up to {megabytes} MB of memory"))
            }
            Cache::Disk(folder) => Some(format!(
                "Decoded images are cached in up to {megabytes} MB in {}",
                folder.display()
            )),
        }
    }

    /// Reports newly skipped files.
    fn note_skipped(&mut self, loader: &Loader, callback: &mut dyn Callback) {
        if let Some(text) = skipped(loader, self.skipped) {
            callback.event(&Event::Note(text));
        }
    }

    /// The epochs of this call.
    fn own_epochs(&self) -> &[EpochMetrics] {
        &self.history.epochs[self.call.first.min(self.history.epochs.len())..]
    }

    /// Whether a resumed call had already stopped early.
    fn stopped_early(&self) -> bool {
        let stops = |callback: &Builtin| match callback {
            Builtin::EarlyStopping(stopping) => stopping.stops(self.own_epochs()),
            _ => false,
        };
        !self.own_epochs().is_empty() && self.fit.callbacks.iter().any(stops)
    }

    /// The factor on the learning rate from plateaus so far.
    fn plateau_factor(&self) -> f64 {
        let factors = self.fit.callbacks.iter().map(|callback| match callback {
            Builtin::ReduceOnPlateau(plateau) => plateau.factor_after(self.own_epochs()),
            _ => 1.0,
        });
        factors.product()
    }

    /// The learning rate after `done` steps of this call.
    fn rate(&self, done: usize, steps: usize, plateau: f64) -> f64 {
        self.fit.rate() * plateau * self.fit.schedule.factor(done, self.fit.epochs, steps)
    }

    fn epoch(
        &mut self,
        feed: &mut Feed<'_>,
        (epoch, epochs, steps): (usize, usize, usize),
        plateau: f64,
        began: Instant,
        callback: &mut dyn Callback,
    ) -> Result<Sums, Error> {
        let mut sums = Sums::default();
        let before = (epoch - 1 - self.call.first) * steps;
        for step in 1..=steps {
            interrupt::check()?;
            let rate = self.rate(before + step - 1, steps, plateau);
            let Some(fed) = feed.next()? else { break };
            if fed.labels.len() == 1
                && let Some(layer) = &self.normalises_vectors
            {
                let (layer, batch_size) = (layer.clone(), self.fit.batch_size);
                return Err(Error::SingleSample { epoch, step, layer, batch_size });
            }
            let seed = step_seed(self.fit.seed, self.history.steps);
            let settings = Step { rate, seed, class_weights: self.fit.class_weights.as_deref() };
            let result = self.network.train_step(fed.input(), &fed.labels, settings)?;
            if !result.loss.is_finite() {
                return Err(self.step_diverged((epoch, step), result.loss, rate)?);
            }
            self.history.steps += 1;
            let correct = sums.add(&result, &fed.labels);
            let (loss, accuracy) = (sums.loss(), sums.accuracy());
            callback.event(&Event::Step {
                epoch,
                epochs,
                step,
                steps,
                loss,
                accuracy,
                images: fed.labels.len(),
                correct,
                elapsed: began.elapsed(),
            });
        }
        Ok(sums)
    }

    /// Runs the callbacks of an epoch; true if one ends the training.
    fn callbacks(
        &mut self,
        epoch: usize,
        last: usize,
        plateau: f64,
        callback: &mut dyn Callback,
    ) -> Result<bool, Error> {
        let (mut stop, mut stops) = (false, false);
        if let Some(metrics) = self.history.last().cloned() {
            stop = callback.epoch_end(&metrics, self)?.is_break();
        }
        let fit = self.fit;
        for builtin in &fit.callbacks {
            match builtin {
                Builtin::BestCheckpoint(checkpoint) => {
                    let monitor = checkpoint.monitor;
                    let value = self.history.last().and_then(|metrics| monitor.value(metrics));
                    let Some(value) = value else { continue };
                    let path = &checkpoint.path;
                    let before = self.best.get(path).copied();
                    let best = before.unwrap_or(monitor.worst());
                    let saved = if monitor.improves(value, best) {
                        // Before writing, so that the file has its own value.
                        self.best.insert(path.clone(), value);
                        if let Err(error) = self.write(Contents::Weights, path) {
                            match before {
                                Some(before) => self.best.insert(path.clone(), before),
                                None => self.best.remove(path),
                            };
                            return Err(error);
                        }
                        Some(path.clone())
                    } else {
                        None
                    };
                    callback.event(&Event::Checkpoint { epoch, monitor, best, value, saved });
                }
                Builtin::EarlyStopping(stopping) => {
                    if stopping.restore_best_weights && stopping.is_best(self.own_epochs()) {
                        *self.best_weights = Some((epoch, self.network.parameters()?));
                    }
                    stops |= stopping.stops(self.own_epochs());
                }
                Builtin::CsvLog(log) if self.network.rank().is_first() => {
                    let text = CsvLog::text(&self.history.epochs);
                    write_atomically(&log.path, |file| file.write_all(text.as_bytes()))
                        .map_err(Error::file("write", &log.path))?;
                }
                // Below, after all others, so that the file has their state.
                Builtin::ReduceOnPlateau(_) | Builtin::Checkpoint(_) | Builtin::CsvLog(_) => {}
            }
        }
        stop |= stops;
        let mut restored = None;
        if (stop || epoch == last)
            && let Some((best, weights)) = self.best_weights.take()
        {
            self.network.set_parameters(&weights)?;
            restored = Some(best);
        }
        if stops {
            callback.event(&Event::EarlyStop { epoch, restored });
        } else if let Some(best) = restored.filter(|best| *best != epoch) {
            callback.event(&Event::Note(format!("restored the weights of the best epoch, {best}")));
        }
        let now = self.plateau_factor();
        if now < plateau {
            callback.event(&Event::RateReduced { epoch, rate: self.fit.rate() * now });
        }
        for builtin in &fit.callbacks {
            let Builtin::Checkpoint(Checkpoint { path, every }) = builtin else { continue };
            if stop || epoch == last || (epoch - self.call.first).is_multiple_of(*every) {
                self.write(Contents::Everything, path)?;
                callback.event(&Event::Saved { epoch, path: path.clone() });
            }
        }
        Ok(stop)
    }

    /// Writes the model. With several ranks, which have equal models, only the first one writes.
    fn write(&self, contents: Contents, path: &Path) -> Result<(), Error> {
        if !self.network.rank().is_first() {
            return Ok(());
        }
        let (network, history, best) = (&*self.network, &*self.history, &*self.best);
        (self.save)(&Snapshot { network, history, best, contents }, path)
    }
}

/// One pass without training, of at most `limit` batches, each of which goes to the metrics.
pub(crate) fn evaluate_pass(
    network: &mut dyn Network,
    loader: &Loader,
    store: Option<&FeatureStore>,
    limit: Option<usize>,
    metrics: &mut [&mut dyn Metric],
) -> Result<Sums, Error> {
    let mut sums = Sums::default();
    let mut feed = Feed::new(loader, store, 0, 0);
    for _ in 0..limit.unwrap_or(usize::MAX) {
        interrupt::check()?;
        let Some(fed) = feed.next()? else { break };
        let result = network.evaluate_step(fed.input(), &fed.labels)?;
        sums.add(&result, &fed.labels);
        let StepResult { loss, logits } = &result;
        let batch = ScoredBatch { loss: *loss, logits, labels: &fed.labels };
        metrics.iter_mut().for_each(|metric| metric.update(&batch));
    }
    network.synchronize()?;
    Ok(sums)
}

/// A seed for each step, which trainings with neighbouring seeds do not share: the finaliser of SplitMix64 (Steele, Lea
/// and Flood, 2014).
pub(super) fn step_seed(seed: u64, step: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
