//! The five channels, each owned by a thread of its own.

pub(crate) mod control;
pub(crate) mod heartbeat;
pub(crate) mod iopub;
pub(crate) mod router;
pub(crate) mod shell;
pub(crate) mod stdin;

use crate::error::Error;
use crate::wire::incoming::{MAX_BYTES, MAX_CONTENT, MAX_PARTS};
use crate::zmtp::{Kind, Limits, Server};
use jupyter_protocol::{ConnectionInfo, Transport};
use std::time::Duration;

/// How long the kernel's shutdown waits for clients to receive all messages.
const LINGER: Duration = Duration::from_secs(1);

/// Limits of the shell channel: twice the largest message.
const SHELL: Limits =
    Limits { message: (MAX_BYTES, MAX_PARTS), unfinished: 2 * MAX_BYTES, unread: 64 << 20 };

/// Limits of control and stdin, which carry no data.
const SMALLER: Limits =
    Limits { message: (2 * MAX_CONTENT, MAX_PARTS), unfinished: 4 * MAX_CONTENT, unread: 64 << 20 };

/// Limits of iopub's and heartbeat's incoming messages: subscriptions and pings.
const LITTLE: Limits = Limits { message: (64 << 10, 64), unfinished: 4 << 20, unread: 1 << 20 };

/// The bound sockets of a kernel.
pub(crate) struct Sockets {
    pub(crate) shell: Server,
    pub(crate) control: Server,
    pub(crate) stdin: Server,
    pub(crate) iopub: Server,
    pub(crate) heartbeat: Server,
}

impl Sockets {
    /// Binds all sockets. Replaces a port of 0 by the bound port.
    ///
    /// # Errors
    /// [`Error::Bind`] if an address is not available.
    pub(crate) fn bind(connection: &mut ConnectionInfo) -> Result<Self, Error> {
        let bind = |channel,
                    kind,
                    limits,
                    port: fn(&mut ConnectionInfo) -> &mut u16,
                    connection: &mut ConnectionInfo| {
            let wanted = *port(connection);
            let (server, taken) =
                Server::bind(channel, kind, limits, connection, wanted).map_err(|source| {
                    let endpoint = endpoint(connection, wanted);
                    Error::Bind { channel, endpoint, source }
                })?;
            *port(connection) = taken;
            Ok(server)
        };
        // `iopub` limits a subscriber's unread messages and reports dropped outputs to the subscriber.
        let publisher = Limits { unread: usize::MAX, ..LITTLE };
        Ok(Self {
            heartbeat: bind("heartbeat", Kind::Reply, LITTLE, |c| &mut c.hb_port, connection)?,
            shell: bind("shell", Kind::Router, SHELL, |c| &mut c.shell_port, connection)?,
            control: bind("control", Kind::Router, SMALLER, |c| &mut c.control_port, connection)?,
            stdin: bind("stdin", Kind::Router, SMALLER, |c| &mut c.stdin_port, connection)?,
            iopub: bind("iopub", Kind::Publisher, publisher, |c| &mut c.iopub_port, connection)?,
        })
    }
}

/// The address in clients' form.
fn endpoint(connection: &ConnectionInfo, port: u16) -> String {
    match connection.transport {
        Transport::TCP => format!("tcp://{}:{port}", connection.ip),
        Transport::IPC => format!("ipc://{}-{port}", connection.ip),
    }
}
