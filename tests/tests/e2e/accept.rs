//! Faults 38 to 41: a listener that cannot accept goes on, without spinning.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use polyport_e2e::{Daemon, SOON, Signal, TestPlugin, client, process, wait};

fn plain() -> polyport_e2e::Builder {
    Daemon::builder()
        .plugin("plain", &TestPlugin::file("plain"))
        .service("plain", "tcp://127.0.0.1:0", "plain")
}

#[test]
fn f38_out_of_descriptors_is_waited_out_without_spinning() {
    let daemon = plain().set("workers: 2").start();
    let address = daemon.tcp("plain");
    // Descriptors for fewer clients than will connect.
    let limit = process::descriptors(daemon.pid()) + 20;
    let status = Command::new("prlimit")
        .args([
            format!("--pid={}", daemon.pid()),
            format!("--nofile={limit}:{limit}"),
        ])
        .status();
    assert!(status.unwrap().success());

    let mut clients: Vec<TcpStream> = (0..60).map(|_| client::tcp(address)).collect();
    let full = || (process::descriptors(daemon.pid()) >= limit - 2).then_some(());
    wait::until("the descriptors run out", SOON, full);
    client::expect_echo(&mut clients[0], b"who is in is served\n");
    // A first round of failures may be in progress.
    wait::measure(Duration::from_millis(500));
    let share = process::cpu_share(daemon.pid(), Duration::from_secs(2));
    println!(
        "share of one processor while descriptors are out: {:.2} %",
        share * 100.0
    );
    assert!(share < 0.01, "{share}");

    clients.drain(..55);
    for stream in &mut clients {
        client::expect_echo(stream, b"who waited is served\n");
    }
    drop(clients);
    wait::until("service resumes", SOON, || {
        client::echoes(address, b"new\n").then_some(())
    });
    daemon.stop();
}

/// Serves 30 clients while the system call fails again and again.
#[track_caller]
fn survives(call: &str, error: &str) {
    if !process::can_trace() {
        println!("left out: strace cannot trace here");
        return;
    }
    let inject = format!("inject={call}:error={error}:when=1+2");
    let trace = format!("trace={call}");
    let wrapper = [
        "strace",
        "-D",
        "-f",
        "-q",
        "-o",
        "/dev/null",
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    let mut daemon = plain().wrapped(&wrapper).start();
    let address = daemon.tcp("plain");
    for round in 0..30 {
        assert!(
            client::echoes(address, b"hello\n"),
            "{error}, client {round}"
        );
    }
    assert!(daemon.is_alive());
    daemon.stop();
}

#[test]
fn f38_accept_fails_with_emfile_every_other_time() {
    survives("accept4", "EMFILE");
}

#[test]
fn f39_accept_fails_with_enobufs_every_other_time() {
    survives("accept4", "ENOBUFS");
}

#[test]
fn f40_accept_fails_with_econnaborted_every_other_time() {
    survives("accept4", "ECONNABORTED");
}

#[test]
fn f40_accept_is_interrupted_every_other_time() {
    survives("accept4", "EINTR");
}

#[test]
fn f40_accept_fails_with_eproto_every_other_time() {
    survives("accept4", "EPROTO");
}

#[test]
fn f41_a_reset_in_the_accept_queue_is_no_error() {
    let daemon = plain().start();
    let address = daemon.tcp("plain");
    daemon.signal(Signal::SIGSTOP);
    for _ in 0..20 {
        let stream = client::tcp(address);
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    daemon.signal(Signal::SIGCONT);
    for _ in 0..5 {
        assert!(client::echoes(address, b"hello\n"));
    }
    daemon.stop();
}

#[test]
fn one_listener_takes_both_families() {
    let daemon = Daemon::builder()
        .plugin("plain", &TestPlugin::file("plain"))
        .service("plain", "tcp://[::]:0", "plain")
        .start();
    let port = daemon.tcp("plain").port();
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert!(
            client::echoes(address.parse().unwrap(), b"hello\n"),
            "{address}"
        );
    }
    daemon.stop();
}

#[test]
fn an_accepted_connection_of_every_worker_is_served_at_once() {
    let daemon = plain().set("workers: 4").start();
    let mut streams: Vec<TcpStream> = (0..64).map(|_| client::tcp(daemon.tcp("plain"))).collect();
    for stream in &mut streams {
        client::expect_echo(stream, b"hello\n");
    }
    drop(streams);
    daemon.stop();
}
