//! The five channels, each owned by a thread of its own.

pub(crate) mod control;
pub(crate) mod heartbeat;
pub(crate) mod iopub;
pub(crate) mod router;
pub(crate) mod shell;
pub(crate) mod stdin;

use crate::error::Error;
use crate::wire::incoming;
use jupyter_protocol::{ConnectionInfo, Transport};

/// How long a closed socket keeps trying to deliver what was sent, in milliseconds.
const LINGER: i32 = 1000;

/// Makes a socket and binds it. Port 0 takes any free port; the port that was taken is returned.
pub(crate) fn bind(
    context: &zmq::Context,
    kind: zmq::SocketType,
    channel: &'static str,
    connection: &ConnectionInfo,
    port: u16,
) -> Result<(zmq::Socket, u16), Error> {
    let endpoint = match (&connection.transport, port) {
        (Transport::TCP, 0) => format!("tcp://{}:*", bracketed(&connection.ip)),
        (Transport::TCP, port) => format!("tcp://{}:{port}", bracketed(&connection.ip)),
        (Transport::IPC, port) => format!("ipc://{}-{port}", connection.ip),
    };
    let attempt = || {
        let socket = context.socket(kind)?;
        socket.set_linger(LINGER)?;
        socket.set_maxmsgsize(i64::try_from(incoming::MAX_BYTES).unwrap_or(i64::MAX))?;
        socket.set_ipv6(connection.ip.contains(':'))?;
        socket.bind(&endpoint)?;
        let taken = match (&connection.transport, port) {
            (Transport::TCP, 0) => bound_port(&socket)?,
            _ => port,
        };
        Ok((socket, taken))
    };
    attempt().map_err(|source| Error::Bind { channel, endpoint: endpoint.clone(), source })
}

/// An address as it stands in an endpoint: that of IPv6 has brackets.
fn bracketed(ip: &str) -> String {
    match ip.contains(':') && !ip.starts_with('[') {
        true => format!("[{ip}]"),
        false => ip.to_owned(),
    }
}

fn bound_port(socket: &zmq::Socket) -> zmq::Result<u16> {
    let endpoint = socket.get_last_endpoint()?.unwrap_or_default();
    endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).ok_or(zmq::Error::EINVAL)
}

/// Waits for one of the items; with a timeout in milliseconds, or -1 for none. A signal that
/// interrupts the wait ends it as a timeout does.
pub(crate) fn poll(items: &mut [zmq::PollItem<'_>], timeout: i64) -> zmq::Result<()> {
    match zmq::poll(items, timeout) {
        Ok(_) | Err(zmq::Error::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes a multipart message that has arrived; `None` if there is none now.
pub(crate) fn receive(socket: &zmq::Socket) -> zmq::Result<Option<Vec<Vec<u8>>>> {
    loop {
        match socket.recv_multipart(zmq::DONTWAIT) {
            Ok(parts) => return Ok(Some(parts)),
            Err(zmq::Error::EAGAIN) => return Ok(None),
            Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}
