//! `usage_reply`, in the form that ipykernel gives it and jupyter-resource-usage reads it.

use jupyter_protocol::ReplyStatus;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct UsageReply {
    pub(crate) status: ReplyStatus,
    pub(crate) hostname: String,
    pub(crate) pid: u32,
    /// Of this process and its descendants, in percent of one core.
    pub(crate) kernel_cpu: f32,
    /// Of this process and its descendants, in bytes.
    pub(crate) kernel_memory: u64,
    /// In percent of all cores; absent in the first reply, since it is measured between two requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_cpu_percent: Option<f32>,
    pub(crate) cpu_count: usize,
    pub(crate) host_virtual_memory: VirtualMemory,
    /// Of the session's processes, in bytes. Not in ipykernel's reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gpu_memory: Option<u64>,
    /// Of the device, in bytes. Not in ipykernel's reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gpu_memory_total: Option<u64>,
}

/// The machine's memory, in bytes, with psutil's names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct VirtualMemory {
    pub(crate) total: u64,
    pub(crate) available: u64,
    /// Unavailable memory, in percent of the total.
    pub(crate) percent: f64,
    pub(crate) used: u64,
    pub(crate) free: u64,
}
