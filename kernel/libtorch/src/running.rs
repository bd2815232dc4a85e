//! Running statistics of batch normalisation, which a training step's forward pass changes in place
//! before its loss is known.

use std::collections::BTreeMap;
use tch::{TchError, Tensor};

/// All of them in one tensor (34 kB for VGG16), so that keeping them for the case that the loss is not
/// finite is one copy on the device.
pub(crate) struct Running {
    all: Tensor,
    before: Tensor,
}

impl Running {
    /// Makes the named vectors views of one tensor; `None` if there are none.
    pub(crate) fn gather(
        tensors: &mut BTreeMap<String, Tensor>,
        names: &[&str],
    ) -> Result<Option<Self>, TchError> {
        if names.is_empty() {
            return Ok(None);
        }
        let parts: Vec<&Tensor> = names.iter().map(|name| &tensors[*name]).collect();
        let all = Tensor::f_cat(&parts, 0)?;
        let lengths: Vec<i64> = parts.iter().map(|part| part.numel() as i64).collect();
        let mut start = 0;
        for (name, length) in names.iter().zip(lengths) {
            tensors.insert((*name).into(), all.f_narrow(0, start, length)?);
            start += length;
        }
        let before = all.f_empty_like()?;
        Ok(Some(Self { all, before }))
    }

    pub(crate) fn keep(&mut self) -> Result<(), TchError> {
        self.before.f_copy_(&self.all)
    }

    pub(crate) fn restore(&mut self) -> Result<(), TchError> {
        self.all.f_copy_(&self.before)
    }
}
