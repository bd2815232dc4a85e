//! Reading a message.

use super::{DELIMITER, Replays, RequestHeader, Signer};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The most parts that a message may have, buffers included.
pub(crate) const MAX_PARTS: usize = 1024;

/// The most bytes that a message may have, buffers included.
pub(crate) const MAX_BYTES: usize = 128 << 20;

/// The most bytes that the content of a request may have. A cell is compiled as a whole, and every
/// pass over it holds it again.
pub(crate) const MAX_CONTENT: usize = 16 << 20;

/// A message that was received, complete and genuine.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    /// Whom to answer.
    pub(crate) identities: Vec<Vec<u8>>,
    pub(crate) header: RequestHeader,
    /// The header as it was sent, to be given back as the parent header.
    pub(crate) raw_header: Arc<[u8]>,
    content: Vec<u8>,
    /// The binary parts. No message that is understood has any; they are kept for those to come.
    pub(crate) buffers: Vec<Vec<u8>>,
}

impl Incoming {
    /// Reads the parts of a multipart message.
    ///
    /// # Errors
    /// Says what was expected when it is not a message, is too large, is not signed with the key
    /// or was seen before.
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

    /// The content as what the message type says it is.
    ///
    /// # Errors
    /// Names the message type and the field, or what is too large.
    pub(crate) fn content<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        if self.content.len() > MAX_CONTENT {
            let kind = self.header.msg_type.clone();
            return Err(WireError::ContentTooLarge { kind, found: self.content.len() });
        }
        object(&self.content)
            .map_err(|source| WireError::Content { kind: self.header.msg_type.clone(), source })
    }
}

/// Reads a JSON object. Without this check serde would take an array for a struct.
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
    #[error("the signature is not that of the message under the key of the connection file")]
    Forged,
    #[error("a message with this signature was received before")]
    Replayed,
    #[error("expected a header with msg_id and msg_type, found something else")]
    Header { source: serde_json::Error },
    #[error("the content is not that of the message type {kind}: {source}")]
    Content { kind: String, source: serde_json::Error },
}

#[cfg(test)]
mod tests;
