//! Datagram sockets under snapshots: who answers whom, before and after.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use polyport_common::shutdown::Phase;

use crate::port::{Peer, UdpPort};
use crate::stage::{Actor, SOON};

fn live(actor: &Actor) -> u64 {
    actor.live.load(Ordering::Relaxed)
}

/// Waits for what no socket tells of.
fn until(what: &str, fits: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !fits() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn binding_keeps_old_flows_with_their_code_and_new_peers_get_the_new() {
    let port = UdpPort::new();
    let first = port.actor("stampflows", &["VERSION=1"]);
    let second = port.actor("stampflows", &["VERSION=2"]);
    port.serve(&first);
    let early = port.peer();
    assert_eq!(early.ask("count"), "v1 1");
    port.serve(&second);
    assert_eq!(early.ask("count"), "v1 2");
    let late = port.peer();
    assert_eq!(late.ask("count"), "v2 1");
    assert_eq!(early.ask("count"), "v1 3");
    assert_eq!(late.ask("count"), "v2 2");
    assert!(!first.in_use.is_empty() && !second.in_use.is_empty());
    // The operator's patience is over: the flow says goodbye, and its next word begins a new one.
    let leaving = first.leaves(SOON);
    port.serve_as(&second.service("s"), vec![leaving]);
    assert_eq!(early.receives(), "bye");
    port.wait_until_unused(&first);
    assert_eq!(early.ask("count"), "v2 1");
    assert_eq!(late.ask("count"), "v2 3");
}

#[test]
fn binding_ends_flows_of_a_removed_service_though_the_address_stays() {
    let port = UdpPort::new();
    let first = port.actor("stampflows", &["VERSION=1"]);
    let second = port.actor("stampflows", &["VERSION=2"]);
    port.serve(&first);
    let peer = port.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    port.serve_as(&second.service("another"), Vec::new());
    assert_eq!(peer.receives(), "bye");
    port.wait_until_unused(&first);
    assert_eq!(peer.ask("count"), "v2 1");
}

#[test]
fn binding_migrates_flows_with_their_ids_and_frees_the_old_code() {
    let port = UdpPort::new();
    let first = port.actor("stampflows", &["VERSION=1", "MOVES"]);
    let second = port.actor("stampflows", &["VERSION=2", "MOVES"]);
    let third = port.actor("stampflows", &["VERSION=3", "MOVES"]);
    port.serve(&first);
    let peers: Vec<_> = (0..20).map(|_| port.peer()).collect();
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v1 1");
    }
    assert_eq!(live(&first), 20);
    port.serve(&second);
    port.wait_until_unused(&first);
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v2 2");
    }
    assert_eq!(live(&second), 20);
    port.serve(&third);
    port.wait_until_unused(&second);
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v3 3");
    }
}

#[test]
fn binding_keeps_a_flow_without_export_and_ends_one_whose_export_panics() {
    let port = UdpPort::new();
    let first = port.actor("stampflows", &["VERSION=1", "MOVES"]);
    let broken = port.actor(
        "stampflows",
        &["VERSION=2", "MOVES", "FAULT=\"import:panic\""],
    );
    port.serve(&first);
    let peer = port.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    port.serve(&broken);
    assert_eq!(peer.ask("count"), "v1 2");
    assert_eq!(broken.instance.panics(), 1);
    assert_eq!(live(&first), 1);

    let port = UdpPort::new();
    let first = port.actor(
        "stampflows",
        &["VERSION=1", "MOVES", "FAULT=\"export:panic\""],
    );
    let second = port.actor("stampflows", &["VERSION=2", "MOVES"]);
    port.serve(&first);
    let peer = port.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    port.serve(&second);
    port.wait_until_unused(&first);
    assert_eq!(peer.ask("count"), "v2 1");
}

#[test]
fn binding_reuses_a_superseded_socket_when_its_instance_returns() {
    let port = UdpPort::new();
    let first = port.actor("stampflows", &["VERSION=1"]);
    let second = port.actor("stampflows", &["VERSION=2"]);
    port.serve(&first);
    let early = port.peer();
    assert_eq!(early.ask("count"), "v1 1");
    port.serve(&second);
    let between = port.peer();
    assert_eq!(between.ask("count"), "v2 1");
    port.serve(&first);
    assert_eq!(early.ask("count"), "v1 2");
    assert_eq!(between.ask("count"), "v2 2");
    assert_eq!(port.peer().ask("count"), "v1 1");
    let leaving = second.leaves(SOON);
    port.serve_as(&first.service("s"), vec![leaving]);
    assert_eq!(between.receives(), "bye");
    port.wait_until_unused(&second);
    assert_eq!(early.ask("count"), "v1 3");
}

#[test]
fn binding_loses_and_doubles_no_datagram_while_code_changes() {
    let port = UdpPort::new();
    let versions = ["VERSION=1", "VERSION=2", "VERSION=3", "VERSION=4"];
    let actors = versions.map(|version| port.actor("stamp", &[version]));
    port.serve(&actors[0]);
    let address = port.at;
    let talk = std::thread::spawn(move || {
        let peer = Peer::to(address);
        let mut answers = Vec::new();
        let mut sent = 0_u32;
        // Eight on their way at each time, so that some wait in the kernel at each swap.
        while answers.len() < 4000 {
            while sent < 4000 && (sent as usize) < answers.len() + 8 {
                peer.send(&sent.to_string());
                sent += 1;
            }
            answers.push(peer.receives());
        }
        answers
    });
    for round in 1..40 {
        port.serve(&actors[round % actors.len()]);
    }
    let answers = talk.join().unwrap();
    let mut numbers: Vec<u32> = answers
        .iter()
        .map(|answer| answer.split_once(' ').unwrap().1.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..4000));
}

#[test]
fn binding_delivers_a_late_answer_to_the_superseded_socket() {
    let port = UdpPort::new();
    let upstream = Peer::bound();
    let config = format!("{{\"port\": {}}}", upstream.port());
    let first = port.actor_with("forward", &["VERSION=1"], &config);
    let second = port.actor_with("forward", &["VERSION=2"], &config);
    port.serve(&first);
    let peer = port.peer();
    peer.send("early");
    let question = upstream.receive_from();
    port.serve(&second);
    peer.send("late");
    let other = upstream.receive_from();
    assert_eq!((&question.0[..], &other.0[..]), ("early", "late"));
    assert!(!first.in_use.is_empty());
    upstream.send_to("yes", question.1);
    assert_eq!(peer.receives(), "v1 yes");
    // With its last question the old face goes, too.
    port.wait_until_unused(&first);
    upstream.send_to("no", other.1);
    assert_eq!(peer.receives(), "v2 no");
}

#[test]
fn binding_renews_the_timeouts_of_living_flows() {
    let port = UdpPort::new();
    let patient = port.actor("stampflows", &["VERSION=1"]);
    port.serve(&patient);
    let peer = port.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    let hasty = patient.service_with("s", Some(Duration::from_millis(50)), SOON);
    port.serve_as(&hasty, Vec::new());
    until("the flow ended", || live(&patient) == 0);
    assert_eq!(peer.ask("count"), "v1 1");
}

#[test]
fn binding_answers_queued_datagrams_of_a_removed_socket() {
    let mut port = UdpPort::new();
    let service = port.actor("stampflows", &["VERSION=1"]);
    port.serve(&service);
    let peer = port.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    let address = port.at;
    peer.send("last");
    port.remove();
    assert_eq!(peer.receives(), "v1 last");
    assert_eq!(peer.receives(), "bye");
    port.wait_until_unused(&service);
    until("the address is free", || UdpSocket::bind(address).is_ok());
}

#[test]
fn binding_stays_with_the_old_code_when_the_new_refuses_the_socket() {
    let port = UdpPort::new();
    let first = port.actor("stamp", &["VERSION=1"]);
    let refuses = port.actor_with("ask_udp", &["VERSION=2"], "{\"port\": 9}");
    let third = port.actor("stamp", &["VERSION=3"]);
    port.serve(&first);
    let peer = port.peer();
    assert_eq!(peer.ask("a"), "v1 a");
    port.serve(&refuses);
    assert_eq!(peer.ask("b"), "v1 b");
    port.serve(&third);
    assert_eq!(peer.ask("c"), "v3 c");
}

#[test]
fn pause_of_a_datagram_instance_calls_nothing_and_loses_nothing() {
    let port = UdpPort::new();
    let first = port.actor("stampflows", &["VERSION=1"]);
    let second = port.actor("stampflows", &["VERSION=2"]);
    port.serve(&first);
    let early = port.peer();
    assert_eq!(early.ask("count"), "v1 1");
    port.stage.pause(&first);
    early.send("count");
    early.receives_nothing();
    port.stage.resume(&first);
    assert_eq!(early.receives(), "v1 2");

    // The swap does not end the hold: who stayed with the old code waits, in its place in the queue.
    port.stage.pause(&first);
    early.send("count");
    port.serve(&second);
    let late = port.peer();
    late.send("count");
    early.receives_nothing();
    port.stage.resume(&first);
    assert_eq!(early.receives(), "v1 3");
    assert_eq!(late.receives(), "v2 1");
    port.stage.pause(&first);
    let leaving = first.leaves(SOON);
    port.serve_as(&second.service("s"), vec![leaving]);
    early.receives_nothing();
    port.stage.resume(&first);
    assert_eq!(early.receives(), "bye");
    port.wait_until_unused(&first);
}

#[test]
fn pause_keeps_a_superseded_socket_until_the_resume() {
    let port = UdpPort::new();
    let first = port.actor("stamp", &["VERSION=1"]);
    let second = port.actor("stamp", &["VERSION=2"]);
    port.serve(&first);
    let peer = port.peer();
    assert_eq!(peer.ask("a"), "v1 a");
    port.stage.pause(&first);
    peer.send("b");
    port.serve(&second);
    assert_eq!(peer.receives(), "v2 b");
    assert!(!first.in_use.is_empty());
    port.stage.resume(&first);
    port.wait_until_unused(&first);
    assert_eq!(peer.ask("c"), "v2 c");
}

#[test]
fn fence_ends_or_migrates_flows_at_once() {
    for (moves, next) in [("STAYS", "v2 1"), ("MOVES", "v2 2")] {
        let port = UdpPort::new();
        let macros = |version| [version, moves, "FLAGS=PP_HF_EXCLUSIVE"];
        let first = port.actor("stampflows", &macros("VERSION=1"));
        let second = port.actor("stampflows", &macros("VERSION=2"));
        port.serve(&first);
        let peer = port.peer();
        assert_eq!(peer.ask("count"), "v1 1");
        port.stage.pause(&first);
        peer.send("count");
        port.serve(&second);
        port.wait_until_unused(&first);
        assert_eq!(peer.receives(), next);
        port.stage.resume(&first);
    }
}

#[test]
fn drain_at_a_stop_ends_superseded_sockets() {
    let port = UdpPort::new();
    let first = port.actor("stampflows", &["VERSION=1"]);
    let second = port.actor("stampflows", &["VERSION=2"]);
    port.serve(&first);
    let early = port.peer();
    early.ask("count");
    port.serve(&second);
    let late = port.peer();
    late.ask("count");
    early.send("word");
    let deadline = Instant::now() + SOON;
    port.stage.announce(Phase::Drain { deadline });
    assert_eq!([early.receives(), early.receives()], ["v1 word", "bye"]);
    assert_eq!(late.receives(), "bye");
    port.wait_until_unused(&first);
    port.wait_until_unused(&second);
}

#[test]
fn renewal_that_the_handler_refuses_ends_superseded_sockets() {
    let port = UdpPort::new();
    let first = port.actor("stampflows", &["VERSION=1"]);
    let second = port.actor("stamp", &["VERSION=2", "PANICS", "ONCE"]);
    port.serve(&first);
    assert_eq!(port.peer().ask("count"), "v1 1");
    port.serve(&second);
    assert_eq!(port.peer().ask("a"), "v2 a");
    port.wait_until_unused(&first);
}
