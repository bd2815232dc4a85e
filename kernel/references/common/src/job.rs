//! The job that a study gives to a program: `benchbook_study::references::Job` as JSON.

use anyhow::Context;
use benchbook_backend::{Compute, Optimizer};
use benchbook_data::Preprocessing;
use benchbook_nets::{Graph, Net, Node, Operation, Shape};
use benchbook_study::references::Question;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The job. `benchbook_study::references::Job` documents the fields.
#[derive(Deserialize)]
#[allow(missing_docs)]
pub struct Job {
    pub record: Value,
    pub output: PathBuf,
    #[serde(deserialize_with = "net")]
    pub net: Net,
    pub class_names: Vec<String>,
    pub data: PathBuf,
    pub start: PathBuf,
    pub freeze: bool,
    #[serde(deserialize_with = "preprocessing")]
    pub preprocessing: Preprocessing,
    pub batch_size: usize,
    pub test_batch_size: usize,
    pub epochs: usize,
    pub validate: bool,
    pub compute: Compute,
    pub optimizer: Optimizer,
    pub learning_rate: f64,
    pub seed: u64,
    pub threads: usize,
    pub loader_threads: usize,
    pub device: String,
    pub order: Vec<Vec<Vec<PathBuf>>>,
    pub trace: Option<Question>,
    pub states: BTreeMap<String, bool>,
}

impl Job {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} must be a job (JSON)", path.display()))
    }

    /// Whether training changes a parameter.
    pub fn learns(&self, parameter: &benchbook_nets::Parameter) -> bool {
        parameter.is_trained(self.freeze)
    }

    /// The names of the parameters that training changes.
    pub fn learned(&self) -> BTreeSet<&str> {
        let learned = self.net.parameters().iter().filter(|parameter| self.learns(parameter));
        learned.map(|parameter| parameter.name.as_str()).collect()
    }

    /// The number of leading layers that are frozen.
    pub fn frozen(&self) -> usize {
        if self.freeze { self.net.base() } else { 0 }
    }
}

#[derive(Deserialize)]
struct NetJson {
    name: String,
    input: Shape,
    base: usize,
    layers: Vec<LayerJson>,
}

#[derive(Deserialize)]
struct LayerJson {
    name: String,
    operation: Operation,
    inputs: Vec<Option<usize>>,
}

/// Reads a net: builds a graph from the listed layers, and infers shapes and parameters again.
fn net<'de, D: Deserializer<'de>>(from: D) -> Result<Net, D::Error> {
    let NetJson { name, input, base, layers } = NetJson::deserialize(from)?;
    let source = |source: &Option<usize>| match source {
        None => "input".to_owned(),
        Some(index) => layers[*index].name.clone(),
    };
    let node = |layer: &LayerJson| {
        let inputs = layer.inputs.iter().map(source);
        Node::new(&layer.name, layer.operation.clone()).after(inputs)
    };
    let nodes = layers.iter().map(node).collect();
    let (class, modules) = (String::new(), BTreeMap::new());
    Net::new(Graph { name, class, modules, input, nodes, base }).map_err(D::Error::custom)
}

fn preprocessing<'de, D: Deserializer<'de>>(from: D) -> Result<Preprocessing, D::Error> {
    match String::deserialize(from)?.as_str() {
        "rescaled" => Ok(Preprocessing::Rescaled),
        "torchvision" => Ok(Preprocessing::Torchvision),
        "caffe" => Ok(Preprocessing::Caffe),
        other => Err(D::Error::unknown_variant(other, &["rescaled", "torchvision", "caffe"])),
    }
}
