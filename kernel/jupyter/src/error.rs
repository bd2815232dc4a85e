//! Why a kernel could not start.

use std::io;
use std::path::PathBuf;

/// Why a kernel could not start. Once it runs, no message can end it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "fields are what the message prints")]
pub enum Error {
    /// The connection file could not be read or written.
    #[error("could not read or write the connection file {}", path.display())]
    ConnectionFile { path: PathBuf, source: io::Error },
    /// The file is not a connection file.
    #[error(
        "{} is not a valid connection file: {source}; it must have transport, ip, five ports, key and signature_scheme",
        path.display()
    )]
    ConnectionFormat { path: PathBuf, source: serde_json::Error },
    /// The signature scheme is unknown.
    #[error("expected the signature_scheme hmac-sha256, found {found:?}")]
    SignatureScheme { found: String },
    /// A socket could not be bound.
    #[error("could not bind the {channel} channel to {endpoint}")]
    Bind {
        /// `shell`, `control`, `stdin`, `iopub` or `heartbeat`.
        channel: &'static str,
        endpoint: String,
        source: io::Error,
    },
    /// A pipe or a thread that the kernel needs could not be created.
    #[error(
        "cannot create a pipe or thread of the kernel; raise the limits of open files and processes (`ulimit -n`, `ulimit -u`)"
    )]
    System(#[source] io::Error),
}
