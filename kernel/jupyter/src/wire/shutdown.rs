//! `shutdown_request`.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct ShutdownRequest {
    #[serde(default)]
    pub(crate) restart: bool,
}
