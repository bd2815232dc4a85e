//! TensorFlow computes what PyTorch's Python computed.

use crate::support::library;

#[test]
fn tensorflow_passes_the_conformance_suite_with_every_operation() {
    if library().is_none() {
        return;
    }
    let unsupported = benchbook_conformance::run(&benchbook_tensorflow::TensorFlow);
    assert!(unsupported.is_empty(), "{unsupported:?}");
}
