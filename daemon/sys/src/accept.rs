//! Taking one connection from a listening socket, and saying what a failure asks for.

use std::io;

use crate::address::PeerAddress;
use crate::listen::Listening;
use crate::stream::Stream;

/// What came of one accept.
#[derive(Debug)]
pub enum AcceptOutcome {
    /// A connection and who made it. The peer may be gone already; the stream's first read says so.
    Stream(Stream, PeerAddress),
    /// Nobody waits: wait for readiness.
    Empty,
    /// That one connection failed before it was taken: try again now.
    Again,
    /// The process or the system is out of something: pause, then try again.
    Exhausted(io::Error),
    /// The listening socket is no longer one: give it up.
    Broken(io::Error),
}

/// Takes one waiting connection; nonblocking, close-on-exec, Nagle off, the address as the kernel
/// gave it with the connection. Safe from several threads at once.
#[must_use]
pub fn accept(listening: &Listening) -> AcceptOutcome {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    match listening.socket().accept4(flags) {
        // `TCP_NODELAY` comes from the listening socket: one call less for each connection.
        Ok((socket, peer)) => {
            AcceptOutcome::Stream(Stream::from_socket(socket), PeerAddress::from_kernel(&peer))
        }
        Err(error) => failure(error),
    }
}

/// Sorts an errno. What is not known to break the listener, or to need a pause, concerned one
/// connection only (accept(2): treat the network's errors like `EAGAIN`).
fn failure(error: io::Error) -> AcceptOutcome {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => AcceptOutcome::Empty,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            AcceptOutcome::Exhausted(error)
        }
        Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EFAULT) | None => {
            AcceptOutcome::Broken(error)
        }
        // EOPNOTSUPP is also among the network's errors; a socket that is no stream fails at
        // `listen`, so here it can only mean one connection.
        Some(_) => AcceptOutcome::Again,
    }
}
