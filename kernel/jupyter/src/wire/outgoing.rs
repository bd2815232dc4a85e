//! Writing a message.

use super::{DELIMITER, Incoming, PROTOCOL_VERSION, Signer};
use chrono::Utc;
use jupyter_protocol::{Header, messaging as protocol};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// What can be the content of a message that is sent: its type is known by its Rust type.
pub(crate) trait Content: Serialize {
    /// The message type.
    const TYPE: &'static str;
}

/// All messages that are sent.
macro_rules! contents {
    ($($content:ty => $kind:literal),* $(,)?) => {
        $(impl Content for $content { const TYPE: &'static str = $kind; })*
    };
}
contents! {
    super::NoComms => "comm_info_reply",
    super::CompleteReply => "complete_reply",
    super::ConnectReply => "connect_reply",
    super::DisplayData<'_> => "display_data",
    super::ExecuteReply => "execute_reply",
    super::ExecuteResult<'_> => "execute_result",
    super::HistoryReply => "history_reply",
    super::InputRequest => "input_request",
    super::InspectReply => "inspect_reply",
    super::IsCompleteReply => "is_complete_reply",
    super::KernelInfoReply<'_> => "kernel_info_reply",
    super::Status => "status",
    super::UpdateDisplayData<'_> => "update_display_data",
    super::UsageReply => "usage_reply",
    protocol::ClearOutput => "clear_output",
    protocol::CommClose => "comm_close",
    protocol::ErrorOutput => "error",
    protocol::ExecuteInput => "execute_input",
    protocol::InterruptReply => "interrupt_reply",
    protocol::IoPubWelcome => "iopub_welcome",
    protocol::ShutdownReply => "shutdown_reply",
    protocol::StreamContent => "stream",
}

/// The header of the request that a message belongs to, as JSON; of none, an empty object.
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

/// About how many bytes a message has beside its content and its parent.
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
    /// A message that is published, belonging to `parent`.
    pub(crate) fn publish<C: Content>(parent: &Parent, content: &C) -> Self {
        Self::with_kind(parent, C::TYPE.into(), content)
    }

    /// An answer to `request`.
    pub(crate) fn reply<C: Content>(request: &Incoming, content: &C) -> Self {
        Self::publish(&Parent::of(request), content).to(request.identities.clone())
    }

    /// A message whose type is known only now.
    pub(crate) fn with_kind(
        parent: &Parent,
        kind: Cow<'static, str>,
        content: &impl Serialize,
    ) -> Self {
        // Contents are structs with string keys, which always can be written as JSON; should one
        // not, the client gets an empty object and the log says why.
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

    /// Whom it goes to.
    pub(crate) fn identities(&self) -> &[Vec<u8>] {
        &self.identities
    }

    /// The request that it belongs to.
    pub(crate) fn parent(&self) -> &Parent {
        &self.parent
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.content.len() + self.parent.0.len() + MESSAGE
    }
}

/// The kernel as a sender: its session, its key and its count of messages.
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
        // Both are maps with string keys, which always can be written as JSON.
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
