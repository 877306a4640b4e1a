//! What clients notice of a reload, counted by `polyport-load`: nothing. Short forms of the acceptance runs.

use std::time::Duration;

use polyport_e2e::load::Load;
use polyport_e2e::{Builder, Daemon, SOON, Zoo, binaries, wait};

/// As many clients, streams and datagrams as a reload has to bear.
const FULL: &str = "--connect 64 --hold 200 --ping-every 50ms --rate 5000 --sources 40";

/// A daemon whose code answers with its version: service `lines` and `datagrams`, and `flows` for flows that stay.
fn stamping() -> Builder {
    Daemon::builder()
        .plugin("stamp", &Zoo::named("stamp").version(1).build())
        .plugin("stampflows", &Zoo::named("stampflows").version(1).build())
        .service("lines", "tcp://127.0.0.1:0", "stamp")
        .service("datagrams", "udp://127.0.0.1:0", "stamp")
        .service("flows", "udp://127.0.0.1:0", "stampflows")
}

/// The load on the lines and datagrams of a daemon.
fn load(daemon: &Daemon, more: &str) -> Load {
    let (tcp, udp) = (daemon.tcp("lines"), daemon.udp("datagrams"));
    Load::start(&format!("--tcp {tcp} --udp {udp} --reply stamp {more}"))
}

/// The control run: what is lost without a reload is not the reload's fault.
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

/// The other control: a restart is noticed, so a bad reload would be.
#[test]
fn a_restart_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let start = || {
        let listen = format!("unix://{}", path.display());
        let echo = binaries::bundled("echo");
        let daemon = Daemon::builder()
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
