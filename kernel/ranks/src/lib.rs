//! The processes (ranks) that train one net together, as `mpirun` or `srun` started them, and sums over them.
//!
//! OpenMPI's library is opened by name at run time. If it was linked at build time, as by the crate `mpi`, the wheel
//! would only start on machines with MPI, and most machines have none.
//!
//! [`mpirun`] → [`Ranks::of_process`] → [`Ranks::sum`] in each step → [`Ranks::finish`]. A process that ends without
//! [`Ranks::finish`] has failed: `mpirun` then ends the other ranks, which would otherwise wait for it for ever.

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use std::env;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::process::Command;
use std::ptr;
use std::sync::{Mutex, OnceLock};
use thiserror::Error;

/// The names under which OpenMPI 3 to 5 install their C library (ABI 40), the distribution's first.
const LIBRARIES: [&str; 2] = ["libmpi.so.40", "libmpi.so"];
/// `MPI_THREAD_SERIALIZED` of OpenMPI's mpi.h: any thread may call, one at a time.
const SERIALIZED: c_int = 2;
/// The variables in which launchers state the number of processes: OpenMPI's mpirun, PMI's launchers, and Slurm's srun.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Errors of starting ranks and of sums over them.
#[derive(Debug, Error)]
pub enum RanksError {
    /// The library cannot be opened.
    #[error(
        "{variable}={size} says that {size} ranks were started, but OpenMPI cannot be opened; install it (Debian: \
         openmpi-bin): {source}"
    )]
    Library {
        /// The launcher's variable.
        variable: &'static str,
        /// The number of processes that it started.
        size: usize,
        /// The system's error.
        source: libloading::Error,
    },
    /// The library is not OpenMPI's.
    #[error("the MPI library is not OpenMPI's: {0}")]
    Symbol(libloading::Error),
    /// The launcher and MPI state different numbers of processes.
    #[error(
        "the launcher started {started} ranks, but MPI counts {counted}; start them with the mpirun of the same \
         OpenMPI, or with `srun --mpi=pmix`"
    )]
    Launcher {
        /// The number in the launcher's variable.
        started: usize,
        /// The number that MPI reports.
        counted: usize,
    },
    /// The installed MPI allows no calls from several threads.
    #[error(
        "MPI was built without support for threads (MPI_THREAD_SERIALIZED); install an OpenMPI with it"
    )]
    Threads,
    /// A call failed.
    #[error("{call} failed with MPI's error {code}")]
    Call {
        /// The function.
        call: &'static str,
        /// The returned error.
        code: c_int,
    },
}

type AllReduce = unsafe extern "C" fn(
    *const c_void,
    *mut c_void,
    c_int,
    *const c_void,
    *const c_void,
    *const c_void,
) -> c_int;
type Query = unsafe extern "C" fn(*const c_void, *mut c_int) -> c_int;

/// The place of a process among those that train together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Number of the process, from 0.
    pub number: usize,
    /// Number of processes, at least 1.
    pub size: usize,
}

impl Rank {
    /// A process that trains alone.
    pub const ALONE: Self = Self { number: 0, size: 1 };

    /// Whether the process is the one that writes files and prints.
    pub fn is_first(self) -> bool {
        self.number == 0
    }

    /// The examples of a batch that the process computes: a contiguous range, whose length differs by at most one between
    /// ranks. It may be empty if the batch is smaller than the number of ranks.
    pub fn share(self, batch: usize) -> Range<usize> {
        self.number * batch / self.size..(self.number + 1) * batch / self.size
    }
}

impl Default for Rank {
    fn default() -> Self {
        Self::ALONE
    }
}

/// The number of ranks, if a launcher has started several and this process is one of them.
pub fn started() -> Option<usize> {
    launcher().map(|(_, size)| size)
}

fn launcher() -> Option<(&'static str, usize)> {
    let stated = |name| env::var(name).ok()?.parse().ok().map(|size: usize| (name, size));
    SIZES.into_iter().find_map(stated).filter(|(_, size)| *size > 1)
}

/// The command that starts this number of ranks of a program. The caller adds the program and its arguments. Ranks are not
/// bound to cores, because each sets its own number of threads.
pub fn mpirun(ranks: usize) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["-n", &ranks.to_string(), "--bind-to", "none", "--oversubscribe"]);
    // Without this option, OpenMPI refuses to run as root. A root user who starts this process has accepted that.
    command.arg("--allow-run-as-root");
    command
}

/// A type of numbers that [`Ranks::sum`] supports.
pub trait Number {
    /// The name of OpenMPI's datatype.
    const HANDLE: &'static str;
}

impl Number for f32 {
    const HANDLE: &'static str = "ompi_mpi_float";
}

impl Number for f64 {
    const HANDLE: &'static str = "ompi_mpi_double";
}

/// The connection of this process to the other ranks.
pub struct Ranks {
    /// The place of this process among the ranks.
    pub rank: Rank,
    /// Held during a call, because MPI allows one at a time ([`SERIALIZED`]).
    calls: Mutex<()>,
    library: Library,
}

impl Ranks {
    /// The ranks that this process belongs to; `None` if no launcher started several. The first call starts MPI.
    ///
    /// # Errors
    /// A launcher started several, but OpenMPI is missing or reports another number.
    pub fn of_process() -> Result<Option<&'static Self>, &'static RanksError> {
        static RANKS: OnceLock<Result<Option<Ranks>, RanksError>> = OnceLock::new();
        RANKS.get_or_init(Self::start).as_ref().map(Option::as_ref)
    }

    fn start() -> Result<Option<Self>, RanksError> {
        let Some((variable, size)) = launcher() else { return Ok(None) };
        // OpenMPI's plug-ins need its symbols to be global. The second name, which may be another MPI's, is not opened beside
        // the first.
        // SAFETY: the library's initialisers run no code of this process.
        let open = |name: &str| unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) };
        let [first, second] = LIBRARIES;
        let library = open(first).or_else(|error| open(second).map_err(|_| error));
        let library = library.map_err(|source| RanksError::Library { variable, size, source })?;
        let rank = Rank { number: 0, size };
        let mut ranks = Self { rank, calls: Mutex::new(()), library };
        let mut provided = 0;
        // SAFETY: the types are those of OpenMPI's mpi.h.
        unsafe {
            type Init = unsafe extern "C" fn(*mut c_int, *mut c_void, c_int, *mut c_int) -> c_int;
            let init: Symbol<Init> = ranks.symbol("MPI_Init_thread")?;
            checked(
                "MPI_Init_thread",
                init(ptr::null_mut(), ptr::null_mut(), SERIALIZED, &raw mut provided),
            )?;
        }
        if provided < SERIALIZED {
            return Err(RanksError::Threads);
        }
        let counted = ranks.query("MPI_Comm_size")?;
        if counted != size {
            return Err(RanksError::Launcher { started: size, counted });
        }
        ranks.rank.number = ranks.query("MPI_Comm_rank")?;
        // Otherwise a rank whose launcher was killed would wait for the other ranks for ever.
        // SAFETY: changes a setting of this process; no memory is involved (prctl(2)).
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        Ok(Some(ranks))
    }

    unsafe fn symbol<T>(&self, name: &str) -> Result<Symbol<T>, RanksError> {
        // SAFETY: the caller guarantees that `T` is the type in mpi.h.
        unsafe { self.library.get(name.as_bytes()) }.map_err(RanksError::Symbol)
    }

    /// The address of one of OpenMPI's predefined objects, which is its handle.
    fn handle(&self, name: &str) -> Result<*const c_void, RanksError> {
        // SAFETY: only the address is taken.
        Ok(unsafe { self.symbol::<*const c_void>(name) }?.into_raw().cast_const())
    }

    fn query(&self, call: &'static str) -> Result<usize, RanksError> {
        let mut number = 0;
        // SAFETY: both functions take a communicator and a pointer to the number that they write.
        unsafe {
            let query: Symbol<Query> = self.symbol(call)?;
            checked(call, query(self.handle("ompi_mpi_comm_world")?, &raw mut number))?;
        }
        Ok(usize::try_from(number).unwrap_or(0))
    }

    /// Replaces each value by its sum over the ranks, which is bit-identical on all ranks. Waits for all ranks, each of
    /// which must pass the same number of values.
    ///
    /// # Errors
    /// [`RanksError::Call`] if MPI fails.
    pub fn sum<T: Number>(&self, values: &mut [T]) -> Result<(), RanksError> {
        let _calls = self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let [number, sum, world] =
            [T::HANDLE, "ompi_mpi_op_sum", "ompi_mpi_comm_world"].map(|name| self.handle(name));
        let (number, sum, world) = (number?, sum?, world?);
        // SAFETY: the type in mpi.h.
        let reduce: Symbol<AllReduce> = unsafe { self.symbol("MPI_Allreduce")? };
        // In chunks whose length fits into MPI's `int`.
        for part in values.chunks_mut(1 << 28) {
            // SAFETY: MPI_IN_PLACE is the address 1, and `part` has this number of values of the type.
            let code = unsafe {
                let in_place = ptr::without_provenance(1);
                reduce(in_place, part.as_mut_ptr().cast(), part.len() as c_int, number, sum, world)
            };
            checked("MPI_Allreduce", code)?;
        }
        Ok(())
    }

    /// Waits for all ranks and ends MPI. No sum may follow.
    ///
    /// # Errors
    /// [`RanksError::Call`] if MPI fails.
    pub fn finish(&self) -> Result<(), RanksError> {
        let _calls = self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: the function has no arguments.
        unsafe {
            let finalize: Symbol<unsafe extern "C" fn() -> c_int> = self.symbol("MPI_Finalize")?;
            checked("MPI_Finalize", finalize())
        }
    }
}

fn checked(call: &'static str, code: c_int) -> Result<(), RanksError> {
    if code == 0 { Ok(()) } else { Err(RanksError::Call { call, code }) }
}
