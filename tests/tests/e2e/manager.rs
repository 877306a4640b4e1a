//! Notifications of the service manager: ready, reloading, draining, stopping, and the watchdog.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use polyport_e2e::{Builder, Daemon, Manager, SOON, Signal, TestPlugin, binaries, client, wait};

fn echo(manager: &Manager) -> Builder {
    Daemon::builder().echo().under(manager)
}

/// Nanoseconds of the monotonic clock, as the service manager reads them.
fn now_micros() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(Duration::from(now).as_micros()).unwrap()
}

#[test]
fn it_is_ready_when_its_sockets_answer_and_not_before() {
    let manager = Manager::new();
    let path = manager.dir().join("echo.sock");
    let listen = format!("unix://{}", path.display());
    let daemon = Daemon::builder()
        .plugin("hooks", &TestPlugin::file("hooks"))
        .plugin_with("svc", &TestPlugin::file("hooks"), "config: {start: slow}")
        .plugin("echo", &binaries::bundled("echo"))
        .service("echo", &listen, "echo")
        .state()
        .under(&manager)
        .spawn();
    let (ready, _) = manager.wait_word("READY", 0);
    let mut stream = UnixStream::connect(&path).expect("who is told that it is ready may connect");
    stream.set_read_timeout(Some(SOON)).unwrap();
    client::expect_echo(&mut stream, b"at once");
    assert_eq!(ready.word("READY"), Some("1"));
    assert!(
        ready
            .word("STATUS")
            .is_some_and(|status| !status.is_empty()),
        "{ready}"
    );
    daemon.stop();
}

#[test]
fn a_start_that_fails_is_never_ready() {
    let manager = Manager::new();
    let finished = Daemon::builder()
        .plugin_with("svc", &TestPlugin::file("hooks"), "config: {start: fail}")
        .state()
        .under(&manager)
        .run();
    assert_ne!(finished.code, 0, "{}", finished.text);
    let ready = |message: &polyport_e2e::notify::Message| message.word("READY").is_some();
    assert!(!manager.messages().iter().any(ready));
}

#[test]
fn a_reload_begins_and_ends_for_the_manager_too() {
    let manager = Manager::new();
    let mut daemon = echo(&manager).start();
    let (_, seen) = manager.wait_word("READY", 0);
    let before = now_micros();
    daemon.edit(|draft| {
        draft
            .set("workers: 1")
            .service("again", "tcp://127.0.0.1:0", "echo", "")
    });
    daemon.signal(Signal::SIGHUP);
    let (reloading, seen) = manager.wait_word("RELOADING", seen);
    assert_eq!(reloading.word("RELOADING"), Some("1"));
    let began = reloading
        .number("MONOTONIC_USEC")
        .expect("in the same message");
    let (ready, _) = manager.wait_word("READY", seen);
    assert!((before..=now_micros()).contains(&began));
    assert!(
        ready
            .word("STATUS")
            .is_some_and(|status| !status.is_empty()),
        "{ready}"
    );
    daemon.stop();
}

#[test]
fn a_failed_reload_logs_the_reason() {
    let manager = Manager::new();
    let mut daemon = echo(&manager)
        .allow_error("nonsense")
        .allow_error("configuration")
        .allow_error("reload")
        .start();
    let (_, seen) = manager.wait_word("READY", 0);
    daemon.edit(|draft| draft.set("nonsense: 1"));
    daemon.signal(Signal::SIGHUP);
    let (_, seen) = manager.wait_word("RELOADING", seen);
    let (ready, _) = manager.wait_word("READY", seen);
    let status = ready.word("STATUS").unwrap_or_default();
    assert!(status.contains("nonsense"), "{status}");
    assert!(client::echoes(daemon.tcp("echo"), b"still here"));
    daemon.stop();
}

#[test]
fn a_drain_asks_for_more_time_and_a_stop_is_announced() {
    let manager = Manager::new();
    let mut daemon = Daemon::builder()
        .set("drain-timeout: 30s")
        .plugin("lines", &TestPlugin::file("lines"))
        .service("lines", "tcp://127.0.0.1:0", "lines")
        .under(&manager)
        .variable("WATCHDOG_USEC", "1000000")
        .start();
    let mut stream = client::tcp(daemon.tcp("lines"));
    stream.write_all(b"whole\nhal").unwrap();
    assert_eq!(client::read_line(&mut stream), "whole");
    let (_, seen) = manager.wait_word("READY", 0);
    daemon.signal(Signal::SIGTERM);
    let (stopping, seen) = manager.wait_word("STOPPING", seen);
    assert_eq!(stopping.word("STOPPING"), Some("1"));
    assert!(stopping.word("STATUS").is_some());
    let (extend, _) = manager.wait_word("EXTEND_TIMEOUT_USEC", seen.saturating_sub(1));
    let micros = extend.number("EXTEND_TIMEOUT_USEC").unwrap();
    assert!(micros >= 1_000_000, "{micros}");
    let begin = Instant::now();
    let mut seen = manager.messages().len();
    for _ in 0..4 {
        seen = manager.wait_word("WATCHDOG", seen).1;
    }
    let per_tick = begin.elapsed() / 4;
    assert!(per_tick < Duration::from_secs(1), "{per_tick:?} for each");
    stream.write_all(b"f\n").unwrap();
    assert_eq!(client::read_line(&mut stream), "half");
    drop(stream);
    assert_eq!(daemon.wait_exit(SOON), 0);
}

#[test]
fn the_watchdog_is_fed_while_the_daemon_lives() {
    const LIMIT: Duration = Duration::from_millis(400);
    let manager = Manager::new();
    let daemon = echo(&manager)
        .variable("WATCHDOG_USEC", LIMIT.as_micros().to_string())
        .start();
    let (_, mut seen) = manager.wait_word("READY", 0);
    for _ in 0..5 {
        let (tick, next) = manager.wait_word("WATCHDOG", seen);
        assert_eq!(tick.word("WATCHDOG"), Some("1"));
        seen = next;
    }
    daemon.stop();
}

#[test]
fn a_watchdog_of_another_process_is_none_of_ours() {
    let manager = Manager::new();
    let daemon = echo(&manager)
        .variable("WATCHDOG_USEC", "100000")
        .variable("WATCHDOG_PID", "1")
        .start();
    manager.wait_word("READY", 0);
    wait::measure(Duration::from_millis(500));
    let fed = |message: &polyport_e2e::notify::Message| message.word("WATCHDOG").is_some();
    assert!(!manager.messages().iter().any(fed));
    daemon.stop();
}

#[test]
fn a_manager_that_is_gone_costs_a_warning_and_nothing_else() {
    let daemon = Daemon::builder()
        .echo()
        .variable("NOTIFY_SOCKET", "/no/such/notify")
        .start();
    daemon
        .log()
        .wait_for("the service manager cannot be told", SOON);
    assert!(client::echoes(daemon.tcp("echo"), b"serves"));
    daemon.stop();
}
