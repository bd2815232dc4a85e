//! A graph of operations, and the builder of operations.

use crate::api::{
    Api, FLOAT, INT32, Input, Output, TF_Graph, TF_Operation, TF_OperationDescription,
};
use crate::layout::channels_last;
use crate::status::Status;
use crate::tensor::Tensor;
use benchbook_backend::BackendError;
use benchbook_nets::Shape;
use std::collections::HashSet;
use std::ffi::{CStr, CString, c_int};

/// The graph. Operations are never removed from it.
pub(crate) struct Graph {
    pub(crate) api: &'static Api,
    pub(crate) raw: *mut TF_Graph,
    /// The type of its numbers: [`FLOAT`] or [`crate::api::DOUBLE`].
    pub(crate) numbers: c_int,
    operations: usize,
}

impl Graph {
    pub(crate) fn new(api: &'static Api) -> Self {
        Self::with_numbers(api, FLOAT)
    }

    pub(crate) fn with_numbers(api: &'static Api, numbers: c_int) -> Self {
        // SAFETY: no arguments.
        let raw = unsafe { (api.TF_NewGraph)() };
        Self { api, raw, numbers, operations: 0 }
    }

    /// Begins an operation of a kind such as `MatMul`, with a name of its own.
    pub(crate) fn add(&mut self, kind: &CStr) -> Adding {
        self.operations += 1;
        let name = format!("{}_{}", kind.to_string_lossy(), self.operations);
        // A kind has no zero byte, so neither has the name.
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: the graph is alive and the two texts are read during the call.
        let raw = unsafe { (self.api.TF_NewOperation)(self.raw, kind.as_ptr(), name.as_ptr()) };
        Adding { api: self.api, raw, numbers: self.numbers, failed: None }
    }

    /// An input that each run must give. A length of -1 is open.
    pub(crate) fn placeholder(&mut self, shape: &[i64]) -> Result<Output, BackendError> {
        self.add(c"Placeholder").numbers().shape(c"shape", shape).output()
    }

    /// An input of any number of examples of this shape.
    pub(crate) fn batches(&mut self, shape: Shape) -> Result<Output, BackendError> {
        self.placeholder(&batch(shape))
    }

    /// The same values as an operation whose output can be fed.
    pub(crate) fn fed(&mut self, x: Output, shape: Shape) -> Result<Output, BackendError> {
        let fed = self.add(c"PlaceholderWithDefault").inputs(&[x]).numbers();
        fed.shape(c"shape", &batch(shape)).output()
    }

    pub(crate) fn floats(
        &mut self,
        shape: &[usize],
        values: &[f32],
    ) -> Result<Output, BackendError> {
        let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        self.constant(shape, &values)
    }

    pub(crate) fn scalar(&mut self, value: f64) -> Result<Output, BackendError> {
        self.constant(&[], &[value])
    }

    fn constant(&mut self, shape: &[usize], values: &[f64]) -> Result<Output, BackendError> {
        let tensor = Tensor::numbers(self.api, self.numbers, shape, values);
        self.add(c"Const").numbers().tensor(c"value", &tensor).output()
    }

    /// A row of integers.
    pub(crate) fn integers(&mut self, values: &[i32]) -> Result<Output, BackendError> {
        self.integer_array(&[values.len()], values)
    }

    pub(crate) fn integer_array(
        &mut self,
        shape: &[usize],
        values: &[i32],
    ) -> Result<Output, BackendError> {
        let tensor = Tensor::integers(self.api, shape, values);
        self.add(c"Const").kind(c"dtype", INT32).tensor(c"value", &tensor).output()
    }

    /// An operation on numbers without settings of its own, for example `Relu` or `Mul`.
    pub(crate) fn apply(&mut self, kind: &CStr, inputs: &[Output]) -> Result<Output, BackendError> {
        self.add(kind).inputs(inputs).floats().output()
    }

    /// `Sum` or `Mean` over axes.
    pub(crate) fn reduce(
        &mut self,
        kind: &CStr,
        x: Output,
        axes: &[i32],
        keep: bool,
    ) -> Result<Output, BackendError> {
        let axes = self.integers(axes)?;
        let reduced = self.add(kind).inputs(&[x, axes]).floats().kind(c"Tidx", INT32);
        reduced.flag(c"keep_dims", keep).output()
    }

    /// Joins values along an axis.
    pub(crate) fn concat(&mut self, values: &[Output], axis: i32) -> Result<Output, BackendError> {
        let axis = self.integer_array(&[], &[axis])?;
        let joined = self.add(c"ConcatV2").list(values).inputs(&[axis]);
        joined.floats().kind(c"Tidx", INT32).output()
    }

    /// Divides a value along an axis into equal parts.
    pub(crate) fn split(
        &mut self,
        x: Output,
        parts: usize,
        axis: i32,
    ) -> Result<Vec<Output>, BackendError> {
        let axis = self.integer_array(&[], &[axis])?;
        let split = self.add(c"Split").inputs(&[axis, x]).floats();
        let first = split.integer(c"num_split", parts as i64).output()?;
        Ok((0..parts).map(|part| Output { index: part as c_int, ..first }).collect())
    }

    pub(crate) fn transpose(&mut self, x: Output, order: &[i32]) -> Result<Output, BackendError> {
        let order = self.integers(order)?;
        self.add(c"Transpose").inputs(&[x, order]).floats().kind(c"Tperm", INT32).output()
    }

    pub(crate) fn reshape(&mut self, x: Output, shape: &[i32]) -> Result<Output, BackendError> {
        let shape = self.integers(shape)?;
        self.add(c"Reshape").inputs(&[x, shape]).floats().kind(c"Tshape", INT32).output()
    }

    /// The same values as examples of this shape.
    pub(crate) fn examples(&mut self, x: Output, shape: Shape) -> Result<Output, BackendError> {
        let axes: Vec<i32> = batch(shape).into_iter().map(|length| length as i32).collect();
        self.reshape(x, &axes)
    }

    /// Gradients of the sum of `y` with respect to `x`.
    pub(crate) fn gradients(
        &mut self,
        y: Output,
        x: &[Output],
    ) -> Result<Vec<Output>, BackendError> {
        if x.is_empty() {
            return Ok(Vec::new());
        }
        let status = Status::new(self.api);
        let (mut y, mut x) = (y, x.to_vec());
        let mut gradients = vec![Output { operation: std::ptr::null_mut(), index: 0 }; x.len()];
        // SAFETY: the lists have the lengths that are given and outlive the call. In c_api.h
        // `dx` are the gradients to begin with, null for ones, and `dy` the results.
        unsafe {
            (self.api.TF_AddGradients)(
                self.raw,
                &raw mut y,
                1,
                x.as_mut_ptr(),
                x.len() as c_int,
                std::ptr::null_mut(),
                status.raw,
                gradients.as_mut_ptr(),
            );
        }
        status.check("adding the gradients")?;
        Ok(gradients)
    }

    /// The operations that a run with these targets executes.
    pub(crate) fn needed(&self, ends: &[Output]) -> HashSet<*mut TF_Operation> {
        let mut waiting: Vec<_> = ends.iter().map(|end| end.operation).collect();
        let mut found = HashSet::new();
        while let Some(operation) = waiting.pop() {
            if found.insert(operation) {
                // SAFETY: the operation is of this graph, and each index is below the count of its inputs.
                unsafe {
                    let count = (self.api.TF_OperationNumInputs)(operation);
                    waiting.extend((0..count).map(|index| {
                        (self.api.TF_OperationInput)(Input { operation, index }).operation
                    }));
                }
            }
        }
        found
    }

    /// The operations with `value` as an input.
    pub(crate) fn readers(&self, value: Output) -> Vec<*mut TF_Operation> {
        self.consumers(value).into_iter().map(|input| input.operation).collect()
    }

    fn consumers(&self, value: Output) -> Vec<Input> {
        // SAFETY: the list has room for all of them; the first call returns their number.
        unsafe {
            let count = (self.api.TF_OperationOutputNumConsumers)(value);
            let none = Input { operation: std::ptr::null_mut(), index: 0 };
            let mut consumers = vec![none; count as usize];
            (self.api.TF_OperationOutputConsumers)(value, consumers.as_mut_ptr(), count);
            consumers
        }
    }

    /// Makes the gradients of a ReLU read its output `y` instead of its input `x`, which is zero or
    /// below in the same places. Python's gradients do the same. If nothing else reads `x`,
    /// TensorFlow computes the ReLU within the previous layer and keeps one map instead of two.
    pub(crate) fn let_gradients_read(&mut self, y: Output, x: Output) -> Result<(), BackendError> {
        for consumer in self.consumers(x) {
            // SAFETY: the operation is of this graph; its kind is a text that lives as long.
            let kind = unsafe { CStr::from_ptr((self.api.TF_OperationOpType)(consumer.operation)) };
            if kind == c"ReluGrad" || kind == c"Relu6Grad" {
                let status = Status::new(self.api);
                // SAFETY: both operations are of this graph, and no session has run it.
                unsafe { (self.api.TF_UpdateEdge)(self.raw, y, consumer, status.raw) }
                status.check("adding the gradients")?;
            }
        }
        Ok(())
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `new` and deleted once; the session holds its own reference.
        unsafe { (self.api.TF_DeleteGraph)(self.raw) }
    }
}

/// The builder of an operation. [`Adding::operation`] or [`Adding::output`], one of which must follow, adds the
/// operation to the graph.
#[must_use]
pub(crate) struct Adding {
    api: &'static Api,
    raw: *mut TF_OperationDescription,
    numbers: c_int,
    failed: Option<BackendError>,
}

impl Adding {
    pub(crate) fn inputs(self, inputs: &[Output]) -> Self {
        for input in inputs {
            // SAFETY: both belong to one graph, which is alive.
            unsafe { (self.api.TF_AddInput)(self.raw, *input) }
        }
        self
    }

    /// An input that is a list of values.
    pub(crate) fn list(self, values: &[Output]) -> Self {
        let (data, length) = (values.as_ptr(), values.len() as c_int);
        // SAFETY: as for `inputs`; the list is given with its length.
        unsafe { (self.api.TF_AddInputList)(self.raw, data, length) }
        self
    }

    /// The operation runs only after all of these operations have run.
    pub(crate) fn after(self, operations: &[*mut TF_Operation]) -> Self {
        for operation in operations {
            // SAFETY: both belong to one graph, which is alive.
            unsafe { (self.api.TF_AddControlInput)(self.raw, *operation) }
        }
        self
    }

    /// The attribute `T`, which most operations have, is the type of the graph's numbers.
    pub(crate) fn floats(self) -> Self {
        let numbers = self.numbers;
        self.kind(c"T", numbers)
    }

    /// As for `T`, but for the attribute `dtype`.
    pub(crate) fn numbers(self) -> Self {
        let numbers = self.numbers;
        self.kind(c"dtype", numbers)
    }

    pub(crate) fn kind(self, name: &CStr, kind: c_int) -> Self {
        // SAFETY: the description is alive and the name is read during the call.
        unsafe { (self.api.TF_SetAttrType)(self.raw, name.as_ptr(), kind) }
        self
    }

    pub(crate) fn text(self, name: &CStr, text: &str) -> Self {
        // SAFETY: as above; the text is given with its length.
        unsafe {
            (self.api.TF_SetAttrString)(self.raw, name.as_ptr(), text.as_ptr().cast(), text.len());
        }
        self
    }

    pub(crate) fn integer(self, name: &CStr, value: i64) -> Self {
        // SAFETY: as for `kind`.
        unsafe { (self.api.TF_SetAttrInt)(self.raw, name.as_ptr(), value) }
        self
    }

    pub(crate) fn integers(self, name: &CStr, values: &[i64]) -> Self {
        let (data, length) = (values.as_ptr(), values.len() as c_int);
        // SAFETY: as for `kind`; the list is given with its length.
        unsafe { (self.api.TF_SetAttrIntList)(self.raw, name.as_ptr(), data, length) }
        self
    }

    pub(crate) fn float(self, name: &CStr, value: f32) -> Self {
        // SAFETY: as for `kind`.
        unsafe { (self.api.TF_SetAttrFloat)(self.raw, name.as_ptr(), value) }
        self
    }

    pub(crate) fn flag(self, name: &CStr, value: bool) -> Self {
        // SAFETY: as for `kind`.
        unsafe { (self.api.TF_SetAttrBool)(self.raw, name.as_ptr(), value.into()) }
        self
    }

    pub(crate) fn shape(self, name: &CStr, shape: &[i64]) -> Self {
        let (data, length) = (shape.as_ptr(), shape.len() as c_int);
        // SAFETY: as for `integers`.
        unsafe { (self.api.TF_SetAttrShape)(self.raw, name.as_ptr(), data, length) }
        self
    }

    pub(crate) fn tensor(mut self, name: &CStr, tensor: &Tensor) -> Self {
        let status = Status::new(self.api);
        // SAFETY: as for `kind`; the graph copies the tensor.
        unsafe { (self.api.TF_SetAttrTensor)(self.raw, name.as_ptr(), tensor.raw, status.raw) }
        self.failed = self.failed.or(status.check("adding a constant").err());
        self
    }

    /// Adds the operation to the graph.
    pub(crate) fn operation(self) -> Result<*mut TF_Operation, BackendError> {
        let status = Status::new(self.api);
        // SAFETY: the description is finished once, here, and not used afterwards.
        let operation = unsafe { (self.api.TF_FinishOperation)(self.raw, status.raw) };
        match self.failed {
            Some(error) => Err(error),
            None => status.check("adding an operation").map(|()| operation),
        }
    }

    /// Adds the operation to the graph and returns its first output.
    pub(crate) fn output(self) -> Result<Output, BackendError> {
        Ok(Output { operation: self.operation()?, index: 0 })
    }
}

/// The axes of any number of examples of this shape.
fn batch(shape: Shape) -> Vec<i64> {
    let axes = channels_last(shape).into_iter().map(|length| length as i64);
    std::iter::once(-1).chain(axes).collect()
}
