//! One connection.

use super::frame::{Decoder, Received, Violation, command, property_name};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Length of the greeting at the start of each side, in bytes.
const GREETING: usize = 64;

/// Maximum number of bytes read from one connection before the other connections get their turn.
const TURN: usize = 4 << 20;

/// Maximum number of messages in one system call.
const WRITTEN_AT_ONCE: usize = 64;

/// Maximum number of bytes waiting for a peer whose pings are still answered.
const PONGED: usize = 64 << 10;

/// The type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers each of its clients.
    Router,
    /// Sends each message back.
    Reply,
    /// Publishes to its subscribers.
    Publisher,
}

impl Kind {
    /// ZeroMQ's name of the type.
    fn name(self) -> &'static str {
        match self {
            Self::Router => "ROUTER",
            Self::Reply => "REP",
            Self::Publisher => "XPUB",
        }
    }
}

/// A connection, its partially received message, and its queue of messages to send.
pub(super) struct Peer {
    pub(super) socket: OwnedFd,
    /// The identity used in messages; empty until the handshake is complete.
    pub(super) identity: Vec<u8>,
    kind: Kind,
    stage: Stage,
    decoder: Decoder,
    queue: VecDeque<Arc<Vec<u8>>>,
    /// Bytes sent of the first message in the queue.
    sent: usize,
    waiting: usize,
}

/// The stage of the handshake.
enum Stage {
    Greeting(Vec<u8>),
    Handshake,
    Open,
}

/// An event of a peer that concerns the socket.
pub(super) enum Event {
    /// The handshake is complete. Holds the identity that the peer requests, which may be empty.
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

    /// Whether the handshake is complete.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Number of bytes waiting to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Number of bytes held of incomplete messages.
    pub(super) fn held(&self) -> usize {
        self.decoder.held()
    }

    /// Queues an encoded message.
    pub(super) fn send(&mut self, bytes: Arc<Vec<u8>>) {
        self.waiting += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Sends as much of the queue as the system accepts.
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
            // Frees the memory of a burst's queue.
            self.queue = VecDeque::new();
        }
    }

    /// Reads the bytes that have arrived and calls `take` for everything that they complete.
    /// Returns whether there were any.
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

    /// Executes a command; a subscription becomes its ZMTP 3.0 message.
    fn obey(&mut self, body: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (name, rest) = body.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*name))?;
        match name {
            b"SUBSCRIBE" => return Some(vec![[&[1], rest].concat()]),
            b"CANCEL" => return Some(vec![[&[0], rest].concat()]),
            b"PING" if self.waiting < PONGED => {
                // The first two bytes are the peer's time limit; the rest, at most 16 bytes, is sent back.
                let context = rest.get(2..).unwrap_or_default();
                self.send(command("PONG", &context[..context.len().min(16)]));
            }
            // An unexpected pong, an error, or a command of a later version.
            _ => {}
        }
        None
    }
}

/// Checks the received part of a greeting.
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

/// The identity in the command that completes the handshake.
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
