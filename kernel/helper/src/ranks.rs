//! Starts and ends the processes (ranks) that train one net together.

use crate::backend::{BackendError, Rank};
use crate::error::Error;
use crate::model::Build;
use benchbook_ranks::{Ranks, mpirun, started};
use std::fmt::Display;
use std::os::unix::process::CommandExt;

/// Makes this process one of the ranks of a build ([`Build::ranks`]). If no launcher has started several, the process becomes
/// the `mpirun` that starts them with its own arguments, and this function does not return.
///
/// # Errors
/// [`Error::Setting`] if a launcher has started another number; [`Error::Backend`] if MPI is missing or fails.
pub(crate) fn join(build: &mut Build) -> Result<(), Error> {
    match (build.ranks, started()) {
        (0 | 1, None) => return Ok(()),
        (0 | 1, Some(started)) => build.ranks = started,
        (ranks, None) => {
            let own = std::env::current_exe().map_err(unavailable)?;
            let mut command = mpirun(ranks);
            // A study shows the last line of standard error, which should be the rank's message, not mpirun's.
            if crate::job::is_studied() {
                command.arg("--quiet");
            }
            let error = command.arg(own).args(std::env::args_os().skip(1)).exec();
            return Err(unavailable(format!(
                "{ranks} ranks need OpenMPI, whose `mpirun` does not start ({error}); install it (Debian: \
                 openmpi-bin)"
            )));
        }
        (ranks, Some(started)) if ranks != started => {
            let expected = "the number of processes that the launcher has started";
            let found = format!("{ranks} in {started} processes");
            return Err(Error::Setting { name: "ranks", expected, found });
        }
        (_, Some(_)) => {}
    }
    Ranks::of_process().map(|_| ()).map_err(unavailable)
}

fn unavailable(error: impl Display) -> Error {
    Error::Backend(BackendError::Unavailable { source: error.to_string().into() })
}

/// Ends the ranks of a build. Every rank must call it.
///
/// # Errors
/// [`Error::Backend`].
pub(crate) fn leave(build: &Build) -> Result<(), Error> {
    if build.ranks < 2 {
        return Ok(());
    }
    match Ranks::of_process() {
        Ok(Some(ranks)) => ranks.finish().map_err(unavailable),
        _ => Ok(()),
    }
}

impl Build {
    /// This process's place among the ranks that train together.
    pub(crate) fn rank(&self) -> Rank {
        let ranks = if self.ranks < 2 { None } else { Ranks::of_process().ok().flatten() };
        ranks.map_or(Rank::ALONE, |ranks| ranks.rank)
    }

    /// The threads of one rank, if all ranks together have `threads` (0: the number of cores).
    pub(crate) fn threads_of_rank(&self, threads: usize) -> usize {
        if self.ranks < 2 {
            return threads;
        }
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let all = if threads == 0 { cores() } else { threads };
        (all / self.ranks).max(1)
    }
}
