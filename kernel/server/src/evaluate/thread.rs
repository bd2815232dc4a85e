//! The thread of evcxr.
//!
//! It is separate from the thread that answers the front end, since rust-analyzer cannot be interrupted. If a cell
//! is interrupted meanwhile, the cell ends for the front end within a second. The thread finishes its current
//! work, compiles nothing, and continues with the next cell. Its stack is large enough to infer the types of deeply
//! nested code.

use super::Rust;
use crate::nesting::STACK;
use crate::worker::Host;
use benchbook_display::Bundle;
use benchbook_jupyter::{Cell, Completions, Detail, Evaluator, Executed, Failure, Outcome, Output};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Interval of checks for an interrupt.
const LOOK: Duration = Duration::from_millis(100);

/// How long an interrupted cell may take before the kernel reports its end without its thread.
const MOMENT: Duration = Duration::from_millis(600);

/// How long the shutdown waits for the thread.
const PATIENCE: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce(&mut Starting) + Send>;

/// Runs [`Rust`] on a thread of its own.
pub struct EvaluationThread {
    jobs: Sender<Job>,
    /// Number of unfinished jobs.
    open: Arc<AtomicUsize>,
    host: Host,
}

impl EvaluationThread {
    /// Starts the thread and waits until it has called `start`. While `start` fails, each cell
    /// calls it again and fails with its error.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(
        host: Host,
        start: impl FnMut() -> anyhow::Result<Rust> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, work) = crossbeam_channel::unbounded::<Job>();
        let evaluation = move || {
            let mut starting = Starting::new(start);
            work.into_iter().for_each(|job| job(&mut starting));
        };
        thread::Builder::new().name("evaluation".into()).stack_size(STACK).spawn(evaluation)?;
        let evaluation = Self { jobs, open: Arc::default(), host };
        answer(&evaluation.ask(|_| ()));
        Ok(evaluation)
    }

    /// Runs a job on the thread; a panic there becomes the answer.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Starting) -> T + Send + 'static,
    ) -> Receiver<thread::Result<T>> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let open = Open::new(&self.open);
        let job = move |starting: &mut Starting| {
            let value = catch_unwind(AssertUnwindSafe(|| question(starting)));
            drop(open);
            // The receiver may be gone.
            let _ = answer.send(value);
        };
        // The thread lives as long as this sender.
        let _ = self.jobs.send(Box::new(job));
        answered
    }

    /// Whether the thread still works on an interrupted cell.
    fn is_busy(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }
}

/// Waits for an answer. Resumes a panic of the thread.
fn answer<T>(answered: &Receiver<thread::Result<T>>) -> T {
    match answered.recv() {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => panic!("the evaluation's thread has ended"),
    }
}

/// Counts a job as unfinished until dropped.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Evaluator for EvaluationThread {
    fn execute(&mut self, cell: &Cell, output: &Output) -> Executed {
        let left = Arc::new(AtomicBool::new(false));
        let answered = {
            let (cell, output, left) = (cell.clone(), output.clone(), Arc::clone(&left));
            self.ask(move |starting| {
                (!left.load(Ordering::SeqCst)).then(|| starting.execute(&cell, &output))
            })
        };
        let mut interrupted: Option<Instant> = None;
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(Ok(Some(executed))) => return executed,
                Ok(Err(panic)) => resume_unwind(panic),
                Err(RecvTimeoutError::Timeout) => {}
                // A job is skipped only after this function has returned.
                Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => {
                    panic!("the evaluation's thread has ended")
                }
            }
            if !output.interrupted() {
                continue;
            }
            let since = *interrupted.get_or_insert_with(Instant::now);
            if since.elapsed() >= MOMENT && !self.host.runs() {
                left.store(true, Ordering::SeqCst);
                return Outcome::Error(Failure::new(
                    "KeyboardInterrupt",
                    "the cell was interrupted while its types were inferred; variables are kept, and the next cell begins when that has ended",
                ))
                .into();
            }
        }
    }

    fn shutdown(&mut self, _restart: bool) {
        self.host.kill();
        // A job still running could write to the session's folder during its removal.
        let begun = Instant::now();
        while self.is_busy() && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn idle(&mut self) -> bool {
        // A job left behind is unfinished: there is work to return to.
        self.is_busy() || answer(&self.ask(|starting| starting.idle()))
    }

    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        if self.is_busy() {
            return Completions::none(cursor);
        }
        let code = code.to_owned();
        answer(&self.ask(move |starting| starting.complete(&code, cursor)))
    }

    fn inspect(&mut self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        if self.is_busy() {
            return None;
        }
        let code = code.to_owned();
        answer(&self.ask(move |starting| starting.inspect(&code, cursor, detail)))
    }
}

/// Starts [`Rust`], and tries again with each cell until it succeeds.
struct Starting {
    start: Box<dyn FnMut() -> anyhow::Result<Rust>>,
    started: anyhow::Result<Rust>,
}

impl Starting {
    /// Makes the first attempt.
    fn new(mut start: impl FnMut() -> anyhow::Result<Rust> + 'static) -> Self {
        let started = start();
        if let Err(error) = &started {
            tracing::error!("{error:#}");
        }
        Self { start: Box::new(start), started }
    }
}

impl Evaluator for Starting {
    fn execute(&mut self, cell: &Cell, output: &Output) -> Executed {
        if self.started.is_err() {
            self.started = (self.start)();
        }
        match &mut self.started {
            Ok(rust) => rust.execute(cell, output),
            Err(error) => {
                Outcome::Error(Failure::new("KernelNotReady", format!("{error:#}"))).into()
            }
        }
    }

    fn idle(&mut self) -> bool {
        self.started.as_mut().is_ok_and(Rust::idle)
    }

    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        match &mut self.started {
            Ok(rust) => rust.complete(code, cursor),
            Err(_) => Completions::none(cursor),
        }
    }

    fn inspect(&mut self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        self.started.as_mut().ok()?.inspect(code, cursor, detail)
    }
}
