//! The batches of training steps: from the loader, or from cached features.

use crate::backend::{Input, Network};
use crate::error::Error;
use crate::train::{Callback, Event};
use benchbook_data::{Epoch, Loader, Split};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Features of the frozen base for every image of a split. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct FeatureStore {
    /// The split, to recognise requests for another one.
    split: Split,
    /// `[channels, height, width]` of each image by its index; `None` where the file was skipped.
    features: Vec<Option<Arc<[f32]>>>,
    labels: Vec<i64>,
}

impl FeatureStore {
    /// Computes the features of a split, batch by batch in order.
    pub(super) fn compute(
        network: &mut dyn Network,
        loader: &Loader,
        callback: &mut dyn Callback,
    ) -> Result<Self, Error> {
        let began = Instant::now();
        let split = loader.split().clone();
        let mut store =
            Self { features: vec![None; split.len()], labels: vec![0; split.len()], split };
        let mut done = 0;
        for batch in loader.epoch(0) {
            crate::interrupt::check()?;
            let batch = batch?;
            let values = network.features(&batch.values, batch.len())?;
            let length = values.len() / batch.len();
            if done == 0 {
                let images = store.split.len();
                let megabytes = (images * length * size_of::<f32>()).div_ceil(1_000_000);
                callback.event(&Event::Note(format!(
                    "Features of {images} images for {} are kept in {megabytes} MB of memory",
                    store.split.name()
                )));
            }
            let images = batch.indices.iter().zip(&batch.labels).zip(values.chunks_exact(length));
            for ((index, label), features) in images {
                store.features[*index] = Some(features.into());
                store.labels[*index] = *label;
            }
            done += batch.len();
            let total = store.split.len();
            callback.event(&Event::Features { done, total, elapsed: began.elapsed() });
        }
        Ok(store)
    }

    /// Whether the features are those of exactly this split.
    pub(super) fn is_of(&self, split: &Split) -> bool {
        self.split.same_samples(split)
    }
}

/// The values of one batch.
pub(super) struct Fed {
    values: Vec<f32>,
    features: bool,
    pub(super) labels: Vec<i64>,
}

impl Fed {
    pub(super) fn input(&self) -> Input<'_> {
        if self.features { Input::Features(&self.values) } else { Input::Values(&self.values) }
    }
}

/// The batches of one pass, or of all passes if the loader repeats.
pub(super) enum Feed<'a> {
    Values(Epoch),
    Features {
        store: &'a FeatureStore,
        loader: &'a Loader,
        pass: u64,
        order: Vec<usize>,
        at: usize,
    },
}

impl<'a> Feed<'a> {
    /// The batches of a pass without its first `done`.
    pub(super) fn new(
        loader: &'a Loader,
        store: Option<&'a FeatureStore>,
        pass: u64,
        done: usize,
    ) -> Self {
        match store {
            None => Feed::Values(loader.epoch_from(pass, done)),
            Some(store) => {
                let at = done * loader.config().batch_size;
                Feed::Features { store, loader, pass, order: loader.order(pass), at }
            }
        }
    }

    /// The next batch, in the loader's order.
    pub(super) fn next(&mut self) -> Result<Option<Fed>, Error> {
        match self {
            Feed::Values(epoch) => {
                let batch = epoch.next().transpose()?;
                Ok(batch.map(|b| Fed { values: b.values, features: false, labels: b.labels }))
            }
            Feed::Features { store, loader, pass, order, at } => loop {
                if *at >= order.len() {
                    if !loader.config().repeat {
                        return Ok(None);
                    }
                    *pass += 1;
                    *order = loader.order(*pass);
                    *at = 0;
                }
                let end = order.len().min(*at + loader.config().batch_size);
                let chosen = &order[*at..end];
                *at = end;
                let mut fed = Fed { values: Vec::new(), features: true, labels: Vec::new() };
                for &index in chosen {
                    if let Some(features) = &store.features[index] {
                        fed.values.extend_from_slice(features);
                        fed.labels.push(store.labels[index]);
                    }
                }
                if !fed.labels.is_empty() {
                    return Ok(Some(fed));
                }
            },
        }
    }

    /// Time spent waiting for the loader so far.
    pub(super) fn wait(&self) -> Duration {
        match self {
            Feed::Values(epoch) => epoch.wait(),
            Feed::Features { .. } => Duration::ZERO,
        }
    }
}
