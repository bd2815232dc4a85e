//! The tests that every backend must pass: values of Python's PyTorch, and rules of the interface.
//!
//! [`cases`] reads one file for each graph: one graph for each operation and variant, and a few small nets. [`run`] puts
//! a backend through all of them and through the rules of its interface: weights and optimiser states out and in,
//! freezing, features, wrong labels and lengths, a missing device, a loss that is not finite. A failure names its case.
//! `environment/originals/conformance.py` makes the files and documents their format.
//!
//! ```no_run
//! # fn backend() -> &'static dyn benchbook_backend::Backend { unimplemented!() }
//! let unsupported = benchbook_conformance::run(backend());
//! assert!(unsupported.is_empty(), "{unsupported:?}");
//! ```

mod case;
mod rules;
mod values;

pub use case::{Case, Settings, Training, cases};

use benchbook_backend::{Backend, BackendError, Device};

/// Examples in a batch.
pub const BATCH: usize = 4;
/// Training steps with each optimiser.
pub const STEPS: usize = 2;
/// Seed of the first step's dropout masks; the next step has the next seed.
pub const SEED: u64 = 5;
/// The largest difference, relative to the largest value of a tensor. Sums in another order differ by rounding, about a
/// millionth for nets of this size.
pub const TOLERANCE: f32 = 1e-4;

/// A case that a backend does not support.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsupported {
    /// The case's name.
    pub case: String,
    /// The backend's reason.
    pub reason: String,
}

/// Runs a backend through all cases and rules, on the CPU in 32-bit floats. Returns the unsupported cases, which the
/// backend's own test compares with a list.
///
/// # Panics
/// With every failure: its case, the compared value, and the difference.
pub fn run(backend: &dyn Backend) -> Vec<Unsupported> {
    run_on(backend, Device::Cpu)
}

/// [`run`] on a device.
///
/// # Panics
/// As [`run`].
pub fn run_on(backend: &dyn Backend, device: Device) -> Vec<Unsupported> {
    let (mut failures, mut unsupported) = (Vec::new(), Vec::new());
    let cases: Vec<Case> = cases().into_iter().map(|case| Case { device, ..case }).collect();
    for case in &cases {
        match backend.supports(&case.plan()) {
            Ok(()) => failures.extend(values::check(backend, case)),
            Err(BackendError::Operation { reason, .. }) => {
                unsupported.push(Unsupported { case: case.name.clone(), reason });
            }
            Err(error) => failures.push(format!("{}: supports: {error}", case.name)),
        }
    }
    failures.extend(rules::check(backend, &cases));
    let (count, list) = (failures.len(), failures.join("\n"));
    assert!(failures.is_empty(), "{}: {count} failures\n{list}", backend.about().name);
    unsupported
}
