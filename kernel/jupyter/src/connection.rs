//! Connection files.

use crate::error::Error;
use jupyter_protocol::ConnectionInfo;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Reads a connection file. If others can read the file, logs a warning: whoever has the key can run code.
///
/// # Errors
/// The file cannot be read, is not a connection file, or requires another signature scheme than `hmac-sha256`.
pub fn read(path: &Path) -> Result<ConnectionInfo, Error> {
    let failed = |source| Error::ConnectionFile { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:o}", mode & 0o777),
            "other users can read the connection file; expected mode 600"
        );
    }
    let connection: ConnectionInfo = serde_json::from_reader(io::BufReader::new(file))
        .map_err(|source| Error::ConnectionFormat { path: path.to_owned(), source })?;
    if connection.signature_scheme != "hmac-sha256" {
        return Err(Error::SignatureScheme { found: connection.signature_scheme });
    }
    Ok(connection)
}

/// Writes a connection file that only its owner can read (mode 0600), even if it replaces one that
/// others could read.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, connection: &ConnectionInfo) -> Result<(), Error> {
    let failed = |source| Error::ConnectionFile { path: path.to_owned(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    // The mode above applies to new files only.
    file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    let json = serde_json::to_vec_pretty(connection).map_err(|error| failed(error.into()))?;
    file.write_all(&json).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jupyter_protocol::Transport;

    fn example() -> ConnectionInfo {
        ConnectionInfo {
            ip: "127.0.0.1".into(),
            transport: Transport::TCP,
            shell_port: 1,
            iopub_port: 2,
            stdin_port: 3,
            control_port: 4,
            hb_port: 5,
            key: "secret".into(),
            signature_scheme: "hmac-sha256".into(),
            kernel_name: None,
        }
    }

    #[test]
    fn a_written_file_is_read_back_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernel.json");
        std::fs::write(&path, "something longer than the connection file".repeat(20)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write(&path, &example()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap(), example());
    }

    #[test]
    fn a_file_as_jupyter_client_writes_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernel.json");
        std::fs::write(
            &path,
            r#"{"shell_port": 41083, "iopub_port": 57347, "stdin_port": 46595, "control_port": 58361,
                "hb_port": 57915, "ip": "/tmp/kernel-ipc", "key": "", "transport": "ipc",
                "signature_scheme": "hmac-sha256", "kernel_name": "benchbook",
                "jupyter_session": "/home/me/a.ipynb"}"#,
        )
        .unwrap();
        let connection = read(&path).unwrap();
        assert_eq!(connection.transport, Transport::IPC);
        assert_eq!(connection.shell_url(), "ipc:///tmp/kernel-ipc-41083");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernel.json");
        assert!(read(&path).unwrap_err().to_string().contains("kernel.json"));
        std::fs::write(&path, r#"{"ip": "127.0.0.1", "transport": "tcp"}"#).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("shell_port"));
        write(&path, &ConnectionInfo { signature_scheme: "hmac-md5".into(), ..example() }).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("hmac-md5"));
    }
}
