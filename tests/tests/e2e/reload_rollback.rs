//! Code that is withdrawn, by hand, by its trial or without a confirmation: what serves then, what is left
//! alone, and what is refused.

use std::fs;
use std::io::Write as _;

use polyport_e2e::client::read_to_end;
use polyport_e2e::{
    Builder, Daemon, Manager, Place, SOON, Signal, TestPlugin, client, events, wait,
};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";

fn stamp(version: u32) -> TestPlugin {
    TestPlugin::new("stamp").version(version)
}

/// Code that fails its trial at the second request.
fn panicking(version: u32) -> TestPlugin {
    stamp(version).define("PANICS")
}

/// A service `svc` and an operator's socket.
fn placed(dir: &TempDir) -> (Place, Builder) {
    let place = Place::new(dir.path(), "svc", &stamp(1).build());
    let builder = Daemon::builder()
        .admin()
        .plugin("svc", place.path())
        .service("svc", TCP, "svc")
        .set("rollback: {window: 60s, failures: 1}")
        .allow_error("panic");
    (place, builder)
}

#[track_caller]
fn asked_anew(daemon: &Daemon, service: &str) -> String {
    client::ask(&mut client::tcp(daemon.tcp(service)), "a")
}

/// Sends more requests to code that panics than its trial allows.
#[track_caller]
fn fail_trial(daemon: &Daemon) {
    for _ in 0..2 {
        let mut stream = client::tcp(daemon.tcp("svc"));
        stream.write_all(b"a\n").unwrap();
        assert_eq!(read_to_end(&mut stream).0, b"");
    }
}

/// The warning of `polyportctl status`, if there is one.
fn warnings(daemon: &Daemon) -> String {
    let status = daemon.listing("status");
    status
        .get("warnings")
        .map_or_else(String::new, ToString::to_string)
}

#[test]
fn a_trial_that_fails_too_late_withdraws_nothing() {
    let dir = TempDir::new().unwrap();
    let manager = Manager::new();
    let (place, builder) = placed(&dir);
    let gate = dir.path().join("gate");
    let config = format!("config: {{gate: \"{}\"}}", gate.display());
    let daemon = builder
        .plugin_with("svc", place.path(), &config)
        .under(&manager)
        .variable("WATCHDOG_USEC", "100000")
        .start();
    place.rename(&panicking(2).build());
    daemon.reload_applied();
    place.rename(&stamp(3).define("WAITS").build());
    let created = daemon.log().named(events::INSTANCE_CREATED).len();
    daemon.signal(Signal::SIGHUP);
    wait::until("the third is being started", SOON, || {
        let now = daemon.log().named(events::INSTANCE_CREATED).len();
        (now > created).then_some(())
    });
    fail_trial(&daemon);
    // The daemon checks trials whenever it notifies the watchdog: by the third time from here, this one has failed.
    let mut heard = manager.messages().len();
    for _ in 0..3 {
        heard = manager.wait_word("WATCHDOG", heard).1;
    }
    assert!(!daemon.log().contains("rollback"), "it waits its turn");
    fs::write(gate, "").unwrap();
    let refused = daemon.log().wait_for("rollback refused", SOON);
    let reason = refused.field("reason");
    assert!(reason.contains("generation 2 does not serve any more"));
    assert_eq!(asked_anew(&daemon, "svc"), "v3 a");
    assert!(daemon.log().named(events::GENERATION_WITHDRAWN).is_empty());
    daemon.stop();
}

#[test]
fn a_rollback_leaves_instances_of_other_plugins_alone() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir);
    let named = TestPlugin::file("named");
    let mut daemon = builder
        .plugin_with("other", &named, "config: {number: 1}")
        .service("other", TCP, "other")
        .start();
    place.rename(&stamp(2).build());
    daemon.reload_applied();
    daemon.reconfigure(|draft| draft.plugin("other", &named, "config: {number: 2}"));
    assert_eq!(asked_anew(&daemon, "other"), "number 2 asked 1");
    daemon.ctl(&["plugins", "rollback", "svc"]).exits(0);
    assert_eq!(asked_anew(&daemon, "svc"), "v1 a");
    assert_eq!(asked_anew(&daemon, "other"), "number 2 asked 2");
    daemon.stop();
}

#[test]
fn a_rollback_to_code_without_a_handler_that_runs_is_refused() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir);
    let mut daemon = builder
        .plugin_with("svc", place.path(), "handler: stamp")
        .start();
    place.rename(&stamp(2).define("MORE").build());
    daemon.reconfigure(|draft| {
        draft
            .plugin("guest", place.path(), "handler: more")
            .service("guest", TCP, "guest", "")
    });
    let refused = daemon.ctl(&["plugins", "rollback", "svc"]);
    refused
        .exits(1)
        .prints("instance `guest` runs handler `more`");
    refused.prints("generation 1").prints("take it out");
    for service in ["svc", "guest"] {
        assert_eq!(asked_anew(&daemon, service), "v2 a");
    }
    daemon.reconfigure(|draft| draft.without_service("guest").without_plugin("guest"));
    daemon.ctl(&["plugins", "rollback", "svc"]).exits(0);
    assert_eq!(asked_anew(&daemon, "svc"), "v1 a");
    daemon.stop();
}

#[test]
fn a_withdrawn_generation_does_not_come_back_without_a_confirmation() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir);
    let mut daemon = builder.start();
    place.rename(&panicking(2).build());
    daemon.reload_applied();
    daemon.edit(|draft| draft.service("guest", TCP, "svc", ""));
    daemon.ctl(&["reload", "--confirm", "3s"]).exits(0);
    fail_trial(&daemon);
    daemon.log().wait_named(events::GENERATION_WITHDRAWN, SOON);
    assert_eq!(asked_anew(&daemon, "guest"), "v1 a");
    daemon.log().wait_for("nobody confirmed", SOON);
    wait::until("the guest is gone", SOON, || {
        let services = daemon.listing("services");
        (services["services"].as_array().unwrap().len() == 1).then_some(())
    });
    assert_eq!(asked_anew(&daemon, "svc"), "v1 a");
    let plugins = daemon.listing("plugins");
    assert_eq!(plugins["generations"][1]["state"], "withdrawn");
    daemon.stop();
}

#[test]
fn while_a_reload_waits_to_be_confirmed_nothing_else_is_changed_by_hand() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir);
    let mut daemon = builder.start();
    place.rename(&stamp(2).build());
    daemon.reload_applied();
    daemon.edit(|draft| draft.service("guest", TCP, "svc", ""));
    daemon.ctl(&["reload", "--confirm", "60s"]).exits(0);
    for change in [
        &["drain", "guest"][..],
        &["drain", "guest", "--wait"],
        &["plugins", "rollback", "svc"],
        &["reload"],
    ] {
        let refused = daemon.ctl(change);
        refused
            .exits(1)
            .prints("refused")
            .prints("polyportctl confirm");
    }
    for service in ["svc", "guest"] {
        assert_eq!(asked_anew(&daemon, service), "v2 a");
    }
    daemon.ctl(&["confirm"]).exits(0);
    daemon.ctl(&["plugins", "rollback", "svc"]).exits(0);
    daemon.ctl(&["drain", "guest", "--wait"]).exits(0);
    assert_eq!(asked_anew(&daemon, "svc"), "v1 a");
    daemon.stop();
}

#[test]
fn the_status_warns_while_other_code_serves_than_its_file_holds() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir);
    let daemon = builder.service("guest", TCP, "svc").start();
    place.rename(&stamp(2).build());
    daemon.reload_applied();
    assert_eq!(warnings(&daemon), "");
    daemon.ctl(&["plugins", "rollback", "svc"]).exits(0);
    let serves_again = |warned: &str| warned.contains("generation 1 serves again: rolled back by");
    assert!(serves_again(&warnings(&daemon)), "{}", warnings(&daemon));
    // A change of something else does not end the warning.
    daemon.ctl(&["drain", "guest"]).exits(0);
    assert!(serves_again(&warnings(&daemon)), "{}", warnings(&daemon));
    daemon.ctl(&["reload"]).exits(0);
    let warned = warnings(&daemon);
    assert!(warned.contains("serves until the file changes"), "{warned}");
    place.rename(&stamp(3).build());
    daemon.reload_applied();
    assert_eq!(warnings(&daemon), "");
    daemon.stop();
}

#[test]
fn two_files_of_one_plugin_name_are_refused() {
    let dirs = [(); 2].map(|()| TempDir::new().unwrap());
    let [one, other] = [(&dirs[0], 1), (&dirs[1], 2)]
        .map(|(dir, version)| Place::new(dir.path(), "svc", &stamp(version).build()));
    let both = Daemon::builder()
        .plugin("one", one.path())
        .plugin("other", other.path());
    let refused = both.check();
    refused.exits(events::EXIT_CONFIG);
    refused.prints("are both plugin `svc`").prints("rename one");
    let paths = [&one, &other].map(|place| place.path().display().to_string());
    for path in &paths {
        refused.prints(path);
    }

    let mut daemon = Daemon::builder()
        .plugin("one", one.path())
        .service("svc", TCP, "one")
        .allow_error("configuration")
        .allow_error("reload failed")
        .start();
    daemon.edit(|draft| draft.plugin("other", other.path(), ""));
    for path in &paths {
        daemon.reload_failed(path);
    }
    assert_eq!(asked_anew(&daemon, "svc"), "v1 a");
    daemon.reconfigure(|draft| draft.plugin("other", one.path(), ""));
    daemon.stop();
}
