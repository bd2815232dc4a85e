//! The processes (ranks) that train one net together, as `mpirun` or `srun` started them, and sums over them.
//!
//! OpenMPI's library is opened by name at run time. Linked at build time, as the crate `mpi` does, it would be
//! needed wherever the wheel starts, and most machines have no MPI.
//!
//! [`Ranks::of_process`] → [`Ranks::sum`] in each step → [`Ranks::finish`]. A process that ends without
//! [`Ranks::finish`] has failed: `mpirun` then ends the other ranks, which would otherwise wait for it for ever.

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use std::env;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, OnceLock};
use thiserror::Error;

/// The names under which OpenMPI 3 to 5 install their C library (ABI 40), the distribution's first.
const LIBRARIES: [&str; 2] = ["libmpi.so.40", "libmpi.so"];
/// `MPI_THREAD_SERIALIZED` of OpenMPI's mpi.h: any thread may call, one at a time.
const SERIALIZED: c_int = 2;
/// Where launchers state how many processes they started: OpenMPI's mpirun, PMI's, and Slurm's srun.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Why ranks cannot work together.
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
        /// How many it started.
        size: usize,
        /// The system's error.
        source: libloading::Error,
    },
    /// The library is not OpenMPI's.
    #[error("the MPI library is not OpenMPI's: {0}")]
    Symbol(libloading::Error),
    /// The launcher's number is not that of MPI.
    #[error(
        "the launcher started {started} ranks, but MPI counts {counted}; start them with the mpirun of the same \
         OpenMPI, or with `srun --mpi=pmix`"
    )]
    Launcher {
        /// By the launcher's variable.
        started: usize,
        /// By MPI.
        counted: usize,
    },
    /// A call failed.
    #[error("{call} failed with MPI's error {code}")]
    Call {
        /// The function.
        call: &'static str,
        /// What it returned.
        code: c_int,
    },
    /// There are fewer images than ranks.
    #[error(
        "a batch of {batch} cannot be divided among {size} ranks; use a batch of at least {size}"
    )]
    Batch {
        /// Images of the batch.
        batch: usize,
        /// Number of ranks.
        size: usize,
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

/// This process among those that train together.
pub struct Ranks {
    /// Number of this process, from 0.
    pub rank: usize,
    /// Number of processes.
    pub size: usize,
    /// Held during a call, because MPI takes one at a time.
    calls: Mutex<()>,
    library: Library,
}

impl Ranks {
    /// The ranks that this process belongs to; `None` if no launcher started several. The first call starts MPI.
    ///
    /// # Errors
    /// A launcher started several, but OpenMPI is missing or counts another number.
    pub fn of_process() -> Result<Option<&'static Self>, &'static RanksError> {
        static RANKS: OnceLock<Result<Option<Ranks>, RanksError>> = OnceLock::new();
        RANKS.get_or_init(Self::start).as_ref().map(Option::as_ref)
    }

    fn start() -> Result<Option<Self>, RanksError> {
        let stated = |name| env::var(name).ok()?.parse().ok().map(|size: usize| (name, size));
        let Some((variable, size)) = SIZES.into_iter().find_map(stated) else { return Ok(None) };
        if size < 2 {
            return Ok(None);
        }
        // SAFETY: MPI's initialisers run no code of ours. OpenMPI's own plug-ins need its symbols to be global.
        let opened =
            LIBRARIES.map(|name| unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) });
        let [first, second] = opened;
        let library = first.or_else(|error| second.map_err(|_| error));
        let library = library.map_err(|source| RanksError::Library { variable, size, source })?;
        let mut ranks = Self { rank: 0, size, calls: Mutex::new(()), library };
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
            return Err(RanksError::Call { call: "MPI_Init_thread", code: provided });
        }
        let counted = ranks.query("MPI_Comm_size")?;
        if counted != size {
            return Err(RanksError::Launcher { started: size, counted });
        }
        ranks.rank = ranks.query("MPI_Comm_rank")?;
        Ok(Some(ranks))
    }

    unsafe fn symbol<T>(&self, name: &str) -> Result<Symbol<T>, RanksError> {
        // SAFETY: the caller gives the type of mpi.h.
        unsafe { self.library.get(name.as_bytes()) }.map_err(RanksError::Symbol)
    }

    /// The address of one of OpenMPI's predefined objects, which is its handle.
    fn handle(&self, name: &str) -> Result<*const c_void, RanksError> {
        // SAFETY: only the address is taken.
        Ok(unsafe { self.symbol::<*const c_void>(name) }?.into_raw().cast_const())
    }

    fn query(&self, call: &'static str) -> Result<usize, RanksError> {
        let mut number = 0;
        // SAFETY: both functions take a communicator and a number to fill.
        unsafe {
            let query: Symbol<Query> = self.symbol(call)?;
            checked(call, query(self.handle("ompi_mpi_comm_world")?, &raw mut number))?;
        }
        Ok(usize::try_from(number).unwrap_or(0))
    }

    /// Replaces each value by its sum over the ranks, the same bits on each. Waits for all ranks, each of which must
    /// pass as many values.
    ///
    /// # Errors
    /// MPI fails.
    pub fn sum(&self, values: &mut [f32]) -> Result<(), RanksError> {
        let _calls = self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let [float, sum, world] = ["ompi_mpi_float", "ompi_mpi_op_sum", "ompi_mpi_comm_world"]
            .map(|name| self.handle(name));
        let (float, sum, world) = (float?, sum?, world?);
        // SAFETY: the type is that of mpi.h.
        let reduce: Symbol<AllReduce> = unsafe { self.symbol("MPI_Allreduce")? };
        // In parts that MPI's `int` can count.
        for part in values.chunks_mut(1 << 28) {
            // MPI_IN_PLACE is the address 1; the memory holds as many floats.
            let code = unsafe {
                let in_place = ptr::without_provenance(1);
                reduce(in_place, part.as_mut_ptr().cast(), part.len() as c_int, float, sum, world)
            };
            checked("MPI_Allreduce", code)?;
        }
        Ok(())
    }

    /// The images of a batch that this rank computes: neighbours, and at most one more than another rank's.
    ///
    /// # Errors
    /// The batch is smaller than the number of ranks.
    pub fn share(&self, batch: usize) -> Result<Range<usize>, RanksError> {
        if batch < self.size {
            return Err(RanksError::Batch { batch, size: self.size });
        }
        Ok(self.rank * batch / self.size..(self.rank + 1) * batch / self.size)
    }

    /// Ends MPI, for which it waits for all ranks. Nothing may be summed afterwards.
    ///
    /// # Errors
    /// MPI fails.
    pub fn finish(&self) -> Result<(), RanksError> {
        let _calls = self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: takes nothing.
        unsafe {
            let finalize: Symbol<unsafe extern "C" fn() -> c_int> = self.symbol("MPI_Finalize")?;
            checked("MPI_Finalize", finalize())
        }
    }
}

fn checked(call: &'static str, code: c_int) -> Result<(), RanksError> {
    if code == 0 { Ok(()) } else { Err(RanksError::Call { call, code }) }
}
