//! `shim.cpp`: functions of LibTorch's C++ interface that `tch` does not expose.

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
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
    fn bb_sync_batch_norm(
        x: Raw,
        weight: Raw,
        bias: Raw,
        running_mean: Raw,
        running_variance: Raw,
        momentum: f64,
        epsilon: f64,
        sum: extern "C" fn(*mut f64, usize) -> bool,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn bb_synchronize(device: i8) -> *mut c_char;
    fn bb_peak_bytes(device: i8, bytes: *mut i64) -> *mut c_char;
    fn bb_reset_peak(device: i8) -> *mut c_char;
    fn bb_empty_cache() -> *mut c_char;
    fn bb_begin_profile(gpu: bool) -> *mut c_char;
    fn bb_end_profile(file: *const c_char) -> *mut c_char;
}

/// Converts the result of a function of the shim.
fn checked(text: *mut c_char) -> Result<(), TchError> {
    if text.is_null() {
        return Ok(());
    }
    // SAFETY: the shim allocates the text, which ends with a zero byte, and frees it once.
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

/// The tensors of an update, one each for every weight; no moments if the optimiser has none.
pub(crate) struct Tensors {
    pub(crate) weights: Vec<Tensor>,
    pub(crate) gradients: Vec<Tensor>,
    pub(crate) means: Vec<Tensor>,
    pub(crate) squares: Vec<Tensor>,
}

/// `torch.optim.SGD(fused=True)`, which changes nothing if `found_inf` is given and holds 1.
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

/// Batch normalisation in training over the examples of all ranks: `[batch, channels, …]`; `sum` computes sums
/// over the ranks. Weights are scale and shift; the call updates the running statistics, mean and variance.
pub(crate) fn sync_batch_norm(
    x: &Tensor,
    [scale, shift]: [&Tensor; 2],
    running: Option<[&Tensor; 2]>,
    [momentum, epsilon]: [f64; 2],
    sum: extern "C" fn(*mut f64, usize) -> bool,
) -> Result<Tensor, TchError> {
    let [mean, variance] = running.map_or([std::ptr::null(); 2], |running| running.map(raw));
    let mut output = std::ptr::null_mut();
    // SAFETY: all tensors live through the call, and `output` is a tensor of its own if there was no error.
    unsafe {
        let (x, scale, shift) = (raw(x), raw(scale), raw(shift));
        checked(bb_sync_batch_norm(
            x,
            scale,
            shift,
            mean,
            variance,
            momentum,
            epsilon,
            sum,
            &raw mut output,
        ))?;
        Ok(Tensor::from_ptr(output.cast()))
    }
}

fn index(gpu: usize) -> i8 {
    // LibTorch has room for 128 devices.
    i8::try_from(gpu).unwrap_or(i8::MAX)
}

/// Waits for a GPU. Returns errors of earlier asynchronous operations.
pub(crate) fn synchronize(gpu: usize) -> Result<(), TchError> {
    // SAFETY: no memory is passed.
    checked(unsafe { bb_synchronize(index(gpu)) })
}

/// The peak memory of tensors on a GPU since [`reset_peak`], in bytes.
pub(crate) fn peak_bytes(gpu: usize) -> Result<u64, TchError> {
    let mut bytes = 0;
    // SAFETY: the address is that of a local variable.
    checked(unsafe { bb_peak_bytes(index(gpu), &raw mut bytes) })?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Resets the peak to the current use.
pub(crate) fn reset_peak(gpu: usize) -> Result<(), TchError> {
    // SAFETY: no memory is passed.
    checked(unsafe { bb_reset_peak(index(gpu)) })
}

/// Returns unused memory to the driver, for other processes on the same GPU.
pub(crate) fn empty_cache() -> Result<(), TchError> {
    // SAFETY: no memory is passed.
    checked(unsafe { bb_empty_cache() })
}

/// Starts to record this thread's LibTorch operations, and with `gpu` the GPU's work.
pub(crate) fn begin_profile(gpu: bool) -> Result<(), TchError> {
    // SAFETY: no memory is passed.
    checked(unsafe { bb_begin_profile(gpu) })
}

/// Ends the recording of [`begin_profile`] in this thread, and writes it to a file.
pub(crate) fn end_profile(file: &Path) -> Result<(), TchError> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    // SAFETY: the text ends with a zero and lives through the call.
    checked(unsafe { bb_end_profile(path.as_ptr()) })
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
        // Without CUDA no guard is registered for it, and CUDA must be initialised before its
        // allocator responds.
        let allocator = [peak_bytes(0).map(drop), reset_peak(0), empty_cache()];
        let allocator = allocator.map(|refused| (refused, "Cannot initialize CUDA"));
        for (refused, words) in allocator.into_iter().chain([(synchronize(0), "cuda")]) {
            let Err(TchError::Torch(text)) = refused else { panic!("there is no CUDA here") };
            assert!(text.contains(words), "{text}");
        }
    }
}
