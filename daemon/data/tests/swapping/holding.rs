//! Instances that are held: nothing of theirs is called, and nothing is missed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use polyport_common::shutdown::Phase;
use polyport_data::listen::Listener;
use polyport_data::snapshot::Leaving;

use crate::ground::Ground;
use crate::stage::{Actor, Client, SOON, Stage, listener};

/// Two services on one worker: what is held, and what shows that the worker has come past it.
pub(crate) struct Pair {
    pub(crate) stage: Stage,
    pub(crate) held: Actor,
    pub(crate) other: Actor,
    at: [SocketAddr; 2],
    pub(crate) listeners: [Arc<Listener>; 2],
}

impl Pair {
    pub(crate) fn new(macros: &[&str]) -> Self {
        let stage = Stage::new(1);
        let (held, other) = (stage.actor(macros), stage.actor(&[]));
        let ((one, at), (two, beside)) = (listener(), listener());
        let pair = Self {
            stage,
            held,
            other,
            at: [at, beside],
            listeners: [one, two],
        };
        pair.serve(&pair.held);
        pair
    }

    /// The first service by this instance from now on.
    pub(crate) fn serve(&self, actor: &Actor) {
        self.serve_with(actor, &[]);
    }

    /// The same, with who leaves.
    pub(crate) fn serve_with(&self, actor: &Actor, leaving: &[Leaving]) {
        let [one, two] = &self.listeners;
        let (first, second) = (actor.service("s"), self.other.service("other"));
        self.stage.swap(&[(one, &first), (two, &second)], leaving);
    }

    /// Nothing but the second service, with who leaves.
    pub(crate) fn serve_rest(&self, leaving: &[Leaving]) {
        let second = self.other.service("other");
        self.stage.swap(&[(&self.listeners[1], &second)], leaving);
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.at[0])
    }

    /// Waits until the worker has seen a timer that was set to 200 ms, though it is held.
    pub(crate) fn outlast_timer(&self) {
        let mut later = Client::connect(self.at[1]);
        assert_eq!(later.ask("t\n"), "1 1");
        assert_eq!(later.line(), "tick");
    }

    /// Whatever came before this the worker has seen.
    pub(crate) fn pass(&self) {
        assert_eq!(Client::connect(self.at[1]).ask("a\n"), "1 1");
    }
}

#[test]
fn what_is_held_is_not_called_and_misses_nothing() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.hold(&pair.held);
    client.send("b\n");
    let mut new = pair.client();
    new.send("a\n");
    let mut gone = pair.client();
    gone.finish();
    pair.pass();
    // News of something that has news already is put aside as well.
    client.send("c\n");
    pair.pass();
    assert!(client.is_quiet() && new.is_quiet());
    assert_eq!(pair.held.live.load(Ordering::Relaxed), 1);
    pair.stage.release(&pair.held);
    assert_eq!(client.line(), "1 2");
    assert_eq!(client.line(), "1 3");
    assert_eq!(new.line(), "1 1");
    gone.end();
}

#[test]
fn what_is_held_twice_is_released_twice() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.hold(&pair.held);
    pair.stage.hold(&pair.held);
    pair.stage.release(&pair.held);
    client.send("b\n");
    pair.pass();
    assert!(client.is_quiet());
    pair.stage.release(&pair.held);
    assert_eq!(client.line(), "1 2");
}

#[test]
fn who_waits_at_a_held_listener_that_is_closed_is_served_after_the_release() {
    let mut pair = Pair::new(&[]);
    pair.stage.hold(&pair.held);
    let mut client = pair.client();
    client.send("a\n");
    let [_, two] = &pair.listeners;
    let two = Arc::clone(two);
    pair.listeners = [Arc::clone(&two), two];
    let second = pair.other.service("other");
    pair.stage.swap(&[(&pair.listeners[1], &second)], &[]);
    pair.pass();
    assert!(client.is_quiet());
    pair.stage.release(&pair.held);
    assert_eq!(client.line(), "1 1");
    client.end();
}

#[test]
fn a_stop_waits_for_no_release() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.hold(&pair.held);
    client.send("b\n");
    pair.pass();
    let deadline = Instant::now() + SOON;
    pair.stage.announce(Phase::Drain { deadline });
    assert_eq!(client.line(), "1 2");
    client.end();
}

#[test]
fn a_timeout_that_passed_in_a_hold_takes_no_timeout_of_another_away() {
    let stage = Stage::new(1);
    let (held, other) = (stage.actor(&[]), stage.actor(&[]));
    let ((one, at), (two, beside)) = (listener(), listener());
    let idle = |millis| Some(Duration::from_millis(millis));
    let first = held.service_with("held", idle(100), SOON);
    let second = other.service_with("other", idle(1000), SOON);
    stage.swap(&[(&one, &first), (&two, &second)], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("a\n"), "1 1");
    stage.hold(&held);
    // Its timeout passes after that of the held one, and with it that one's entry has come.
    let mut before = Client::connect(beside);
    assert_eq!(before.ask("a\n"), "1 1");
    before.end();
    // Their entries stand where those were.
    let mut later: Vec<_> = (0..4).map(|_| Client::connect(beside)).collect();
    for client in &mut later {
        assert_eq!(client.ask("a\n"), "1 1");
    }
    client.finish();
    stage.release(&held);
    client.end();
    let since = Instant::now();
    later.iter_mut().for_each(Client::end);
    assert!(since.elapsed() < SOON / 2);
}

#[test]
fn a_timer_that_came_in_a_hold_and_was_set_again_comes_when_it_was_set_to() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("t\n"), "1 1");
    pair.stage.hold(&pair.held);
    pair.outlast_timer();
    let again = "IMPORT=host->timer_set(s, 7, 1500000000ull, 0)";
    let next = pair.stage.actor(&["VERSION=2", again]);
    let since = Instant::now();
    pair.serve(&next);
    pair.stage.release(&pair.held);
    assert_eq!(client.line(), "tick");
    assert!(since.elapsed() >= Duration::from_millis(1400));
}

#[test]
fn a_timer_that_came_in_a_hold_comes_to_the_new_code() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("t\n"), "1 1");
    pair.stage.hold(&pair.held);
    pair.outlast_timer();
    assert!(client.is_quiet());
    let next = pair.stage.actor(&["VERSION=2"]);
    pair.serve(&next);
    assert_eq!(client.line(), "tick");
    assert_eq!(client.ask("a\n"), "2 2");
    pair.stage.release(&pair.held);
}

#[test]
fn a_flow_whose_datagram_waits_behind_many_is_not_idle_after_a_hold() {
    let ground = Ground::new();
    let actor = ground.actor("stampflows", &["VERSION=1"]);
    let idle = Some(Duration::from_millis(300));
    ground.serve_as(&actor.service_with("s", idle, SOON), Vec::new());
    let (quiet, loud) = (ground.peer(), ground.peer());
    assert_eq!(quiet.ask("count"), "v1 1");
    ground.stage.hold(&actor);
    (0..400).for_each(|_| loud.say("a"));
    quiet.say("count");
    // Longer than the flow may be idle.
    quiet.hears_nothing_for(Duration::from_millis(600));
    ground.stage.release(&actor);
    assert_eq!(quiet.hears(), "v1 2");
}
