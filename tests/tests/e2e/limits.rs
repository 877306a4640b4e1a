//! Limits on streams: clients beyond a limit wait or are refused, clients within it never notice, and a permit
//! that is returned can be taken again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use polyport_e2e::{Builder, Daemon, SOON, TestPlugin, client, wait};

fn plain() -> Builder {
    Daemon::builder().plugin("svc", &TestPlugin::file("plain"))
}

/// A stream that was served once.
#[track_caller]
fn served(address: SocketAddr) -> TcpStream {
    let mut stream = client::tcp(address);
    client::expect_echo(&mut stream, b"hello\n");
    stream
}

/// A client that is not served now: it is refused, or it waits.
#[track_caller]
fn not_served(address: SocketAddr) -> TcpStream {
    let mut stream = client::tcp(address);
    stream
        .set_read_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    // A refused client may notice already here.
    stream.write_all(b"me too\n").ok();
    let mut answer = [0; 16];
    let answer = stream.read(&mut answer);
    assert!(
        !matches!(answer, Ok(1..)),
        "served over the limit: {answer:?}"
    );
    stream
}

#[track_caller]
fn served_again(address: SocketAddr) {
    wait::until("a place is free again", SOON, || {
        client::echoes(address, b"now me\n").then_some(())
    });
}

#[test]
fn a_service_serves_as_many_streams_as_it_may() {
    let daemon = plain().service_with("svc", "tcp://127.0.0.1:0", "svc", "limits: {streams: 3}");
    let daemon = daemon
        .service("other", "tcp://127.0.0.1:0", "svc")
        .set("workers: 2")
        .start();
    let address = daemon.tcp("svc");
    let mut inside: Vec<TcpStream> = (0..3).map(|_| served(address)).collect();
    let outside: Vec<TcpStream> = (0..3).map(|_| not_served(address)).collect();
    assert!(client::echoes(daemon.tcp("other"), b"another service\n"));
    client::expect_echo(&mut inside[0], b"who is in stays in\n");
    drop(outside);
    inside.clear();
    served_again(address);
    daemon.stop();
}

#[test]
fn the_daemon_serves_as_many_streams_as_it_may() {
    let daemon = plain()
        .set("limits: {streams: 4}")
        .set("workers: 2")
        .service("one", "tcp://127.0.0.1:0", "svc")
        .service("two", "tcp://127.0.0.1:0", "svc")
        .start();
    let (one, two) = (daemon.tcp("one"), daemon.tcp("two"));
    let mut inside = vec![served(one), served(two), served(one), served(two)];
    let outside = [not_served(one), not_served(two)];
    drop(outside);
    inside.clear();
    served_again(one);
    served_again(two);
    daemon.stop();
}

#[test]
fn places_come_back_however_streams_end() {
    let daemon = plain()
        .service_with("svc", "tcp://127.0.0.1:0", "svc", "limits: {streams: 2}")
        .start();
    for round in 0..50 {
        let stream = client::tcp(daemon.tcp("svc"));
        if round % 2 == 0 {
            socket2::SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
    }
    served_again(daemon.tcp("svc"));
    let _both = [served(daemon.tcp("svc")), served(daemon.tcp("svc"))];
    daemon.stop();
}
