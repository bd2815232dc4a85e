//! NVIDIA's management library, loaded where it is there. Names and types are those of `nvml.h`.

use libloading::{Library, Symbol};
use std::ffi::{c_int, c_uint, c_void};

/// The first GPU.
pub(super) struct Nvml {
    library: Library,
    device: *mut c_void,
}

#[repr(C)]
#[derive(Default)]
struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

#[repr(C)]
#[derive(Default)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

impl Nvml {
    /// `None` without the library or without a GPU.
    pub(super) fn open() -> Option<Self> {
        // SAFETY: the driver's own library, whose initialisers do nothing to this process; the functions
        // have the types of nvml.h, and `device` is written before it is used.
        unsafe {
            let library = Library::new("libnvidia-ml.so.1").ok()?;
            let init: Symbol<'_, unsafe extern "C" fn() -> c_int> =
                library.get(b"nvmlInit_v2").ok()?;
            if init() != 0 {
                return None;
            }
            let handle: Symbol<'_, unsafe extern "C" fn(c_uint, *mut *mut c_void) -> c_int> =
                library.get(b"nvmlDeviceGetHandleByIndex_v2").ok()?;
            let mut device = std::ptr::null_mut();
            (handle(0, &raw mut device) == 0).then_some(())?;
            Some(Self { library, device })
        }
    }

    fn ask<T: Default>(&self, function: &[u8]) -> Option<T> {
        let mut answer = T::default();
        // SAFETY: each caller names a function that writes a `T` and returns a status.
        unsafe {
            let function: Symbol<'_, unsafe extern "C" fn(*mut c_void, *mut T) -> c_int> =
                self.library.get(function).ok()?;
            (function(self.device, &raw mut answer) == 0).then_some(answer)
        }
    }

    /// Memory in use by anybody, in bytes.
    pub(super) fn used_bytes(&self) -> Option<u64> {
        self.ask::<Memory>(b"nvmlDeviceGetMemoryInfo").map(|memory| memory.used)
    }

    /// Share of the last sampling period in which a kernel ran, 0 to 1.
    pub(super) fn utilisation(&self) -> Option<f64> {
        let utilization = self.ask::<Utilization>(b"nvmlDeviceGetUtilizationRates")?;
        Some(f64::from(utilization.gpu) / 100.0)
    }

    /// Energy since the driver was loaded, in joules (Volta and newer).
    pub(super) fn joules(&self) -> Option<f64> {
        let millijoules = self.ask::<u64>(b"nvmlDeviceGetTotalEnergyConsumption")?;
        Some(millijoules as f64 / 1000.0)
    }
}
