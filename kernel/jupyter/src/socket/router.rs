//! What the channels with requests have in common: a ROUTER socket and a queue of what to send.

use super::LINGER;
use crate::panics::guarded;
use crate::wake::Mailbox;
use crate::wire::{Incoming, Outgoing, Replays, Sender, Signer};
use crate::zmtp::{Arrived, Server, encode};
use std::sync::Arc;

/// A command for the owner of a ROUTER socket.
pub(crate) enum Post {
    /// Send a message.
    Send(Outgoing),
    /// Handle everything that has arrived, then drop the sender as a signal.
    Drain(crossbeam_channel::Sender<()>),
    /// End after all earlier posts.
    Stop,
}

/// A ROUTER socket with its means to read and write messages.
pub(crate) struct Router {
    pub(crate) channel: &'static str,
    pub(crate) server: Server,
    pub(crate) posts: Arc<Mailbox<Post>>,
    pub(crate) wire: Arc<Wire>,
}

/// Reading and writing of messages, the same for all channels.
pub(crate) struct Wire {
    pub(crate) sender: Sender,
    pub(crate) signer: Signer,
    pub(crate) replays: Replays,
}

impl Router {
    /// Serves the socket until it is stopped.
    pub(crate) fn serve(mut self, mut handle: impl FnMut(Incoming)) {
        loop {
            match self.server.wait(&self.posts.wake, None) {
                Ok(arrived) => self.wire.handle(self.channel, arrived, &mut handle),
                Err(error) => {
                    tracing::error!(channel = self.channel, %error, "the channel ended");
                    return;
                }
            }
            for post in self.posts.take() {
                match post {
                    Post::Send(message) => self.send(message),
                    Post::Drain(_done) => {
                        let arrived = self.server.drain();
                        self.wire.handle(self.channel, arrived, &mut handle);
                    }
                    Post::Stop => return self.server.finish(LINGER),
                }
            }
        }
    }

    fn send(&mut self, message: Outgoing) {
        let kind = message.kind().to_owned();
        let mut parts = self.wire.sender.parts(message);
        // The first identity is the connection, which does not need it any more.
        let identity = parts.remove(0);
        match self.server.find(&identity) {
            Some(peer) => self.server.send(peer, encode(&parts)),
            None => tracing::debug!(channel = self.channel, kind, "the client has gone"),
        }
    }
}

impl Wire {
    pub(crate) fn new(key: &str) -> Self {
        let signer = Signer::new(key);
        Self { sender: Sender::new(signer.clone()), signer, replays: Replays::default() }
    }

    /// Handles the messages that have arrived.
    pub(crate) fn handle(
        &self,
        channel: &str,
        arrived: Vec<Arrived>,
        handle: &mut impl FnMut(Incoming),
    ) {
        for Arrived { identity, mut parts, .. } in arrived {
            parts.insert(0, identity);
            if let Some(message) = self.parse(channel, parts) {
                // The failure is logged; the channel continues with the next message.
                let _ = guarded(|| handle(message));
            }
        }
    }

    /// Parses a message; invalid ones are logged and dropped.
    fn parse(&self, channel: &str, parts: Vec<Vec<u8>>) -> Option<Incoming> {
        match Incoming::parse(parts, &self.signer, &self.replays) {
            Ok(message) => {
                let (kind, buffers) = (&message.header.msg_type, message.buffers.len());
                tracing::trace!(channel, kind, buffers, "received");
                Some(message)
            }
            Err(error) => {
                tracing::warn!(channel, %error, "a message was dropped");
                None
            }
        }
    }
}
