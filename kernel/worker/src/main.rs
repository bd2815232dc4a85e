//! The process in which cells and benchmark jobs run.
//!
//! For cells it first forks: one process runs the cells, the other is its guard (`benchbook_guard`).
//! Then it configures the C library's allocator, loads the helper library, whose path is in `BENCHBOOK_HELPER`, and
//! calls the library's function for this role. Everything that cells share with
//! the worker (the panic hook, the interrupt flag, the frame writer) is in that library.

mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    let role = std::env::args().nth(1);
    if role.is_some() {
        benchbook_guard::end_with_reader();
    // SAFETY: no other thread runs yet.
    } else if let Err(error) = unsafe { benchbook_guard::split_worker() } {
        eprintln!("benchbook-worker: the guard process did not start: {error}");
        return ExitCode::FAILURE;
    }
    allocator::set();
    let role = role.as_deref().unwrap_or("worker");
    match run(&format!("benchbook_{role}_main")) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Err(error) => {
            eprintln!("benchbook-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(symbol: &str) -> Result<i32, String> {
    let path = std::env::var_os("BENCHBOOK_HELPER").ok_or(
        "BENCHBOOK_HELPER is not set; `benchbook kernel` and `benchbook bench` start workers",
    )?;
    // SAFETY: the helper library was built together with this program; loading it runs the
    // initialisers of libtorch.
    let library = unsafe {
        libloading::os::unix::Library::open(
            Some(&path),
            libloading::os::unix::RTLD_NOW | libloading::os::unix::RTLD_GLOBAL,
        )
    }
    .map_err(|error| format!("cannot load {}: {error}", path.display()))?;
    // SAFETY: the helper library declares these functions with this signature.
    let status = unsafe {
        let main = library
            .get::<unsafe extern "C" fn() -> i32>(symbol)
            .map_err(|error| format!("{} has no `{symbol}`: {error}", path.display()))?;
        main()
    };
    // Threads of libtorch may still run its code.
    std::mem::forget(library);
    Ok(status)
}
