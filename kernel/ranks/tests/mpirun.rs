//! Ranks on one machine, started by OpenMPI's mpirun. Each test starts itself as the ranks.

use benchbook_ranks::{Rank, Ranks, mpirun};
use std::process::{Command, Output};

/// Runs a test of this file in two ranks and returns its output; `None` without OpenMPI.
fn two_ranks(test: &str) -> Option<Output> {
    let output = mpirun(2)
        .args(["--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", "lo"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .output();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: no OpenMPI: apt-get install openmpi-bin");
            None
        }
        output => Some(output.unwrap()),
    }
}

fn all(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn ranks_sum() {
    let Some(ranks) = Ranks::of_process().unwrap() else {
        let Some(output) = two_ranks("ranks_sum") else { return };
        let text = all(&output);
        assert!(output.status.success(), "{text}");
        for rank in 0..2 {
            assert!(text.contains(&format!("rank {rank} of 2 is done")), "{text}");
        }
        return;
    };
    let number = ranks.rank.number;
    // 1 + 2 times each value.
    let mut values = [1.0, -2.5].map(|value| value * (number as f32 + 1.0));
    ranks.sum(&mut values).unwrap();
    assert_eq!(values, [3.0, -7.5]);
    // The difference is below the precision of 32-bit floats.
    let mut values = [1.0 + 1e-12 * number as f64];
    ranks.sum(&mut values).unwrap();
    assert_eq!(values, [2.0 + 1e-12]);
    ranks.finish().unwrap();
    // The end of the test's own line comes after it.
    println!("\nrank {number} of 2 is done");
}

#[test]
fn the_others_end_with_an_error_when_a_rank_is_killed() {
    let Some(ranks) = Ranks::of_process().unwrap() else {
        let test = "the_others_end_with_an_error_when_a_rank_is_killed";
        let Some(output) = two_ranks(test) else { return };
        let text = all(&output);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("signal 9"), "{text}");
        assert!(!text.contains("went on alone"), "{text}");
        return;
    };
    ranks.sum(&mut [1.0_f32]).unwrap();
    if ranks.rank.number == 1 {
        let own = std::process::id().to_string();
        Command::new("kill").args(["-9", &own]).status().unwrap();
    }
    let summed = ranks.sum(&mut [1.0_f32]);
    println!("\nwent on alone: {summed:?}");
}

/// As with an `srun` that does not speak OpenMPI's protocol: each process would train alone.
#[test]
fn a_launcher_that_mpi_does_not_know_is_an_error() {
    if std::env::var_os("SLURM_STEP_NUM_TASKS").is_some() {
        println!("\n{}", Ranks::of_process().err().unwrap());
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["a_launcher_that_mpi_does_not_know_is_an_error", "--exact", "--nocapture"])
        .env("SLURM_STEP_NUM_TASKS", "2")
        .output();
    let text = all(&output.unwrap());
    if text.contains("OpenMPI cannot be opened") {
        println!("SKIPPED: no OpenMPI: apt-get install openmpi-bin");
        return;
    }
    assert!(text.contains("started 2 ranks, but MPI counts 1"), "{text}");
}

#[test]
fn a_process_that_no_launcher_started_is_alone() {
    if std::env::var_os("OMPI_COMM_WORLD_SIZE").is_none() {
        assert!(Ranks::of_process().unwrap().is_none());
    }
}

#[test]
fn shares_are_neighbours_that_make_up_the_batch() {
    let shares = |batch, size| {
        (0..size).map(|number| Rank { number, size }.share(batch)).collect::<Vec<_>>()
    };
    assert_eq!(shares(5, 2), [0..2, 2..5]);
    assert_eq!(shares(1, 2), [0..0, 0..1]);
    assert_eq!(shares(8, 3), [0..2, 2..5, 5..8]);
    assert_eq!(Rank::ALONE.share(7), 0..7);
}
