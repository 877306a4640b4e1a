//! Listening sockets over the real kernel.

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
fn listen_ipv6_wildcard_takes_ipv4() {
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
fn listen_port_is_free_after_close() {
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
    // Our side closes first, so the port stays in TIME-WAIT.
    drop((accept(&first), first, client));
    bind_tcp(again, 8).unwrap();
}

#[test]
fn listen_udp_port_is_exclusive() {
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
fn listen_dual_stack_udp_receives_ipv4() {
    let (socket, _) = bind_udp("[::]:0".parse().unwrap(), 1 << 16).unwrap();
    let port = port_of(socket.local_address().unwrap());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"x", ("127.0.0.1", port)).unwrap();
    until_readable(&socket);
}

#[test]
fn listen_unix_socket_has_mode_and_group() {
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
    stream.enable_keepalive().unwrap();

    let datagrams = bind_unixgram(&room.path().join("d"), Some(0o600), None).unwrap();
    let mode = std::fs::metadata(room.path().join("d"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(datagrams.unlink().unwrap());
}

#[test]
fn listen_replaces_stale_sockets_only() {
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
fn listen_leaves_other_files_alone() {
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
fn listen_unlinks_its_own_file_only() {
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
fn lookup_group_by_name_and_number() {
    assert_eq!(lookup_group("root").unwrap(), 0);
    assert_eq!(lookup_group("4711").unwrap(), 4711);
    let error = lookup_group("no-such-group").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
