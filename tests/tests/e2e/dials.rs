//! Streams and datagram sockets that a handler dials: a small proxy over the daemon's own echo.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener};
use std::thread;

use polyport_e2e::client::Ending;
use polyport_e2e::{Daemon, TestPlugin, client};

/// An echo daemon, to be dialled by another one.
fn upstream() -> Daemon {
    Daemon::builder()
        .plugin("plain", &TestPlugin::file("plain"))
        .plugin("datagrams", &TestPlugin::file("datagrams"))
        .service("plain", "tcp://127.0.0.1:0", "plain")
        .service("datagrams", "udp://127.0.0.1:0", "datagrams")
        .start()
}

fn dialler(name: &str, port: u16) -> Daemon {
    Daemon::builder()
        .plugin_with(
            "svc",
            &TestPlugin::file(name),
            &format!("config: {{port: {port}}}"),
        )
        .service("svc", "tcp://127.0.0.1:0", "svc")
        .set("workers: 2")
        .start()
}

#[test]
fn a_dialled_stream_relays_both_ways_and_both_ends() {
    let upstream = upstream();
    let daemon = dialler("relay", upstream.tcp("plain").port());
    let mut stream = client::tcp(daemon.tcp("svc"));
    client::expect_echo(&mut stream, b"through two daemons\n");
    let message = vec![b'x'; 3_000_000];
    let mut writer = stream.try_clone().unwrap();
    let sent = message.clone();
    let writer = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (answer, ending) = client::read_to_end(&mut stream);
    writer.join().unwrap();
    assert!(answer == message, "{} bytes came back", answer.len());
    assert_eq!(ending, Ending::Closed);
    daemon.stop();
    upstream.stop();
}

#[test]
fn a_refused_dial_is_reported() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let daemon = dialler("relay", port);
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::read_to_end(&mut stream).0, b"dial failed -11\n");
    daemon.stop();
}

#[test]
fn a_dialled_datagram_socket_sends_and_receives() {
    let upstream = upstream();
    let daemon = dialler("ask_udp", upstream.udp("datagrams").port());
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::exchange(&mut stream, b"abc", 1), b"3");
    assert_eq!(client::exchange(&mut stream, b"abcdefghijkl", 2), b"12");
    drop(stream);
    daemon.stop();
    upstream.stop();
}

#[test]
fn dialled_streams_end_with_the_daemon() {
    let upstream = upstream();
    let daemon = dialler("relay", upstream.tcp("plain").port());
    let mut stream = client::tcp(daemon.tcp("svc"));
    client::expect_echo(&mut stream, b"hello\n");
    daemon.stop();
    assert_eq!(
        client::read_to_end(&mut stream),
        (Vec::new(), Ending::Closed)
    );
    upstream.stop();
}
