//! Sockets from the service manager: of a socket unit, or kept for the daemon over a crash.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use polyport_e2e::{
    Builder, Daemon, Manager, Passed, SOON, Signal, binaries, client, events, notify, wait,
};

/// An address of this test alone: the port is outside the kernel's ephemeral range.
fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let pid = std::process::id();
    let [.., high, middle, low] = pid.to_be_bytes();
    let port = u16::try_from(pid % 20_000).unwrap() + NEXT.fetch_add(1, Ordering::Relaxed);
    let ip = Ipv4Addr::new(127, high | 64, middle, low.max(1));
    SocketAddr::from((ip, 10_000 + port))
}

fn echo(listen: &str) -> Builder {
    Daemon::builder()
        .plugin("echo", &binaries::bundled("echo"))
        .service("echo", listen, "echo")
}

fn unix(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("somebody listens");
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Reads the answer to a request that was sent before the daemon ran.
fn expect(mut stream: impl std::io::Read, message: &[u8]) {
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).expect("the daemon answers");
    assert_eq!(answer, message);
}

#[test]
fn the_harness_passes_sockets_as_a_manager_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let passed = [
        Passed::new("web", listener.try_clone().unwrap()),
        Passed::new("names", UdpSocket::bind("127.0.0.1:0").unwrap()),
    ];
    let script = "test $LISTEN_PID = $$ && test $LISTEN_FDS = 2 && test $LISTEN_FDNAMES = web:names && \
                  test -S /proc/self/fd/3 && test -S /proc/self/fd/4 && ! test -e /proc/self/fd/5";
    let status = Command::new(binaries::passing())
        .args(["sh", "-c", script])
        .stdin(notify::message(&passed))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn sockets_of_a_unit_are_served_by_their_addresses() {
    let (tcp, udp) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    let manager = Manager::new();
    let path = manager.dir().join("echo.sock");
    let local = UnixListener::bind(&path).unwrap();
    let (tcp_at, udp_at) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    // A client that connects before the daemon runs is answered as well.
    let mut early = (client::tcp(tcp_at), client::udp(udp_at), unix(&path));
    early.0.write_all(b"early").unwrap();
    early.1.send(b"early").unwrap();
    early.2.write_all(b"early").unwrap();
    let daemon = echo(&format!(
        "tcp://{tcp_at}, udp://{udp_at}, unix://{}",
        path.display()
    ))
    .under(&manager)
    .passes(vec![
        Passed::new("polyport.socket", tcp),
        Passed::new("polyport.socket", udp),
        Passed::new("local", local),
    ])
    .start();
    expect(&early.0, b"early");
    assert_eq!(client::receive(&early.1), b"early");
    expect(&early.2, b"early");
    // A blocking socket would hang a worker after the first.
    for _ in 0..100 {
        client::expect_echo(&mut client::tcp(tcp_at), b"again");
        assert_eq!(client::datagram(&client::udp(udp_at), b"again"), b"again");
        client::expect_echo(&mut unix(&path), b"again");
    }
    assert_eq!(manager.kept(), [""; 0], "a unit keeps its own sockets");
    daemon.stop();
    assert!(path.exists(), "the file is the unit's");
}

#[test]
fn a_listener_may_name_what_is_passed() {
    let (tcp, udp) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    let (tcp_at, udp_at) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let daemon = echo("fd://web, fd://names")
        .passes(vec![Passed::new("names", udp), Passed::new("web", tcp)])
        .start();
    client::expect_echo(&mut client::tcp(tcp_at), b"by name");
    assert_eq!(
        client::datagram(&client::udp(udp_at), b"by name"),
        b"by name"
    );
    daemon.stop();
}

#[test]
fn a_name_that_is_not_passed_refuses_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let finished = echo("fd://web").run();
    finished.prints("fd://web");
    assert_ne!(finished.code, 0);
    let file = tempfile::tempfile().unwrap();
    let mut daemon = echo("fd://web")
        .allow_error("web")
        .passes(vec![
            Passed::new("other", listener),
            Passed::new("web", file),
        ])
        .spawn();
    assert_ne!(daemon.wait_exit(SOON), 0);
    assert!(daemon.log().contains("is no socket"));
}

#[test]
fn an_inherited_socket_without_a_service_is_closed_with_a_warning() {
    let (wanted, unwanted) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let (at, gone) = (wanted.local_addr().unwrap(), unwanted.local_addr().unwrap());
    let manager = Manager::new();
    let daemon = echo(&format!("tcp://{at}"))
        .under(&manager)
        .passes(vec![
            Passed::new("wanted", wanted),
            Passed::new("unwanted", unwanted),
        ])
        .start();
    let warning = daemon.log().wait_for("no service listens on", SOON);
    assert_eq!(warning.level, "WARN");
    assert_eq!(warning.field("name"), "unwanted");
    let (removed, _) = manager.wait_word("FDSTOREREMOVE", 0);
    assert_eq!(removed.word("FDNAME"), Some("unwanted"));
    wait::until("the socket is closed", SOON, || {
        TcpStream::connect(gone).is_err().then_some(())
    });
    client::expect_echo(&mut client::tcp(at), b"serves");
    daemon.stop();
}

#[test]
fn sockets_for_another_process_are_not_taken() {
    let daemon = echo("tcp://127.0.0.1:0")
        .variable("LISTEN_PID", "1")
        .variable("LISTEN_FDS", "2")
        .start();
    client::expect_echo(&mut client::tcp(daemon.tcp("echo")), b"binds by itself");
    daemon.stop();
}

#[test]
fn a_crash_refuses_no_connection() {
    let manager = Manager::new();
    let at = address();
    let path = manager.dir().join("echo.sock");
    let listen = format!(
        "tcp://{at}, udp://{at}, unix://{}?mode=0600",
        path.display()
    );
    let names = [
        format!("polyport/tcp/{}%3A{}", at.ip(), at.port()),
        format!("polyport/udp/{}%3A{}", at.ip(), at.port()),
        format!("polyport/unix{}", path.display()),
    ];
    let mut daemon = echo(&listen).under(&manager).start();
    for _ in 0..3 {
        manager.wait_kept(&names);
        client::expect_echo(&mut client::tcp(at), b"before");
        daemon.signal(Signal::SIGKILL);
        assert_eq!(daemon.wait_exit(SOON), 128 + 9);
        drop(daemon);
        // No daemon runs, and no connection is refused.
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let clients = (client::tcp(at), client::udp(at), unix(&path));
                (&clients.0).write_all(b"meanwhile").unwrap();
                clients.1.send(b"meanwhile").unwrap();
                (&clients.2).write_all(b"meanwhile").unwrap();
                clients
            })
            .collect();
        daemon = echo(&listen)
            .under(&manager)
            .passes(manager.passes())
            .start();
        for (tcp, udp, local) in &waiting {
            expect(tcp, b"meanwhile");
            assert_eq!(client::receive(udp), b"meanwhile");
            expect(local, b"meanwhile");
        }
        client::expect_echo(&mut client::tcp(at), b"after");
        client::expect_echo(&mut unix(&path), b"after");
    }
    daemon.stop();
}

#[test]
fn an_orderly_restart_refuses_no_connection() {
    let manager = Manager::new();
    let at = address();
    let path = manager.dir().join("echo.sock");
    let listen = format!("tcp://{at}, udp://{at}, unix://{}", path.display());
    let names = ["tcp", "udp"].map(|kind| format!("polyport/{kind}/{}%3A{}", at.ip(), at.port()));
    let mut daemon = echo(&listen).under(&manager).start();
    for _ in 0..3 {
        daemon.stop();
        // The Unix socket was closed and its file removed.
        manager.wait_kept(&names);
        let waiting = (client::tcp(at), client::udp(at));
        (&waiting.0).write_all(b"meanwhile").unwrap();
        waiting.1.send(b"meanwhile").unwrap();
        daemon = echo(&listen)
            .under(&manager)
            .passes(manager.passes())
            .start();
        expect(&waiting.0, b"meanwhile");
        assert_eq!(client::receive(&waiting.1), b"meanwhile");
        client::expect_echo(&mut unix(&path), b"again");
        assert!(!daemon.log().contains("no service listens on"));
    }
    daemon.stop();
}

#[test]
fn a_socket_removed_by_a_reload_is_kept_no_longer() {
    let manager = Manager::new();
    let at = address();
    let mut daemon = echo(&format!("tcp://{at}, tcp://127.0.0.1:0"))
        .under(&manager)
        .start();
    // A port of the kernel's choice is not kept.
    let name = format!("polyport/tcp/{}%3A{}", at.ip(), at.port());
    manager.wait_kept(&[&name]);
    daemon.edit(|draft| draft.service("echo", "tcp://127.0.0.1:0", "echo", ""));
    daemon.hang_up("the reload", events::is_reload_verdict);
    manager.wait_kept(&[""; 0]);
    wait::until("it is closed", SOON, || {
        TcpStream::connect(at).is_err().then_some(())
    });
    daemon.edit(|draft| draft.service("echo", &format!("tcp://{at}"), "echo", ""));
    daemon.hang_up("the reload", events::is_reload_verdict);
    manager.wait_kept(&[&name]);
    daemon.stop();
}

#[test]
fn a_stored_unix_socket_gets_the_mode_of_the_new_configuration() {
    let manager = Manager::new();
    let path = manager.dir().join("echo.sock");
    let listen = |mode: &str| format!("unix://{}?mode={mode}", path.display());
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let mut daemon = echo(&listen("0600")).under(&manager).start();
    manager.wait_word("READY", 0);
    daemon.signal(Signal::SIGKILL);
    daemon.wait_exit(SOON);
    drop(daemon);
    let waiting = unix(&path);
    (&waiting).write_all(b"meanwhile").unwrap();
    let mut daemon = echo(&listen("0660"))
        .under(&manager)
        .passes(manager.passes())
        .start();
    expect(&waiting, b"meanwhile");
    assert_eq!(mode(), 0o660);
    // A reload changes it in place: connected clients notice nothing.
    daemon.edit(|draft| draft.service("echo", &listen("0640"), "echo", ""));
    daemon.hang_up("the reload", |event| event.is(events::RELOAD_APPLIED));
    assert_eq!(mode(), 0o640);
    client::expect_echo(&mut &waiting, b"still here");
    client::expect_echo(&mut unix(&path), b"and new");
    daemon.stop();
}

#[test]
fn a_mode_that_cannot_be_given_refuses_the_reload_and_undoes_the_others() {
    let manager = Manager::new();
    let paths = ["one", "two"].map(|name| manager.dir().join(name));
    let listen = |mode: &str| {
        let urls = paths
            .each_ref()
            .map(|path| format!("unix://{}?mode={mode}", path.display()));
        urls.join(", ")
    };
    let mut daemon = echo(&listen("0600")).allow_error("mode and group").start();
    fs::rename(&paths[1], manager.dir().join("away")).unwrap();
    daemon.edit(|draft| draft.service("echo", &listen("0660"), "echo", ""));
    let failed = daemon.hang_up("the reload", |event| event.is(events::RELOAD_FAILED));
    assert!(
        failed.field("reason").contains("is gone or replaced"),
        "{}",
        failed.line
    );
    let mode = fs::metadata(&paths[0]).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    client::expect_echo(&mut unix(&paths[0]), b"serves");
    daemon.stop();
}

#[test]
fn a_stored_socket_without_a_listener_at_the_next_start_is_closed() {
    let manager = Manager::new();
    let at = address();
    let path = manager.dir().join("old.sock");
    let mut daemon = echo(&format!("tcp://{at}, unix://{}", path.display()))
        .under(&manager)
        .start();
    daemon.signal(Signal::SIGKILL);
    daemon.wait_exit(SOON);
    drop(daemon);
    // The stale socket covers the new address.
    let wider = SocketAddr::from((Ipv4Addr::UNSPECIFIED, at.port()));
    let daemon = echo(&format!("tcp://{wider}"))
        .under(&manager)
        .passes(manager.passes())
        .start();
    client::expect_echo(&mut client::tcp(at), b"the new one");
    manager.wait_kept(&[format!("polyport/tcp/0.0.0.0%3A{}", at.port())]);
    assert!(!path.exists(), "its file goes with it");
    daemon.stop();
}
