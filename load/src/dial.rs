//! Streams to the server: which of its addresses, from where, and what a failure means.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::options::Options;

/// Addresses to come from on the loopback: one alone runs out of ports that wait for late segments.
const SOURCES: u64 = 32;

/// The stream addresses of the server.
#[derive(Debug)]
pub(crate) struct Dial {
    servers: Vec<SockAddr>,
}

/// Where a connection stands after the first call.
#[derive(Debug)]
pub(crate) enum Dialled {
    /// On its way, or there.
    Socket(Socket),
    /// The server's queue is full, and the kernel does not wait for it: again.
    Full,
}

/// Whose fault it is that something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No listener, or the network refuses.
    Refused,
    /// It was cut off.
    Reset,
    /// The kernel gave up waiting.
    TimedOut,
    /// This machine.
    Here,
}

impl Dial {
    /// # Errors
    /// The path of a Unix socket is too long.
    pub(crate) fn new(options: &Options) -> std::io::Result<Self> {
        let mut servers: Vec<SockAddr> =
            options.tcp.iter().map(|server| (*server).into()).collect();
        for path in &options.unix {
            servers.push(SockAddr::unix(path)?);
        }
        Ok(Self { servers })
    }

    /// One TCP address.
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self {
            servers: vec![server.into()],
        }
    }

    /// Begins to connect; the addresses of the server take turns by the number.
    pub(crate) fn open(&self, number: u64) -> std::io::Result<Dialled> {
        let turn = usize::try_from(number).unwrap_or(0) % self.servers.len().max(1);
        let Some(server) = self.servers.get(turn) else {
            return Err(ErrorKind::AddrNotAvailable.into());
        };
        let socket = Socket::new(server.domain(), Type::STREAM.nonblocking(), None)?;
        if server.domain() != Domain::UNIX {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(source) = loopback_source(server, number) {
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
            socket.bind(&source.into())?;
        }
        match socket.connect(server) {
            Ok(()) => Ok(Dialled::Socket(socket)),
            Err(fault) if fault.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {
                Ok(Dialled::Socket(socket))
            }
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => Ok(Dialled::Full),
            Err(fault) => Err(fault),
        }
    }
}

/// Every address of 127/8 is this machine.
fn loopback_source(server: &SockAddr, number: u64) -> Option<SocketAddr> {
    let IpAddr::V4(address) = server.as_socket()?.ip() else {
        return None;
    };
    let host = u8::try_from(number % SOURCES + 1).ok()?;
    address
        .is_loopback()
        .then(|| (Ipv4Addr::new(127, 0, 1, host), 0).into())
}

impl Failure {
    pub(crate) fn of(fault: &std::io::Error) -> Self {
        match fault.raw_os_error().map(Errno::from_raw) {
            Some(
                Errno::ECONNREFUSED
                | Errno::ENOENT
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::EHOSTDOWN,
            ) => Self::Refused,
            Some(Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED) => Self::Reset,
            Some(Errno::ETIMEDOUT) => Self::TimedOut,
            _ => Self::Here,
        }
    }
}
