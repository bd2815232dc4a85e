//! What the channels with requests have in common: a ROUTER socket and a queue of what to send.

use super::{poll, receive};
use crate::panics::guarded;
use crate::wake::Mailbox;
use crate::wire::{Incoming, Outgoing, Replays, Sender, Signer};
use std::sync::Arc;

/// What the owner of a ROUTER socket is asked to do.
pub(crate) enum Post {
    /// Send a message.
    Send(Outgoing),
    /// Handle everything that has arrived by now, then drop the sender as a sign.
    Drain(crossbeam_channel::Sender<()>),
    /// End, after what was posted before.
    Stop,
}

/// A ROUTER socket with what is needed to read and write messages on it.
pub(crate) struct Router {
    pub(crate) channel: &'static str,
    pub(crate) socket: zmq::Socket,
    pub(crate) posts: Arc<Mailbox<Post>>,
    pub(crate) wire: Arc<Wire>,
}

/// How messages are read and written, the same for all channels.
pub(crate) struct Wire {
    pub(crate) sender: Sender,
    pub(crate) signer: Signer,
    pub(crate) replays: Replays,
}

impl Router {
    /// Serves the socket until it is asked to stop.
    pub(crate) fn serve(self, mut handle: impl FnMut(Incoming)) {
        loop {
            let mut items = [
                self.socket.as_poll_item(zmq::POLLIN),
                zmq::PollItem::from_fd(self.posts.wake.fd(), zmq::POLLIN),
            ];
            if let Err(error) = poll(&mut items, -1) {
                tracing::error!(channel = self.channel, %error, "the channel ended");
                return;
            }
            let arrived = items[0].is_readable();
            for post in self.posts.take() {
                match post {
                    Post::Send(message) => self.send(message),
                    Post::Drain(_done) => while self.handle_next(&mut handle) {},
                    Post::Stop => return,
                }
            }
            if arrived {
                self.handle_next(&mut handle);
            }
        }
    }

    /// Handles one message, if one has arrived.
    fn handle_next(&self, handle: &mut impl FnMut(Incoming)) -> bool {
        match receive(&self.socket) {
            Ok(Some(parts)) => {
                if let Some(message) = self.wire.parse(self.channel, parts) {
                    // The failure is logged; the channel goes on with the next message.
                    let _ = guarded(|| handle(message));
                }
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(channel = self.channel, %error, "a message could not be received");
                false
            }
        }
    }

    fn send(&self, message: Outgoing) {
        let kind = message.kind().to_owned();
        if let Err(error) = self.socket.send_multipart(self.wire.sender.parts(message), 0) {
            tracing::warn!(channel = self.channel, kind, %error, "a message could not be sent");
        }
    }
}

impl Wire {
    pub(crate) fn new(key: &str) -> Self {
        let signer = Signer::new(key);
        Self { sender: Sender::new(signer.clone()), signer, replays: Replays::default() }
    }

    /// Reads a message; one that is none is logged and dropped.
    pub(crate) fn parse(&self, channel: &str, parts: Vec<Vec<u8>>) -> Option<Incoming> {
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
