//! A reload that changes the configuration: changes are in force afterwards, and unchanged parts notice nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use polyport_e2e::client::Ending;
use polyport_e2e::{Builder, Daemon, SOON, TestPlugin, client, events, process, wait};

const TCP: &str = "tcp://127.0.0.1:0";

/// A service `svc` that stamps lines with `v1`.
fn stamped() -> Builder {
    Daemon::builder()
        .plugin("svc", &TestPlugin::file("stamp"))
        .service("svc", TCP, "svc")
}

/// A stream that was served once.
#[track_caller]
fn served(address: SocketAddr) -> TcpStream {
    let mut stream = client::tcp(address);
    assert_eq!(client::ask(&mut stream, "hello"), "v1 hello");
    stream
}

/// A port of 127.0.0.1 that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn nothing_new_is_unchanged() {
    let daemon = stamped().start();
    let mut stream = served(daemon.tcp("svc"));
    daemon.reload_unchanged();
    assert_eq!(client::ask(&mut stream, "still here"), "v1 still here");
    assert_eq!(daemon.log().named(events::PLUGIN_LOADED).len(), 1);
    drop(stream);
    daemon.stop();
}

#[test]
fn a_shorter_timeout_applies_to_streams_that_live() {
    let mut daemon = stamped().service("bystander", TCP, "svc").start();
    let (address, other) = (daemon.tcp("svc"), daemon.tcp("bystander"));
    let (mut stream, mut bystander) = (served(address), served(other));
    let socket = process::tcp_listener(address.port());
    daemon.reconfigure(|draft| draft.service("svc", TCP, "svc", "timeouts: {idle: 300ms}"));
    assert_eq!(
        client::read_to_end(&mut stream),
        (Vec::new(), Ending::Closed)
    );
    let ended = daemon.log().wait_named(events::STREAM_ENDED, SOON);
    assert!(ended.field("reason").contains("idle"), "{ended:?}");
    assert_eq!(client::ask(&mut bystander, "untouched"), "v1 untouched");
    assert_eq!(
        process::tcp_listener(address.port()),
        socket,
        "the socket was touched"
    );
    served(address);
    drop(bystander);
    daemon.stop();
}

#[test]
fn a_longer_timeout_spares_streams_that_live() {
    let mut daemon = stamped()
        .service_with("svc", TCP, "svc", "timeouts: {idle: 3s}")
        .start();
    let mut stream = served(daemon.tcp("svc"));
    daemon.reconfigure(|draft| draft.service("svc", TCP, "svc", "timeouts: {idle: 1h}"));
    wait::measure(Duration::from_secs(4));
    assert_eq!(client::ask(&mut stream, "spared"), "v1 spared");
    drop(stream);
    daemon.stop();
}

#[test]
fn a_limit_that_changes_is_counted_with_the_streams_that_live() {
    let mut daemon = stamped()
        .service_with("svc", TCP, "svc", "limits: {streams: 1}")
        .start();
    let address = daemon.tcp("svc");
    let mut first = served(address);
    daemon.reconfigure(|draft| draft.service("svc", TCP, "svc", "limits: {streams: 2}"));
    let second = served(address);
    let mut third = client::tcp(address);
    third
        .set_read_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    third.write_all(b"me too\n").ok();
    let answer = third.read(&mut [0; 16]);
    assert!(!matches!(answer, Ok(1..)), "served over the limit");
    drop(third);
    // A limit below the number of live streams ends none of them.
    daemon.reconfigure(|draft| draft.service("svc", TCP, "svc", "limits: {streams: 1}"));
    assert_eq!(client::ask(&mut first, "still in"), "v1 still in");
    drop((first, second));
    wait::until("a place is free again", SOON, || {
        let mut stream = client::tcp(address);
        stream.write_all(b"now me\n").ok();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).ok()
    });
    daemon.stop();
}

#[test]
fn a_service_comes_and_goes_without_effect_on_another() {
    let mut daemon = stamped().start();
    let mut bystander = served(daemon.tcp("svc"));
    daemon.reconfigure(|draft| {
        draft.service("guest", "tcp://127.0.0.1:0, udp://127.0.0.1:0", "svc", "")
    });
    let (tcp, udp) = (daemon.tcp("guest"), daemon.udp("guest"));
    let mut guest = served(tcp);
    assert_eq!(client::datagram(&client::udp(udp), b"one"), b"v1 one");
    daemon.reconfigure(|draft| draft.without_service("guest"));
    assert_eq!(
        client::read_to_end(&mut guest),
        (Vec::new(), Ending::Closed),
        "an idle stream of a removed service ends in order"
    );
    wait::until("the listener closes", SOON, || {
        (!process::tcp_listens(tcp.port())).then_some(())
    });
    assert_eq!(client::ask(&mut bystander, "untouched"), "v1 untouched");
    drop(bystander);
    daemon.stop();
}

#[test]
fn a_removed_listener_serves_connections_in_its_accept_queue() {
    const QUEUED: usize = 400;
    let mut daemon = stamped()
        .set("workers: 1")
        .plugin("stuck", &TestPlugin::file("stuck"))
        .service("stuck", TCP, "stuck")
        .start();
    let (stuck, address) = (daemon.tcp("stuck"), daemon.tcp("svc"));
    let mut napper = client::tcp(stuck);
    client::expect_echo(&mut napper, b"hello\n");
    // The only worker is busy; meanwhile more clients than one turn accepts queue at a listener that is to be removed.
    napper.write_all(b"n\n").unwrap();
    let mut queued: Vec<TcpStream> = (0..QUEUED)
        .map(|_| {
            let mut stream = client::tcp(address);
            stream.write_all(b"hello\n").unwrap();
            stream
        })
        .collect();
    daemon.reconfigure(|draft| draft.without_service("svc"));
    for stream in &mut queued {
        let (answer, ending) = client::read_to_end(stream);
        assert_eq!(
            (String::from_utf8_lossy(&answer).as_ref(), ending),
            ("v1 hello\n", Ending::Closed)
        );
    }
    drop(napper);
    daemon.stop();
}

#[test]
fn two_services_trade_their_addresses() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (left, right) = (path("left.sock"), path("right.sock"));
    let (one, two) = (free_port(), free_port());
    let listen = |port: u16, path: &str| format!("tcp://127.0.0.1:{port}, unix://{path}");
    let second = TestPlugin::new("stamp").called("other").version(2).build();
    let mut daemon = Daemon::builder()
        .plugin("a", &TestPlugin::file("stamp"))
        .plugin("b", &second)
        .service("a", &listen(one, &left), "a")
        .service("b", &listen(two, &right), "b")
        .start();
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = served(at(one));
    let sockets = [one, two].map(process::tcp_listener);
    daemon.reconfigure(|draft| {
        let draft = draft.service("a", &listen(two, &right), "a", "");
        draft.service("b", &listen(one, &left), "b", "")
    });
    assert_eq!([one, two].map(process::tcp_listener), sockets);
    assert_eq!(client::ask(&mut client::tcp(at(one)), "who"), "v2 who");
    assert_eq!(client::ask(&mut client::tcp(at(two)), "who"), "v1 who");
    for (path, expected) in [(&left, "v2 who"), (&right, "v1 who")] {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(b"who\n").unwrap();
        assert_eq!(client::read_line(&mut stream), expected);
    }
    assert_eq!(
        client::ask(&mut stream, "mine"),
        "v1 mine",
        "a stream stays with its service"
    );
    drop(stream);
    daemon.stop();
}

#[test]
fn a_listener_that_another_service_takes_is_not_opened_anew() {
    let mut daemon = stamped().service("newer", TCP, "svc").start();
    let address = daemon.tcp("svc");
    let socket = process::tcp_listener(address.port());
    let mut stream = served(address);
    daemon.reconfigure(|draft| {
        let draft = draft.without_service("svc");
        draft.service("newer", "tcp://127.0.0.1:0, tcp://127.0.0.1:0", "svc", "")
    });
    assert_eq!(process::tcp_listener(address.port()), socket);
    served(address);
    let (rest, ending) = client::read_to_end(&mut stream);
    assert_eq!(
        (rest.len(), ending),
        (0, Ending::Closed),
        "the streams of a service that is gone drain"
    );
    daemon.stop();
}

#[test]
fn an_address_that_covers_one_in_use_is_refused_with_advice() {
    let port = free_port();
    let listen = |host: &str| format!("tcp://{host}:{port}");
    let mut daemon = Daemon::builder()
        .plugin("svc", &TestPlugin::file("stamp"))
        .service("svc", &listen("127.0.0.1"), "svc")
        .allow_error("reload failed")
        .start();
    let mut stream = served(daemon.tcp("svc"));
    daemon.edit(|draft| draft.service("svc", &listen("0.0.0.0"), "svc", ""));
    let verdict = daemon.reload_failed("0.0.0.0");
    assert!(verdict.field("reason").contains("127.0.0.1"), "{verdict:?}");
    assert_eq!(client::ask(&mut stream, "untouched"), "v1 untouched");
    served(SocketAddr::from(([127, 0, 0, 1], port)));
    drop(stream);
    daemon.stop();
}

#[test]
fn the_mode_of_a_socket_file_changes_in_place() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("svc.sock");
    let listen = |mode: &str| format!("unix://{}?mode={mode}", path.display());
    let mut daemon = Daemon::builder()
        .plugin("svc", &TestPlugin::file("stamp"))
        .service("svc", &listen("0600"), "svc")
        .start();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let mut stream = UnixStream::connect(&path).unwrap();
    assert_eq!(mode(), 0o600);
    daemon.reconfigure(|draft| draft.service("svc", &listen("0666"), "svc", ""));
    assert_eq!(mode(), 0o666);
    stream.write_all(b"hello\n").unwrap();
    assert_eq!(client::read_line(&mut stream), "v1 hello");
    drop(stream);
    daemon.stop();
}

#[test]
fn a_service_gets_another_instance() {
    let second = TestPlugin::new("stamp").called("other").version(2).build();
    let mut daemon = stamped().plugin("other", &second).start();
    let mut stream = served(daemon.tcp("svc"));
    daemon.reconfigure(|draft| draft.service("svc", TCP, "other", ""));
    assert_eq!(
        client::ask(&mut client::tcp(daemon.tcp("svc")), "who"),
        "v2 who"
    );
    assert_eq!(
        client::ask(&mut stream, "who"),
        "v1 who",
        "another handler does not take over"
    );
    drop(stream);
    daemon.stop();
}

/// An instance that answers with the number of its configuration and a count of requests.
fn numbered(flag: &str) -> Daemon {
    let plugin = TestPlugin::new("named").define(flag).build();
    let builder = Daemon::builder().plugin_with("svc", &plugin, "config: {number: 1}");
    let daemon = builder
        .service("svc", TCP, "svc")
        .allow_error("reload failed")
        .start();
    let answer = client::ask(&mut client::tcp(daemon.tcp("svc")), "?");
    assert_eq!(answer, "number 1 asked 1");
    daemon
}

/// Changes the number of that instance in the file, without a reload.
fn renumber(daemon: &mut Daemon, flag: &str, number: u32) {
    let plugin = TestPlugin::new("named").define(flag).build();
    daemon.edit(|draft| draft.plugin("svc", &plugin, &format!("config: {{number: {number}}}")));
}

#[test]
fn an_instance_takes_its_new_configuration_while_it_serves() {
    let mut daemon = numbered("ACCEPTS");
    let mut stream = client::tcp(daemon.tcp("svc"));
    renumber(&mut daemon, "ACCEPTS", 2);
    daemon.reload_applied();
    assert_eq!(
        client::ask(&mut stream, "?"),
        "number 2 asked 2",
        "the same instance"
    );
    assert_eq!(daemon.log().named(events::INSTANCE_CREATED).len(), 1);
    drop(stream);
    daemon.stop();
}

#[test]
fn an_instance_that_declines_a_new_configuration_is_replaced() {
    let mut daemon = numbered("DECLINES");
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "?"), "number 1 asked 2");
    renumber(&mut daemon, "DECLINES", 2);
    daemon.reload_applied();
    assert_eq!(
        client::ask(&mut stream, "?"),
        "number 2 asked 1",
        "another instance"
    );
    daemon.log().wait_named(events::INSTANCE_DESTROYED, SOON);
    assert_eq!(daemon.log().named(events::PLUGIN_LOADED).len(), 1);
    drop(stream);
    daemon.stop();
}

#[test]
fn an_instance_that_refuses_a_new_configuration_undoes_the_reload() {
    let mut daemon = numbered("REFUSES");
    renumber(&mut daemon, "REFUSES", 2);
    daemon.edit(|draft| draft.service("guest", TCP, "svc", ""));
    daemon.reload_failed("the number is as it is");
    let answer = client::ask(&mut client::tcp(daemon.tcp("svc")), "?");
    assert_eq!(answer, "number 1 asked 2");
    let guests = daemon.log().events();
    let guest = |event: &&polyport_e2e::Event| event.has(events::LISTENING, "service", "guest");
    assert!(!guests.iter().any(|event| guest(&event)));
    daemon.stop();
}

#[test]
fn a_reload_that_fails_later_gives_an_instance_its_configuration_back() {
    let mut daemon = numbered("ACCEPTS");
    renumber(&mut daemon, "ACCEPTS", 2);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    daemon.edit(|draft| draft.service("guest", &format!("tcp://127.0.0.1:{port}"), "svc", ""));
    daemon.reload_failed("in use");
    let answer = client::ask(&mut client::tcp(daemon.tcp("svc")), "?");
    assert_eq!(answer, "number 1 asked 2");
    drop(taken);
    daemon.reload_applied();
    let answer = client::ask(&mut client::tcp(daemon.tcp("svc")), "?");
    assert_eq!(answer, "number 2 asked 3");
    daemon.stop();
}
