//! One connection.

use super::frame::{Decoder, Received, Violation, command, property_name};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How long the greeting is with which each side begins.
const GREETING: usize = 64;

/// How many bytes are taken from one connection before the others have their turn.
const TURN: usize = 4 << 20;

/// How many messages are handed to the system at once.
const WRITTEN_AT_ONCE: usize = 64;

/// How many bytes may wait for a peer that is still sent the answers to its pings.
const PONGED: usize = 64 << 10;

/// What a socket is to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers each of its clients.
    Router,
    /// Sends back what comes.
    Reply,
    /// Publishes to those who subscribe.
    Publisher,
}

impl Kind {
    /// ZeroMQ's name for it.
    fn name(self) -> &'static str {
        match self {
            Self::Router => "ROUTER",
            Self::Reply => "REP",
            Self::Publisher => "XPUB",
        }
    }
}

/// A connection, what has come of a message, and what waits to be sent.
pub(super) struct Peer {
    pub(super) socket: OwnedFd,
    /// By what messages name it; empty until the handshake is over.
    pub(super) identity: Vec<u8>,
    kind: Kind,
    stage: Stage,
    decoder: Decoder,
    queue: VecDeque<Arc<Vec<u8>>>,
    /// How much of the first in the queue has been sent.
    sent: usize,
    waiting: usize,
}

/// How far the handshake is.
enum Stage {
    Greeting(Vec<u8>),
    Handshake,
    Open,
}

/// What a peer has sent that concerns the socket.
pub(super) enum Event {
    /// The handshake is over. The identity that the peer wants, which may be empty.
    Open(Vec<u8>),
    Message(Vec<Vec<u8>>),
    TooLarge,
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("the client has closed it")]
    Ended,
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<Errno> for Closed {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl Peer {
    pub(super) fn new(socket: OwnedFd, kind: Kind, decoder: Decoder) -> Self {
        let mut peer = Self {
            socket,
            identity: Vec::new(),
            kind,
            stage: Stage::Greeting(Vec::with_capacity(GREETING)),
            decoder,
            queue: VecDeque::new(),
            sent: 0,
            waiting: 0,
        };
        // A signature of ten bytes, version 3.1, the mechanism padded to 20 bytes, and zeros.
        let mut greeting = vec![0; GREETING];
        (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xff, 0x7f, 3, 1);
        greeting[12..16].copy_from_slice(b"NULL");
        peer.send(Arc::new(greeting));
        peer
    }

    /// Whether the handshake is over.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// How many bytes wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many bytes are held of messages that are not complete.
    pub(super) fn held(&self) -> usize {
        self.decoder.held()
    }

    /// Puts an encoded message into the queue.
    pub(super) fn send(&mut self, bytes: Arc<Vec<u8>>) {
        self.waiting += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Sends as much of the queue as the system takes.
    pub(super) fn flush(&mut self) -> Result<(), Closed> {
        while !self.queue.is_empty() {
            let mut slices = Vec::with_capacity(WRITTEN_AT_ONCE.min(self.queue.len()));
            for (number, bytes) in self.queue.iter().take(WRITTEN_AT_ONCE).enumerate() {
                let from = if number == 0 { self.sent } else { 0 };
                slices.push(IoSlice::new(&bytes[from..]));
            }
            match rustix::io::writev(&self.socket, &slices) {
                Ok(written) => self.written(written),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn written(&mut self, bytes: usize) {
        self.waiting -= bytes;
        self.sent += bytes;
        while let Some(first) = self.queue.front()
            && self.sent >= first.len()
        {
            self.sent -= first.len();
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            // A burst's queue does not stay.
            self.queue = VecDeque::new();
        }
    }

    /// Takes what has arrived; `take` is called for all that it completes. Returns whether there was
    /// anything.
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(Event),
    ) -> Result<bool, Closed> {
        let mut received = 0;
        while received < TURN {
            match rustix::io::read(&self.socket, &mut *buffer) {
                Ok(0) => return Err(Closed::Ended),
                Ok(length) => {
                    received += length;
                    self.feed(&buffer[..length], &mut take)?;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(received > 0)
    }

    fn feed(&mut self, mut input: &[u8], take: &mut impl FnMut(Event)) -> Result<(), Closed> {
        if let Stage::Greeting(greeting) = &mut self.stage {
            let length = input.len().min(GREETING - greeting.len());
            greeting.extend_from_slice(&input[..length]);
            input = &input[length..];
            check(greeting)?;
            if greeting.len() < GREETING {
                return Ok(());
            }
            self.stage = Stage::Handshake;
            let mut properties = property_name("Socket-Type");
            let name = self.kind.name();
            properties.extend((name.len() as u32).to_be_bytes());
            properties.extend(name.bytes());
            self.send(command("READY", &properties));
        }
        let mut received = Vec::new();
        let outcome = self.decoder.feed(input, |one| received.push(one));
        for one in received {
            match (one, self.is_open()) {
                (Received::Command(body), false) => {
                    let identity = ready(&body)?;
                    self.stage = Stage::Open;
                    take(Event::Open(identity));
                }
                (Received::Command(body), true) => {
                    if let Some(parts) = self.obey(&body) {
                        take(Event::Message(parts));
                    }
                }
                (_, false) => return Err(Violation("a message before the handshake").into()),
                (Received::Message(parts), true) => take(Event::Message(parts)),
                (Received::TooLarge, true) => take(Event::TooLarge),
            }
        }
        Ok(outcome?)
    }

    /// Obeys a command; a subscription becomes the message that ZMTP 3.0 has for it.
    fn obey(&mut self, body: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (name, rest) = body.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*name))?;
        match name {
            b"SUBSCRIBE" => return Some(vec![[&[1], rest].concat()]),
            b"CANCEL" => return Some(vec![[&[0], rest].concat()]),
            b"PING" if self.waiting < PONGED => {
                // Two bytes say how long the peer waits; the rest, at most 16, goes back.
                let context = rest.get(2..).unwrap_or_default();
                self.send(command("PONG", &context[..context.len().min(16)]));
            }
            // An answer to no ping, an error, a command of a later version.
            _ => {}
        }
        None
    }
}

/// Checks as much of a greeting as has come.
fn check(greeting: &[u8]) -> Result<(), Violation> {
    let signature = [(0, 0xff, 0xff), (9, 1, 1)].into_iter();
    let mut wrong = signature.filter_map(|(at, mask, expected)| {
        greeting.get(at).filter(|byte| *byte & mask != expected)
    });
    if wrong.next().is_some() {
        return Err(Violation("something else"));
    }
    if greeting.get(10).is_some_and(|version| *version < 3) {
        return Err(Violation("an older version"));
    }
    if greeting.len() == GREETING && greeting[12..32] != *b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" {
        return Err(Violation("another security mechanism"));
    }
    Ok(())
}

/// The identity in the command that ends the handshake.
fn ready(body: &[u8]) -> Result<Vec<u8>, Violation> {
    let malformed = Violation("another handshake");
    let Some(mut properties) = body.strip_prefix(b"\x05READY") else { return Err(malformed) };
    let mut identity = Vec::new();
    while let Some((length, rest)) = properties.split_first() {
        let parts = rest.split_at_checked(usize::from(*length)).and_then(|(name, rest)| {
            let (length, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            Some((name, value, rest))
        });
        let Some((name, value, rest)) = parts else { return Err(malformed) };
        if name.eq_ignore_ascii_case(b"identity") {
            identity = value.to_vec();
        }
        properties = rest;
    }
    Ok(identity)
}
