//! Byte streams: messages in parts, ends of one direction, slow readers, and one stuck callback.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use polyport_e2e::client::Ending;
use polyport_e2e::pattern::Checker;
use polyport_e2e::{Builder, Daemon, SOON, TestPlugin, client, events, process, wait};

fn with(plugin: &Path) -> Builder {
    Daemon::builder()
        .plugin("svc", plugin)
        .service("svc", "tcp://127.0.0.1:0", "svc")
}

fn serve(name: &str) -> Daemon {
    with(&TestPlugin::file(name)).start()
}

/// Waits for the log line of the end of a stream.
#[track_caller]
fn ended(daemon: &Daemon, reason: &str) {
    let fits = |event: &polyport_e2e::Event| event.has(events::STREAM_ENDED, "reason", reason);
    daemon
        .log()
        .wait(&format!("a stream ended: {reason}"), SOON, fits);
}

#[test]
fn half_a_line_waits_for_its_rest() {
    let daemon = serve("lines");
    let mut stream = client::tcp(daemon.tcp("svc"));
    for part in ["on", "e\ntw", "o\nthree\nfo"] {
        stream.write_all(part.as_bytes()).unwrap();
    }
    assert_eq!(client::read_exactly(&mut stream, 14), b"one\ntwo\nthree\n");
    stream.write_all(b"ur\n").unwrap();
    assert_eq!(client::read_line(&mut stream), "four");
    drop(stream);
    daemon.stop();
}

#[test]
fn every_cut_of_one_input_gives_one_output() {
    const INPUT: &[u8] = b"a\nbb\n\nccc\n";
    let daemon = serve("lines");
    for cut in 0..=INPUT.len() {
        let mut stream = client::tcp(daemon.tcp("svc"));
        let (first, second) = INPUT.split_at(cut);
        stream.write_all(first).unwrap();
        stream.write_all(second).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            client::read_to_end(&mut stream),
            (INPUT.to_vec(), Ending::Closed),
            "cut at {cut}"
        );
    }
    daemon.stop();
}

#[test]
fn a_message_that_the_peer_cuts_off_is_a_partial_end() {
    let daemon = serve("lines");
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"whole\nhal").unwrap();
    assert_eq!(client::read_line(&mut stream), "whole");
    stream.shutdown(Shutdown::Write).unwrap();
    client::read_to_end(&mut stream);
    daemon.log().wait_for("svc closed reason 15", SOON);
    ended(&daemon, "partial");
    daemon.stop();
}

#[test]
fn a_message_that_never_ends_is_too_large() {
    let daemon = serve("lines");
    let mut stream = client::tcp(daemon.tcp("svc"));
    let part = vec![b'x'; 1 << 16];
    // The daemon closes somewhere past 1 MiB; bytes in flight then may be refused.
    for _ in 0..64 {
        if stream.write_all(&part).is_err() {
            break;
        }
    }
    daemon.log().wait_for("svc closed reason 14", SOON);
    ended(&daemon, "too-large");
    drop(stream);
    daemon.stop();
}

#[test]
fn a_handler_is_called_when_the_bytes_that_it_wants_have_come() {
    let daemon = serve("frames");
    let mut stream = client::tcp(daemon.tcp("svc"));
    let frame = |length: u32| [&length.to_be_bytes()[..], &vec![b'x'; length as usize]].concat();
    for byte in frame(40) {
        stream.write_all(&[byte]).unwrap();
    }
    let answer = client::read_line(&mut stream);
    let calls: usize = answer
        .strip_prefix("length 40 calls ")
        .expect(&answer)
        .parse()
        .unwrap();
    assert!(
        calls <= 3,
        "once for the first byte, once for the length, once for the frame: {calls}"
    );
    stream
        .write_all(&[frame(1), frame(0), frame(100_000)].concat())
        .unwrap();
    assert!(client::read_line(&mut stream).starts_with("length 1 "));
    assert!(client::read_line(&mut stream).starts_with("length 0 "));
    assert!(client::read_line(&mut stream).starts_with("length 100000 "));
    drop(stream);
    daemon.stop();
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    let daemon = serve("half_close");
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(&vec![0; 300_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        client::read_to_end(&mut stream),
        (b"300000 bytes\n".to_vec(), Ending::Closed)
    );
    daemon.stop();
}

#[test]
fn a_handler_that_claims_the_impossible_loses_its_stream() {
    let daemon = with(&TestPlugin::file("liar")).service("more", "tcp://127.0.0.1:0", "svc");
    let mut daemon = daemon.allow_error("liar").start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"x").unwrap();
    client::read_to_end(&mut stream);
    ended(&daemon, "plugin-fault");
    assert!(daemon.is_alive());
    daemon.stop();
}

fn download(address: std::net::SocketAddr, length: u64) -> Checker {
    let mut stream = client::tcp(address);
    stream
        .write_all(format!("GET {length}\n").as_bytes())
        .unwrap();
    let mut checker = Checker::default();
    while checker.position < length {
        checker.take(&client::read_exactly(
            &mut stream,
            (length - checker.position).min(65_536) as usize,
        ));
    }
    checker
}

#[test]
fn a_long_answer_comes_whole() {
    let daemon = serve("download");
    for length in [0, 1, 65_536, 20_000_000] {
        assert!(
            download(daemon.tcp("svc"), length).is_whole(length),
            "{length}"
        );
    }
    daemon.stop();
}

#[test]
fn a_peer_that_does_not_read_costs_no_memory() {
    let daemon = serve("download");
    let before = process::resident_kib(daemon.pid());
    let streams: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = client::tcp(daemon.tcp("svc"));
            stream.write_all(b"GET 1000000000\n").unwrap();
            stream
        })
        .collect();
    // Other clients are served as before.
    assert!(download(daemon.tcp("svc"), 5_000_000).is_whole(5_000_000));
    let after = process::resident_kib(daemon.pid());
    assert!(after < before + 20 * 1024, "{before} KiB, then {after} KiB");
    drop(streams);
    daemon.stop();
}

#[test]
fn a_handler_that_never_stops_writing_is_refused() {
    let daemon = with(&TestPlugin::file("flood"))
        .allow_error("flood")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"x").unwrap();
    let event = daemon.log().wait_for("svc flood stopped after", SOON);
    let kib = event
        .line
        .split("after ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let kib: u64 = kib.unwrap().parse().unwrap();
    assert!(kib < 65_536, "{kib} KiB were taken for one stream");
    drop(stream);
    daemon.stop();
}

#[test]
fn a_stuck_callback_is_named_and_delays_no_other_worker() {
    let daemon = with(&TestPlugin::file("stuck"))
        .set("workers: 2")
        .set("drain-timeout: 1s")
        .set("hook-timeout: 1s");
    let mut daemon = daemon.allow_error("stuck").start();
    let address = daemon.tcp("svc");
    let mut stuck = client::tcp(address);
    stuck.write_all(b"S").unwrap();
    let event = daemon.log().wait_named(events::CALLBACK_STUCK, SOON);
    assert!(event.field("plugin").contains("stuck"), "{event:?}");
    assert_eq!(event.field("callback"), "on_data", "{event:?}");
    assert!(
        !event.field("generation").is_empty() && !event.field("about").is_empty(),
        "{event:?}"
    );
    let begin = Instant::now();
    for round in 0..20 {
        assert!(client::echoes(address, b"hello\n"), "client {round}");
    }
    assert!(begin.elapsed() < SOON / 4, "{:?}", begin.elapsed());
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_FORCED);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_callback_that_naps_is_said_once() {
    let daemon = with(&TestPlugin::file("stuck")).set("workers: 1").start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    client::expect_echo(&mut stream, b"nap\n");
    daemon.log().wait_named(events::CALLBACK_STUCK, SOON);
    client::expect_echo(&mut stream, b"x\n");
    drop(stream);
    daemon.stop();
}

#[test]
fn many_streams_at_once_each_get_their_own_bytes() {
    let daemon = with(&TestPlugin::file("plain")).set("workers: 2").start();
    let address = daemon.tcp("svc");
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                let mut streams: Vec<TcpStream> = (0..50).map(|_| client::tcp(address)).collect();
                for round in 0..20 {
                    for (at, stream) in streams.iter_mut().enumerate() {
                        client::expect_echo(stream, format!("{number} {at} {round}\n").as_bytes());
                    }
                }
            });
        }
    });
    daemon.stop();
}

#[test]
fn a_unix_stream_is_served_and_a_stale_socket_replaced() {
    use std::os::unix::net::{UnixListener, UnixStream};
    let builder = Daemon::builder().plugin("svc", &TestPlugin::file("plain"));
    let path = builder.dir().join("svc.sock");
    drop(UnixListener::bind(&path).unwrap());
    let daemon = builder
        .service(
            "svc",
            &format!("unix://{}?mode=0600", path.display()),
            "svc",
        )
        .start();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    client::expect_echo(&mut stream, b"hello\n");
    drop(stream);
    daemon.stop();
    wait::until("the socket goes with the daemon", SOON, || {
        (!path.exists()).then_some(())
    });
}

#[test]
fn a_unix_socket_that_answers_is_left_alone() {
    use std::os::unix::net::UnixListener;
    let builder = Daemon::builder().plugin("svc", &TestPlugin::file("plain"));
    let path = builder.dir().join("svc.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let builder = builder.service("svc", &format!("unix://{}", path.display()), "svc");
    builder.run().exits(events::EXIT_BIND).prints("svc.sock");
    assert!(path.exists());
    drop(listener);
}
