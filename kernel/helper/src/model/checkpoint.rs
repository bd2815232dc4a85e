//! Saving and loading models.

use super::{Build, Model, Weights};
use crate::backend::{Array, BackendError, Compute, Parameters};
use crate::error::Error;
use crate::train::{Call, Contents, Fit, History, Snapshot};
use benchbook_data::{Preprocessing, Split};
use benchbook_nets::{Graph, Net, Operation};
use benchbook_weights::{WeightsError, safetensors};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The metadata key of a model's [`Header`].
const KEY: &str = "benchbook.model";
/// The metadata key of the preprocessing, as text, in weights from other programs.
const PREPROCESSING: &str = "preprocessing";
const STATE_PREFIX: &str = "optimizer.";
/// The version of [`Header`] that is written and read.
const SCHEMA: u32 = 2;

/// The content of a model's file beside its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    schema: u32,
    net: Graph,
    build: Build,
    preprocessing: Preprocessing,
    classes: Vec<String>,
    fit: Option<Fit>,
    #[serde(default)]
    history: History,
    /// The newest call of `fit`; `None` for a model that was never trained.
    #[serde(default)]
    call: Option<Call>,
    /// The best value that each checkpoint file holds, by its path.
    #[serde(default)]
    best: BTreeMap<PathBuf, f64>,
    /// Digest of the newest training's samples ([`Samples`]).
    #[serde(default)]
    samples: Option<String>,
}

impl Header {
    pub(super) fn with(&self, samples: &Samples) -> Self {
        Self { samples: samples.digest().map(Into::into), ..self.clone() }
    }
}

/// The version of a header.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// The header in a file's metadata; `None` if there is none. The error is a message about an unknown header.
fn header(metadata: &HashMap<String, String>) -> Result<Option<Header>, String> {
    let Some(text) = metadata.get(KEY) else { return Ok(None) };
    let unknown =
        |wrong: serde_json::Error| format!("a header that this version cannot read ({wrong})");
    let Version { schema } = serde_json::from_str(text).map_err(unknown)?;
    if schema != SCHEMA {
        return Err(format!(
            "a header of schema {schema} by another version of Benchbook; this one reads {SCHEMA}"
        ));
    }
    serde_json::from_str(text).map(Some).map_err(unknown)
}

/// The preprocessing for weights with these metadata. Files without metadata count as torchvision's, which have none.
///
/// # Errors
/// [`WeightsError::Content`] for unknown metadata.
pub(super) fn preprocessing(
    metadata: &HashMap<String, String>,
    path: &Path,
) -> Result<Preprocessing, WeightsError> {
    const EXPECTED: &str = "known metadata on the preprocessing; else set `Build::preprocessing`";
    let unclear = |problem: String| WeightsError::format(EXPECTED, &problem, path);
    if let Some(header) = header(metadata).map_err(unclear)? {
        return Ok(header.preprocessing);
    }
    match metadata.get(PREPROCESSING) {
        None => Ok(Preprocessing::Torchvision),
        Some(words) => named(words).ok_or_else(|| unclear(format!("`{PREPROCESSING}: {words}`"))),
    }
}

/// The preprocessing for a text: its printed form, or the name of a user of it.
fn named(words: &str) -> Option<Preprocessing> {
    let lower = words.to_lowercase();
    // Files of the VGG authors' weights have BGR.
    if lower.contains("bgr") || lower.contains("caffe") {
        return Some(Preprocessing::Caffe);
    }
    if lower.contains("torchvision") {
        return Some(Preprocessing::Torchvision);
    }
    let printed = [Preprocessing::Rescaled, Preprocessing::Torchvision];
    printed.into_iter().find(|preprocessing| preprocessing.to_string() == words)
}

/// Identifies the data of a training, so that a resumed training recognises it. Reads the files' sizes only when a file
/// is written or a training is resumed.
#[derive(Default)]
pub(super) struct Samples {
    splits: Option<[Split; 2]>,
    digest: OnceLock<Option<String>>,
}

impl Samples {
    pub(super) fn new(train: &Split, validation: &Split) -> Self {
        Self { splits: Some([train.clone(), validation.clone()]), digest: OnceLock::new() }
    }

    /// Digest of names, classes and sizes; `None` before a training and for a file without it.
    pub(super) fn digest(&self) -> Option<&str> {
        let digest = || self.splits.as_ref().map(|splits| benchbook_data::digest(splits));
        self.digest.get_or_init(digest).as_deref()
    }
}

/// Writes weights, history and, with [`Contents::Everything`], the optimiser's state.
pub(super) fn save(header: &Header, snapshot: &Snapshot<'_>, path: &Path) -> Result<(), Error> {
    let mut parameters = snapshot.network.parameters()?;
    if snapshot.contents == Contents::Everything {
        for (name, array) in snapshot.network.optimizer_state()?.arrays {
            parameters.arrays.insert(format!("{STATE_PREFIX}{name}"), array);
        }
    }
    let header =
        Header { history: snapshot.history.clone(), best: snapshot.best.clone(), ..header.clone() };
    let text = serde_json::to_string(&header).map_err(|source| Error::Json {
        what: "a model's header",
        path: path.into(),
        source,
    })?;
    safetensors::write(&parameters, path, HashMap::from([(KEY.into(), text)]))?;
    crate::worker::checkpoint_written(path);
    Ok(())
}

impl Model {
    pub(super) fn header(&self) -> Header {
        Header {
            schema: SCHEMA,
            net: self.net.graph().clone(),
            // A single process can resume the training of several ranks.
            build: Build { ranks: 1, ..self.build.clone() },
            preprocessing: self.preprocessing.clone(),
            classes: self.classes.clone(),
            fit: self.trained_with.clone(),
            history: History::default(),
            call: self.call,
            best: BTreeMap::new(),
            samples: None,
        }
    }

    /// Writes the model with its history and its optimiser's state (safetensors). Replaces the file atomically.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::Backend`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let snapshot = Snapshot {
            network: self.network.as_ref(),
            history: &self.history,
            best: &self.best,
            contents: Contents::Everything,
        };
        save(&self.header().with(&self.samples), &snapshot, path.as_ref())
    }

    /// Reads a model from a file of [`Model::save`] or a checkpoint, with its saved device and settings. With the
    /// optimiser's state in the file, [`Model::resume`] continues the training as if it had not been interrupted.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::NoModel`], [`Error::Backend`]; [`Error::NotHere`] for a device or a
    /// setting that this machine lacks ([`Model::load_on`] takes others).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        use BackendError as E;
        let path = path.as_ref();
        Self::read(path, |build| build).map_err(|error| match error {
            Error::Backend(
                source @ (E::Device { .. } | E::Option { .. } | E::SecondCudaLibrary { .. }),
            ) => Error::NotHere { path: path.into(), source },
            other => other,
        })
    }

    /// Reads a model as [`Model::load`], with this device and these settings instead of the saved ones:
    /// `Model::load_on("best.safetensors", Device::Cpu, Compute::default())`.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::NoModel`], [`Error::Backend`].
    pub fn load_on(
        path: impl AsRef<Path>,
        device: tch::Device,
        compute: Compute,
    ) -> Result<Self, Error> {
        Self::read(path.as_ref(), |build| Build { device: Some(device), compute, ..build })
    }

    fn read(path: &Path, change: impl FnOnce(Build) -> Build) -> Result<Self, Error> {
        let saved = Saved::read(path)?;
        if saved.header.net.nodes.iter().any(|node| matches!(node.operation, Operation::Custom(_)))
        {
            return Err(Error::Code {
                net: saved.header.net.name,
                expected: format!(
                    "its code: build the model with `Model::build` and call its `restore({path:?})`"
                ),
            });
        }
        let build = Build {
            weights: Weights::Random,
            preprocessing: Some(saved.header.preprocessing.clone()),
            ..saved.header.build.clone()
        };
        let mut model = Self::new(&saved.header.net, change(build))?;
        model.take(saved, path)?;
        Ok(model)
    }

    /// Reads a file of [`Model::save`] or a checkpoint into a model of the same net: weights, history, class names,
    /// optimiser state for [`Model::resume`], and preprocessing. For nets that are code ([`TchNet`](super::TchNet)), which
    /// files cannot hold; [`Model::load`] also builds the net.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::NoModel`]; [`Error::Backend`] for weights of another net, with the first weight that is
    /// missing or has another shape. The model is then unchanged.
    pub fn restore(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let saved = Saved::read(path)?;
        for parameter in self.net.parameters() {
            let what = format!("the file {}", path.display());
            let found = saved.parameters.get(&parameter.name, &parameter.shape, &what);
            found.map_err(BackendError::from)?;
        }
        if let Some(surplus) = saved.surplus(&self.net) {
            return Err(Error::NoModel {
                path: path.into(),
                found: format!("a weight `{surplus}`, which `{}` does not have", self.net.name()),
            });
        }
        // The weights were trained with this preprocessing.
        self.preprocessing = saved.header.preprocessing.clone();
        self.build = Build {
            preprocessing: Some(self.preprocessing.clone()),
            crop: saved.header.build.crop,
            filter: saved.header.build.filter,
            ..self.build.clone()
        };
        self.best_weights = None;
        self.stores.clear();
        self.take(saved, path)
    }

    fn take(&mut self, saved: Saved, path: &Path) -> Result<(), Error> {
        let Saved { header, parameters, state } = saved;
        self.build.weights = Weights::File(path.into());
        self.network.set_parameters(&parameters)?;
        self.call = None;
        if let Some(fit) = &header.fit {
            self.network.compile(fit.optimizer);
            if !state.arrays.is_empty() {
                self.network.set_optimizer_state(&state)?;
                // Without the optimiser's state, the call cannot be resumed.
                self.call = header.call;
            }
        }
        self.trained_with = header.fit;
        self.history = header.history;
        self.samples = Samples { splits: None, digest: OnceLock::from(header.samples) };
        self.best = header.best;
        self.classes = header.classes;
        Ok(())
    }
}

/// A model's file.
struct Saved {
    header: Header,
    parameters: Parameters,
    /// The optimiser's state; empty if the file has none.
    state: Parameters,
}

impl Saved {
    fn read(path: &Path) -> Result<Self, Error> {
        let (mut parameters, metadata) = safetensors::read(path)?;
        let none = |found: String| Error::NoModel { path: path.into(), found };
        let header = header(&metadata).map_err(none)?;
        let header =
            header.ok_or_else(|| none("weights without a description of the net".into()))?;
        let state = parameters
            .arrays
            .extract_if(.., |name, _| name.starts_with(STATE_PREFIX))
            .map(|(name, array): (String, Array)| (name[STATE_PREFIX.len()..].to_owned(), array));
        let state = Parameters { arrays: state.collect() };
        Ok(Self { header, parameters, state })
    }

    /// The first weight that is not in the net.
    fn surplus(&self, net: &Net) -> Option<&str> {
        let has =
            |name: &&String| net.parameters().iter().any(|parameter| parameter.name == **name);
        self.parameters.arrays.keys().find(|name| !has(name)).map(String::as_str)
    }
}
