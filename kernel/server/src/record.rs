//! `benchbook record`: starts a session once, so that the stand-in for cargo stores the queries and first cells
//! of every session in the template.

use crate::cargo::answers::RECORDING;
use crate::evaluate::Rust;
use crate::session::Session;
use crate::template::Installation;
use crate::worker::Host;
use benchbook_jupyter::Evaluator;
use std::path::Path;
use std::sync::Arc;

/// Records the answers that are missing.
///
/// # Errors
/// Cells cannot be run with the template, or its folder cannot be written.
///
/// # Safety
/// No other thread may run yet, since the environment of this process is changed.
pub unsafe fn record(folder: &Path) -> anyhow::Result<()> {
    let here = Installation::open(folder)?;
    // SAFETY: passed on to the caller.
    unsafe { std::env::set_var(RECORDING, "1") };
    // SAFETY: as above.
    let session = unsafe { Session::begin(&here) }?;
    let host = Host::new(session.folder(), session.crate_folder(), here.template.worker());
    let session = Arc::new(session);
    let mut rust = Rust::start(&here, &session, host, Arc::default())?;
    while rust.idle() {}
    rust.shutdown(false);
    session.remove();
    Ok(())
}
