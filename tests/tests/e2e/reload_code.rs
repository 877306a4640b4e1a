//! A reload that changes a plugin's code: new streams go to the new code, files that are not good change nothing, and
//! code that turns out bad is withdrawn.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use polyport_e2e::damage::{self, Dice};
use polyport_e2e::{Daemon, Place, SOON, TestPlugin, binaries, client, events, wait};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";
const BOTH: &str = "tcp://127.0.0.1:0, udp://127.0.0.1:0";

fn stamp(version: u32) -> PathBuf {
    TestPlugin::new("stamp").version(version).build()
}

#[track_caller]
fn asked_anew(daemon: &Daemon, line: &str) -> String {
    client::ask(&mut client::tcp(daemon.tcp("svc")), line)
}

#[test]
fn f13_new_code_serves_after_mv_and_after_cp() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &stamp(1), BOTH);
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    let socket = client::udp(daemon.udp("svc"));
    assert_eq!(client::ask(&mut stream, "a"), "v1 a");
    for version in 2..6 {
        match version % 2 {
            0 => place.rename(&stamp(version)),
            _ => place.copy(&stamp(version)),
        }
        assert_eq!(
            client::ask(&mut stream, "b"),
            format!("v{} b", version - 1),
            "a file alone changes nothing"
        );
        daemon.reload_applied();
        assert_eq!(
            client::ask(&mut stream, "c"),
            format!("v{version} c"),
            "it moved"
        );
        assert_eq!(asked_anew(&daemon, "d"), format!("v{version} d"));
        assert_eq!(client::request_by(&socket, "e"), format!("v{version} e"));
    }
    assert_eq!(daemon.log().named(events::PLUGIN_LOADED).len(), 5);
    assert_eq!(daemon.log().named(events::LISTENING).len(), 2);
    drop(stream);
    daemon.stop();
}

#[test]
fn the_same_content_is_no_new_generation() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &stamp(1), BOTH);
    let daemon = builder.start();
    place.rename(&stamp(1));
    daemon.reload_unchanged();
    place.copy(&stamp(1));
    daemon.reload_unchanged();
    assert_eq!(daemon.log().named(events::PLUGIN_LOADED).len(), 1);
    daemon.stop();
}

#[test]
fn content_that_comes_back_is_served_again() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &stamp(1), BOTH);
    let daemon = builder.start();
    for version in [2, 1, 2, 1] {
        place.rename(&stamp(version));
        daemon.reload_applied();
        assert_eq!(asked_anew(&daemon, "a"), format!("v{version} a"));
    }
    daemon.stop();
}

#[test]
fn f7_a_file_that_is_still_being_written_is_refused_and_taken_when_it_is_whole() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &stamp(1), BOTH);
    let daemon = builder
        .allow_error("reload failed")
        .allow_error("configuration")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    let writer = place.begin(&stamp(2), 5000);
    daemon.reload_failed("libpolyport_svc.so");
    assert_eq!(client::ask(&mut stream, "a"), "v1 a");
    assert_eq!(asked_anew(&daemon, "b"), "v1 b");
    writer.finish();
    daemon.reload_applied();
    assert_eq!(client::ask(&mut stream, "c"), "v2 c");
    drop(stream);
    daemon.stop();
}

#[test]
fn f8_truncated_and_damaged_files_change_nothing() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &stamp(1), BOTH);
    let daemon = builder
        .allow_error("reload failed")
        .allow_error("configuration")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    let whole = fs::read(stamp(2)).unwrap();
    for length in damage::lengths(whole.len(), 6) {
        place.write(&whole[..length]);
        daemon.reload_failed("libpolyport_svc.so");
        assert_eq!(client::ask(&mut stream, "a"), "v1 a");
    }
    // A file with its hash in it, so that every damage is seen.
    let sealed = binaries::sealed(&stamp(2), dir.path());
    let (whole, mut dice) = (fs::read(&sealed).unwrap(), Dice::new(3));
    for _ in 0..10 {
        let damaged = damage::changed(&whole, &mut dice);
        if damaged == whole {
            continue;
        }
        place.write(&damaged);
        daemon.reload_failed("libpolyport_svc.so");
        assert_eq!(client::ask(&mut stream, "b"), "v1 b");
    }
    place.write(&whole);
    daemon.reload_applied();
    assert_eq!(client::ask(&mut stream, "c"), "v2 c");
    drop(stream);
    daemon.stop();
}

#[test]
fn code_that_is_not_running_is_retired_and_logged() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(
        dir.path(),
        &TestPlugin::new("moves").define("STAYS").build(),
        TCP,
    );
    let daemon = builder.start();
    let mut first = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut first, "a"), "v1 #1 a");
    for version in [2, 3] {
        place.rename(
            &TestPlugin::new("moves")
                .version(version)
                .define("STAYS")
                .build(),
        );
        daemon.reload_applied();
    }
    assert!(daemon.log().named(events::INSTANCE_DESTROYED).len() <= 1);
    drop(first);
    wait::until("both old instances are gone", SOON, || {
        let gone = daemon.log().named(events::INSTANCE_DESTROYED).len();
        (gone == 2).then_some(())
    });
    daemon.stop();
}

#[test]
fn a_generation_that_panics_too_often_is_withdrawn_by_itself() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &stamp(1), BOTH);
    let daemon = builder
        .set("rollback: {window: 60s, failures: 3}")
        .allow_error("panic")
        .allow_error("withdrawn")
        .allow_error("stamp")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "a"), "v1 a");
    let bad = TestPlugin::new("stamp").version(2).define("PANICS").build();
    place.rename(&bad);
    daemon.reload_applied();
    // Its streams end one by one, each by a panic, until the limit of its trial.
    wait::until("the code before serves again", SOON, || {
        let mut stream = client::tcp(daemon.tcp("svc"));
        stream.write_all(b"b\n").ok()?;
        let (answer, _) = read_some(&mut stream);
        (answer == b"v1 b\n").then_some(())
    });
    let withdrawn = daemon.log().wait_named(events::GENERATION_WITHDRAWN, SOON);
    assert!(withdrawn.line.contains("panic"), "{withdrawn:?}");
    // The same content does not come back by a reload; other content does.
    daemon.reload();
    assert_eq!(asked_anew(&daemon, "c"), "v1 c");
    place.rename(&stamp(3));
    daemon.reload_applied();
    assert_eq!(asked_anew(&daemon, "d"), "v3 d");
    daemon.stop();
}

/// Reads until a line is complete or the stream ends.
fn read_some(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        match stream.read(&mut byte) {
            Ok(1) => line.push(byte[0]),
            _ => return (line, false),
        }
    }
    (line, true)
}

#[test]
fn a_generation_that_is_not_well_is_withdrawn_by_itself() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &stamp(1), BOTH);
    let daemon = builder
        .set("rollback: {window: 60s, failures: 1}")
        .allow_error("withdrawn")
        .allow_error("not well")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "a"), "v1 a");
    let bad = TestPlugin::new("stamp")
        .version(2)
        .define("UNHEALTHY")
        .build();
    place.rename(&bad);
    daemon.reload_applied();
    assert_eq!(client::ask(&mut stream, "b"), "v2 b");
    let withdrawn = daemon
        .log()
        .wait_named(events::GENERATION_WITHDRAWN, SOON * 2);
    assert!(withdrawn.line.contains("health"), "{withdrawn:?}");
    wait::until("the stream is back on the code before", SOON, || {
        (client::ask(&mut stream, "c") == "v1 c").then_some(())
    });
    drop(stream);
    daemon.stop();
}

#[test]
fn a_generation_is_withdrawn_by_hand() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &stamp(1), BOTH);
    let daemon = builder.admin().allow_error("withdrawn").start();
    let nothing = daemon.ctl(&["plugins", "rollback", "svc"]);
    assert_ne!(nothing.code, 0, "there is no code before: {}", nothing.text);
    let mut stream = client::tcp(daemon.tcp("svc"));
    place.rename(&stamp(2));
    daemon.reload_applied();
    assert_eq!(client::ask(&mut stream, "a"), "v2 a");
    daemon.ctl(&["plugins", "rollback", "svc"]).exits(0);
    assert_eq!(client::ask(&mut stream, "b"), "v1 b");
    assert_eq!(asked_anew(&daemon, "c"), "v1 c");
    daemon.reload();
    assert_eq!(asked_anew(&daemon, "d"), "v1 d", "the same file stays out");
    place.rename(&stamp(3));
    daemon.reload_applied();
    assert_eq!(client::ask(&mut stream, "e"), "v3 e");
    drop(stream);
    daemon.stop();
}
