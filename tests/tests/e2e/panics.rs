//! A plugin in Rust that panics: the panic is caught and logged, and affects nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use polyport_e2e::{Builder, Daemon, SOON, TestPlugin, binaries, client, events, wait};

/// An instance that panics at this place, and one of another plugin beside it.
fn panics_at(place: &str) -> Builder {
    Daemon::builder()
        .state()
        .set("workers: 1")
        .plugin_with(
            "panics",
            &binaries::rust_plugin("panics"),
            &format!("config: {{at: {place}}}"),
        )
        .plugin("plain", &TestPlugin::file("plain"))
        .service("panics", "tcp://127.0.0.1:0, udp://127.0.0.1:0", "panics")
        .service("plain", "tcp://127.0.0.1:0", "plain")
        .allow_error("the test plugin panics in")
}

/// Sends bytes, does not read for a while, and waits until the stream ends.
fn until_it_ends(stream: &mut TcpStream) {
    // The stream may end before the first write.
    stream.write_all(b"hello\n").ok();
    wait::measure(Duration::from_millis(200));
    let mut part = [0; 65_536];
    while matches!(stream.read(&mut part), Ok(1..)) {}
}

#[track_caller]
fn ends_its_stream_only(place: &str) {
    let mut daemon = panics_at(place).start();
    let mut bystander = client::tcp(daemon.tcp("plain"));
    client::expect_echo(&mut bystander, b"before\n");
    for _ in 0..3 {
        let mut stream = client::tcp(daemon.tcp("panics"));
        until_it_ends(&mut stream);
    }
    daemon
        .log()
        .wait_for(&format!("the test plugin panics in {place}"), SOON);
    client::expect_echo(&mut bystander, b"after\n");
    assert!(daemon.is_alive());
    drop(bystander);
    daemon.stop();
}

#[test]
fn f21_a_panic_in_open_ends_its_stream_only() {
    ends_its_stream_only("open");
}

#[test]
fn f21_a_panic_in_on_data_ends_its_stream_only() {
    ends_its_stream_only("on_data");
}

#[test]
fn f21_a_panic_in_on_wake_ends_its_stream_only() {
    ends_its_stream_only("on_wake");
}

#[test]
fn f21_a_panic_in_on_timer_ends_its_stream_only() {
    ends_its_stream_only("on_timer");
}

#[test]
fn f21_a_panic_in_on_writable_ends_its_stream_only() {
    ends_its_stream_only("on_writable");
}

#[test]
fn f21_a_panic_in_closed_harms_no_other_stream() {
    let daemon = panics_at("closed").start();
    for _ in 0..3 {
        let mut stream = client::tcp(daemon.tcp("panics"));
        client::expect_echo(&mut stream, b"hello\n");
    }
    daemon
        .log()
        .wait_for("the test plugin panics in closed", SOON);
    assert!(client::echoes(daemon.tcp("plain"), b"hello\n"));
    daemon.stop();
}

#[test]
fn f21_a_panic_in_on_drain_does_not_hold_up_the_stop() {
    let daemon = panics_at("on_drain").start();
    let mut stream = client::tcp(daemon.tcp("panics"));
    client::expect_echo(&mut stream, b"hello\n");
    let log = daemon.log().clone();
    daemon.stop();
    assert!(log.contains("the test plugin panics in on_drain"));
}

#[test]
fn f21_a_panic_over_a_datagram_leaves_the_daemon_whole() {
    let daemon = panics_at("on_datagrams").start();
    let socket = client::udp(daemon.udp("panics"));
    assert_eq!(client::datagram(&socket, b"hello"), b"hello");
    socket.send(b"panic").unwrap();
    daemon
        .log()
        .wait_for("the test plugin panics in on_datagrams", SOON);
    assert!(client::echoes(daemon.tcp("plain"), b"hello\n"));
    assert!(client::echoes(daemon.tcp("panics"), b"hello\n"));
    daemon.stop();
}

#[test]
fn f18_a_panic_in_create_or_check_is_a_refusal() {
    for place in ["create", "check"] {
        let finished = panics_at(place).run();
        finished
            .exits(events::EXIT_CONFIG)
            .prints(&format!("the test plugin panics in {place}"));
    }
}

#[test]
fn f18_a_panic_in_start_ends_the_start() {
    panics_at("start")
        .run()
        .exits(events::EXIT_HOOK)
        .prints("the test plugin panics in start");
}

#[test]
fn f73_a_panic_in_a_hook_of_the_teardown_is_named_and_passed_over() {
    for hook in ["drain", "save_state", "stop", "destroy"] {
        let mut daemon = panics_at(hook).allow_error("hook").start();
        let (_, code) = daemon.timed_stop();
        assert_eq!(code, events::EXIT_HOOK, "{hook}");
        let fits = |event: &polyport_e2e::Event| event.has(events::HOOK_FAILED, "hook", hook);
        let failed = daemon
            .log()
            .wait("the hook that failed is named", SOON, fits);
        assert_eq!(failed.field("instance"), "panics");
        assert!(failed.line.contains("\"plugin\""), "{failed:?}");
        let stopped = |event: &polyport_e2e::Event| {
            event.has(events::INSTANCE_DESTROYED, "instance", "plain")
        };
        daemon
            .log()
            .wait("the other instance was torn down", SOON, stopped);
    }
}
