//! Instances that are paused: nothing of theirs is called, and nothing is missed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use polyport_common::shutdown::Phase;
use polyport_data::listen::Listener;
use polyport_data::snapshot::Leaving;

use crate::port::UdpPort;
use crate::stage::{Actor, Client, SOON, Stage, listener};

/// Two services on one worker: what is paused, and what shows that the worker has come past it.
pub(crate) struct Pair {
    pub(crate) stage: Stage,
    pub(crate) paused: Actor,
    pub(crate) other: Actor,
    at: [SocketAddr; 2],
    pub(crate) listeners: [Arc<Listener>; 2],
}

impl Pair {
    pub(crate) fn new(macros: &[&str]) -> Self {
        let stage = Stage::new(1);
        let (paused, other) = (stage.actor(macros), stage.actor(&[]));
        let ((one, at), (two, beside)) = (listener(), listener());
        let pair = Self {
            stage,
            paused,
            other,
            at: [at, beside],
            listeners: [one, two],
        };
        pair.serve(&pair.paused);
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
        self.stage.serve(&[(one, &first), (two, &second)], leaving);
    }

    /// Nothing but the second service, with who leaves.
    pub(crate) fn serve_rest(&self, leaving: &[Leaving]) {
        let second = self.other.service("other");
        self.stage.serve(&[(&self.listeners[1], &second)], leaving);
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.at[0])
    }

    /// Waits until the worker has seen a timer that was set to 200 ms, though it is paused.
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
fn pause_calls_nothing_and_misses_nothing() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.pause(&pair.paused);
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
    assert_eq!(pair.paused.live.load(Ordering::Relaxed), 1);
    pair.stage.resume(&pair.paused);
    assert_eq!(client.line(), "1 2");
    assert_eq!(client.line(), "1 3");
    assert_eq!(new.line(), "1 1");
    gone.end();
}

#[test]
fn pause_twice_needs_two_resumes() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.pause(&pair.paused);
    pair.stage.pause(&pair.paused);
    pair.stage.resume(&pair.paused);
    client.send("b\n");
    pair.pass();
    assert!(client.is_quiet());
    pair.stage.resume(&pair.paused);
    assert_eq!(client.line(), "1 2");
}

#[test]
fn pause_serves_queued_connections_of_a_closed_listener_after_the_resume() {
    let mut pair = Pair::new(&[]);
    pair.stage.pause(&pair.paused);
    let mut client = pair.client();
    client.send("a\n");
    let [_, two] = &pair.listeners;
    let two = Arc::clone(two);
    pair.listeners = [Arc::clone(&two), two];
    let second = pair.other.service("other");
    pair.stage.serve(&[(&pair.listeners[1], &second)], &[]);
    pair.pass();
    assert!(client.is_quiet());
    pair.stage.resume(&pair.paused);
    assert_eq!(client.line(), "1 1");
    client.end();
}

#[test]
fn pause_does_not_hold_up_a_stop() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.pause(&pair.paused);
    client.send("b\n");
    pair.pass();
    let deadline = Instant::now() + SOON;
    pair.stage.announce(Phase::Drain { deadline });
    assert_eq!(client.line(), "1 2");
    client.end();
}

#[test]
fn pause_with_a_passed_timeout_cancels_no_other_timeout() {
    let stage = Stage::new(1);
    let (paused, other) = (stage.actor(&[]), stage.actor(&[]));
    let ((one, at), (two, beside)) = (listener(), listener());
    let idle = |millis| Some(Duration::from_millis(millis));
    let first = paused.service_with("paused", idle(100), SOON);
    let second = other.service_with("other", idle(1000), SOON);
    stage.serve(&[(&one, &first), (&two, &second)], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("a\n"), "1 1");
    stage.pause(&paused);
    // Its timeout passes after that of the paused one, and with it that one's entry has come.
    let mut before = Client::connect(beside);
    assert_eq!(before.ask("a\n"), "1 1");
    before.end();
    // Their entries stand where those were.
    let mut later: Vec<_> = (0..4).map(|_| Client::connect(beside)).collect();
    for client in &mut later {
        assert_eq!(client.ask("a\n"), "1 1");
    }
    client.finish();
    stage.resume(&paused);
    client.end();
    let since = Instant::now();
    later.iter_mut().for_each(Client::end);
    assert!(since.elapsed() < SOON / 2);
}

#[test]
fn pause_keeps_a_timer_that_was_set_again() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("t\n"), "1 1");
    pair.stage.pause(&pair.paused);
    pair.outlast_timer();
    let again = "IMPORT=host->timer_set(s, 7, 1500000000ull, 0)";
    let next = pair.stage.actor(&["VERSION=2", again]);
    let since = Instant::now();
    pair.serve(&next);
    pair.stage.resume(&pair.paused);
    assert_eq!(client.line(), "tick");
    assert!(since.elapsed() >= Duration::from_millis(1400));
}

#[test]
fn pause_delivers_a_due_timer_to_the_new_code() {
    let pair = Pair::new(&[]);
    let mut client = pair.client();
    assert_eq!(client.ask("t\n"), "1 1");
    pair.stage.pause(&pair.paused);
    pair.outlast_timer();
    assert!(client.is_quiet());
    let next = pair.stage.actor(&["VERSION=2"]);
    pair.serve(&next);
    assert_eq!(client.line(), "tick");
    assert_eq!(client.ask("a\n"), "2 2");
    pair.stage.resume(&pair.paused);
}

#[test]
fn pause_does_not_time_out_a_flow_with_queued_datagrams() {
    let port = UdpPort::new();
    let actor = port.actor("stampflows", &["VERSION=1"]);
    let idle = Some(Duration::from_millis(300));
    port.serve_as(&actor.service_with("s", idle, SOON), Vec::new());
    let (quiet, loud) = (port.peer(), port.peer());
    assert_eq!(quiet.ask("count"), "v1 1");
    port.stage.pause(&actor);
    (0..400).for_each(|_| loud.send("a"));
    quiet.send("count");
    // Longer than the flow may be idle.
    quiet.receives_nothing_for(Duration::from_millis(600));
    port.stage.resume(&actor);
    assert_eq!(quiet.receives(), "v1 2");
}
