//! `shim.cpp`: what `tch` does not pass on of LibTorch's C++ interface.

use std::ffi::{CStr, c_char, c_void};
use tch::{TchError, Tensor};

/// An `at::Tensor`.
type Raw = *const c_void;

unsafe extern "C" {
    fn bb_free(text: *mut c_char);
    fn bb_fused_sgd(
        weights: *const Raw,
        gradients: *const Raw,
        count: usize,
        means: *const Raw,
        means_count: usize,
        rate: f64,
        momentum: f64,
        decay: f64,
        nesterov: bool,
        first: bool,
        found_inf: Raw,
    ) -> *mut c_char;
    fn bb_fused_adam(
        weights: *const Raw,
        gradients: *const Raw,
        count: usize,
        means: *const Raw,
        squares: *const Raw,
        steps: Raw,
        rate: f64,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        found_inf: Raw,
    ) -> *mut c_char;
    fn bb_synchronize(device: i8) -> *mut c_char;
    fn bb_peak_bytes(device: i8, bytes: *mut i64) -> *mut c_char;
    fn bb_reset_peak(device: i8) -> *mut c_char;
    fn bb_empty_cache() -> *mut c_char;
}

/// What a function of the shim returned.
fn checked(text: *mut c_char) -> Result<(), TchError> {
    if text.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns text of its own that ends with a zero, and takes it back once.
    unsafe {
        let message = CStr::from_ptr(text).to_string_lossy().into_owned();
        bb_free(text);
        Err(TchError::Torch(message))
    }
}

fn raw(tensor: &Tensor) -> Raw {
    tensor.as_ptr().cast()
}

fn all(tensors: &[Tensor]) -> Vec<Raw> {
    tensors.iter().map(raw).collect()
}

/// The tensors of an update, one each for every weight: no moments where the optimiser has none.
pub(crate) struct Tensors {
    pub(crate) weights: Vec<Tensor>,
    pub(crate) gradients: Vec<Tensor>,
    pub(crate) means: Vec<Tensor>,
    pub(crate) squares: Vec<Tensor>,
}

/// `torch.optim.SGD(fused=True)`, which leaves everything as it is if there is a `found_inf` and it holds 1.
pub(crate) fn fused_sgd(
    tensors: &Tensors,
    rate: f64,
    momentum: f64,
    decay: f64,
    nesterov: bool,
    first: bool,
    found_inf: Option<&Tensor>,
) -> Result<(), TchError> {
    let Tensors { weights, gradients, means, .. } = tensors;
    let (weights, gradients, means) = (all(weights), all(gradients), all(means));
    // SAFETY: each list has as many tensors as its count says, and all live through the call.
    checked(unsafe {
        bb_fused_sgd(
            weights.as_ptr(),
            gradients.as_ptr(),
            weights.len(),
            means.as_ptr(),
            means.len(),
            rate,
            momentum,
            decay,
            nesterov,
            first,
            found_inf.map_or(std::ptr::null(), raw),
        )
    })
}

/// `torch.optim.Adam(fused=True)`, likewise. `steps` holds the number of this step, from 1.
pub(crate) fn fused_adam(
    tensors: &Tensors,
    steps: &Tensor,
    rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    found_inf: Option<&Tensor>,
) -> Result<(), TchError> {
    let Tensors { weights, gradients, means, squares } = tensors;
    let (weights, gradients) = (all(weights), all(gradients));
    let (means, squares) = (all(means), all(squares));
    // SAFETY: the four lists have a tensor for each weight, and all live through the call.
    checked(unsafe {
        bb_fused_adam(
            weights.as_ptr(),
            gradients.as_ptr(),
            weights.len(),
            means.as_ptr(),
            squares.as_ptr(),
            raw(steps),
            rate,
            betas[0],
            betas[1],
            epsilon,
            found_inf.map_or(std::ptr::null(), raw),
        )
    })
}

fn index(gpu: usize) -> i8 {
    // LibTorch has room for 128 devices.
    i8::try_from(gpu).unwrap_or(i8::MAX)
}

/// Waits for everything that a GPU was given; an error of any of it comes out here.
pub(crate) fn synchronize(gpu: usize) -> Result<(), TchError> {
    // SAFETY: no memory is passed.
    checked(unsafe { bb_synchronize(index(gpu)) })
}

/// The most bytes that tensors had on a GPU since [`reset_peak`].
pub(crate) fn peak_bytes(gpu: usize) -> Result<u64, TchError> {
    let mut bytes = 0;
    // SAFETY: the address is that of a local variable.
    checked(unsafe { bb_peak_bytes(index(gpu), &raw mut bytes) })?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Sets the peak back to what is in use now.
pub(crate) fn reset_peak(gpu: usize) -> Result<(), TchError> {
    // SAFETY: no memory is passed.
    checked(unsafe { bb_reset_peak(index(gpu)) })
}

/// Gives memory that no tensor uses back to the driver, for other processes on the same GPU.
pub(crate) fn empty_cache() -> Result<(), TchError> {
    // SAFETY: no memory is passed.
    checked(unsafe { bb_empty_cache() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cpp_throws_is_an_error_with_its_text() {
        if tch::Cuda::is_available() {
            println!("SKIPPED: has a CUDA GPU, whose allocator refuses nothing");
            return;
        }
        // Without CUDA nobody has registered an allocator or a guard for it.
        for refused in [synchronize(0), peak_bytes(0).map(drop), reset_peak(0), empty_cache()] {
            let Err(TchError::Torch(text)) = refused else { panic!("there is no CUDA here") };
            assert!(!text.is_empty());
        }
    }
}
