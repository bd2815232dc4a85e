//! Peak memory belongs to the process, so this test has a process of its own.

use benchbook::prelude::{Arrays, Build, Run, Sequential};

#[test]
fn a_run_forgets_what_the_session_used_before_it() {
    let large = std::hint::black_box(vec![1_u8; 1 << 30]);
    drop(large);
    let mut run = Run::new("small");
    let names = vec!["a".to_owned(), "b".to_owned()];
    let data = Arrays::new(vec![0.0; 4 * 3000], vec![3000], vec![0, 1, 0, 1], names).unwrap();
    let net = Sequential::vector(3000).dense(3200).relu().dense(2);
    let mut model = run.build(net, &data, Build::default()).unwrap();
    let memory = run.record(&mut model).unwrap().peak_memory;
    let peak = memory.host_bytes.unwrap();
    // The net has 9.6 million parameters: 38 MB, twice while they are copied.
    assert!(peak >= memory.host_before_bytes.unwrap() + 38_000_000, "{memory:?}");
    if memory.host_reset {
        assert!(peak < 1 << 30, "{memory:?}");
    } else {
        println!("SKIPPED: this system does not let a process reset its peak memory");
        assert!(peak >= 1 << 30, "{memory:?}");
    }
}
