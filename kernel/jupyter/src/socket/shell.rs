//! The shell channel: requests of users and front ends.

use super::router::Router;
use crate::core::Core;
use crate::handler::{Channel, Request, handle};
use std::sync::Arc;

/// Serves the channel until it is stopped.
pub(crate) fn serve(router: Router, core: &Arc<Core>) {
    router.serve(|message| handle(core, Request { message, channel: Channel::Shell }));
}
