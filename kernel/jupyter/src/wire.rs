//! Messages as they go over the wire: `[identities…, "<IDS|MSG>", signature, header, parent header,
//! metadata, content, buffers…]`, the middle four as JSON.

mod comm;
mod complete;
mod connect;
mod execute;
mod header;
mod history;
pub(crate) mod incoming;
mod input;
mod inspect;
mod is_complete;
mod kernel_info;
mod outgoing;
mod output;
mod replay;
mod shutdown;
mod signature;
mod status;
mod usage;

pub(crate) use comm::{CommOpen, NoComms};
pub(crate) use complete::{CompleteReply, CompleteRequest};
pub(crate) use connect::ConnectReply;
pub(crate) use execute::{ExecuteReply, ExecuteRequest};
pub(crate) use header::RequestHeader;
pub(crate) use history::{HistoryAccess, HistoryItem, HistoryReply, HistoryRequest};
pub(crate) use incoming::{Incoming, WireError};
pub(crate) use input::{InputReply, InputRequest};
pub(crate) use inspect::{InspectReply, InspectRequest};
pub(crate) use is_complete::{IsCompleteReply, IsCompleteRequest};
pub(crate) use kernel_info::KernelInfoReply;
pub(crate) use outgoing::{Content, Outgoing, Parent, Sender};
pub(crate) use output::{DisplayData, ExecuteResult, UpdateDisplayData, stream_content};
pub(crate) use replay::Replays;
pub(crate) use shutdown::ShutdownRequest;
pub(crate) use signature::Signer;
pub(crate) use status::{Aborted, ErrorReply, Status};
pub(crate) use usage::{UsageReply, VirtualMemory};

/// The supported version of the messaging protocol.
pub const PROTOCOL_VERSION: &str = "5.4";

/// The delimiter between the identities and the message.
pub(crate) const DELIMITER: &[u8] = b"<IDS|MSG>";
