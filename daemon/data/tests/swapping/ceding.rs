//! Listening sockets that go over to another process: this one is in its place, with copies of them.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use polyport_data::Standby;

use crate::ground::Ground;
use crate::stage::{Actor, Client, SOON, Stage, listener};

fn for_good(gone: &[&Actor]) -> Standby {
    Standby::HandOff {
        gone: gone.iter().map(|actor| actor.instance.index()).collect(),
        until: Instant::now() + SOON,
    }
}

#[test]
fn who_connects_meanwhile_waits_and_streams_go_on() {
    let stage = Stage::new(2);
    let (socket, at) = listener();
    let actor = stage.actor(&[]);
    stage.swap(&[(&socket, &actor.service("s"))], &[]);
    let mut before = Client::connect(at);
    assert_eq!(before.ask("a\n"), "1 1");
    stage.cede(&Standby::Suspend);
    let mut waits = Client::connect(at);
    waits.send("a\n");
    assert_eq!(before.ask("b\n"), "1 2");
    assert!(waits.is_quiet());
    stage.cede(&Standby::Resume);
    assert_eq!(waits.line(), "1 1");

    stage.cede(&Standby::Suspend);
    let mut next = Client::connect(at);
    next.send("a\n");
    let copy = TcpListener::from(socket.socket.as_fd().try_clone_to_owned().unwrap());
    drop(socket);
    stage.cede(&for_good(&[]));
    assert_eq!(before.ask("c\n"), "1 3");
    let (theirs, _) = copy.accept().unwrap();
    assert_eq!(theirs.peer_addr().unwrap().ip(), at.ip());
    assert!(next.is_quiet());
    let nobody_else = copy.accept().unwrap_err();
    assert_eq!(nobody_else.kind(), ErrorKind::WouldBlock);
}

#[test]
fn datagrams_that_come_meanwhile_wait_and_are_not_read_here() {
    let ground = Ground::new();
    let actor = ground.actor("stampflows", &["VERSION=1"]);
    ground.serve(&actor);
    let peer = ground.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    ground.stage.cede(&Standby::Suspend);
    peer.say("count");
    peer.hears_nothing();
    ground.stage.cede(&Standby::Resume);
    assert_eq!(peer.hears(), "v1 2");

    ground.stage.cede(&Standby::Suspend);
    peer.say("theirs");
    let copy = ground.copy();
    ground.stage.cede(&for_good(&[]));
    // Its flow takes leave, and what it has not read is still there.
    assert_eq!(peer.hears(), "bye");
    let mut bytes = [0; 64];
    assert_eq!(copy.recv(&mut bytes).unwrap(), b"theirs".len());
    assert!(bytes.starts_with(b"theirs"));
}

#[test]
fn what_an_instance_serves_whose_state_has_gone_ends_unheard() {
    let stage = Stage::new(2);
    let (socket, at) = listener();
    let (gone, stays) = (stage.actor(&[]), stage.actor(&[]));
    let (other, beside) = listener();
    let (one, two) = (gone.service("gone"), stays.service("stays"));
    stage.swap(&[(&socket, &one), (&other, &two)], &[]);
    let mut ends = Client::connect(at);
    let mut lives = Client::connect(beside);
    assert_eq!(ends.ask("a\n"), "1 1");
    assert_eq!(lives.ask("a\n"), "1 1");
    stage.hold(&gone);
    ends.send("b\n");
    stage.cede(&Standby::Suspend);
    drop((Arc::clone(&socket), one));
    stage.cede(&for_good(&[&gone]));
    assert_eq!(ends.line(), "", "nothing was answered");
    assert_eq!(lives.ask("b\n"), "1 2");
    stage.back(&gone.in_use);
}
