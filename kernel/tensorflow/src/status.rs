//! The status of calls of the C API.

use crate::api::{Api, OK, TF_Status};
use crate::backend::NAME;
use benchbook_backend::BackendError;
use std::ffi::CStr;

/// The status that functions of the C API write.
pub(crate) struct Status {
    api: &'static Api,
    pub(crate) raw: *mut TF_Status,
}

impl Status {
    pub(crate) fn new(api: &'static Api) -> Self {
        // SAFETY: no arguments.
        let raw = unsafe { (api.TF_NewStatus)() };
        Self { api, raw }
    }

    /// An error unless the call that had this status succeeded.
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), BackendError> {
        // SAFETY: the status is alive, and so is its text until the next call with it.
        unsafe {
            if (self.api.TF_GetCode)(self.raw) == OK {
                return Ok(());
            }
            let message = CStr::from_ptr((self.api.TF_Message)(self.raw)).to_string_lossy();
            Err(failed(operation, first_words(&message)))
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        // SAFETY: made by `new` and deleted once.
        unsafe { (self.api.TF_DeleteStatus)(self.raw) }
    }
}

pub(crate) fn failed(operation: &'static str, message: String) -> BackendError {
    BackendError::Library { library: NAME, operation, message }
}

/// Removes the operation's place in the graph, which does not help users of a net.
fn first_words(message: &str) -> String {
    let lines = message.lines().take_while(|line| !line.starts_with("\t [[") && !line.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}
