//! The order of a tensor's values in memory.

use tch::{TchError, Tensor};

/// The same tensor `[batch, channels, height, width]` with the channel changing fastest in memory:
/// PyTorch's `memory_format=torch.channels_last`.
pub(crate) fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// `tensor` with the strides of `like`, copied only if its memory layout differs.
pub(crate) fn same(tensor: &Tensor, like: &Tensor) -> Result<Tensor, TchError> {
    if tensor.stride() == like.stride() {
        return Ok(tensor.shallow_clone());
    }
    if tensor.is_contiguous() && like.is_contiguous() {
        // Strides of axes of length 1 have no effect, but fused optimisers compare them.
        return tensor.f_as_strided(like.size(), like.stride(), None::<i64>);
    }
    let mut copy = like.f_detach()?.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_tensor_takes_the_strides_of_another_and_keeps_its_values() {
        let on = (Kind::Float, Device::Cpu);
        for size in [[4, 3, 1, 1], [4, 1, 3, 3], [2, 3, 2, 2]] {
            let usual = Tensor::arange(size.iter().product::<i64>(), on).view(size);
            let last = channels_last(&usual).unwrap();
            // The strides of cuDNN's gradients of 1 × 1 convolutions.
            let strided = usual.as_strided(size, last.stride(), None::<i64>);
            let other = if size[2] == 1 { &strided } else { &last };
            for (tensor, like) in [(&usual, other), (other, &usual)] {
                let same = same(tensor, like).unwrap();
                assert_eq!((same.stride(), &same), (like.stride(), tensor), "{size:?}");
            }
        }
    }
}
