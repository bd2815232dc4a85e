//! LibTorch's settings that hold for the whole process.

use crate::NAME;
use benchbook_backend::{BackendError, Compute, Plan};
use tch::{Cuda, Device};

/// Applies a plan's threads and settings to the process.
pub(crate) fn prepare(plan: &Plan, device: Device) -> Result<(), BackendError> {
    if let Some(threads) = plan.threads {
        tch::set_num_threads(threads.try_into().unwrap_or(i32::MAX));
    }
    apply(&plan.compute, device)
}

/// Applies a net's settings to the process, or refuses a setting that the device lacks.
fn apply(compute: &Compute, device: Device) -> Result<(), BackendError> {
    let refused = |option, expected, found: bool| BackendError::Option {
        library: match device {
            Device::Cpu => format!("{NAME} on the CPU"),
            _ => NAME.into(),
        },
        option,
        expected,
        found: found.to_string(),
    };
    if device == Device::Cpu {
        for (option, wanted) in [
            ("pinned_memory", compute.pinned_memory),
            ("asynchronous_copies", compute.asynchronous_copies),
        ] {
            if wanted {
                return Err(refused(option, "false", true));
            }
        }
    } else if compute.asynchronous_copies && !compute.pinned_memory {
        let expected = "true with asynchronous_copies, which are synchronous otherwise";
        return Err(refused("pinned_memory", expected, false));
    }
    // Set even to the defaults, since an earlier net of this process may have changed them.
    tf32::set(compute.tf32_matmul, compute.tf32_convolutions);
    if matches!(device, Device::Cuda(_)) {
        Cuda::cudnn_set_benchmark(compute.cudnn_benchmark);
    }
    Ok(())
}

/// `at::Context`'s switches, which `tch` does not expose. They are exported C++ functions of
/// LibTorch 2.11 (`aten/src/ATen/Context.h`); a member function takes its object as the first
/// argument in the C++ ABI of Linux.
mod tf32 {
    use std::ffi::c_void;

    unsafe extern "C" {
        #[link_name = "_ZN2at13globalContextEv"]
        fn global_context() -> *mut c_void;
        #[link_name = "_ZN2at7Context18setAllowTF32CuBLASEb"]
        fn set_matmul(context: *mut c_void, allowed: bool);
        #[link_name = "_ZN2at7Context17setAllowTF32CuDNNEb"]
        fn set_convolutions(context: *mut c_void, allowed: bool);
        #[cfg(test)]
        #[link_name = "_ZNK2at7Context15allowTF32CuBLASEv"]
        fn matmul(context: *const c_void) -> bool;
    }

    pub(crate) fn set(for_matmul: bool, for_convolutions: bool) {
        // SAFETY: the context is LibTorch's static one, and each function takes it and a bool.
        unsafe {
            let context = global_context();
            set_matmul(context, for_matmul);
            set_convolutions(context, for_convolutions);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_set_for_matmul() -> bool {
        // SAFETY: as for `set`.
        unsafe { matmul(global_context()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tf32_is_what_the_newest_net_asked_for() {
        for tf32_matmul in [true, false] {
            apply(&Compute { tf32_matmul, ..Compute::default() }, Device::Cpu).unwrap();
            assert_eq!(tf32::is_set_for_matmul(), tf32_matmul);
        }
    }
}
