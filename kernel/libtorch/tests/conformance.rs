//! LibTorch computes what PyTorch's Python computed.

#[test]
fn libtorch_passes_the_conformance_suite_with_every_operation() {
    let unsupported = benchbook_conformance::run(&benchbook_libtorch::LibTorch);
    assert!(unsupported.is_empty(), "{unsupported:?}");
}
