//! Errors in a graph.

use crate::shape::Shape;

/// A graph that cannot be built. Found before anything is computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// No nodes.
    #[error("net `{net}` has no layers; add at least one")]
    Empty {
        /// The graph's name.
        net: String,
    },
    /// An operation that cannot take its input.
    #[error("net `{net}`, layer `{layer}`: needs {expected}, got {got}")]
    Layer {
        /// The graph's name.
        net: String,
        /// The node's name.
        layer: String,
        /// What the operation needs.
        expected: String,
        /// The inputs' shapes or the rejected setting.
        got: String,
    },
    /// Two nodes with the same name.
    #[error(
        "net `{net}` has two layers called `{layer}`; layer names must differ, and `input` is the net's input"
    )]
    Name {
        /// The graph's name.
        net: String,
        /// The node's name.
        layer: String,
    },
    /// An input that is neither `input` nor an earlier layer.
    #[error(
        "net `{net}`, layer `{layer}`: unknown input `{input}`; inputs must be `input` or an earlier layer"
    )]
    Input {
        /// The graph's name.
        net: String,
        /// The node's name.
        layer: String,
        /// The input's name.
        input: String,
    },
    /// The head reaches into the base, or the base has more nodes than the graph.
    #[error("net `{net}`: the first {base} layers cannot be the base: {reason}")]
    Base {
        /// The graph's name.
        net: String,
        /// Nodes of the base.
        base: usize,
        /// The reason.
        reason: String,
    },
    /// An output that nothing uses.
    #[error(
        "net `{net}`, layer `{layer}`: nothing uses its output; only the last layer's output is the logits"
    )]
    Unused {
        /// The graph's name.
        net: String,
        /// The node's name.
        layer: String,
    },
    /// The last output is not a vector of logits.
    #[error(
        "net `{net}` must end with logits: a vector with 1 value (two classes) or 1 value per class, got {got} from \
         `{layer}`; end with `flatten` and `dense`"
    )]
    Output {
        /// The graph's name.
        net: String,
        /// The last node's name.
        layer: String,
        /// Its shape.
        got: Shape,
    },
    /// An input without values.
    #[error(
        "net `{net}`: every axis of the input must be at least 1 and its values must fit into memory, got {got}"
    )]
    EmptyInput {
        /// The graph's name.
        net: String,
        /// The input's shape.
        got: Shape,
    },
}
