//! What workers do with snapshots: real threads, sockets and plugin code, and a test in the place of control.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test support outside of test functions"
)]

mod standby;
mod bindings;
mod fenced;
mod port;
mod pausing;
mod imports;
mod queues;
mod turns;
mod stage;

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use polyport_common::shutdown::Phase;
use stage::{Client, SOON, Stage, listener};

#[test]
fn reload_serves_queued_connections_of_a_removed_listener() {
    let stage = Stage::new(2);
    let (first, at) = listener();
    let (second, stays) = listener();
    let actor = stage.actor(&["GOODBYE"]);
    let service = actor.service("s");
    stage.serve(&[(&first, &service), (&second, &service)], &[]);
    let mut other = Client::connect(stays);
    let mut before = Client::connect(at);
    assert_eq!(before.ask("a\n"), "1 1");
    assert_eq!(other.ask("a\n"), "1 1");
    drop(first);
    stage.serve(&[(&second, &service)], &[]);
    assert_eq!(before.line(), "bye");
    // It may finish what it is at.
    assert_eq!(before.ask("b\n"), "1 2");
    assert!(TcpStream::connect(at).is_err());
    assert_eq!(other.ask("b\n"), "1 2");
    assert_eq!(Client::connect(stays).ask("a\n"), "1 1");
}

#[test]
fn reload_ends_idle_streams_of_a_removed_service() {
    let stage = Stage::new(2);
    let (socket, at) = listener();
    let actor = stage.actor(&[]);
    let service = actor.service("s");
    stage.serve(&[(&socket, &service)], &[]);
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(at)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("a\n"), "1 1");
    }
    assert_eq!(actor.live.load(Ordering::Relaxed), 20);
    drop((socket, service));
    assert!(!actor.in_use.is_empty());
    stage.serve(&[], &[]);
    clients.iter_mut().for_each(Client::end);
    drop(clients);
    stage.wait_for(&actor.in_use);
    assert_eq!(actor.live.load(Ordering::Relaxed), 0);
}

#[test]
fn reload_applies_other_timeouts_to_living_streams() {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let actor = stage.actor(&[]);
    stage.serve(&[(&socket, &actor.service("s"))], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("a\n"), "1 1");
    stage.serve(
        &[(
            &socket,
            &actor.service_with("s", Some(Duration::from_millis(300)), SOON),
        )],
        &[],
    );
    assert_eq!(client.ask("b\n"), "1 2");
    let since = Instant::now();
    // Its own reason, not a drain: nobody was told to say goodbye.
    client.end();
    assert!(since.elapsed() >= Duration::from_millis(250));
}

#[test]
fn reload_migrates_a_stream_in_the_middle_of_a_message() {
    let stage = Stage::new(2);
    let (socket, at) = listener();
    let (old, new) = (stage.actor(&[]), stage.actor(&["VERSION=2"]));
    stage.serve(&[(&socket, &old.service("s"))], &[]);
    let mut clients: Vec<_> = (0..50).map(|_| Client::connect(at)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("a\n"), "1 1");
        assert_eq!(client.ask("b\nhal"), "1 2");
    }
    stage.serve(&[(&socket, &new.service("s"))], &[]);
    stage.wait_for(&old.in_use);
    assert_eq!(old.live.load(Ordering::Relaxed), 0);
    assert_eq!(new.live.load(Ordering::Relaxed), 50);
    for client in &mut clients {
        assert_eq!(client.ask("f\n"), "2 3");
    }
    assert_eq!(Client::connect(at).ask("a\n"), "2 1");
}

#[test]
fn reload_keeps_a_stream_without_import_until_its_instance_leaves() {
    for macros in [
        &["VERSION=2", "NAME=\"other\""][..],
        &["VERSION=2", "IMPORT=return PP_E_FAIL"],
        &["VERSION=2", "IMPORT=return PP_E_PANIC"],
        &[
            "VERSION=2",
            "IMPORT=host->close(s, PP_CLOSE_NOW, NULL); return PP_E_FAIL",
        ],
        &[
            "VERSION=2",
            "IMPORT=host->timer_set(s, 1, 1000000, 0); return PP_E_FAIL",
        ],
    ] {
        let stage = Stage::new(1);
        let (socket, at) = listener();
        let (old, new) = (stage.actor(&["GOODBYE"]), stage.actor(macros));
        stage.serve(&[(&socket, &old.service("s"))], &[]);
        let mut client = Client::connect(at);
        assert_eq!(client.ask("a\n"), "1 1");
        let next = new.service("s");
        stage.serve(&[(&socket, &next)], &[]);
        assert_eq!(client.ask("b\n"), "1 2", "{macros:?}");
        assert_eq!(Client::connect(at).ask("a\n"), "2 1");
        assert!(!old.in_use.is_empty());
        let grace = Duration::from_millis(300);
        let since = Instant::now();
        stage.serve(&[(&socket, &next)], &[old.leaves(grace)]);
        assert_eq!(client.line(), "bye");
        assert_eq!(client.ask("c\n"), "1 3");
        // It does not end by itself, so it is ended.
        stage.wait_for(&old.in_use);
        assert!(since.elapsed() >= grace);
        client.end();
    }
}

#[test]
fn reload_rebinds_superseded_streams_when_the_old_instance_returns() {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let (old, new) = (
        stage.actor(&["EXPORT=return PP_E_FAIL", "GOODBYE"]),
        stage.actor(&["VERSION=2"]),
    );
    stage.serve(&[(&socket, &old.service("s"))], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("a\n"), "1 1");
    stage.serve(&[(&socket, &new.service("s"))], &[]);
    stage.serve(&[(&socket, &old.service("s"))], &[]);
    assert_eq!(client.ask("b\n"), "1 2");
    stage.serve(&[], &[]);
    assert_eq!(client.line(), "bye");
}

#[test]
fn reload_drains_superseded_streams_with_their_service() {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let old = stage.actor(&["GOODBYE"]);
    let new = stage.actor(&["VERSION=2", "IMPORT=return PP_E_FAIL"]);
    let short = Duration::from_millis(300);
    stage.serve(&[(&socket, &old.service_with("s", None, short))], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("a\n"), "1 1");
    stage.serve(&[(&socket, &new.service("s"))], &[]);
    stage.serve(&[(&socket, &new.service("other"))], &[]);
    assert_eq!(client.line(), "bye");
    stage.wait_for(&old.in_use);
}

#[test]
fn reload_moves_a_stream_together_with_what_it_dialled() {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let (old, new) = (stage.actor(&[]), stage.actor(&["VERSION=2"]));
    stage.serve(&[(&socket, &old.service("s"))], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("d\n"), "1 1");
    assert_eq!(client.line(), "dialled");
    stage.serve(&[(&socket, &new.service("s"))], &[]);
    // All three have moved: the stream, what it dialled, and the other end of that. The import of the dialled one writes
    // to its dialler once more.
    assert_eq!(client.line(), "dialled");
    assert_eq!(client.ask("a\n"), "2 2");
    assert_eq!(old.live.load(Ordering::Relaxed), 0);
    assert_eq!(new.live.load(Ordering::Relaxed), 3);
    stage.wait_for(&old.in_use);
    stage.serve(&[], &[]);
    client.end();
    drop(client);
    stage.wait_for(&new.in_use);
}

#[test]
fn reload_leaves_a_whole_group_with_the_old_code_when_one_import_fails() {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let fails = "IMPORT=if (info->flags & PP_INFO_OUTBOUND) return PP_E_FAIL";
    let (old, new) = (stage.actor(&[]), stage.actor(&["VERSION=2", fails]));
    stage.serve(&[(&socket, &old.service("s"))], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("d\n"), "1 1");
    assert_eq!(client.line(), "dialled");
    stage.serve(&[(&socket, &new.service("s"))], &[]);
    // The other end of the dialled connection is of no group, and has moved.
    assert_eq!(client.ask("a\n"), "1 2");
    assert_eq!(old.live.load(Ordering::Relaxed), 2);
    assert_eq!(new.live.load(Ordering::Relaxed), 1);
    stage.serve(&[], &[]);
    client.end();
    drop(client);
    stage.wait_for(&old.in_use);
    stage.wait_for(&new.in_use);
}

#[test]
fn export_that_panics_ends_its_stream_and_no_other() {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let panics = "EXPORT=if (*(uint32_t *)st == 1) return PP_E_PANIC";
    let (old, new) = (stage.actor(&[panics]), stage.actor(&["VERSION=2"]));
    stage.serve(&[(&socket, &old.service("s"))], &[]);
    let (mut one, mut other) = (Client::connect(at), Client::connect(at));
    assert_eq!(one.ask("a\n"), "1 1");
    assert_eq!(other.ask("a\n"), "1 1");
    assert_eq!(other.ask("b\n"), "1 2");
    stage.serve(&[(&socket, &new.service("s"))], &[]);
    assert_eq!(one.line(), "");
    assert_eq!(other.ask("c\n"), "2 3");
    assert_eq!(old.instance.panics(), 1);
}

#[test]
fn drain_of_many_is_paced_and_stays_within_the_grace() {
    const MANY: u32 = 400;
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let actor = stage.actor(&["GOODBYE"]);
    let service = actor.service("s");
    stage.serve(&[(&socket, &service)], &[]);
    let mut clients: Vec<_> = (0..MANY).map(|_| Client::connect(at)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("a\n"), "1 1");
    }
    let since = Instant::now();
    stage.serve(&[], &[]);
    for client in &mut clients {
        assert_eq!(client.line(), "bye");
    }
    // All but the first 64, a thousand a second, less a few ticks.
    assert!(since.elapsed() >= Duration::from_millis(250));
    assert!(since.elapsed() < SOON / 2);
}

#[test]
fn drain_closes_idle_streams_at_once_whose_handler_says_no_goodbye() {
    const MANY: u32 = 2000;
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let actor = stage.actor(&[]);
    let service = actor.service_with("s", None, Duration::from_secs(3600));
    stage.serve(&[(&socket, &service)], &[]);
    let mut clients: Vec<_> = (0..MANY).map(|_| Client::connect(at)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("a\n"), "1 1");
    }
    let since = Instant::now();
    stage.serve(&[], &[]);
    clients.iter_mut().for_each(Client::end);
    // Paced, the last would end after two seconds.
    assert!(since.elapsed() < Duration::from_millis(1500));
}

#[test]
fn drain_spares_queued_streams_when_the_service_returns() {
    const MANY: usize = 2000;
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let actor = stage.actor(&["GOODBYE"]);
    let service = actor.service("s");
    stage.serve(&[(&socket, &service)], &[]);
    let mut clients: Vec<_> = (0..MANY).map(|_| Client::connect(at)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("a\n"), "1 1");
    }
    let other = actor.service("other");
    stage.serve(&[(&socket, &other)], &[]);
    stage.serve(&[(&socket, &service)], &[]);
    let mut stayed = 0;
    for client in &mut clients {
        stayed += usize::from(client.ask("a\n") == "1 2");
    }
    assert!(stayed >= MANY / 2, "{stayed}");
}

#[test]
fn drain_at_a_stop_ends_everything_during_another_drain() {
    let stage = Stage::new(2);
    let (socket, at) = listener();
    let actor = stage.actor(&[]);
    let service = actor.service("s");
    stage.serve(&[(&socket, &service)], &[]);
    let mut clients: Vec<_> = (0..300).map(|_| Client::connect(at)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("a\n"), "1 1");
    }
    stage.serve(&[], &[]);
    let deadline = Instant::now() + Duration::from_millis(200);
    stage.announce(Phase::Drain { deadline });
    clients.iter_mut().for_each(Client::end);
    drop((service, Arc::clone(&socket)));
    stage.wait_for(&actor.in_use);
}

#[test]
fn drain_with_a_nearer_deadline_hastens_queued_streams() {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let actor = stage.actor(&["GOODBYE"]);
    let service = actor.service("s");
    stage.serve(&[(&socket, &service)], &[]);
    let mut clients: Vec<_> = (0..1500).map(|_| Client::connect(at)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("a\n"), "1 1");
    }
    stage.serve(&[], &[]);
    stage.serve(&[], &[actor.leaves(Duration::from_millis(600))]);
    // All are told before they are ended.
    let told = clients.iter_mut().map(Client::line);
    assert_eq!(told.filter(|line| line == "bye").count(), 1500);
}

#[test]
fn drain_of_an_instance_ends_a_socket_that_it_dials_meanwhile() {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let (old, new) = (stage.actor(&["GOODBYE"]), stage.actor(&["NAME=\"other\""]));
    stage.serve(&[(&socket, &old.service("s"))], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("a\n"), "1 1");
    let leaving = old.leaves(Duration::from_millis(500));
    stage.serve(&[(&socket, &new.service("s"))], &[leaving]);
    assert_eq!(client.line(), "bye");
    assert_eq!(client.ask("u\n"), "1 2");
    assert_eq!(client.line(), "opened");
    stage.wait_for(&old.in_use);
}
