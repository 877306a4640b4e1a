//! One TCP or Unix stream: a descriptor and its operations, nothing buffered.

use std::io::{self, IoSlice, Read};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::address::PeerAddress;
use crate::calls;

/// A nonblocking stream socket; four bytes. Dropping it closes the connection in order.
///
/// Calls are safe from any thread: the kernel keeps each one whole, their order is the caller's.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
}

impl Stream {
    pub(crate) fn from_socket(socket: Socket) -> Self {
        Self { socket }
    }

    /// Starts to connect to a TCP address, from the address `source` if given. The stream is
    /// connected when it is writable and [`Self::connect_result`] is `Ok`. Nagle is off.
    ///
    /// # Errors
    /// Errors that are known at once: `ENETUNREACH`, `EADDRNOTAVAIL`, `EMFILE`, `EACCES`.
    pub fn connect_tcp(to: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::for_address(to), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = source {
            // The port is chosen with the peer known, so one source serves more than 28k peers.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
        }
        start_connect(socket, &SockAddr::from(to))
    }

    /// Connects to a Unix socket; a name that begins with a zero byte is an abstract one.
    ///
    /// # Errors
    /// `ENOENT`, `ECONNREFUSED`, `EACCES`; `EAGAIN` when the backlog is full: no readiness event
    /// follows, try again later.
    pub fn connect_unix(name: &Path) -> io::Result<Self> {
        let kind = Type::STREAM.nonblocking().cloexec();
        start_connect(
            Socket::new_raw(Domain::UNIX, kind, None)?,
            &SockAddr::unix(name)?,
        )
    }

    /// The result of the connect, valid once the stream is writable. Clears the error.
    ///
    /// # Errors
    /// `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH` and the like.
    pub fn connect_result(&self) -> io::Result<()> {
        self.socket.take_error()?.map_or(Ok(()), Err)
    }

    /// Reads available bytes into `buffer`; 0 is the peer's end (or an empty buffer).
    ///
    /// # Errors
    /// `WouldBlock` when no byte is available; `ECONNRESET`, `ETIMEDOUT` and the like.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.socket).read(buffer)
    }

    /// Writes as much as fits; returns how much. Never raises `SIGPIPE`.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; `EPIPE`, `ECONNRESET` and the like.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send_with_flags(bytes, libc::MSG_NOSIGNAL)
    }

    /// Writes several pieces (at most 1024) as one.
    ///
    /// # Errors
    /// Those of [`Self::write`]; `EMSGSIZE` with more than 1024 pieces.
    pub fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket
            .send_vectored_with_flags(pieces, libc::MSG_NOSIGNAL)
    }

    /// Ends our direction; bytes already written are still delivered.
    ///
    /// # Errors
    /// `ENOTCONN` when the connection is gone.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Makes the close a reset: unsent bytes are dropped, and a TCP peer sees a reset.
    pub fn reset_on_close(&self) {
        // On failure the close is orderly.
        drop(self.socket.set_linger(Some(Duration::ZERO)));
    }

    /// Resets the connection: unsent bytes are dropped, and a TCP peer sees a reset.
    pub fn abort(self) {
        self.reset_on_close();
    }

    /// The address of this end.
    ///
    /// # Errors
    /// None in practice: only those of an invalid descriptor.
    pub fn local_address(&self) -> io::Result<PeerAddress> {
        Ok(PeerAddress::from_kernel(&self.socket.local_addr()?))
    }

    /// The number of bytes that a read would return now: unread bytes turn a close into a reset.
    ///
    /// # Errors
    /// `EINVAL` on a listening socket, so never in practice.
    pub fn unread_bytes(&self) -> io::Result<usize> {
        calls::unread_bytes(self.socket.as_fd())
    }

    /// Detects dead TCP peers: keepalive after 60 s, then every 10 s, dead after 3; bytes
    /// unacknowledged for 60 s end the connection too. For dialled streams; accepted ones inherit
    /// it from their listener.
    ///
    /// # Errors
    /// Errors of `setsockopt`. No effect on a Unix stream.
    pub fn enable_keepalive(&self) -> io::Result<()> {
        enable_keepalive(&self.socket)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Releases the descriptor.
impl From<Stream> for OwnedFd {
    fn from(stream: Stream) -> Self {
        stream.socket.into()
    }
}

/// Takes over a connected stream socket and makes it nonblocking.
impl TryFrom<OwnedFd> for Stream {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }
}

fn start_connect(socket: Socket, to: &SockAddr) -> io::Result<Stream> {
    match socket.connect(to) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(Stream { socket }),
    }
}

pub(crate) fn enable_keepalive(socket: &Socket) -> io::Result<()> {
    if socket.domain()? == Domain::UNIX {
        return Ok(());
    }
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_mins(1))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(Duration::from_mins(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::bind_unix;
    use crate::testing::{no_children, until_readable, until_writable};
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    fn tcp_pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = Stream::connect_tcp(listener.local_addr().unwrap(), None).unwrap();
        let (far, _) = listener.accept().unwrap();
        until_writable(&near);
        near.connect_result().unwrap();
        (near, far)
    }

    #[test]
    fn stream_transfers_bytes_and_ends() {
        let (near, mut far) = tcp_pair();
        let mut buffer = [0; 16];
        let empty = near.read(&mut buffer).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(near.write(b"one ").unwrap(), 4);
        assert_eq!(
            near.write_vectored(&[IoSlice::new(b"two"), IoSlice::new(b"!")])
                .unwrap(),
            4
        );
        near.shutdown_write().unwrap();
        let mut received = String::new();
        far.read_to_string(&mut received).unwrap();
        assert_eq!(received, "one two!");

        far.write_all(b"back").unwrap();
        until_readable(&near);
        assert_eq!(near.unread_bytes().unwrap(), 4);
        assert_eq!(near.read(&mut buffer).unwrap(), 4);
        drop(far);
        until_readable(&near);
        assert_eq!(near.read(&mut buffer).unwrap(), 0);
        assert_eq!(near.unread_bytes().unwrap(), 0);
    }

    #[test]
    fn stream_abort_resets() {
        let (near, mut far) = tcp_pair();
        near.abort();
        let error = far.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn stream_write_to_a_closed_peer_raises_no_signal() {
        let _alone = no_children();
        let (near, far) = UnixStream::pair().unwrap();
        let near = Stream::try_from(OwnedFd::from(near)).unwrap();
        drop(far);
        let error = near.write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let error = near.write_vectored(&[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn stream_write_is_partial_when_the_peer_is_full() {
        let (near, _far) = tcp_pair();
        let bytes = vec![7; 1 << 20];
        let mut written = 0;
        let error = loop {
            match near.write(&bytes) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(written > 0);
    }

    #[test]
    fn stream_connect_result_reports_a_refusal() {
        let _alone = no_children();
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        match Stream::connect_tcp(closed, None) {
            Ok(near) => {
                until_writable(&near);
                let error = near.connect_result().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused),
        }
    }

    #[test]
    fn stream_connects_from_the_requested_source() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let source = "127.0.0.3".parse().unwrap();
        let near = Stream::connect_tcp(to, Some(source)).unwrap();
        let (_far, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), source);
        near.enable_keepalive().unwrap();
        assert!(near.socket.keepalive().unwrap() && near.socket.tcp_nodelay().unwrap());
    }

    #[test]
    fn stream_connects_to_unix_paths_and_abstract_names() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("s");
        let _listening = bind_unix(&path, None, None, 8).unwrap();
        let near = Stream::connect_unix(&path).unwrap();
        near.connect_result().unwrap();
        let missing = Stream::connect_unix(&room.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);

        let name = format!("\0polyport-sys-{}", std::process::id());
        let hidden = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        hidden.bind(&SockAddr::unix(&name).unwrap()).unwrap();
        hidden.listen(1).unwrap();
        Stream::connect_unix(Path::new(&name))
            .unwrap()
            .connect_result()
            .unwrap();
    }
}
