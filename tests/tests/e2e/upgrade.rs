//! The hand-over to another executable: no connection is refused, reset or lost, and the service manager follows.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use polyport_e2e::load::Load;
use polyport_e2e::upgrade::{NewProcess, Program};
use polyport_e2e::{
    Builder, Daemon, Manager, Passed, Place, SOON, Signal, TestPlugin, client, events, wait,
};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";

/// A daemon whose executable can be replaced.
pub(crate) fn program() -> (TempDir, Program, Builder) {
    let dir = TempDir::new().unwrap();
    let program = Program::new(dir.path());
    let builder = Daemon::builder().program(program.path());
    (dir, program, builder)
}

/// It has handed over and ends in order.
#[track_caller]
pub(crate) fn old_ends(daemon: &mut Daemon) {
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
}

/// How many hand-overs: a short form, or `$POLYPORT_UPGRADES`.
fn upgrades() -> usize {
    let wanted = std::env::var("POLYPORT_UPGRADES");
    wanted.map_or(5, |wanted| wanted.parse().unwrap())
}

#[test]
fn f77_hand_overs_under_load_lose_nothing() {
    let (_dir, program, builder) = program();
    let mut daemon = builder
        .quiet()
        .echo()
        .set("drain-timeout: 120s")
        .set("stop-timeout: 140s")
        .start();
    let mut load = Load::start(&format!(
        "--tcp {} --udp {} --connect 32 --hold 100 --ping-every 50ms --rate 3000 --sources 40",
        daemon.tcp("echo"),
        daemon.udp("echo")
    ));
    load.ready();
    let mut new_processes: Vec<NewProcess> = Vec::new();
    for round in 0..upgrades() {
        let seen = daemon.log().events().len();
        let verdict = if round % 2 == 0 {
            program.upgrade();
            daemon.hup(new_processes.last())
        } else {
            daemon.usr2(new_processes.last())
        };
        new_processes.push(daemon.handed_over(seen, &verdict));
        // Streams too, which belong to the first process.
        load.ready();
    }
    let counted = load.stop();
    println!("{}", counted.report["total"]);
    counted
        .is_clean()
        .has_at_least("connects.ok", 500)
        .has_at_least("pings.answered", 1000)
        .has_at_least("datagrams.answered", 1000);
    // They end with the last stream, each before its new process.
    old_ends(&mut daemon);
    let last = new_processes.pop().unwrap();
    for new_process in &new_processes {
        assert_eq!(new_process.wait_exit(), events::EXIT_CLEAN);
    }
    last.stop();
}

/// Each process has code of its own version, so that an answer identifies its process.
#[test]
fn no_new_connection_is_answered_by_the_old_process() {
    let (dir, _program, builder) = program();
    let stamp = |version: u64| {
        let version = u32::try_from(version).unwrap();
        TestPlugin::new("stamp").version(version).build()
    };
    let last = u64::try_from(upgrades()).unwrap() + 1;
    for version in 1..=last {
        assert!(
            stamp(version).exists(),
            "compiled before anything is measured"
        );
    }
    let place = Place::new(dir.path(), "stamp", &stamp(1));
    let mut daemon = builder
        .quiet()
        .set("drain-timeout: 120s")
        .set("stop-timeout: 140s")
        .plugin("stamp", place.path())
        .service("lines", TCP, "stamp")
        .service("datagrams", "udp://127.0.0.1:0", "stamp")
        .start();
    let address = daemon.tcp("lines");
    // One stream keeps each process, so that it could answer.
    let mut streams = vec![client::tcp(address)];
    let mut load = Load::start(&format!(
        "--tcp {address} --udp {} --connect 16 --rate 3000 --sources 40 --reply stamp",
        daemon.udp("datagrams")
    ));
    load.order("generation 1");
    load.ready();
    let mut new_processes: Vec<NewProcess> = Vec::new();
    for version in 2..=last {
        let new_process = load.swap(version, || {
            place.rename(&stamp(version));
            daemon.hand_over(new_processes.last())
        });
        new_processes.push(new_process);
        streams.push(client::tcp(address));
        load.ready();
    }
    let counted = load.stop();
    counted
        .is_clean()
        .has_at_least("connects.ok", 300)
        .has_at_least("datagrams.answered", 500);
    drop(streams);
    old_ends(&mut daemon);
    let last = new_processes.pop().unwrap();
    for new_process in &new_processes {
        assert_eq!(new_process.wait_exit(), events::EXIT_CLEAN);
    }
    last.stop();
}

#[test]
fn a_stream_goes_on_in_the_old_process_until_it_drains() {
    let (_dir, _program, builder) = program();
    let mut daemon = builder.echo().set("drain-timeout: 4s").start();
    let address = daemon.tcp("echo");
    let mut stream = client::tcp(address);
    client::expect_echo(&mut stream, b"before");
    let new_process = daemon.hand_over(None);
    for _ in 0..10 {
        client::expect_echo(&mut stream, b"after");
    }
    assert!(daemon.is_alive());
    assert!(client::echoes(address, b"in the new process"));
    // Half of the grace later an idle stream of this handler is closed in order.
    let (rest, _) = client::read_to_end(&mut stream);
    assert!(rest.is_empty());
    old_ends(&mut daemon);
    assert!(client::echoes(address, b"still"));
    new_process.stop();
}

#[test]
fn the_new_process_ends_with_the_rest_of_the_old_one() {
    let (_dir, _program, builder) = program();
    let mut daemon = builder.echo().set("drain-timeout: 30s").start();
    let mut stream = client::tcp(daemon.tcp("echo"));
    client::expect_echo(&mut stream, b"before");
    let new_process = daemon.hand_over(None);
    client::expect_echo(&mut stream, b"after");
    new_process.signal(Signal::SIGTERM);
    old_ends(&mut daemon);
    assert_eq!(new_process.wait_exit(), events::EXIT_CLEAN);
    let (rest, _) = client::read_to_end(&mut stream);
    assert!(rest.is_empty());
}

#[test]
fn polyportctl_shows_which_process_serves() {
    let (_dir, program, builder) = program();
    let mut daemon = builder.echo().admin().start();
    let old = daemon.listing("status")["pid"].as_u64().unwrap();
    daemon.ctl(&["reload"]).exits(0).prints("unchanged");
    program.upgrade();
    daemon.ctl(&["plan"]).exits(0).prints("executable");
    daemon
        .ctl(&["reload", "--confirm", "60s"])
        .exits(1)
        .prints("--confirm");
    let reloaded = daemon.ctl(&["reload"]);
    reloaded.exits(0).prints("handed over to process");
    old_ends(&mut daemon);
    let new = daemon.listing("status")["pid"].as_u64().unwrap();
    assert_ne!(old, new);
    let said = format!("handed over to process {new}");
    reloaded.prints(&said);
    // The running file is the one at the path again.
    daemon.ctl(&["reload"]).exits(0).prints("unchanged");
    let new_process = nix::unistd::Pid::from_raw(i32::try_from(new).unwrap());
    nix::sys::signal::kill(new_process, Signal::SIGTERM).unwrap();
    let path = daemon.admin_socket();
    wait::until("the admin socket goes", SOON, || {
        (!path.exists()).then_some(())
    });
}

#[test]
fn unix_sockets_keep_their_files_and_the_last_process_removes_them() {
    let (dir, _program, builder) = program();
    let path = dir.path().join("echo.sock");
    let listen = format!("unix://{}?mode=0600", path.display());
    let echo = polyport_e2e::binaries::bundled("echo");
    let mut daemon = builder
        .plugin("echo", &echo)
        .service("echo", &listen, "echo")
        .start();
    wait::until("the socket is there", SOON, || path.exists().then_some(()));
    let inode = || std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let before = inode();
    let new_process = daemon.hand_over(None);
    old_ends(&mut daemon);
    assert_eq!(inode(), before);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    client::expect_echo(&mut stream, b"here");
    drop(stream);
    new_process.stop();
    assert!(!path.exists());
}

#[test]
fn the_configuration_is_read_anew() {
    let (_dir, program, builder) = program();
    let mut daemon = builder.echo().service("other", TCP, "echo").start();
    let (kept, gone) = (daemon.tcp("echo"), daemon.tcp("other"));
    daemon.edit(|draft| {
        draft
            .without_service("other")
            .service("third", TCP, "echo", "")
    });
    program.upgrade();
    let seen = daemon.log().events().len();
    let verdict = daemon.hup(None);
    let new_process = daemon.handed_over(seen, &verdict);
    old_ends(&mut daemon);
    assert!(client::echoes(kept, b"kept"));
    assert!(client::echoes(daemon.tcp("third"), b"new"));
    wait::until("nobody listens there", SOON, || {
        TcpStream::connect(gone).is_err().then_some(())
    });
    new_process.stop();
}

#[test]
fn sockets_of_a_unit_go_on_to_the_next_process() {
    let (_dir, _program, builder) = program();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let echo = polyport_e2e::binaries::bundled("echo");
    let mut daemon = builder
        .plugin("echo", &echo)
        .service("echo", "fd://web", "echo")
        .passes(vec![Passed::new("web", socket)])
        .start();
    let first = daemon.hand_over(None);
    old_ends(&mut daemon);
    let second = daemon.hand_over(Some(&first));
    assert_eq!(first.wait_exit(), events::EXIT_CLEAN);
    assert!(client::echoes(address, b"twice"));
    second.stop();
}

#[test]
fn the_manager_is_notified_of_the_new_process_before_its_first_message() {
    let (dir, program, builder) = program();
    let manager = Manager::new();
    let path = dir.path().join("echo.sock");
    let listen = format!("unix://{}", path.display());
    let echo = polyport_e2e::binaries::bundled("echo");
    let mut daemon = builder
        .plugin("echo", &echo)
        .service("echo", &listen, "echo")
        .under(&manager)
        .variable("WATCHDOG_USEC", "1000000")
        .start();
    let (_, seen) = manager.wait_word("READY", 0);
    manager.wait("the socket is kept", 0, |message| {
        message.word("FDSTORE").is_some()
    });
    let kept = manager.kept();
    assert_eq!(kept.len(), 1);
    program.upgrade();
    let log_seen = daemon.log().events().len();
    let verdict = daemon.hup(None);
    let new_process = daemon.handed_over(log_seen, &verdict);
    let (_, reloading) = manager.wait_word("RELOADING", seen);
    let (main, told) = manager.wait_word("MAINPID", reloading);
    assert_eq!(main.number("MAINPID"), Some(u64::from(new_process.pid())));
    let between = &manager.messages()[reloading..told - 1];
    for quiet in ["READY", "FDSTORE", "FDSTOREREMOVE", "STOPPING"] {
        assert!(between.iter().all(|message| message.word(quiet).is_none()));
    }
    let (ready, ready_at) = manager.wait_word("READY", told);
    assert!(ready.word("STATUS").is_some());
    old_ends(&mut daemon);
    // The watchdog goes on, and no message announces a stop or removes a socket.
    manager.wait_word("WATCHDOG", ready_at);
    for lost in ["STOPPING", "FDSTOREREMOVE"] {
        let mut all = manager.messages().into_iter().skip(told);
        assert!(all.all(|message| message.word(lost).is_none()), "{lost}");
    }
    assert_eq!(manager.kept(), kept);
    new_process.stop();
}

#[test]
fn datagrams_wait_for_the_new_process_and_are_answered_once() {
    let (_dir, _program, builder) = program();
    let mut daemon = builder.echo().set("drain-timeout: 10s").start();
    let (tcp, udp) = (daemon.tcp("echo"), daemon.udp("echo"));
    // It keeps the old process alive.
    let mut stream = client::tcp(tcp);
    client::expect_echo(&mut stream, b"before");
    let new_process = daemon.hand_over(None);
    let socket = client::udp(udp);
    for number in 0..200_u32 {
        let text = number.to_be_bytes();
        assert_eq!(client::datagram(&socket, &text), text);
    }
    socket.set_nonblocking(true).unwrap();
    wait::measure(Duration::from_millis(50));
    assert!(socket.recv(&mut [0; 16]).is_err(), "one answer each");
    client::expect_echo(&mut stream, b"after");
    drop(stream);
    old_ends(&mut daemon);
    new_process.stop();
}
