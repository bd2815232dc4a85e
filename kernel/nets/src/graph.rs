//! Graphs: nets before they are checked.

use crate::operations::Operation;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A list of named operations. [`Net::new`](crate::Net::new) checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// For example `vgg16`.
    pub name: String,
    /// PyTorch's class in the printed form, for example `VGG`. Default: `Net`.
    #[serde(default = "class")]
    pub class: String,
    /// Classes of the modules within, by their paths in the printed form, where they are not `Sequential`: for example
    /// `BasicBlock` at `layer1.0`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<String, String>,
    /// The shape of one input.
    pub input: Shape,
    /// In order: a node's inputs come before it. The last one's output is the logits.
    pub nodes: Vec<Node>,
    /// Number of leading nodes that form the base, which can be frozen. The head uses only the output of the last of
    /// them. Default: 0, no base.
    #[serde(default)]
    pub base: usize,
}

fn class() -> String {
    "Net".into()
}

/// One operation of a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NodeJson")]
pub struct Node {
    /// Unique; the prefix of its parameters' names, for example `features.0`. Not `input`.
    pub name: String,
    /// The operation.
    pub operation: Operation,
    /// The nodes whose outputs it takes; `input` is the graph's input. Default: the node before, or the graph's input
    /// for the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Its name in Keras' published weight files, for example `block1_conv1`, where it differs from `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keras: Option<String>,
    /// Its path in PyTorch's printed form where it differs from `name`; empty if it is not printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torch: Option<String>,
}

/// A node with its operation still in JSON, so that an error in the operation names the node.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeJson {
    name: String,
    operation: serde_json::Value,
    #[serde(default)]
    inputs: Vec<String>,
    keras: Option<String>,
    torch: Option<String>,
}

impl TryFrom<NodeJson> for Node {
    type Error = String;

    fn try_from(json: NodeJson) -> Result<Self, String> {
        let NodeJson { name, operation, inputs, keras, torch } = json;
        let operation = Operation::deserialize(operation)
            .map_err(|error| format!("operation of layer `{name}`: {error}"))?;
        Ok(Self { name, operation, inputs, keras, torch })
    }
}

impl Node {
    /// An operation on the output of the node before.
    pub fn new(name: impl Into<String>, operation: impl Into<Operation>) -> Self {
        let operation = operation.into();
        Self { name: name.into(), operation, inputs: Vec::new(), keras: None, torch: None }
    }

    /// Takes the outputs of these nodes instead.
    pub fn after<S: Into<String>>(self, inputs: impl IntoIterator<Item = S>) -> Self {
        Self { inputs: inputs.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets [`Node::keras`].
    pub fn keras(self, name: impl Into<String>) -> Self {
        Self { keras: Some(name.into()), ..self }
    }

    /// Sets [`Node::torch`].
    pub fn torch(self, path: impl Into<String>) -> Self {
        Self { torch: Some(path.into()), ..self }
    }
}
