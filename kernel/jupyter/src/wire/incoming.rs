//! Reading a message.

use super::{DELIMITER, Replays, RequestHeader, Signer};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Maximum number of parts of a message, including buffers.
pub(crate) const MAX_PARTS: usize = 1024;

/// Maximum size of a message in bytes, including buffers.
pub(crate) const MAX_BYTES: usize = 128 << 20;

/// Maximum size of a request's content in bytes. A cell is compiled as a whole, and every pass
/// holds a copy of it.
pub(crate) const MAX_CONTENT: usize = 16 << 20;

/// A complete message with a valid signature.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    /// The identities for the reply.
    pub(crate) identities: Vec<Vec<u8>>,
    pub(crate) header: RequestHeader,
    /// The header as received, returned as the parent header.
    pub(crate) raw_header: Arc<[u8]>,
    content: Vec<u8>,
    /// The binary parts. No known message has any; they are reserved for later messages.
    pub(crate) buffers: Vec<Vec<u8>>,
}

impl Incoming {
    /// Parses a multipart message.
    ///
    /// # Errors
    /// The message is malformed, too large, not signed with the key, or a repetition; the error
    /// says what was expected.
    pub(crate) fn parse(
        parts: Vec<Vec<u8>>,
        signer: &Signer,
        replays: &Replays,
    ) -> Result<Self, WireError> {
        if parts.len() > MAX_PARTS {
            return Err(WireError::TooManyParts { found: parts.len() });
        }
        let bytes = parts.iter().map(Vec::len).sum();
        if bytes > MAX_BYTES {
            return Err(WireError::TooLarge { found: bytes });
        }
        let delimiter =
            parts.iter().position(|part| part == DELIMITER).ok_or(WireError::NoDelimiter)?;
        let mut parts = parts.into_iter();
        let identities = parts.by_ref().take(delimiter).collect();
        parts.next();
        let found = parts.len();
        let (Some(signature), Some(header), Some(parent), Some(metadata), Some(content)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(WireError::Truncated { found });
        };
        let signed = [&header[..], &parent[..], &metadata[..], &content[..]];
        if let Some(signature) = signer.verify(&signature, signed).map_err(|_| WireError::Forged)?
            && !replays.is_new(signature)
        {
            return Err(WireError::Replayed);
        }
        Ok(Self {
            identities,
            header: object(&header).map_err(|source| WireError::Header { source })?,
            raw_header: header.into(),
            content,
            buffers: parts.collect(),
        })
    }

    /// The content in the form of its message type.
    ///
    /// # Errors
    /// The message type and the invalid field, or the part that is too large.
    pub(crate) fn content<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        if self.content.len() > MAX_CONTENT {
            let kind = self.header.msg_type.clone();
            return Err(WireError::ContentTooLarge { kind, found: self.content.len() });
        }
        object(&self.content)
            .map_err(|source| WireError::Content { kind: self.header.msg_type.clone(), source })
    }
}

/// Parses a JSON object. Without this check serde would accept an array as a struct.
fn object<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    match json.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(json),
        _ => Err(serde::de::Error::custom("expected an object in braces")),
    }
}

/// Why a message was dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("expected the delimiter <IDS|MSG> among the parts, found none")]
    NoDelimiter,
    #[error("expected 5 or more parts after the delimiter, found {found}")]
    Truncated { found: usize },
    #[error("expected at most {MAX_PARTS} parts, found {found}")]
    TooManyParts { found: usize },
    #[error("expected at most {MAX_BYTES} bytes, found {found}")]
    TooLarge { found: usize },
    #[error(
        "the {kind} has {found} bytes, and at most {MAX_CONTENT} are taken; a cell reads larger data from a file"
    )]
    ContentTooLarge { kind: String, found: usize },
    #[error("invalid signature: the message was not signed with the connection file's key")]
    Forged,
    #[error("a message with this signature was received before")]
    Replayed,
    #[error("expected a header with msg_id and msg_type, found something else")]
    Header { source: serde_json::Error },
    #[error("invalid content for the message type {kind}: {source}")]
    Content { kind: String, source: serde_json::Error },
}

#[cfg(test)]
mod tests;
