//! The heartbeat channel: whatever arrives is sent back.

use super::LINGER;
use crate::wake::Mailbox;
use crate::zmtp::{Server, encode};

/// Serves the channel until `stop` receives a value.
pub(crate) fn serve(mut server: Server, stop: &Mailbox<()>) {
    loop {
        match server.wait(&stop.wake, None) {
            Ok(arrived) => {
                for one in arrived {
                    server.send(one.peer, encode(&one.parts));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the heartbeat channel ended");
                return;
            }
        }
        if !stop.take().is_empty() {
            return server.finish(LINGER);
        }
    }
}
