//! How the C library keeps memory between the steps of a training.

use std::env;

/// glibc's settings, by the names of the environment variables for them: blocks of up to 50 MiB lie in its heap,
/// of which it gives back what lies free above 64 MiB. By default it asks the system for most blocks of a training
/// step anew each time, which then has to clear their pages. With these, VGG16's step takes up to a third less
/// time, and its peak memory stays below that of PyTorch's Python (`environment/bench train`); with more, the peak
/// grows above it.
const SETTINGS: [(&str, libc::c_int, libc::c_int); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, 50 << 20),
    ("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, 64 << 20),
];

/// What somebody may have set instead.
const OTHERS: [&str; 4] = ["GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_"];

/// Sets the allocator of this process and, by the environment, of those that it starts; records state the
/// variables. Nothing is done where the user has set any, and where the C library refuses: a glibc that keeps no
/// block above 32 MiB would then keep less than by default, and others have no such settings.
pub fn set() {
    let mut names = SETTINGS.iter().map(|(name, ..)| *name).chain(OTHERS);
    if names.any(|name| env::var_os(name).is_some()) {
        return;
    }
    for (name, parameter, bytes) in SETTINGS {
        if !accepted(parameter, bytes) {
            return;
        }
        // SAFETY: no other thread runs yet.
        unsafe { env::set_var(name, bytes.to_string()) };
    }
}

#[cfg(target_env = "gnu")]
fn accepted(parameter: libc::c_int, value: libc::c_int) -> bool {
    // SAFETY: sets a number of the C library's allocator.
    unsafe { libc::mallopt(parameter, value) == 1 }
}

#[cfg(not(target_env = "gnu"))]
fn accepted(_parameter: libc::c_int, _value: libc::c_int) -> bool {
    false
}
