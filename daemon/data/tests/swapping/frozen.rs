//! Instances whose state may live in one place only: once they are frozen and replaced, all that is called of them is
//! the end of what they had.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use polyport_data::snapshot::Leaving;
use polyport_sys::{PeerAddress, bind_tcp};

use crate::ground::Ground;
use crate::holding::Pair;
use crate::stage::{Actor, Client, SOON};

/// A pair whose first instance is exclusive and frozen: from now on it is a fault to call it.
fn frozen(macros: &[&str]) -> (Pair, Client) {
    let pair = Pair::new(&[&["FLAGS=PP_HF_EXCLUSIVE"], macros].concat());
    let mut client = pair.client();
    assert_eq!(client.ask("t\n"), "1 1");
    (pair, client)
}

impl Pair {
    fn freeze(&self, client: &mut Client) {
        assert!(client.ask("z\n").starts_with("1 "));
        self.stage.hold(&self.held);
    }

    /// What takes no stream over.
    fn successor(&self) -> Actor {
        let macros = [
            "VERSION=2",
            "FLAGS=PP_HF_EXCLUSIVE",
            "IMPORT=return PP_E_FAIL",
        ];
        self.stage.actor(&macros)
    }

    /// The release comes, and nothing of what was frozen is called, or left.
    fn thaw(&self) {
        self.stage.release(&self.held);
        self.pass();
        self.stage.back(&self.held.in_use);
        assert_eq!(self.held.instance.panics(), 0);
    }
}

#[test]
fn streams_of_a_held_instance_go_to_the_next_at_once() {
    let pair = Pair::new(&["FLAGS=PP_HF_EXCLUSIVE"]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.hold(&pair.held);
    client.send("b\n");
    let mut new = pair.client();
    new.send("a\n");
    pair.pass();
    let next = pair.stage.actor(&["VERSION=2", "FLAGS=PP_HF_EXCLUSIVE"]);
    pair.serve_with(&next, &[pair.held.stays()]);
    assert_eq!(client.line(), "2 2");
    assert_eq!(new.line(), "2 1");
    pair.stage.back(&pair.held.in_use);
    pair.stage.release(&pair.held);
    assert_eq!(client.ask("c\n"), "2 3");
}

#[test]
fn an_exclusive_instance_that_is_replaced_keeps_no_stream() {
    let pair = Pair::new(&["FLAGS=PP_HF_EXCLUSIVE"]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.hold(&pair.held);
    let next = pair.stage.actor(&["VERSION=2", "IMPORT=return PP_E_FAIL"]);
    pair.serve_with(&next, &[pair.held.stays()]);
    client.end();
    drop(client);
    pair.stage.back(&pair.held.in_use);
    assert_eq!(pair.client().ask("a\n"), "2 1");
}

#[test]
fn who_has_no_service_any_more_hears_only_the_end() {
    let (pair, mut client) = frozen(&["GOODBYE"]);
    pair.freeze(&mut client);
    client.send("b\n");
    pair.outlast_timer();
    pair.serve_rest(&[pair.held.leaves(SOON)]);
    pair.thaw();
    client.end();
}

#[test]
fn no_timer_no_wake_and_no_goodbye_comes_to_who_ends_with_its_output() {
    let (pair, mut client) = frozen(&["GOODBYE"]);
    pair.freeze(&mut client);
    pair.outlast_timer();
    let next = pair.successor();
    pair.serve_with(&next, &[pair.held.leaves(SOON)]);
    pair.thaw();
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
fn a_dial_that_is_not_done_is_given_up_without_a_word() {
    let (_socket, at, _fill) = full();
    let (pair, mut client) = frozen(&[&format!("DIAL_PORT={}", at.port())]);
    assert_eq!(client.ask("d\n"), "1 2");
    pair.freeze(&mut client);
    let next = pair.successor();
    pair.serve_with(&next, &[pair.held.stays()]);
    pair.thaw();
    client.end();
}

#[test]
fn who_waits_at_a_listener_that_is_gone_is_served_by_the_new_code_or_not_at_all() {
    let (mut pair, mut client) = frozen(&[]);
    pair.freeze(&mut client);
    let mut waits = pair.client();
    waits.send("a\n");
    let next = pair.successor();
    let [_, two] = &pair.listeners;
    pair.listeners[0] = std::sync::Arc::clone(two);
    let service = next.service("s");
    pair.stage
        .swap(&[(&pair.listeners[1], &service)], &[pair.held.stays()]);
    assert_eq!(waits.line(), "2 1");
    waits.end();
    client.end();
    pair.stage.release(&pair.held);
    pair.stage.back(&pair.held.in_use);
    assert_eq!(pair.held.instance.panics(), 0);

    let (mut pair, mut client) = frozen(&[]);
    pair.freeze(&mut client);
    let mut waits = pair.client();
    let [_, two] = &pair.listeners;
    pair.listeners[0] = std::sync::Arc::clone(two);
    pair.serve_rest(&[pair.held.stays()]);
    pair.thaw();
    waits.end();
    client.end();
}

#[test]
fn what_the_instance_dialled_on_its_own_ends_and_it_dials_no_more() {
    let (pair, mut client) = frozen(&[]);
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = upstream.local_addr().unwrap();
    pair.stage.dial(&pair.held, at);
    let mut dialled = Client::of(upstream.accept().unwrap().0);
    assert_eq!(dialled.ask("a\n"), "1 1");
    pair.freeze(&mut client);
    dialled.send("b\n");
    let next = pair.successor();
    pair.serve_with(&next, &[pair.held.stays()]);
    pair.stage.dial(&pair.held, at);
    pair.thaw();
    dialled.end();
    client.end();
    upstream.set_nonblocking(true).unwrap();
    assert!(upstream.accept().is_err());
}

#[test]
fn sockets_of_a_frozen_instance_close_at_once_though_they_were_dialled_or_removed() {
    let upstream = crate::ground::Peer::bound();
    let config = format!("{{\"port\": {}}}", upstream.port());
    let macros = |version| [version, "FLAGS=PP_HF_EXCLUSIVE"];
    for is_removed in [false, true] {
        let mut ground = Ground::new();
        let first = ground.actor_with("forward", &macros("VERSION=1"), &config);
        let second = ground.actor_with("forward", &macros("VERSION=2"), &config);
        ground.serve(&first);
        let peer = ground.peer();
        peer.say("early");
        let question = upstream.hears_from();
        ground.stage.hold(&first);
        upstream.say_to("late", question.1);
        let leaving: Vec<Leaving> = vec![first.stays()];
        if is_removed {
            ground.remove_with(&leaving);
        } else {
            ground.serve_as(&second.service("s"), leaving);
        }
        ground.nobody_uses(&first);
        ground.stage.release(&first);
        peer.hears_nothing();
    }
}
