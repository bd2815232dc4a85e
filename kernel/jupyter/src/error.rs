//! Why a kernel could not start.

use std::io;
use std::path::PathBuf;

/// Why a kernel could not start. Once it runs, no message ends it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection file could not be read or written.
    #[error("could not read or write the connection file {}", path.display())]
    ConnectionFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection file is not one.
    #[error(
        "expected a connection file with transport, ip, five ports, key and signature_scheme, \
         found something else in {}: {source}",
        path.display()
    )]
    ConnectionFormat {
        /// The file.
        path: PathBuf,
        /// Which field, and where.
        source: serde_json::Error,
    },
    /// The signature scheme is unknown.
    #[error("expected the signature_scheme hmac-sha256, found {found:?}")]
    SignatureScheme {
        /// What the connection file names.
        found: String,
    },
    /// A socket could not be bound.
    #[error("could not bind the {channel} channel to {endpoint}")]
    Bind {
        /// `shell`, `control`, `stdin`, `iopub` or `heartbeat`.
        channel: &'static str,
        /// The address.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// A pipe or a thread that the kernel needs could not be made.
    #[error("could not make what the kernel needs from the system")]
    System(#[source] io::Error),
}
