//! The memory of NVIDIA GPUs, asked of the driver's library (NVML), which is loaded where it is.

use benchbook_jupyter::GpuMemory;
use std::ffi::{CStr, c_uint, c_void};
use std::fs;
use std::sync::OnceLock;

/// `nvmlReturn_t`: 0 is success.
type Return = c_uint;
type Device = *mut c_void;

/// `nvmlMemory_t`, in bytes.
#[repr(C)]
#[derive(Default)]
struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

/// `nvmlProcessInfo_t` of version 2 and 3.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Process {
    pid: c_uint,
    used: u64,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// How many processes on one GPU are looked at.
const PROCESSES: usize = 256;

/// `NVML_VALUE_NOT_AVAILABLE`, for a process whose memory the driver does not tell.
const NOT_AVAILABLE: u64 = u64::MAX;

/// The driver's functions.
struct Nvml {
    count: unsafe extern "C" fn(*mut c_uint) -> Return,
    device: unsafe extern "C" fn(c_uint, *mut Device) -> Return,
    minor: unsafe extern "C" fn(Device, *mut c_uint) -> Return,
    memory: unsafe extern "C" fn(Device, *mut Memory) -> Return,
    processes: unsafe extern "C" fn(Device, *mut c_uint, *mut Process) -> Return,
}

/// What `process` holds of the memory of GPUs; `None` where there is no GPU. Before it uses one,
/// nothing of all of them. In a container the driver may list processes by numbers that mean
/// nothing there: then it is all that is in use on the GPUs that the process has opened.
pub fn memory(process: Option<u32>) -> Option<GpuMemory> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    let nvml = NVML.get_or_init(Nvml::load).as_ref()?;
    let opened = process.map(opened_by).unwrap_or_default();
    let mut all = GpuMemory { used: 0, total: 0 };
    let mut own = GpuMemory { used: 0, total: 0 };
    for device in nvml.devices() {
        let Some(memory) = nvml.memory_of(device) else { continue };
        all.total += memory.total;
        if nvml.minor_of(device).is_some_and(|minor| opened.contains(&minor)) {
            own.total += memory.total;
            own.used +=
                process.and_then(|process| nvml.used_by(device, process)).unwrap_or(memory.used);
        }
    }
    match (all.total, own.total) {
        (0, _) => None,
        (_, 0) => Some(all),
        _ => Some(own),
    }
}

/// The numbers N of the `/dev/nvidiaN` that a process has open.
fn opened_by(process: u32) -> Vec<c_uint> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    let targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter_map(|path| path.to_str()?.strip_prefix("/dev/nvidia")?.parse().ok()).collect()
}

impl Nvml {
    fn load() -> Option<Self> {
        // SAFETY: the driver's own library; it stays loaded.
        let library = unsafe { libc::dlopen(c"libnvidia-ml.so.1".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: the library is loaded and the name ends with a zero.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            (!found.is_null()).then_some(found)
        };
        let init = symbol(c"nvmlInit_v2")?;
        // SAFETY: NVML declares its functions with these signatures (nvml.h of CUDA 11 and later).
        unsafe {
            let init = std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> Return>(init);
            let nvml = Self {
                count: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_uint) -> Return,
                >(symbol(c"nvmlDeviceGetCount_v2")?),
                device: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(c_uint, *mut Device) -> Return,
                >(symbol(c"nvmlDeviceGetHandleByIndex_v2")?),
                minor: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(Device, *mut c_uint) -> Return,
                >(symbol(c"nvmlDeviceGetMinorNumber")?),
                memory: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(Device, *mut Memory) -> Return,
                >(symbol(c"nvmlDeviceGetMemoryInfo")?),
                processes: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(Device, *mut c_uint, *mut Process) -> Return,
                >(symbol(c"nvmlDeviceGetComputeRunningProcesses_v3")?),
            };
            (init() == 0).then_some(nvml)
        }
    }

    fn devices(&self) -> Vec<Device> {
        let mut count = 0;
        // SAFETY: the pointers lead to local variables, as in all calls below.
        if unsafe { (self.count)(&mut count) } != 0 {
            return Vec::new();
        }
        let device = |index| {
            let mut device: Device = std::ptr::null_mut();
            // SAFETY: as above.
            (unsafe { (self.device)(index, &mut device) } == 0).then_some(device)
        };
        (0..count).filter_map(device).collect()
    }

    fn minor_of(&self, device: Device) -> Option<c_uint> {
        let mut minor = 0;
        // SAFETY: as above.
        (unsafe { (self.minor)(device, &mut minor) } == 0).then_some(minor)
    }

    fn memory_of(&self, device: Device) -> Option<Memory> {
        let mut memory = Memory::default();
        // SAFETY: as above.
        (unsafe { (self.memory)(device, &mut memory) } == 0).then_some(memory)
    }

    /// What the driver says that a process holds of a device.
    fn used_by(&self, device: Device, process: u32) -> Option<u64> {
        let mut found = [Process::default(); PROCESSES];
        let mut count = PROCESSES as c_uint;
        // SAFETY: the array has room for as many as the count says.
        if unsafe { (self.processes)(device, &mut count, found.as_mut_ptr()) } != 0 {
            return None;
        }
        let found = found.iter().take(count as usize);
        found
            .filter(|one| one.used != NOT_AVAILABLE)
            .find(|one| one.pid == process)
            .map(|one| one.used)
    }
}
