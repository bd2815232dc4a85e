//! Frames: `flags, length, body`.

use std::sync::Arc;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// Maximum size of a command in bytes: a handshake with its properties, or a subscription.
const MAX_COMMAND: usize = 64 << 10;

/// Memory reserved for a frame before its bytes have arrived. The system only commits written pages.
const RESERVED: usize = 16 << 20;

/// Cost of a message part in addition to its bytes.
const PART: usize = 64;

/// Encodes a message of several parts.
pub(crate) fn encode(parts: &[Vec<u8>]) -> Arc<Vec<u8>> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 9).sum());
    for (number, part) in parts.iter().enumerate() {
        let flags = if number + 1 < parts.len() { MORE } else { 0 };
        push(&mut bytes, flags, part);
    }
    Arc::new(bytes)
}

/// Encodes a command: its name and its data.
pub(super) fn command(name: &str, rest: &[u8]) -> Arc<Vec<u8>> {
    let mut body = property_name(name);
    body.extend_from_slice(rest);
    let mut bytes = Vec::new();
    push(&mut bytes, COMMAND, &body);
    Arc::new(bytes)
}

/// A short text after its length, the form of names of commands and properties.
pub(super) fn property_name(name: &str) -> Vec<u8> {
    // The names are constants of this module's parent.
    let mut bytes = vec![name.len() as u8];
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, flags: u8, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(length) => bytes.extend([flags, length]),
        Err(_) => {
            bytes.push(flags | LONG);
            bytes.extend((body.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(body);
}

/// Decodes a stream of bytes that arrives in arbitrary pieces.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Maximum number of bytes and parts of a message.
    limit: (usize, usize),
    /// The first bytes of the frame.
    head: Vec<u8>,
    /// Number of missing bytes of the frame's body; `None` before its head is complete.
    missing: Option<u64>,
    body: Vec<u8>,
    /// The complete parts of the message.
    parts: Vec<Vec<u8>>,
    /// The cost of the parts.
    held: usize,
    /// Whether the message is too large; its rest is discarded.
    refused: bool,
}

/// An item received from a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Message(Vec<Vec<u8>>),
    /// The end of a message that was over the limit.
    TooLarge,
    Command(Vec<u8>),
}

/// A violation of the protocol by the peer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected ZMTP 3 without encryption, found {0}")]
pub(super) struct Violation(pub(super) &'static str);

impl Decoder {
    pub(super) fn new(bytes: usize, parts: usize) -> Self {
        Self {
            limit: (bytes, parts),
            head: Vec::new(),
            missing: None,
            body: Vec::new(),
            parts: Vec::new(),
            held: 0,
            refused: false,
        }
    }

    /// Number of bytes held of incomplete messages.
    pub(super) fn held(&self) -> usize {
        self.held + self.body.len()
    }

    /// Decodes bytes and calls `take` for everything that they complete.
    ///
    /// # Errors
    /// [`Violation`]; the stream cannot be read further.
    pub(super) fn feed(
        &mut self,
        mut input: &[u8],
        mut take: impl FnMut(Received),
    ) -> Result<(), Violation> {
        loop {
            let Some(missing) = self.missing else {
                let Some((&byte, rest)) = input.split_first() else { return Ok(()) };
                input = rest;
                self.head.push(byte);
                self.missing = self.length()?;
                continue;
            };
            let available = usize::try_from(missing).unwrap_or(usize::MAX).min(input.len());
            let (body, rest) = input.split_at(available);
            input = rest;
            if self.is_command() || !self.refused {
                self.body.extend_from_slice(body);
            }
            let missing = missing - available as u64;
            self.missing = Some(missing);
            if missing > 0 {
                return Ok(());
            }
            if let Some(received) = self.complete() {
                take(received);
            }
        }
    }

    fn is_command(&self) -> bool {
        self.head.first().is_some_and(|flags| flags & COMMAND != 0)
    }

    /// The length of the frame's body once the head is complete.
    fn length(&mut self) -> Result<Option<u64>, Violation> {
        let flags = self.head[0];
        if flags & !(MORE | LONG | COMMAND) != 0 || flags & (MORE | COMMAND) == MORE | COMMAND {
            return Err(Violation("a frame with unknown flags"));
        }
        let length = match (flags & LONG != 0, &self.head[1..]) {
            (false, &[length]) => u64::from(length),
            (true, &[a, b, c, d, e, f, g, h]) => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return Ok(None),
        };
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if flags & COMMAND != 0 {
            if bytes > MAX_COMMAND {
                return Err(Violation("a command over 64 KiB"));
            }
        } else if self.held.saturating_add(bytes) > self.limit.0 || self.parts.len() >= self.limit.1
        {
            self.refused = true;
            self.held = 0;
            self.parts = Vec::new();
        }
        if !self.refused {
            self.body.reserve_exact(bytes.min(RESERVED));
        }
        Ok(Some(length))
    }

    /// Ends the frame.
    fn complete(&mut self) -> Option<Received> {
        let flags = self.head[0];
        self.head.clear();
        self.missing = None;
        let body = std::mem::take(&mut self.body);
        if flags & COMMAND != 0 {
            return Some(Received::Command(body));
        }
        if !self.refused {
            self.held += body.len() + PART;
            self.parts.push(body);
        }
        if flags & MORE != 0 {
            return None;
        }
        self.held = 0;
        match std::mem::take(&mut self.refused) {
            true => Some(Received::TooLarge),
            false => Some(Received::Message(std::mem::take(&mut self.parts))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(decoder: &mut Decoder, bytes: &[u8], piece: usize) -> Vec<Received> {
        let mut received = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.feed(piece, |one| received.push(one)).unwrap();
        }
        received
    }

    proptest! {
        #[test]
        fn messages_arrive_as_they_were_sent(
            messages in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..5), 0..5),
            piece in 1_usize..700,
        ) {
            let bytes: Vec<u8> =
                messages.iter().flat_map(|parts| encode(parts).as_ref().clone()).collect();
            let mut decoder = Decoder::new(1 << 20, 100);
            let received = decode(&mut decoder, &bytes, piece);
            prop_assert!(received.into_iter().eq(messages.into_iter().map(Received::Message)));
            prop_assert_eq!(decoder.held(), 0);
        }

        #[test]
        fn whatever_arrives_is_taken_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..3000), piece in 1_usize..700,
        ) {
            let mut decoder = Decoder::new(1000, 10);
            for piece in bytes.chunks(piece) {
                if decoder.feed(piece, |_| {}).is_err() {
                    break;
                }
                prop_assert!(decoder.held() <= MAX_COMMAND + 1000 + 10 * PART);
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_read_over_and_the_next_is_taken() {
        let mut decoder = Decoder::new(1000, 10);
        for parts in [vec![vec![0; 1001]], vec![vec![0; 600]; 2], vec![Vec::new(); 11]] {
            let mut bytes = encode(&parts).as_ref().clone();
            bytes.extend_from_slice(&encode(&[b"next".to_vec()]));
            assert_eq!(
                decode(&mut decoder, &bytes, 7),
                [Received::TooLarge, Received::Message(vec![b"next".to_vec()])]
            );
        }
    }

    #[test]
    fn what_is_announced_is_not_held() {
        let mut decoder = Decoder::new(usize::MAX, 10);
        let mut bytes = vec![LONG];
        bytes.extend((1_u64 << 62).to_be_bytes());
        assert_eq!(decode(&mut decoder, &bytes, 100), []);
        assert_eq!((decoder.held(), decoder.body.capacity()), (0, RESERVED));
    }

    #[test]
    fn a_command_is_told_from_a_message() {
        let mut decoder = Decoder::new(10, 10);
        let received = decode(&mut decoder, &command("PING", &[0, 9, 7]), 2);
        assert_eq!(received, [Received::Command(b"\x04PING\x00\x09\x07".to_vec())]);
        assert!(decoder.feed(&[COMMAND | MORE, 0], |_| {}).is_err());
        let mut decoder = Decoder::new(10, 10);
        assert!(decoder.feed(&[COMMAND | LONG, 0, 0, 0, 0, 0, 2, 0, 0], |_| {}).is_err());
    }
}
