//! Running statistics of batch normalisation, which a training step's forward pass changes in place
//! before its loss is known.

use std::collections::BTreeMap;
use tch::{TchError, Tensor};

/// The tensors of the statistics, each with its value before the step.
pub(crate) struct Running(Vec<[Tensor; 2]>);

impl Running {
    /// Makes the named vectors views of one tensor (34 kB for VGG16), so that one copy on the
    /// device saves them in case the loss is not finite; `None` without running statistics.
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
        Self::of(&[&all])
    }

    /// Saves each of these tensors separately; `None` if there are none.
    pub(crate) fn of(tensors: &[&Tensor]) -> Result<Option<Self>, TchError> {
        let pair = |tensor: &&Tensor| Ok([tensor.shallow_clone(), tensor.f_empty_like()?]);
        let pairs = tensors.iter().map(pair).collect::<Result<Vec<_>, TchError>>()?;
        Ok((!pairs.is_empty()).then_some(Self(pairs)))
    }

    pub(crate) fn keep(&mut self) -> Result<(), TchError> {
        self.0.iter_mut().try_for_each(|[now, before]| before.f_copy_(now))
    }

    pub(crate) fn restore(&mut self) -> Result<(), TchError> {
        self.0.iter_mut().try_for_each(|[now, before]| now.f_copy_(before))
    }
}
