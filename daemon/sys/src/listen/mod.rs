//! Listening and datagram sockets: creation, bind, options.
//!
//! Nothing is retried and nothing is closed implicitly; a Unix socket's file is removed only by an explicit `unlink`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Group;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::address::PeerAddress;
use crate::datagrams::DatagramSocket;
use crate::socket_path::{self, SocketPath};
use crate::stream;

/// A listening stream socket.
#[derive(Debug)]
pub struct StreamListener {
    socket: Socket,
    /// The file of a Unix socket.
    path: Option<SocketPath>,
}

impl StreamListener {
    /// Takes over a bound socket: sets the options of [`bind_tcp`], and makes it listen if it does not. The file of a
    /// Unix socket stays its owner's, see [`Self::adopt_file`].
    pub(crate) fn from_inherited(socket: Socket, backlog: i32) -> io::Result<Self> {
        if socket.domain()? != Domain::UNIX {
            socket.set_reuse_address(true)?;
            socket.set_tcp_nodelay(true)?;
        }
        if !socket.is_listener()? {
            socket.listen(backlog)?;
        }
        Ok(Self { socket, path: None })
    }

    /// The bound address (port 0 resolved).
    ///
    /// # Errors
    /// None in practice: only those of an invalid descriptor.
    pub fn local_address(&self) -> io::Result<PeerAddress> {
        Ok(PeerAddress::from_kernel(&self.socket.local_addr()?))
    }

    /// Enables detection of dead peers for every connection accepted from now on, see
    /// [`Stream::enable_keepalive`](crate::Stream::enable_keepalive). Accepted sockets inherit these
    /// options, so no connection pays for the calls.
    ///
    /// # Errors
    /// Errors of `setsockopt`. No effect on a Unix socket.
    pub fn enable_keepalive(&self) -> io::Result<()> {
        stream::enable_keepalive(&self.socket)
    }

    /// Refuses new connections although other copies of the socket are open. Queued connections are reset.
    ///
    /// # Errors
    /// None in practice: only those of an invalid descriptor.
    pub fn refuse(&self) -> io::Result<()> {
        self.socket.shutdown(std::net::Shutdown::Both)
    }

    /// Removes the file of a Unix socket if it is still the bound one; returns whether it did.
    ///
    /// # Errors
    /// Errors of the file system; a file that is gone or replaced is no error.
    pub fn unlink(&self) -> io::Result<bool> {
        self.path.as_ref().map_or(Ok(false), SocketPath::unlink)
    }

    /// Sets mode and group of a Unix socket's file as [`bind_unix`] would for a new one; queued connections are not
    /// affected. No effect on other sockets, or on a file that this process does not own.
    ///
    /// # Errors
    /// `NotFound` when the file is gone or replaced; errors of the file system.
    pub fn set_access(&self, mode: Option<u32>, group: Option<u32>) -> io::Result<()> {
        let path = self.path.as_ref();
        path.map_or(Ok(()), |path| path.set_access(mode, group))
    }

    /// Takes ownership of the file of an inherited Unix socket: [`Self::unlink`] and [`Self::set_access`] apply to it
    /// from now on.
    ///
    /// # Errors
    /// Errors of the file system, `NotFound` when the file is gone.
    pub fn adopt_file(&mut self) -> io::Result<()> {
        if let Some(path) = self.socket.local_addr()?.as_pathname() {
            self.path = Some(SocketPath::of(path)?);
        }
        Ok(())
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl AsFd for StreamListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for StreamListener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Listens on a TCP address. `[::]` takes IPv4, too; any other IPv6 address takes IPv6 only.
///
/// # Errors
/// `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` (a port below 1024), `EMFILE`.
pub fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<StreamListener> {
    let socket = ip_socket(address, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    // Inherited by every accepted connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    Ok(StreamListener { socket, path: None })
}

/// Listens on a Unix socket at `path`. A `mode` (permission bits) or `group` is in force before any peer can connect;
/// without a mode the process's umask decides.
///
/// # Errors
/// `EADDRINUSE` when a process serves the path, `AlreadyExists` when the path is not a socket, and errors of the file
/// system. A stale socket file is replaced.
pub fn bind_unix(
    path: &Path,
    mode: Option<u32>,
    group: Option<u32>,
    backlog: i32,
) -> io::Result<StreamListener> {
    let (socket, bound) = socket_path::bind(Type::STREAM, path, mode, group)?;
    if let Err(error) = socket.listen(backlog) {
        drop(bound.unlink());
        return Err(error);
    }
    Ok(StreamListener {
        socket,
        path: Some(bound),
    })
}

/// Opens a UDP socket; also returns the granted size of the receive buffer.
///
/// `[::]` takes IPv4, too. Drops are counted (`SO_RXQ_OVFL`), GRO is on where the kernel has it, and on a wildcard
/// address each datagram carries its local address. The system's fragmentation setting is unchanged.
///
/// # Errors
/// `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EMFILE`.
pub fn bind_udp(
    address: SocketAddr,
    receive_buffer_wanted: usize,
) -> io::Result<(DatagramSocket, usize)> {
    let socket = ip_socket(address, Type::DGRAM, Protocol::UDP)?;
    if address.ip().is_unspecified() {
        enable_pktinfo(&socket, address)?;
    }
    let granted = grow_receive_buffer(&socket, receive_buffer_wanted)?;
    let ready = DatagramSocket::from_udp(socket, address, false)?;
    ready.socket().bind(&SockAddr::from(address))?;
    Ok((ready, granted))
}

/// Opens a Unix datagram socket at `path`; see [`bind_unix`] for mode, group and stale files.
///
/// # Errors
/// Those of [`bind_unix`].
pub fn bind_unixgram(
    path: &Path,
    mode: Option<u32>,
    group: Option<u32>,
) -> io::Result<DatagramSocket> {
    let (socket, bound) = socket_path::bind(Type::DGRAM, path, mode, group)?;
    Ok(DatagramSocket::from_unix(socket, Some(bound), false))
}

/// The id of a group by its name, or by digits.
///
/// # Errors
/// `NotFound` when there is no such group; errors of the name service.
pub fn lookup_group(name: &str) -> io::Result<u32> {
    if let Some(group) = Group::from_name(name)? {
        return Ok(group.gid.as_raw());
    }
    name.parse().map_err(|_| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no group named {name:?}"),
        )
    })
}

fn ip_socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new_raw(domain, kind.nonblocking().cloexec(), Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    Ok(socket)
}

pub(crate) fn enable_pktinfo(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        // Also covers the IPv4 datagrams of a dual-stack socket, as mapped addresses.
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

/// Requests `wanted` bytes; beyond the system's limit this needs `CAP_NET_ADMIN`. Returns the granted size.
pub(crate) fn grow_receive_buffer(socket: &Socket, wanted: usize) -> io::Result<usize> {
    socket.set_recv_buffer_size(wanted)?;
    // The kernel doubles the value, to cover its own bookkeeping.
    let granted = socket.recv_buffer_size()? / 2;
    if granted >= wanted || setsockopt(socket, sockopt::RcvBufForce, &wanted).is_err() {
        return Ok(granted);
    }
    Ok(socket.recv_buffer_size()? / 2)
}

#[cfg(test)]
mod tests;
