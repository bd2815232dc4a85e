//! The execute thread, and the queue of the cells that wait for it.

mod cell;

use crate::core::Core;
use crate::evaluator::{Control, Evaluator, Failure};
use crate::handler::{Questions, Request, answer, assist_with, fail};
use crate::panics::guarded;
use crate::wake::locked;
use crate::wire::ExecuteRequest;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long the queue must be empty before the evaluator works ahead. A client that has just
/// connected sends its first cell within this time.
const QUIET: Duration = Duration::from_millis(250);

/// The other threads' handle to the execute thread.
#[derive(Default)]
pub(crate) struct Executor {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The waiting cells.
    cells: VecDeque<Waiting>,
    /// The waiting completion and inspection requests; empty while a cell waits or runs.
    questions: Questions,
    /// Set while a cell runs; true once it is interrupted.
    running: Option<Arc<AtomicBool>>,
    /// Whether the evaluator has been built or has failed to build.
    ready: bool,
    /// Whether the evaluator works ahead of the next request.
    ahead: bool,
    /// Set when the kernel ends; whether it restarts.
    closing: Option<bool>,
}

/// A waiting cell.
struct Waiting {
    request: Request,
    content: ExecuteRequest,
    /// Whether the cell is skipped.
    aborted: bool,
}

/// The next task of the execute thread.
enum Next {
    Cell {
        request: Request,
        content: ExecuteRequest,
        interrupted: Arc<AtomicBool>,
    },
    Aborted {
        request: Request,
    },
    Question(Request),
    Close {
        restart: bool,
    },
    /// The queue is empty.
    Idle,
}

impl Executor {
    /// Queues a request if the thread is free for it, and returns the request that it replaces;
    /// otherwise returns it as the error.
    pub(crate) fn offer(&self, request: Request) -> Result<Option<Request>, Box<Request>> {
        let mut state = locked(&self.state);
        let occupied = !state.cells.is_empty() || state.running.is_some();
        if occupied || !state.ready || state.closing.is_some() {
            return Err(Box::new(request));
        }
        let replaced = state.questions.push(request);
        self.changed.notify_one();
        Ok(replaced)
    }

    /// Interrupts the running cell, and aborts the waiting ones.
    pub(crate) fn interrupt(&self, control: &dyn Control) {
        let mut state = locked(&self.state);
        state.abort_waiting();
        if let Some(interrupted) = &state.running {
            interrupted.store(true, Ordering::SeqCst);
            // Holds the lock so that the interrupt cannot reach the next cell. A panic is logged;
            // the interrupt then has no effect.
            let _ = guarded(|| control.interrupt());
        }
    }

    /// Ends the thread, killing the running cell.
    pub(crate) fn close(&self, restart: bool, control: &dyn Control) {
        let mut state = locked(&self.state);
        state.abort_waiting();
        state.closing = Some(restart);
        if let Some(interrupted) = &state.running {
            interrupted.store(true, Ordering::SeqCst);
        }
        let occupied = state.running.is_some() || state.ahead || !state.ready;
        drop(state);
        self.changed.notify_one();
        if occupied {
            let _ = guarded(|| control.kill());
        }
    }

    /// Aborts the waiting cells.
    fn abort_waiting(&self) {
        locked(&self.state).abort_waiting();
    }

    /// Queues a cell, and returns the requests that would have delayed it.
    fn push(&self, request: Request, content: ExecuteRequest) -> Questions {
        let mut state = locked(&self.state);
        let aborted = state.closing.is_some();
        state.cells.push_back(Waiting { request, content, aborted });
        self.changed.notify_one();
        std::mem::take(&mut state.questions)
    }

    /// Waits for the next task; returns at once unless `patient`.
    fn next(&self, patient: bool) -> Next {
        let mut state = locked(&self.state);
        state.ahead = false;
        loop {
            if let Some(Waiting { request, content, aborted }) = state.cells.pop_front() {
                if aborted {
                    return Next::Aborted { request };
                }
                let interrupted = Arc::new(AtomicBool::new(false));
                state.running = Some(interrupted.clone());
                return Next::Cell { request, content, interrupted };
            }
            match (state.questions.pop(), state.closing) {
                (Some(request), _) => return Next::Question(request),
                (None, Some(restart)) => return Next::Close { restart },
                (None, None) if !patient => {
                    let (waited, rest) = self
                        .changed
                        .wait_timeout(state, QUIET)
                        .unwrap_or_else(PoisonError::into_inner);
                    state = waited;
                    if rest.timed_out() && state.is_quiet() {
                        state.ahead = true;
                        return Next::Idle;
                    }
                }
                (None, None) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn ready(&self) {
        locked(&self.state).ready = true;
    }

    /// Marks the cell as ended; later interrupts do not reach it.
    fn finished(&self) {
        locked(&self.state).running = None;
    }
}

impl State {
    fn abort_waiting(&mut self) {
        for cell in &mut self.cells {
            cell.aborted = true;
        }
    }

    fn is_quiet(&self) -> bool {
        self.cells.is_empty() && self.questions.is_empty() && self.closing.is_none()
    }
}

/// Puts a cell into the queue.
pub(crate) fn submit(core: &Core, request: Request) {
    match request.message.content() {
        Ok(content) => assist_with(core, core.executor.push(request, content)),
        Err(error) => fail(core, &request, &error.into()),
    }
}

/// Builds the evaluator.
pub(crate) type Factory = Box<dyn FnOnce() -> Result<Box<dyn Evaluator>, Failure> + Send>;

/// The execute thread: builds the evaluator and runs cells until the kernel ends.
pub(crate) fn serve(core: &Arc<Core>, build: Factory) {
    let mut evaluator = guarded(build).flatten();
    core.executor.ready();
    // The number of the latest counted cell.
    let mut count = 0;
    // Whether the evaluator has no more work ahead.
    let mut prepared = evaluator.is_err();
    loop {
        match core.executor.next(prepared) {
            Next::Cell { request, content, interrupted } => {
                cell::run(core, &mut evaluator, &mut count, &request, content, interrupted);
            }
            Next::Aborted { request } => cell::abort(core, &request, count),
            Next::Question(request) => match &mut evaluator {
                Ok(evaluator) => answer(core, &request, evaluator),
                Err(failure) => fail(core, &request, failure),
            },
            Next::Idle => {
                prepared = match &mut evaluator {
                    Ok(evaluator) => !guarded(|| evaluator.idle()).unwrap_or(false),
                    Err(_) => true,
                }
            }
            Next::Close { restart } => {
                if let Ok(evaluator) = &mut evaluator {
                    let _ = guarded(|| evaluator.shutdown(restart));
                }
                return;
            }
        }
    }
}
