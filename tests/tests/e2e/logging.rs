//! Fault 76: a log without a reader or without space never stops the daemon; and the form of its lines.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use polyport_e2e::{Builder, Daemon, SOON, Signal, Stderr, TestPlugin, client, events, wait};

/// A port that was free a moment ago: without a log the test cannot read the port.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn plain(address: SocketAddr) -> Builder {
    Daemon::builder()
        .plugin("plain", &TestPlugin::file("plain"))
        .service("plain", &format!("tcp://{address}"), "plain")
}

#[track_caller]
fn serves_with(stderr: Stderr) {
    let address = free_address();
    let mut daemon = plain(address).stderr(stderr).spawn();
    wait::until("the daemon serves", SOON, || {
        client::echoes(address, b"hello\n").then_some(())
    });
    for signal in [Signal::SIGUSR1, Signal::SIGHUP] {
        daemon.signal(signal);
        for _ in 0..20 {
            assert!(client::echoes(address, b"hello\n"));
        }
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
}

#[test]
fn f76_a_log_pipe_that_is_closed_does_not_stop_the_daemon() {
    serves_with(Stderr::ClosedPipe);
}

#[test]
fn f76_a_full_disk_under_the_log_does_not_stop_the_daemon() {
    serves_with(Stderr::File(PathBuf::from("/dev/full")));
}

#[test]
fn f76_a_log_without_a_reader_does_not_delay_the_daemon() {
    let address = free_address();
    let (reader, writer) = std::io::pipe().unwrap();
    let filler = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
    let path = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        std::os::fd::AsRawFd::as_raw_fd(&filler)
    );
    let mut daemon = plain(address)
        .stderr(Stderr::File(PathBuf::from(path)))
        .spawn();
    // At level debug every stream is a line: this is more than a pipe holds.
    wait::until("the daemon serves", SOON, || {
        client::echoes(address, b"hello\n").then_some(())
    });
    for round in 0..1500 {
        assert!(client::echoes(address, b"hello\n"), "client {round}");
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    drop(reader);
}

#[test]
fn text_lines_are_for_people_and_json_lines_for_programs() {
    let builder = |format: &str| {
        let plugin = TestPlugin::file("plain");
        let yaml = format!(
            "log: {{format: {format}}}\nplugins: {{plain: {{library: {}}}}}\n\
             services: {{plain: {{listen: tcp://127.0.0.1:0, handler: plain}}}}\n",
            plugin.display()
        );
        Daemon::builder().config(yaml)
    };
    let daemon = builder("json").start();
    let log = daemon.log().clone();
    daemon.stop();
    for event in log.events() {
        assert!(
            !event.level.is_empty() && event.line.starts_with('{'),
            "{}",
            event.line
        );
    }
    let mut daemon = builder("text").spawn();
    let line = daemon.log().wait_for("listening", SOON).line;
    assert!(
        line.contains("INFO") && line.contains("tcp://127.0.0.1:") && line.contains("plain"),
        "{line}"
    );
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    assert!(
        !daemon.log().contains("\u{1b}["),
        "colours are for terminals"
    );
}

#[test]
fn the_end_of_a_stream_is_one_line_with_its_reason() {
    let daemon = plain(free_address()).start();
    assert!(client::echoes(daemon.tcp("plain"), b"hello\n"));
    let event = daemon.log().wait_named(events::STREAM_ENDED, SOON);
    assert_eq!(event.field("service"), "plain");
    assert_eq!(event.field("reason"), "done", "{event:?}");
    assert!(!event.field("stream").is_empty(), "{event:?}");
    daemon.stop();
}
