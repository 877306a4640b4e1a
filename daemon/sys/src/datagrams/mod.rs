//! Datagrams, many to a call: `recvmmsg` with coalescing (GRO), `sendmmsg` with segmenting (GSO).
//!
//! A worker owns one [`ReceiveArena`] and one [`SendScratch`] for all its datagram sockets. It
//! receives a batch, lends the datagrams to a handler, and sends the replies; no payload is copied
//! and nothing is allocated. The batch calls of nix are not used: they lose control messages when
//! headers are reused, and cannot set a source for each reply.
//!
//! ```no_run
//! use polyport_sys::datagrams::{Destination, LocalAddress, Run, Train};
//! use polyport_sys::{PeerRef, ReceiveArena, ReceiveOutcome, SendScratch, bind_udp};
//!
//! struct Reply<'a>(Train<'a>);
//! impl Destination for Reply<'_> {
//!     fn to(&self) -> Option<PeerRef<'_>> {
//!         Some(self.0.from)
//!     }
//!     fn from(&self) -> Option<LocalAddress> {
//!         self.0.to()
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let (socket, _granted) = bind_udp(([0, 0, 0, 0], 7).into(), 4 << 20)?;
//! let mut arena = ReceiveArena::new(64, 64 << 10);
//! let mut scratch = SendScratch::new();
//! if let ReceiveOutcome::Datagrams(batch) = socket.receive(&mut arena) {
//!     let echo = batch.trains().map(|train| Run {
//!         destination: Reply(train),
//!         payloads: train.pieces().map(|piece| piece.bytes),
//!     });
//!     socket.send_runs(&mut scratch, echo, |index, error| eprintln!("{index}: {error}"));
//! }
//! # Ok(())
//! # }
//! ```
#![expect(
    unsafe_code,
    reason = "recvmmsg and sendmmsg work on raw message headers"
)]

mod control;
mod gather;
mod names;
mod receive;
mod send;

#[cfg(test)]
mod tests;

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::address::PeerAddress;
use crate::listen;
use crate::socket_path::SocketPath;

pub use gather::SendScratch;
pub use receive::{Piece, Pieces, ReceiveArena, ReceiveOutcome, Received, Train, Trains};
pub use send::{Destination, Run, SendOutcome, Stop};

/// The maximum payload of one UDP datagram, or of several joined ones, in IPv4.
const UDP_PAYLOAD_MAX: usize = 65507;

/// A local address, with the interface that a datagram arrived on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalAddress {
    /// An address of this host; for a broadcast datagram, one that a reply can be sent from.
    pub ip: IpAddr,
    /// The interface index; it binds a reply only where the address is ambiguous (IPv6 link-local and
    /// multicast).
    pub interface: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    Unix,
}

/// A nonblocking UDP or Unix datagram socket.
///
/// Calls are safe from any thread; a worker that owns the socket needs no lock.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: Socket,
    family: Family,
    /// It has one peer, and a full send queue means that this peer is slow.
    connected: bool,
    /// Datagrams up to this size are joined; lowered when the path refuses joined ones; 0: never.
    join_limit: AtomicUsize,
    path: Option<SocketPath>,
}

impl DatagramSocket {
    /// Opens a UDP socket connected to `to`: it receives from no other peer, and gets ICMP refusals.
    ///
    /// # Errors
    /// `ENETUNREACH`, `EMFILE`, `EACCES` (a broadcast address).
    pub fn connect_udp(to: SocketAddr) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::for_address(to), kind, Some(Protocol::UDP))?;
        socket.connect(&SockAddr::from(to))?;
        Self::from_udp(socket, to, true)
    }

    /// Opens a Unix datagram socket connected to `name` (a leading zero byte: an abstract name). It is
    /// bound to an abstract name, so that the peer can reply.
    ///
    /// # Errors
    /// `ENOENT`, `ECONNREFUSED`, `EACCES`, `EMFILE`.
    pub fn connect_unixgram(name: &Path) -> io::Result<Self> {
        let socket = Socket::new_raw(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None)?;
        // An empty name lets the kernel choose an abstract one.
        socket.bind(&SockAddr::unix("")?)?;
        socket.connect(&SockAddr::unix(name)?)?;
        Ok(Self::from_unix(socket, None, true))
    }

    pub(crate) fn from_udp(
        socket: Socket,
        address: SocketAddr,
        connected: bool,
    ) -> io::Result<Self> {
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        // Without GRO or GSO each datagram is a message of its own.
        setsockopt(&socket, sockopt::UdpGroSegment, &true).ok();
        let joins = setsockopt(&socket, sockopt::UdpGsoSegment, &0).is_ok();
        Ok(Self {
            socket,
            family: if address.is_ipv6() {
                Family::V6
            } else {
                Family::V4
            },
            connected,
            join_limit: AtomicUsize::new(if joins { UDP_PAYLOAD_MAX } else { 0 }),
            path: None,
        })
    }

    pub(crate) fn from_unix(socket: Socket, path: Option<SocketPath>, connected: bool) -> Self {
        Self {
            socket,
            family: Family::Unix,
            connected,
            join_limit: AtomicUsize::new(0),
            path,
        }
    }

    /// Takes over a bound socket: sets the options of [`bind_udp`](crate::bind_udp) except the receive buffer. The
    /// file of a Unix socket stays its owner's, see [`Self::adopt_file`].
    pub(crate) fn from_inherited(socket: Socket) -> io::Result<Self> {
        let Some(address) = socket.local_addr()?.as_socket() else {
            return Ok(Self::from_unix(socket, None, false));
        };
        if address.ip().is_unspecified() {
            listen::enable_pktinfo(&socket, address)?;
        }
        Self::from_udp(socket, address, false)
    }

    /// Requests a receive buffer of at least `wanted` bytes; returns its size.
    ///
    /// # Errors
    /// Errors of `setsockopt`.
    pub fn grow_receive_buffer(&self, wanted: usize) -> io::Result<usize> {
        // The kernel reports twice the usable size.
        let present = self.socket.recv_buffer_size()? / 2;
        if present >= wanted {
            return Ok(present);
        }
        listen::grow_receive_buffer(&self.socket, wanted)
    }

    /// The bound address (port 0 resolved).
    ///
    /// # Errors
    /// None in practice: only those of an invalid descriptor.
    pub fn local_address(&self) -> io::Result<PeerAddress> {
        Ok(PeerAddress::from_kernel(&self.socket.local_addr()?))
    }

    /// Removes the file of a Unix socket if it is still the bound one; returns whether.
    ///
    /// # Errors
    /// Errors of the file system; a file that is gone or replaced is no error.
    pub fn unlink(&self) -> io::Result<bool> {
        self.path.as_ref().map_or(Ok(false), SocketPath::unlink)
    }

    /// Gives the file of a Unix socket another mode and group, see
    /// [`StreamListener::set_access`](crate::StreamListener::set_access).
    ///
    /// # Errors
    /// `NotFound` when the file is gone or replaced; errors of the file system.
    pub fn set_access(&self, mode: Option<u32>, group: Option<u32>) -> io::Result<()> {
        let path = self.path.as_ref();
        path.map_or(Ok(()), |path| path.set_access(mode, group))
    }

    /// Takes ownership of the file of an inherited Unix socket, see
    /// [`StreamListener::adopt_file`](crate::StreamListener::adopt_file).
    ///
    /// # Errors
    /// Errors of the file system, `NotFound` when the file is gone.
    pub fn adopt_file(&mut self) -> io::Result<()> {
        if let Some(path) = self.socket.local_addr()?.as_pathname() {
            self.path = Some(SocketPath::of(path)?);
        }
        Ok(())
    }

    /// The size up to which consecutive datagrams of equal size are joined when sent; 0: never.
    #[must_use]
    pub fn join_limit(&self) -> usize {
        self.join_limit.load(Ordering::Relaxed)
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for DatagramSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn empty_headers(count: usize) -> Vec<libc::mmsghdr> {
    // SAFETY: a message header is made of integers and pointers; all zero is an empty message.
    vec![unsafe { mem::zeroed() }; count]
}
