//! The iopub channel: everything that all clients see.
//!
//! Every client has a queue of its own, bounded in bytes ([`subscribers`]). Printed text waits for more of its kind, unless another message comes: [`GATHER`] after a silence, and
//! otherwise until [`PAUSE`] has passed, so that a progress bar redrawn in a loop costs a client
//! ten messages a second.

mod subscribers;

use super::LINGER;
use super::router::Wire;
use crate::output::Stream;
use crate::wake::{Wake, locked};
use crate::wire::{Outgoing, Parent, Status, stream_content};
use crate::zmtp::Server;
use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subscribers::Subscribers;

/// How long printed text waits for more text.
const GATHER: Duration = Duration::from_millis(20);

/// Minimum time between two messages of printed text.
const PAUSE: Duration = Duration::from_millis(100);

/// Maximum size of waiting text, in bytes; larger text is sent at once.
const GATHER_BYTES: usize = 1 << 20;

/// Maximum size of queued outputs, in bytes, before senders wait for the channel's thread, which in
/// turn waits for no client.
const UNSENT: usize = 64 << 20;

/// The other threads' handle to the channel.
pub(crate) struct IoPub {
    state: Mutex<State>,
    taken: Condvar,
    wake: Wake,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    /// Approximate size of the queue, in bytes.
    bytes: usize,
    /// The cell that is running.
    running: Option<Parent>,
    /// When text was last sent.
    text_sent: Option<Instant>,
    stopping: bool,
    /// Whether sending has ended.
    ended: bool,
}

enum Item {
    Message(Outgoing),
    Text(Text),
}

/// Waiting printed text.
struct Text {
    parent: Parent,
    stream: Stream,
    text: String,
    due: Instant,
}

impl IoPub {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { state: Mutex::default(), taken: Condvar::new(), wake: Wake::new()? })
    }

    /// Publishes a message after all waiting text.
    pub(crate) fn send(&self, message: Outgoing) {
        let mut state = self.room();
        state.bytes += message.size();
        state.queue.push_back(Item::Message(message));
        drop(state);
        self.wake.raise();
    }

    /// Waits until the channel's thread has sent enough of the queue.
    fn room(&self) -> MutexGuard<'_, State> {
        let full = |state: &mut State| state.bytes > UNSENT && !state.ended;
        self.taken.wait_while(locked(&self.state), full).unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes printed text, combined with text printed just before.
    pub(crate) fn stream(&self, parent: &Parent, stream: Stream, text: &str) {
        let mut state = self.room();
        state.bytes += text.len();
        if let Some(Item::Text(last)) = state.queue.back_mut()
            && last.stream == stream
            && last.parent == *parent
            && last.text.len() < GATHER_BYTES
        {
            last.text.push_str(text);
            if last.text.len() < GATHER_BYTES {
                return;
            }
            last.due = Instant::now();
        } else {
            let now = Instant::now();
            let pause = state.text_sent.map_or(now, |sent| sent + PAUSE);
            let due = pause.max(now + GATHER);
            let (parent, text) = (parent.clone(), text.to_owned());
            state.queue.push_back(Item::Text(Text { parent, stream, text, due }));
        }
        self.wake.raise();
    }

    /// Publishes the waiting text.
    pub(crate) fn flush(&self) {
        if let Some(Item::Text(last)) = locked(&self.state).queue.back_mut() {
            last.due = Instant::now();
        }
        self.wake.raise();
    }

    /// Publishes that a request is being handled.
    pub(crate) fn busy(&self, parent: &Parent) {
        self.send(Outgoing::publish(parent, &Status::Busy));
    }

    /// Publishes that a request has been handled. Front ends show the latest status, so if a cell
    /// is running, its own status follows.
    pub(crate) fn idle(&self, parent: &Parent) {
        let mut state = locked(&self.state);
        state.queue.push_back(Item::Message(Outgoing::publish(parent, &Status::Idle)));
        if let Some(running) = &state.running {
            let busy = Outgoing::publish(running, &Status::Busy);
            state.queue.push_back(Item::Message(busy));
        }
        drop(state);
        self.wake.raise();
    }

    /// Publishes that a cell is running.
    pub(crate) fn cell_busy(&self, parent: &Parent) {
        let mut state = locked(&self.state);
        state.queue.push_back(Item::Message(Outgoing::publish(parent, &Status::Busy)));
        state.running = Some(parent.clone());
        drop(state);
        self.wake.raise();
    }

    /// Publishes that the cell has ended.
    pub(crate) fn cell_idle(&self, parent: &Parent) {
        let mut state = locked(&self.state);
        state.queue.push_back(Item::Message(Outgoing::publish(parent, &Status::Idle)));
        state.running = None;
        drop(state);
        self.wake.raise();
    }

    /// Ends the channel's thread once everything has been sent.
    pub(crate) fn stop(&self) {
        locked(&self.state).stopping = true;
        self.wake.raise();
    }

    /// The messages to send now, and when the rest is due or that the channel ends after them.
    fn take(&self) -> (VecDeque<Item>, Next) {
        self.wake.lower();
        let mut state = locked(&self.state);
        let waiting = match state.queue.back() {
            Some(Item::Text(text)) if !state.stopping && text.due > Instant::now() => {
                Some(text.due)
            }
            _ => None,
        };
        let last = if waiting.is_some() { state.queue.pop_back() } else { None };
        let items = std::mem::take(&mut state.queue);
        if items.iter().any(|item| matches!(item, Item::Text(_))) {
            state.text_sent = Some(Instant::now());
        }
        state.bytes = match &last {
            Some(Item::Text(text)) => text.text.len(),
            _ => 0,
        };
        state.queue.extend(last);
        self.taken.notify_all();
        match (waiting, state.stopping) {
            (_, true) => (items, Next::Stop),
            (Some(due), _) => (items, Next::At(due)),
            (None, _) => (items, Next::Wait),
        }
    }
}

/// The next action of the channel's thread.
enum Next {
    Wait,
    At(Instant),
    Stop,
}

impl Text {
    fn message(self) -> Outgoing {
        Outgoing::publish(&self.parent, &stream_content(self.stream, self.text))
    }
}

/// Serves the channel until it is stopped.
pub(crate) fn serve(server: Server, wire: &Wire, iopub: &IoPub) {
    let mut subscribers = Subscribers::new(server);
    let mut next = Next::Wait;
    loop {
        let until = match next {
            Next::Wait => None,
            Next::At(due) => Some(due),
            Next::Stop => break subscribers.server.finish(LINGER),
        };
        match subscribers.server.wait(&iopub.wake, until) {
            Ok(arrived) => subscribers.subscribe(wire, arrived),
            Err(error) => {
                tracing::error!(%error, "the iopub channel ended");
                break;
            }
        }
        let items;
        (items, next) = iopub.take();
        for item in items {
            subscribers.publish(
                wire,
                match item {
                    Item::Message(message) => message,
                    Item::Text(text) => text.message(),
                },
            );
        }
    }
    locked(&iopub.state).ended = true;
    iopub.taken.notify_all();
}
