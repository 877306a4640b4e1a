//! Datagrams under load while code changes: each is answered once, by the right generation.

use std::time::Duration;

use polyport_e2e::load::Load;
use polyport_e2e::{Daemon, Place, TestPlugin, wait};
use tempfile::TempDir;

/// How many times the code changes.
const SWAPS: u64 = 5;

fn version(plugin: &str, number: u64, moves: bool) -> TestPlugin {
    let plugin = TestPlugin::new(plugin).version(u32::try_from(number).unwrap());
    if moves {
        plugin.define("MOVES")
    } else {
        plugin
    }
}

/// Changes the code of a socket again and again under this load, which must be clean.
#[track_caller]
fn changed(plugin: &str, moves: bool, words: &str) {
    let dir = TempDir::new().unwrap();
    let built = |number| version(plugin, number, moves).build();
    let place = Place::new(dir.path(), "svc", &built(1));
    let daemon = Daemon::builder()
        .plugin("svc", place.path())
        .service("svc", "udp://127.0.0.1:0", "svc")
        .start();
    let udp = daemon.udp("svc");
    let mut load = Load::start(&format!("--udp {udp} --rate 2000 --reply stamp {words}"));
    load.order("generation 1");
    load.ready();
    for number in 2..=SWAPS + 1 {
        place.rename(&built(number));
        load.swap(number, || daemon.reload_applied());
        load.ready();
    }
    wait::measure(Duration::from_millis(500));
    let counted = load.stop();
    counted.is_clean().has_at_least("datagrams.answered", 1000);
    daemon.stop();
}

#[test]
fn a_handler_without_flows_answers_by_the_new_code_from_the_swap_on() {
    changed("stamp", false, "--sources 40");
}

#[test]
fn flows_that_cannot_move_are_answered_by_the_code_that_began_them() {
    changed(
        "stampflows",
        false,
        "--sources 20 --flow-life 300ms --flows pinned",
    );
}

#[test]
fn flows_that_move_are_answered_by_the_new_code_from_the_swap_on() {
    changed("stampflows", true, "--sources 40");
}
