//! Runs the cells that evcxr sends, one at a time, on the main thread.

use super::{crash, failure, is_forked, send, server, stdout};
use crate::backend::{LibTorch, set_colours};
use crate::evcxr_runtime::VariableStore;
use crate::interrupt;
use benchbook_frames::Message;
use benchbook_guard::Replies;
use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

static REPLIES: OnceLock<Mutex<Replies>> = OnceLock::new();

/// Address of the newest cell's library.
static NEWEST: AtomicUsize = AtomicUsize::new(0);

/// Sends evcxr a message about the running cell.
pub(super) fn reply(line: &str) {
    if let Some(replies) = REPLIES.get() {
        let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = replies.send(line);
    }
}

/// Ends a process that the cell has forked: only the worker may report the cell's end.
pub(super) fn end_if_forked(status: i32) {
    if is_forked() {
        stdout::flush();
        // SAFETY: flushes C's own buffers, and ends the process without what is registered for its end.
        unsafe {
            libc::fflush(std::ptr::null_mut());
            libc::_exit(status)
        }
    }
}

/// Tells evcxr that a variable's type was redefined, so that evcxr drops the variable.
pub fn variable_changed_type(name: &str) {
    reply(&format!("EVCXR_VARIABLE_CHANGED_TYPE:{name}"));
}

/// Runs the process as a worker and returns its exit status.
#[unsafe(no_mangle)]
pub extern "C" fn benchbook_worker_main() -> i32 {
    // evcxr turns backtraces on; in a notebook they hide the message, and the server names the cell's line.
    // SAFETY: no thread of this library's or of a cell's runs yet.
    unsafe { std::env::remove_var("RUST_BACKTRACE") };
    let (control, log) = match super::connect() {
        Ok(connected) => connected,
        Err(error) => {
            eprintln!("the worker could not start: {error}");
            return 1;
        }
    };
    failure::install_hook();
    crash::install(log.as_raw_fd());
    interrupt::install();
    // Cells use LibTorch's tensors.
    LibTorch.load_cuda();
    set_colours();
    crate::chart::install_font();
    send(Message::Ready { token: control.token().to_owned() });
    let (commands, replies) = control.into_parts();
    let _ = REPLIES.set(Mutex::new(replies));
    let mut variables = std::ptr::null_mut();
    for line in commands {
        let kept = line.map_err(|error| error.to_string()).and_then(|line| run(&line, variables));
        match kept {
            Ok(kept) => variables = kept,
            Err(error) => {
                // The cell has closed the descriptor, so the line came from one of its own files.
                let mut log = &log;
                let _ = writeln!(log, "the worker received an invalid command: {error}");
                // SAFETY: ends the process.
                unsafe { libc::_exit(benchbook_guard::LOST_STATUS) }
            }
        }
    }
    // SAFETY: ends the process without the destructors of libraries, which nothing needs any more.
    unsafe { libc::_exit(0) }
}

/// Loads one cell's library and calls its function, which takes and returns the variables.
fn run(line: &str, variables: *mut c_void) -> Result<*mut c_void, String> {
    // The path may have blanks.
    let words = line.strip_prefix("LOAD_AND_RUN ").and_then(|words| words.rsplit_once(' '));
    let (path, name) = words.ok_or("expected LOAD_AND_RUN, a path and a function")?;
    interrupt::begin_cell();
    failure::clear();
    if let Some(server) = server() {
        send(Message::Started { token: server.token.clone() });
    }
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        // A cell with items only (`server/src/cargo/build.rs`).
        finish();
        return Ok(variables);
    }
    let library = match load(Path::new(path)) {
        Ok(library) => library,
        Err(error) => {
            // For example an `extern` function without a definition.
            // SAFETY: null or what the last cell returned, which is evcxr's store.
            let store = unsafe { variables.cast::<VariableStore>().as_ref() };
            failure::not_loaded(&error, store.into_iter().flat_map(VariableStore::names));
            finish();
            return Ok(variables);
        }
    };
    type Cell = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
    // SAFETY: evcxr declares the function of every cell with this signature.
    let variables = unsafe {
        let cell = library.get::<Cell>(name.as_bytes()).map_err(|error| error.to_string())?;
        NEWEST.store(library_of(*cell as *const c_void), Ordering::Relaxed);
        cell(variables)
    };
    end_if_forked(0);
    // Never unloaded: variables, statics and thread-local destructors point into the cell's code.
    std::mem::forget(library);
    // SAFETY: flushes C's own buffers (of libtorch, say); null means all of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    finish();
    Ok(variables)
}

/// The address of the library with this code; 0 if none has it.
fn library_of(code: *const c_void) -> usize {
    // SAFETY: `Dl_info` is plain data, which the call fills; it follows no pointer.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        libc::dladdr(code, &raw mut info);
        info.dli_fbase as usize
    }
}

/// Whether this thread is running code of the newest cell.
pub(super) fn is_in_newest_cell() -> bool {
    let newest = NEWEST.load(Ordering::Relaxed);
    let mut stack = [std::ptr::null_mut(); 256];
    // SAFETY: the second argument is the length of the array.
    let depth = unsafe { libc::backtrace(stack.as_mut_ptr(), stack.len() as i32) };
    let stack = stack.iter().take(usize::try_from(depth).unwrap_or(0));
    newest != 0 && stack.into_iter().any(|code| library_of(*code) == newest)
}

/// Reports the cell's end to the server, then to evcxr.
fn finish() {
    interrupt::end_cell();
    for stream in server().map(|server| server.streams.mend()).unwrap_or_default() {
        let _ = writeln!(
            io::stderr(),
            "the cell closed {stream} of its process; the kernel has opened it again"
        );
    }
    super::finish();
    reply("EVCXR_EXECUTION_COMPLETE");
}

/// Loads a library, also from a file system mounted `noexec`. Later cells see its exported statics.
fn load(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};
    // SAFETY: the file was compiled by this session against this very helper library.
    let open = |path: &Path| unsafe { Library::open(Some(path), RTLD_LAZY | RTLD_GLOBAL) };
    let loaded = open(path).map(Into::into);
    if loaded.is_ok() {
        return loaded;
    }
    match in_memory(path) {
        // The copy must stay open until it is loaded.
        Some((_copy, link)) => open(&link).map(Into::into),
        None => loaded,
    }
}

/// A copy in memory of a library on a `noexec` file system. Its name is unique, since the loader takes libraries of
/// equal names for one.
fn in_memory(path: &Path) -> Option<(File, PathBuf)> {
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
    // SAFETY: the structure is local and is filled by the call, which takes a string that ends in 0.
    let forbidden = unsafe {
        let mut system: libc::statvfs = std::mem::zeroed();
        libc::statvfs(name.as_ptr(), &raw mut system) == 0 && system.f_flag & libc::ST_NOEXEC != 0
    };
    if !forbidden {
        return None;
    }
    // SAFETY: the descriptor is new and has no other owner.
    let mut copy = unsafe {
        let copy = libc::memfd_create(c"cell".as_ptr(), libc::MFD_CLOEXEC);
        if copy < 0 {
            return None;
        }
        File::from_raw_fd(copy)
    };
    io::copy(&mut File::open(path).ok()?, &mut copy).ok()?;
    let link = path.with_extension("memory");
    // An earlier worker may have left it.
    let _ = std::fs::remove_file(&link);
    symlink(format!("/proc/self/fd/{}", copy.as_raw_fd()), &link).ok()?;
    Some((copy, link))
}
