//! Sessions, which run a graph on a device with a number of threads.

use crate::api::{Api, DOUBLE, Output, TF_Operation, TF_Session};
use crate::graph::Graph;
use crate::status::Status;
use crate::tensor::Tensor;
use benchbook_backend::BackendError;
use std::ffi::{CStr, c_int};

/// The device and the number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Whether the first CUDA GPU computes, otherwise the CPU.
    pub(crate) gpu: bool,
    pub(crate) threads: usize,
}

impl Config {
    /// A `ConfigProto` in protocol buffers' wire format (tensorflow/core/protobuf/config.proto).
    fn bytes(self) -> Vec<u8> {
        // A field's first byte is its number times 8, plus 0 for a number and 2 for bytes with a length.
        let mut bytes = Vec::new();
        if !self.gpu {
            // device_count (1): a map whose entry is {1: "GPU", 2: 0}. No GPU is touched.
            bytes.extend([0x0a, 7, 0x0a, 3, b'G', b'P', b'U', 0x10, 0]);
        }
        // intra_op_parallelism_threads (2) and inter_op_parallelism_threads (5), as Keras' tutorials
        // set them: the same number.
        bytes.push(0x10);
        number(&mut bytes, self.threads);
        bytes.push(0x28);
        number(&mut bytes, self.threads);
        if self.gpu {
            // gpu_options (6) with allow_growth (4): memory is allocated as needed.
            bytes.extend([0x32, 2, 0x20, 1]);
        }
        // allow_soft_placement (7): operations without a GPU kernel run on the CPU, as in Keras.
        bytes.extend([0x38, 1]);
        // use_per_session_threads (9): the number holds for this net, not for the first one's process.
        bytes.extend([0x48, 1]);
        bytes
    }
}

/// A number in the form of protocol buffers: 7 bits a byte, the lowest first.
fn number(bytes: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    while rest > 0x7f {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// A session. A run ends when the device has finished all operations, fetched or not.
pub(crate) struct Session {
    api: &'static Api,
    raw: *mut TF_Session,
    /// The type of the graph's numbers.
    numbers: c_int,
}

impl Session {
    pub(crate) fn new(graph: &Graph, config: Config) -> Result<Self, BackendError> {
        let api = graph.api;
        let status = Status::new(api);
        let bytes = config.bytes();
        // SAFETY: the options live from their making to their deletion here; the bytes are given with
        // their length; the graph is alive and counts the session as a user.
        let raw = unsafe {
            let options = (api.TF_NewSessionOptions)();
            (api.TF_SetConfig)(options, bytes.as_ptr().cast(), bytes.len(), status.raw);
            let mut raw = std::ptr::null_mut();
            if status.check("setting the session's options").is_ok() {
                raw = (api.TF_NewSession)(graph.raw, options, status.raw);
            }
            (api.TF_DeleteSessionOptions)(options);
            raw
        };
        status.check("starting a session")?;
        Ok(Self { api, raw, numbers: graph.numbers })
    }

    /// Runs the operations that `fetches` and `targets` need, and returns the fetched values. A graph of 64-bit floats is fed
    /// such numbers.
    pub(crate) fn run(
        &self,
        operation: &'static str,
        feeds: &[(Output, Tensor)],
        fetches: &[Output],
        targets: &[*mut TF_Operation],
    ) -> Result<Vec<Tensor>, BackendError> {
        // TensorFlow refuses a run without fetches and targets.
        if fetches.is_empty() && targets.is_empty() {
            return Ok(Vec::new());
        }
        let status = Status::new(self.api);
        let inputs: Vec<Output> = feeds.iter().map(|(input, _)| *input).collect();
        let widened = match self.numbers {
            DOUBLE => feeds.iter().map(|(_, tensor)| tensor.widened()).collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        let given = feeds.iter().map(|(_, tensor)| tensor);
        let given: Vec<&Tensor> =
            if widened.is_empty() { given.collect() } else { widened.iter().collect() };
        let values: Vec<_> = given.iter().map(|tensor| tensor.raw).collect();
        let mut fetched = vec![std::ptr::null_mut(); fetches.len()];
        // SAFETY: each list is given with its length and outlives the call; the tensors stay ours, and
        // null stands for no options and no metadata.
        unsafe {
            (self.api.TF_SessionRun)(
                self.raw,
                std::ptr::null(),
                inputs.as_ptr(),
                values.as_ptr(),
                inputs.len() as c_int,
                fetches.as_ptr(),
                fetched.as_mut_ptr(),
                fetches.len() as c_int,
                targets.as_ptr(),
                targets.len() as c_int,
                std::ptr::null_mut(),
                status.raw,
            );
        }
        status.check(operation)?;
        // SAFETY: after a successful run each fetched tensor is there and ours.
        Ok(fetched.into_iter().map(|raw| unsafe { Tensor::from_raw(self.api, raw) }).collect())
    }

    /// Number of GPUs that this session can use.
    pub(crate) fn gpus(&self) -> Result<usize, BackendError> {
        let status = Status::new(self.api);
        // SAFETY: the list is read between its making and its deletion, within its length.
        let count = unsafe {
            let list = (self.api.TF_SessionListDevices)(self.raw, status.raw);
            if list.is_null() {
                status.check("listing the devices")?;
                return Ok(0);
            }
            let count = (0..(self.api.TF_DeviceListCount)(list)).filter(|index| {
                let kind = (self.api.TF_DeviceListType)(list, *index, status.raw);
                !kind.is_null() && CStr::from_ptr(kind) == c"GPU"
            });
            let count = count.count();
            (self.api.TF_DeleteDeviceList)(list);
            count
        };
        status.check("listing the devices")?;
        Ok(count)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let status = Status::new(self.api);
        // SAFETY: made by `new` and deleted once. Its variables go with it. Errors in closing
        // have no consequence.
        unsafe {
            (self.api.TF_CloseSession)(self.raw, status.raw);
            (self.api.TF_DeleteSession)(self.raw, status.raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_a_config_proto() {
        // `tf.compat.v1.ConfigProto(device_count={'GPU': 0}, intra_op_parallelism_threads=2,
        // inter_op_parallelism_threads=2, allow_soft_placement=True,
        // use_per_session_threads=True).SerializeToString()` of TensorFlow 2.21.
        let cpu = Config { gpu: false, threads: 2 };
        assert_eq!(cpu.bytes(), b"\n\x07\n\x03GPU\x10\x00\x10\x02(\x028\x01H\x01");
        // The same with 300 threads and gpu_options=GPUOptions(allow_growth=True) in place of the
        // device count.
        let gpu = Config { gpu: true, threads: 300 };
        assert_eq!(gpu.bytes(), b"\x10\xac\x02(\xac\x022\x02 \x018\x01H\x01");
    }
}
