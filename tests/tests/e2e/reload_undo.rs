//! Rollbacks: instances end in order and once, none vanishes, and no state is in two instances.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use polyport_e2e::{Builder, Daemon, Event, Place, SOON, Signal, TestPlugin, client, events, wait};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";

fn keeps(version: u32) -> TestPlugin {
    TestPlugin::new("state").version(version).define("STAMPED")
}

fn exclusive(version: u32) -> TestPlugin {
    TestPlugin::new("exclusive").version(version)
}

/// `config:` that names a file in a folder, and more.
fn naming(key: &str, dir: &TempDir, more: &str) -> String {
    let path = dir.path().join(key);
    format!("config: {{{key}: \"{}\"{more}}}", path.display())
}

/// A service `svc` whose plugin file can be replaced, and hooks that have a second.
fn placed(dir: &TempDir, plugin: &Path) -> (Place, Builder) {
    let place = Place::new(dir.path(), "svc", plugin);
    let builder = Daemon::builder()
        .admin()
        .set("hook-timeout: 1s")
        .plugin_with("svc", place.path(), &naming("lock", dir, ""))
        .service("svc", TCP, "svc")
        .allow_error("reload failed")
        .allow_error("hook");
    (place, builder)
}

#[track_caller]
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"?").unwrap();
    client::read_line(stream)
}

#[track_caller]
fn asked_anew(daemon: &Daemon) -> String {
    ask(&mut client::tcp(daemon.tcp("svc")))
}

/// Where in the log the first line with this text is.
#[track_caller]
fn place_of(log: &[Event], text: &str) -> usize {
    let found = log.iter().position(|event| event.line.contains(text));
    found.unwrap_or_else(|| panic!("the log does not say `{text}`"))
}

/// The warning of `polyportctl status`, if there is one.
fn warnings(daemon: &Daemon) -> String {
    let status = daemon.listing("status");
    status
        .get("warnings")
        .map_or_else(String::new, ToString::to_string)
}

#[test]
fn an_exclusive_instance_that_gets_another_handler_is_served_by_it() {
    let dir = TempDir::new().unwrap();
    let (_place, builder) = placed(&dir, &exclusive(1).build());
    let mut daemon = builder.start();
    assert_eq!(asked_anew(&daemon), "v1 1");
    daemon.reconfigure(|draft| draft.plugin("svc", &keeps(2).build(), ""));
    assert_eq!(asked_anew(&daemon), "v2 1");
    let services = daemon.listing("services");
    assert_eq!(services["services"][0]["plugin"], "state");
    daemon.stop();
}

/// Sends a byte now and then until the peer has gone.
fn chatter(mut stream: TcpStream) -> thread::JoinHandle<()> {
    stream.set_write_timeout(Some(SOON)).unwrap();
    thread::spawn(move || {
        while stream.write_all(b"x").is_ok() {
            wait::measure(Duration::from_millis(1));
        }
    })
}

#[test]
fn streams_dialled_by_a_rolled_back_instance_end_before_it() {
    let dir = TempDir::new().unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = upstream.local_addr().unwrap().port();
    let mut daemon = Daemon::builder()
        .echo()
        .allow_error("reload failed")
        .start();
    let fails = TestPlugin::new("hooks").fault("start:fail").build();
    let config = naming("gate", &dir, ", start: waits");
    daemon.edit(|draft| {
        let dials = format!("config: {{port: {port}}}");
        draft
            .plugin("dials", &TestPlugin::file("dialler"), &dials)
            .plugin("fails", &fails, &format!("{config}, after: [dials]"))
    });
    daemon.signal(Signal::SIGHUP);
    daemon.log().wait_for("svc dialler open", SOON);
    let (mut stream, _) = upstream.accept().unwrap();
    let chatter = chatter(stream.try_clone().unwrap());
    daemon.log().wait_for("svc dialler hears", SOON);
    fs::write(dir.path().join("gate"), "").unwrap();
    daemon.log().wait_named(events::RELOAD_FAILED, SOON);
    // It ends though its peer goes on, and no callback follows.
    stream.set_read_timeout(Some(SOON)).unwrap();
    client::read_to_end(&mut stream);
    chatter.join().unwrap();
    let log = daemon.log().events();
    assert!(place_of(&log, "svc dialler closed") < place_of(&log, "svc dialler destroyed"));
    assert!(!daemon.log().contains("called after destroy"));
    assert!(client::echoes(daemon.tcp("echo"), b"hello\n"));
    daemon.stop();
}

#[test]
fn an_instance_whose_save_hangs_does_not_block_the_next_reload() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &keeps(1).fault("save_state:hang").build());
    let daemon = builder.allow_error("instance abandoned").start();
    assert_eq!(asked_anew(&daemon), "v1 1");
    place.rename(&keeps(2).build());
    daemon.reload_failed("save_state");
    assert_eq!(asked_anew(&daemon), "v1 2");
    let warned = warnings(&daemon);
    assert!(warned.contains("the next reload replaces it"), "{warned}");
    daemon.reload_applied();
    assert_eq!(
        asked_anew(&daemon),
        "v2 1",
        "without what could not be saved"
    );
    assert_eq!(warnings(&daemon), "");
    daemon.stop();
}

#[test]
fn an_exclusive_instance_whose_save_hangs_asks_for_a_restart() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &exclusive(1).fault("save_state:hang").build());
    let daemon = builder.allow_error("instance abandoned").start();
    assert_eq!(asked_anew(&daemon), "v1 1");
    place.rename(&exclusive(2).build());
    daemon.reload_failed("save_state");
    for _ in 0..2 {
        daemon.reload_failed("restart the daemon");
    }
    let warned = warnings(&daemon);
    assert!(warned.contains("only a restart replaces it"), "{warned}");
    assert!(!daemon.log().contains("two hold the lock"));
    daemon.stop_with(events::EXIT_HOOK);
}

#[test]
fn a_drained_instance_serves_again_after_its_state_was_saved() {
    let dir = TempDir::new().unwrap();
    let plugin = TestPlugin::new("state").define("LINGERS").build();
    let daemon = Daemon::builder()
        .state()
        .admin()
        .set("drain-timeout: 20s")
        .plugin_with("keeper", &plugin, &naming("gate", &dir, ""))
        .service("svc", TCP, "keeper")
        .allow_error("reload failed")
        .start();
    for count in 1..4 {
        assert_eq!(asked_anew(&daemon), count.to_string());
    }
    daemon.ctl(&["drain", "keeper"]).exits(0);
    for _ in 0..2 {
        daemon.reload_failed("`keeper` was taken out of service and still ends");
        let status = daemon.listing("status")["drained"].to_string();
        assert_eq!(status, "[\"keeper\"]");
    }
    fs::write(dir.path().join("gate"), "").unwrap();
    daemon.log().wait_named(events::INSTANCE_DESTROYED, SOON);
    let seen = daemon.log().events().len();
    daemon.reload_applied();
    let listens = daemon.next_event(seen, "it listens again", |event| {
        event.is(events::LISTENING)
    });
    let address = listens.field("address").strip_prefix("tcp://").unwrap();
    assert_eq!(ask(&mut client::tcp(address.parse().unwrap())), "4");
    daemon.stop();
}

/// A generation in the listing.
#[track_caller]
fn generation(daemon: &Daemon, number: u64) -> serde_json::Value {
    let plugins = daemon.listing("plugins");
    let all = plugins["generations"].as_array().unwrap();
    let found = all.iter().find(|one| one["number"] == number);
    found.expect("generations stay in memory").clone()
}

#[test]
fn code_is_not_retired_beneath_a_hook_that_has_not_returned() {
    let dir = TempDir::new().unwrap();
    let hooks = |fault: &str| TestPlugin::new("hooks").define("FINI").fault(fault).build();
    let (place, builder) = placed(&dir, &hooks("none:1"));
    let daemon = builder.start();
    place.rename(&hooks("create:hang"));
    daemon.reload_failed("create");
    for fault in ["none:2", "none:3"] {
        place.rename(&hooks(fault));
        daemon.reload_applied();
    }
    // The second one was idle before the first was.
    let retired = daemon.log().wait_named(events::GENERATION_RETIRED, SOON);
    assert_eq!(retired.field("generation"), "1");
    assert_eq!(generation(&daemon, 1)["state"], "retired");
    assert_ne!(generation(&daemon, 2)["state"], "retired");
    let log = daemon.log().clone();
    let finis = || {
        let events = log.events();
        let finis = events.iter();
        finis
            .filter(|event| event.line.contains("svc fini"))
            .count()
    };
    assert_eq!(finis(), 1);
    daemon.stop();
    assert_eq!(finis(), 3, "all but that of the hook that hangs");
}

#[test]
fn a_freeze_that_never_completes_is_thawed() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &exclusive(1).fault("freeze:never").build());
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(ask(&mut stream), "v1 1");
    place.rename(&exclusive(2).build());
    daemon.reload_failed("freeze");
    daemon.log().wait_for("svc thawed", SOON);
    assert_eq!(ask(&mut stream), "v1 2");
    assert!(!daemon.log().contains("called while frozen"));
    drop(stream);
    daemon.stop();
}

#[test]
fn a_stop_that_breaks_off_an_undo_destroys_the_rest() {
    let dir = TempDir::new().unwrap();
    let mut daemon = Daemon::builder()
        .plugin("svc", &TestPlugin::file("hooks"))
        .service("svc", TCP, "svc")
        .allow_error("reload failed")
        .start();
    let fails = TestPlugin::new("hooks").called("fails");
    let fails = fails.fault("start:fail").build();
    let waits = naming("gate", &dir, ", stop: waits");
    daemon.edit(|draft| {
        draft
            .plugin("first", &TestPlugin::file("hooks"), "")
            .plugin(
                "second",
                &TestPlugin::file("hooks"),
                &format!("{waits}, after: [first]"),
            )
            .plugin("fails", &fails, "after: [second]")
    });
    daemon.signal(Signal::SIGHUP);
    // The second is being rolled back and the first not yet.
    daemon.log().wait_for("svc stop", SOON);
    for count in 1..3 {
        daemon.signal(Signal::SIGTERM);
        wait::until("the signal is read", SOON, || {
            let read = daemon.log().named(events::SIGNAL);
            let read = read.iter().filter(|event| event.field("name") == "TERM");
            (read.count() == count).then_some(())
        });
    }
    fs::write(dir.path().join("gate"), "").unwrap();
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    let log = daemon.log().events();
    let count = |text: &str| log.iter().filter(|event| event.line.contains(text)).count();
    assert_eq!(count("svc create"), 4);
    assert_eq!(count("svc stop"), 3, "each that started");
    assert_eq!(count("svc destroy"), 4, "each that was created");
}
