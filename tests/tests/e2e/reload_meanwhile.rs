//! Reloads during something else: dials, threads of plugins, busy workers, another reload, a stop.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::thread;

use polyport_e2e::client::Ending;
use polyport_e2e::{
    Builder, Daemon, Event, Place, SOON, Signal, TestPlugin, binaries, client, events, wait,
};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";

/// Waits until so many instances of a name have been destroyed.
#[track_caller]
fn destroyed(daemon: &Daemon, instance: &str, count: usize) {
    wait::until("the old instance is gone", SOON, || {
        let gone = daemon.log().named(events::INSTANCE_DESTROYED);
        let of_it = gone
            .iter()
            .filter(|event| event.field("instance") == instance);
        (of_it.count() == count).then_some(())
    });
}

#[test]
fn a_proxied_stream_stays_with_the_code_that_dialled() {
    let upstream = Daemon::builder().echo().start();
    let dir = TempDir::new().unwrap();
    let relay = TestPlugin::file("relay");
    let place = Place::new(dir.path(), "svc", &relay);
    let config = format!("config: {{port: {}}}", upstream.tcp("echo").port());
    let daemon = Daemon::builder()
        .plugin_with("svc", place.path(), &config)
        .service("svc", TCP, "svc")
        .set("workers: 2")
        .start();
    let mut streams: Vec<_> = (0..8).map(|_| client::tcp(daemon.tcp("svc"))).collect();
    for stream in &mut streams {
        client::expect_echo(stream, b"before\n");
    }
    place.rename(&binaries::sealed(&relay, dir.path()));
    daemon.reload_applied();
    for stream in &mut streams {
        client::expect_echo(stream, b"after\n");
    }
    client::expect_echo(&mut client::tcp(daemon.tcp("svc")), b"new\n");
    drop(streams);
    destroyed(&daemon, "svc", 1);
    daemon.stop();
    upstream.stop();
}

#[test]
fn reload_moves_proxied_streams_together_with_what_they_dialled() {
    let upstream = Daemon::builder().echo().start();
    let dir = TempDir::new().unwrap();
    let relay = |version| {
        TestPlugin::new("relay")
            .define("MOVES")
            .version(version)
            .build()
    };
    let place = Place::new(dir.path(), "svc", &relay(1));
    let config = format!("config: {{port: {}}}", upstream.tcp("echo").port());
    let daemon = Daemon::builder()
        .plugin_with("svc", place.path(), &config)
        .service("svc", TCP, "svc")
        .set("workers: 2")
        .start();
    let mut streams: Vec<_> = (0..8).map(|_| client::tcp(daemon.tcp("svc"))).collect();
    for stream in &mut streams {
        client::expect_echo(stream, b"before\n");
    }
    for version in 2..=4 {
        for stream in &mut streams {
            stream.write_all(b"on its way\n").unwrap();
        }
        place.rename(&relay(version));
        daemon.reload_applied();
        // Nothing keeps the old code: both sides of all eight have moved.
        destroyed(&daemon, "svc", version as usize - 1);
        for stream in &mut streams {
            assert_eq!(client::read_line(stream), "on its way");
            client::expect_echo(stream, b"after\n");
        }
    }
    drop(streams);
    daemon.stop();
    upstream.stop();
}

#[test]
fn threads_of_replaced_code_wake_its_streams_until_they_end() {
    let dir = TempDir::new().unwrap();
    let wake = TestPlugin::file("wake");
    let (place, builder) = Place::with_service(dir.path(), &wake, TCP);
    let daemon = builder.start();
    let mut known = client::tcp(daemon.tcp("svc"));
    known.write_all(b"x").unwrap();
    assert_eq!(client::read_line(&mut known), "all eight");
    let mut quiet = client::tcp(daemon.tcp("svc"));
    quiet.write_all(b"x").unwrap();
    place.rename(&binaries::sealed(&wake, dir.path()));
    daemon.reload_applied();
    assert_eq!(client::read_line(&mut quiet), "all eight");
    let mut new = client::tcp(daemon.tcp("svc"));
    new.write_all(b"x").unwrap();
    assert_eq!(client::read_line(&mut new), "all eight");
    drop((known, quiet));
    destroyed(&daemon, "svc", 1);
    daemon.log().wait_for("svc wakes", SOON);
    new.write_all(b"x").unwrap();
    drop(new);
    daemon.stop();
}

#[test]
fn exclusive_streams_that_cannot_move_end_in_order() {
    let dir = TempDir::new().unwrap();
    let exclusive = |version| {
        let plugin = TestPlugin::new("exclusive").version(version);
        plugin.define("STAYS").build()
    };
    let place = Place::new(dir.path(), "svc", &exclusive(1));
    let lock = dir.path().join("lock").display().to_string();
    let daemon = Daemon::builder()
        .state()
        .plugin_with(
            "svc",
            place.path(),
            &format!("config: {{lock: \"{lock}\"}}"),
        )
        .service("svc", TCP, "svc")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "?"), "v1 1");
    place.rename(&exclusive(2));
    daemon.reload_applied();
    let (rest, ending) = client::read_to_end(&mut stream);
    assert_eq!((rest.len(), ending), (0, Ending::Closed));
    assert_eq!(
        client::ask(&mut client::tcp(daemon.tcp("svc")), "?"),
        "v2 2"
    );
    daemon.log().wait_for("svc v1 closed reason 30", SOON);
    destroyed(&daemon, "svc", 1);
    let log = daemon.log().clone();
    daemon.stop();
    assert!(!log.contains("two hold the lock"));
    assert!(!log.contains("called while frozen"));
}

#[test]
fn a_worker_that_is_busy_for_long_rolls_back_a_reload_that_waits_for_it() {
    let dir = TempDir::new().unwrap();
    let keeper = |version| {
        let plugin = TestPlugin::new("state").version(version);
        plugin.define("STAMPED").build()
    };
    let (place, builder) = Place::with_service(dir.path(), &keeper(1), TCP);
    let daemon = builder
        .state()
        .set("workers: 1")
        .set("hook-timeout: 200ms")
        .plugin("stuck", &TestPlugin::file("stuck"))
        .service("stuck", TCP, "stuck")
        .allow_error("reload failed")
        .start();
    let mut counter = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut counter, "?"), "v1 1");
    let mut napper = client::tcp(daemon.tcp("stuck"));
    client::expect_echo(&mut napper, b"hello\n");
    place.rename(&keeper(2));
    let sleeper = thread::spawn({
        let mut napper = napper.try_clone().unwrap();
        // Each pause is 600 ms; they follow one another until the reload has timed out.
        move || (0..8).for_each(|_| client::expect_echo(&mut napper, b"n"))
    });
    daemon.reload_failed("did not end within");
    sleeper.join().unwrap();
    assert_eq!(client::ask(&mut counter, "?"), "v1 2");
    daemon.reload_applied();
    assert_eq!(client::ask(&mut counter, "?"), "v2 3");
    drop((counter, napper));
    daemon.stop();
}

/// An instance whose next `create` takes two seconds if configured so.
fn with_hooks() -> Builder {
    Daemon::builder()
        .state()
        .admin()
        .plugin_with("hooks", &TestPlugin::file("hooks"), "config: {}")
        .service("hooks", TCP, "hooks")
}

/// Begins a reload, and waits until that `create` runs.
#[track_caller]
fn begin_slow_reload(daemon: &mut Daemon) {
    daemon.edit(|draft| {
        draft.plugin(
            "hooks",
            &TestPlugin::file("hooks"),
            "config: {create: slow}",
        )
    });
    daemon.signal(Signal::SIGHUP);
    wait::until("the new instance is being created", SOON, || {
        let events = daemon.log().events();
        let creates = events
            .iter()
            .filter(|event| event.line.contains("svc create"));
        (creates.count() == 2).then_some(())
    });
}

#[test]
fn a_stop_during_a_reload_is_a_clean_stop_of_both_sides() {
    let mut daemon = with_hooks().allow_error("reload failed").start();
    begin_slow_reload(&mut daemon);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    let log = daemon.log().events();
    let count = |text: &str| log.iter().filter(|event| event.line.contains(text)).count();
    assert_eq!(count("svc destroy"), 2, "both instances are destroyed");
    assert_eq!(count("svc stop"), 1, "only what started is stopped");
}

#[test]
fn a_reload_requested_during_another_follows_it() {
    let mut daemon = with_hooks().start();
    begin_slow_reload(&mut daemon);
    daemon.edit(|draft| draft.service("guest", TCP, "hooks", ""));
    daemon.ctl(&["reload"]).exits(0);
    assert!(client::echoes(daemon.tcp("guest"), b"hello\n"));
    let applied = daemon.log().named(events::RELOAD_APPLIED);
    assert_eq!(applied.len(), 2, "{applied:?}");
    daemon.stop();
}

#[test]
fn streams_are_served_while_a_reload_takes_its_time() {
    let mut daemon = with_hooks().start();
    let mut stream = client::tcp(daemon.tcp("hooks"));
    begin_slow_reload(&mut daemon);
    for _ in 0..100 {
        client::expect_echo(&mut stream, b"hello\n");
        assert!(client::echoes(daemon.tcp("hooks"), b"hello\n"));
    }
    assert!(daemon.log().named(events::RELOAD_APPLIED).is_empty());
    daemon.log().wait_named(events::RELOAD_APPLIED, SOON);
    client::expect_echo(&mut stream, b"hello\n");
    drop(stream);
    daemon.stop();
}

#[test]
fn a_configuration_that_is_gone_changes_nothing() {
    let mut daemon = Daemon::builder()
        .echo()
        .allow_error("reload failed")
        .allow_error("configuration")
        .start();
    fs::remove_file(daemon.dir().join("polyport.yaml")).unwrap();
    daemon.reload_failed("polyport.yaml");
    assert!(client::echoes(daemon.tcp("echo"), b"hello\n"));
    daemon.edit(|draft| draft);
    daemon.reload_unchanged();
    daemon.stop();
}

#[test]
fn two_instances_of_one_file_are_swapped_together() {
    let dir = TempDir::new().unwrap();
    let stamp = |version| TestPlugin::new("stamp").version(version).build();
    let place = Place::new(dir.path(), "svc", &stamp(1));
    let daemon = Daemon::builder()
        .plugin("one", place.path())
        .plugin("two", place.path())
        .service("one", TCP, "one")
        .service("two", TCP, "two")
        .start();
    let mut streams = ["one", "two"].map(|name| client::tcp(daemon.tcp(name)));
    for version in 1..5 {
        place.rename(&stamp(version));
        daemon.reload();
        for stream in &mut streams {
            assert_eq!(client::ask(stream, "a"), format!("v{version} a"));
        }
    }
    assert_eq!(daemon.log().named(events::PLUGIN_LOADED).len(), 4);
    drop(streams);
    daemon.stop();
}

#[test]
fn an_address_that_was_given_up_can_be_taken_again_at_once() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("svc.sock");
    // A port of 127.0.0.1 that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("tcp://127.0.0.1:{port}, unix://{}", path.display());
    let mut daemon = Daemon::builder()
        .plugin("lines", &TestPlugin::file("lines"))
        .service("other", TCP, "lines")
        .service("svc", &listen, "lines")
        .start();
    // It stays in the middle of a message, so that its service drains for long.
    let mut leaving = UnixStream::connect(&path).unwrap();
    leaving.write_all(b"whole\nha").unwrap();
    assert_eq!(client::read_line(&mut leaving), "whole");
    for _ in 0..5 {
        daemon.reconfigure(|draft| draft.without_service("svc"));
        assert!(!path.exists());
        daemon.reconfigure(|draft| draft.service("svc", &listen, "lines", ""));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(client::ask(&mut client::tcp(address), "tcp"), "tcp");
        let mut stream = UnixStream::connect(&path).expect("the file is there");
        stream.write_all(b"unix\n").unwrap();
        assert_eq!(client::read_line(&mut stream), "unix");
    }
    leaving.write_all(b"lf\n").unwrap();
    assert_eq!(client::read_line(&mut leaving), "half");
    drop(leaving);
    let is_failed = |event: &Event| event.is(events::RELOAD_FAILED);
    assert!(!daemon.log().events().iter().any(is_failed));
    daemon.stop();
}

#[test]
fn the_log_level_changes_with_a_reload() {
    let mut daemon = Daemon::builder().echo().admin().start();
    let all = daemon.draft();
    let quiet = all.yaml().replace("level: debug", "level: error");
    daemon.edit(|draft| draft.whole(quiet));
    daemon.ctl(&["reload"]).exits(0);
    let seen = daemon.log().events().len();
    for _ in 0..5 {
        assert!(client::echoes(daemon.tcp("echo"), b"hello\n"));
    }
    daemon.edit(|_| all);
    daemon.ctl(&["reload"]).exits(0);
    assert!(client::echoes(daemon.tcp("echo"), b"hello\n"));
    let ended = |event: &Event| event.is(events::STREAM_ENDED);
    daemon.next_event(seen, "the last stream is told of", ended);
    let told = daemon.log().events().into_iter().skip(seen).filter(ended);
    assert!(told.count() < 3, "streams were told of while it was quiet");
    daemon.stop();
}
