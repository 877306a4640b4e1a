//! Descriptors as passed by a service manager: blocking, by number, over an exec.

use super::*;
use crate::accept::{AcceptOutcome, accept};
use crate::testing::{no_children, until_readable};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{getsockopt, sockopt};

const ROLE: &str = "POLYPORT_SYS_TEST_INHERITS";

fn made(fd: impl Into<OwnedFd>) -> InheritedSocket {
    Inherited::new("x".to_owned(), fd.into()).socket
}

#[track_caller]
fn listening(fd: impl Into<OwnedFd>) -> StreamListener {
    match made(fd) {
        InheritedSocket::Stream(socket) => socket,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn datagrams(fd: impl Into<OwnedFd>) -> DatagramSocket {
    match made(fd) {
        InheritedSocket::Datagram(socket) => socket,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn reason(fd: impl Into<OwnedFd>) -> String {
    match made(fd) {
        InheritedSocket::Other { why } => why,
        other => panic!("{other:?}"),
    }
}

fn is_nonblocking(fd: &impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

fn any() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

#[test]
fn inherit_makes_a_listener_nonblocking() {
    let theirs = TcpListener::bind(any()).unwrap();
    let address = theirs.local_addr().unwrap();
    // It is in the queue before the socket is taken over.
    let client = TcpStream::connect(address).unwrap();
    let ours = listening(theirs);
    assert!(is_nonblocking(&ours));
    assert!(ours.socket().reuse_address().unwrap() && ours.socket().tcp_nodelay().unwrap());
    assert_eq!(ours.local_address().unwrap(), PeerAddress::Ip(address));
    until_readable(&ours);
    let AcceptOutcome::Stream(_, peer) = accept(&ours) else {
        panic!("the client waits");
    };
    assert_eq!(peer, PeerAddress::Ip(client.local_addr().unwrap()));
    assert!(matches!(accept(&ours), AcceptOutcome::Empty));
}

#[test]
fn inherit_makes_a_bound_socket_listen() {
    let theirs = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    theirs.bind(&any().into()).unwrap();
    let ours = listening(theirs);
    let PeerAddress::Ip(address) = ours.local_address().unwrap() else {
        panic!("no port");
    };
    TcpStream::connect(address).unwrap();
}

#[test]
fn inherit_listens_again_on_a_shut_tcp_socket() {
    let _alone = no_children();
    let address = TcpListener::bind(any()).unwrap().local_addr().unwrap();
    // A requested port stays with the socket; one that the kernel chose does not.
    let theirs = Socket::from(TcpListener::bind(address).unwrap());
    theirs.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(TcpStream::connect(address).is_err());
    let _ours = listening(theirs);
    TcpStream::connect(address).unwrap();
}

#[test]
fn inherit_sets_the_options_of_a_udp_socket() {
    let wildcard = UdpSocket::bind("0.0.0.0:0").unwrap();
    let ours = datagrams(wildcard);
    assert!(is_nonblocking(&ours));
    assert!(getsockopt(ours.socket(), sockopt::Ipv4PacketInfo).unwrap());
    assert_ne!(getsockopt(ours.socket(), sockopt::RxqOvfl).unwrap(), 0);
    assert!(ours.join_limit() > 0);
    let one = datagrams(UdpSocket::bind(any()).unwrap());
    assert!(!getsockopt(one.socket(), sockopt::Ipv4PacketInfo).unwrap());
    let dual = datagrams(UdpSocket::bind("[::]:0").unwrap());
    assert!(getsockopt(dual.socket(), sockopt::Ipv6RecvPacketInfo).unwrap());
}

#[test]
fn inherit_never_shrinks_a_receive_buffer() {
    let ours = datagrams(UdpSocket::bind(any()).unwrap());
    let first = ours.grow_receive_buffer(1).unwrap();
    assert!(first > 1);
    let grown = ours.grow_receive_buffer(first + 4096).unwrap();
    assert!(grown >= first);
    assert_eq!(ours.grow_receive_buffer(1).unwrap(), grown);
}

#[test]
fn inherit_leaves_a_unix_file_until_adopted() {
    let room = tempfile::tempdir().unwrap();
    let (stream, datagram) = (room.path().join("s"), room.path().join("d"));
    let mut ours = [
        made(UnixListener::bind(&stream).unwrap()),
        made(UnixDatagram::bind(&datagram).unwrap()),
    ];
    for (socket, path) in ours.iter_mut().zip([&stream, &datagram]) {
        assert!(!socket.unlink().unwrap() && path.exists());
        socket.adopt_file().unwrap();
        assert!(socket.unlink().unwrap() && !path.exists());
        let error = socket.adopt_file().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}

#[test]
fn inherit_sets_access_of_an_adopted_file() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("s");
    let mut ours = listening(UnixListener::bind(&path).unwrap());
    let _client = UnixStream::connect(&path).unwrap();
    let access = || {
        let found = std::fs::metadata(&path).unwrap();
        (found.permissions().mode() & 0o777, found.gid())
    };
    let plain = access();
    ours.set_access(Some(0o620), None).unwrap();
    assert_eq!(access(), plain, "the file is not ours yet");
    ours.adopt_file().unwrap();
    let group = crate::process::effective_gid();
    ours.set_access(Some(0o620), Some(group)).unwrap();
    assert_eq!(access(), (0o620, group));
    ours.set_access(None, None).unwrap();
    assert_eq!(access(), plain);
    assert!(matches!(accept(&ours), AcceptOutcome::Stream(..)));
    std::fs::remove_file(&path).unwrap();
    let error = ours.set_access(None, None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn inherit_respects_a_setgid_directory() {
    let room = tempfile::tempdir().unwrap();
    if std::os::unix::fs::chown(room.path(), None, Some(4711)).is_err() {
        return;
    }
    let handing = std::fs::Permissions::from_mode(0o2755);
    std::fs::set_permissions(room.path(), handing).unwrap();
    let path = room.path().join("s");
    let ours = crate::bind_unix(&path, Some(0o600), Some(4712), 8).unwrap();
    ours.set_access(Some(0o600), None).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().gid(), 4711);
}

#[test]
fn inherit_names_what_cannot_be_served() {
    let room = tempfile::tempdir().unwrap();
    assert_eq!(reason(tempfile::tempfile().unwrap()), "is no socket");
    let listener = TcpListener::bind(any()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(reason(client), "is connected");
    let pair = UnixStream::pair().unwrap();
    assert_eq!(reason(pair.0), "is connected");
    let free = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    assert_eq!(reason(free), "is bound to no address");
    assert_eq!(
        reason(UnixDatagram::unbound().unwrap()),
        "is bound to no address"
    );
    let shut = Socket::from(UnixListener::bind(room.path().join("shut")).unwrap());
    shut.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(reason(shut), "was shut down");
    let packets = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let name = socket2::SockAddr::unix(room.path().join("p")).unwrap();
    packets.bind(&name).unwrap();
    assert!(reason(packets).starts_with("is neither"));
}

#[test]
fn inherit_reads_three_variables() {
    let of = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> = pairs
            .iter()
            .map(|(name, value)| (format!("LISTEN_{name}"), (*value).to_owned()))
            .collect();
        passed(
            |name| Some(pairs.iter().find(|(known, _)| known == name)?.1.clone()),
            77,
        )
    };
    let named = |number, name: &str| (number, name.to_owned());
    assert_eq!(
        of(&[("PID", "77"), ("FDS", "2"), ("FDNAMES", "a:b:c")]),
        [named(3, "a"), named(4, "b")]
    );
    assert_eq!(
        of(&[("PID", "77"), ("FDS", "3"), ("FDNAMES", "a:")]),
        [named(3, "a"), named(4, "unknown"), named(5, "unknown")]
    );
    assert_eq!(of(&[("PID", "77"), ("FDS", "1")]), [named(3, "unknown")]);
    for nothing in [
        &[("FDS", "1")][..],
        &[("PID", "78"), ("FDS", "1")],
        &[("PID", "x"), ("FDS", "1")],
        &[("PID", "77")],
        &[("PID", "77"), ("FDS", "-1")],
        &[("PID", "77"), ("FDS", "0")],
        &[("PID", "77"), ("FDS", "4000000000")],
    ] {
        assert_eq!(of(nothing), [], "{nothing:?}");
    }
}

#[test]
fn inherit_takes_sockets_once_and_removes_the_variables() {
    let room = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind(any()).unwrap();
    let udp = UdpSocket::bind(any()).unwrap();
    let unix = UnixListener::bind(room.path().join("s")).unwrap();
    let addresses = format!(
        "{} {} {}",
        tcp.local_addr().unwrap(),
        udp.local_addr().unwrap(),
        room.path().join("s").display()
    );
    // A shell duplicates them to their numbers and executes the program under its own process id.
    let script = "exec 3<&0 4<&1 5<&2 7<&0 0</dev/null; export LISTEN_PID=$$; \
                  exec \"$0\" --exact inherit::tests::exec_role --nocapture >\"$OUT\" 2>&1";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("OUT", room.path().join("out"))
        .env(ROLE, addresses)
        .env("LISTEN_FDS", "5")
        .env("LISTEN_FDNAMES", "web:names:local:missing:again")
        .env("NOTIFY_SOCKET", "/nowhere")
        .stdin(Stdio::from(OwnedFd::from(tcp)))
        .stdout(Stdio::from(OwnedFd::from(udp)))
        .stderr(Stdio::from(OwnedFd::from(unix)));
    let status = crate::testing::status(&mut shell);
    let said = std::fs::read_to_string(room.path().join("out")).unwrap();
    assert!(status.success() && said.contains("1 passed"), "{said}");
}

/// The child of the test above; without the variable it does nothing.
#[test]
fn exec_role() {
    let Ok(addresses) = std::env::var(ROLE) else {
        return;
    };
    let taken = || {
        let all = descriptors().into_iter();
        all.map(|(name, fd)| Inherited::new(name, fd))
            .collect::<Vec<_>>()
    };
    let found = taken();
    let shown: Vec<(&str, String)> = found
        .iter()
        .map(|one| {
            let address = one.socket.local_address().unwrap();
            (one.name.as_str(), address.to_string())
        })
        .collect();
    let mut wanted = addresses.split(' ').map(str::to_owned);
    let mut next = || wanted.next().unwrap();
    let web = next();
    assert_eq!(
        shown,
        [
            ("web", web.clone()),
            ("names", next()),
            ("local", next()),
            // Number 6 is not open and is skipped; number 7 is the first descriptor again.
            ("again", web),
        ]
    );
    for one in &found {
        let fd = match &one.socket {
            InheritedSocket::Stream(socket) => socket.as_fd(),
            InheritedSocket::Datagram(socket) => socket.as_fd(),
            InheritedSocket::Other { why } => panic!("{why}"),
        };
        assert!(is_nonblocking(&fd));
        assert_eq!(fcntl(fd, FcntlArg::F_GETFD).unwrap(), libc::FD_CLOEXEC);
        assert!(fd.as_raw_fd() >= FIRST);
    }
    assert!(taken().is_empty(), "each is given once");
    // The harness has a thread for each test besides its own.
    assert!(!remove_variables());
    assert!(std::env::var("NOTIFY_SOCKET").is_ok());
}
