//! Faults 52 to 54 and 60: datagrams that are empty, too long, refused, or sent to one of several addresses.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use polyport_e2e::{Builder, Daemon, SOON, TestPlugin, client, events, process, wait};

fn with(listen: &str) -> Builder {
    Daemon::builder()
        .plugin("svc", &TestPlugin::file("datagrams"))
        .service("svc", listen, "svc")
}

fn local(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address.port()))
}

#[test]
fn f52_an_empty_datagram_is_data_both_ways() {
    let daemon = with("udp://127.0.0.1:0").start();
    let socket = client::udp(daemon.udp("svc"));
    assert_eq!(client::datagram(&socket, b""), b"0");
    assert_eq!(client::datagram(&socket, b"empty"), b"");
    assert_eq!(client::datagram(&socket, b"abc"), b"3");
    daemon.stop();
}

fn unixgram(path: &Path, mine: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(mine).unwrap();
    socket.connect(path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

fn received(socket: &UnixDatagram) -> String {
    let mut answer = [0; 1024];
    let length = socket.recv(&mut answer).expect("a datagram comes back");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// Sends too long a datagram, then a short one; returns the first two answers.
fn too_long(plugin: &Path) -> (Daemon, Vec<String>) {
    let daemon = Daemon::builder().plugin("svc", plugin);
    let path = daemon.dir().join("svc.sock");
    let mine = daemon.dir().join("mine.sock");
    let daemon = daemon
        .service("svc", &format!("unixgram://{}", path.display()), "svc")
        .start();
    let socket = unixgram(&path, &mine);
    socket.send(&vec![b'x'; 150_000]).unwrap();
    socket.send(b"short").unwrap();
    let mut answers = vec![received(&socket)];
    if answers[0] != "5" {
        answers.push(received(&socket));
    }
    (daemon, answers)
}

#[test]
fn f53_a_truncated_datagram_is_dropped_and_logged() {
    let (daemon, answers) = too_long(&TestPlugin::file("datagrams"));
    assert_eq!(answers, ["5"]);
    let log = daemon.log().clone();
    daemon.stop();
    let closed = log.wait_named(events::LISTENER_CLOSED, SOON);
    assert_eq!(closed.field("truncated"), "1", "{closed:?}");
}

#[test]
fn f53_a_handler_that_asks_sees_truncated_datagrams_as_such() {
    let plugin = TestPlugin::new("datagrams")
        .called("datagrams_asking")
        .define("WANT_TRUNCATED")
        .build();
    let (daemon, answers) = too_long(&plugin);
    assert!(answers[0].starts_with("truncated "), "{answers:?}");
    assert_eq!(answers[1], "5");
    daemon.stop();
}

#[test]
fn f54_an_unreachable_peer_affects_no_other_peer() {
    let daemon = with("udp://127.0.0.1:0").start();
    let socket = client::udp(daemon.udp("svc"));
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    gone.send_to(b"abc", daemon.udp("svc")).unwrap();
    drop(gone);
    for _ in 0..20 {
        socket.send(format!("bounce {port}").as_bytes()).unwrap();
        assert_eq!(client::datagram(&socket, b"abc"), b"3");
    }
    daemon.stop();
}

#[test]
fn f54_the_handler_is_notified_of_a_refused_datagram() {
    let daemon = with("udp://127.0.0.1:0").start();
    let socket = client::udp(daemon.udp("svc"));
    // No datagram can go to port 0: the kernel refuses at once.
    socket.send(b"bounce 0").unwrap();
    assert_eq!(client::datagram(&socket, b"abc"), b"3");
    daemon.log().wait_for("svc send error 22 to port 0", SOON);
    daemon.stop();
}

#[test]
fn f60_the_answer_leaves_from_the_address_of_the_request() {
    let daemon = with("udp://0.0.0.0:0").start();
    let port = daemon.udp("svc").port();
    for asked in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.send_to(b"abc", format!("{asked}:{port}")).unwrap();
        let mut answer = [0; 16];
        let (length, from) = socket.recv_from(&mut answer).expect("an answer");
        assert_eq!(
            (&answer[..length], from.to_string()),
            (&b"3"[..], format!("{asked}:{port}"))
        );
    }
    daemon.stop();
}

#[test]
fn f60_so_it_does_on_a_socket_of_both_families() {
    let daemon = with("udp://[::]:0").start();
    let port = daemon.udp("svc").port();
    for asked in ["127.0.0.1", "127.0.0.2"] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(format!("{asked}:{port}")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(client::datagram(&socket, b"abc"), b"3");
    }
    let socket = client::udp(format!("[::1]:{port}").parse().unwrap());
    assert_eq!(client::datagram(&socket, b"abcd"), b"4");
    daemon.stop();
}

#[test]
fn a_batch_of_answers_arrives_in_order() {
    let daemon = with("udp://0.0.0.0:0").start();
    let socket = client::udp(local(daemon.udp("svc")));
    socket.send(b"burst").unwrap();
    for expected in 0..100 {
        assert_eq!(client::receive(&socket), expected.to_string().as_bytes());
    }
    daemon.stop();
}

#[test]
fn the_longest_datagram_comes_whole() {
    let daemon = with("udp://127.0.0.1:0").start();
    let socket = client::udp(daemon.udp("svc"));
    assert_eq!(client::datagram(&socket, &vec![0; 65507]), b"65507");
    assert_eq!(client::datagram(&socket, b"abc"), b"3");
    daemon.stop();
}

#[test]
fn each_peer_has_a_flow_of_its_own() {
    let daemon = Daemon::builder()
        .plugin("flows", &TestPlugin::file("flows"))
        .service("flows", "udp://127.0.0.1:0", "flows")
        .start();
    let (one, two) = (
        client::udp(daemon.udp("flows")),
        client::udp(daemon.udp("flows")),
    );
    assert_eq!(client::datagram(&one, b"a"), b"1");
    assert_eq!(client::datagram(&one, b"a"), b"2");
    assert_eq!(client::datagram(&two, b"a"), b"1");
    assert_eq!(client::datagram(&one, b"a"), b"3");
    assert_eq!(client::datagram(&two, b"end"), b"2");
    daemon.log().wait_for("svc flow of 2 closed reason 2", SOON);
    assert_eq!(client::datagram(&two, b"a"), b"1");
    // After the flow's own idle timeout of 400 ms.
    daemon
        .log()
        .wait_for("svc flow of 3 closed reason 10", SOON);
    assert_eq!(client::datagram(&one, b"a"), b"1");
    daemon.stop();
}

#[test]
fn a_flow_ends_with_the_daemon() {
    let daemon = Daemon::builder()
        .plugin("flows", &TestPlugin::file("flows"))
        .service("flows", "udp://127.0.0.1:0", "flows")
        .start();
    let socket = client::udp(daemon.udp("flows"));
    assert_eq!(client::datagram(&socket, b"a"), b"1");
    let log = daemon.log().clone();
    daemon.stop();
    assert!(
        log.contains("svc flow of 1 closed reason"),
        "closed() is called once for each flow"
    );
}

#[test]
fn a_thousand_datagrams_of_many_peers_are_all_answered() {
    let daemon = with("udp://127.0.0.1:0").set("workers: 2").start();
    let address = daemon.udp("svc");
    let sockets: Vec<UdpSocket> = (0..50).map(|_| client::udp(address)).collect();
    for length in 1..=20 {
        sockets
            .iter()
            .for_each(|socket| assert_eq!(socket.send(&vec![0; length]).unwrap(), length));
        for socket in &sockets {
            assert_eq!(client::receive(socket), length.to_string().as_bytes());
        }
    }
    daemon.stop();
}

#[test]
fn a_sender_without_an_address_does_no_harm() {
    let daemon = Daemon::builder().plugin("svc", &TestPlugin::file("datagrams"));
    let path = daemon.dir().join("svc.sock");
    let mine = daemon.dir().join("mine.sock");
    let daemon = daemon
        .service(
            "svc",
            &format!("unixgram://{}?mode=0600", path.display()),
            "svc",
        )
        .start();
    let unnamed = UnixDatagram::unbound().unwrap();
    unnamed.connect(&path).unwrap();
    unnamed.send(b"abc").unwrap();
    let named = unixgram(&path, &mine);
    named.send(b"abcd").unwrap();
    assert_eq!(received(&named), "4");
    daemon.stop();
    wait::until("the socket goes with the daemon", SOON, || {
        (!path.exists()).then_some(())
    });
}

#[test]
fn a_start_that_breaks_off_leaves_no_socket_behind() {
    let daemon = Daemon::builder().plugin("svc", &TestPlugin::file("datagrams"));
    let path = daemon.dir().join("svc.sock");
    let daemon = daemon
        .service("a", &format!("unixgram://{}", path.display()), "svc")
        .service("b", "udp://192.0.2.1:7", "svc");
    daemon.run().exits(events::EXIT_BIND).prints("192.0.2.1:7");
    assert!(!path.exists());
}

/// Sends until an answer comes, while a system call of the daemon fails every other time.
#[track_caller]
fn survives(calls: &str, error: &str) {
    if !process::can_trace() {
        println!("left out: strace cannot trace here");
        return;
    }
    let inject = format!("inject={calls}:error={error}:when=1+2");
    let trace = format!("trace={calls}");
    let wrapper = [
        "strace",
        "-D",
        "-f",
        "-q",
        "-o",
        "/dev/null",
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    let daemon = with("udp://127.0.0.1:0").wrapped(&wrapper).start();
    let socket = client::udp(daemon.udp("svc"));
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    for length in 1..=10 {
        let expected = length.to_string();
        wait::until("an answer", SOON, || {
            socket.send(&vec![0; length]).unwrap();
            let mut answer = [0; 16];
            let received = socket.recv(&mut answer).ok()?;
            (&answer[..received] == expected.as_bytes()).then_some(())
        });
    }
    daemon.stop();
}

#[test]
fn f39_an_answer_that_finds_no_buffer_is_lost_and_nothing_else() {
    survives("sendmmsg,sendmsg", "ENOBUFS");
}

#[test]
fn f40_receiving_is_interrupted_every_other_time() {
    survives("recvmmsg,recvmsg", "EINTR");
}

#[test]
fn f54_receiving_fails_with_econnrefused_every_other_time() {
    survives("recvmmsg,recvmsg", "ECONNREFUSED");
}
