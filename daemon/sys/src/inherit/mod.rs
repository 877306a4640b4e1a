//! Sockets that the service manager, or the old process of an upgrade, passes at the start.
//!
//! `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` describe the descriptors. They arrive as the manager left them,
//! usually blocking; [`Inherited::new`] gives them the options of sockets that this process bound.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::address::PeerAddress;
use crate::calls;
use crate::datagrams::DatagramSocket;
use crate::listen::StreamListener;

/// Variables of the service manager for this process only; no child gets them.
pub const SERVICE_VARIABLES: [&str; 8] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FDSTORE",
];

/// The number of the first passed descriptor.
pub(crate) const FIRST: RawFd = 3;
/// Above the number that any manager passes; a larger value is treated as a mistake.
const COUNT_MAX: usize = 1 << 16;
/// The name of an unnamed descriptor.
const UNNAMED: &str = "unknown";
/// The backlog of a socket that was bound but does not listen yet; the kernel lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// One passed descriptor.
#[derive(Debug)]
pub struct Inherited {
    /// Its name; not unique.
    pub name: String,
    /// The socket.
    pub socket: InheritedSocket,
}

/// A passed descriptor by its kind.
#[derive(Debug)]
pub enum InheritedSocket {
    /// A listening stream socket.
    Stream(StreamListener),
    /// A bound datagram socket without a peer.
    Datagram(DatagramSocket),
    /// Not a socket that can be served; it is closed.
    Other {
        /// What it is instead: text that follows its name.
        why: String,
    },
}

/// Takes the descriptors that were passed to this process, each with its name; a second call returns none.
/// [`Inherited::new`] makes sockets of them.
///
/// To be called first in `main`: code that runs earlier might open descriptors without close-on-exec, which would be
/// mistaken for passed ones.
#[must_use]
pub fn descriptors() -> Vec<(String, OwnedFd)> {
    let variable = |name: &str| std::env::var(name).ok();
    passed(variable, std::process::id())
        .into_iter()
        .filter_map(|(number, name)| Some((name, calls::take_descriptor(number).ok()?)))
        .collect()
}

/// Removes the [`SERVICE_VARIABLES`] from the environment, so that no child of the daemon or of a plugin inherits
/// them; returns whether it did. Impossible once there is a second thread.
///
/// To be called in `main` after all readers of these variables.
///
/// ```standalone_crate
/// let passed = polyport_sys::inherit::descriptors();
/// assert!(polyport_sys::inherit::remove_variables());
/// # assert!(passed.is_empty());
/// ```
#[must_use]
pub fn remove_variables() -> bool {
    calls::remove_variables(&SERVICE_VARIABLES)
}

/// The numbers and names of what is passed to the process `pid`.
fn passed(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Vec<(RawFd, String)> {
    let number = |name| variable(name)?.parse::<usize>().ok();
    // The variables may belong to a parent process.
    if number("LISTEN_PID") != usize::try_from(pid).ok() {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").filter(|count| *count <= COUNT_MAX);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').chain(std::iter::repeat(""));
    let named = |name: &str| if name.is_empty() { UNNAMED } else { name }.to_owned();
    (FIRST..)
        .zip(names.map(named))
        .take(count.unwrap_or(0))
        .collect()
}

impl Inherited {
    /// Checks a descriptor and makes it nonblocking, with the options of a socket that this process bound.
    #[must_use]
    pub fn new(name: String, fd: OwnedFd) -> Self {
        let socket = adopt(Socket::from(fd)).unwrap_or_else(|error| InheritedSocket::Other {
            why: error.to_string(),
        });
        Self { name, socket }
    }
}

impl InheritedSocket {
    /// The bound address; `None` if it cannot be served.
    #[must_use]
    pub fn local_address(&self) -> Option<PeerAddress> {
        match self {
            Self::Stream(socket) => socket.local_address().ok(),
            Self::Datagram(socket) => socket.local_address().ok(),
            Self::Other { .. } => None,
        }
    }

    /// Takes ownership of the file of a Unix socket, see [`StreamListener::adopt_file`].
    ///
    /// # Errors
    /// Errors of the file system, `NotFound` when the file is gone.
    pub fn adopt_file(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(socket) => socket.adopt_file(),
            Self::Datagram(socket) => socket.adopt_file(),
            Self::Other { .. } => Ok(()),
        }
    }

    /// Removes the file of a Unix socket if this process owns it, see [`StreamListener::unlink`].
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn unlink(&self) -> io::Result<bool> {
        match self {
            Self::Stream(socket) => socket.unlink(),
            Self::Datagram(socket) => socket.unlink(),
            Self::Other { .. } => Ok(false),
        }
    }
}

/// Checks a socket and sets its options.
fn adopt(socket: Socket) -> io::Result<InheritedSocket> {
    let kind = match socket.r#type() {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
            return Ok(other("is no socket"));
        }
        kind => kind?,
    };
    if !is_served(kind, &socket)? {
        return Ok(other(
            "is neither TCP, UDP nor a Unix socket for streams or datagrams",
        ));
    }
    if socket.peer_addr().is_ok() {
        return Ok(other("is connected"));
    }
    if !is_bound(&socket)? {
        return Ok(other("is bound to no address"));
    }
    if was_shut(kind, &socket)? {
        return Ok(other("was shut down"));
    }
    socket.set_nonblocking(true)?;
    Ok(if kind == Type::STREAM {
        InheritedSocket::Stream(StreamListener::from_inherited(socket, BACKLOG)?)
    } else {
        InheritedSocket::Datagram(DatagramSocket::from_inherited(socket)?)
    })
}

fn is_served(kind: Type, socket: &Socket) -> io::Result<bool> {
    let protocol = match (socket.domain()?, kind) {
        (Domain::UNIX, Type::STREAM | Type::DGRAM) => return Ok(true),
        (Domain::IPV4 | Domain::IPV6, Type::STREAM) => Protocol::TCP,
        (Domain::IPV4 | Domain::IPV6, Type::DGRAM) => Protocol::UDP,
        _ => return Ok(false),
    };
    Ok(socket.protocol()? == Some(protocol))
}

fn is_bound(socket: &Socket) -> io::Result<bool> {
    Ok(match PeerAddress::from_kernel(&socket.local_addr()?) {
        PeerAddress::Ip(address) => address.port() != 0,
        PeerAddress::Unix(name) => name.is_some(),
    })
}

/// A Unix socket that was shut down refuses for ever; a TCP socket can listen again.
fn was_shut(kind: Type, socket: &Socket) -> io::Result<bool> {
    if kind == Type::STREAM && !socket.is_listener()? {
        // A stream socket reports a hang-up until it listens.
        return Ok(false);
    }
    let mut list = [PollFd::new(socket.as_fd(), PollFlags::POLLHUP)];
    poll(&mut list, PollTimeout::ZERO)?;
    let [found] = list;
    Ok(found
        .revents()
        .is_some_and(|flags| flags.contains(PollFlags::POLLHUP)))
}

fn other(why: &str) -> InheritedSocket {
    let why = why.to_owned();
    InheritedSocket::Other { why }
}

#[cfg(test)]
mod tests;
