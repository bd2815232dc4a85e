//! Questions about code that wait for an answer.
//!
//! A front end asks anew with every key that is pressed, and needs the answer to the latest question
//! only. So a question replaces the one of its kind that the same client had waiting.

use super::Request;
use crate::wake::locked;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// Completion and inspection requests in the order of arrival.
#[derive(Default)]
pub(crate) struct Questions(VecDeque<Request>);

impl Questions {
    /// Adds a request; returns the one that it replaces.
    pub(crate) fn push(&mut self, request: Request) -> Option<Request> {
        let client = |request: &Request| {
            let message = &request.message;
            (message.identities.clone(), message.header.session.clone())
        };
        let at = match request.kind() {
            // A terminal sends this for every line. It is answered at once.
            "is_complete_request" => None,
            kind => self.0.iter().position(|waiting| {
                waiting.kind() == kind
                    && waiting.channel == request.channel
                    && client(waiting) == client(&request)
            }),
        };
        let replaced = at.and_then(|at| self.0.remove(at));
        self.0.push_back(request);
        replaced
    }

    pub(crate) fn pop(&mut self) -> Option<Request> {
        self.0.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The other threads' handle to the assistant thread, which answers requests while a cell runs.
#[derive(Default)]
pub(crate) struct Assistant {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    questions: Questions,
    closed: bool,
}

impl Assistant {
    /// Adds a request; returns the one that it replaces.
    pub(crate) fn push(&self, request: Request) -> Option<Request> {
        let replaced = locked(&self.state).questions.push(request);
        self.changed.notify_one();
        replaced
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        locked(&self.state).closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next request; `None` at the end.
    pub(super) fn next(&self) -> Option<Request> {
        let nothing = |state: &mut State| state.questions.is_empty() && !state.closed;
        let state = self.changed.wait_while(locked(&self.state), nothing);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.closed { None } else { state.questions.pop() }
    }
}
