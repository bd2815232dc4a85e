//! Headers.

use serde::Deserialize;

/// What is read of the header of a request. Clients may leave out the rest; the whole header is
/// given back to them as the parent header, byte for byte.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    pub(crate) msg_id: String,
    pub(crate) msg_type: String,
    #[serde(default)]
    pub(crate) session: String,
}
