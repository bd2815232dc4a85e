//! Writing a message.

use super::{DELIMITER, Incoming, PROTOCOL_VERSION, Signer};
use crate::wire;
use chrono::Utc;
use jupyter_protocol::{Header, messaging as protocol};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// Content of an outgoing message; the Rust type determines the message type.
pub(crate) trait Content: Serialize {
    /// The message type.
    const TYPE: &'static str;
}

/// The outgoing messages with their types; `protocol` contains those of `jupyter-protocol`.
macro_rules! contents {
    ($($content:ty => $kind:literal),* $(,)?) => {
        $(impl Content for $content { const TYPE: &'static str = $kind; })*
    };
}
contents! {
    protocol::ClearOutput => "clear_output",
    protocol::CommClose => "comm_close",
    wire::NoComms => "comm_info_reply",
    wire::CompleteReply => "complete_reply",
    wire::ConnectReply => "connect_reply",
    wire::DisplayData<'_> => "display_data",
    protocol::ErrorOutput => "error",
    protocol::ExecuteInput => "execute_input",
    wire::ExecuteReply => "execute_reply",
    wire::ExecuteResult<'_> => "execute_result",
    wire::HistoryReply => "history_reply",
    wire::InputRequest => "input_request",
    wire::InspectReply => "inspect_reply",
    protocol::InterruptReply => "interrupt_reply",
    protocol::IoPubWelcome => "iopub_welcome",
    wire::IsCompleteReply => "is_complete_reply",
    wire::KernelInfoReply<'_> => "kernel_info_reply",
    protocol::ShutdownReply => "shutdown_reply",
    wire::Status => "status",
    protocol::StreamContent => "stream",
    wire::UpdateDisplayData<'_> => "update_display_data",
    wire::UsageReply => "usage_reply",
}

/// The header of the request that a message belongs to, as JSON; an empty object without a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent(Arc<[u8]>);

impl Parent {
    pub(crate) fn none() -> Self {
        Self(Arc::from(*b"{}"))
    }

    pub(crate) fn of(request: &Incoming) -> Self {
        Self(request.raw_header.clone())
    }
}

/// Approximate size of a message without its content and parent, in bytes.
const MESSAGE: usize = 512;

/// A message to send.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    identities: Vec<Vec<u8>>,
    kind: Cow<'static, str>,
    parent: Parent,
    metadata: Map<String, Value>,
    content: Vec<u8>,
}

impl Outgoing {
    /// A published message with the given parent.
    pub(crate) fn publish<C: Content>(parent: &Parent, content: &C) -> Self {
        Self::with_kind(parent, C::TYPE.into(), content)
    }

    /// A reply to `request`.
    pub(crate) fn reply<C: Content>(request: &Incoming, content: &C) -> Self {
        Self::publish(&Parent::of(request), content).to(request.identities.clone())
    }

    /// A message whose type is only known at run time.
    pub(crate) fn with_kind(
        parent: &Parent,
        kind: Cow<'static, str>,
        content: &impl Serialize,
    ) -> Self {
        // Contents are structs with string keys, whose serialisation cannot fail; if it does, the
        // client gets an empty object and the log has the error.
        let content = serde_json::to_vec(content).unwrap_or_else(|error| {
            tracing::error!(kind = &*kind, %error, "a message could not be written as JSON");
            b"{}".to_vec()
        });
        Self { identities: Vec::new(), kind, parent: parent.clone(), metadata: Map::new(), content }
    }

    /// The same message to these identities.
    pub(crate) fn to(mut self, identities: Vec<Vec<u8>>) -> Self {
        self.identities = identities;
        self
    }

    /// The same message with this metadata.
    pub(crate) fn with_metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = metadata;
        self
    }

    /// The message type.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// The identities of its recipient.
    pub(crate) fn identities(&self) -> &[Vec<u8>] {
        &self.identities
    }

    /// The header of its request.
    pub(crate) fn parent(&self) -> &Parent {
        &self.parent
    }

    /// Approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.content.len() + self.parent.0.len() + MESSAGE
    }
}

/// The kernel as a sender: its session, key and message count.
pub(crate) struct Sender {
    session: String,
    signer: Signer,
    sent: AtomicU64,
}

impl Sender {
    pub(crate) fn new(signer: Signer) -> Self {
        Self { session: Uuid::new_v4().to_string(), signer, sent: AtomicU64::new(0) }
    }

    /// The parts of the message, with its identities first.
    pub(crate) fn parts(&self, message: Outgoing) -> Vec<Vec<u8>> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let header = Header {
            msg_id: format!("{}_{number}", self.session),
            username: "kernel".into(),
            session: self.session.clone(),
            date: Utc::now(),
            msg_type: message.kind.into_owned(),
            version: PROTOCOL_VERSION.into(),
        };
        // Both are maps with string keys, whose serialisation cannot fail.
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let metadata = serde_json::to_vec(&message.metadata).unwrap_or_default();
        let signed = [&header[..], &message.parent.0, &metadata, &message.content];
        let signature = self.signer.sign(signed).into_bytes();
        let mut parts = message.identities;
        parts.extend([
            DELIMITER.to_vec(),
            signature,
            header,
            message.parent.0.to_vec(),
            metadata,
            message.content,
        ]);
        parts
    }
}
