//! Instances whose state may live in one place only: once they are frozen and replaced, all that is called of them is
//! the end of what they had.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use polyport_data::snapshot::Leaving;
use polyport_sys::{PeerAddress, bind_tcp};

use crate::pausing::Pair;
use crate::port::UdpPort;
use crate::stage::{Actor, Client, SOON};

/// A pair whose first instance is exclusive and frozen: from now on it is a fault to call it.
fn fenced(macros: &[&str]) -> (Pair, Client) {
    let pair = Pair::new(&[&["FLAGS=PP_HF_EXCLUSIVE"], macros].concat());
    let mut client = pair.client();
    assert_eq!(client.ask("t\n"), "1 1");
    (pair, client)
}

impl Pair {
    fn fence(&self, client: &mut Client) {
        assert!(client.ask("z\n").starts_with("1 "));
        self.stage.pause(&self.paused);
    }

    /// What takes no stream over.
    fn next_instance(&self) -> Actor {
        let macros = [
            "VERSION=2",
            "FLAGS=PP_HF_EXCLUSIVE",
            "IMPORT=return PP_E_FAIL",
        ];
        self.stage.actor(&macros)
    }

    /// The release comes, and nothing of what was frozen is called, or left.
    fn unfence(&self) {
        self.stage.resume(&self.paused);
        self.pass();
        self.stage.wait_for(&self.paused.in_use);
        assert_eq!(self.paused.instance.panics(), 0);
    }
}

#[test]
fn fence_migrates_streams_at_once() {
    let pair = Pair::new(&["FLAGS=PP_HF_EXCLUSIVE"]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.pause(&pair.paused);
    client.send("b\n");
    let mut new = pair.client();
    new.send("a\n");
    pair.pass();
    let next = pair.stage.actor(&["VERSION=2", "FLAGS=PP_HF_EXCLUSIVE"]);
    pair.serve_with(&next, &[pair.paused.stays()]);
    assert_eq!(client.line(), "2 2");
    assert_eq!(new.line(), "2 1");
    pair.stage.wait_for(&pair.paused.in_use);
    pair.stage.resume(&pair.paused);
    assert_eq!(client.ask("c\n"), "2 3");
}

#[test]
fn fence_leaves_no_stream_with_a_replaced_exclusive_instance() {
    let pair = Pair::new(&["FLAGS=PP_HF_EXCLUSIVE"]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.pause(&pair.paused);
    let next = pair.stage.actor(&["VERSION=2", "IMPORT=return PP_E_FAIL"]);
    pair.serve_with(&next, &[pair.paused.stays()]);
    client.end();
    drop(client);
    pair.stage.wait_for(&pair.paused.in_use);
    assert_eq!(pair.client().ask("a\n"), "2 1");
}

#[test]
fn fence_of_a_removed_service_calls_closed_only() {
    let (pair, mut client) = fenced(&["GOODBYE"]);
    pair.fence(&mut client);
    client.send("b\n");
    pair.outlast_timer();
    pair.serve_rest(&[pair.paused.leaves(SOON)]);
    pair.unfence();
    client.end();
}

#[test]
fn fence_calls_no_timer_wake_or_drain_while_output_is_sent() {
    let (pair, mut client) = fenced(&["GOODBYE"]);
    pair.fence(&mut client);
    pair.outlast_timer();
    let next = pair.next_instance();
    pair.serve_with(&next, &[pair.paused.leaves(SOON)]);
    pair.unfence();
    client.end();
    assert_eq!(pair.client().ask("a\n"), "2 1");
}

/// A socket that nobody can connect to for now, and who fill it.
fn full() -> (
    polyport_sys::listen::StreamListener,
    SocketAddr,
    Vec<TcpStream>,
) {
    let socket = bind_tcp("127.0.0.1:0".parse().unwrap(), 0).unwrap();
    let PeerAddress::Ip(at) = socket.local_address().unwrap() else {
        unreachable!("it is bound by TCP");
    };
    let moment = Duration::from_millis(200);
    let connect = || TcpStream::connect_timeout(&at, moment).ok();
    let fill = std::iter::from_fn(connect).take(64).collect();
    (socket, at, fill)
}

#[test]
fn fence_cancels_a_pending_dial_without_a_callback() {
    let (_socket, at, _fill) = full();
    let (pair, mut client) = fenced(&[&format!("DIAL_PORT={}", at.port())]);
    assert_eq!(client.ask("d\n"), "1 2");
    pair.fence(&mut client);
    let next = pair.next_instance();
    pair.serve_with(&next, &[pair.paused.stays()]);
    pair.unfence();
    client.end();
}

#[test]
fn fence_serves_queued_connections_by_the_new_code_or_closes_them() {
    let (mut pair, mut client) = fenced(&[]);
    pair.fence(&mut client);
    let mut waits = pair.client();
    waits.send("a\n");
    let next = pair.next_instance();
    let [_, two] = &pair.listeners;
    pair.listeners[0] = std::sync::Arc::clone(two);
    let service = next.service("s");
    pair.stage
        .serve(&[(&pair.listeners[1], &service)], &[pair.paused.stays()]);
    assert_eq!(waits.line(), "2 1");
    waits.end();
    client.end();
    pair.stage.resume(&pair.paused);
    pair.stage.wait_for(&pair.paused.in_use);
    assert_eq!(pair.paused.instance.panics(), 0);

    let (mut pair, mut client) = fenced(&[]);
    pair.fence(&mut client);
    let mut waits = pair.client();
    let [_, two] = &pair.listeners;
    pair.listeners[0] = std::sync::Arc::clone(two);
    pair.serve_rest(&[pair.paused.stays()]);
    pair.unfence();
    waits.end();
    client.end();
}

#[test]
fn fence_ends_dials_of_the_instance_itself() {
    let (pair, mut client) = fenced(&[]);
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = upstream.local_addr().unwrap();
    pair.stage.dial(&pair.paused, at);
    let mut dialled = Client::of(upstream.accept().unwrap().0);
    assert_eq!(dialled.ask("a\n"), "1 1");
    pair.fence(&mut client);
    dialled.send("b\n");
    let next = pair.next_instance();
    pair.serve_with(&next, &[pair.paused.stays()]);
    pair.stage.dial(&pair.paused, at);
    pair.unfence();
    dialled.end();
    client.end();
    upstream.set_nonblocking(true).unwrap();
    assert!(upstream.accept().is_err());
}

#[test]
fn fence_closes_dialled_and_removed_sockets_at_once() {
    let upstream = crate::port::Peer::bound();
    let config = format!("{{\"port\": {}}}", upstream.port());
    let macros = |version| [version, "FLAGS=PP_HF_EXCLUSIVE"];
    for is_removed in [false, true] {
        let mut port = UdpPort::new();
        let first = port.actor_with("forward", &macros("VERSION=1"), &config);
        let second = port.actor_with("forward", &macros("VERSION=2"), &config);
        port.serve(&first);
        let peer = port.peer();
        peer.send("early");
        let question = upstream.receive_from();
        port.stage.pause(&first);
        upstream.send_to("late", question.1);
        let leaving: Vec<Leaving> = vec![first.stays()];
        if is_removed {
            port.remove_with(&leaving);
        } else {
            port.serve_as(&second.service("s"), leaving);
        }
        port.wait_until_unused(&first);
        port.stage.resume(&first);
        peer.receives_nothing();
    }
}
