//! The memory of NVIDIA GPUs that a worker uses.

use benchbook_jupyter::GpuMemory;
use benchbook_nvml::Nvml;
use std::fs;

/// GPU memory of `process`; `None` without a GPU. Zero until the process uses a GPU. In a container
/// the driver may list processes under numbers of another namespace; then the total memory in use
/// on the GPUs that the process has opened.
pub fn memory(process: Option<u32>) -> Option<GpuMemory> {
    let opened = process.map(opened_by).unwrap_or_default();
    let mut all = GpuMemory { used: 0, total: 0 };
    let mut own = GpuMemory { used: 0, total: 0 };
    for device in Nvml::load()?.devices() {
        let Some(memory) = device.memory() else { continue };
        all.total += memory.total;
        if device.minor().is_some_and(|minor| opened.contains(&minor)) {
            own.total += memory.total;
            own.used += process.and_then(|process| device.used_by(process)).unwrap_or(memory.used);
        }
    }
    match (all.total, own.total) {
        (0, _) => None,
        (_, 0) => Some(all),
        _ => Some(own),
    }
}

/// The numbers N of the `/dev/nvidiaN` devices that a process has opened.
fn opened_by(process: u32) -> Vec<u32> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    let targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter_map(|path| path.to_str()?.strip_prefix("/dev/nvidia")?.parse().ok()).collect()
}
