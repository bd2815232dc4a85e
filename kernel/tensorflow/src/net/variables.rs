//! The values that stay in the session from run to run.

use crate::api::{FLOAT, Output, TF_Operation};
use crate::error::Error;
use crate::graph::Graph;
use crate::layer::Parameter;
use crate::layout::Layout;
use crate::session::Session;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// A variable and the operations to read and to set it.
pub(super) struct Variable {
    /// With the shape outside.
    pub(super) parameter: Parameter,
    layout: Layout,
    pub(super) handle: Output,
    /// Its value at the beginning of a run. The one that gradients are taken by.
    pub(super) value: Output,
    input: Output,
    set: *mut TF_Operation,
}

impl Variable {
    pub(super) fn new(graph: &mut Graph, parameter: Parameter) -> Result<Self, Error> {
        let layout = Layout::of(&parameter.shape);
        let shape = layout.inside(&parameter.shape);
        let shape: Vec<i64> = shape.into_iter().map(|length| length as i64).collect();
        let handle = graph.add(c"VarHandleOp").kind(c"dtype", FLOAT).shape(c"shape", &shape);
        // Within a session, variables are told apart by this name alone.
        let handle = handle.text(c"shared_name", &parameter.name).output()?;
        let value =
            graph.add(c"ReadVariableOp").inputs(&[handle]).kind(c"dtype", FLOAT).output()?;
        let input = graph.placeholder(&shape)?;
        let set = graph.add(c"AssignVariableOp").inputs(&[handle, input]);
        let set = set.kind(c"dtype", FLOAT).operation()?;
        Ok(Self { parameter, layout, handle, value, input, set })
    }

    /// The values in the layout inside.
    fn tensor(&self, graph: &Graph, values: &[f32]) -> Result<Tensor, Error> {
        let Parameter { name, shape, .. } = &self.parameter;
        let expected = shape.iter().product();
        if values.len() != expected {
            let what = format!("`{name}` {shape:?}");
            return Err(Error::Length { what, expected, found: values.len() });
        }
        let inside = self.layout.inside(shape);
        Ok(Tensor::filled(graph.api, &inside, |to| self.layout.to_inside(values, to)))
    }

    /// The values of a tensor in the layout outside.
    pub(super) fn outside(&self, tensor: &Tensor) -> Result<Vec<f32>, Error> {
        let inside = tensor.values()?;
        let mut values = vec![0.0; inside.len()];
        self.layout.to_outside(inside, &mut values);
        Ok(values)
    }

    /// An operation that frees the memory.
    pub(super) fn destroy(&self, graph: &mut Graph) -> Result<*mut TF_Operation, Error> {
        graph.add(c"DestroyResourceOp").inputs(&[self.handle]).operation()
    }
}

/// Sets variables in one run; the session keeps the very memory that is filled here.
pub(super) fn set<'a>(
    graph: &Graph,
    session: &Session,
    variables: impl Iterator<Item = (&'a Variable, &'a [f32])>,
) -> Result<(), Error> {
    let (mut feeds, mut targets) = (Vec::new(), Vec::new());
    for (variable, values) in variables {
        feeds.push((variable.input, variable.tensor(graph, values)?));
        targets.push(variable.set);
    }
    let feeds: Vec<_> = feeds.iter().map(|(input, tensor)| (*input, tensor)).collect();
    session.run("setting the weights", &feeds, &[], &targets).map(drop)
}

/// Reads variables by their names. The shapes are those outside.
pub(super) fn read<'a>(
    session: &Session,
    variables: impl Iterator<Item = &'a Variable>,
) -> Result<super::Values, Error> {
    let mut all = super::Values::new();
    // One after the other: the device's copies of all together would double what a net needs.
    for variable in variables {
        let tensors = session.run("reading the weights", &[], &[variable.value], &[])?;
        for tensor in &tensors {
            all.insert(variable.parameter.name.clone(), variable.outside(tensor)?);
        }
    }
    Ok(all)
}

/// The parameters of a net.
pub(super) struct Variables {
    /// In the order of the layers.
    pub(super) all: Vec<Variable>,
    places: BTreeMap<String, usize>,
}

impl Variables {
    pub(super) fn new(graph: &mut Graph, parameters: Vec<Parameter>) -> Result<Self, Error> {
        let all = parameters
            .into_iter()
            .map(|parameter| Variable::new(graph, parameter))
            .collect::<Result<Vec<_>, _>>()?;
        let names = all.iter().map(|variable| variable.parameter.name.clone());
        let places = names.enumerate().map(|(at, name)| (name, at)).collect();
        Ok(Self { all, places })
    }

    fn get(&self, layer: &str, suffix: &str) -> Result<&Variable, Error> {
        let name = format!("{layer}.{suffix}");
        let place = self.places.get(&name);
        place.map(|at| &self.all[*at]).ok_or(Error::MissingParameter { name, shape: Vec::new() })
    }

    pub(super) fn value(&self, layer: &str, suffix: &str) -> Result<Output, Error> {
        self.get(layer, suffix).map(|variable| variable.value)
    }

    pub(super) fn handle(&self, layer: &str, suffix: &str) -> Result<Output, Error> {
        self.get(layer, suffix).map(|variable| variable.handle)
    }

    /// Those that training changes by gradients.
    pub(super) fn learned(&self) -> impl Iterator<Item = &Variable> {
        self.all.iter().filter(|variable| variable.parameter.learns)
    }
}
