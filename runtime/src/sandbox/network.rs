//! The network of an environment: its own namespace with loopback up, and the
//! Runtime API's socket bound inside it.
//!
//! The port is the same in every environment, and neither the host nor another
//! environment can reach it: the service holds only the listening descriptor.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::LinkNameSpaceType;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

/// Where the Runtime API listens, as `AWS_LAMBDA_RUNTIME_API` says it.
pub(crate) const RUNTIME_API: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9001);

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Raises loopback in the current network namespace, which must be a new one,
/// and binds the Runtime API's socket there. The socket is non-blocking.
pub(crate) fn listen() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    crate::sys::raise_loopback(socket.as_fd())?;
    rustix::net::bind(&socket, &RUNTIME_API)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The network of an environment, seen from outside: for connections to what listens
/// in there. It lives as long as this does, with or without processes.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    namespace: Arc<OwnedFd>,
}

impl Network {
    /// The one in which a socket was made.
    pub(crate) fn of(socket: impl AsFd) -> io::Result<Self> {
        let namespace = crate::sys::network_namespace(socket.as_fd())?;
        Ok(Self {
            namespace: Arc::new(namespace),
        })
    }

    /// Connects to a port of its loopback.
    pub(crate) async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let socket = TcpSocket::from_std_stream(self.socket().await?.into());
        socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
    }

    /// A socket stays in the namespace in which it was made, and a namespace is a
    /// thread's own: so a thread goes there, and ends.
    async fn socket(&self) -> io::Result<OwnedFd> {
        let namespace = Arc::clone(&self.namespace);
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name("socket".to_owned())
            .spawn(move || {
                // Whoever has asked may have left.
                let _ = sender.send(socket_in(namespace.as_fd()));
            })?;
        receiver.await.map_err(io::Error::other)?
    }
}

fn socket_in(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    Ok(rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}
