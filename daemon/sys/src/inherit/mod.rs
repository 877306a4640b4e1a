//! Sockets that the service manager, or the process before this one, passes at the start: opened for us, kept for us
//! over a crash, or handed over.
//!
//! `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` say which descriptors they are. What is passed is as the manager
//! left it, blocking as a rule; what is handed on from here is as if this process had bound it.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::address::PeerAddress;
use crate::calls;
use crate::datagrams::DatagramSocket;
use crate::listen::Listening;

/// What the service manager tells this process only: none of it is for a child.
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

/// The first descriptor that is passed.
pub(crate) const FIRST: RawFd = 3;
/// More than any manager passes; what claims more is a mistake.
const COUNT_MAX: usize = 1 << 16;
/// What a descriptor is called that has no name.
const UNNAMED: &str = "unknown";
/// Connections that may wait at a socket that was bound and does not listen yet; the kernel takes less if its own
/// bound is lower.
const BACKLOG: i32 = 4096;

/// One descriptor that was passed.
#[derive(Debug)]
pub struct Inherited {
    /// What the manager calls it; several may have one name.
    pub name: String,
    /// What it is.
    pub socket: InheritedSocket,
}

/// What was passed.
#[derive(Debug)]
pub enum InheritedSocket {
    /// A stream socket that listens.
    Listening(Listening),
    /// A bound datagram socket without a peer.
    Datagrams(DatagramSocket),
    /// Nothing that can be listened on; it is closed.
    Other {
        /// What it is instead, to be said after its name.
        why: String,
    },
}

/// Takes what was passed to this process, each with its name; each descriptor is given once. [`Inherited::new`] makes
/// sockets of them.
///
/// To be called first thing in `main`: before any code that might open descriptors that are not close-on-exec, which
/// could be taken for passed ones.
#[must_use]
pub fn descriptors() -> Vec<(String, OwnedFd)> {
    let variable = |name: &str| std::env::var(name).ok();
    passed(variable, std::process::id())
        .into_iter()
        .filter_map(|(number, name)| Some((name, calls::take_descriptor(number).ok()?)))
        .collect()
}

/// Removes the [`SERVICE_VARIABLES`] from the environment, so that no child of ours or of a plugin's gets them; says
/// whether. It cannot be done once there is a second thread.
///
/// To be called in `main` after all that asks for them.
///
/// ```standalone_crate
/// let passed = polyport_sys::inherit::descriptors();
/// assert!(polyport_sys::inherit::forget_variables());
/// # assert!(passed.is_empty());
/// ```
#[must_use]
pub fn forget_variables() -> bool {
    calls::remove_variables(&SERVICE_VARIABLES)
}

/// The numbers and names of what is passed to the process `pid`.
fn passed(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Vec<(RawFd, String)> {
    let number = |name| variable(name)?.parse::<usize>().ok();
    // They may be another's, whose child we are.
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
    /// Looks at a descriptor and makes it one of ours: nonblocking, with the options of one that this process bound.
    #[must_use]
    pub fn new(name: String, fd: OwnedFd) -> Self {
        let socket = ready(Socket::from(fd)).unwrap_or_else(|error| InheritedSocket::Other {
            why: error.to_string(),
        });
        Self { name, socket }
    }
}

impl InheritedSocket {
    /// The address that it is bound to; `None` for what cannot be listened on.
    #[must_use]
    pub fn local_address(&self) -> Option<PeerAddress> {
        match self {
            Self::Listening(socket) => socket.local_address().ok(),
            Self::Datagrams(socket) => socket.local_address().ok(),
            Self::Other { .. } => None,
        }
    }

    /// Takes the file of a Unix socket for ours, see [`Listening::adopt_file`].
    ///
    /// # Errors
    /// What the file system says, `NotFound` when no file is there any more.
    pub fn adopt_file(&mut self) -> io::Result<()> {
        match self {
            Self::Listening(socket) => socket.adopt_file(),
            Self::Datagrams(socket) => socket.adopt_file(),
            Self::Other { .. } => Ok(()),
        }
    }

    /// Removes the file of a Unix socket if it is ours, see [`Listening::unlink`].
    ///
    /// # Errors
    /// What the file system says.
    pub fn unlink(&self) -> io::Result<bool> {
        match self {
            Self::Listening(socket) => socket.unlink(),
            Self::Datagrams(socket) => socket.unlink(),
            Self::Other { .. } => Ok(false),
        }
    }
}

/// Makes a socket one of ours.
fn ready(socket: Socket) -> io::Result<InheritedSocket> {
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
        InheritedSocket::Listening(Listening::from_inherited(socket, BACKLOG)?)
    } else {
        InheritedSocket::Datagrams(DatagramSocket::from_inherited(socket)?)
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

/// A Unix socket that was shut down refuses for ever; one of TCP does not listen, and can do so again.
fn was_shut(kind: Type, socket: &Socket) -> io::Result<bool> {
    if kind == Type::STREAM && !socket.is_listener()? {
        // It has hung up from its birth until it listens.
        return Ok(false);
    }
    let mut list = [PollFd::new(socket.as_fd(), PollFlags::POLLHUP)];
    poll(&mut list, PollTimeout::ZERO)?;
    let [found] = list;
    Ok(found
        .revents()
        .is_some_and(|told| told.contains(PollFlags::POLLHUP)))
}

fn other(why: &str) -> InheritedSocket {
    let why = why.to_owned();
    InheritedSocket::Other { why }
}

#[cfg(test)]
mod tests;
