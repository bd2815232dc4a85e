//! Ranks on one machine, started by OpenMPI's mpirun. Each test starts itself as the ranks.

use benchbook_ranks::{Ranks, RanksError};
use std::process::{Command, Output};

/// Runs a test of this file as two ranks.
fn two_ranks(test: &str) -> Output {
    Command::new("mpirun")
        .args(["-n", "2", "--allow-run-as-root", "--oversubscribe", "--mca", "btl", "self,tcp"])
        .args(["--mca", "btl_tcp_if_include", "lo"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .output()
        .expect("mpirun does not start; install OpenMPI (Debian: openmpi-bin)")
}

fn all(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn ranks_sum_and_divide_a_batch() {
    let Some(ranks) = Ranks::of_process().unwrap() else {
        let output = two_ranks("ranks_sum_and_divide_a_batch");
        let text = all(&output);
        assert!(output.status.success(), "{text}");
        for rank in 0..2 {
            assert!(text.contains(&format!("rank {rank} of 2 is done")), "{text}");
        }
        return;
    };
    let own = [1.0, -2.5].map(|value| value * (ranks.rank as f32 + 1.0));
    let mut values = own;
    ranks.sum(&mut values).unwrap();
    // 1 + 2 times each value.
    assert_eq!(values, [3.0, -7.5]);
    assert_eq!(ranks.share(5).unwrap(), [0..2, 2..5][ranks.rank]);
    assert!(matches!(ranks.share(1), Err(RanksError::Batch { batch: 1, size: 2 })));
    ranks.finish().unwrap();
    // The end of the test's own line comes after it.
    println!("\nrank {} of 2 is done", ranks.rank);
}

#[test]
fn the_others_end_with_an_error_when_a_rank_is_killed() {
    let Some(ranks) = Ranks::of_process().unwrap() else {
        let output = two_ranks("the_others_end_with_an_error_when_a_rank_is_killed");
        let text = all(&output);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("signal 9"), "{text}");
        assert!(!text.contains("went on alone"), "{text}");
        return;
    };
    ranks.sum(&mut [1.0]).unwrap();
    if ranks.rank == 1 {
        let own = std::process::id().to_string();
        Command::new("kill").args(["-9", &own]).status().unwrap();
    }
    let summed = ranks.sum(&mut [1.0]);
    println!("\nwent on alone: {summed:?}");
}

#[test]
fn a_process_that_no_launcher_started_is_alone() {
    if std::env::var_os("OMPI_COMM_WORLD_SIZE").is_none() {
        assert!(Ranks::of_process().unwrap().is_none());
    }
}
