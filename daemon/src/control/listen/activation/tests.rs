//! Passed sockets and the listeners that claim them.

use super::*;
use crate::control::listen::fdstore::fdstore_name;
use polyport_config::listener::parse;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;

fn passed(name: &str, fd: impl Into<OwnedFd>) -> Inherited {
    Inherited::new(name.to_owned(), fd.into())
}

fn tcp() -> (TcpListener, ListenAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ListenAddress::Tcp(listener.local_addr().unwrap());
    (listener, address)
}

fn unix(room: &tempfile::TempDir) -> (PathBuf, ListenAddress) {
    let path = room.path().join("s");
    let address = parse(&format!("unix://{}", path.display())).unwrap();
    (path, address)
}

#[test]
fn activation_claims_a_socket_once_by_kind_and_address() {
    let (listener, address) = tcp();
    let ListenAddress::Tcp(at) = address else {
        panic!("a TCP address");
    };
    let datagrams = UdpSocket::bind(at).unwrap();
    let mut activation = Activation::new(vec![
        passed("unknown", datagrams),
        passed("web.socket", listener),
    ]);
    let other = SocketAddr::from(([127, 0, 0, 2], at.port()));
    assert!(
        activation
            .claim(&ListenAddress::Tcp(other), "service")
            .is_none()
    );
    let claimed = activation.claim(&address, "service").unwrap();
    assert_eq!(
        (claimed.name.as_str(), claimed.is_bound),
        ("web.socket", false)
    );
    assert!(matches!(claimed.socket, InheritedSocket::Stream(_)));
    assert!(activation.claim(&address, "service").is_none());
    let claimed = activation
        .claim(&ListenAddress::Udp(at), "service")
        .unwrap();
    assert!(matches!(claimed.socket, InheritedSocket::Datagram(_)));
}

#[test]
fn activation_takes_a_mapped_address_for_the_one_that_it_maps() {
    let (listener, address) = tcp();
    let ListenAddress::Tcp(at) = address else {
        panic!("a TCP address");
    };
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), at.port());
    let mut activation = Activation::new(vec![passed("x", listener)]);
    assert!(
        activation
            .claim(&ListenAddress::Tcp(mapped), "service")
            .is_some()
    );
}

#[test]
fn activation_prefers_stored_sockets() {
    let (listener, address) = tcp();
    let name = fdstore_name(&address).unwrap();
    let of_unit = listener.try_clone().unwrap();
    let mut activation =
        Activation::new(vec![passed("web.socket", of_unit), passed(&name, listener)]);
    let claimed = activation.claim(&address, "service").unwrap();
    assert!(claimed.is_bound && claimed.name == name);
}

#[test]
fn activation_claims_by_name_whatever_the_kind() {
    let (listener, address) = tcp();
    let stored = fdstore_name(&address).unwrap();
    let file = tempfile::tempfile().unwrap();
    let mut activation = Activation::new(vec![
        passed(&stored, listener),
        passed("web", UdpSocket::bind("127.0.0.1:0").unwrap()),
        passed("web", file),
    ]);
    let named = |name: &str| ListenAddress::Inherited {
        name: name.to_owned(),
    };
    let first = activation.claim(&named("web"), "service").unwrap();
    assert!(matches!(first.socket, InheritedSocket::Datagram(_)));
    let second = activation.claim(&named("web"), "service").unwrap();
    assert!(matches!(second.socket, InheritedSocket::Other { .. }));
    assert!(activation.claim(&named("web"), "service").is_none());
    assert!(activation.claim(&named(&stored), "service").is_none());
}

#[test]
fn activation_owns_the_file_of_a_stored_socket_and_not_that_of_a_unit() {
    let room = tempfile::tempdir().unwrap();
    let (path, address) = unix(&room);
    let listener = UnixListener::bind(&path).unwrap();
    let name = fdstore_name(&address).unwrap();
    for (name, ours) in [("web.socket", false), (name.as_str(), true)] {
        let passed = passed(name, listener.try_clone().unwrap());
        let claimed = Activation::new(vec![passed])
            .claim(&address, "service")
            .unwrap();
        assert_eq!(claimed.is_bound, ours);
        assert_eq!(claimed.socket.unlink().unwrap(), ours);
        assert_eq!(path.exists(), !ours);
    }
}

#[test]
fn activation_does_not_claim_a_socket_whose_file_is_gone() {
    let room = tempfile::tempdir().unwrap();
    let (path, address) = unix(&room);
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let name = fdstore_name(&address).unwrap();
    let mut activation = Activation::new(vec![passed(&name, listener)]);
    assert!(activation.claim(&address, "service").is_none());
    activation.close_unclaimed(&ServiceManager::default());
}

#[test]
fn activation_closes_and_unstores_what_is_not_claimed() {
    let room = tempfile::tempdir().unwrap();
    let (path, address) = unix(&room);
    let notify = room.path().join("notify");
    let notified = UnixDatagram::bind(&notify).unwrap();
    notified.set_nonblocking(true).unwrap();
    let manager = ServiceManager::at(&notify);
    let unit_path = room.path().join("unit");
    let (kept, wanted) = tcp();
    let (gone, unwanted) = tcp();
    let stored = fdstore_name(&address).unwrap();
    let mut activation = Activation::new(vec![
        passed("a", kept),
        passed(&stored, UnixListener::bind(&path).unwrap()),
        passed("b", UnixListener::bind(&unit_path).unwrap()),
        passed("a", gone),
        passed("c", tempfile::tempfile().unwrap()),
    ]);
    let claimed = activation.claim(&wanted, "service").unwrap();
    activation.close_unclaimed(&manager);
    let mut texts = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(length) = notified.recv(&mut buffer) {
        texts.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    let removed = [&stored, "b", "c"].map(|name| format!("FDSTOREREMOVE=1\nFDNAME={name}\n"));
    assert_eq!(texts, removed, "the name `a` is in use");
    assert!(!path.exists() && unit_path.exists());
    let connects = |address: &ListenAddress| match address {
        ListenAddress::Tcp(at) => std::net::TcpStream::connect(at).is_ok(),
        _ => false,
    };
    assert!(connects(&wanted) && !connects(&unwanted));
    drop(claimed);
}
