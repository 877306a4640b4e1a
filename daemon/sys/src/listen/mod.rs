//! Sockets that wait for peers: made, bound, named and given the right options.
//!
//! Nothing is retried here and nothing is closed behind the caller's back; a Unix socket's file is
//! removed only by an explicit `unlink`.

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
pub struct Listening {
    socket: Socket,
    /// Where its file is, for a Unix socket.
    path: Option<SocketPath>,
}

impl Listening {
    /// A socket that somebody else has bound: given the options that [`bind_tcp`] sets, and made to listen if it
    /// does not. The file of a Unix socket stays its owner's, see [`Self::adopt_file`].
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

    /// The address that it is bound to (a port of 0 is resolved).
    ///
    /// # Errors
    /// Only what the kernel says to a wrong descriptor, so never in practice.
    pub fn local_address(&self) -> io::Result<PeerAddress> {
        Ok(PeerAddress::from_kernel(&self.socket.local_addr()?))
    }

    /// Lets every connection accepted from now on notice a dead peer, see
    /// [`Stream::guard_against_dead_peers`](crate::Stream::guard_against_dead_peers): the kernel
    /// copies these options to what is accepted, so that no connection pays for the calls.
    ///
    /// # Errors
    /// What `setsockopt` says. Nothing is done to a Unix socket.
    pub fn guard_against_dead_peers(&self) -> io::Result<()> {
        stream::guard_against_dead_peers(&self.socket)
    }

    /// Refuses all who come from now on, though the socket is still held somewhere. Who waits in its queue is reset.
    ///
    /// # Errors
    /// Only what the kernel says to a wrong descriptor, so never in practice.
    pub fn refuse(&self) -> io::Result<()> {
        self.socket.shutdown(std::net::Shutdown::Both)
    }

    /// Removes the file of a Unix socket if it is still the one that was bound; says whether.
    ///
    /// # Errors
    /// What the file system says; a file that is gone or replaced is no error.
    pub fn unlink(&self) -> io::Result<bool> {
        self.path.as_ref().map_or(Ok(false), SocketPath::unlink)
    }

    /// Gives the file of a Unix socket the mode and the group that [`bind_unix`] would give a new one; who waits in the
    /// queue notices nothing. Nothing is done to another socket, or to a file that is not ours.
    ///
    /// # Errors
    /// `NotFound` when the file is gone or replaced; what the file system says.
    pub fn set_access(&self, mode: Option<u32>, group: Option<u32>) -> io::Result<()> {
        let path = self.path.as_ref();
        path.map_or(Ok(()), |path| path.set_access(mode, group))
    }

    /// Takes the file of an inherited Unix socket for ours: [`Self::unlink`] and [`Self::set_access`] work on it from
    /// now on.
    ///
    /// # Errors
    /// What the file system says, `NotFound` when no file is there any more.
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

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listening {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Listens on a TCP address. `[::]` takes IPv4, too; any other IPv6 address takes IPv6 only.
///
/// # Errors
/// `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` (a port below 1024), `EMFILE`.
pub fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<Listening> {
    let socket = ip_socket(address, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    // Inherited by every accepted connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    Ok(Listening { socket, path: None })
}

/// Listens on a Unix socket at `path`. With a `mode` (permission bits) or a `group`, they are in force
/// before anybody can connect; without a mode the process's umask decides.
///
/// # Errors
/// `EADDRINUSE` when somebody answers at the path, `AlreadyExists` when something else than a
/// socket is there, and what the file system says. A dead socket's file is replaced.
pub fn bind_unix(
    path: &Path,
    mode: Option<u32>,
    group: Option<u32>,
    backlog: i32,
) -> io::Result<Listening> {
    let (socket, bound) = socket_path::bind(Type::STREAM, path, mode, group)?;
    if let Err(error) = socket.listen(backlog) {
        drop(bound.unlink());
        return Err(error);
    }
    Ok(Listening {
        socket,
        path: Some(bound),
    })
}

/// Opens a UDP socket and says how many bytes of receive buffer were granted of those wanted.
///
/// `[::]` takes IPv4, too. Lost datagrams are counted (`SO_RXQ_OVFL`), coalescing is on where the
/// kernel offers it, and on a wildcard address each datagram says to which address it was sent.
/// Fragmentation is left as the system has it.
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

/// The number of a group by its name, or by the number itself in digits.
///
/// # Errors
/// `NotFound` when there is none; what the name service says.
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
        // Tells it for the IPv4 datagrams of a dual-stack socket, too, as a mapped address.
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

/// Asks for `wanted` bytes; past the system's limit only who may administer the network gets them.
pub(crate) fn grow_receive_buffer(socket: &Socket, wanted: usize) -> io::Result<usize> {
    socket.set_recv_buffer_size(wanted)?;
    // The kernel doubles what it is asked for, to cover its own bookkeeping.
    let granted = socket.recv_buffer_size()? / 2;
    if granted >= wanted || setsockopt(socket, sockopt::RcvBufForce, &wanted).is_err() {
        return Ok(granted);
    }
    Ok(socket.recv_buffer_size()? / 2)
}

#[cfg(test)]
mod tests;
