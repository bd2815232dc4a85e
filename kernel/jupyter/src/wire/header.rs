//! Headers.

use serde::Deserialize;

/// The fields of a request's header that the kernel reads. Clients may omit the others; the whole
/// header is returned to them as the parent header, byte for byte.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    pub(crate) msg_id: String,
    pub(crate) msg_type: String,
    #[serde(default)]
    pub(crate) session: String,
}
