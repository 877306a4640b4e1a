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

    /// Removes the file of a Unix socket if it is still the one that was bound; says whether.
    ///
    /// # Errors
    /// What the file system says; a file that is gone or replaced is no error.
    pub fn unlink(&self) -> io::Result<bool> {
        self.path.as_ref().map_or(Ok(false), SocketPath::unlink)
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
        tell_destination(&socket, address)?;
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

fn tell_destination(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        // Tells it for the IPv4 datagrams of a dual-stack socket, too, as a mapped address.
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

/// Asks for `wanted` bytes; past the system's limit only who may administer the network gets them.
fn grow_receive_buffer(socket: &Socket, wanted: usize) -> io::Result<usize> {
    socket.set_recv_buffer_size(wanted)?;
    // The kernel doubles what it is asked for, to cover its own bookkeeping.
    let granted = socket.recv_buffer_size()? / 2;
    if granted >= wanted || setsockopt(socket, sockopt::RcvBufForce, &wanted).is_err() {
        return Ok(granted);
    }
    Ok(socket.recv_buffer_size()? / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::{AcceptOutcome, accept};
    use crate::testing::{no_children, until_readable};
    use std::net::{TcpStream, UdpSocket};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    fn port_of(address: PeerAddress) -> u16 {
        match address {
            PeerAddress::Ip(address) => address.port(),
            PeerAddress::Unix(_) => panic!("not an IP socket"),
        }
    }

    #[test]
    fn the_ipv6_wildcard_takes_ipv4_and_another_ipv6_address_does_not() {
        let all = bind_tcp("[::]:0".parse().unwrap(), 8).unwrap();
        let port = port_of(all.local_address().unwrap());
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        until_readable(&all);
        let AcceptOutcome::Stream(_, peer) = accept(&all) else {
            panic!("nobody came");
        };
        assert_eq!(peer, PeerAddress::Ip(client.local_addr().unwrap()));
        assert!(!all.socket().only_v6().unwrap());
        let one = bind_tcp("[::1]:0".parse().unwrap(), 8).unwrap();
        assert!(one.socket().only_v6().unwrap());
    }

    #[test]
    fn a_bound_port_is_in_use_and_free_again_at_once() {
        let _alone = no_children();
        let first = bind_tcp("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        let port = port_of(first.local_address().unwrap());
        let again = SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(
            bind_tcp(again, 8).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        let client = TcpStream::connect(again).unwrap();
        until_readable(&first);
        // Our side closes first, so the port is left in TIME-WAIT.
        drop((accept(&first), first, client));
        bind_tcp(again, 8).unwrap();
    }

    #[test]
    fn two_udp_sockets_cannot_share_a_port_unasked() {
        let (first, granted) = bind_udp("127.0.0.1:0".parse().unwrap(), 64 << 10).unwrap();
        assert_eq!(granted, 64 << 10);
        let again = SocketAddr::from(([127, 0, 0, 1], port_of(first.local_address().unwrap())));
        assert_eq!(
            bind_udp(again, 1).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        let (_, granted) = bind_udp("127.0.0.1:0".parse().unwrap(), 4 << 20).unwrap();
        assert!(granted > 64 << 10, "{granted}");
    }

    #[test]
    fn a_dual_stack_udp_socket_hears_ipv4() {
        let (socket, _) = bind_udp("[::]:0".parse().unwrap(), 1 << 16).unwrap();
        let port = port_of(socket.local_address().unwrap());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"x", ("127.0.0.1", port)).unwrap();
        until_readable(&socket);
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_group_and_serves() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("s");
        let group = nix::unistd::getegid().as_raw();
        let listening = bind_unix(&path, Some(0o620), Some(group), 8).unwrap();
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!(
            (found.permissions().mode() & 0o777, found.gid()),
            (0o620, group)
        );
        let _client = UnixStream::connect(&path).unwrap();
        let AcceptOutcome::Stream(stream, peer) = accept(&listening) else {
            panic!("nobody came");
        };
        assert_eq!(peer, PeerAddress::Unix(None));
        assert_eq!(
            stream.local_address().unwrap(),
            listening.local_address().unwrap()
        );
        stream.guard_against_dead_peers().unwrap();

        let datagrams = bind_unixgram(&room.path().join("d"), Some(0o600), None).unwrap();
        let mode = std::fs::metadata(room.path().join("d"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(datagrams.unlink().unwrap());
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let _alone = no_children();
        let room = tempfile::tempdir().unwrap();
        let (stream, datagram) = (room.path().join("s"), room.path().join("d"));
        let live = (
            UnixListener::bind(&stream).unwrap(),
            UnixDatagram::bind(&datagram).unwrap(),
        );
        for path in [&stream, &datagram] {
            let kind = |error: io::Error| error.kind();
            assert_eq!(
                kind(bind_unix(path, None, None, 8).unwrap_err()),
                io::ErrorKind::AddrInUse
            );
            assert_eq!(
                kind(bind_unixgram(path, None, None).unwrap_err()),
                io::ErrorKind::AddrInUse
            );
        }
        drop(live);
        bind_unix(&stream, None, None, 8).unwrap();
        bind_unixgram(&datagram, None, None).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("file");
        std::fs::write(&path, "precious").unwrap();
        let error = bind_unix(&path, None, None, 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("not a socket"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        let link = room.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(bind_unix(&link, None, None, 8).is_err());
        for name in ["", "\0abstract"] {
            let error = bind_unix(Path::new(name), None, None, 8).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn only_the_own_file_is_unlinked() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("s");
        let first = bind_unix(&path, None, None, 8).unwrap();
        std::fs::rename(&path, room.path().join("aside")).unwrap();
        assert!(!first.unlink().unwrap(), "it is gone");
        let second = bind_unix(&path, None, None, 8).unwrap();
        assert!(!first.unlink().unwrap(), "it is the successor's");
        assert!(second.unlink().unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_group_is_found_by_name_and_by_number() {
        assert_eq!(lookup_group("root").unwrap(), 0);
        assert_eq!(lookup_group("4711").unwrap(), 4711);
        let error = lookup_group("no-such-group").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
