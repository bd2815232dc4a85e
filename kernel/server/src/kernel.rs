//! `benchbook kernel`: a running kernel.
//!
//! It binds the sockets first, so that Jupyter gets answers while the execute thread still starts evcxr, the worker
//! and libtorch.

use crate::evaluate::{EvaluationThread, Rust};
use crate::is_complete::is_complete;
use crate::names::Names;
use crate::nesting;
use crate::session::Session;
use crate::template::{Installation, TemplateError};
use crate::worker::Host;
use crate::{cache, gpu, kernelspec};
use benchbook_display::Bundle;
use benchbook_jupyter::{
    About, CodeMirrorMode, Completeness, Completions, Control, Detail, End, Evaluator, Failure,
    GpuMemory, HelpLink, Kernel, LanguageInfo, Settings, connection,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Serves one front end until it requests a shutdown.
///
/// # Errors
/// The connection file cannot be read or its ports cannot be bound. All other errors appear in the notebook.
///
/// # Safety
/// No other thread may run yet, since the environment of this process is changed.
pub unsafe fn serve(connection_file: &Path, template: Option<&Path>) -> anyhow::Result<ExitCode> {
    let connection = connection::read(connection_file)?;
    // SAFETY: the caller guarantees that there is no other thread.
    let parts = unsafe { prepare(template) };
    let mut settings = Settings::new(about());
    settings.history = cache::folder().ok().map(|folder| folder.join("history.jsonl"));
    let kernel = Kernel::bind(connection, settings)?;
    let end = match parts {
        Ok((here, session, host)) => {
            let names = Arc::new(Names::new(&here.template.folder));
            let control = Arc::new(Signals { host: Some(host.clone()), names: Arc::clone(&names) });
            let session = Arc::new(session);
            let (kept, evaluated) = (Arc::clone(&session), host.clone());
            let end = kernel.run(control, move || {
                let start = move || Rust::start(&here, &kept, host.clone(), Arc::clone(&names));
                let started = EvaluationThread::start(evaluated, start);
                let started =
                    started.map_err(|error| Failure::new("KernelNotReady", error.to_string()))?;
                Ok(Box::new(started) as Box<dyn Evaluator>)
            });
            session.remove();
            end
        }
        Err(error) => {
            let control = Signals { host: None, names: Arc::default() };
            tracing::error!("{error:#}");
            let failure = Failure::new("KernelNotReady", format!("{error:#}"));
            kernel.run(Arc::new(control), move || Err(failure))
        }
    };
    let end: End = end?;
    tracing::info!("the kernel ends: {end:?}");
    Ok(ExitCode::SUCCESS)
}

unsafe fn prepare(template: Option<&Path>) -> anyhow::Result<(Installation, Session, Host)> {
    let folder = template.map_or_else(installed, |folder| Ok(folder.to_path_buf()))?;
    let here = Installation::open(&folder)?;
    // SAFETY: passed on to the caller.
    let session = unsafe { Session::begin(&here) }?;
    let host = Host::new(session.folder(), session.crate_folder(), here.template.worker());
    Ok((here, session, host))
}

/// The default template: the one in the wheel from which this program was installed, else the one built last.
///
/// # Errors
/// No template is installed.
pub fn installed() -> anyhow::Result<PathBuf> {
    if let Some(template) = kernelspec::wheel_template() {
        return Ok(template);
    }
    let templates = cache::folder()?.join("templates");
    let entries =
        std::fs::read_dir(&templates).map_err(|_| TemplateError::Missing(templates.clone()))?;
    let complete = entries.flatten().filter_map(|entry| {
        let written = entry.path().join("template.json").metadata().ok()?.modified().ok()?;
        Some((written, entry.path()))
    });
    let newest = complete.max().map(|(_, folder)| folder);
    Ok(newest.ok_or(TemplateError::Missing(templates))?)
}

/// Answers requests that arrive while a cell runs.
struct Signals {
    host: Option<Host>,
    names: Arc<Names>,
}

impl Control for Signals {
    fn interrupt(&self) {
        if let Some(host) = &self.host {
            host.interrupt();
        }
    }

    fn kill(&self) {
        if let Some(host) = &self.host {
            host.kill();
        }
    }

    fn is_complete(&self, code: &str) -> Completeness {
        is_complete(code)
    }

    fn complete(&self, code: &str, cursor: usize) -> Completions {
        let found = nesting::check(code)
            .ok()
            .and_then(|()| nesting::deep(|| self.names.complete(code, cursor)));
        found.unwrap_or_else(|| Completions::none(cursor))
    }

    fn inspect(&self, code: &str, cursor: usize, _detail: Detail) -> Option<Bundle> {
        nesting::check(code).ok()?;
        nesting::deep(|| self.names.inspect(code, cursor))?
    }

    fn gpu_memory(&self) -> Option<GpuMemory> {
        gpu::memory(self.host.as_ref()?.worker())
    }
}

fn about() -> About {
    let link = |text: &str, url: &str| HelpLink { text: text.into(), url: url.into() };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    About {
        implementation: kernelspec::NAME.into(),
        banner: format!("Benchbook {version}: Rust cells with tensors, training and plots at hand"),
        implementation_version: version,
        language: LanguageInfo {
            name: "rust".into(),
            version: env!("CARGO_PKG_RUST_VERSION").into(),
            mimetype: Some("text/rust".into()),
            file_extension: Some(".rs".into()),
            pygments_lexer: Some("rust".into()),
            codemirror_mode: Some(CodeMirrorMode::Simple("rust".into())),
            nbconvert_exporter: Some("script".into()),
        },
        help_links: vec![
            link("The Rust Book", "https://doc.rust-lang.org/book/"),
            link("Rust's standard library", "https://doc.rust-lang.org/std/"),
            link("tch", "https://docs.rs/tch/0.24.0/tch/"),
            link("evcxr's commands", "https://github.com/evcxr/evcxr/blob/main/COMMON.md"),
        ],
    }
}
