//! Drains: by the handler, by a deadline, paced; of a listener, a service, an instance.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use polyport_e2e::client::Ending;
use polyport_e2e::{Builder, Daemon, SOON, Signal, TestPlugin, client, events, process, wait};

const TCP: &str = "tcp://127.0.0.1:0";

/// A service that writes `bye` when it is drained.
fn polite() -> Builder {
    let plugin = TestPlugin::new("stamp").define("GOODBYE").build();
    Daemon::builder()
        .plugin("polite", &plugin)
        .service("svc", TCP, "polite")
        .service("other", TCP, "polite")
}

#[track_caller]
fn served(address: SocketAddr) -> TcpStream {
    let mut stream = client::tcp(address);
    stream.write_all(b"hello\n").unwrap();
    assert_eq!(client::read_line(&mut stream), "v1 hello");
    stream
}

#[track_caller]
fn reads_goodbye(stream: &mut TcpStream) {
    let (rest, ending) = client::read_to_end(stream);
    assert_eq!(
        (String::from_utf8_lossy(&rest).as_ref(), ending),
        ("bye\n", Ending::Closed)
    );
}

#[track_caller]
fn still_serves(stream: &mut TcpStream) {
    stream.write_all(b"still here\n").unwrap();
    assert_eq!(client::read_line(stream), "v1 still here");
}

#[test]
fn streams_of_a_removed_service_are_drained() {
    let mut daemon = polite().start();
    let (mut stream, mut bystander) = (served(daemon.tcp("svc")), served(daemon.tcp("other")));
    daemon.reconfigure(|draft| draft.without_service("svc"));
    reads_goodbye(&mut stream);
    still_serves(&mut bystander);
    drop(bystander);
    daemon.stop();
}

#[test]
fn streams_of_a_removed_listener_are_drained() {
    let dir = tempfile::TempDir::new().unwrap();
    let unix = format!("unix://{}", dir.path().join("svc.sock").display());
    let mut daemon = polite()
        .service("svc", &format!("{TCP}, {unix}"), "polite")
        .start();
    let mut stream = served(daemon.tcp("svc"));
    let mut other = std::os::unix::net::UnixStream::connect(dir.path().join("svc.sock")).unwrap();
    other.write_all(b"hello\n").unwrap();
    assert_eq!(client::read_line(&mut other), "v1 hello");
    daemon.reconfigure(|draft| draft.service("svc", TCP, "polite", ""));
    assert_eq!(client::read_to_end(&mut other).0, b"bye\n");
    assert!(!dir.path().join("svc.sock").exists(), "its file is gone");
    still_serves(&mut stream);
    drop(stream);
    daemon.stop();
}

#[test]
fn streams_that_move_are_not_drained() {
    let dir = tempfile::TempDir::new().unwrap();
    let plugin = |version| {
        TestPlugin::new("stamp")
            .version(version)
            .define("GOODBYE")
            .build()
    };
    let place = polyport_e2e::Place::new(dir.path(), "svc", &plugin(1));
    let daemon = Daemon::builder()
        .plugin("svc", place.path())
        .service("svc", TCP, "svc")
        .start();
    let mut stream = served(daemon.tcp("svc"));
    place.rename(&plugin(2));
    daemon.reload_applied();
    stream.write_all(b"who\n").unwrap();
    assert_eq!(client::read_line(&mut stream), "v2 who");
    drop(stream);
    daemon.stop();
}

#[test]
fn half_a_message_is_waited_for_until_the_grace_of_its_service_ends() {
    let mut daemon = Daemon::builder()
        .plugin("lines", &TestPlugin::file("lines"))
        .service_with("lines", TCP, "lines", "timeouts: {drain: 1s}")
        .service("other", TCP, "lines")
        .allow_error("forced")
        .start();
    let address = daemon.tcp("lines");
    let mut patient = client::tcp(address);
    let mut hopeless = client::tcp(address);
    for stream in [&mut patient, &mut hopeless] {
        stream.write_all(b"whole\nha").unwrap();
        assert_eq!(client::read_line(stream), "whole");
    }
    let begin = Instant::now();
    daemon.reconfigure(|draft| draft.without_service("lines"));
    patient.write_all(b"lf\n").unwrap();
    let (answer, ending) = client::read_to_end(&mut patient);
    assert_eq!((answer, ending), (b"half\n".to_vec(), Ending::Closed));
    client::read_to_end(&mut hopeless);
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < SOON / 2, "{took:?}");
    daemon.stop();
}

#[test]
fn a_service_is_drained_by_hand_and_comes_back_with_the_next_reload() {
    let daemon = polite().admin().start();
    let address = daemon.tcp("svc");
    let (mut stream, mut bystander) = (served(address), served(daemon.tcp("other")));
    daemon.ctl(&["drain", "svc", "--wait"]).exits(0);
    reads_goodbye(&mut stream);
    assert!(!process::tcp_listens(address.port()));
    let status = daemon.listing("status").to_string();
    assert!(status.contains("\"drained\":[\"svc\"]"), "{status}");
    still_serves(&mut bystander);
    daemon.reload_applied();
    wait::until("it listens again", SOON, || {
        let listening = daemon.log().named(events::LISTENING);
        let last = listening
            .iter()
            .rfind(|event| event.field("service") == "svc")?;
        let address: SocketAddr = last.field("address").strip_prefix("tcp://")?.parse().ok()?;
        process::tcp_listens(address.port()).then(|| served(address))
    });
    drop(bystander);
    daemon.stop();
}

#[test]
fn a_drain_of_a_service_with_datagrams_is_waited_for() {
    let plugin = |name: &str| (name.to_owned(), TestPlugin::file(name));
    let kinds = [plugin("datagrams"), plugin("flows")];
    let echo = ("echo".to_owned(), polyport_e2e::binaries::bundled("echo"));
    for (name, plugin) in kinds.into_iter().chain([echo]) {
        let daemon = Daemon::builder()
            .plugin(&name, &plugin)
            .service("svc", "udp://127.0.0.1:0", &name)
            .admin()
            .start();
        let socket = client::udp(daemon.udp("svc"));
        assert!(!client::datagram(&socket, b"hello").is_empty());
        daemon.ctl(&["drain", "svc", "--wait"]).exits(0);
        let status = daemon.listing("status");
        assert_eq!(status["drained"].to_string(), "[\"svc\"]");
        daemon.stop();
    }
}

#[test]
fn an_instance_is_drained_by_hand_with_all_its_services() {
    let daemon = polite()
        .plugin("echo", &polyport_e2e::binaries::bundled("echo"))
        .service("echo", TCP, "echo")
        .admin()
        .start();
    let mut streams = [served(daemon.tcp("svc")), served(daemon.tcp("other"))];
    let mut bystander = client::tcp(daemon.tcp("echo"));
    client::expect_echo(&mut bystander, b"hello\n");
    daemon.ctl(&["drain", "polite", "--wait"]).exits(0);
    streams.iter_mut().for_each(reads_goodbye);
    daemon.log().wait_named(events::INSTANCE_DESTROYED, SOON);
    client::expect_echo(&mut bystander, b"still here\n");
    drop(bystander);
    drop(streams);
    daemon.stop();
}

#[test]
fn an_unknown_name_cannot_be_drained() {
    let daemon = polite().admin().start();
    let finished = daemon.ctl(&["drain", "nobody"]);
    assert_ne!(finished.code, 0);
    finished.prints("nobody");
    daemon.stop();
}

#[test]
fn many_drains_are_paced() {
    const MANY: usize = 800;
    let mut daemon = polite().set("workers: 1").set("drain-timeout: 10s").start();
    let mut streams: Vec<TcpStream> = (0..MANY).map(|_| served(daemon.tcp("svc"))).collect();
    let begin = Instant::now();
    daemon.edit(|draft| draft.without_service("svc"));
    daemon.signal(Signal::SIGHUP);
    for stream in &mut streams {
        reads_goodbye(stream);
    }
    let took = begin.elapsed();
    // 64 at once, the others over 0.8 s.
    assert!(took >= Duration::from_millis(600), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    daemon
        .log()
        .wait("the verdict", SOON, events::is_reload_verdict);
    daemon.stop();
}

#[test]
fn few_drains_run_at_once() {
    let mut daemon = polite().set("drain-timeout: 10s").start();
    let mut streams: Vec<TcpStream> = (0..40).map(|_| served(daemon.tcp("svc"))).collect();
    daemon.reconfigure(|draft| draft.without_service("svc"));
    let begin = Instant::now();
    for stream in &mut streams {
        reads_goodbye(stream);
    }
    assert!(begin.elapsed() < SOON / 4, "{:?}", begin.elapsed());
    daemon.stop();
}

#[test]
fn drain_counts_streams_and_no_datagram_sockets() {
    let mut daemon = Daemon::builder().echo().start();
    let mut stream = client::tcp(daemon.tcp("echo"));
    client::expect_echo(&mut stream, b"here\n");
    daemon.signal(Signal::SIGTERM);
    let announced = daemon.log().wait_named(events::SHUTDOWN_ANNOUNCED, SOON);
    assert_eq!(announced.field("streams"), "1");
    assert_eq!(daemon.wait_exit(SOON), 0);
}
