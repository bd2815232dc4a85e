//! ZeroMQ's wire protocol: the server's half of ZMTP 3.1 (RFC 37) without encryption.
//!
//! The sockets of a kernel are not libzmq's, because libzmq counts messages where bytes decide. Its
//! publisher cannot say how far one subscriber has fallen behind, and drops the end of a cell like
//! any other message. Its routers keep every part of a message that never ends, for any local
//! user, before a signature can be checked. Here each connection counts what it holds. The tests'
//! clients are libzmq's.

mod frame;
mod listener;
mod peer;
mod server;

pub(crate) use frame::encode;
pub(crate) use peer::Kind;
pub(crate) use server::{Arrived, Limits, Server};
