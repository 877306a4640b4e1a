//! Reloads under load, counted by `polyport-load`: clients notice nothing. Short forms of the acceptance runs.

use std::path::Path;
use std::time::Duration;

use polyport_e2e::load::Load;
use polyport_e2e::{Builder, Daemon, Place, SOON, TestPlugin, binaries, wait};
use tempfile::TempDir;

/// The clients, streams and datagrams of a reload under load.
const FULL: &str = "--connect 64 --hold 200 --ping-every 50ms --rate 5000 --sources 40";

/// A daemon whose code answers with its version: service `lines` and `datagrams`, and `flows` for flows that stay.
fn stamping() -> Builder {
    let build = |name| TestPlugin::new(name).version(1).build();
    stamping_from(&build("stamp"), &build("stampflows"))
}

/// The same with these plugin files.
fn stamping_from(stamp: &Path, flows: &Path) -> Builder {
    Daemon::builder()
        .quiet()
        .plugin("stamp", stamp)
        .plugin("stampflows", flows)
        .service("lines", "tcp://127.0.0.1:0", "stamp")
        .service("datagrams", "udp://127.0.0.1:0", "stamp")
        .service("flows", "udp://127.0.0.1:0", "stampflows")
}

/// The load on the lines and datagrams of a daemon.
fn load(daemon: &Daemon, more: &str) -> Load {
    let (tcp, udp) = (daemon.tcp("lines"), daemon.udp("datagrams"));
    Load::start(&format!("--tcp {tcp} --udp {udp} --reply stamp {more}"))
}

/// The control run: losses without a reload are not caused by a reload.
#[test]
fn a_daemon_that_is_left_alone_loses_nothing() {
    let daemon = stamping().start();
    let mut load = load(&daemon, FULL);
    load.order("generation 1");
    load.ready();
    wait::measure(Duration::from_secs(3));
    let counted = load.stop();
    counted
        .is_clean()
        .has_at_least("connects.ok", 500)
        .has_at_least("pings.answered", 2000)
        .has_at_least("datagrams.answered", 2000);
    daemon.stop();
}

#[test]
fn flows_of_a_daemon_that_is_left_alone_stay_with_their_code() {
    let daemon = stamping().start();
    let udp = daemon.udp("flows");
    let mut load = Load::start(&format!(
        "--udp {udp} --rate 1000 --sources 20 --flow-life 500ms --reply stamp --flows pinned"
    ));
    load.order("generation 1");
    load.ready();
    wait::measure(Duration::from_secs(2));
    let counted = load.stop();
    counted.is_clean().has_at_least("datagrams.answered", 500);
    daemon.stop();
}

/// The other control run: a restart is noticed, so a bad reload would be too.
#[test]
fn a_restart_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let start = || {
        let listen = format!("unix://{}", path.display());
        let echo = binaries::bundled("echo");
        let daemon = Daemon::builder()
            .quiet()
            .plugin("echo", &echo)
            .service("echo", &listen, "echo")
            .start();
        wait::until("the daemon listens", SOON, || path.exists().then_some(()));
        daemon
    };
    let daemon = start();
    let mut load = Load::start(&format!("--unix {} --hold 8", path.display()));
    load.ready();
    daemon.stop();
    let daemon = start();
    load.order("mark after");
    load.ready();
    wait::measure(Duration::from_millis(500));
    let counted = load.stop();
    assert_eq!(counted.code, 1, "{}", counted.report);
    counted
        .has_at_least("connects.refused", 1)
        .has_at_least("connects.ok", 100)
        .has_at_least("streams.broken", 8)
        .has_at_least("streams.alive", 8);
    daemon.stop();
}

/// How many reloads of each kind: a short form, or `$POLYPORT_RELOADS`; the acceptance run has 100.
fn reloads() -> u64 {
    let wanted = std::env::var("POLYPORT_RELOADS");
    wanted.map_or(12, |wanted| wanted.parse().unwrap())
}

/// A daemon whose plugin files an operator replaces.
struct Swapped {
    daemon: Daemon,
    stamp: Place,
    flows: Place,
    files: TempDir,
}

impl Swapped {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let plugin = TestPlugin::new(name).version(1).build();
            Place::new(files.path(), name, &plugin)
        };
        let (stamp, flows) = (place("stamp"), place("stampflows"));
        let daemon = stamping_from(stamp.path(), flows.path()).start();
        Self {
            daemon,
            stamp,
            flows,
            files,
        }
    }

    /// Puts both plugins of this version in place, by `mv` and by `cp` in turns.
    fn put(&self, version: u64) {
        let version = u32::try_from(version).unwrap();
        for (place, name) in [(&self.stamp, "stamp"), (&self.flows, "stampflows")] {
            let plugin = TestPlugin::new(name).version(version).build();
            if version % 2 == 0 {
                place.rename(&plugin);
            } else {
                place.copy(&plugin);
            }
        }
    }

    fn stop(self) {
        self.daemon.stop();
        drop(self.files);
    }
}

/// The plugins are compiled before anything is measured.
fn compile(versions: u64) {
    for version in 1..=versions {
        let version = u32::try_from(version).unwrap();
        for name in ["stamp", "stampflows"] {
            assert!(TestPlugin::new(name).version(version).build().exists());
        }
    }
}

#[test]
fn reloads_that_change_the_configuration_lose_nothing() {
    let mut daemon = stamping().start();
    let mut load = load(&daemon, FULL);
    load.order("generation 1");
    load.ready();
    for round in 0..reloads() {
        let idle = format!("timeouts: {{idle: {}s}}", 60 + round);
        daemon.reconfigure(|draft| draft.service("lines", "tcp://127.0.0.1:0", "stamp", &idle));
        load.ready();
    }
    load.stop()
        .is_clean()
        .has_at_least("connects.ok", 500)
        .has_at_least("pings.answered", 1000)
        .has_at_least("datagrams.answered", 1000);
    daemon.stop();
}

#[test]
fn swaps_of_code_lose_nothing_and_no_answer_comes_from_the_wrong_code() {
    compile(reloads() + 1);
    let swapped = Swapped::start();
    // The stamp plugin has no state, so every stream moves.
    let mut load = load(&swapped.daemon, &format!("{FULL} --streams exact"));
    load.order("generation 1");
    load.ready();
    for version in 2..=reloads() + 1 {
        load.swap(version, || {
            swapped.put(version);
            swapped.daemon.reload_applied()
        });
        load.ready();
    }
    load.stop()
        .is_clean()
        .has_at_least("connects.ok", 500)
        .has_at_least("pings.answered", 1000)
        .has_at_least("datagrams.answered", 1000);
    swapped.stop();
}

#[test]
fn flows_stay_with_their_code_while_it_is_swapped_and_new_ones_have_the_new() {
    compile(reloads() + 1);
    let swapped = Swapped::start();
    let udp = swapped.daemon.udp("flows");
    let mut load = Load::start(&format!(
        "--udp {udp} --rate 2000 --sources 40 --flow-life 1s --reply stamp --flows pinned"
    ));
    load.order("generation 1");
    load.ready();
    for version in 2..=reloads() + 1 {
        load.swap(version, || {
            swapped.put(version);
            swapped.daemon.reload_applied()
        });
        wait::measure(Duration::from_millis(200));
    }
    let counted = load.stop();
    counted.is_clean().has_at_least("datagrams.answered", 1000);
    swapped.stop();
}
