//! The iopub channel: everything that all clients see.
//!
//! The socket is an XPUB, which learns of subscriptions and welcomes each of them (JEP 65). Printed
//! text waits for more of its kind, unless another message comes: [`GATHER`] after a silence, and
//! otherwise until [`PAUSE`] has passed, so that a progress bar redrawn in a loop costs a client
//! ten messages a second.

use super::router::Wire;
use super::{poll, receive};
use crate::output::Stream;
use crate::wake::{Wake, locked};
use crate::wire::{Outgoing, Parent, Status};
use jupyter_protocol::messaging::{IoPubWelcome, Stdio, StreamContent};
use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long printed text waits for more.
const GATHER: Duration = Duration::from_millis(20);

/// How long printed text waits after the text before it has left.
const PAUSE: Duration = Duration::from_millis(100);

/// How much printed text waits, in bytes; more leaves at once.
const GATHER_BYTES: usize = 1 << 20;

/// How many messages wait for one slow client before its further ones are dropped. ZeroMQ's own
/// limit of 1,000 would lose the end of a cell that shows as many outputs in a burst.
pub(crate) const WAITING_MESSAGES: i32 = 100_000;

/// The other threads' side of the channel.
pub(crate) struct IoPub {
    state: Mutex<State>,
    wake: Wake,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    /// The cell that is running.
    running: Option<Parent>,
    /// When printed text left last.
    text_sent: Option<Instant>,
    stopping: bool,
}

enum Item {
    Message(Outgoing),
    Text(Text),
}

/// Printed text that waits.
struct Text {
    parent: Parent,
    stream: Stream,
    text: String,
    due: Instant,
}

impl IoPub {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { state: Mutex::default(), wake: Wake::new()? })
    }

    /// Publishes a message, after all printed text that waits.
    pub(crate) fn send(&self, message: Outgoing) {
        locked(&self.state).queue.push_back(Item::Message(message));
        self.wake.raise();
    }

    /// Publishes printed text, together with what was printed just before.
    pub(crate) fn stream(&self, parent: &Parent, stream: Stream, text: &str) {
        let mut state = locked(&self.state);
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

    /// Publishes the printed text that waits.
    pub(crate) fn flush(&self) {
        if let Some(Item::Text(last)) = locked(&self.state).queue.back_mut() {
            last.due = Instant::now();
        }
        self.wake.raise();
    }

    /// Says that a request is being handled.
    pub(crate) fn busy(&self, parent: &Parent) {
        self.send(Outgoing::publish(parent, &Status::Busy));
    }

    /// Says that a request has been handled. Front ends show the latest status, so while a cell
    /// runs beside the request, its own status follows.
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

    /// Says that a cell is running.
    pub(crate) fn cell_busy(&self, parent: &Parent) {
        let mut state = locked(&self.state);
        state.queue.push_back(Item::Message(Outgoing::publish(parent, &Status::Busy)));
        state.running = Some(parent.clone());
        drop(state);
        self.wake.raise();
    }

    /// Says that the cell has ended.
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

    /// Takes what is to be sent now; with it, when the rest is due, or that it was all and the
    /// channel ends.
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
        state.queue.extend(last);
        match (waiting, state.stopping) {
            (_, true) => (items, Next::Stop),
            (Some(due), _) => (items, Next::At(due)),
            (None, _) => (items, Next::Wait),
        }
    }
}

/// What the channel's thread does next.
enum Next {
    Wait,
    At(Instant),
    Stop,
}

impl Text {
    fn message(self) -> Outgoing {
        let name = match self.stream {
            Stream::Stdout => Stdio::Stdout,
            Stream::Stderr => Stdio::Stderr,
        };
        Outgoing::publish(&self.parent, &StreamContent { name, text: self.text })
    }
}

/// Serves the channel until it is stopped.
pub(crate) fn serve(socket: &zmq::Socket, wire: &Wire, iopub: &IoPub) {
    let mut next = Next::Wait;
    loop {
        let timeout = match next {
            Next::Wait => -1,
            // One more millisecond, since the duration is rounded down.
            Next::At(due) => due.saturating_duration_since(Instant::now()).as_millis() as i64 + 1,
            Next::Stop => return,
        };
        let mut items = [
            socket.as_poll_item(zmq::POLLIN),
            zmq::PollItem::from_fd(iopub.wake.fd(), zmq::POLLIN),
        ];
        if let Err(error) = poll(&mut items, timeout) {
            tracing::error!(%error, "the iopub channel ended");
            return;
        }
        if items[0].is_readable() {
            welcome(socket, wire);
        }
        let items;
        (items, next) = iopub.take();
        for item in items {
            let message = match item {
                Item::Message(message) => message,
                Item::Text(text) => text.message(),
            };
            let topic = format!("benchbook.{}", message.kind());
            publish(socket, wire, topic.into_bytes(), message);
        }
    }
}

/// Sends a message under a topic.
pub(crate) fn publish(socket: &zmq::Socket, wire: &Wire, topic: Vec<u8>, message: Outgoing) {
    let kind = message.kind().to_owned();
    let parts = wire.sender.parts(message.to(vec![topic]));
    if let Err(error) = socket.send_multipart(parts, 0) {
        tracing::warn!(kind, %error, "a message could not be published");
    }
}

/// Welcomes new subscribers. ZeroMQ gives one message for each: 1, or 0 for the end of a
/// subscription, and the topic.
fn welcome(socket: &zmq::Socket, wire: &Wire) {
    loop {
        match receive(socket) {
            Ok(Some(parts)) => match parts.first().map(Vec::as_slice) {
                Some([1, topic @ ..]) => {
                    let subscription = String::from_utf8_lossy(topic).into_owned();
                    let message =
                        Outgoing::publish(&Parent::none(), &IoPubWelcome::new(subscription));
                    publish(socket, wire, topic.to_vec(), message);
                }
                Some([0, ..]) => {}
                _ => tracing::warn!("expected subscriptions on iopub, found something else"),
            },
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "a subscription could not be received");
                return;
            }
        }
    }
}
