//! Calls that may panic: into the evaluator, and into handlers.

use crate::evaluator::Failure;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `function`; a panic becomes a failure.
pub(crate) fn guarded<T>(function: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(function)).map_err(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without a message");
        tracing::error!(message, "a panic was caught");
        Failure::new("KernelPanic", message)
    })
}
