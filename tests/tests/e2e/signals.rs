//! Faults 71 and 72: signals during start-up and during the stop, and signals that are only logged.

use std::io::Write as _;

use polyport_e2e::{Builder, Daemon, SOON, Signal, TestPlugin, client, events, process, wait};

fn with(plugin: &str, config: &str) -> Builder {
    Daemon::builder()
        .state()
        .plugin_with(
            "svc",
            &TestPlugin::file(plugin),
            &format!("config: {config}"),
        )
        .service("svc", "tcp://127.0.0.1:0", "svc")
}

#[test]
fn f71_term_as_soon_as_signals_are_blocked_is_a_clean_stop() {
    for _ in 0..5 {
        let mut daemon = with("ctor_slow", "{}").spawn();
        wait::until("signals are blocked", SOON, || {
            process::blocks(daemon.pid(), Signal::SIGTERM).then_some(())
        });
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    }
}

#[test]
fn f71_term_while_an_instance_starts_is_a_clean_stop() {
    let mut daemon = with("hooks", "{start: slow}").spawn();
    daemon.log().wait_for("svc start", SOON);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    assert!(
        daemon.log().named(events::READY).is_empty(),
        "it did not become ready first"
    );
    assert!(
        daemon.log().contains("svc stop") && daemon.log().contains("svc destroy"),
        "what started is stopped"
    );
}

#[test]
fn f71_term_while_an_instance_is_not_created_destroys_nothing() {
    let mut daemon = with("hooks", "{create: tardy}").spawn();
    daemon.log().wait_for("svc create", SOON);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    assert!(
        !daemon.log().contains("svc destroy"),
        "destroy follows a create that went well"
    );
}

#[test]
fn f71_hup_during_start_up_is_kept_for_later() {
    let daemon = with("hooks", "{start: slow}").spawn();
    daemon.log().wait_for("svc start", SOON);
    daemon.signal(Signal::SIGHUP);
    daemon
        .log()
        .wait("the verdict", SOON, events::is_good_verdict);
    daemon.log().wait_named(events::READY, SOON);
    assert!(client::echoes(daemon.tcp("svc"), b"hello\n"));
    daemon.stop();
}

#[test]
fn f72_a_second_term_ends_the_grace_at_once() {
    let daemon = with("hooks", "{}")
        .set("drain-timeout: 35s")
        .plugin("lines", &TestPlugin::file("lines"))
        .service("lines", "tcp://127.0.0.1:0", "lines")
        .allow_error("signal")
        .allow_error("forced")
        .allow_error("grace")
        .start();
    let mut stream = client::tcp(daemon.tcp("lines"));
    stream.write_all(b"whole\nhal").unwrap();
    assert_eq!(client::read_line(&mut stream), "whole");
    daemon.signal(Signal::SIGTERM);
    daemon.log().wait_named(events::SHUTDOWN_ANNOUNCED, SOON);
    let mut daemon = daemon;
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_FORCED);
    assert!(took < SOON / 2, "{took:?}");
    assert!(
        daemon.log().contains("svc destroy"),
        "hooks are still called"
    );
}

#[test]
fn f72_a_second_term_does_not_wait_for_a_hook_that_hangs() {
    let daemon = with("hooks", "{stop: hang}")
        .set("drain-timeout: 5s")
        .set("hook-timeout: 35s")
        .allow_error("hook")
        .allow_error("abandoned")
        .allow_error("stopped at once")
        .start();
    daemon.signal(Signal::SIGTERM);
    daemon.log().wait_for("svc stop", SOON);
    let mut daemon = daemon;
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_FORCED);
    assert!(took < SOON / 2, "{took:?}");
}

#[test]
fn int_is_as_good_as_term() {
    let mut daemon = with("hooks", "{}").start();
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    assert_eq!(
        daemon.log().wait_named(events::SIGNAL, SOON).field("name"),
        "INT"
    );
}

#[test]
fn hup_logs_the_outcome_and_a_failed_reload_changes_nothing() {
    let builder = Daemon::builder()
        .plugin("svc", &TestPlugin::file("plain"))
        .service("svc", "tcp://127.0.0.1:0", "svc");
    let good = builder.yaml();
    let daemon = builder
        .allow_error("configuration")
        .allow_error("polyport.yaml")
        .allow_error(events::RELOAD_FAILED)
        .start();
    let file = daemon.dir().join("polyport.yaml");
    let mut stream = client::tcp(daemon.tcp("svc"));
    daemon.hang_up("good", events::is_good_verdict);

    std::fs::write(&file, "services:\n  svc: {listne: []}\n").unwrap();
    let verdict = daemon.hang_up("bad", events::is_bad_verdict);
    println!("{}", verdict.line);
    let fault = daemon.log().wait_for("listne", SOON);
    assert!(fault.line.contains("polyport.yaml:2:9"), "{fault:?}");
    client::expect_echo(&mut stream, b"still served\n");
    assert!(client::echoes(daemon.tcp("svc"), b"and others\n"));

    std::fs::write(&file, good).unwrap();
    daemon.hang_up("good again", events::is_good_verdict);
    drop(stream);
    daemon.stop();
}

#[test]
fn a_storm_of_hup_is_weathered() {
    let daemon = with("hooks", "{}").start();
    for _ in 0..200 {
        daemon.signal(Signal::SIGHUP);
    }
    daemon
        .log()
        .wait("a verdict", SOON, events::is_good_verdict);
    assert!(client::echoes(daemon.tcp("svc"), b"hello\n"));
    daemon.stop();
}

#[test]
fn hup_during_the_stop_does_not_disturb_it() {
    let daemon = with("hooks", "{drain: later}").start();
    daemon.signal(Signal::SIGTERM);
    daemon.log().wait_named(events::SHUTDOWN_ANNOUNCED, SOON);
    let mut daemon = daemon;
    if daemon.is_alive() {
        daemon.signal(Signal::SIGHUP);
    }
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
}

#[test]
fn usr1_is_one_line() {
    let daemon = with("hooks", "{}").start();
    daemon.signal(Signal::SIGUSR1);
    daemon.log().wait_for("USR1", SOON);
    assert!(client::echoes(daemon.tcp("svc"), b"hello\n"));
    let log = daemon.log().clone();
    daemon.stop();
    let events = log.events();
    let lines = events.iter().filter(|event| event.line.contains("USR1"));
    assert_eq!(lines.count(), 1);
}

#[test]
fn a_crash_that_is_sent_ends_it_at_once() {
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        let mut daemon = with("hooks", "{}").start();
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit(SOON), 128 + signal as i32);
    }
}
