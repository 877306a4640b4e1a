//! Stopping under load: two hundred streams with enough grace and with too little, and workers that are stuck.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use polyport_e2e::client::Ending;
use polyport_e2e::{
    Builder, Daemon, SOON, Signal, TestPlugin, client, events, pattern, process, wait,
};
use socket2::{Domain, Socket, Type};

const DOWNLOADS: usize = 100;
const OTHERS: usize = 50;
const LENGTH: usize = 5_000_000;

/// A client with a small buffer, so that most of its answer waits in the daemon.
fn small(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(65_536).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON * 2)).unwrap();
    stream
}

/// The 200 streams: downloads that are not read yet, incomplete requests, and idle streams.
struct Crowd {
    downloads: Vec<TcpStream>,
    halves: Vec<TcpStream>,
    idle: Vec<TcpStream>,
}

impl Crowd {
    fn connect(address: SocketAddr) -> Self {
        let ask = |request: &str| {
            let mut stream = small(address);
            stream.write_all(request.as_bytes()).unwrap();
            stream
        };
        let mut crowd = Self {
            downloads: (0..DOWNLOADS)
                .map(|_| ask(&format!("GET {LENGTH}\n")))
                .collect(),
            halves: (0..OTHERS).map(|_| ask("GET 10")).collect(),
            idle: (0..OTHERS).map(|_| small(address)).collect(),
        };
        // Each download has begun, and each idle stream has been served once.
        for stream in &mut crowd.downloads {
            let mut first = [0];
            stream.peek(&mut first).unwrap();
        }
        for stream in &mut crowd.idle {
            assert_eq!(client::exchange(stream, b"GET 1\n", 1), [pattern::byte(0)]);
        }
        crowd
    }
}

fn downloads(plugin: TestPlugin, grace: &str) -> Builder {
    Daemon::builder()
        .set("workers: 2")
        .set(format!("drain-timeout: {grace}"))
        .plugin("download", &plugin.build())
        .service("download", "tcp://127.0.0.1:0", "download")
}

/// Reads a stream to its end, a piece at a time; returns whether it was complete, and how it ended.
fn read_slowly(
    stream: &mut TcpStream,
    whole: &[u8],
    pause: Duration,
) -> (usize, bool, Option<Ending>) {
    let mut at = 0;
    let mut good = true;
    let mut part = [0; 65_536];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return (at, good, Some(Ending::Closed)),
            Ok(n) => {
                good &= whole.get(at..at + n) == Some(&part[..n]);
                at += n;
                wait::measure(pause);
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return (at, good, Some(Ending::Reset));
            }
            Err(_) => return (at, good, None),
        }
    }
}

fn with_enough_grace(plugin: TestPlugin, goodbye: &[u8]) {
    let daemon = downloads(plugin, "35s").start();
    let mut crowd = Crowd::connect(daemon.tcp("download"));
    let whole: Vec<u8> = (0..LENGTH as u64).map(pattern::byte).collect();
    daemon.signal(Signal::SIGTERM);
    daemon.log().wait_named(events::SHUTDOWN_ANNOUNCED, SOON);
    thread::scope(|scope| {
        for stream in &mut crowd.downloads {
            let whole = &whole;
            scope.spawn(move || {
                let end = read_slowly(stream, whole, Duration::from_millis(5));
                assert_eq!(end, (LENGTH, true, Some(Ending::Closed)));
            });
        }
        for stream in &mut crowd.halves {
            stream.write_all(b"00\n").unwrap();
        }
        for stream in &mut crowd.halves {
            let (answer, ending) = client::read_to_end(stream);
            assert!(answer == whole[..1000], "{} bytes", answer.len());
            assert_eq!(ending, Ending::Closed);
        }
        for stream in &mut crowd.idle {
            assert_eq!(
                client::read_to_end(stream),
                (goodbye.to_vec(), Ending::Closed)
            );
        }
    });
    let mut daemon = daemon;
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    daemon.log().wait_named(events::DRAIN_FINISHED, SOON);
}

#[test]
fn two_hundred_streams_with_enough_grace_end_whole() {
    with_enough_grace(TestPlugin::new("download"), b"");
}

#[test]
fn two_hundred_streams_of_a_handler_that_says_goodbye_end_whole() {
    let plugin = TestPlugin::new("download")
        .called("download_drain")
        .define("WITH_DRAIN");
    let daemon = downloads(plugin, "35s").start();
    let mut stream = client::tcp(daemon.tcp("download"));
    client::exchange(&mut stream, b"GET 100\n", 100);
    daemon.stop();
    assert_eq!(
        client::read_to_end(&mut stream),
        (b"bye\n".to_vec(), Ending::Closed)
    );
}

#[test]
fn f74_two_hundred_streams_with_too_little_grace_are_closed_at_its_end() {
    const GRACE: Duration = Duration::from_secs(2);
    let daemon = downloads(TestPlugin::new("download"), "2s")
        .allow_error("grace")
        .allow_error("forced")
        .start();
    let mut crowd = Crowd::connect(daemon.tcp("download"));
    let whole: Vec<u8> = (0..LENGTH as u64).map(pattern::byte).collect();
    let begin = Instant::now();
    daemon.signal(Signal::SIGTERM);
    let mut daemon = daemon;
    thread::scope(|scope| {
        let readers: Vec<_> = crowd
            .downloads
            .iter_mut()
            .map(|stream| scope.spawn(|| read_slowly(stream, &whole, Duration::from_millis(400))))
            .collect();
        for stream in &mut crowd.idle {
            assert_eq!(client::read_to_end(stream), (Vec::new(), Ending::Closed));
        }
        assert!(
            begin.elapsed() < GRACE + SOON / 4,
            "idle streams end at once: {:?}",
            begin.elapsed()
        );
        for stream in &mut crowd.halves {
            assert_eq!(client::read_to_end(stream).0, b"");
        }
        assert_eq!(daemon.wait_exit(SOON), events::EXIT_FORCED);
        assert!(begin.elapsed() >= GRACE, "{:?}", begin.elapsed());
        for reader in readers {
            let (came, good, ending) = reader.join().unwrap();
            assert!(
                good && came < LENGTH && ending.is_some(),
                "{came} bytes, good {good}, {ending:?}"
            );
        }
    });
    let ended = daemon.log().wait_named(events::GRACE_ENDED, SOON);
    let streams: usize = ended.field("streams").parse().expect("a count");
    assert!(
        (OTHERS..=OTHERS + DOWNLOADS).contains(&streams),
        "{streams} streams were left"
    );
}

#[test]
fn f74_half_a_message_is_waited_for_and_then_closed_in_order() {
    let daemon = Daemon::builder()
        .plugin("lines", &TestPlugin::file("lines"))
        .service("lines", "tcp://127.0.0.1:0", "lines")
        .set("drain-timeout: 700ms")
        .allow_error("grace")
        .start();
    let mut stream = client::tcp(daemon.tcp("lines"));
    stream.write_all(b"whole\nhal").unwrap();
    assert_eq!(client::read_line(&mut stream), "whole");
    let mut daemon = daemon;
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_FORCED);
    assert!(took >= Duration::from_millis(650), "{took:?}");
    client::read_to_end(&mut stream);
    assert_eq!(
        daemon
            .log()
            .wait_named(events::GRACE_ENDED, SOON)
            .field("streams"),
        "1"
    );
}

#[test]
fn f75_with_every_worker_stuck_the_daemon_still_ends_in_time() {
    let daemon = Daemon::builder()
        .set("workers: 2")
        .set("drain-timeout: 1s")
        .set("hook-timeout: 1s")
        .plugin("stuck", &TestPlugin::file("stuck"))
        .service("stuck", "tcp://127.0.0.1:0", "stuck")
        .allow_error("")
        .start();
    let address = daemon.tcp("stuck");
    let mut streams = Vec::new();
    // One at a time, so that the second is not behind the first on one worker.
    for (letter, expected) in [(b"B", 1), (b"S", 2)] {
        let mut stream = client::tcp(address);
        stream.write_all(letter).unwrap();
        streams.push(stream);
        wait::until("one more callback is stuck", SOON, || {
            (daemon.log().named(events::CALLBACK_STUCK).len() >= expected).then_some(())
        });
    }
    let mut daemon = daemon;
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_FORCED);
    assert!(took < Duration::from_secs(8), "{took:?}");
    let last: Vec<_> = daemon
        .log()
        .events()
        .into_iter()
        .skip_while(|event| !event.is(events::SIGNAL))
        .collect();
    assert!(
        last.iter().any(|event| event.line.contains("stuck")),
        "the plugin is named after the signal"
    );
}

#[test]
fn f75_with_its_only_worker_busy_the_daemon_handles_signals() {
    let daemon = Daemon::builder()
        .set("workers: 1")
        .set("drain-timeout: 30s")
        .set("hook-timeout: 500ms")
        .plugin("stuck", &TestPlugin::file("stuck"))
        .service("stuck", "tcp://127.0.0.1:0", "stuck")
        .allow_error("")
        .start();
    let mut stream = client::tcp(daemon.tcp("stuck"));
    stream.write_all(b"B").unwrap();
    daemon.log().wait_named(events::CALLBACK_STUCK, SOON);
    daemon.signal(Signal::SIGUSR1);
    daemon.log().wait_for("USR1", SOON);
    daemon.signal(Signal::SIGTERM);
    daemon.log().wait_named(events::SHUTDOWN_ANNOUNCED, SOON);
    let mut daemon = daemon;
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_FORCED);
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn no_connection_is_accepted_after_the_stop_has_begun() {
    let daemon = downloads(TestPlugin::new("download"), "20s").start();
    let address = daemon.tcp("download");
    let mut stream = small(address);
    stream.write_all(b"GET 10").unwrap();
    daemon.signal(Signal::SIGTERM);
    daemon.log().wait_named(events::LISTENER_CLOSED, SOON);
    let refused = || {
        TcpStream::connect_timeout(&address, SOON)
            .is_err()
            .then_some(())
    };
    wait::until("new connections are refused", SOON, refused);
    assert!(!process::tcp_listens(address.port()));
    assert_eq!(client::exchange(&mut stream, b"0\n", 100).len(), 100);
    let mut daemon = daemon;
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
}

#[test]
fn a_quiet_stop_is_quick() {
    let mut daemon = downloads(TestPlugin::new("download"), "30s").start();
    let _idle: Vec<TcpStream> = (0..20)
        .map(|_| client::tcp(daemon.tcp("download")))
        .collect();
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_CLEAN);
    assert!(took < SOON / 2, "{took:?}");
}

#[test]
fn the_address_can_be_bound_again_at_once() {
    let daemon = downloads(TestPlugin::new("download"), "30s").start();
    let address = daemon.tcp("download");
    let mut stream = client::tcp(address);
    client::exchange(&mut stream, b"GET 5\n", 5);
    daemon.stop();
    let daemon = Daemon::builder()
        .plugin("download", &TestPlugin::file("download"))
        .service("download", &format!("tcp://{address}"), "download")
        .start();
    client::exchange(&mut client::tcp(address), b"GET 5\n", 5);
    daemon.stop();
}
