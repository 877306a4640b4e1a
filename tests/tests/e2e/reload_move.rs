//! Streams and flows at a swap of code: they move with their state, or stay on the old code until they end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use polyport_e2e::client::Ending;
use polyport_e2e::damage::Dice;
use polyport_e2e::{Daemon, Event, Place, SOON, TestPlugin, binaries, client, events};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";
const UDP: &str = "udp://127.0.0.1:0";

fn moves(version: u32) -> TestPlugin {
    TestPlugin::new("moves").version(version)
}

#[track_caller]
fn asked_anew(daemon: &Daemon, line: &str) -> String {
    client::ask(&mut client::tcp(daemon.tcp("svc")), line)
}

/// Two lines before the swap and half of a third; then the other half, and one more.
#[track_caller]
fn tallied(old: &Path, new: &Path) {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), old, TCP);
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "add 5"), "v1 #1 sum 5");
    assert_eq!(client::ask(&mut stream, "add 7"), "v1 #2 sum 12");
    // The next whole line shows that the half before it has come in.
    stream.write_all(b"add 1\nad").unwrap();
    assert_eq!(client::read_line(&mut stream), "v1 #3 sum 13");

    place.rename(new);
    daemon.reload_applied();
    stream.write_all(b"d 4\n").unwrap();
    assert_eq!(client::read_line(&mut stream), "v2 #4 sum 17 largest 4");
    assert_eq!(client::ask(&mut stream, "add 9"), "v2 #5 sum 26 largest 9");
    assert_eq!(asked_anew(&daemon, "add 1"), "v2 #1 sum 1 largest 1");
    let moved = daemon.log().wait_named(events::STREAMS_MOVED, SOON);
    assert_eq!(moved.field("migrated"), "1", "{moved:?}");
    drop(stream);
    daemon.log().wait_named(events::INSTANCE_DESTROYED, SOON);
    daemon.stop();
}

#[test]
fn half_a_message_before_the_swap_and_half_after_it_in_c() {
    tallied(
        &TestPlugin::example("tally").version(1).build(),
        &TestPlugin::example("tally").version(2).build(),
    );
}

#[test]
fn half_a_message_before_the_swap_and_half_after_it_in_rust() {
    let dir = TempDir::new().unwrap();
    tallied(
        &binaries::rust_example("tally", 1, dir.path()),
        &binaries::rust_example("tally", 2, dir.path()),
    );
}

#[test]
fn a_bundled_stream_goes_on_in_new_code_with_the_next_byte() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &binaries::bundled("chargen"), TCP);
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    let mut text = client::read_exactly(&mut stream, 74 * 500);
    let sealed = binaries::sealed(&binaries::bundled("chargen"), dir.path());
    for plugin in [sealed, binaries::bundled("chargen")] {
        place.rename(&plugin);
        daemon.reload_applied();
        // More than the sockets can hold.
        text.extend(client::read_exactly(&mut stream, 74 * 200_000));
    }
    let lines: Vec<&[u8]> = text.chunks(74).collect();
    let follows = |pair: &&[&[u8]]| pair[0][1..72] == pair[1][..71];
    assert_eq!(
        lines.windows(2).filter(follows).count(),
        lines.len() - 1,
        "a byte is missing or comes twice"
    );
    drop(stream);
    daemon.stop();
}

/// Sends lines in pieces that end anywhere, several in flight, until `over`; returns how many were answered, each
/// with its number, by code that was never older than the one before.
fn exchange_lines(stream: &TcpStream, seed: u64, over: &AtomicBool) -> u64 {
    const ON_THE_WAY: u64 = 200;
    let (mut dice, mut reader, mut writer) = (Dice::new(seed), BufReader::new(stream), stream);
    let (mut made, mut written, mut answered, mut newest) = (0, 0, 0, 1);
    let mut unsent = Vec::new();
    loop {
        while !over.load(Ordering::Relaxed) && made < answered + ON_THE_WAY {
            made += 1;
            unsent.extend(format!("line {made}\n").bytes());
        }
        if answered == made {
            return answered;
        }
        if answered == written || !unsent.is_empty() && dice.below(20) == 0 {
            let piece = unsent.len().min(1 + dice.below(700));
            let piece: Vec<u8> = unsent.drain(..piece).collect();
            writer.write_all(&piece).unwrap();
            let lines = piece.iter().filter(|byte| **byte == b'\n').count();
            written += u64::try_from(lines).unwrap();
            continue;
        }
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        answered += 1;
        let (version, rest) = line.split_once(' ').expect(&line);
        assert_eq!(rest, format!("#{answered} line {answered}\n"));
        let version: u32 = version.trim_start_matches('v').parse().expect(&line);
        assert!(version >= newest, "{line} after v{newest}");
        newest = version;
    }
}

#[test]
fn sessions_under_way_lose_no_line_and_none_comes_twice() {
    const SWAPS: u32 = 12;
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &moves(1).build(), TCP);
    let daemon = builder.set("workers: 2").start();
    let streams: Vec<TcpStream> = (0..6).map(|_| client::tcp(daemon.tcp("svc"))).collect();
    let over = AtomicBool::new(false);
    let answered: u64 = thread::scope(|scope| {
        let end = client::EndOf(&over);
        let clients: Vec<_> = (1..)
            .zip(&streams)
            .map(|(seed, stream)| {
                let over = &over;
                scope.spawn(move || exchange_lines(stream, seed, over))
            })
            .collect();
        for version in 2..=SWAPS {
            place.rename(&moves(version).build());
            daemon.reload_applied();
        }
        drop(end);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert!(answered > 1000, "{answered} lines");
    for mut stream in &streams {
        let answer = client::ask(&mut stream, "last");
        assert!(answer.starts_with(&format!("v{SWAPS} #")), "{answer}");
    }
    drop(streams);
    daemon.stop();
}

/// A stream of old code that new code cannot import stays, and new streams go to the new code.
#[track_caller]
fn stays(old: &TestPlugin, new: &TestPlugin) -> (Daemon, TcpStream, Place, TempDir) {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &old.build(), TCP);
    let daemon = builder
        .allow_error("moves")
        .allow_error("panic")
        .set("workers: 1")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "a"), "v1 #1 a");
    place.rename(&new.build());
    daemon.reload_applied();
    assert_eq!(asked_anew(&daemon, "b"), "v2 #1 b");
    (daemon, stream, place, dir)
}

#[track_caller]
fn stayed(old: &TestPlugin, new: &TestPlugin) {
    let (daemon, mut stream, place, _dir) = stays(old, new);
    assert_eq!(client::ask(&mut stream, "c"), "v1 #2 c");
    let moved = daemon.log().wait_named(events::STREAMS_MOVED, SOON);
    assert_eq!(
        (moved.field("migrated"), moved.field("stayed")),
        ("0", "1"),
        "{moved:?}"
    );
    // The export is tried once; later code does not get the stream either.
    place.rename(&moves(3).build());
    daemon.reload_applied();
    assert_eq!(client::ask(&mut stream, "d"), "v1 #3 d");
    assert_eq!(asked_anew(&daemon, "e"), "v3 #1 e");
    drop(stream);
    let first = |event: &Event| event.is(events::INSTANCE_DESTROYED);
    daemon.log().wait("the old instance ends", SOON, first);
    daemon.stop();
}

#[test]
fn a_stream_whose_import_fails_stays_on_the_old_code() {
    stayed(&moves(1), &moves(2).fault("import:fail"));
}

#[test]
fn a_stream_whose_import_panics_stays_on_the_old_code() {
    stayed(&moves(1), &moves(2).fault("import:panic"));
}

#[test]
fn a_stream_whose_export_fails_stays_on_the_old_code() {
    stayed(&moves(1).fault("export:fail"), &moves(2));
}

#[test]
fn a_stream_whose_state_is_of_another_version_stays_on_the_old_code() {
    let newer = moves(2).define("STATE_VERSION=3");
    stayed(&moves(1), &newer.define("STATE_MIN_VERSION=2"));
}

#[test]
fn a_stream_of_a_handler_that_offers_no_hand_over_stays_on_the_old_code() {
    stayed(&moves(1).define("STAYS"), &moves(2).define("STAYS"));
}

#[test]
fn a_stream_whose_export_panics_ends_as_a_fault_of_its_plugin() {
    let (daemon, mut stream, _place, _dir) = stays(&moves(1).fault("export:panic"), &moves(2));
    client::read_to_end(&mut stream);
    daemon.log().wait_for("svc v1 closed reason 20", SOON);
    daemon.stop();
}

#[test]
fn a_stream_that_moves_gets_one_closed_on_each_side() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &moves(1).build(), TCP);
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "a"), "v1 #1 a");
    place.rename(&moves(2).build());
    daemon.reload_applied();
    assert_eq!(client::ask(&mut stream, "b"), "v2 #2 b");
    drop(stream);
    daemon.log().wait_for("svc v2 closed reason 2", SOON);
    let log = daemon.log().clone();
    daemon.stop();
    let closed = |text: &str| {
        let events = log.events();
        events
            .iter()
            .filter(|it| it.message == text || it.line.contains(text))
            .count()
    };
    assert_eq!(closed("svc v1 closed reason 34"), 1);
    assert_eq!((closed("svc v1 closed"), closed("svc v2 closed")), (1, 1));
    assert!(!log.contains("imported without"));
}

#[test]
fn input_left_by_the_old_code_is_delivered_to_the_new_at_once() {
    let dir = TempDir::new().unwrap();
    let (place, builder) =
        Place::with_service(dir.path(), &moves(1).define("WANTS=80").build(), TCP);
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    // Both lines come in together; the second is too short for the old code.
    let long = "x".repeat(100);
    stream
        .write_all(format!("{long}\nshort\n").as_bytes())
        .unwrap();
    assert_eq!(client::read_line(&mut stream), format!("v1 #1 {long}"));
    place.rename(&moves(2).build());
    daemon.reload_applied();
    assert_eq!(client::read_line(&mut stream), "v2 #2 short");
    drop(stream);
    daemon.stop();
}

#[test]
fn streams_may_stay_on_replaced_code_for_the_replace_timeout() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &moves(1).define("STAYS").build(), TCP);
    let daemon = builder.set("replace-timeout: 500ms").start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "a"), "v1 #1 a");
    place.rename(&moves(2).define("STAYS").build());
    daemon.reload_applied();
    let (rest, ending) = client::read_to_end(&mut stream);
    assert_eq!((rest.len(), ending), (0, Ending::Closed));
    daemon.log().wait_named(events::INSTANCE_DESTROYED, SOON);
    daemon.stop();
}

#[test]
fn of_too_many_replaced_codes_with_streams_the_oldest_has_to_end() {
    const KEPT: usize = 16;
    let dir = TempDir::new().unwrap();
    let stays = |version| moves(version).define("STAYS").build();
    let (place, builder) = Place::with_service(dir.path(), &stays(1), TCP);
    let daemon = builder.set("drain-timeout: 5s").start();
    let mut streams = Vec::new();
    for version in 1..20 {
        let mut stream = client::tcp(daemon.tcp("svc"));
        assert_eq!(client::ask(&mut stream, "a"), format!("v{version} #1 a"));
        streams.push(stream);
        place.rename(&stays(version + 1));
        daemon.reload_applied();
    }
    let told = streams.len() - KEPT;
    for stream in &mut streams[..told] {
        assert_eq!(client::read_to_end(stream), (Vec::new(), Ending::Closed));
    }
    for (number, stream) in streams.iter_mut().enumerate().skip(told) {
        let version = number + 1;
        assert_eq!(client::ask(stream, "b"), format!("v{version} #2 b"));
    }
    daemon.log().wait_for("too many replaced instances", SOON);
    drop(streams);
    daemon.stop();
}

#[test]
fn flows_stay_with_the_code_that_began_them() {
    let dir = TempDir::new().unwrap();
    let flows = |version| TestPlugin::new("stampflows").version(version).build();
    let (place, builder) = Place::with_service(dir.path(), &flows(1), UDP);
    let daemon = builder.start();
    let old = client::udp(daemon.udp("svc"));
    assert_eq!(client::request_by(&old, "a"), "v1 a");
    place.rename(&flows(2));
    daemon.reload_applied();
    let new = client::udp(daemon.udp("svc"));
    for round in 0..50 {
        assert_eq!(
            client::request_by(&old, &format!("{round}")),
            format!("v1 {round}")
        );
        assert_eq!(
            client::request_by(&new, &format!("{round}")),
            format!("v2 {round}")
        );
    }
    assert_eq!(client::request_by(&old, "count"), "v1 52");
    assert_eq!(client::request_by(&new, "count"), "v2 51");
    daemon.stop();
}

#[test]
fn flows_move_with_their_state() {
    let dir = TempDir::new().unwrap();
    let flows = |version| {
        let plugin = TestPlugin::new("stampflows").version(version);
        plugin.define("MOVES").build()
    };
    let (place, builder) = Place::with_service(dir.path(), &flows(1), UDP);
    let daemon = builder.start();
    let old = client::udp(daemon.udp("svc"));
    assert_eq!(client::request_by(&old, "a"), "v1 a");
    place.rename(&flows(2));
    daemon.reload_applied();
    assert_eq!(client::request_by(&old, "count"), "v2 2");
    daemon.log().wait_for("svc v1 flow closed reason 34", SOON);
    daemon.stop();
}
