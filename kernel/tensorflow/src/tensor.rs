//! Values in memory that TensorFlow manages.

use crate::api::{Api, DOUBLE, FLOAT, INT32, TF_Tensor};
use crate::status::failed;
use benchbook_backend::BackendError;
use std::borrow::Cow;
use std::ffi::c_int;

/// A block of values with a shape, freed when it is dropped.
pub(crate) struct Tensor {
    api: &'static Api,
    pub(crate) raw: *mut TF_Tensor,
}

impl Tensor {
    /// 32-bit floats of this shape, zero and then filled by `fill`.
    pub(crate) fn filled(
        api: &'static Api,
        shape: &[usize],
        fill: impl FnOnce(&mut [f32]),
    ) -> Self {
        Self::new(api, FLOAT, shape, fill)
    }

    /// The given 32-bit floats.
    pub(crate) fn floats(api: &'static Api, shape: &[usize], values: &[f32]) -> Self {
        Self::filled(api, shape, |to| to.copy_from_slice(values))
    }

    /// One 32-bit float without axes.
    pub(crate) fn scalar(api: &'static Api, value: f64) -> Self {
        Self::floats(api, &[], &[value as f32])
    }

    /// The given numbers as 32-bit or 64-bit floats.
    pub(crate) fn numbers(api: &'static Api, kind: c_int, shape: &[usize], values: &[f64]) -> Self {
        if kind == DOUBLE {
            return Self::new(api, kind, shape, |to: &mut [f64]| to.copy_from_slice(values));
        }
        Self::filled(api, shape, |to| {
            to.iter_mut().zip(values).for_each(|(to, value)| *to = *value as f32);
        })
    }

    /// The same values as 64-bit floats.
    pub(crate) fn widened(&self) -> Result<Self, BackendError> {
        // SAFETY: the tensor is alive, and each axis is below their number.
        let shape: Vec<usize> = unsafe {
            let axes = (self.api.TF_NumDims)(self.raw);
            (0..axes).map(|axis| (self.api.TF_Dim)(self.raw, axis) as usize).collect()
        };
        Ok(Self::numbers(self.api, DOUBLE, &shape, &self.wide()?))
    }

    /// The given 32-bit integers, as operations take shapes and axes.
    pub(crate) fn integers(api: &'static Api, shape: &[usize], values: &[i32]) -> Self {
        Self::new(api, INT32, shape, |to: &mut [i32]| to.copy_from_slice(values))
    }

    /// `T` is the type of numbers of `kind`.
    fn new<T>(
        api: &'static Api,
        kind: c_int,
        shape: &[usize],
        fill: impl FnOnce(&mut [T]),
    ) -> Self {
        let count = shape.iter().product::<usize>();
        let dimensions: Vec<i64> = shape.iter().map(|length| *length as i64).collect();
        let bytes = count * size_of::<T>();
        // SAFETY: the dimensions are read during the call. The block has room for `count` values, is
        // aligned for them (to 64 bytes), and is zeroed before it is seen as a slice; no other code has
        // its address yet.
        unsafe {
            let raw = (api.TF_AllocateTensor)(
                kind,
                dimensions.as_ptr(),
                dimensions.len() as c_int,
                bytes,
            );
            let tensor = Self { api, raw };
            if count > 0 {
                let data = (api.TF_TensorData)(raw).cast::<T>();
                data.cast::<u8>().write_bytes(0, bytes);
                fill(std::slice::from_raw_parts_mut(data, count));
            }
            tensor
        }
    }

    /// Takes ownership of a tensor that TensorFlow made.
    ///
    /// # Safety
    /// `raw` is a tensor that no other code deletes.
    pub(crate) unsafe fn from_raw(api: &'static Api, raw: *mut TF_Tensor) -> Self {
        Self { api, raw }
    }

    /// The values as 32-bit floats.
    pub(crate) fn values(&self) -> Result<Cow<'_, [f32]>, BackendError> {
        if self.kind() == DOUBLE {
            return Ok(self.slice::<f64>(DOUBLE)?.iter().map(|value| *value as f32).collect());
        }
        self.slice(FLOAT).map(Cow::Borrowed)
    }

    /// The values as 64-bit floats.
    pub(crate) fn wide(&self) -> Result<Vec<f64>, BackendError> {
        if self.kind() == DOUBLE {
            return self.slice(DOUBLE).map(<[f64]>::to_vec);
        }
        Ok(self.slice::<f32>(FLOAT)?.iter().map(|value| f64::from(*value)).collect())
    }

    fn kind(&self) -> c_int {
        // SAFETY: the tensor is alive.
        unsafe { (self.api.TF_TensorType)(self.raw) }
    }

    /// `T` is the type of numbers of `expected`.
    fn slice<T>(&self, expected: c_int) -> Result<&[T], BackendError> {
        let kind = self.kind();
        if kind != expected {
            let message = format!("values must be floats, got type {kind} of TF_DataType");
            return Err(failed("reading values", message));
        }
        // SAFETY: the tensor is alive; its data are as many bytes as it states, of the type that
        // was just compared, and nothing writes to them while `self` is borrowed: only `&mut Net`
        // changes a variable that shares them.
        unsafe {
            let count = (self.api.TF_TensorByteSize)(self.raw) / size_of::<T>();
            if count == 0 {
                return Ok(&[]);
            }
            Ok(std::slice::from_raw_parts((self.api.TF_TensorData)(self.raw).cast(), count))
        }
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        // SAFETY: this is the tensor's only owner; a session that still uses the values holds its
        // own reference.
        unsafe { (self.api.TF_DeleteTensor)(self.raw) }
    }
}
