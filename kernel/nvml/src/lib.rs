//! NVIDIA's management library (NVML), which the driver installs. It is opened at run time.
//!
//! Functions and types are those of `nvml.h` of CUDA 11 and newer. A value that the GPU or driver does not report is `None`.

use std::ffi::{CStr, c_char, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

/// The opened library.
#[derive(Debug)]
pub struct Nvml {
    library: *mut c_void,
}

// SAFETY: the library stays open as long as the process lives, and its functions may be called by
// several threads at once (NVML API reference: "The API is thread-safe").
unsafe impl Send for Nvml {}
// SAFETY: as above.
unsafe impl Sync for Nvml {}

/// A GPU.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    nvml: &'a Nvml,
    raw: *mut c_void,
}

/// Memory of a GPU, in bytes (`nvmlMemory_t`). If the driver reports its own reserve (`nvmlMemory_v2_t`), neither `free`
/// nor `used` includes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Memory {
    /// Total memory.
    pub total: c_ulonglong,
    /// Free memory.
    pub free: c_ulonglong,
    /// Memory that all processes use together.
    pub used: c_ulonglong,
}

/// `nvmlMemory_v2_t`.
#[repr(C)]
struct MemoryApart {
    version: c_uint,
    total: c_ulonglong,
    _reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

impl Default for MemoryApart {
    fn default() -> Self {
        /// `NVML_STRUCT_VERSION(Memory, 2)`: the size, and the version from bit 24 on.
        const VERSION: c_uint = size_of::<MemoryApart>() as c_uint | 2 << 24;
        Self { version: VERSION, total: 0, _reserved: 0, free: 0, used: 0 }
    }
}

/// Room for a GPU's UUID (`NVML_DEVICE_UUID_V2_BUFFER_SIZE`).
const UUID: usize = 96;

/// `nvmlUtilization_t`, in percent.
#[derive(Default)]
#[repr(C)]
struct Utilization {
    gpu: c_uint,
    _memory: c_uint,
}

/// `nvmlProcessInfo_t` of version 2 and 3.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Process {
    pid: c_uint,
    used: c_ulonglong,
    _gpu_instance: c_uint,
    _compute_instance: c_uint,
}

/// `nvmlReturn_t`: 0 is success.
type Return = c_uint;

/// The largest number of processes on one GPU that are read.
const PROCESSES: usize = 256;

/// `NVML_VALUE_NOT_AVAILABLE`, for a process whose memory the driver does not report.
const NOT_AVAILABLE: c_ulonglong = c_ulonglong::MAX;

impl Nvml {
    /// The library, opened and initialised at the first call; `None` without a driver.
    pub fn load() -> Option<&'static Self> {
        static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
        NVML.get_or_init(|| Self::open(c"libnvidia-ml.so.1")).as_ref()
    }

    fn open(file: &CStr) -> Option<Self> {
        // SAFETY: the name ends with a zero; the driver's own library does nothing when it is opened.
        let library = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW) };
        let nvml = (!library.is_null()).then_some(Self { library })?;
        // SAFETY: nvml.h declares the function so.
        let init = unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> Return>(
                nvml.function(c"nvmlInit_v2")?,
            )
        };
        // SAFETY: no arguments.
        (unsafe { init() } == 0).then_some(nvml)
    }

    /// The address of a function; `None` where the driver is too old to have it.
    fn function(&self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the library is open and the name ends with a zero.
        let found = unsafe { libc::dlsym(self.library, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    }

    /// All accessible GPUs, in the driver's order, which differs from CUDA's.
    pub fn devices(&self) -> Vec<Device<'_>> {
        let Some(count) = self.function(c"nvmlDeviceGetCount_v2") else { return Vec::new() };
        let mut devices = 0;
        // SAFETY: nvml.h declares the function so; the address is that of a local variable.
        let result = unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_uint) -> Return>(count)(
                &raw mut devices,
            )
        };
        let devices = if result == 0 { devices } else { 0 };
        (0..devices).filter_map(|number| self.device(number)).collect()
    }

    /// The GPU with this number in the driver's order; `None` if it does not exist or is not accessible.
    pub fn device(&self, number: u32) -> Option<Device<'_>> {
        let handle = self.function(c"nvmlDeviceGetHandleByIndex_v2")?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: nvml.h declares the function so; the address is that of a local variable.
        let result = unsafe {
            std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(c_uint, *mut *mut c_void) -> Return,
            >(handle)(number, &raw mut raw)
        };
        (result == 0).then_some(Device { nvml: self, raw })
    }
}

impl Device<'_> {
    /// The value that a function `nvmlReturn_t name(nvmlDevice_t, T *)` writes.
    ///
    /// # Safety
    /// nvml.h declares `name` with this `T`.
    unsafe fn ask<T: Default>(self, name: &CStr) -> Option<T> {
        type Question<T> = unsafe extern "C" fn(*mut c_void, *mut T) -> Return;
        let function = self.nvml.function(name)?;
        let mut answer = T::default();
        // SAFETY: the caller says that the function has this type; the device is NVML's.
        unsafe {
            let function = std::mem::transmute::<*mut c_void, Question<T>>(function);
            (function(self.raw, &raw mut answer) == 0).then_some(answer)
        }
    }

    /// The number N of its file `/dev/nvidiaN`.
    pub fn minor(self) -> Option<u32> {
        // SAFETY: `unsigned int *`.
        unsafe { self.ask(c"nvmlDeviceGetMinorNumber") }
    }

    /// Its memory; before driver 510 `used` includes the driver's own reserve.
    pub fn memory(self) -> Option<Memory> {
        // SAFETY: `nvmlMemory_v2_t *`, whose version is set.
        let apart: Option<MemoryApart> = unsafe { self.ask(c"nvmlDeviceGetMemoryInfo_v2") };
        match apart {
            Some(MemoryApart { total, free, used, .. }) => Some(Memory { total, free, used }),
            // SAFETY: `nvmlMemory_t *`.
            None => unsafe { self.ask(c"nvmlDeviceGetMemoryInfo") },
        }
    }

    /// Its UUID, for example `GPU-5a1b…`, by which `CUDA_VISIBLE_DEVICES` may name it.
    pub fn uuid(self) -> Option<String> {
        type Question = unsafe extern "C" fn(*mut c_void, *mut c_char, c_uint) -> Return;
        let function = self.nvml.function(c"nvmlDeviceGetUUID")?;
        let mut text = [0; UUID];
        // SAFETY: nvml.h declares the function so; the array is as long as the call says.
        let ended = unsafe {
            let function = std::mem::transmute::<*mut c_void, Question>(function);
            function(self.raw, text.as_mut_ptr(), UUID as c_uint)
        };
        let bytes: Vec<u8> = text.iter().map(|c| *c as u8).take_while(|byte| *byte != 0).collect();
        (ended == 0).then_some(String::from_utf8(bytes).ok()?)
    }

    /// Share of the last sampling period in which a kernel ran, 0 to 1.
    pub fn utilisation(self) -> Option<f64> {
        // SAFETY: `nvmlUtilization_t *`.
        let utilization: Utilization = unsafe { self.ask(c"nvmlDeviceGetUtilizationRates") }?;
        Some(f64::from(utilization.gpu) / 100.0)
    }

    /// Energy since the driver was loaded, in joules (Volta and newer).
    pub fn joules(self) -> Option<f64> {
        // SAFETY: `unsigned long long *`, in millijoules.
        let millijoules: c_ulonglong = unsafe { self.ask(c"nvmlDeviceGetTotalEnergyConsumption") }?;
        Some(millijoules as f64 / 1000.0)
    }

    /// The present clock of its multiprocessors, in MHz.
    pub fn megahertz(self) -> Option<f64> {
        type Question = unsafe extern "C" fn(*mut c_void, c_uint, *mut c_uint) -> Return;
        /// `NVML_CLOCK_SM`.
        const MULTIPROCESSORS: c_uint = 1;
        let function = self.nvml.function(c"nvmlDeviceGetClockInfo")?;
        let mut clock = 0;
        // SAFETY: nvml.h declares the function so; the address is that of a local variable.
        let ended = unsafe {
            let function = std::mem::transmute::<*mut c_void, Question>(function);
            function(self.raw, MULTIPROCESSORS, &raw mut clock)
        };
        (ended == 0).then_some(f64::from(clock))
    }

    /// Whether heat or the power supply slows it down now. A configured power limit does not count.
    pub fn is_throttled(self) -> Option<bool> {
        /// `nvmlClocksThrottleReasonHwSlowdown`, `…SwThermalSlowdown`, `…HwThermalSlowdown`, `…HwPowerBrakeSlowdown`.
        const SLOWED: c_ulonglong = 0x8 | 0x20 | 0x40 | 0x80;
        // SAFETY: `unsigned long long *`.
        let reasons: Option<c_ulonglong> =
            unsafe { self.ask(c"nvmlDeviceGetCurrentClocksThrottleReasons") };
        reasons.map(|reasons| reasons & SLOWED != 0)
    }

    /// The memory that a process holds, in bytes; `None` if the driver does not report it or does not
    /// know this process id.
    pub fn used_by(self, process: u32) -> Option<u64> {
        type List = unsafe extern "C" fn(*mut c_void, *mut c_uint, *mut Process) -> Return;
        let list = self.nvml.function(c"nvmlDeviceGetComputeRunningProcesses_v3")?;
        let mut found = [Process::default(); PROCESSES];
        let mut count = PROCESSES as c_uint;
        // SAFETY: nvml.h declares the function so; the array has room for as many as the count says.
        let ended = unsafe {
            let list = std::mem::transmute::<*mut c_void, List>(list);
            list(self.raw, &raw mut count, found.as_mut_ptr())
        };
        let mut found = found.iter().take(if ended == 0 { count as usize } else { 0 });
        found.find(|one| one.pid == process && one.used != NOT_AVAILABLE).map(|one| one.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::process::Command;

    /// A driver's library with two GPUs, of which the second reports only its memory. The declarations
    /// are copied from nvml.h.
    const DRIVER: &str = r#"
        typedef unsigned int nvmlReturn_t;
        typedef struct { int number; } *nvmlDevice_t;
        typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
        typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
        typedef struct {
            unsigned int pid;
            unsigned long long usedGpuMemory;
            unsigned int gpuInstanceId;
            unsigned int computeInstanceId;
        } nvmlProcessInfo_t;
        static struct { int number; } gpus[2] = {{0}, {1}};
        static int started;
        nvmlReturn_t nvmlInit_v2(void) { started = 1; return 0; }
        nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return started ? 0 : 1; }
        nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
            *device = (nvmlDevice_t)&gpus[index];
            return 0;
        }
        nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor) {
            *minor = 5;
            return device->number;
        }
        nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
            memory->total = 100; memory->free = 60; memory->used = 40 + device->number;
            return 0;
        }
        typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;
        nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
            if (memory->version != (sizeof(nvmlMemory_v2_t) | (2 << 24))) return 25;
            memory->total = 100; memory->reserved = 10; memory->free = 60; memory->used = 30;
            return device->number;
        }
        nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
            static const char text[] = "GPU-5a1b0000-0000-0000-0000-000000000000";
            if (length < sizeof text) return 7;
            for (unsigned int at = 0; at < sizeof text; at++) uuid[at] = text[at];
            return device->number;
        }
        nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
            rates->gpu = 75; rates->memory = 20;
            return device->number;
        }
        nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy) {
            *energy = 2500;
            return device->number;
        }
        nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, int type, unsigned int *clock) {
            *clock = 1000 * type + 980;
            return device->number;
        }
        nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
            *reasons = 0x4 | 0x40;
            return device->number;
        }
        nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(
            nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
            if (*count < 2) return 7;
            *count = 2;
            infos[0].pid = 11; infos[0].usedGpuMemory = ~0ULL;
            infos[1].pid = 12; infos[1].usedGpuMemory = 30;
            return device->number;
        }"#;

    #[test]
    fn what_a_driver_tells_is_passed_on_and_what_it_refuses_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("nvml.c"), folder.path().join("libnvml.so"));
        std::fs::write(&source, DRIVER).unwrap();
        let words = ["-shared", "-fPIC", "-w", "-o"];
        let compiled = Command::new("cc").args(words).args([&library, &source]).status();
        assert!(compiled.unwrap().success());
        let file = CString::new(library.to_str().unwrap()).unwrap();
        let nvml = Nvml::open(&file).unwrap();
        let [one, other] = nvml.devices()[..] else { panic!("two GPUs") };
        assert_eq!(one.memory(), Some(Memory { total: 100, free: 60, used: 30 }));
        let uuid = "GPU-5a1b0000-0000-0000-0000-000000000000";
        assert_eq!((one.uuid().as_deref(), other.uuid()), (Some(uuid), None));
        // As before driver 510.
        assert_eq!(other.memory().unwrap().used, 41);
        assert_eq!(
            (one.minor(), one.utilisation(), one.joules()),
            (Some(5), Some(0.75), Some(2.5))
        );
        assert_eq!((other.minor(), other.utilisation(), other.joules()), (None, None, None));
        assert_eq!((one.megahertz(), one.is_throttled()), (Some(1980.0), Some(true)));
        assert_eq!((other.megahertz(), other.is_throttled()), (None, None));
        // The driver does not report the memory of process 11 and does not know process 13.
        assert_eq!([11, 12, 13].map(|process| one.used_by(process)), [None, Some(30), None]);
        assert_eq!(other.used_by(12), None);
    }

    #[test]
    fn without_a_driver_there_is_nothing_to_ask() {
        assert!(Nvml::open(c"libnvidia-ml-that-nobody-has.so.1").is_none());
    }
}
