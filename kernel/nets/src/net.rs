//! A checked graph: every shape and parameter is known.

use crate::error::NetError;
use crate::graph::{Graph, Node};
use crate::operations::{Mismatch, Operation};
use crate::shape::Shape;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The loss, averaged over the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Binary cross-entropy of one logit; class 1 corresponds to a sigmoid of 1.
    BinaryCrossEntropy,
    /// Cross-entropy of one logit per class.
    CrossEntropy,
}

/// Starting values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Normal with mean 0 and standard deviation √(2 / `fan_in`) (He et al., 2015, equation 10).
    He {
        /// Number of inputs that one output sees.
        fan_in: usize,
    },
    /// Uniform between −`bound` and `bound`.
    Uniform {
        /// The largest absolute value.
        bound: f64,
    },
    /// The same value everywhere.
    Constant(f32),
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// For example `features.0.weight`.
    pub name: String,
    /// In PyTorch's layout: convolutions `[outputs, inputs / groups, rows, columns]`, dense `[outputs, inputs]`,
    /// recurrent `[gates · units, inputs]`.
    pub shape: Vec<usize>,
    /// Starting values.
    pub init: Init,
    /// Whether gradients change it; the running statistics of batch normalisation are not learned.
    pub learned: bool,
    /// Whether it belongs to the base.
    pub in_base: bool,
}

impl Parameter {
    /// Number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether training changes it.
    pub fn is_trained(&self, frozen: bool) -> bool {
        self.learned && !(frozen && self.in_base)
    }
}

/// Where a layer's input comes from. In JSON `null` for the net's input, or the layer's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Source {
    /// The net's input.
    Input,
    /// The output of the layer with this index.
    Layer(usize),
}

/// A node with its shapes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The node's name.
    pub name: String,
    /// The operation.
    pub operation: Operation,
    /// Where its inputs come from.
    pub inputs: Vec<Source>,
    /// Their shapes, in that order.
    pub input_shapes: Vec<Shape>,
    /// The shape of its output.
    pub output: Shape,
    /// Indices of its parameters in [`Net::parameters`], in the operation's order.
    pub parameters: Range<usize>,
    /// Its name in Keras' weight files.
    pub keras: String,
    /// Its path in PyTorch's printed form; empty if it is not printed.
    pub torch: String,
}

/// A checked graph. In JSON (for the Python references): `name`, `input`, `base`, `loss`, `classes`, `layers` and
/// `parameters` with everything inferred.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Net {
    #[serde(skip)]
    graph: Graph,
    name: String,
    input: Shape,
    base: usize,
    loss: Loss,
    classes: usize,
    layers: Vec<Layer>,
    parameters: Vec<Parameter>,
}

impl Net {
    /// Checks a graph and infers its shapes and parameters.
    ///
    /// # Errors
    /// [`NetError`], naming the layer with what it needs and what it got.
    pub fn new(graph: Graph) -> Result<Self, NetError> {
        let net = || graph.name.clone();
        if !is_countable(graph.input.axes()) || graph.input.len() == 0 {
            return Err(NetError::EmptyInput { net: net(), got: graph.input });
        }
        let (mut layers, mut parameters) = (Vec::<Layer>::new(), Vec::new());
        let mut places = BTreeMap::from([("input", Source::Input)]);
        let mut used = BTreeSet::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let inputs = sources(&graph, index, &places)?;
            let shape = |source: &Source| match *source {
                Source::Input => graph.input,
                Source::Layer(at) => layers[at].output,
            };
            let input_shapes: Vec<Shape> = inputs.iter().map(shape).collect();
            used.extend(inputs.iter().filter_map(|source| match source {
                Source::Input => None,
                Source::Layer(at) => Some(*at),
            }));
            let wrong = |Mismatch { expected, got }| NetError::Layer {
                net: net(),
                layer: node.name.clone(),
                expected,
                // The sides of a residual by name.
                got: match &node.inputs[..] {
                    [] | [_] => got,
                    several => format!("{got} from `{}`", several.join("` and `")),
                },
            };
            let rule = node.operation.rule();
            let output = rule.output(&input_shapes).map_err(wrong)?;
            if !is_countable(output.axes()) {
                let expected = "an output that fits into memory";
                return Err(wrong(Mismatch { expected: expected.into(), got: output.to_string() }));
            }
            let first = parameters.len();
            for (name, tensor) in rule.named_parameters(&node.name, &input_shapes) {
                parameters.push(Parameter {
                    name,
                    shape: tensor.shape,
                    init: tensor.init,
                    learned: tensor.learned,
                    in_base: index < graph.base,
                });
            }
            let Node { name, operation, keras, torch, .. } = node.clone();
            layers.push(Layer {
                keras: keras.unwrap_or_else(|| name.clone()),
                torch: torch.unwrap_or_else(|| name.clone()),
                name,
                operation,
                inputs,
                input_shapes,
                output,
                parameters: first..parameters.len(),
            });
            if places.insert(&node.name, Source::Layer(index)).is_some() {
                return Err(NetError::Name { net: net(), layer: node.name.clone() });
            }
        }
        let Some(last) = layers.last() else { return Err(NetError::Empty { net: net() }) };
        let Shape::Vector([outputs]) = last.output else {
            return Err(NetError::Output {
                net: net(),
                layer: last.name.clone(),
                got: last.output,
            });
        };
        if let Some(unused) = (0..layers.len() - 1).find(|at| !used.contains(at)) {
            return Err(NetError::Unused { net: net(), layer: layers[unused].name.clone() });
        }
        check_base(&graph, &layers)?;
        let loss = if outputs == 1 { Loss::BinaryCrossEntropy } else { Loss::CrossEntropy };
        Ok(Self {
            name: net(),
            input: graph.input,
            base: graph.base,
            loss,
            classes: outputs.max(2),
            layers,
            parameters,
            graph,
        })
    }

    /// The graph that was checked.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape of one input.
    pub fn input(&self) -> Shape {
        self.input
    }

    /// All layers in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Number of leading layers that form the base; 0 without a base.
    pub fn base(&self) -> usize {
        self.base
    }

    /// The shape of the base's output for one example; `None` without a base.
    pub fn features(&self) -> Option<Shape> {
        self.base.checked_sub(1).map(|last| self.layers[last].output)
    }

    /// Values of the output for one example: 1 for two classes with one logit, otherwise one per class.
    pub fn outputs(&self) -> usize {
        match self.loss {
            Loss::BinaryCrossEntropy => 1,
            Loss::CrossEntropy => self.classes,
        }
    }

    /// Number of classes, at least 2.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The loss: binary cross-entropy for one logit, cross-entropy for several.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Every parameter in the order of the layers.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameters of one layer, in the operation's order.
    pub fn parameters_of(&self, layer: &Layer) -> &[Parameter] {
        &self.parameters[layer.parameters.clone()]
    }

    /// The layer whose forward pass is code, if there is one.
    pub fn code(&self) -> Option<&Layer> {
        self.layers.iter().find(|layer| matches!(layer.operation, Operation::Custom(_)))
    }

    /// Numbers of all values and of trainable values.
    pub fn parameter_counts(&self, frozen: bool) -> (usize, usize) {
        let trained = self.parameters.iter().filter(|parameter| parameter.is_trained(frozen));
        (self.parameters.iter().map(Parameter::len).sum(), trained.map(Parameter::len).sum())
    }

    /// The dropout layers' indices in order. A mask's random numbers depend on the layer's position in this list.
    pub fn dropouts(&self) -> impl Iterator<Item = usize> {
        let is_dropout = |layer: &Layer| matches!(layer.operation, Operation::Dropout(_));
        self.layers
            .iter()
            .enumerate()
            .filter(move |(_, layer)| is_dropout(layer))
            .map(|(index, _)| index)
    }
}

/// Whether memory can address this many values.
fn is_countable(axes: &[usize]) -> bool {
    let product = axes.iter().try_fold(1_usize, |product, length| product.checked_mul(*length));
    product.is_some_and(|values| isize::try_from(values).is_ok())
}

/// Where the inputs of a node come from.
fn sources(
    graph: &Graph,
    index: usize,
    places: &BTreeMap<&str, Source>,
) -> Result<Vec<Source>, NetError> {
    let node = &graph.nodes[index];
    if node.inputs.is_empty() {
        return Ok(vec![index.checked_sub(1).map_or(Source::Input, Source::Layer)]);
    }
    let source = |input: &String| {
        places.get(input.as_str()).copied().ok_or_else(|| NetError::Input {
            net: graph.name.clone(),
            layer: node.name.clone(),
            input: input.clone(),
        })
    };
    node.inputs.iter().map(source).collect()
}

/// Checks that the head uses only the last output of the base.
fn check_base(graph: &Graph, layers: &[Layer]) -> Result<(), NetError> {
    let wrong = |reason| Err(NetError::Base { net: graph.name.clone(), base: graph.base, reason });
    if graph.base == 0 {
        return Ok(());
    }
    if graph.base >= layers.len() {
        return wrong(format!("the net has {} layers and needs a head", layers.len()));
    }
    for layer in &layers[graph.base..] {
        for source in &layer.inputs {
            match source {
                Source::Layer(at) if *at + 1 >= graph.base => {}
                Source::Layer(at) => {
                    return wrong(format!(
                        "`{}` takes the output of `{}`",
                        layer.name, layers[*at].name
                    ));
                }
                Source::Input => return wrong(format!("`{}` takes the net's input", layer.name)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{
        Activation, Add, Conv2d, Dense, Dropout, Flatten, MaxPool2d, Upsample,
    };
    use crate::sequential::Sequential;
    use crate::{Architecture, Named};

    fn refused(graph: Graph, parts: &[&str]) {
        let text = Net::new(graph).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }

    #[test]
    fn shapes_that_do_not_chain_name_layer_need_and_find() {
        let image = || Sequential::image(3, 8, 8);
        refused(image().dense(2).graph(), &["`dense_1`", "a vector", "[3, 8, 8]"]);
        refused(image().flatten().conv(4, 3).graph(), &["`conv2d_1`", "a feature map", "[192]"]);
        refused(image().conv(4, 3).graph(), &["must end with logits", "[4, 8, 8]", "`conv2d_1`"]);
        refused(
            image().max_pool(16).graph(),
            &["`max_pooling2d_1`", "at least 16 × 16", "enlarge the net's input", "[3, 8, 8]"],
        );
        refused(image().flatten().dense(0).graph(), &["`dense_1`", "at least 1 unit"]);
        refused(image().dropout(1.0).graph(), &["`dropout_1`", "below 1"]);
        let groups = Conv2d { groups: 2, ..Conv2d::same(4, 3) };
        refused(image().layer(groups).graph(), &["`conv2d_1`", "divide", "2 groups for 3 input"]);
        refused(Sequential::image(3, 0, 8).flatten().dense(2).graph(), &["input", "[3, 0, 8]"]);
        refused(image().graph(), &["no layers"]);
        refused(Sequential::image(1 << 30, 1 << 30, 1 << 30).graph(), &["input", "[1073741824, "]);
        let huge = image().layer(Upsample { scale: [usize::MAX, 1] });
        refused(
            huge.graph(),
            &["`up_sampling2d_1`", "fits into memory", "[3, 18446744073709551615"],
        );
    }

    #[test]
    fn a_residual_whose_sides_differ_is_named_with_both() {
        let nodes = vec![
            Node::new("one", Conv2d::same(4, 3)),
            Node::new("two", Conv2d::same(8, 3)),
            Node::new("sum", Add {}).after(["one", "two"]),
        ];
        let graph = Graph { nodes, ..Sequential::image(3, 8, 8).graph() };
        let got = "got [4, 8, 8] and [8, 8, 8] from `one` and `two`";
        refused(graph, &["`sum`", "equal shape", "a convolution on one path", got]);
    }

    #[test]
    fn names_and_edges_that_lead_nowhere_are_named() {
        let flat = || Node::new("flat", Flatten { order: Default::default() });
        let with = |nodes| Graph { nodes, ..Sequential::image(3, 8, 8).graph() };
        let dense = |name: &str| Node::new(name, Dense::new(2));
        refused(with(vec![flat(), dense("flat")]), &["two layers called `flat`"]);
        refused(with(vec![flat(), dense("input")]), &["two layers called `input`"]);
        refused(with(vec![flat(), dense("a").after(["later"])]), &["`a`", "unknown input `later`"]);
        refused(
            with(vec![flat(), dense("a"), dense("b").after(["flat"])]),
            &["`a`", "nothing uses"],
        );
    }

    #[test]
    fn a_head_sees_only_the_end_of_the_base() {
        let nodes = vec![
            Node::new("one", Conv2d::same(4, 3)),
            Node::new("two", Conv2d::same(4, 3)),
            Node::new("sum", Add {}).after(["one", "two"]),
            Node::new("flat", Flatten { order: Default::default() }),
            Node::new("logits", Dense::new(2)),
        ];
        let graph =
            |base| Graph { nodes: nodes.clone(), base, ..Sequential::image(3, 8, 8).graph() };
        refused(graph(2), &["first 2 layers", "`sum` takes the output of `one`"]);
        refused(graph(5), &["first 5 layers", "needs a head"]);
        assert_eq!(Net::new(graph(3)).unwrap().features(), Some(Shape::Map([4, 8, 8])));
    }

    #[test]
    fn one_logit_means_two_classes() {
        let net = |units| Net::new(Sequential::vector(4).dense(units).graph()).unwrap();
        assert_eq!(
            (net(1).loss(), net(1).classes(), net(1).outputs()),
            (Loss::BinaryCrossEntropy, 2, 1)
        );
        assert_eq!((net(3).loss(), net(3).classes(), net(3).outputs()), (Loss::CrossEntropy, 3, 3));
    }

    #[test]
    fn json_is_a_graph_or_an_architecture_and_comes_back_the_same() {
        let graph = Sequential::image(1, 8, 8)
            .layer(Conv2d { padding: [0, 1, 0, 1].into(), stride: [2, 1], ..Conv2d::valid(4, 3) })
            .layer(Activation::RELU)
            .layer(MaxPool2d::square(2))
            .flatten()
            .layer(Dropout { rate: 0.25 })
            .dense(3)
            .graph();
        let named = Named::from(graph.clone());
        let text = serde_json::to_string(&named).unwrap();
        assert_eq!(serde_json::from_str::<Named>(&text).unwrap(), named, "{text}");
        let short = r#"{"architecture": "vgg16", "classes": 3, "size": 64, "head": "pytorch"}"#;
        let vgg = serde_json::from_str::<Named>(short).unwrap().graph();
        assert_eq!(
            (Net::new(vgg.clone()).unwrap().classes(), vgg.input),
            (3, Shape::Map([3, 64, 64]))
        );
    }

    #[test]
    fn json_with_an_unknown_operation_field_or_architecture_lists_what_there_is() {
        let wrong = |text: &str, parts: &[&str]| {
            let text = serde_json::from_str::<Named>(text).unwrap_err().to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        let node = |operation: &str| {
            format!(
                r#"{{"architecture": "graph", "name": "n", "input": [4],
                    "nodes": [{{"name": "a", "operation": {operation}}}]}}"#
            )
        };
        wrong(
            &node(r#"{"type": "convolution9"}"#),
            &["layer `a`", "`convolution9`", "`conv2d`", "`dense`"],
        );
        wrong(&node(r#"{"type": "dense", "unit": 2}"#), &["layer `a`", "`unit`", "`units`"]);
        wrong(r#"{"architecture": "vgg17"}"#, &["`vgg17`", "`vgg16`", "`resnet18`"]);
        wrong(r#"{"architecture": "vgg16", "sise": 64}"#, &["`sise`", "`size`"]);
    }
}
