//! The order of a tensor's values in memory.

use tch::{TchError, Tensor};

/// The same tensor `[batch, channels, height, width]` with the channel changing fastest in memory:
/// PyTorch's `memory_format=torch.channels_last`.
pub(crate) fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// A view of a dense tensor whose values follow one another: the tensor itself, or, if the channel
/// changes fastest, `[batch, height, width, channels]`. Whoever goes through several tensors of one
/// layout value by value can use these.
pub(crate) fn in_memory_order(tensor: &Tensor) -> Result<Tensor, TchError> {
    if tensor.is_contiguous() || tensor.dim() != 4 {
        Ok(tensor.shallow_clone())
    } else {
        tensor.f_permute([0, 2, 3, 1])
    }
}

/// `tensor` in the layout of `like`, copied only if it has another.
pub(crate) fn same(tensor: &Tensor, like: &Tensor) -> Result<Tensor, TchError> {
    if tensor.stride() == like.stride() {
        Ok(tensor.shallow_clone())
    } else if like.is_contiguous() {
        tensor.f_contiguous()
    } else {
        channels_last(tensor)
    }
}
