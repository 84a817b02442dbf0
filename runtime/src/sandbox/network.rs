//! The network of an environment: its own namespace with loopback up, and the
//! Runtime API's socket bound inside it.
//!
//! The port is the same in every environment, and neither the host nor another
//! environment can reach it: the service holds only the listening descriptor.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

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
