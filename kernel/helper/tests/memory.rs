//! Peak memory belongs to the process, so this test has a process of its own.

use benchbook::prelude::{Depth, Run, Vgg};

#[test]
fn a_run_forgets_what_the_session_used_before_it() {
    let large = std::hint::black_box(vec![1_u8; 1 << 30]);
    drop(large);
    let mut run = Run::new("small");
    let net = Vgg { depth: Depth::Vgg11, size: 32, ..Vgg::default() };
    let mut model = run.build(net).unwrap();
    let memory = run.record(&mut model).unwrap().peak_memory;
    let peak = memory.host_bytes.unwrap();
    // VGG11 at 32² has 9.6 million parameters: 39 MB, twice while they are copied.
    assert!(peak >= memory.host_before_bytes.unwrap() + 38_000_000, "{memory:?}");
    if memory.host_reset {
        assert!(peak < 1 << 30, "{memory:?}");
    } else {
        println!("SKIPPED: this system does not let a process reset its peak memory");
        assert!(peak >= 1 << 30, "{memory:?}");
    }
}
