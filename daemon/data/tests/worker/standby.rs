//! Listening sockets that go over to another process: this one is in its place, with copies of them.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use polyport_data::Standby;

use crate::port::UdpPort;
use crate::stage::{Actor, Client, SOON, Stage, listener};

fn hand_off(gone: &[&Actor]) -> Standby {
    Standby::HandOff {
        gone: gone.iter().map(|actor| actor.instance.index()).collect(),
        until: Instant::now() + SOON,
    }
}

#[test]
fn standby_keeps_connections_in_the_kernel_and_streams_go_on() {
    let stage = Stage::new(2);
    let (socket, at) = listener();
    let actor = stage.actor(&[]);
    stage.serve(&[(&socket, &actor.service("s"))], &[]);
    let mut before = Client::connect(at);
    assert_eq!(before.ask("a\n"), "1 1");
    stage.set_standby(&Standby::Suspend);
    let mut waits = Client::connect(at);
    waits.send("a\n");
    assert_eq!(before.ask("b\n"), "1 2");
    assert!(waits.is_quiet());
    stage.set_standby(&Standby::Resume);
    assert_eq!(waits.line(), "1 1");

    stage.set_standby(&Standby::Suspend);
    let mut next = Client::connect(at);
    next.send("a\n");
    let copy = TcpListener::from(socket.socket.as_fd().try_clone_to_owned().unwrap());
    drop(socket);
    stage.set_standby(&hand_off(&[]));
    assert_eq!(before.ask("c\n"), "1 3");
    let (theirs, _) = copy.accept().unwrap();
    assert_eq!(theirs.peer_addr().unwrap().ip(), at.ip());
    assert!(next.is_quiet());
    let nobody_else = copy.accept().unwrap_err();
    assert_eq!(nobody_else.kind(), ErrorKind::WouldBlock);
}

#[test]
fn standby_leaves_datagrams_in_the_kernel() {
    let port = UdpPort::new();
    let actor = port.actor("stampflows", &["VERSION=1"]);
    port.serve(&actor);
    let peer = port.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    port.stage.set_standby(&Standby::Suspend);
    peer.send("count");
    peer.receives_nothing();
    port.stage.set_standby(&Standby::Resume);
    assert_eq!(peer.receives(), "v1 2");

    port.stage.set_standby(&Standby::Suspend);
    peer.send("theirs");
    let copy = port.copy();
    port.stage.set_standby(&hand_off(&[]));
    // Its flow takes leave, and what it has not read is still there.
    assert_eq!(peer.receives(), "bye");
    let mut bytes = [0; 64];
    assert_eq!(copy.recv(&mut bytes).unwrap(), b"theirs".len());
    assert!(bytes.starts_with(b"theirs"));
}

#[test]
fn standby_hand_off_ends_what_instances_without_state_serve() {
    let stage = Stage::new(2);
    let (socket, at) = listener();
    let (gone, stays) = (stage.actor(&[]), stage.actor(&[]));
    let (other, beside) = listener();
    let (one, two) = (gone.service("gone"), stays.service("stays"));
    stage.serve(&[(&socket, &one), (&other, &two)], &[]);
    let mut ends = Client::connect(at);
    let mut lives = Client::connect(beside);
    assert_eq!(ends.ask("a\n"), "1 1");
    assert_eq!(lives.ask("a\n"), "1 1");
    stage.pause(&gone);
    ends.send("b\n");
    stage.set_standby(&Standby::Suspend);
    drop((Arc::clone(&socket), one));
    stage.set_standby(&hand_off(&[&gone]));
    assert_eq!(ends.line(), "", "nothing was answered");
    assert_eq!(lives.ask("b\n"), "1 2");
    stage.wait_for(&gone.in_use);
}
