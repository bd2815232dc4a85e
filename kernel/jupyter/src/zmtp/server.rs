//! A socket with its connections. It belongs to one thread.

use super::frame::Decoder;
use super::listener::Listener;
use super::peer::{Closed, Event, Kind, Peer};
use crate::wake::Wake;
use jupyter_protocol::ConnectionInfo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of clients of a socket. Five sockets stay below the usual limit of 1,024 files.
const MAX_PEERS: usize = 128;

/// How long the socket accepts no connection after the system could not create one.
const REFUSED: Duration = Duration::from_millis(100);

/// Number of bytes that wait for a client before they are passed to the system while more are sent.
const OFFERED: usize = 256 << 10;

/// Limits of a socket, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Size of one message, and its number of parts.
    pub(crate) message: (usize, usize),
    /// Incomplete messages of all clients together. Beyond it, the client with the most is disconnected.
    pub(crate) unfinished: usize,
    /// Messages waiting for one client; above the limit, nothing is read from the client.
    pub(crate) unread: usize,
}

/// A socket and its clients.
pub(crate) struct Server {
    channel: &'static str,
    kind: Kind,
    limits: Limits,
    listener: Listener,
    /// The connections by number, in the order of arrival.
    peers: BTreeMap<u64, Peer>,
    /// The connection of each identity.
    identities: BTreeMap<Vec<u8>, u64>,
    connected: u64,
    refusing: Option<Instant>,
    buffer: Vec<u8>,
}

/// A message that has arrived.
pub(crate) struct Arrived {
    /// The number of the connection.
    pub(crate) peer: u64,
    pub(crate) identity: Vec<u8>,
    pub(crate) parts: Vec<Vec<u8>>,
}

impl Server {
    /// Listens. Port 0 takes any free port. Returns the bound port.
    ///
    /// # Errors
    /// The address is not available.
    pub(crate) fn bind(
        channel: &'static str,
        kind: Kind,
        limits: Limits,
        connection: &ConnectionInfo,
        port: u16,
    ) -> io::Result<(Self, u16)> {
        let (listener, port) = Listener::bind(connection, port)?;
        let server = Self {
            channel,
            kind,
            limits,
            listener,
            peers: BTreeMap::new(),
            identities: BTreeMap::new(),
            connected: 0,
            refusing: None,
            buffer: vec![0; 64 << 10],
        };
        Ok((server, port))
    }

    /// Waits until a message has arrived, `wake` is raised, or `until` is reached; may return
    /// early. Sends waiting messages meanwhile.
    ///
    /// # Errors
    /// The system cannot wait.
    pub(crate) fn wait(&mut self, wake: &Wake, until: Option<Instant>) -> io::Result<Vec<Arrived>> {
        self.flush();
        let now = Instant::now();
        self.refusing = self.refusing.filter(|until| *until > now);
        let until = [until, self.refusing].into_iter().flatten().min();
        let mut descriptors = vec![
            PollFd::new(wake, PollFlags::IN),
            PollFd::new(
                &self.listener,
                match self.refusing {
                    Some(_) => PollFlags::empty(),
                    None => PollFlags::IN,
                },
            ),
        ];
        for peer in self.peers.values() {
            let mut events = PollFlags::empty();
            events.set(PollFlags::IN, peer.waiting() <= self.limits.unread);
            events.set(PollFlags::OUT, peer.waiting() > 0);
            descriptors.push(PollFd::new(&peer.socket, events));
        }
        let timeout = until.map(|until| timespec(until.saturating_duration_since(now)));
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let news = descriptors[1].revents().contains(PollFlags::IN);
        let speaking = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let speaks = descriptors[2..].iter().map(|peer| peer.revents().intersects(speaking));
        let speakers: Vec<u64> = self
            .peers
            .keys()
            .zip(speaks)
            .filter_map(|(number, speaks)| speaks.then_some(*number))
            .collect();
        if news {
            self.accept();
        }
        Ok(self.receive(&speakers).0)
    }

    /// Takes all messages that have arrived.
    pub(crate) fn drain(&mut self) -> Vec<Arrived> {
        let mut all = Vec::new();
        loop {
            let numbers: Vec<u64> = self.peers.keys().copied().collect();
            let (arrived, any) = self.receive(&numbers);
            all.extend(arrived);
            if !any {
                return all;
            }
        }
    }

    /// The connection with this identity.
    pub(crate) fn find(&self, identity: &[u8]) -> Option<u64> {
        self.identities.get(identity).copied()
    }

    /// Number of bytes waiting for a client; `None` if it is no longer connected.
    pub(crate) fn waiting(&self, number: u64) -> Option<usize> {
        self.peers.get(&number).map(Peer::waiting)
    }

    /// Sends an encoded message to a client, if it is still connected.
    pub(crate) fn send(&mut self, number: u64, bytes: Arc<Vec<u8>>) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        peer.send(bytes);
        if peer.waiting() > OFFERED
            && let Err(why) = peer.flush()
        {
            self.close(number, &why);
        }
    }

    /// Disconnects a client.
    pub(crate) fn disconnect(&mut self, number: u64) {
        if let Some(peer) = self.peers.remove(&number) {
            self.identities.remove(&peer.identity);
        }
    }

    /// Sends all waiting messages, for at most `patience`.
    pub(crate) fn finish(mut self, patience: Duration) {
        let end = Instant::now() + patience;
        loop {
            self.flush();
            let waiting = self.peers.values().filter(|peer| peer.waiting() > 0);
            let mut descriptors: Vec<_> =
                waiting.map(|peer| PollFd::new(&peer.socket, PollFlags::OUT)).collect();
            let left = end.saturating_duration_since(Instant::now());
            if descriptors.is_empty() || left.is_zero() {
                return;
            }
            let _ = poll(&mut descriptors, Some(&timespec(left)));
        }
    }

    fn flush(&mut self) {
        let waiting = self.peers.iter_mut().filter(|(_, peer)| peer.waiting() > 0);
        let gone: Vec<(u64, Closed)> = waiting
            .filter_map(|(number, peer)| peer.flush().err().map(|why| (*number, why)))
            .collect();
        for (number, why) in gone {
            self.close(number, &why);
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok(Some(socket)) => {
                    if self.peers.len() >= MAX_PEERS && !self.make_room() {
                        tracing::warn!(channel = self.channel, "too many clients; one is refused");
                        continue;
                    }
                    let (bytes, parts) = self.limits.message;
                    let peer = Peer::new(socket, self.kind, Decoder::new(bytes, parts));
                    self.peers.insert(self.connected, peer);
                    self.connected += 1;
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(channel = self.channel, %error, "a client could not connect");
                    self.refusing = Some(Instant::now() + REFUSED);
                    return;
                }
            }
        }
    }

    /// Closes the oldest connection without a complete handshake.
    fn make_room(&mut self) -> bool {
        let stalled = self.peers.iter().find(|(_, peer)| !peer.is_open());
        let Some(number) = stalled.map(|(number, _)| *number) else { return false };
        self.disconnect(number);
        true
    }

    /// Reads from these connections; the flag is whether there was any data.
    fn receive(&mut self, numbers: &[u64]) -> (Vec<Arrived>, bool) {
        let (mut arrived, mut any) = (Vec::new(), false);
        for number in numbers.iter().copied() {
            let Some(peer) = self.peers.get_mut(&number) else { continue };
            let mut events = Vec::new();
            let outcome = peer.receive(&mut self.buffer, |event| events.push(event));
            for event in events {
                match event {
                    Event::Open(wanted) => self.name(number, wanted),
                    Event::Message(parts) => {
                        let identity = self.peers[&number].identity.clone();
                        arrived.push(Arrived { peer: number, identity, parts });
                    }
                    Event::TooLarge => {
                        let (bytes, parts) = self.limits.message;
                        tracing::warn!(
                            channel = self.channel,
                            "a message was dropped: at most {bytes} bytes in {parts} parts are taken"
                        );
                    }
                }
            }
            match outcome {
                Ok(read) => any |= read,
                Err(why) => self.close(number, &why),
            }
            self.limit();
        }
        (arrived, any)
    }

    /// Gives a connection its requested identity, unless it requests none or another connection has it.
    fn name(&mut self, number: u64, wanted: Vec<u8>) {
        let free = !wanted.is_empty() && !self.identities.contains_key(&wanted);
        let identity = match free {
            true => wanted,
            // ZeroMQ's own identities begin with a zero byte, which clients must not use.
            false => [&[0], uuid::Uuid::new_v4().as_bytes().as_slice()].concat(),
        };
        if let Some(peer) = self.peers.get_mut(&number) {
            peer.identity.clone_from(&identity);
            self.identities.insert(identity, number);
        }
    }

    /// Disconnects the clients with the largest incomplete messages until the total is within the limit.
    fn limit(&mut self) {
        while self.peers.values().map(Peer::held).sum::<usize>() > self.limits.unfinished {
            let most = self.peers.iter().max_by_key(|(_, peer)| peer.held());
            let Some(number) = most.map(|(number, _)| *number) else { return };
            tracing::warn!(
                channel = self.channel,
                "a client was disconnected: unfinished messages of all clients may hold {} bytes",
                self.limits.unfinished
            );
            self.disconnect(number);
        }
    }

    fn close(&mut self, number: u64, why: &Closed) {
        match why {
            Closed::Ended | Closed::System(_) => {
                tracing::trace!(channel = self.channel, %why, "a connection was closed");
            }
            Closed::Violation(_) => {
                tracing::warn!(channel = self.channel, %why, "a connection was closed");
            }
        }
        self.disconnect(number);
    }
}

/// Converts a duration for the system call.
fn timespec(duration: Duration) -> Timespec {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: duration.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jupyter_protocol::Transport;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    const LIMITS: Limits = Limits { message: (2000, 10), unfinished: 1500, unread: 1000 };

    fn server() -> (Server, u16) {
        let connection = ConnectionInfo {
            ip: "127.0.0.1".into(),
            transport: Transport::TCP,
            shell_port: 0,
            iopub_port: 0,
            stdin_port: 0,
            control_port: 0,
            hb_port: 0,
            key: String::new(),
            signature_scheme: "hmac-sha256".into(),
            kernel_name: None,
        };
        Server::bind("test", Kind::Router, LIMITS, &connection, 0).unwrap()
    }

    /// A client with a complete handshake that has sent `bytes` of the 1,000 bytes of a message's first part.
    fn client(port: u16, bytes: usize) -> TcpStream {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut sent = vec![0; 64];
        (sent[0], sent[9], sent[10]) = (0xff, 0x7f, 3);
        sent[12..16].copy_from_slice(b"NULL");
        sent.extend_from_slice(b"\x04\x06\x05READY");
        sent.extend([3, 0, 0, 0, 0, 0, 0, 3, 232]);
        sent.resize(sent.len() + bytes, 0);
        socket.write_all(&sent).unwrap();
        socket
    }

    fn held(server: &Server) -> Vec<usize> {
        server.peers.values().map(Peer::held).collect()
    }

    #[test]
    fn the_client_with_most_of_an_unfinished_message_is_disconnected() {
        let (mut server, port) = server();
        let wake = Wake::new().unwrap();
        let wait = |server: &mut Server, wanted: &[usize]| {
            while held(server) != wanted {
                assert!(server.wait(&wake, None).unwrap().is_empty());
            }
        };
        let _little = client(port, 300);
        wait(&mut server, &[300]);
        let mut most = client(port, 700);
        wait(&mut server, &[300, 700]);
        let _more = client(port, 600);
        wait(&mut server, &[300, 600]);
        let mut rest = Vec::new();
        // The greeting and the end of the connection.
        let _ = most.read_to_end(&mut rest);
        assert!(rest.len() >= 64);
    }

    #[test]
    fn nothing_is_taken_from_a_client_that_reads_nothing() {
        let (mut server, port) = server();
        let wake = Wake::new().unwrap();
        let mut socket = client(port, 1000);
        socket.write_all(&[0, 0]).unwrap();
        let arrived = loop {
            if let Some(arrived) = server.wait(&wake, None).unwrap().pop() {
                break arrived;
            }
        };
        // More than the system's buffers hold.
        let large = Arc::new(vec![0; 64 << 20]);
        server.send(arrived.peer, large);
        assert!(server.waiting(arrived.peer).unwrap() > LIMITS.unread);
        socket.write_all(&[0, 1, b'x']).unwrap();
        let soon = Instant::now() + Duration::from_millis(100);
        assert!(server.wait(&wake, Some(soon)).unwrap().is_empty());
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            let _ = socket.read_to_end(&mut all);
        });
        loop {
            if let Some(arrived) = server.wait(&wake, None).unwrap().pop() {
                assert_eq!(arrived.parts, [b"x"]);
                break;
            }
        }
        drop(server);
        reading.join().unwrap();
    }
}
