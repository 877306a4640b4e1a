//! Timeouts of a service: each ends a stream in order, and the log names it.

use std::io::Write as _;
use std::time::{Duration, Instant};

use polyport_e2e::{Daemon, SOON, TestPlugin, client, events, wait};

fn with(plugin: &str, timeouts: &str) -> Daemon {
    Daemon::builder()
        .plugin("svc", &TestPlugin::file(plugin))
        .service_with(
            "svc",
            "tcp://127.0.0.1:0",
            "svc",
            &format!("timeouts: {{{timeouts}}}"),
        )
        .start()
}

/// Every stream ended for this reason.
#[track_caller]
fn ended(daemon: &Daemon, reason: &str) {
    let event = daemon.log().wait_named(events::STREAM_ENDED, SOON);
    assert_eq!(event.field("reason"), reason, "{event:?}");
    assert_eq!(event.field("service"), "svc", "{event:?}");
}

#[test]
fn without_a_first_byte_a_stream_ends() {
    let daemon = with("plain", "first-byte: 300ms");
    let mut stream = client::tcp(daemon.tcp("svc"));
    let begin = Instant::now();
    assert_eq!(client::read_to_end(&mut stream).0, b"");
    assert!(
        begin.elapsed() >= Duration::from_millis(250),
        "{:?}",
        begin.elapsed()
    );
    ended(&daemon, "first-byte");
    daemon.stop();
}

#[test]
fn the_first_byte_is_enough() {
    let daemon = with("plain", "first-byte: 500ms");
    let mut stream = client::tcp(daemon.tcp("svc"));
    client::expect_echo(&mut stream, b"x");
    wait::measure(Duration::from_secs(1));
    client::expect_echo(&mut stream, b"still here\n");
    drop(stream);
    daemon.stop();
}

#[test]
fn an_idle_stream_ends() {
    let daemon = with("plain", "idle: 400ms");
    let mut stream = client::tcp(daemon.tcp("svc"));
    client::expect_echo(&mut stream, b"hello\n");
    let begin = Instant::now();
    client::read_to_end(&mut stream);
    assert!(
        begin.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begin.elapsed()
    );
    ended(&daemon, "idle");
    daemon.stop();
}

#[test]
fn a_stream_that_talks_is_not_idle() {
    let daemon = with("plain", "idle: 1500ms");
    let mut stream = client::tcp(daemon.tcp("svc"));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        client::expect_echo(&mut stream, b"busy\n");
        wait::measure(Duration::from_millis(100));
    }
    drop(stream);
    daemon.stop();
}

#[test]
fn a_peer_that_does_not_read_ends() {
    let daemon = with("download", "write: 500ms");
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"GET 100000000\n").unwrap();
    ended(&daemon, "write");
    drop(stream);
    daemon.stop();
}

#[test]
fn a_life_has_its_bound() {
    let daemon = with("plain", "lifetime: 700ms");
    let mut stream = client::tcp(daemon.tcp("svc"));
    let begin = Instant::now();
    let mut served = 0;
    while stream.write_all(b"x").is_ok()
        && std::io::Read::read(&mut stream, &mut [0; 16]).is_ok_and(|n| n > 0)
    {
        served += 1;
        wait::measure(Duration::from_millis(50));
    }
    assert!(
        served > 0 && begin.elapsed() >= Duration::from_millis(600),
        "{:?}",
        begin.elapsed()
    );
    ended(&daemon, "lifetime");
    daemon.stop();
}

#[test]
fn one_service_has_its_timeouts_and_another_its_own() {
    let daemon = Daemon::builder()
        .plugin("svc", &TestPlugin::file("plain"))
        .service_with("svc", "tcp://127.0.0.1:0", "svc", "timeouts: {idle: 300ms}")
        .service("patient", "tcp://127.0.0.1:0", "svc")
        .start();
    let mut patient = client::tcp(daemon.tcp("patient"));
    client::expect_echo(&mut patient, b"hello\n");
    let mut stream = client::tcp(daemon.tcp("svc"));
    client::expect_echo(&mut stream, b"hello\n");
    client::read_to_end(&mut stream);
    client::expect_echo(&mut patient, b"still here\n");
    drop(patient);
    daemon.stop();
}
