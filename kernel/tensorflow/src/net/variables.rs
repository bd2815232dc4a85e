//! Variables, whose values stay in the session between runs.

use crate::api::{Output, TF_Operation};
use crate::graph::Graph;
use crate::layout::Layout;
use crate::session::Session;
use crate::tensor::Tensor;
use benchbook_backend::{Array, BackendError, Parameters};

/// A variable and the operations that read and set it.
pub(super) struct Variable {
    /// The name and the shape in Benchbook's layout.
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Whether gradients change it.
    pub(super) trained: bool,
    layout: Layout,
    pub(super) handle: Output,
    /// Its value at the beginning of a run; gradients are taken with respect to it.
    pub(super) value: Output,
    input: Output,
    set: *mut TF_Operation,
}

impl Variable {
    /// `shared` distinguishes it from the session's other variables.
    pub(super) fn new(
        graph: &mut Graph,
        shared: &str,
        name: String,
        shape: Vec<usize>,
        trained: bool,
    ) -> Result<Self, BackendError> {
        let layout = Layout::of(&shape);
        let inside: Vec<i64> =
            layout.inside(&shape).into_iter().map(|length| length as i64).collect();
        let handle = graph.add(c"VarHandleOp").numbers().shape(c"shape", &inside);
        let handle = handle.text(c"shared_name", shared).output()?;
        let value = graph.add(c"ReadVariableOp").inputs(&[handle]).numbers().output()?;
        let input = graph.placeholder(&inside)?;
        let set = graph.add(c"AssignVariableOp").inputs(&[handle, input]);
        let set = set.numbers().operation()?;
        Ok(Self { name, shape, trained, layout, handle, value, input, set })
    }

    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values in TensorFlow's layout.
    fn tensor(&self, graph: &Graph, values: &[f32]) -> Result<Tensor, BackendError> {
        if values.len() != self.len() {
            let what = format!("`{}` {:?}", self.name, self.shape);
            let (expected, found) = (self.len(), values.len());
            return Err(BackendError::BatchLength { what, expected, found });
        }
        let inside = self.layout.inside(&self.shape);
        Ok(Tensor::filled(graph.api, &inside, |to| self.layout.to_inside(values, to)))
    }

    /// The values of a tensor in Benchbook's layout.
    pub(super) fn array(&self, tensor: &Tensor) -> Result<Array, BackendError> {
        let inside = tensor.values()?;
        let mut values = vec![0.0; inside.len()];
        self.layout.to_outside(&inside, &mut values);
        Ok(Array { shape: self.shape.clone(), values })
    }

    /// The values of a tensor less others, in Benchbook's layout.
    pub(super) fn difference(
        &self,
        tensor: &Tensor,
        before: &[f32],
    ) -> Result<Array, BackendError> {
        let now = tensor.wide()?;
        let mut inside = vec![0.0; now.len()];
        self.layout.to_inside(before, &mut inside);
        inside
            .iter_mut()
            .zip(now)
            .for_each(|(value, now)| *value = (now - f64::from(*value)) as f32);
        let mut values = vec![0.0; inside.len()];
        self.layout.to_outside(&inside, &mut values);
        Ok(Array { shape: self.shape.clone(), values })
    }

    /// An operation that frees the memory.
    pub(super) fn destroy(&self, graph: &mut Graph) -> Result<*mut TF_Operation, BackendError> {
        graph.add(c"DestroyResourceOp").inputs(&[self.handle]).operation()
    }
}

/// Sets variables in one run; the session keeps the memory that is filled here.
pub(super) fn set<'a>(
    graph: &Graph,
    session: &Session,
    variables: impl Iterator<Item = (&'a Variable, &'a [f32])>,
) -> Result<(), BackendError> {
    let (mut feeds, mut targets) = (Vec::new(), Vec::new());
    for (variable, values) in variables {
        feeds.push((variable.input, variable.tensor(graph, values)?));
        targets.push(variable.set);
    }
    session.run("setting the weights", &feeds, &[], &targets).map(drop)
}

/// Reads variables by their names.
pub(super) fn read<'a>(
    session: &Session,
    variables: impl Iterator<Item = &'a Variable>,
) -> Result<Parameters, BackendError> {
    let mut all = Parameters::default();
    // One at a time: copies of all variables together would double the net's memory.
    for variable in variables {
        for tensor in &session.run("reading the weights", &[], &[variable.value], &[])? {
            all.arrays.insert(variable.name.clone(), variable.array(tensor)?);
        }
    }
    Ok(all)
}
