//! Accepting one connection, and what a failure calls for.

use std::io;

use crate::address::PeerAddress;
use crate::listen::StreamListener;
use crate::stream::Stream;

/// The result of one accept.
#[derive(Debug)]
pub enum AcceptOutcome {
    /// A connection and its peer. The peer may be gone already; the first read shows it.
    Stream(Stream, PeerAddress),
    /// The queue is empty: wait for readiness.
    Empty,
    /// One connection failed before it was accepted: try again now.
    Again,
    /// The process or the system is out of a resource: pause, then try again.
    Exhausted(io::Error),
    /// The listening socket is unusable: give it up.
    Broken(io::Error),
}

/// Accepts one connection: nonblocking, close-on-exec, Nagle off, with the peer's address. Safe from several threads
/// at once.
#[must_use]
pub fn accept(listening: &StreamListener) -> AcceptOutcome {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    match listening.socket().accept4(flags) {
        // `TCP_NODELAY` is inherited from the listening socket: one call less for each connection.
        Ok((socket, peer)) => {
            AcceptOutcome::Stream(Stream::from_socket(socket), PeerAddress::from_kernel(&peer))
        }
        Err(error) => failure(error),
    }
}

/// Classifies the error of an accept, also for callers that accept by other means. An error that neither breaks the
/// listener nor needs a pause concerns one connection only (accept(2): treat network errors like `EAGAIN`).
#[must_use]
pub fn failure(error: io::Error) -> AcceptOutcome {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => AcceptOutcome::Empty,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            AcceptOutcome::Exhausted(error)
        }
        Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EFAULT) | None => {
            AcceptOutcome::Broken(error)
        }
        // EOPNOTSUPP is a network error too. A socket that is no stream fails at `listen`, so here it concerns one
        // connection.
        Some(_) => AcceptOutcome::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::bind_tcp;
    use crate::testing::until_readable;
    use socket2::Socket;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    fn listening() -> (StreamListener, SocketAddr) {
        let listening = bind_tcp("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let PeerAddress::Ip(address) = listening.local_address().unwrap() else {
            panic!("no port");
        };
        (listening, address)
    }

    fn taken(listening: &StreamListener) -> (Stream, PeerAddress) {
        until_readable(listening);
        match accept(listening) {
            AcceptOutcome::Stream(stream, peer) => (stream, peer),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn accept_returns_the_address_and_inherits_options() {
        let (listening, address) = listening();
        assert!(matches!(accept(&listening), AcceptOutcome::Empty));
        listening.enable_keepalive().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (stream, peer) = taken(&listening);
        assert_eq!(peer, PeerAddress::Ip(client.local_addr().unwrap()));
        assert_eq!(stream.local_address().unwrap(), PeerAddress::Ip(address));

        let socket = Socket::from(std::os::fd::OwnedFd::from(stream));
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.nonblocking().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_mins(1));
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(10)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_mins(1))
        );
        let flags = nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, libc::FD_CLOEXEC);
    }

    #[test]
    fn accept_returns_a_connection_that_was_reset() {
        let (listening, address) = listening();
        let client = Socket::from(TcpStream::connect(address).unwrap());
        let port = client.local_addr().unwrap().as_socket().unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let (stream, peer) = taken(&listening);
        assert_eq!(peer, PeerAddress::Ip(port));
        until_readable(&stream);
        let error = stream.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
        drop(stream.enable_keepalive());
    }

    #[test]
    fn accept_classifies_each_failure() {
        let sort = |errno| failure(io::Error::from_raw_os_error(errno));
        assert!(matches!(sort(libc::EAGAIN), AcceptOutcome::Empty));
        for errno in [
            libc::ECONNABORTED,
            libc::EINTR,
            libc::EPROTO,
            libc::ENETDOWN,
            libc::EPERM,
        ] {
            assert!(matches!(sort(errno), AcceptOutcome::Again), "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(
                matches!(sort(errno), AcceptOutcome::Exhausted(_)),
                "{errno}"
            );
        }
        for errno in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
            assert!(matches!(sort(errno), AcceptOutcome::Broken(_)), "{errno}");
        }
    }

    #[test]
    fn accept_reports_a_shut_listener_as_broken() {
        let (listening, _) = listening();
        listening
            .socket()
            .shutdown(std::net::Shutdown::Both)
            .unwrap();
        assert!(matches!(accept(&listening), AcceptOutcome::Broken(_)));
    }
}
