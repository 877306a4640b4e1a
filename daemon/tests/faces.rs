//! Datagram sockets under reloads, with a worker and plugins that are real: who answers whom, before and after.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test support outside of test functions"
)]

mod bench;

use std::time::{Duration, Instant};

use bench::{Bench, Peer};

#[test]
fn old_flows_stay_with_their_code_and_new_peers_meet_the_new() {
    let bench = Bench::new();
    let (first, old) = bench.service("stampflows", &["VERSION=1"]);
    let (second, new) = bench.service("stampflows", &["VERSION=2"]);
    bench.serve(&first);
    let early = Peer::of(&bench);
    assert_eq!(early.ask("count"), "v1 1");
    drop(first);
    bench.serve(&second);
    assert_eq!(early.ask("count"), "v1 2");
    let late = Peer::of(&bench);
    assert_eq!(late.ask("count"), "v2 1");
    assert_eq!(early.ask("count"), "v1 3");
    assert_eq!(late.ask("count"), "v2 2");
    assert!(old.is_held() && new.is_held());
    // The operator's patience is over: the flow says goodbye, and its next word begins a new one.
    let leaving = bench.leaving(&old, Instant::now() + Duration::from_secs(10));
    bench.serve_beside(&second, vec![leaving]);
    assert_eq!(early.hears(), "bye");
    bench.nobody_uses(&old);
    assert_eq!(early.ask("count"), "v2 1");
    assert_eq!(late.ask("count"), "v2 3");
}

#[test]
fn flows_that_can_go_over_to_the_new_code_with_their_ids_and_the_old_code_is_free() {
    let bench = Bench::new();
    let (first, old) = bench.service("stampflows", &["VERSION=1", "MOVES"]);
    let (second, middle) = bench.service("stampflows", &["VERSION=2", "MOVES"]);
    let (third, _) = bench.service("stampflows", &["VERSION=3", "MOVES"]);
    bench.serve(&first);
    let peers: Vec<_> = (0..20).map(|_| Peer::of(&bench)).collect();
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v1 1");
    }
    assert_eq!(bench.live(&first), 20);
    drop(first);
    bench.serve(&second);
    bench.nobody_uses(&old);
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v2 2");
    }
    assert_eq!(bench.live(&second), 20);
    drop(second);
    bench.serve(&third);
    bench.nobody_uses(&middle);
    for peer in &peers {
        assert_eq!(peer.ask("count"), "v3 3");
    }
}

#[test]
fn a_flow_that_cannot_be_carried_stays_and_one_whose_export_panics_ends() {
    let bench = Bench::new();
    let (first, _) = bench.service("stampflows", &["VERSION=1", "MOVES"]);
    let (broken, _) = bench.service(
        "stampflows",
        &["VERSION=2", "MOVES", "FAULT=\"import:panic\""],
    );
    bench.serve(&first);
    let peer = Peer::of(&bench);
    assert_eq!(peer.ask("count"), "v1 1");
    bench.serve(&broken);
    assert_eq!(peer.ask("count"), "v1 2");
    assert_eq!(broken.instance.panics(), 1);
    assert_eq!(bench.live(&first), 1);

    let bench = Bench::new();
    let (first, old) = bench.service(
        "stampflows",
        &["VERSION=1", "MOVES", "FAULT=\"export:panic\""],
    );
    let (second, _) = bench.service("stampflows", &["VERSION=2", "MOVES"]);
    bench.serve(&first);
    let peer = Peer::of(&bench);
    assert_eq!(peer.ask("count"), "v1 1");
    drop(first);
    bench.serve(&second);
    bench.nobody_uses(&old);
    assert_eq!(peer.ask("count"), "v2 1");
}

#[test]
fn flows_that_stayed_belong_again_when_the_old_instance_comes_back() {
    let bench = Bench::new();
    let (first, _) = bench.service("stampflows", &["VERSION=1"]);
    let (second, new) = bench.service("stampflows", &["VERSION=2"]);
    bench.serve(&first);
    let early = Peer::of(&bench);
    assert_eq!(early.ask("count"), "v1 1");
    bench.serve(&second);
    let between = Peer::of(&bench);
    assert_eq!(between.ask("count"), "v2 1");
    drop(second);
    bench.serve(&first);
    assert_eq!(early.ask("count"), "v1 2");
    assert_eq!(between.ask("count"), "v2 2");
    assert_eq!(Peer::of(&bench).ask("count"), "v1 1");
    let leaving = bench.leaving(&new, Instant::now() + Duration::from_secs(10));
    bench.serve_beside(&first, vec![leaving]);
    assert_eq!(between.hears(), "bye");
    bench.nobody_uses(&new);
    assert_eq!(early.ask("count"), "v1 3");
}

#[test]
fn no_datagram_is_lost_or_shown_twice_while_code_changes() {
    let bench = Bench::new();
    let versions = ["VERSION=1", "VERSION=2", "VERSION=3", "VERSION=4"];
    let services = versions.map(|version| bench.service("stamp", &[version]).0);
    bench.serve(&services[0]);
    let address = bench.address();
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
        bench.serve(&services[round % services.len()]);
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
    let bench = Bench::new();
    let upstream = Peer::bound();
    let config = format!("{{\"port\": {}}}", upstream.port());
    let (first, old) = bench.service_with("forward", &["VERSION=1"], &config);
    let (second, _) = bench.service_with("forward", &["VERSION=2"], &config);
    bench.serve(&first);
    let peer = Peer::of(&bench);
    peer.say("early");
    let question = upstream.hears_from();
    drop(first);
    bench.serve(&second);
    peer.say("late");
    let other = upstream.hears_from();
    assert_eq!((&question.0[..], &other.0[..]), ("early", "late"));
    assert!(old.is_held());
    upstream.say_to("yes", question.1);
    assert_eq!(peer.hears(), "v1 yes");
    // With its last question the old face goes, too.
    bench.nobody_uses(&old);
    upstream.say_to("no", other.1);
    assert_eq!(peer.hears(), "v2 no");
}

#[test]
fn another_service_of_the_same_instance_changes_the_timeouts_of_living_flows() {
    let bench = Bench::new();
    let (patient, _) = bench.service("stampflows", &["VERSION=1"]);
    bench.serve(&patient);
    let peer = Peer::of(&bench);
    assert_eq!(peer.ask("count"), "v1 1");
    let hasty = bench.with_idle(&patient, Duration::from_millis(50));
    bench.serve(&hasty);
    bench::until("the flow ended", || bench.live(&patient) == 0);
    assert_eq!(peer.ask("count"), "v1 1");
}

#[test]
fn a_socket_that_is_removed_answers_what_has_arrived_and_is_free() {
    let mut bench = Bench::new();
    let (service, held) = bench.service("stampflows", &["VERSION=1"]);
    bench.serve(&service);
    let peer = Peer::of(&bench);
    assert_eq!(peer.ask("count"), "v1 1");
    drop(service);
    let address = bench.address();
    peer.say("last");
    bench.remove();
    assert_eq!(peer.hears(), "v1 last");
    assert_eq!(peer.hears(), "bye");
    bench.nobody_uses(&held);
    bench::until("the address is free", || {
        std::net::UdpSocket::bind(address).is_ok()
    });
}

#[test]
fn a_handler_that_refuses_the_socket_leaves_it_with_the_old_code() {
    let bench = Bench::new();
    let (first, _) = bench.service("stamp", &["VERSION=1"]);
    let (refuses, _) = bench.service_with("ask_udp", &["VERSION=2"], "{\"port\": 9}");
    let (third, _) = bench.service("stamp", &["VERSION=3"]);
    bench.serve(&first);
    let peer = Peer::of(&bench);
    assert_eq!(peer.ask("a"), "v1 a");
    bench.serve(&refuses);
    assert_eq!(peer.ask("b"), "v1 b");
    bench.serve(&third);
    assert_eq!(peer.ask("c"), "v3 c");
}

#[test]
fn nothing_of_an_instance_that_is_held_is_called_and_nothing_is_lost() {
    let bench = Bench::new();
    let (first, old) = bench.service("stampflows", &["VERSION=1"]);
    let (second, _) = bench.service("stampflows", &["VERSION=2"]);
    bench.serve(&first);
    let early = Peer::of(&bench);
    assert_eq!(early.ask("count"), "v1 1");
    bench.hold(&old);
    early.say("count");
    early.hears_nothing();
    bench.release(&old);
    assert_eq!(early.hears(), "v1 2");

    // The swap does not end the hold: who stayed with the old code waits, in its place in the queue.
    bench.hold(&old);
    early.say("count");
    bench.serve(&second);
    let late = Peer::of(&bench);
    late.say("count");
    early.hears_nothing();
    bench.release(&old);
    assert_eq!(early.hears(), "v1 3");
    assert_eq!(late.hears(), "v2 1");
    drop(first);
    bench.hold(&old);
    let leaving = bench.leaving(&old, Instant::now() + Duration::from_secs(10));
    bench.serve_beside(&second, vec![leaving]);
    early.hears_nothing();
    bench.release(&old);
    assert_eq!(early.hears(), "bye");
    bench.nobody_uses(&old);
}

#[test]
fn a_face_without_flows_that_is_held_leaves_when_it_is_released() {
    let bench = Bench::new();
    let (first, old) = bench.service("stamp", &["VERSION=1"]);
    let (second, _) = bench.service("stamp", &["VERSION=2"]);
    bench.serve(&first);
    let peer = Peer::of(&bench);
    assert_eq!(peer.ask("a"), "v1 a");
    drop(first);
    bench.hold(&old);
    peer.say("b");
    bench.serve(&second);
    assert_eq!(peer.hears(), "v2 b");
    assert!(old.is_held());
    bench.release(&old);
    bench.nobody_uses(&old);
    assert_eq!(peer.ask("c"), "v2 c");
}

#[test]
fn a_frozen_exclusive_instance_is_left_at_once_by_what_moves_and_by_what_does_not() {
    for (moves, next) in [("STAYS", "v2 1"), ("MOVES", "v2 2")] {
        let bench = Bench::new();
        let macros = |version| [version, moves, "FLAGS=PP_HF_EXCLUSIVE"];
        let (first, old) = bench.service("stampflows", &macros("VERSION=1"));
        let (second, _) = bench.service("stampflows", &macros("VERSION=2"));
        bench.serve(&first);
        let peer = Peer::of(&bench);
        assert_eq!(peer.ask("count"), "v1 1");
        drop(first);
        bench.hold(&old);
        peer.say("count");
        bench.serve(&second);
        bench.nobody_uses(&old);
        assert_eq!(peer.hears(), next);
        bench.release(&old);
    }
}

#[test]
fn the_shutdown_ends_old_faces_as_well() {
    let mut bench = Bench::new();
    let (first, old) = bench.service("stampflows", &["VERSION=1"]);
    let (second, new) = bench.service("stampflows", &["VERSION=2"]);
    bench.serve(&first);
    let early = Peer::of(&bench);
    early.ask("count");
    drop(first);
    bench.serve(&second);
    drop(second);
    let late = Peer::of(&bench);
    late.ask("count");
    early.say("word");
    bench.stop();
    assert_eq!([early.hears(), early.hears()], ["v1 word", "bye"]);
    assert_eq!(late.hears(), "bye");
    bench.nobody_uses(&old);
    bench.nobody_uses(&new);
}
