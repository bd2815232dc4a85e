//! The job's images, in the order that is the same for all libraries.

use crate::job::Job;
use anyhow::{Context, bail, ensure};
use benchbook_data::{Batch, DataError, ImageFolder, Loader, LoaderConfig, Sample, Split};
use benchbook_nets::Shape;
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

/// The number of batches that are prepared ahead, as in Benchbook's own loader: one waits in the channel, the others in the
/// loader.
const AHEAD: usize = 2;

pub(crate) struct Images {
    config: LoaderConfig,
    /// The files of every batch of every epoch.
    epochs: Vec<Vec<Vec<Sample>>>,
    class_names: Vec<String>,
    validation: Split,
    test: Split,
    test_batch_size: usize,
}

impl Images {
    /// Lists the files of the job. Decodes none.
    pub(crate) fn list(job: &Job) -> anyhow::Result<Self> {
        let Shape::Map([3, height, width]) = job.net.input() else {
            let (name, input) = (job.net.name(), job.net.input());
            bail!("the input of `{name}` must be [3, height, width] for image files, got {input}");
        };
        let folder = ImageFolder::open(&job.data)?;
        let (found, asked) = (folder.class_names(), &job.class_names);
        ensure!(found == asked.as_slice(), "the classes must be {asked:?}, got {found:?}");
        let train = folder.train();
        let files: HashMap<&Path, &Sample> =
            train.files().iter().map(|file| (file.path.as_path(), file)).collect();
        let file = |path: &std::path::PathBuf| {
            let file = files.get(path.as_path()).copied().cloned();
            file.with_context(|| format!("the image {} of the job does not exist", path.display()))
        };
        let batch = |paths: &Vec<_>| paths.iter().map(file).collect();
        let epochs = job.order.iter().map(|epoch| epoch.iter().map(batch).collect());
        let config = LoaderConfig {
            height,
            width,
            batch_size: job.batch_size,
            shuffle: false,
            preprocessing: job.preprocessing.clone(),
            threads: job.loader_threads,
            prefetch: AHEAD,
            ..LoaderConfig::default()
        };
        let test = folder.test();
        Ok(Self {
            config,
            epochs: epochs.collect::<anyhow::Result<_>>()?,
            class_names: found.to_vec(),
            validation: folder.validation(),
            test: if test.is_empty() { folder.validation() } else { test },
            test_batch_size: job.test_batch_size,
        })
    }

    /// The number of batches in an epoch.
    pub(crate) fn steps(&self, epoch: usize) -> usize {
        self.epochs[epoch].len()
    }

    /// Decodes the first batch of the training.
    pub(crate) fn first(&self) -> anyhow::Result<Batch> {
        let first = self.epochs.first().and_then(|epoch| epoch.first());
        let split = self.split(first.context("the job has no batches")?.clone())?;
        let config = LoaderConfig { prefetch: 0, ..self.config.clone() };
        Ok(Loader::new(&split, config)?.epoch(0).next().context("no batch was read")??)
    }

    fn split(&self, files: Vec<Sample>) -> Result<Split, DataError> {
        Split::new("train", self.class_names.clone(), files)
    }

    /// The batches of all epochs. Threads decode ahead, also across the end of an epoch.
    pub(crate) fn training(&self) -> anyhow::Result<Receiver<Result<Batch, DataError>>> {
        // Only the last batch of a loader may be smaller, so each smaller batch ends the list of files of one loader.
        let mut lists = vec![Vec::new()];
        for batch in self.epochs.iter().flatten() {
            if let Some(list) = lists.last_mut() {
                list.extend(batch.iter().cloned());
            }
            if batch.len() < self.config.batch_size {
                lists.push(Vec::new());
            }
        }
        let lists = lists.into_iter().filter(|list| !list.is_empty());
        let splits: Vec<Split> = lists.map(|list| self.split(list)).collect::<Result<_, _>>()?;
        let (sender, receiver) = sync_channel(0);
        let config = LoaderConfig { prefetch: AHEAD - 1, ..self.config.clone() };
        std::thread::spawn(move || {
            for split in splits {
                let batches = match Loader::new(&split, config.clone()) {
                    Ok(loader) => loader.epoch(0),
                    Err(error) => return drop(sender.send(Err(error))),
                };
                for batch in batches {
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(receiver)
    }

    pub(crate) fn validation(&self) -> Result<Loader, DataError> {
        Loader::new(&self.validation, self.config.clone())
    }

    pub(crate) fn test(&self) -> Result<Loader, DataError> {
        let config = LoaderConfig { batch_size: self.test_batch_size, ..self.config.clone() };
        Loader::new(&self.test, config)
    }
}
