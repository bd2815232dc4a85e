//! Models in files.

use super::{Model, Vgg, Weights};
use crate::error::Error;
use crate::parameters::{Array, Parameters};
use crate::train::{Call, Contents, Fit, History, Snapshot};
use benchbook_data::Preprocessing;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The metadata key under which a model keeps what is no tensor.
const KEY: &str = "benchbook.model";
/// Metadata key of weights made by others, in words.
const PREPROCESSING: &str = "preprocessing";
const STATE_PREFIX: &str = "optimizer.";

/// What a model's file holds beside its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    schema: u32,
    net: Vgg,
    preprocessing: Preprocessing,
    classes: Vec<String>,
    fit: Option<Fit>,
    #[serde(default)]
    history: History,
    /// Where the newest call of `fit` stands; `None` for a model that was never trained.
    #[serde(default)]
    call: Option<Call>,
    /// The best value that each checkpoint file holds, by its path.
    #[serde(default)]
    best: BTreeMap<PathBuf, f64>,
}

/// How pixels are to be preprocessed for weights with these metadata.
pub(super) fn preprocessing(metadata: &HashMap<String, String>) -> Preprocessing {
    if let Some(header) =
        metadata.get(KEY).and_then(|text| serde_json::from_str::<Header>(text).ok())
    {
        return header.preprocessing;
    }
    // Files of the VGG authors' weights say BGR; torchvision's say nothing.
    match metadata.get(PREPROCESSING) {
        Some(words) if words.contains("BGR") || words.to_lowercase().contains("caffe") => {
            Preprocessing::Caffe
        }
        _ => Preprocessing::Torchvision,
    }
}

/// Writes weights, history and, if a training is to go on from there, the optimiser's state.
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
    parameters.write(path, HashMap::from([(KEY.into(), text)]))?;
    crate::worker::checkpoint_written(path);
    Ok(())
}

impl Model {
    pub(super) fn header(&self) -> Header {
        Header {
            schema: 1,
            net: self.config.clone(),
            preprocessing: self.preprocessing.clone(),
            classes: self.classes.clone(),
            fit: self.trained_with.clone(),
            history: History::default(),
            call: self.call,
            best: BTreeMap::new(),
        }
    }

    /// Writes the model with its history and its optimiser's state (safetensors). The previous file
    /// of that name stays whole until the new one is complete.
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
        save(&self.header(), &snapshot, path.as_ref())
    }

    /// Reads a model that [`Model::save`] or a checkpoint wrote. With the optimiser's state in it,
    /// training goes on as if it had not been interrupted ([`Model::resume`]).
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::NoModel`], [`Error::Backend`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let (mut parameters, metadata) = Parameters::read(path)?;
        let none = |found: &str| Error::NoModel { path: path.into(), found: found.into() };
        let text =
            metadata.get(KEY).ok_or_else(|| none("weights without a description of the net"))?;
        let header: Header =
            serde_json::from_str(text).map_err(|wrong| none(&wrong.to_string()))?;
        let state: Parameters = Parameters {
            arrays: parameters
                .arrays
                .extract_if(.., |name, _| name.starts_with(STATE_PREFIX))
                .map(|(name, array): (String, Array)| {
                    (name[STATE_PREFIX.len()..].to_owned(), array)
                })
                .collect(),
        };
        let net = Vgg {
            weights: Weights::Random,
            preprocessing: Some(header.preprocessing),
            ..header.net
        };
        let mut model = net.build()?;
        model.config.weights = Weights::Safetensors(path.into());
        model.network.set_parameters(&parameters)?;
        if let Some(fit) = header.fit {
            model.network.compile(fit.optimizer);
            if !state.arrays.is_empty() {
                model.network.set_optimizer_state(&state)?;
            }
            model.trained_with = Some(fit);
        }
        model.history = header.history;
        model.call = header.call;
        model.best = header.best;
        model.classes = header.classes;
        Ok(model)
    }
}
