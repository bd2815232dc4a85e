//! Who has subscribed, how far each has fallen behind, and what each has lost.

use crate::output::Stream;
use crate::socket::router::Wire;
use crate::wire::{Outgoing, Parent, stream_content};
use crate::zmtp::{Arrived, Server, encode};
use jupyter_protocol::messaging::IoPubWelcome;
use std::collections::BTreeMap;

/// How far a client may fall behind before it loses outputs, in bytes.
const LAG: usize = 256 << 20;

/// Further bytes of messages that are never dropped; a client with more is disconnected.
const BEYOND: usize = 64 << 20;

/// How far all clients together may fall behind, in bytes; beyond it, the slowest client is disconnected.
const ALL: usize = 2 << 30;

/// Maximum number of topics of a client. Jupyter's clients have one.
const TOPICS: usize = 1000;

/// The clients of the channel.
pub(super) struct Subscribers {
    pub(super) server: Server,
    /// By connection number.
    clients: BTreeMap<u64, Subscriber>,
}

#[derive(Default)]
struct Subscriber {
    topics: Vec<Vec<u8>>,
    dropped: Option<Dropped>,
    /// Bytes sent while the client was too far behind.
    beyond: usize,
}

impl Subscriber {
    fn wants(&self, topic: &[u8]) -> bool {
        self.topics.iter().any(|wanted| topic.starts_with(wanted))
    }
}

/// A request's outputs that a client did not receive.
struct Dropped {
    parent: Parent,
    outputs: u64,
    bytes: usize,
}

impl Subscribers {
    pub(super) fn new(server: Server) -> Self {
        Self { server, clients: BTreeMap::new() }
    }

    /// Processes subscriptions and welcomes each (JEP 65). The messages are 1, or 0 for the end of
    /// a subscription, and the topic.
    pub(super) fn subscribe(&mut self, wire: &Wire, arrived: Vec<Arrived>) {
        self.clients.retain(|number, _| self.server.waiting(*number).is_some());
        for Arrived { peer, parts, .. } in arrived {
            let client = self.clients.entry(peer).or_default();
            match parts.first().map(Vec::as_slice) {
                Some([1, topic @ ..]) if client.topics.len() < TOPICS => {
                    client.topics.push(topic.to_vec());
                    let subscription = String::from_utf8_lossy(topic).into_owned();
                    let welcome =
                        Outgoing::publish(&Parent::none(), &IoPubWelcome::new(subscription));
                    let welcome = welcome.to(vec![topic.to_vec()]);
                    self.server.send(peer, encode(&wire.sender.parts(welcome)));
                }
                Some([0, topic @ ..]) => {
                    if let Some(at) = client.topics.iter().position(|known| known == topic) {
                        client.topics.swap_remove(at);
                    }
                }
                _ => tracing::warn!("expected subscriptions on iopub, found something else"),
            }
        }
    }

    /// Sends a message to all subscribers of its topic. A client that is too far behind gets no
    /// outputs; the first message that it gets again is preceded by their number.
    pub(super) fn publish(&mut self, wire: &Wire, message: Outgoing) {
        let topic = format!("benchbook.{}", message.kind()).into_bytes();
        if !self.clients.values().any(|client| client.wants(&topic)) {
            return;
        }
        let (parent, is_output) = (message.parent().clone(), is_output(message.kind()));
        let bytes = encode(&wire.sender.parts(message.to(vec![topic.clone()])));
        for (number, client) in &mut self.clients {
            let Some(waiting) = self.server.waiting(*number) else { continue };
            if !client.wants(&topic) {
                continue;
            }
            if waiting >= LAG && is_output {
                let none = Dropped { parent: parent.clone(), outputs: 0, bytes: 0 };
                let dropped = client.dropped.get_or_insert(none);
                dropped.outputs += 1;
                dropped.bytes += bytes.len();
                continue;
            }
            if let Some(dropped) = client.dropped.take() {
                self.server.send(*number, encode(&wire.sender.parts(dropped.message())));
            }
            client.beyond = if waiting >= LAG { client.beyond + bytes.len() } else { 0 };
            if client.beyond > BEYOND {
                tracing::warn!("a client that does not read was disconnected");
                self.server.disconnect(*number);
                continue;
            }
            self.server.send(*number, bytes.clone());
        }
        self.limit();
    }

    fn limit(&mut self) {
        loop {
            let waiting = || {
                self.clients
                    .keys()
                    .filter_map(|number| Some((self.server.waiting(*number)?, *number)))
            };
            if waiting().map(|(bytes, _)| bytes).sum::<usize>() <= ALL {
                return;
            }
            let Some((_, number)) = waiting().max() else { return };
            tracing::warn!("the client that was furthest behind was disconnected");
            self.server.disconnect(number);
        }
    }
}

/// Whether a message is only for display, so that a client without it still knows the kernel's state.
fn is_output(kind: &str) -> bool {
    matches!(
        kind,
        "stream" | "display_data" | "update_display_data" | "execute_result" | "clear_output"
    )
}

impl Dropped {
    /// The note to the client.
    fn message(&self) -> Outgoing {
        let Self { parent, outputs, bytes } = self;
        let text = format!(
            "{} ({:.1} MB) {} not shown here: this client had {} MB of earlier outputs unread\n",
            if *outputs == 1 { "1 output".to_owned() } else { format!("{outputs} outputs") },
            *bytes as f64 / 1e6,
            if *outputs == 1 { "is" } else { "are" },
            LAG / 1_000_000,
        );
        let message = Outgoing::publish(parent, &stream_content(Stream::Stderr, text));
        message.to(vec![b"benchbook.stream".to_vec()])
    }
}
