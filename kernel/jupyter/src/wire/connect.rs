//! `connect_reply`.

use jupyter_protocol::{ConnectionInfo, ReplyStatus};
use serde::Serialize;

/// The ports of the channels.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectReply {
    status: ReplyStatus,
    shell_port: u16,
    iopub_port: u16,
    stdin_port: u16,
    control_port: u16,
    hb_port: u16,
}

impl From<&ConnectionInfo> for ConnectReply {
    fn from(connection: &ConnectionInfo) -> Self {
        Self {
            status: ReplyStatus::Ok,
            shell_port: connection.shell_port,
            iopub_port: connection.iopub_port,
            stdin_port: connection.stdin_port,
            control_port: connection.control_port,
            hb_port: connection.hb_port,
        }
    }
}
