//! Where clients connect: a TCP port, or a socket in the file system.

use jupyter_protocol::{ConnectionInfo, Transport};
use std::fs::Permissions;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

pub(super) enum Listener {
    Tcp(TcpListener),
    /// With the path of the socket; `None` for an abstract socket.
    Unix(UnixListener, Option<PathBuf>),
}

impl Listener {
    /// Listens. Port 0 takes any free port. Returns the bound port.
    pub(super) fn bind(connection: &ConnectionInfo, port: u16) -> io::Result<(Self, u16)> {
        match connection.transport {
            Transport::TCP => {
                let ip = match connection.ip.trim_matches(['[', ']']) {
                    "*" => "0.0.0.0",
                    ip => ip,
                };
                let listener = TcpListener::bind((ip, port))?;
                listener.set_nonblocking(true)?;
                let port = listener.local_addr()?.port();
                Ok((Self::Tcp(listener), port))
            }
            Transport::IPC => {
                let name = format!("{}-{port}", connection.ip);
                let (listener, path) = match name.strip_prefix('@') {
                    Some(name) => {
                        let address = SocketAddr::from_abstract_name(name)?;
                        (UnixListener::bind_addr(&address)?, None)
                    }
                    None => (bind_path(name.as_ref())?, Some(name.into())),
                };
                listener.set_nonblocking(true)?;
                Ok((Self::Unix(listener, path), port))
            }
        }
    }

    /// A new connection; `None` if there is none.
    pub(super) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        let accepted = match self {
            Self::Tcp(listener) => listener.accept().and_then(|(socket, _)| {
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                Ok(OwnedFd::from(socket))
            }),
            Self::Unix(listener, _) => listener.accept().and_then(|(socket, _)| {
                socket.set_nonblocking(true)?;
                Ok(OwnedFd::from(socket))
            }),
        };
        match accepted {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Binds a path to which only its owner can connect, replacing the socket of a killed kernel.
fn bind_path(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) =>
        {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, Some(path)) = self {
            // The file may have been removed.
            let _ = std::fs::remove_file(path);
        }
    }
}
