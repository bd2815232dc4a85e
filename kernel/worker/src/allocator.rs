//! Settings of the C library's allocator, so that training steps reuse memory.

use std::env;

/// glibc's settings with their environment variables: blocks of up to 50 MiB come from the heap, and free memory
/// above 64 MiB at its top returns to the system. By default, a training step requests most blocks anew from the
/// system, which clears their pages each time. With these settings VGG16's step takes up to a third less time, and
/// its peak memory stays below that of Python's PyTorch (`environment/bench train`); larger values exceed it.
const SETTINGS: [(&str, libc::c_int, libc::c_int); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, 50 << 20),
    ("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, 64 << 20),
];

/// Variables by which the user may configure the allocator.
const OTHERS: [&str; 4] = ["GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_"];

/// Configures the allocator of this process and, through the environment, of its child processes; records contain
/// the variables. Changes nothing if the user has set any variable or if the C library refuses: a glibc that limits
/// heap blocks to 32 MiB would otherwise keep less than by default, and other C libraries lack the settings.
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
