//! Datagram sockets under snapshots: who answers whom, before and after.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use polyport_common::shutdown::Phase;

use crate::ground::{Ground, Peer};
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
fn old_flows_stay_with_their_code_and_new_peers_meet_the_new() {
    let ground = Ground::new();
    let first = ground.actor("stampflows", &["VERSION=1"]);
    let second = ground.actor("stampflows", &["VERSION=2"]);
    ground.serve(&first);
    let early = ground.peer();
    assert_eq!(early.ask("count"), "v1 1");
    ground.serve(&second);
    assert_eq!(early.ask("count"), "v1 2");
    let late = ground.peer();
    assert_eq!(late.ask("count"), "v2 1");
    assert_eq!(early.ask("count"), "v1 3");
    assert_eq!(late.ask("count"), "v2 2");
    assert!(!first.in_use.is_empty() && !second.in_use.is_empty());
    // The operator's patience is over: the flow says goodbye, and its next word begins a new one.
    let leaving = first.leaves(SOON);
    ground.serve_as(&second.service("s"), vec![leaving]);
    assert_eq!(early.hears(), "bye");
    ground.nobody_uses(&first);
    assert_eq!(early.ask("count"), "v2 1");
    assert_eq!(late.ask("count"), "v2 3");
}

#[test]
fn flows_of_a_service_that_is_gone_end_though_their_address_stays() {
    let ground = Ground::new();
    let first = ground.actor("stampflows", &["VERSION=1"]);
    let second = ground.actor("stampflows", &["VERSION=2"]);
    ground.serve(&first);
    let peer = ground.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    ground.serve_as(&second.service("another"), Vec::new());
    assert_eq!(peer.hears(), "bye");
    ground.nobody_uses(&first);
    assert_eq!(peer.ask("count"), "v2 1");
}

#[test]
fn flows_that_can_go_over_to_the_new_code_with_their_ids_and_the_old_code_is_free() {
    let ground = Ground::new();
    let first = ground.actor("stampflows", &["VERSION=1", "MOVES"]);
    let second = ground.actor("stampflows", &["VERSION=2", "MOVES"]);
    let third = ground.actor("stampflows", &["VERSION=3", "MOVES"]);
    ground.serve(&first);
    let peers: Vec<_> = (0..20).map(|_| ground.peer()).collect();
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v1 1");
    }
    assert_eq!(live(&first), 20);
    ground.serve(&second);
    ground.nobody_uses(&first);
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v2 2");
    }
    assert_eq!(live(&second), 20);
    ground.serve(&third);
    ground.nobody_uses(&second);
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v3 3");
    }
}

#[test]
fn a_flow_that_cannot_be_carried_stays_and_one_whose_export_panics_ends() {
    let ground = Ground::new();
    let first = ground.actor("stampflows", &["VERSION=1", "MOVES"]);
    let broken = ground.actor(
        "stampflows",
        &["VERSION=2", "MOVES", "FAULT=\"import:panic\""],
    );
    ground.serve(&first);
    let peer = ground.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    ground.serve(&broken);
    assert_eq!(peer.ask("count"), "v1 2");
    assert_eq!(broken.instance.panics(), 1);
    assert_eq!(live(&first), 1);

    let ground = Ground::new();
    let first = ground.actor(
        "stampflows",
        &["VERSION=1", "MOVES", "FAULT=\"export:panic\""],
    );
    let second = ground.actor("stampflows", &["VERSION=2", "MOVES"]);
    ground.serve(&first);
    let peer = ground.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    ground.serve(&second);
    ground.nobody_uses(&first);
    assert_eq!(peer.ask("count"), "v2 1");
}

#[test]
fn flows_that_stayed_belong_again_when_the_old_instance_comes_back() {
    let ground = Ground::new();
    let first = ground.actor("stampflows", &["VERSION=1"]);
    let second = ground.actor("stampflows", &["VERSION=2"]);
    ground.serve(&first);
    let early = ground.peer();
    assert_eq!(early.ask("count"), "v1 1");
    ground.serve(&second);
    let between = ground.peer();
    assert_eq!(between.ask("count"), "v2 1");
    ground.serve(&first);
    assert_eq!(early.ask("count"), "v1 2");
    assert_eq!(between.ask("count"), "v2 2");
    assert_eq!(ground.peer().ask("count"), "v1 1");
    let leaving = second.leaves(SOON);
    ground.serve_as(&first.service("s"), vec![leaving]);
    assert_eq!(between.hears(), "bye");
    ground.nobody_uses(&second);
    assert_eq!(early.ask("count"), "v1 3");
}

#[test]
fn no_datagram_is_lost_or_shown_twice_while_code_changes() {
    let ground = Ground::new();
    let versions = ["VERSION=1", "VERSION=2", "VERSION=3", "VERSION=4"];
    let actors = versions.map(|version| ground.actor("stamp", &[version]));
    ground.serve(&actors[0]);
    let address = ground.at;
    let talk = std::thread::spawn(move || {
        let peer = Peer::to(address);
        let mut answers = Vec::new();
        let mut sent = 0_u32;
        // Eight on their way at each time, so that some wait in the kernel at each swap.
        while answers.len() < 4000 {
            while sent < 4000 && (sent as usize) < answers.len() + 8 {
                peer.say(&sent.to_string());
                sent += 1;
            }
            answers.push(peer.hears());
        }
        answers
    });
    for round in 1..40 {
        ground.serve(&actors[round % actors.len()]);
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
fn an_answer_that_is_on_its_way_comes_back_to_who_asked_the_old_code() {
    let ground = Ground::new();
    let upstream = Peer::bound();
    let config = format!("{{\"port\": {}}}", upstream.port());
    let first = ground.actor_with("forward", &["VERSION=1"], &config);
    let second = ground.actor_with("forward", &["VERSION=2"], &config);
    ground.serve(&first);
    let peer = ground.peer();
    peer.say("early");
    let question = upstream.hears_from();
    ground.serve(&second);
    peer.say("late");
    let other = upstream.hears_from();
    assert_eq!((&question.0[..], &other.0[..]), ("early", "late"));
    assert!(!first.in_use.is_empty());
    upstream.say_to("yes", question.1);
    assert_eq!(peer.hears(), "v1 yes");
    // With its last question the old face goes, too.
    ground.nobody_uses(&first);
    upstream.say_to("no", other.1);
    assert_eq!(peer.hears(), "v2 no");
}

#[test]
fn another_service_of_the_same_instance_changes_the_timeouts_of_living_flows() {
    let ground = Ground::new();
    let patient = ground.actor("stampflows", &["VERSION=1"]);
    ground.serve(&patient);
    let peer = ground.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    let hasty = patient.service_with("s", Some(Duration::from_millis(50)), SOON);
    ground.serve_as(&hasty, Vec::new());
    until("the flow ended", || live(&patient) == 0);
    assert_eq!(peer.ask("count"), "v1 1");
}

#[test]
fn a_socket_that_is_removed_answers_what_has_arrived_and_is_free() {
    let mut ground = Ground::new();
    let service = ground.actor("stampflows", &["VERSION=1"]);
    ground.serve(&service);
    let peer = ground.peer();
    assert_eq!(peer.ask("count"), "v1 1");
    let address = ground.at;
    peer.say("last");
    ground.remove();
    assert_eq!(peer.hears(), "v1 last");
    assert_eq!(peer.hears(), "bye");
    ground.nobody_uses(&service);
    until("the address is free", || UdpSocket::bind(address).is_ok());
}

#[test]
fn a_handler_that_refuses_the_socket_leaves_it_with_the_old_code() {
    let ground = Ground::new();
    let first = ground.actor("stamp", &["VERSION=1"]);
    let refuses = ground.actor_with("ask_udp", &["VERSION=2"], "{\"port\": 9}");
    let third = ground.actor("stamp", &["VERSION=3"]);
    ground.serve(&first);
    let peer = ground.peer();
    assert_eq!(peer.ask("a"), "v1 a");
    ground.serve(&refuses);
    assert_eq!(peer.ask("b"), "v1 b");
    ground.serve(&third);
    assert_eq!(peer.ask("c"), "v3 c");
}

#[test]
fn nothing_of_an_instance_that_is_held_is_called_and_nothing_is_lost() {
    let ground = Ground::new();
    let first = ground.actor("stampflows", &["VERSION=1"]);
    let second = ground.actor("stampflows", &["VERSION=2"]);
    ground.serve(&first);
    let early = ground.peer();
    assert_eq!(early.ask("count"), "v1 1");
    ground.stage.hold(&first);
    early.say("count");
    early.hears_nothing();
    ground.stage.release(&first);
    assert_eq!(early.hears(), "v1 2");

    // The swap does not end the hold: who stayed with the old code waits, in its place in the queue.
    ground.stage.hold(&first);
    early.say("count");
    ground.serve(&second);
    let late = ground.peer();
    late.say("count");
    early.hears_nothing();
    ground.stage.release(&first);
    assert_eq!(early.hears(), "v1 3");
    assert_eq!(late.hears(), "v2 1");
    ground.stage.hold(&first);
    let leaving = first.leaves(SOON);
    ground.serve_as(&second.service("s"), vec![leaving]);
    early.hears_nothing();
    ground.stage.release(&first);
    assert_eq!(early.hears(), "bye");
    ground.nobody_uses(&first);
}

#[test]
fn a_face_without_flows_that_is_held_leaves_when_it_is_released() {
    let ground = Ground::new();
    let first = ground.actor("stamp", &["VERSION=1"]);
    let second = ground.actor("stamp", &["VERSION=2"]);
    ground.serve(&first);
    let peer = ground.peer();
    assert_eq!(peer.ask("a"), "v1 a");
    ground.stage.hold(&first);
    peer.say("b");
    ground.serve(&second);
    assert_eq!(peer.hears(), "v2 b");
    assert!(!first.in_use.is_empty());
    ground.stage.release(&first);
    ground.nobody_uses(&first);
    assert_eq!(peer.ask("c"), "v2 c");
}

#[test]
fn a_frozen_exclusive_instance_is_left_at_once_by_what_moves_and_by_what_does_not() {
    for (moves, next) in [("STAYS", "v2 1"), ("MOVES", "v2 2")] {
        let ground = Ground::new();
        let macros = |version| [version, moves, "FLAGS=PP_HF_EXCLUSIVE"];
        let first = ground.actor("stampflows", &macros("VERSION=1"));
        let second = ground.actor("stampflows", &macros("VERSION=2"));
        ground.serve(&first);
        let peer = ground.peer();
        assert_eq!(peer.ask("count"), "v1 1");
        ground.stage.hold(&first);
        peer.say("count");
        ground.serve(&second);
        ground.nobody_uses(&first);
        assert_eq!(peer.hears(), next);
        ground.stage.release(&first);
    }
}

#[test]
fn the_shutdown_ends_old_faces_as_well() {
    let ground = Ground::new();
    let first = ground.actor("stampflows", &["VERSION=1"]);
    let second = ground.actor("stampflows", &["VERSION=2"]);
    ground.serve(&first);
    let early = ground.peer();
    early.ask("count");
    ground.serve(&second);
    let late = ground.peer();
    late.ask("count");
    early.say("word");
    let deadline = Instant::now() + SOON;
    ground.stage.announce(Phase::Drain { deadline });
    assert_eq!([early.hears(), early.hears()], ["v1 word", "bye"]);
    assert_eq!(late.hears(), "bye");
    ground.nobody_uses(&first);
    ground.nobody_uses(&second);
}

#[test]
fn old_faces_end_with_a_socket_that_its_handler_does_not_take_again() {
    let ground = Ground::new();
    let first = ground.actor("stampflows", &["VERSION=1"]);
    let second = ground.actor("stamp", &["VERSION=2", "PANICS", "ONCE"]);
    ground.serve(&first);
    assert_eq!(ground.peer().ask("count"), "v1 1");
    ground.serve(&second);
    assert_eq!(ground.peer().ask("a"), "v2 a");
    ground.nobody_uses(&first);
}
