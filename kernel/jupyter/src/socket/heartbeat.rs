//! The heartbeat channel: whatever arrives is sent back.

use super::{poll, receive};
use crate::wake::Wake;

/// Serves the channel until `stop` is raised.
pub(crate) fn serve(socket: &zmq::Socket, stop: &Wake) {
    loop {
        let mut items =
            [socket.as_poll_item(zmq::POLLIN), zmq::PollItem::from_fd(stop.fd(), zmq::POLLIN)];
        if let Err(error) = poll(&mut items, -1) {
            tracing::error!(%error, "the heartbeat channel ended");
            return;
        }
        if items[1].is_readable() {
            return;
        }
        let echoed = match receive(socket) {
            Ok(Some(parts)) => socket.send_multipart(parts, 0),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = echoed {
            tracing::warn!(%error, "a heartbeat was missed");
        }
    }
}
