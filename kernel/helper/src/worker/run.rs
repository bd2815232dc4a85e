//! Runs cells on the main thread, one after the other, as evcxr asks for them.

use super::{crash, failure, send};
use crate::evcxr_runtime::VariableStore;
use crate::interrupt;
use benchbook_frames::Message;
use std::ffi::c_void;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// evcxr's side of the worker: its commands come in here and its markers go out.
pub(super) struct Control {
    commands: File,
    replies: File,
    log: File,
}

static REPLIES: OnceLock<Mutex<File>> = OnceLock::new();

impl Control {
    pub(super) fn new(commands: File, replies: File, log: File) -> Self {
        Self { commands, replies, log }
    }
}

/// Tells evcxr something about the running cell.
pub(super) fn reply(line: &str) {
    if let Some(replies) = REPLIES.get() {
        let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(replies, "{line}");
    }
}

/// Tells evcxr that a variable's type was defined anew, so that it forgets the variable.
pub fn variable_changed_type(name: &str) {
    reply(&format!("EVCXR_VARIABLE_CHANGED_TYPE:{name}"));
}

/// The whole life of a worker; returns the exit status of the process.
#[unsafe(no_mangle)]
pub extern "C" fn benchbook_worker_main() -> i32 {
    // A server that was killed takes the worker along; a training would go on for nobody.
    // SAFETY: asks the operating system for a signal; no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // evcxr asks for backtraces; in a notebook they hide what was said, and a panic is told by the
    // server, with the line of the cell.
    // SAFETY: no thread of this library's or of a cell's runs yet.
    unsafe { std::env::remove_var("RUST_BACKTRACE") };
    let control = match super::connect() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("the worker could not start: {error}");
            return 1;
        }
    };
    failure::install_hook();
    crash::install(control.log.as_raw_fd());
    interrupt::install();
    load_cuda();
    crate::chart::install_font();
    let _ = REPLIES.set(Mutex::new(control.replies));
    send(Message::Ready);
    let mut variables = std::ptr::null_mut();
    for line in BufReader::new(control.commands).lines() {
        let Ok(line) = line else { break };
        match run(&line, variables) {
            Ok(kept) => variables = kept,
            Err(error) => {
                let mut log = &control.log;
                let _ = writeln!(log, "the worker cannot run `{line}`: {error}");
                return 1;
            }
        }
    }
    // SAFETY: ends the process without the destructors of libraries, which nothing needs any more.
    unsafe { libc::_exit(0) }
}

/// Loads one cell's library and calls its function, which takes and returns the variables.
fn run(line: &str, variables: *mut c_void) -> Result<*mut c_void, String> {
    let mut words = line.split(' ');
    let (Some("LOAD_AND_RUN"), Some(path), Some(name), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("expected LOAD_AND_RUN, a path and a function".into());
    };
    interrupt::clear();
    failure::clear();
    send(Message::Started);
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        // A cell of nothing but items (`server/src/cargo/build.rs`).
        super::finish();
        reply("EVCXR_EXECUTION_COMPLETE");
        return Ok(variables);
    }
    // SAFETY: the file was compiled by this session against this very helper library.
    let library = match unsafe { libloading::Library::new(path) } {
        Ok(library) => library,
        Err(error) => {
            // A function that is declared `extern` and is nowhere, for example.
            // SAFETY: null or what the last cell returned, which is evcxr's store.
            let store = unsafe { variables.cast::<VariableStore>().as_ref() };
            failure::not_loaded(&error, store.into_iter().flat_map(VariableStore::names));
            super::finish();
            reply("EVCXR_EXECUTION_COMPLETE");
            return Ok(variables);
        }
    };
    type Cell = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
    // SAFETY: evcxr declares the function of every cell with this signature.
    let variables = unsafe {
        let cell = library.get::<Cell>(name.as_bytes()).map_err(|error| error.to_string())?;
        cell(variables)
    };
    // Variables, statics and thread-local destructors point into the cell's code: it stays.
    std::mem::forget(library);
    // SAFETY: flushes C's own buffers (of libtorch, say); null means all of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    super::finish();
    reply("EVCXR_EXECUTION_COMPLETE");
    Ok(variables)
}

/// libtorch finds CUDA only if its CUDA library is in the process, which no symbol of a program
/// that also runs without CUDA can ask for. Without the file this is a machine for the CPU.
pub(crate) fn load_cuda() {
    let Some(folder) = std::env::var_os("BENCHBOOK_LIBTORCH_LIB") else { return };
    let path = Path::new(&folder).join("libtorch_cuda.so");
    if !path.exists() {
        return;
    }
    // SAFETY: libtorch's own library, whose initialisers only register operators.
    match unsafe { libloading::Library::new(&path) } {
        Ok(library) => {
            std::mem::forget(library);
            // Nothing can have it yet: this is the beginning of the process.
            let _ = crate::backend::cuda::claim(crate::backend::libtorch::NAME);
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "CUDA is not available: {}: {error}", path.display());
        }
    }
}
