//! Datagrams, many to a call: `recvmmsg` with coalescing (GRO), `sendmmsg` with segmenting (GSO).
//!
//! A worker owns one [`ReceiveArena`] and one [`SendScratch`] for all its datagram sockets. It
//! receives a batch, hands the borrowed datagrams to whoever answers, and sends the answers; no
//! payload is copied and nothing is allocated. The batches are our own because those of nix lose
//! control messages when their headers are used again, and cannot give each reply its own source.
//!
//! ```no_run
//! use polyport_sys::{Outgoing, ReceiveArena, ReceiveOutcome, SendScratch, bind_udp};
//!
//! # fn main() -> std::io::Result<()> {
//! let (socket, _granted) = bind_udp(([0, 0, 0, 0], 7).into(), 4 << 20)?;
//! let mut arena = ReceiveArena::new(64, 64 << 10);
//! let mut scratch = SendScratch::new();
//! if let ReceiveOutcome::Datagrams(batch) = socket.receive(&mut arena) {
//!     let echo = batch.iter().map(|one| Outgoing { bytes: one.bytes, to: Some(one.from), from: one.to });
//!     socket.send(&mut scratch, echo, |index, error| eprintln!("{index}: {error}"));
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
pub use receive::{
    Datagram, Datagrams, Piece, Pieces, ReceiveArena, ReceiveOutcome, Received, Train, Trains,
};
pub use send::{Outgoing, Road, Run, SendOutcome, Stop};

/// The most bytes that one UDP datagram, or several joined ones, may have in IPv4.
const UDP_PAYLOAD_MAX: usize = 65507;

/// One of our own addresses, with the interface that it was reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalAddress {
    /// An address of this host: for a broadcast datagram, the one that a reply may come from.
    pub ip: IpAddr,
    /// The interface's number; it binds a reply only where the address alone would not do
    /// (IPv6 link-local and multicast).
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
/// Calls may come from any thread; a worker that owns it needs no lock.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: Socket,
    family: Family,
    /// Dialled: it has one peer, and its own full queue is that peer's.
    connected: bool,
    /// Datagrams up to this size may be joined; sinks when the path refuses, 0 is never.
    join_limit: AtomicUsize,
    path: Option<SocketPath>,
}

impl DatagramSocket {
    /// Opens a UDP socket whose one peer is `to`: it hears no other, and hears when the peer's host
    /// refuses.
    ///
    /// # Errors
    /// `ENETUNREACH`, `EMFILE`, `EACCES` (a broadcast address).
    pub fn connect_udp(to: SocketAddr) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::for_address(to), kind, Some(Protocol::UDP))?;
        socket.connect(&SockAddr::from(to))?;
        Self::from_udp(socket, to, true)
    }

    /// Opens a Unix datagram socket whose one peer is `name` (a leading zero byte: an abstract
    /// name). It has an abstract name of its own, so that the peer can answer.
    ///
    /// # Errors
    /// `ENOENT`, `ECONNREFUSED`, `EACCES`, `EMFILE`.
    pub fn connect_unixgram(name: &Path) -> io::Result<Self> {
        let socket = Socket::new_raw(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None)?;
        // Binding to no name lets the kernel choose one.
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
        // Without coalescing, or without segmenting, each datagram just travels alone.
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

    /// A socket that somebody else has bound: given the options that [`bind_udp`](crate::bind_udp) sets, but for its
    /// receive buffer. The file of a Unix socket stays its owner's, see [`Self::adopt_file`].
    pub(crate) fn from_inherited(socket: Socket) -> io::Result<Self> {
        let Some(address) = socket.local_addr()?.as_socket() else {
            return Ok(Self::from_unix(socket, None, false));
        };
        if address.ip().is_unspecified() {
            listen::tell_destination(&socket, address)?;
        }
        Self::from_udp(socket, address, false)
    }

    /// Asks for a receive buffer of `wanted` bytes, unless it has as many already; says how many it has now.
    ///
    /// # Errors
    /// What `setsockopt` says.
    pub fn grow_receive_buffer(&self, wanted: usize) -> io::Result<usize> {
        // The kernel counts its own bookkeeping in.
        let present = self.socket.recv_buffer_size()? / 2;
        if present >= wanted {
            return Ok(present);
        }
        listen::grow_receive_buffer(&self.socket, wanted)
    }

    /// The address that it is bound to (a port of 0 is resolved).
    ///
    /// # Errors
    /// Only what the kernel says to a wrong descriptor, so never in practice.
    pub fn local_address(&self) -> io::Result<PeerAddress> {
        Ok(PeerAddress::from_kernel(&self.socket.local_addr()?))
    }

    /// Removes the file of a Unix socket if it is still the one that was bound; says whether.
    ///
    /// # Errors
    /// What the file system says; a file that is gone or replaced is no error.
    pub fn unlink(&self) -> io::Result<bool> {
        self.path.as_ref().map_or(Ok(false), SocketPath::unlink)
    }

    /// Gives the file of a Unix socket another mode and group, see
    /// [`Listening::set_access`](crate::Listening::set_access).
    ///
    /// # Errors
    /// `NotFound` when the file is gone or replaced; what the file system says.
    pub fn set_access(&self, mode: Option<u32>, group: Option<u32>) -> io::Result<()> {
        let path = self.path.as_ref();
        path.map_or(Ok(()), |path| path.set_access(mode, group))
    }

    /// Takes the file of an inherited Unix socket for ours, see
    /// [`Listening::adopt_file`](crate::Listening::adopt_file).
    ///
    /// # Errors
    /// What the file system says, `NotFound` when no file is there any more.
    pub fn adopt_file(&mut self) -> io::Result<()> {
        if let Some(path) = self.socket.local_addr()?.as_pathname() {
            self.path = Some(SocketPath::of(path)?);
        }
        Ok(())
    }

    /// Whether equal-sized neighbours are still joined when sent, and up to which size.
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
